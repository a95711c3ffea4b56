//! PostgreSQL: the change as an event and the state after it, in one transaction, told by NOTIFY.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use profile_tests::ports::HeldPort;
use profile_tests::temp_dir::TempDir;
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls, Statement};

use super::nats::{update_of, user_id};
use crate::load::Call;

/// Where Debian keeps the programs of PostgreSQL 15.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// PostgreSQL refuses to run as root: then it runs as the user that Debian's package makes.
const USER: &str = "postgres";
const CONNECTIONS_MAX: usize = 300;
const START_TRIES: usize = 200;

const TABLES: &str = "
    CREATE TABLE event (user_id text, version bigint, body jsonb, PRIMARY KEY (user_id, version));
    CREATE TABLE profile (user_id text PRIMARY KEY, version bigint NOT NULL, body jsonb NOT NULL);";
const UPSERT: &str = "
    INSERT INTO profile (user_id, version, body) VALUES ($1, 1, $2::text::jsonb)
    ON CONFLICT (user_id) DO UPDATE SET version = profile.version + 1, body = excluded.body
    RETURNING version";
const INSERT: &str = "INSERT INTO event (user_id, version, body) VALUES ($1, $2, $3::text::jsonb)";
const NOTIFY: &str = "SELECT pg_notify('profile_changed', $1)";

/// A server with its own data folder; ended with the value.
#[derive(Debug)]
pub(crate) struct Postgres {
    process: Child,
    port: HeldPort,
    _folder: TempDir,
}

/// Whether a change is told to listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    ByNotify,
    Nobody,
}

impl Postgres {
    /// `None` where Debian's postgresql-15 is not installed.
    pub(crate) async fn start() -> Option<Postgres> {
        let programs = Path::new(PROGRAMS);
        if !programs.join("postgres").exists() {
            return None;
        }
        let folder = TempDir::create();
        let data = folder.join("data");
        fs::create_dir(&data).expect("the folder can be made");
        give_away(folder.path());
        give_away(&data);
        let mut init = as_user(programs.join("initdb"));
        init.args([
            "--auth=trust",
            "--username=bench",
            "--no-instructions",
            "-D",
        ])
        .arg(&data);
        let output = init.output().expect("initdb can be started");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let port = HeldPort::take();
        let mut server = as_user(programs.join("postgres"));
        server
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-p", &port.number().to_string()]);
        for setting in [
            "unix_socket_directories=",
            "synchronous_commit=on",
            "max_connections=300",
        ] {
            server.args(["-c", setting]);
        }
        let process = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let postgres = Postgres {
            process: process.expect("postgres can be started"),
            port,
            _folder: folder,
        };
        let client = postgres.client().await;
        client
            .batch_execute(TABLES)
            .await
            .expect("the tables can be made");
        Some(postgres)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    async fn client(&self) -> Client {
        let address = format!(
            "host=127.0.0.1 port={} user=bench dbname=postgres",
            self.port.number()
        );
        let mut tries = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..START_TRIES {
            tries.tick().await;
            if let Ok((client, connection)) = tokio_postgres::connect(&address, NoTls).await {
                tokio::spawn(connection);
                return client;
            }
        }
        panic!("postgres does not answer");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Fast shutdown; the data folder goes with us.
        let _ = Command::new("kill")
            .args(["-INT", &self.process.id().to_string()])
            .status();
        let _ = self.process.wait();
    }
}

/// One connection with its statements prepared; PostgreSQL runs one transaction on it at a time.
struct Session {
    client: Client,
    upsert: Statement,
    insert: Statement,
    notify: Statement,
}

/// The transaction, with a connection for each caller.
pub(crate) struct Transaction {
    sessions: Vec<Mutex<Session>>,
    told: Told,
    /// Hears every NOTIFY.
    _listener: Option<Client>,
}

impl Transaction {
    pub(crate) async fn connect(postgres: &Postgres, callers: usize, told: Told) -> Transaction {
        let mut sessions = Vec::new();
        for _ in 0..callers.min(CONNECTIONS_MAX - 10) {
            let client = postgres.client().await;
            let prepare = async |text| client.prepare(text).await.expect("a statement");
            let (upsert, insert, notify) = (
                prepare(UPSERT).await,
                prepare(INSERT).await,
                prepare(NOTIFY).await,
            );
            sessions.push(Mutex::new(Session {
                client,
                upsert,
                insert,
                notify,
            }));
        }
        let listener = match told {
            Told::ByNotify => {
                let client = postgres.client().await;
                client
                    .batch_execute("LISTEN profile_changed")
                    .await
                    .expect("listening");
                Some(client)
            }
            Told::Nobody => None,
        };
        Transaction {
            sessions,
            told,
            _listener: listener,
        }
    }
}

#[async_trait]
impl Call for Transaction {
    async fn call(&self, caller: usize, user: usize, salt: u64) -> Result<(), String> {
        let mut session = self.sessions[caller % self.sessions.len()].lock().await;
        let body = String::from_utf8(update_of(&user_id(user), salt)).expect("text");
        transact(&mut session, self.told, &user_id(user), &body)
            .await
            .map_err(|error| error.to_string())
    }
}

async fn transact(
    session: &mut Session,
    told: Told,
    user: &str,
    body: &str,
) -> Result<(), tokio_postgres::Error> {
    let transaction = session.client.transaction().await?;
    let version: i64 = transaction
        .query_one(&session.upsert, &[&user, &body])
        .await?
        .get(0);
    transaction
        .execute(&session.insert, &[&user, &version, &body])
        .await?;
    if told == Told::ByNotify {
        transaction.execute(&session.notify, &[&user]).await?;
    }
    transaction.commit().await
}

fn as_user(program: PathBuf) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([
        &format!("--reuid={USER}"),
        &format!("--regid={USER}"),
        "--clear-groups",
        "--",
    ]);
    command.arg(program).current_dir("/");
    command
}

/// So that the user that PostgreSQL runs as can write there.
fn give_away(folder: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let id = |flag| {
        let output = Command::new("id").args([flag, USER]).output().expect("id");
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        text.parse::<u32>()
            .expect("Debian's package makes that user")
    };
    chown(folder, Some(id("-u")), Some(id("-g"))).expect("root may give files away");
}
