//! A bus, a service on it, and the commands beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use async_nats::jetstream::{self, consumer::pull};
use futures::StreamExt;
use profile_messages::event::CloudEvent;
use profile_messages::subject::EVENT_STREAM;
use profile_messages::{FieldChanges, ProfileFields};
use profile_tests::caller::{Caller, Identity};
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use profile_tests::service::{Service, binary};
use serde_json::{Value, json};
use tokio::time::{interval, timeout};

const ORG: &str = "zoo";
/// Segments as small as they may be, so that some are sealed meanwhile.
const SMALL_SEGMENTS: &str = "[log]\nsegment_bytes = 1_048_576\ngroup_bytes_max = 65_536\n";
const SILENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct World {
    pub(super) service: Service,
    pub(super) caller: Caller,
    server: NatsServer,
}

/// What a command that succeeded has printed.
#[derive(Debug)]
pub(super) struct Printed {
    pub(super) stdout: String,
    stderr: String,
}

impl Printed {
    /// The lines about users that may be older.
    pub(super) fn users(&self) -> Vec<&str> {
        let lines = self.stdout.lines();
        lines.filter(|it| it.starts_with("user ")).collect()
    }

    /// Nothing that a user entered is printed.
    pub(super) fn without_values(&self) {
        for value in [
            "Gigi",
            "Giraffe",
            "zoo.example",
            "nnnn",
            "After",
            "Nick",
            "Dee",
        ] {
            assert!(!self.stdout.contains(value), "{self:?}");
            assert!(!self.stderr.contains(value), "{self:?}");
        }
    }
}

impl World {
    pub(super) async fn start(extra: &str) -> World {
        let mut world = World::prepared(extra).await;
        world.service.start_again();
        world
    }

    /// Everything but the service's process.
    pub(super) async fn prepared(extra: &str) -> World {
        let server = NatsServer::start(ServerOptions::default());
        let service = Service::prepared(&server, &format!("{SMALL_SEGMENTS}{extra}"));
        let caller = Caller::connect(&server, &service, &Identity::owner(ORG)).await;
        World {
            service,
            caller,
            server,
        }
    }

    /// On a bus of its own, with a data directory that is moved there.
    pub(super) async fn start_on(data: &Path, extra: &str) -> World {
        let mut world = World::prepared(extra).await;
        fs::rename(data, world.path("data")).unwrap();
        world.service.start_again();
        world
    }

    /// A path in the service's folder, in which the commands run.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.service.data_dir().with_file_name(name)
    }

    pub(super) async fn get(&self, user: &str) -> Value {
        self.caller.call("get", json!({"userId": user})).await.ok()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.command_of("profiled", arguments)
    }

    fn command_of(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary(program));
        command.args(arguments).env_clear().stdin(Stdio::null());
        command.current_dir(self.path("."));
        command
    }

    #[track_caller]
    fn succeeds(mut command: Command) -> Printed {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let printed = Printed {
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(output.status.success(), "{printed:?}");
        printed
    }

    #[track_caller]
    fn fails(mut command: Command) -> String {
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{stderr}");
        assert!(stderr.starts_with("profiled: "), "{stderr}");
        stderr
    }

    #[track_caller]
    pub(super) fn profiled(&mut self, arguments: &[&str]) -> Printed {
        World::succeeds(self.command(arguments))
    }

    /// The same by the client, which leaves it to the service's program.
    #[track_caller]
    pub(super) fn profilectl(&mut self, arguments: &[&str]) -> Printed {
        World::succeeds(self.command_of("profilectl", arguments))
    }

    #[track_caller]
    pub(super) fn profilectl_refuses(&mut self, arguments: &[&str]) -> String {
        let output = self.command_of("profilectl", arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    }

    #[track_caller]
    pub(super) fn profiled_with_config(&mut self, arguments: &[&str]) -> Printed {
        let mut command = self.command(arguments);
        command.args(["--config", "profiled.toml"]);
        World::succeeds(command)
    }

    #[track_caller]
    pub(super) fn refused(&mut self, arguments: &[&str]) -> String {
        World::fails(self.command(arguments))
    }

    #[track_caller]
    pub(super) fn refused_with_config(&mut self, arguments: &[&str]) -> String {
        let mut command = self.command(arguments);
        command.args(["--config", "profiled.toml"]);
        World::fails(command)
    }

    #[track_caller]
    pub(super) fn refused_with_config_of(&mut self, other: &World, arguments: &[&str]) -> String {
        let mut command = self.command(arguments);
        command.arg("--config").arg(other.path("profiled.toml"));
        World::fails(command)
    }

    /// Kills a command as soon as the file is there.
    pub(super) fn killed_when_there(&mut self, file: &str, arguments: &[&str]) {
        let mut command = self.command(arguments);
        command.args(["--config", "profiled.toml"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        while !self.path(file).exists() {
            assert!(child.try_wait().unwrap().is_none(), "it ended too early");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        assert!(!ended.success(), "it was faster than the kill");
    }

    /// The machine is lost, and its disk.
    pub(super) fn lose_data(&mut self) {
        self.service.kill();
        fs::rename(self.path("data"), self.path("old")).unwrap();
    }

    /// Somebody finds the old disk and starts it again.
    pub(super) fn the_old_instance_is_refused(&mut self) {
        assert!(self.service.stop().success());
        fs::rename(self.path("data"), self.path("restored")).unwrap();
        fs::rename(self.path("old"), self.path("data")).unwrap();
        assert!(!self.service.start_and_end().success());
        let log = self.service.log();
        assert!(log.contains("was written in epoch 2 of the store"), "{log}");
    }

    pub(super) async fn stream_last(&self) -> u64 {
        let jetstream = jetstream::new(self.server.connect(NatsUser::Consumer).await);
        let stream = jetstream.get_stream(EVENT_STREAM).await.unwrap();
        stream.cached_info().state.last_sequence
    }

    /// Waits until so many messages were sent to the stream, erased or not.
    pub(super) async fn stream_reaches(&self, last: u64) {
        let reached = async {
            let mut look = interval(LOOK);
            while self.stream_last().await < last {
                look.tick().await;
            }
        };
        timeout(SILENCE, reached).await.expect("the relay goes on");
    }

    /// The first `count` events of the stream, waited for. Only where nobody was removed: such a user's
    /// earlier events are erased, sooner or later.
    pub(super) async fn events(&self, count: usize) -> Vec<CloudEvent> {
        self.events_while(|events| events.len() < count).await
    }

    /// The events of the stream up to the one of this id, waited for.
    pub(super) async fn events_through(&self, id: &str) -> Vec<CloudEvent> {
        self.events_while(|events| events.last().is_none_or(|event| event.id != id))
            .await
    }

    async fn events_while(&self, more: impl Fn(&[CloudEvent]) -> bool) -> Vec<CloudEvent> {
        let jetstream = jetstream::new(self.server.connect(NatsUser::Consumer).await);
        let stream = jetstream.get_stream_no_info(EVENT_STREAM).await.unwrap();
        let config = pull::Config {
            filter_subject: "profile-event.v1.*.*.*".to_owned(),
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        let mut events = Vec::new();
        while more(&events) {
            let message = timeout(SILENCE, messages.next()).await.expect("an event");
            let message = message.unwrap().unwrap();
            message.ack().await.unwrap();
            events.push(serde_json::from_slice(&message.payload).unwrap());
        }
        events
    }
}

/// The profiles that a consumer has which keeps the highest (epoch, version) of each user.
pub(super) fn followed(events: &[CloudEvent]) -> BTreeMap<String, ProfileFields> {
    let mut applied: BTreeMap<String, ((u32, u64), ProfileFields)> = BTreeMap::new();
    for event in events {
        let (_, at) = event.id.rsplit_once('/').unwrap();
        let (epoch, version) = at.split_once('.').unwrap();
        let at = (epoch.parse().unwrap(), version.parse().unwrap());
        let (seen, fields) = applied.entry(event.subject.clone()).or_default();
        if at > *seen {
            *seen = at;
            *fields = overlaid(fields, event.data.values.clone().unwrap_or_default());
        }
    }
    applied
        .into_iter()
        .map(|(user, (_, fields))| (user, fields))
        .collect()
}

fn overlaid(before: &ProfileFields, changes: FieldChanges) -> ProfileFields {
    let before = before.clone();
    ProfileFields {
        first_name: changes.first_name.unwrap_or(before.first_name),
        last_name: changes.last_name.unwrap_or(before.last_name),
        nick_name: changes.nick_name.unwrap_or(before.nick_name),
        display_name: changes.display_name.unwrap_or(before.display_name),
        preferred_language: changes
            .preferred_language
            .unwrap_or(before.preferred_language),
        gender: changes.gender.unwrap_or(before.gender),
    }
}
