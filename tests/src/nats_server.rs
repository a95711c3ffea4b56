//! A real nats-server as a child process: its own port, its own store, gone when dropped.
//!
//! By default it runs `config/nats-server.conf`, the file that is shipped, so that every test also
//! tests the permissions in it.

mod process;
mod users;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use process::LogLine;
pub use users::{Connection, NatsUser};

use tokio::runtime::{Builder, Runtime};

use crate::bus::Bus;
use crate::ports::HeldPort;
use crate::repository;
use crate::temp_dir::TempDir;
pub(crate) use process::{Launch, Process};

/// Where the list of users begins in the shipped configuration.
const USERS: &str = "  users: [\n";

/// Who may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The users of `config/nats-server.conf` with their permissions.
    Shipped,
    /// Anybody may do anything: for tests of one part against a bus.
    Open,
}

#[derive(Clone, Debug)]
pub struct ServerOptions {
    pub access: Access,
    /// Lines of configuration behind the rest, for example `max_payload: 8KB`.
    pub extra_config: String,
    /// A subject that is taken out of the shipped permissions.
    pub without_permission: Option<String>,
    /// Text of the configuration and what takes its place.
    pub replaced: Vec<(&'static str, String)>,
    /// Further users of the shipped configuration, as it has them: `{ user: ... }`.
    pub extra_users: String,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            access: Access::Shipped,
            extra_config: String::new(),
            without_permission: None,
            replaced: Vec::new(),
            extra_users: String::new(),
        }
    }
}

impl ServerOptions {
    pub fn open() -> Self {
        Self {
            access: Access::Open,
            ..Self::default()
        }
    }
}

/// A running (or, after [`NatsServer::stop`], stopped) server with JetStream.
///
/// Its methods block for as long as the server takes, at most ten seconds, then panic with its log.
#[derive(Debug)]
pub struct NatsServer {
    // Dropped in this order: the process goes before its folder does.
    process: Option<Process>,
    options: ServerOptions,
    port: HeldPort,
    folder: TempDir,
}

impl NatsServer {
    /// Starts a server with an empty store and waits until it is ready.
    ///
    /// # Panics
    /// When no nats-server can be had (the advice of `tools/nats-server.sh`) or it does not start.
    pub fn start(options: ServerOptions) -> Self {
        let mut server = Self {
            process: None,
            options,
            port: HeldPort::take(),
            folder: TempDir::create(),
        };
        server.start_again();
        server
    }

    /// Starts a stopped server again, with the same port and store.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server runs already");
        let config = self.folder.join("nats-server.conf");
        fs::write(&config, self.config()).expect("the configuration can be written");
        let store = self.store();
        self.process = Some(Process::start(&Launch {
            program: None,
            config: &config,
            store: &store,
            address: self.port.address(),
            namespace: None,
            arguments: &[],
        }));
    }

    /// The same for a test that is not async, with the runtime that its clients run on: the harness holds
    /// the server's port with a socket that needs one.
    pub fn start_with_runtime() -> (Runtime, NatsServer) {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let server = runtime.block_on(async { NatsServer::start(ServerOptions::default()) });
        (runtime, server)
    }

    /// Ends the server in order (SIGTERM) and waits until it is gone. Port and store stay.
    pub fn stop(&mut self) {
        self.process.take().expect("the server runs").terminate();
    }

    /// Ends the server at once (SIGKILL). Port and store stay.
    pub fn kill(&mut self) {
        drop(self.process.take().expect("the server runs"));
    }

    /// [`NatsServer::stop`], then [`NatsServer::start_again`].
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Freezes the server (SIGSTOP): connections stay open and nothing answers.
    pub fn pause(&self) {
        self.running().pause();
    }

    /// Thaws a frozen server (SIGCONT).
    pub fn resume(&self) {
        self.running().resume();
    }

    /// Empties the store of a stopped server, as losing its volume would.
    pub fn wipe_store(&self) {
        assert!(self.process.is_none(), "stop the server first");
        fs::remove_dir_all(self.store()).expect("the store can be removed");
    }

    /// The folder of its JetStream store; to be touched only while the server is stopped.
    pub fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// `nats://127.0.0.1:PORT`, without credentials.
    pub fn url(&self) -> String {
        format!("nats://{}", self.port.address())
    }

    /// The address of its HTTP monitoring, for `/healthz`, `/connz`, `/jsz`.
    pub fn monitoring_url(&self) -> String {
        self.running().monitoring_url()
    }

    /// The process id, for a look at what it takes.
    pub fn pid(&self) -> u32 {
        self.running().pid()
    }

    /// `(major, minor)` of the program in use.
    pub fn version(&self) -> (u32, u32) {
        self.running().version()
    }

    /// The last lines of its log.
    pub fn log(&self) -> Vec<LogLine> {
        self.running().log()
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the server runs")
    }

    fn config(&self) -> String {
        let base = match self.options.access {
            Access::Shipped => self.shipped(),
            Access::Open => {
                "host: 127.0.0.1\njetstream { sync_interval: \"1s\" }\nhttp: \"127.0.0.1:8222\"\n"
                    .to_owned()
            }
        };
        let base = self.replaced(base);
        format!("{base}\n{}\n", self.options.extra_config)
    }

    fn replaced(&self, config: String) -> String {
        let replaced = self.options.replaced.iter();
        replaced.fold(config, |config, (text, instead)| {
            assert!(config.contains(text), "{text} is not in the file");
            config.replace(text, instead)
        })
    }

    fn shipped(&self) -> String {
        let file = repository::file("config/nats-server.conf");
        let mut config = fs::read_to_string(file).expect("config/nats-server.conf");
        if let Some(subject) = &self.options.without_permission {
            let quoted = format!("\"{subject}\"");
            assert!(config.contains(&quoted), "{subject} is not in the file");
            config = config.replace(&quoted, "");
        }
        let users = format!("{USERS}\n{}\n", self.options.extra_users);
        assert!(config.contains(USERS), "the list of users is in the file");
        config.replacen(USERS, &users, 1)
    }
}

impl Bus for NatsServer {
    fn urls(&self) -> Vec<String> {
        vec![self.url()]
    }
}

#[cfg(test)]
mod tests;
