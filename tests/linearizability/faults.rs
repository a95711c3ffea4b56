//! What goes wrong and when, drawn from the seed.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rustix::process::{Pid, Signal, kill_process};

use crate::plan::below;
use crate::world::World;

/// Longer than the clients wait, so that operations stay open.
const FROZEN_MS_MIN: u64 = 200;
const FROZEN_MS_MAX: u64 = 700;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// kill -9 of the service, or of one node, and its next start.
    KillService(usize),
    /// SIGSTOP, later SIGCONT.
    FreezeService(usize, Duration),
    FreezeBus(Duration),
    /// kill -9 of nats-server, and its next start.
    KillBus,
    /// Both are gone at once.
    KillBoth(usize),
}

/// A fault, and after how many operations it comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) after_operations: u64,
    pub(crate) fault: Fault,
}

/// `count` faults over `operations`, each at a random place of its part.
pub(crate) fn schedule(rng: &mut ChaCha8Rng, operations: u64, count: u64) -> Vec<Planned> {
    let part = operations / (count + 1);
    let planned = (0..count).map(|number| Planned {
        after_operations: part * number + part / 4 + below(rng, part.max(1)),
        fault: fault(rng),
    });
    planned.collect()
}

fn fault(rng: &mut ChaCha8Rng) -> Fault {
    let range_ms = FROZEN_MS_MAX - FROZEN_MS_MIN;
    let frozen = Duration::from_millis(FROZEN_MS_MIN + below(rng, range_ms));
    let node = below(rng, 60) as usize;
    match below(rng, 10) {
        0..4 => Fault::KillService(node),
        4..6 => Fault::FreezeService(node, frozen),
        6 | 7 => Fault::FreezeBus(frozen),
        8 => Fault::KillBus,
        _ => Fault::KillBoth(node),
    }
}

impl Fault {
    /// Lets it happen and pass.
    pub(crate) fn happen(self, world: &mut World) {
        match self {
            Fault::KillService(node) => {
                world.node(node).kill();
                world.node(node).start_again();
            }
            Fault::FreezeService(node, how_long) => {
                let pid = world.node(node).pid();
                signal(pid, Signal::STOP);
                world.let_pass(how_long);
                signal(pid, Signal::CONT);
            }
            Fault::FreezeBus(how_long) => {
                world.server.pause();
                world.let_pass(how_long);
                world.server.resume();
            }
            Fault::KillBus => {
                world.server.kill();
                world.server.start_again();
            }
            Fault::KillBoth(node) => {
                world.server.kill();
                world.node(node).kill();
                world.server.start_again();
                world.node(node).start_again();
            }
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), signal).expect("our own child takes signals");
}
