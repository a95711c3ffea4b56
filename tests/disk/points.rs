//! kill -9 at named points: the n-th call on a file of a certain kind, before or after it is done.

use profile_tests::promises::world::{World, number, seed};

use crate::life::{End, Life};
use crate::shim::Power;

/// Actors come and go all the time, and say so.
const PASSIVATING: &str = r#"
[actors]
idle_passivation_ms = 100
live_actors_max = 40
[telemetry]
filter = "info,profile::gateway=trace"
"#;

struct Point {
    name: &'static str,
    /// Action, kind and path of a rule.
    rule: &'static str,
    /// At which of such calls, at the latest.
    calls_max: u64,
    end: End,
}

const fn point(name: &'static str, rule: &'static str, calls_max: u64) -> Point {
    Point {
        name,
        rule,
        calls_max,
        end: End::ByRule,
    }
}

const POINTS: &[Point] = &[
    point("before the append", "kill-before:write:data/log/*.seg", 40),
    point(
        "between append and fsync",
        "kill-after:write:data/log/*.seg",
        40,
    ),
    point(
        "between fsync and answer",
        "kill-after:sync:data/log/*.seg",
        40,
    ),
    // The first fill of a segment is the start's; the second is at half of it.
    point(
        "while the next segment is filled",
        "kill-after:*:data/log/next.tmp",
        7,
    ),
    point(
        "before the segment has its name",
        "kill-before:rename:data/log/next.tmp",
        1,
    ),
    point(
        "before the name of the segment is durable",
        "kill-before:syncdir:data/log",
        1,
    ),
    point(
        "between publish and cursor",
        "kill-before:write:data/relay",
        3,
    ),
    point(
        "between cursor and its fsync",
        "kill-after:write:data/relay",
        3,
    ),
    point("after the cursor", "kill-after:sync:data/relay", 3),
    point(
        "before a write behind",
        "kill-before:write:data/current/*",
        12,
    ),
    point(
        "after a write behind",
        "kill-after:write:data/current/*",
        12,
    ),
    point(
        "when an actor is passivated",
        "kill-before:say:*\"passivated\"*",
        60,
    ),
    point("while actors come and go", "kill-after:*:*", 300),
    point("in a start", "kill-before:*:*", 25),
    Point {
        name: "in a shutdown",
        rule: "kill-before:*:*",
        calls_max: 12,
        end: End::Stopped,
    },
    Point {
        name: "at the end of a shutdown",
        rule: "kill-before:*:data/current*",
        calls_max: 5,
        end: End::Stopped,
    },
];

/// Each after a life that leaves something to compact: it is rewritten a second after the start.
const COMPACTION_POINTS: &[Point] = &[
    point(
        "while a segment is compacted",
        "kill-after:write:data/log/compact.tmp",
        1,
    ),
    point(
        "before it is durable",
        "kill-before:sync:data/log/compact.tmp",
        1,
    ),
    point(
        "before it takes the place",
        "kill-before:rename:data/log/compact.tmp",
        1,
    ),
    point(
        "after it took the place",
        "kill-after:rename:data/log/compact.tmp",
        1,
    ),
    point(
        "before what it stands for is deleted",
        "kill-before:unlink:data/log/*.seg",
        1,
    ),
];

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed_at_a_named_point() {
    killed_at(POINTS, PASSIVATING, |_| Ok(()));
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed_while_it_compacts() {
    killed_at(COMPACTION_POINTS, "", leave_to_compact);
}

/// Two segments that are almost empty. A start after a kill begins a new one, a start after a stop goes on
/// in the last, which may be nearly full: so there is a kill before as well.
fn leave_to_compact(world: &mut World) -> Result<(), String> {
    world.service.start_again();
    world.service.kill();
    let life = Life {
        rules: String::new(),
        seed: world.below(u64::MAX),
        power: Power::Stays,
        end: End::Killed,
    };
    life.live(world)?;
    world.service.kill();
    Ok(())
}

/// `extra` is configuration (TOML, whole sections); `before` is done before each point.
fn killed_at(points: &[Point], extra: &str, before: impl Fn(&mut World) -> Result<(), String>) {
    let (rounds, seed) = (number("POINT_ROUNDS").unwrap_or(1), seed());
    eprintln!("{rounds} rounds of {} points, SEED={seed}", points.len());
    let (mut late, mut may_be_late) = (0, 0);
    for round in 0..rounds {
        let mut world = World::prepared(seed.wrapping_add(round), extra);
        world.service.start_again();
        assert!(world.service.stop().success());
        for point in points {
            let fault = before(&mut world)
                .and_then(|()| kill_at(&mut world, point))
                .unwrap_or_else(|broken| panic!("round {round} of SEED={seed}: {broken}"));
            late += u64::from(fault.is_none());
            may_be_late += u64::from(point.end == End::Stopped);
            let fault = fault.as_deref().unwrap_or("the end came first");
            eprintln!("{}: {fault}", point.name);
        }
        world.service.start_again();
        let changes = world.check_all();
        changes.unwrap_or_else(|broken| panic!("round {round} of SEED={seed}: {broken}"));
    }
    // All others must come due, see `Life::live`.
    assert!(
        late * 2 <= may_be_late,
        "SEED={seed}: {late} of {may_be_late} came too late in a shutdown"
    );
}

/// What the shim says of the kill, if it came before the end.
fn kill_at(world: &mut World, point: &Point) -> Result<Option<String>, String> {
    let armed = match point.end {
        End::ByRule | End::Killed | End::StoppedAfterFault | End::KilledAfterFault => "",
        End::Stopped => "@",
    };
    let call = 1 + world.below(point.calls_max);
    let life = Life {
        rules: format!("{}:{armed}{call}", point.rule),
        seed: world.below(u64::MAX),
        power: Power::Stays,
        end: point.end,
    };
    let ended = life.live(world)?;
    match world.below(2) {
        0 => assert!(world.service.stop().success(), "{}", world.service.log()),
        _ => world.service.kill(),
    }
    Ok(ended.fault().map(str::to_owned))
}
