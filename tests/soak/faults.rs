//! What goes wrong during the run.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::world::World;

const FROZEN: Duration = Duration::from_millis(1_500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    KillService,
    FreezeService,
    KillBus,
    FreezeBus,
}

/// In this order, again and again.
const IN_TURN: [Fault; 4] = [
    Fault::KillService,
    Fault::FreezeBus,
    Fault::KillBus,
    Fault::FreezeService,
];

impl Fault {
    /// The fault number `number`. A service that is killed every few minutes has no memory to grow: so
    /// that is done early (`is_early`) only, and once at the end.
    pub(crate) fn of_turn(number: usize, is_early: bool) -> Fault {
        let fault = IN_TURN[number % IN_TURN.len()];
        match fault == Fault::KillService && !is_early {
            true => Fault::KillBus,
            false => fault,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::KillService => "kill -9 of the service",
            Fault::FreezeService => "SIGSTOP of the service, 1.5 s",
            Fault::KillBus => "kill -9 of nats-server",
            Fault::FreezeBus => "SIGSTOP of nats-server, 1.5 s",
        }
    }

    /// Lets it happen and pass.
    pub(crate) fn happen(self, world: &mut World) {
        match self {
            Fault::KillService => {
                world.service.kill();
                world.service.start_again();
            }
            Fault::FreezeService => {
                signal(world.service.pid(), Signal::STOP);
                world.let_pass(FROZEN);
                signal(world.service.pid(), Signal::CONT);
            }
            Fault::KillBus => {
                world.server.kill();
                world.server.start_again();
            }
            Fault::FreezeBus => {
                world.server.pause();
                world.let_pass(FROZEN);
                world.server.resume();
            }
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), signal).expect("our own child takes signals");
}
