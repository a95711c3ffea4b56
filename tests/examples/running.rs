//! A program of `examples` as a child process: what it prints, within a bound.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use profile_tests::service::Signal;
use rustix::process::{Pid, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a program printed until it ended by itself.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Printed {
    /// The output of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> &str {
        assert!(self.status.success(), "{self:?}");
        &self.stdout
    }
}

pub(crate) async fn run(command: &mut Command) -> Printed {
    command.kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("does not end: {command:?}"));
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Printed {
        status: output.status,
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// A program that runs until it is told to end.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it printed so far.
    pub(crate) printed: Vec<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Running {
        command.kill_on_drop(true).stdout(Stdio::piped());
        let spawned = command.spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().expect("stdout is piped");
        Running {
            child,
            lines: BufReader::new(stdout).lines(),
            printed: Vec::new(),
        }
    }

    /// Reads until a line begins with `start`.
    pub(crate) async fn until(&mut self, start: &str) {
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("no line {start}: {:?}", self.printed));
            let line = line.expect("lines of text");
            let line = line.unwrap_or_else(|| panic!("ended before {start}: {:?}", self.printed));
            self.printed.push(line);
            if self.printed.iter().any(|line| line.starts_with(start)) {
                return;
            }
        }
    }

    /// The events that it says it applied, in their order.
    pub(crate) fn applied(&self) -> Vec<&str> {
        let lines = self.printed.iter();
        let applied = lines.filter_map(|line| line.strip_prefix("applied "));
        applied.filter_map(|line| line.split(' ').next()).collect()
    }

    pub(crate) async fn kill(&mut self) {
        self.child
            .kill()
            .await
            .expect("our own child takes signals");
    }

    /// SIGTERM; then what it printed last, and how it ended.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        let pid = pid.and_then(Pid::from_raw).expect("the program runs");
        kill_process(pid, Signal::TERM).expect("our own child takes signals");
        while let Ok(Ok(Some(line))) = timeout(PATIENCE, self.lines.next_line()).await {
            self.printed.push(line);
        }
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let ended = ended.unwrap_or_else(|_| panic!("does not end: {:?}", self.printed));
        ended.expect("our own child can be waited for")
    }
}
