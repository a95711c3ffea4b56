//! The real `profiled` as a child process, with its own data directory and its own token key.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use profilectl::token::{SigningKey, init_keys};
pub use rustix::process::Signal;
use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;
use tokio::time::Instant;

use crate::bus::Bus;
use crate::nats_server::{NatsServer, NatsUser};
use crate::temp_dir::TempDir;

/// Issuer and audience of every token that the harness mints.
pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "profile";

/// How long what is waited for may take, whatever else is logged meanwhile.
const LOGGED_WITHIN: Duration = Duration::from_secs(300);
const READY: &str = "\"message\":\"ready\"";
/// A nats-server sets the bytes of a stream aside on its disk, or refuses the stream: the 10 GiB of
/// `config/default.toml` are more than some machines have left. An `extra` with this section says its own.
const SMALL_STREAM: &str = "[relay]\nmax_bytes = 268_435_456\n";
const END_WITHIN: Duration = Duration::from_secs(60);

/// A running (or, after [`Service::kill`] or [`Service::stop`], ended) service.
///
/// Its methods block for as long as the service takes, minutes at most, then panic with its log.
#[derive(Debug)]
pub struct Service {
    // Dropped in this order: the process goes before its folder does.
    child: Option<Child>,
    key: Arc<SigningKey>,
    log: Arc<Mutex<Vec<String>>>,
    /// Of the network in which it runs, if that is not ours.
    namespace: Option<String>,
    /// Of a former release.
    program: Option<PathBuf>,
    folder: TempDir,
}

impl Service {
    /// Starts the service on `bus` with an empty data directory and waits until it is ready.
    /// `extra` is configuration (TOML, whole sections).
    pub fn start(bus: &impl Bus, extra: &str) -> Service {
        let mut service = Service::prepared(bus, extra);
        service.start_again();
        service
    }

    /// Everything but the process: for a test of what makes it refuse to start.
    pub fn prepared(bus: &impl Bus, extra: &str) -> Service {
        let urls = bus.urls();
        // A frozen server is left for another one soon, as docs/scale-out.md advises.
        let nats = match urls.len() {
            1 => "",
            _ => "ping_interval_ms = 1_000",
        };
        Service::prepared_at(&urls.join("\", \""), nats, extra)
    }

    /// The same on a bus that is reached by `url`; `nats` is lines of the section of that name.
    pub fn prepared_at(url: &str, nats: &str, extra: &str) -> Service {
        let folder = TempDir::create();
        let key = Arc::new(init_keys(&folder.join("keys")).expect("a key can be made"));
        let relay = if extra.contains("[relay]") {
            ""
        } else {
            SMALL_STREAM
        };
        let config = config(url, nats, &folder, &format!("{extra}\n{relay}"));
        fs::write(folder.join("profiled.toml"), config).expect("the folder can be written");
        Service {
            child: None,
            key,
            log: Arc::default(),
            namespace: None,
            program: None,
            folder,
        }
    }

    /// A further node of the same store: a data directory of its own, and the same tokens.
    pub fn prepared_beside(&self, bus: &impl Bus, extra: &str) -> Service {
        let mut service = Service::prepared(bus, extra);
        for file in fs::read_dir(self.folder.join("keys")).expect("the keys are there") {
            let file = file.expect("the keys can be listed");
            let to = service.folder.join("keys").join(file.file_name());
            fs::copy(file.path(), to).expect("a key can be copied");
        }
        service.key = Arc::clone(&self.key);
        service
    }

    /// From its next start on it is this program, or that of this workspace.
    pub fn run(&mut self, program: Option<PathBuf>) {
        self.program = program;
    }

    /// From its next start on it runs in this network namespace.
    pub fn move_to(&mut self, namespace: &str) {
        self.namespace = Some(namespace.to_owned());
    }

    /// The same without anybody who may mint tokens.
    pub fn prepared_without_issuer(server: &NatsServer) -> Service {
        let service = Service::prepared(server, "");
        let file = service.folder.join("profiled.toml");
        let config = fs::read_to_string(&file).expect("the file is there");
        let (rest, _) = config
            .split_once("[[auth.issuers]]")
            .expect("an issuer is configured");
        fs::write(file, rest).expect("the folder can be written");
        service
    }

    /// Starts the process again on the same data and waits until it is ready.
    pub fn start_again(&mut self) {
        self.try_start_again()
            .unwrap_or_else(|log| panic!("profiled ended:\n{log}"));
    }

    /// The same where it may refuse.
    ///
    /// # Errors
    /// The log of a process that has ended.
    pub fn try_start_again(&mut self) -> Result<(), String> {
        self.try_start_under(&[])
    }

    /// [`Service::start_again`] with these environment variables and no others.
    pub fn start_under(&mut self, environment: &[(&str, String)]) {
        self.try_start_under(environment)
            .unwrap_or_else(|log| panic!("profiled ended:\n{log}"));
    }

    fn try_start_under(&mut self, environment: &[(&str, String)]) -> Result<(), String> {
        let lines = self.start_unready_under(environment);
        if self.logged(&lines, |line| line.contains(READY)).is_some() {
            return Ok(());
        }
        self.ended();
        Err(self.log())
    }

    /// The first line that is looked for; `None` when the process has ended without.
    fn logged(&self, lines: &Receiver<String>, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let until = Instant::now() + LOGGED_WITHIN;
        loop {
            match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if wanted(&line) => return Some(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("profiled hangs:\n{}", self.log()),
            }
        }
    }

    /// Starts the process again on the same data and does not wait; gives the lines that it logs.
    pub fn start_unready(&mut self) -> Receiver<String> {
        self.start_unready_under(&[])
    }

    /// The same with these environment variables and no others.
    pub fn start_unready_under(&mut self, environment: &[(&str, String)]) -> Receiver<String> {
        let (child, lines) = self.spawn(environment);
        self.child = Some(child);
        lines
    }

    /// Waits for the end of a process that ends by itself.
    pub fn ended(&mut self) -> ExitStatus {
        self.ended_within(END_WITHIN)
            .unwrap_or_else(|| self.hangs())
    }

    /// Kills what does not end, so that it does not outlive the test.
    fn hangs(&mut self) -> ! {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
        }
        panic!("profiled does not end:\n{}", self.log());
    }

    /// Sends a signal, where `stop` and `kill` would wait; [`Service::ended`] waits for the end.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the service runs");
        // Of a child that nobody has waited for, the id is not given to another.
        kill_process(Pid::from_child(child), signal).expect("our own child takes signals");
    }

    /// Starts the process again on the same data and waits until it has logged `text`, as the first
    /// of the two: it must not get ready before.
    pub fn start_until_logged(&mut self, text: &str) -> Receiver<String> {
        let lines = self.start_unready();
        match self.logged(&lines, |line| line.contains(text) || line.contains(READY)) {
            Some(line) if line.contains(text) => lines,
            Some(_) => panic!("profiled got ready:\n{}", self.log()),
            None => panic!("profiled ended:\n{}", self.log()),
        }
    }

    /// Starts a process that is expected to end by itself; returns how, the log tells why.
    pub fn start_and_end(&mut self) -> ExitStatus {
        // Beside a process that may run on the same data.
        let (mut child, lines) = self.spawn(&[]);
        let is_ready = self.logged(&lines, |line| line.contains(READY)).is_some();
        let ended = if is_ready {
            None
        } else {
            end_of(&mut child, END_WITHIN)
        };
        ended.unwrap_or_else(|| {
            let _ = child.kill();
            panic!("profiled got ready, or does not end:\n{}", self.log())
        })
    }

    /// SIGKILL: nothing is closed.
    pub fn kill(&mut self) {
        let Some(child) = self.child.as_mut() else {
            return;
        };
        child.kill().expect("our own child takes signals");
        if self.ended_within(END_WITHIN).is_none() && !thread::panicking() {
            self.hangs();
        }
    }

    /// SIGTERM, as an orchestrator does it; returns after the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// SIGTERM, then [`Service::ended_within`].
    pub fn stop_within(&mut self, bound: Duration) -> Option<ExitStatus> {
        let child = self.child.as_ref().expect("the service runs");
        kill_process(Pid::from_child(child), Signal::TERM).expect("our own child takes signals");
        self.ended_within(bound)
    }

    /// How the process ended, by itself; `None` if it still runs after `bound`.
    pub fn ended_within(&mut self, bound: Duration) -> Option<ExitStatus> {
        let status = end_of(self.child.as_mut().expect("the service runs"), bound)?;
        self.child = None;
        Some(status)
    }

    /// Whether `profiled health` with this service's configuration finds it alive.
    pub fn is_healthy(&self) -> bool {
        let mut command = self.command();
        command.arg("health").stderr(Stdio::null());
        command.status().expect("profiled can be started").success()
    }

    /// What `profilectl doctor` finds with this service's configuration, as JSON; its exit code says whether
    /// one of the findings is an error.
    pub fn doctor(&self, nats_monitor: Option<&str>) -> Vec<Value> {
        let mut command = Command::new(binary("profilectl"));
        command.env_clear().args(["doctor", "--json", "--config"]);
        command.arg(self.folder.join("profiled.toml"));
        if let Some(url) = nats_monitor {
            command.args(["--nats-monitor", url]);
        }
        let output = command.output().expect("profilectl can be started");
        let findings: Vec<Value> = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        let has_errors = findings
            .iter()
            .any(|finding| finding["severity"] == "error");
        assert_eq!(output.status.success(), !has_errors, "{findings:?}");
        findings
    }

    /// The process id, for a look at its memory.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the service runs").id()
    }

    /// Everything that was logged so far, over all starts.
    pub fn log(&self) -> String {
        self.log.lock().expect("the log is not poisoned").join("\n")
    }

    /// Where the HTTP port of the last start listens; its configuration asks for one.
    pub fn http(&self) -> SocketAddr {
        self.port_of("http")
    }

    /// The same of the monitoring port.
    pub fn monitoring(&self) -> SocketAddr {
        self.port_of("monitoring")
    }

    fn port_of(&self, port: &str) -> SocketAddr {
        let log = self.log.lock().expect("the log is not poisoned");
        let ready = log.iter().rfind(|line| line.contains(READY));
        let ready: Value = serde_json::from_str(ready.expect("the service was ready once"))
            .expect("a line of the log is JSON");
        let address = ready["fields"][port].as_str();
        let address = address.expect("the service was told to listen");
        address.parse().expect("an address with a port")
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The folder that holds the data directory, the keys and the configuration.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The key whose tokens the service accepts.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    fn command(&self) -> Command {
        let profiled = self.program.clone();
        let profiled = profiled.unwrap_or_else(|| binary("profiled"));
        let mut command = match &self.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]);
                command.arg(profiled);
                command
            }
            None => Command::new(profiled),
        };
        command
            .arg("--config")
            .arg(self.folder.join("profiled.toml"));
        command
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    fn spawn(&self, environment: &[(&str, String)]) -> (Child, Receiver<String>) {
        let mut command = self.command();
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stderr(Stdio::piped());
        let mut child = command.spawn().expect("profiled can be started");
        let stderr = child.stderr.take().expect("stderr is piped");
        let (sender, lines) = channel();
        let log = Arc::clone(&self.log);
        // Reads to the end, also when nobody listens any more: a full pipe would stop the service.
        thread::spawn(move || keep_lines(stderr, &log, &sender));
        (child, lines)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a child ended; `None` if it still runs after `bound`.
fn end_of(child: &mut Child, bound: Duration) -> Option<ExitStatus> {
    let pid = Pid::from_child(child);
    let (sender, ended) = channel();
    // Ends with the process; its exit stays to be taken below.
    thread::spawn(move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = sender.send(waitid(WaitId::Pid(pid), options).is_ok());
    });
    ended.recv_timeout(bound).ok()?;
    Some(child.wait().expect("our own child can be waited for"))
}

/// A binary of this workspace, as `make test` builds it beside the tests.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let folder = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("target/<profile>/deps");
    let binary = folder.join(name);
    assert!(
        binary.exists(),
        "{name} is not built: run `make test`, or `cargo build --bins` first"
    );
    binary
}

fn config(url: &str, nats: &str, folder: &TempDir, extra: &str) -> String {
    let (ingress, egress) = (NatsUser::Ingress, NatsUser::Egress);
    let (data, jwks) = (folder.join("data"), folder.join("keys").join("jwks.json"));
    format!(
        r#"
data_dir = "{data}"

[nats]
urls = ["{url}"]
{nats}

[nats.ingress]
user = "{ingress}"
password = "{ingress_password}"

[nats.egress]
user = "{egress}"
password = "{egress_password}"

[[auth.issuers]]
issuer = "{ISSUER}"
audiences = ["{AUDIENCE}"]
algorithms = ["EdDSA"]
jwks_file = "{jwks}"

{extra}
"#,
        data = data.display(),
        jwks = jwks.display(),
        ingress = ingress.name(),
        ingress_password = ingress.password(),
        egress = egress.name(),
        egress_password = egress.password(),
    )
}

fn keep_lines(stderr: ChildStderr, log: &Mutex<Vec<String>>, sender: &Sender<String>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        log.lock()
            .expect("the log is not poisoned")
            .push(line.clone());
        let _ = sender.send(line);
    }
}
