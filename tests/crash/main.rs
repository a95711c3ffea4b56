//! The real process under load, killed and stopped again and again on the same data.
//!
//! `ROUNDS=N` sets the number of rounds, `SEED=N` replays the moments of a run.

mod canary;
mod check;
mod client;
mod observe;
mod restart;
mod world;

use world::{World, number, seed};

const ROUNDS_DEFAULT: u64 = 100;
const KILLED_WITHIN_MS: u32 = 60;
/// In every so many rounds the process is killed once more, while it recovers.
const KILLED_IN_RECOVERY_EVERY: u64 = 4;

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let (rounds, seed) = (number("ROUNDS").unwrap_or(ROUNDS_DEFAULT), seed());
    eprintln!("{rounds} rounds, SEED={seed}");
    let mut world = World::new(seed);
    let (mut open, mut done) = (0, 0);
    for round in 0..rounds {
        let (open_now, done_now) = killed_once(&mut world, round)
            .unwrap_or_else(|broken| panic!("round {round} of SEED={seed}: {broken}"));
        open += open_now;
        done += done_now;
    }
    let changes = world
        .check_all()
        .unwrap_or_else(|broken| panic!("after all rounds of SEED={seed}: {broken}"));
    let acked = world.heard.acked.len();
    eprintln!("{changes} changes; {open} commands were open at a kill, {done} of them done");
    assert_eq!(changes, acked);
    assert!(rounds < 10 || open > 0, "the kills met no load");
}

/// Load, SIGKILL, restart, retries, checks; returns how many commands were open, and how many of
/// these were committed all the same.
fn killed_once(world: &mut World, round: u64) -> Result<(usize, usize), String> {
    let clients = world.load(&format!("r{round}"));
    world.let_pass(KILLED_WITHIN_MS);
    world.service.kill();
    world.tell(|signal| signal.killed = true);
    let heard = world.join(clients);
    if round.is_multiple_of(KILLED_IN_RECOVERY_EVERY) {
        drop(world.service.start_unready());
        world.let_pass(KILLED_WITHIN_MS);
        world.service.kill();
    }
    world.service.start_again();

    // What was committed and never answered is not known yet: look before anything is sent again.
    let before = world.observe(heard.open.iter());
    world.settle(&heard.open);
    world.repeat(&heard.acked);
    let acked = heard.acked.iter().map(|(command, _)| command);
    let users = world.observe(acked.chain(&heard.open));
    world.check(&users)?;
    let mut done_unheard = 0;
    for command in &heard.open {
        let done = |users: &check::Users| {
            let history = &users[&command.user].history;
            history.iter().position(|change| change.key == command.key)
        };
        let (first, then) = (done(&before), done(&users));
        if then.is_none() || first.is_some() && first != then {
            return Err(format!(
                "{command:?}: at {first:?} before, at {then:?} after"
            ));
        }
        done_unheard += usize::from(first.is_some());
    }
    Ok((heard.open.len(), done_unheard))
}
