//! Log, view and compaction of one data directory, and many updates.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use profile::clock::{Clock, SystemClock};
use profile::commit_log::file::{FileLog, FileLogOptions};
use profile::commit_log::{Commit, CommitLog, CompactionReport, Head, ReadLimits};
use profile::compaction::{Compaction, CompactionOptions};
use profile::current_view::CurrentView;
use profile::current_view::sled::{Identity, SledOptions, SledView};
use profile::data_dir::DataDir;
use profile::file_system::RealFiles;
use profile_messages::event::EventKind;
use profile_messages::record::{CommandKey, KeyOrigin};
use profile_messages::{
    Contact, Gender, OrgId, Position, ProfileFields, Timestamp, UserId, UserState,
};
use profile_tests::temp_dir::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Appends at once: they become one group. Small beside a segment, so that segments get full.
const GROUP_COMMITS: u64 = 1_000;
const GROUP_COMMITS_SMALL: u64 = 60;
/// Compactions beside the updates.
const PASSES: u64 = 4;
const LONG_UPDATES: u64 = 1_000_000;
const READ: ReadLimits = ReadLimits {
    records_max: 10_000,
    bytes_max: 8 * 1024 * 1024,
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    updates: u64,
    users: u64,
    segment_bytes: u64,
    group_commits: u64,
}

impl Size {
    /// `UPDATES` and `USERS`; without them ten updates for each of so many users.
    pub(crate) fn from_env(users_default: u64) -> Size {
        let number = |name: &str, default: u64| {
            std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
        };
        let updates = number("UPDATES", 10 * users_default);
        // A small log in as many segments as a large one has.
        let (segment_bytes, group_commits) = if updates >= LONG_UPDATES {
            (64 * 1024 * 1024, GROUP_COMMITS)
        } else {
            (256 * 1024, GROUP_COMMITS_SMALL)
        };
        Size {
            updates,
            group_commits,
            users: number("USERS", users_default),
            segment_bytes,
        }
    }

    pub(crate) fn is_long(&self) -> bool {
        self.updates >= LONG_UPDATES
    }
}

pub(crate) struct World {
    size: Size,
    folder: TempDir,
    log: Arc<FileLog>,
    view: Arc<SledView>,
    compaction: Compaction,
    cursor: watch::Sender<Option<Position>>,
    heads: Vec<Head>,
    written: u64,
    pass: Option<JoinHandle<CompactionReport>>,
}

impl World {
    pub(crate) async fn open(size: Size, history_changes_kept: u64) -> World {
        let folder = TempDir::create();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let dir = DataDir::open(Arc::new(RealFiles), &folder.join("data"), clock).unwrap();
        let identity = Identity {
            store_id: dir.store_id().to_owned(),
            boot_id: None,
        };
        let current = dir.path().join("current");
        let view = SledView::open(SledOptions::default(), &current, identity).unwrap();
        let view = Arc::new(view);
        let options = FileLogOptions {
            segment_bytes: size.segment_bytes,
            compaction_read_bytes_per_second_max: u64::MAX,
            ..FileLogOptions::default()
        };
        let log = FileLog::open(options, &dir, Arc::clone(&view) as _).unwrap();
        let log = Arc::new(log);
        view.catch_up(log.as_ref()).await.unwrap();
        let cursor = watch::Sender::new(None);
        let compaction = Compaction {
            options: CompactionOptions {
                interval: Duration::from_secs(3600),
                history_changes_kept,
            },
            log: Arc::clone(&log) as _,
            view: Arc::clone(&view) as _,
            cursor: cursor.subscribe(),
            erased_through: watch::Sender::new(Position::NONE).subscribe(),
            renew: Arc::new(|| Box::pin(async { Ok(()) })),
            metrics: Arc::default(),
        };
        World {
            heads: vec![Head::default(); usize::try_from(size.users).unwrap()],
            size,
            folder,
            log,
            view,
            compaction,
            cursor,
            written: 0,
            pass: None,
        }
    }

    /// All updates, spread evenly over the users, with passes beside them, and one at the end.
    pub(crate) async fn run(&mut self) {
        let Size { updates, users, .. } = self.size;
        let group = self.size.group_commits.min(users);
        let mut next_pass = updates / PASSES;
        let mut done = 0;
        while done < updates {
            // Neighbours in a group are no neighbours in the view.
            let numbers = (done..updates.min(done + group)).map(|at| at * 7_919 % users);
            let commits: Vec<_> = numbers
                .map(|number| (number, self.update(number)))
                .collect();
            done += commits.len() as u64;
            self.append(commits).await;
            if done >= next_pass {
                next_pass += updates / PASSES;
                self.end_pass().await;
                self.start_pass();
            }
        }
        self.end_pass().await;
        self.start_pass();
        self.end_pass().await;
    }

    async fn append(&mut self, commits: Vec<(u64, Commit)>) {
        while self.view.is_full() {
            self.view.write_behind().unwrap();
        }
        let numbers: Vec<u64> = commits.iter().map(|(number, _)| *number).collect();
        let appends = commits
            .into_iter()
            .map(|(_, commit)| self.log.append(commit));
        let records = join_all(appends).await;
        for (number, record) in numbers.into_iter().zip(records) {
            let record = record.unwrap();
            let mut encoded = Vec::new();
            record.encode_into(&mut encoded);
            self.written += encoded.len() as u64;
            self.heads[usize::try_from(number).unwrap()] = Head::after(&record);
        }
    }

    fn start_pass(&mut self) {
        let durable = *self.log.durable().borrow();
        self.cursor.send_replace(Some(durable));
        let compaction = self.compaction.clone();
        let pass = async move { compaction.pass().await.unwrap() };
        self.pass = Some(tokio::spawn(pass));
    }

    async fn end_pass(&mut self) {
        if let Some(pass) = self.pass.take() {
            eprintln!("{:?}", pass.await.unwrap());
        }
    }

    /// An update as the service commits it, of a usual size.
    fn update(&self, number: u64) -> Commit {
        let expected = self.heads[usize::try_from(number).unwrap()];
        let (version, id) = (expected.version.next(), 69_629_023_906_488_334 + number);
        let display_name = format!("Gigi the {version}. Giraffe {number}");
        let event = format!(
            r#"{{"specversion":"1.0","id":"{id}/1.{version}","source":"/profile/0123456789abcdef0123456789abcdef","type":"profile-service.profile.changed.v1","subject":"{id}","time":"2026-09-06T08:55:36.500Z","datacontenttype":"application/json","userversion":{version},"data":{{"userId":"{id}","orgId":"69629023906480000","changed":["displayName"],"values":{{"displayName":"{display_name}"}}}}}}"#
        );
        let random = u128::from(id) << 64 | u128::from(version.0);
        Commit {
            user: UserId::parse(&id.to_string()).unwrap(),
            org: OrgId::parse("69629023906480000").unwrap(),
            expected,
            epoch: 1,
            at: Timestamp(1_757_062_536_000_000 + i64::try_from(expected.position.0).unwrap()),
            kind: if expected.version.0 == 0 {
                EventKind::Created
            } else {
                EventKind::Changed
            },
            key: Some(CommandKey {
                hash: random.to_le_bytes(),
                origin: KeyOrigin::Generated,
            }),
            request_hash: random.to_be_bytes(),
            event: Bytes::from(event),
            actor: "69629023906488000".to_owned(),
            actor_issuer: String::new(),
            state: Some(UserState {
                fields: ProfileFields {
                    first_name: "Gigi".to_owned(),
                    last_name: "Giraffe".to_owned(),
                    nick_name: "Gi".to_owned(),
                    display_name,
                    preferred_language: "de".to_owned(),
                    gender: Gender::Female,
                },
                contact: Contact {
                    user_name: format!("gigi-{number}"),
                    email: format!("gigi-{number}@zoo.example"),
                    email_verified: true,
                    phone: String::new(),
                    phone_verified: false,
                },
                created_at: Timestamp(1_757_062_536_000_000),
            }),
            trace: None,
            deadline: None,
        }
    }

    pub(crate) async fn space(&self) -> Space {
        self.view.write_behind().unwrap();
        self.view.write_behind().unwrap();
        let (mut at, mut kept, mut record_bytes) = (Position::NONE, 0, 0);
        loop {
            let records = self.log.read_after(at, READ).await.unwrap();
            let Some(last) = records.last() else { break };
            at = last.position;
            for record in &records {
                let mut encoded = Vec::new();
                record.encode_into(&mut encoded);
                if self.compaction.keeps(record).unwrap() {
                    kept += 1;
                    record_bytes += encoded.len() as u64;
                }
            }
        }
        let mut user_bytes = 0;
        for number in 0..self.size.users {
            let user = UserId::parse(&(69_629_023_906_488_334 + number).to_string()).unwrap();
            let current = self.view.user(&user).unwrap().unwrap();
            assert_eq!(
                current.position,
                self.heads[usize::try_from(number).unwrap()].position
            );
            user_bytes += current.encode().len() as u64;
        }
        let data = self.folder.join("data");
        Space {
            updates: self.size.updates,
            users: self.size.users,
            record_bytes_mean: self.written as f64 / self.size.updates as f64,
            records_kept: kept,
            record_bytes,
            user_bytes,
            log_bytes: bytes_under(&data.join("log")),
            view_bytes: bytes_under(&data.join("current")),
            data_bytes: bytes_under(&data),
        }
    }
}

/// Lengths of all files.
fn bytes_under(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else {
        return std::fs::metadata(path).map_or(0, |it| it.len());
    };
    entries
        .flatten()
        .map(|entry| bytes_under(&entry.path()))
        .sum()
}

#[derive(Debug)]
pub(crate) struct Space {
    updates: u64,
    users: u64,
    pub(crate) record_bytes_mean: f64,
    records_kept: u64,
    record_bytes: u64,
    user_bytes: u64,
    log_bytes: u64,
    view_bytes: u64,
    data_bytes: u64,
}

impl Space {
    pub(crate) fn ratio(&self) -> f64 {
        self.ratio_above(0)
    }

    /// Without so many bytes of the view's.
    pub(crate) fn ratio_above(&self, view_bytes: u64) -> f64 {
        let counted = self.data_bytes - self.view_bytes.min(view_bytes);
        counted as f64 / (self.record_bytes + self.user_bytes) as f64
    }

    pub(crate) fn log_ratio(&self) -> f64 {
        self.log_bytes as f64 / self.record_bytes as f64
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        write!(
            f,
            "{} updates of {:.0} bytes, {} users: {:.2} times what is kept \
             ({:.1} MiB on disk = {:.1} log + {:.1} view; kept {} records of {:.1} MiB, users {:.1} MiB)",
            self.updates,
            self.record_bytes_mean,
            self.users,
            self.ratio(),
            mib(self.data_bytes),
            mib(self.log_bytes),
            mib(self.view_bytes),
            self.records_kept,
            mib(self.record_bytes),
            mib(self.user_bytes)
        )
    }
}
