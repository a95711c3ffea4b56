//! A service, its bus, and its data directory as it was left; each damage strikes a copy of that.

use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use futures::{StreamExt, stream};
use profile_tests::caller::{Caller, Identity, new_user};
use profile_tests::nats_server::NatsServer;
use profile_tests::service::Service;
use profile_tests::temp_dir::TempDir;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::damage::Damage;
use crate::frames::uncovered;
use crate::observe::{self, Told, Verdict};

/// The smallest segments, of which a few are filled.
const CONFIG: &str = "[log]\nsegment_bytes = 1_048_576\ngroup_bytes_max = 1_048_576\n";
/// The relay writes down here how far the stream is.
const CURSOR: &str = "relay";
const USERS: usize = 24;
const ROUNDS: usize = 24;
const CLIENTS: usize = 8;
const SILENCE: Duration = Duration::from_secs(60);
/// What a text says that helps.
const ADVICE: [&str; 6] = [
    "restore",
    "Restore",
    "move it out",
    "name an empty",
    "run the release",
    "Put the right one back",
];

/// What a text says of a part of the log that is gone, and names what is left.
const MISSING: [&str; 3] = [
    "follows a segment that is missing",
    "the log lost its end",
    "no segment holds it",
];
/// Made again from the log when it is damaged.
const DISPOSABLE: &str = "current";

/// How the process ended that left the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Clean,
    /// Right after the newest commit was acknowledged.
    Killed,
    /// The same, and the event stream, which would tell of that commit, had not got it.
    KilledUnrelayed,
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// As if nothing had happened.
    Served,
    /// It did not start; why.
    Refused(String),
    /// So many answers were refused, the others right; why.
    ReadsRefused(String),
    /// As if nothing had happened but the last commit had not.
    NewestLost,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Served => f.write_str("served"),
            Outcome::Refused(why) => write!(f, "refused: {why}"),
            Outcome::ReadsRefused(why) => write!(f, "some reads refused: {why}"),
            Outcome::NewestLost => f.write_str("the newest commit is lost"),
        }
    }
}

pub(crate) struct World {
    ending: Ending,
    runtime: Runtime,
    service: Service,
    owner: Caller,
    pristine: TempDir,
    users: Vec<String>,
    truth: Told,
    /// Without the newest commit.
    truth_before: Told,
    server: NatsServer,
}

impl World {
    pub(crate) fn build(ending: Ending) -> World {
        let (runtime, server) = NatsServer::start_with_runtime();
        let mut service = Service::start(&server, CONFIG);
        let identity = reader_of_all();
        let owner = runtime.block_on(Caller::connect(&server, &service, &identity));
        let users: Vec<String> = (0..USERS)
            .map(|number| format!("user-{number:02}"))
            .collect();
        runtime.block_on(histories(&owner, &users, 0..ROUNDS / 2));
        assert!(service.stop().success(), "{}", service.log());
        service.start_again();
        runtime.block_on(histories(&owner, &users, ROUNDS / 2..ROUNDS));
        let ask = |owner: &Caller| runtime.block_on(observe::everything(owner, &users));
        let truth_before = ask(&owner).expect("the service is up");
        let cursor = fs::read(service.data_dir().join(CURSOR)).expect("the relay's cursor");
        runtime.block_on(change(&owner, &users[0], "a newest".to_owned()));
        let pristine = TempDir::create();
        let truth = match ending {
            Ending::Clean => {
                let truth = ask(&owner).expect("the service is up");
                assert!(service.stop().success(), "{}", service.log());
                copy_tree(&service.data_dir(), pristine.path());
                truth
            }
            Ending::Killed | Ending::KilledUnrelayed => {
                service.kill();
                copy_tree(&service.data_dir(), pristine.path());
                if ending == Ending::KilledUnrelayed {
                    fs::write(pristine.join(CURSOR), cursor).expect("our own folder");
                }
                service.start_again();
                let truth = ask(&owner).expect("the service is up");
                service.kill();
                truth
            }
        };
        assert!(matches!(truth_before.judge(&truth), Verdict::Wrong(_)));
        World {
            ending,
            runtime,
            service,
            owner,
            pristine,
            users,
            truth,
            truth_before,
            server,
        }
    }

    pub(crate) fn ending(&self) -> Ending {
        self.ending
    }

    pub(crate) fn pristine(&self) -> &Path {
        self.pristine.path()
    }

    /// Starts the service on a damaged copy and asks it everything.
    pub(crate) fn suffer(&mut self, damage: &Damage) -> Result<Outcome, String> {
        if self.ending == Ending::KilledUnrelayed {
            self.server.stop();
            self.server.wipe_store();
            self.server.start_again();
        }
        let data = self.service.data_dir();
        fs::remove_dir_all(&data).expect("our own folder");
        copy_tree(self.pristine.path(), &data);
        damage.strike(&data);
        let lines = self.service.start_unready();
        let mut log = Vec::new();
        loop {
            match lines.recv_timeout(SILENCE) {
                Ok(line) if line.contains("\"message\":\"ready\"") => break,
                Ok(line) => log.push(line),
                Err(RecvTimeoutError::Disconnected) => return self.refused(damage, &log),
                Err(RecvTimeoutError::Timeout) => {
                    self.service.kill();
                    return Err(format!("it hangs:\n{}", end_of(&log)));
                }
            }
        }
        let told = self
            .runtime
            .block_on(observe::everything(&self.owner, &self.users));
        self.service.kill();
        log.extend(lines.iter());
        let told = told.map_err(|error| format!("{error}\n{}", end_of(&log)))?;
        self.judge(damage, &told, &log)
    }

    fn refused(&mut self, damage: &Damage, log: &[String]) -> Result<Outcome, String> {
        let ended = self.service.stop();
        let said = log
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix("profiled: "));
        let all = || end_of(log);
        if damage.file.starts_with(DISPOSABLE) {
            return Err(format!("the view could be made again:\n{}", all()));
        }
        if ended.code() != Some(1) {
            return Err(format!("it ended with {ended}:\n{}", all()));
        }
        let Some(said) = said else {
            return Err(format!("it ended without a word:\n{}", all()));
        };
        if !names(said, damage) || !ADVICE.iter().any(|advice| said.contains(advice)) {
            return Err(format!("that does not help: {said}"));
        }
        Ok(Outcome::Refused(said.to_owned()))
    }

    fn judge(&self, damage: &Damage, told: &Told, log: &[String]) -> Result<Outcome, String> {
        match told.judge(&self.truth) {
            Verdict::Equal => Ok(Outcome::Served),
            Verdict::Refused(_) if damage.file.starts_with(DISPOSABLE) => Err(format!(
                "the view could be made again, and reads are refused:\n{}",
                end_of(log)
            )),
            Verdict::Refused(answers) => {
                let why = log.iter().find(|line| {
                    names(line, damage) && ADVICE.iter().any(|advice| line.contains(advice))
                });
                let why = why.map(|why| format!("{answers} answers, {why}"));
                why.map(Outcome::ReadsRefused).ok_or_else(|| {
                    format!("reads are refused, and nobody knows why:\n{}", end_of(log))
                })
            }
            Verdict::Wrong(_) if self.may_lose_the_newest(damage) => {
                match told.judge(&self.truth_before) {
                    Verdict::Equal => Ok(Outcome::NewestLost),
                    Verdict::Refused(_) | Verdict::Wrong(_) => {
                        Err("more than the newest commit is lost".to_owned())
                    }
                }
            }
            Verdict::Wrong(answer) => Err(format!("{answer}\n{}", end_of(log))),
        }
    }

    /// The documented exception, see the head of `main.rs`.
    fn may_lose_the_newest(&self, damage: &Damage) -> bool {
        damage.file == self.newest_segment()
            && self
                .uncovered()
                .is_some_and(|range| damage.touches(&range) && damage.is_within(&range))
    }

    /// The bytes of the newest segment that no frame calls durable.
    pub(crate) fn uncovered(&self) -> Option<Range<u64>> {
        let newest = self.pristine.path().join(self.newest_segment());
        uncovered(&fs::read(newest).expect("a segment"))
    }

    pub(crate) fn newest_segment(&self) -> PathBuf {
        let log = fs::read_dir(self.pristine.join("log")).expect("the log");
        let names = log.map(|entry| entry.expect("an entry").file_name());
        let segments = names.filter(|name| name.to_string_lossy().ends_with(".seg"));
        let newest = segments.max().expect("a segment");
        Path::new("log").join(newest)
    }
}

/// The file itself; of the log also its neighbours, where the damage shows only in that something is gone.
fn names(text: &str, damage: &Damage) -> bool {
    let is_named = damage.names().iter().any(|name| text.contains(name));
    let is_missed = || MISSING.iter().any(|missing| text.contains(missing));
    is_named || damage.file.starts_with("log") && is_missed()
}

fn end_of(log: &[String]) -> String {
    const LINES: usize = 8;
    log[log.len().saturating_sub(LINES)..].join("\n")
}

fn reader_of_all() -> Identity {
    let mut owner = Identity::owner("zoo");
    owner.roles.push(("IAM_OWNER".to_owned(), "zoo".to_owned()));
    owner
}

/// Creates users in round 0; changes them, and removes some, in the others.
async fn histories(owner: &Caller, users: &[String], rounds: Range<usize>) {
    for round in rounds {
        let commands = users.iter().enumerate().map(|(number, user)| async move {
            let is_removed = number % 6 == 5 && round >= number % 5 + 4;
            match round {
                0 => drop(owner.call("create", new_user(user)).await.ok()),
                _ if !is_removed => change(owner, user, name(number, round)).await,
                _ if round == number % 5 + 4 => {
                    drop(owner.call("remove", json!({"userId": user})).await.ok());
                }
                _ => {}
            }
        });
        let commands: Vec<_> = commands.collect();
        stream::iter(commands)
            .buffer_unordered(CLIENTS)
            .for_each(|()| async {})
            .await;
    }
}

/// Long, so that segments fill; and not two alike.
fn name(number: usize, round: usize) -> String {
    let first = ['a', 'b', 'ß', 'Ω'][(number + round) % 4];
    let filling: String = std::iter::repeat_n('\u{1F992}', 180).collect();
    format!("{first}{round}-{number}-{filling}")
}

async fn change(owner: &Caller, user: &str, name: String) {
    let body = json!({
        "userId": user, "firstName": name, "lastName": name, "nickName": name, "displayName": name,
    });
    owner.call("update", body).await.ok();
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy_tree(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).expect("a file can be copied")),
        }
    }
}
