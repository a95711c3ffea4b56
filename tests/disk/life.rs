//! One life of the process on a bad disk, under load, and the start on a good one after it.

use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use profile_tests::promises::client::Heard;
use profile_tests::promises::world::World;
use profile_tests::service::Signal;

use crate::shim::{BadDisk, Power};

/// How a life comes to its end, when no rule ends it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A rule kills the process or cuts the power: if none does, that is an error.
    ByRule,
    /// SIGTERM, some answers after the start; rules with an `@` count from there.
    Stopped,
    /// SIGKILL, some answers after the start.
    Killed,
    /// SIGTERM some answers after a rule came due, unless the process must end by itself.
    StoppedAfterFault,
    /// The same with SIGKILL.
    KilledAfterFault,
}

impl End {
    fn signal(self) -> Signal {
        match self {
            End::Killed | End::KilledAfterFault => Signal::KILL,
            End::ByRule | End::Stopped | End::StoppedAfterFault => Signal::TERM,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) rules: String,
    pub(crate) seed: u64,
    pub(crate) power: Power,
    pub(crate) end: End,
}

/// What is told of a life.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// What it logged.
    pub(crate) log: String,
    pub(crate) heard: Heard,
    pub(crate) got_ready: bool,
    pub(crate) ended_by_itself: bool,
    /// SIGKILL was on its way before any rule was seen to come due: what the process makes of one that
    /// came due since is not known.
    pub(crate) killed_before_fault: bool,
}

impl Ended {
    /// What the shim says of the first rule that came due.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.log.lines().find(|line| is_fault(line))
    }
}

const ANSWERS: u64 = 25;
const ANSWERS_AFTER_FAULT: u64 = 8;
/// Some calls are rare, or came before the load.
const ANSWERS_WITHOUT_FAULT_MAX: u64 = 800;
/// A rule that is not due in this time is never due. Longer than any silence of the service.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl Life {
    /// Lives it, starts the process on a good disk again, and checks every promise.
    ///
    /// # Errors
    /// What is broken, with everything that is needed to see it again.
    pub(crate) fn live(&self, world: &mut World) -> Result<Ended, String> {
        let ended = self.live_only(world);
        let told = |broken: String| format!("{self:?}: {broken}\nBefore it:\n{}", ended.log);
        if self.end == End::ByRule && ended.fault().is_none() {
            return Err(told("no rule came due".to_owned()));
        }
        world.service.try_start_again().map_err(told)?;
        world.recover(&ended.heard).map_err(told)?;
        Ok(ended)
    }

    /// The life alone; the service is not running after it.
    pub(crate) fn live_only(&self, world: &mut World) -> Ended {
        let disk = BadDisk::new(&world.service, &self.rules, self.seed, self.power);
        let logged_before = world.service.log().len();
        let mut run = Run::start(world, &disk);
        run.until(|run| run.is_ready);
        let heard = match run.is_ready {
            true => self.under_load(world, &mut run, &disk),
            false => Heard::default(),
        };
        // All its words are there when the channel is closed.
        assert!(
            run.is_over,
            "{self:?}: profiled hangs:\n{}",
            world.service.log()
        );
        let status = world.service.ended();
        let log = world.service.log()[logged_before..].to_owned();
        Ended {
            status,
            log,
            heard,
            got_ready: run.is_ready,
            ended_by_itself: !run.is_signalled,
            killed_before_fault: run.killed_before_fault,
        }
    }

    fn under_load(&self, world: &mut World, run: &mut Run, disk: &BadDisk) -> Heard {
        let clients = world.load(&format!("s{}", self.seed));
        match self.end {
            End::ByRule => run.until(|_| false),
            End::Stopped | End::Killed => {
                let enough = acked(world) + ANSWERS;
                run.until(|_| acked(world) >= enough);
                disk.arm();
                world.service.signal(self.end.signal());
            }
            End::StoppedAfterFault | End::KilledAfterFault => {
                let enough = acked(world) + ANSWERS_WITHOUT_FAULT_MAX;
                run.until(|run| run.fault.is_some() || acked(world) >= enough);
                if run.fault.as_deref().is_some_and(is_of_the_log) {
                    run.until(|_| false);
                }
                // Refusals count too: a service that takes nothing is as good an end.
                let answers = |world: &World| acked(world) + world.answers.borrow().refused;
                let enough = answers(world) + ANSWERS_AFTER_FAULT;
                run.until(|_| answers(world) >= enough);
                run.is_signalled = !run.is_over;
                run.killed_before_fault =
                    run.fault.is_none() && self.end == End::KilledAfterFault && !run.is_over;
                world.service.signal(self.end.signal());
            }
        }
        run.until(|_| false);
        world.tell(|signal| signal.killed = true);
        world.join(clients)
    }
}

fn acked(world: &World) -> u64 {
    world.answers.borrow().acked
}

/// Whether a fault is one after which it is not known what the log holds: the process must end by itself.
pub(crate) fn is_of_the_log(fault: &str) -> bool {
    let is_segment = fault.contains(" data/log/") && fault.contains(".seg: ");
    let is_error = ["eio", "torn", "enospc"]
        .iter()
        .any(|error| fault.contains(error));
    let is_content = fault.contains(" write ") || fault.contains(" sync ");
    is_error && (is_segment && is_content || fault.contains(" syncdir data/log: "))
}

/// The words of a process as they come.
pub(crate) struct Run {
    lines: Receiver<String>,
    fault: Option<String>,
    pub(crate) is_ready: bool,
    pub(crate) is_over: bool,
    /// We have ended it.
    is_signalled: bool,
    killed_before_fault: bool,
}

impl Run {
    pub(crate) fn start(world: &mut World, disk: &BadDisk) -> Run {
        Run {
            lines: world.service.start_unready_under(&disk.environment()),
            fault: None,
            is_ready: false,
            is_over: false,
            is_signalled: false,
            killed_before_fault: false,
        }
    }

    /// Until the condition holds, or the process has ended, or for as long as patience lasts.
    pub(crate) fn until(&mut self, mut holds: impl FnMut(&Run) -> bool) {
        let looks_max = PATIENCE.as_millis() / LOOK_EVERY.as_millis();
        for _ in 0..looks_max {
            if self.is_over || holds(self) {
                return;
            }
            self.look();
        }
    }

    /// The next line, if one comes soon.
    pub(crate) fn look(&mut self) {
        match self.lines.recv_timeout(LOOK_EVERY) {
            Ok(line) => {
                self.is_ready |= line.contains("\"message\":\"ready\"");
                if self.fault.is_none() && is_fault(&line) {
                    self.fault = Some(line);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.is_over = true,
        }
    }
}

fn is_fault(line: &str) -> bool {
    line.starts_with("disk: call ") && !line.contains(": lie (")
}
