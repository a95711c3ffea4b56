//! The child process: found, started, listened to, and ended by its own pid.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::NatsUser;
use crate::repository;

/// One line that the server logged.
pub type LogLine = String;

const START_OR_STOP_SECONDS_MAX: u64 = 10;
const LOG_LINES_KEPT_MAX: usize = 200;

/// How a server is to be started.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// Another one than the tests' own.
    pub(crate) program: Option<&'a Path>,
    pub(crate) config: &'a Path,
    pub(crate) store: &'a Path,
    /// The port is one of a `HeldPort`, or alone in its namespace.
    pub(crate) address: SocketAddr,
    /// The network namespace, if it is not ours.
    pub(crate) namespace: Option<&'a str>,
    pub(crate) arguments: &'a [String],
}

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<VecDeque<LogLine>>>,
    /// Every line as it comes, until somebody stops listening; closed when the process has ended.
    lines: Receiver<LogLine>,
    version: (u32, u32),
    monitoring: String,
}

impl Process {
    /// Starts the server and waits for its "ready".
    pub(crate) fn start(launch: &Launch<'_>) -> Self {
        let program = launch.program.unwrap_or_else(|| program());
        let mut command = match launch.namespace {
            // It becomes what it runs: the process id is the server's.
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command
            .arg("-c")
            .arg(launch.config)
            .arg("-sd")
            .arg(launch.store);
        let (ip, port) = (launch.address.ip(), launch.address.port());
        command.args(["-a", &ip.to_string(), "-m", "-1", "-p", &port.to_string()]);
        command.args(launch.arguments);
        for user in NatsUser::ALL.into_iter().chain([NatsUser::ConsumerOrg1]) {
            command.env(user.password_variable(), user.password());
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("nats-server can be started");
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, lines) = channel();
        let stderr = child.stderr.take().expect("stderr is piped");
        let log_for_reader = Arc::clone(&log);
        // Reads to the end, also when nobody listens any more: a full pipe would stop the server.
        thread::spawn(move || keep_lines(stderr, &log_for_reader, &sender));
        let mut process = Self {
            child,
            log,
            lines,
            version: (0, 0),
            monitoring: String::new(),
        };
        process.await_ready();
        process
    }

    /// SIGTERM, then waits for the end.
    pub(crate) fn terminate(mut self) {
        self.resume();
        self.signal(Signal::TERM);
        while self.next_line().is_some() {}
        self.child.wait().expect("the server can be waited for");
    }

    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        // The signal reaches one thread after the other: wait until the last of them stands still.
        let child = WaitId::Pid(Pid::from_child(&self.child));
        waitid(child, WaitIdOptions::STOPPED).expect("our own child can be waited for");
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    pub(crate) fn log(&self) -> Vec<LogLine> {
        self.log
            .lock()
            .expect("the log is not poisoned")
            .iter()
            .cloned()
            .collect()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn version(&self) -> (u32, u32) {
        self.version
    }

    pub(crate) fn monitoring_url(&self) -> String {
        format!("http://{}", self.monitoring)
    }

    fn await_ready(&mut self) {
        while let Some(line) = self.next_line() {
            if let Some((_, version)) = line.split_once("Version:  ") {
                self.version = major_minor(version);
            }
            if let Some((_, address)) = line.split_once("Starting http monitor on ") {
                address.clone_into(&mut self.monitoring);
            }
            if line.ends_with("Server is ready") {
                return;
            }
        }
        panic!(
            "nats-server ended before it was ready:\n{}",
            self.log().join("\n")
        );
    }

    /// The next line of the log; `None` at its end.
    fn next_line(&self) -> Option<LogLine> {
        match self
            .lines
            .recv_timeout(Duration::from_secs(START_OR_STOP_SECONDS_MAX))
        {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!(
                    "nats-server is silent for too long:\n{}",
                    self.log().join("\n")
                )
            }
        }
    }

    fn signal(&self, signal: Signal) {
        // Ours until it is waited for, so the number cannot belong to anybody else.
        kill_process(Pid::from_child(&self.child), signal).expect("our own child takes signals");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only for a child that has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keep_lines(stderr: ChildStderr, log: &Mutex<VecDeque<LogLine>>, lines: &Sender<LogLine>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let mut kept = log.lock().expect("the log is not poisoned");
        if kept.len() == LOG_LINES_KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(line.clone());
        drop(kept);
        let _ = lines.send(line);
    }
}

/// `2.15.1` -> `(2, 15)`.
fn major_minor(version: &str) -> (u32, u32) {
    let mut numbers = version
        .split('.')
        .map(|number| number.parse().expect("a version number"));
    (
        numbers.next().expect("major"),
        numbers.next().expect("minor"),
    )
}

/// The nats-server to use, found once for a test binary.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let output = Command::new(repository::file("tools/nats-server.sh"))
            .output()
            .expect("tools/nats-server.sh can be started");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end())
    })
}
