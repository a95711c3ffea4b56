//! The real process under load, killed and stopped again and again on the same data.
//!
//! `ROUNDS=N` sets the number of rounds, `SEED=N` replays the moments of a run.

mod canary;
mod restart;

use profile_tests::promises::world::{World, number, seed};

const ROUNDS_DEFAULT: u64 = 100;
/// Every unclean start begins a segment file, and nothing deletes them: a new world takes less space.
const ROUNDS_PER_WORLD: u64 = 100;
const KILLED_WITHIN_MS: u32 = 60;
/// In every so many rounds the process is killed once more, while it recovers.
const KILLED_IN_RECOVERY_EVERY: u64 = 4;

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let (rounds, seed) = (number("ROUNDS").unwrap_or(ROUNDS_DEFAULT), seed());
    eprintln!("{rounds} rounds, SEED={seed}");
    let (mut open, mut done) = (0, 0);
    for first in (0..rounds).step_by(ROUNDS_PER_WORLD as usize) {
        let mut world = World::new(seed.wrapping_add(first));
        for round in first..rounds.min(first + ROUNDS_PER_WORLD) {
            let (open_now, done_now) = killed_once(&mut world, round)
                .unwrap_or_else(|broken| panic!("round {round} of SEED={seed}: {broken}"));
            open += open_now;
            done += done_now;
        }
        let changes = world
            .check_all()
            .unwrap_or_else(|broken| panic!("rounds from {first} of SEED={seed}: {broken}"));
        assert_eq!(changes, world.heard.acked.len());
        eprintln!("from round {first}: {changes} changes");
    }
    eprintln!("{open} commands were open at a kill, {done} of them done");
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
    let done_unheard = world.recover(&heard)?;
    Ok((heard.open.len(), done_unheard))
}
