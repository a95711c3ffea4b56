//! What can happen to a bus, and what has to be seen of the service while it does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, stream::Config, stream::DiscardPolicy};
use profile_messages::subject::EVENT_STREAM;
use profile_tests::fault_proxy::{Direction, Role, Weather};
use profile_tests::service::Service;
use tokio::time::timeout;

use crate::observe;
use crate::slow_consumer::SlowConsumer;
use crate::world::{RECOVERED_WITHIN, STORE_BYTES_MAX, World, blocking};

/// Larger than the server's pauses between two looks at a connection.
const HELD_MS: (u64, u64) = (300, 2_500);
/// Ten commands of each client, so many times, are more than the server keeps for one connection.
const SLOW_CONSUMER_ROUNDS_MAX: usize = 20;
const FILL_BYTES: usize = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    ServerKilled,
    ServerStopped,
    CutBothWays,
    HeldToServer,
    HeldToService,
    Abandoned,
    CutBeforeAck,
    SlowLine,
    StreamDeleted,
    StreamPurged,
    StreamRolledBack,
    StreamLimited,
    StorageFull,
    Forged,
    SlowConsumer,
    SecondStore,
    SecondInstance,
    ServiceKilled,
}

impl Fault {
    pub(crate) const ALL: [Fault; 18] = [
        Fault::ServerKilled,
        Fault::ServerStopped,
        Fault::CutBothWays,
        Fault::HeldToServer,
        Fault::HeldToService,
        Fault::Abandoned,
        Fault::CutBeforeAck,
        Fault::SlowLine,
        Fault::StreamDeleted,
        Fault::StreamPurged,
        Fault::StreamRolledBack,
        Fault::StreamLimited,
        Fault::StorageFull,
        Fault::Forged,
        Fault::SlowConsumer,
        Fault::SecondStore,
        Fault::SecondInstance,
        Fault::ServiceKilled,
    ];

    /// Lets it happen and takes it away again; fails when the service did not bear it as it must.
    pub(crate) async fn happen(self, world: &mut World) -> Result<(), String> {
        match self {
            Fault::ServerKilled => server_killed(world).await,
            Fault::ServerStopped => server_stopped(world).await,
            Fault::CutBothWays => {
                let roles = roles(world);
                world.proxy.cut(&roles);
                Ok(())
            }
            Fault::HeldToServer => held(world, Direction::ToServer).await,
            Fault::HeldToService => held(world, Direction::ToService).await,
            Fault::Abandoned => {
                let roles = roles(world);
                world.proxy.abandon(&roles);
                Ok(())
            }
            Fault::CutBeforeAck => cut_before_ack(world).await,
            Fault::SlowLine => slow_line(world).await,
            Fault::StreamDeleted => stream_deleted(world).await,
            Fault::StreamPurged => stream_purged(world).await,
            Fault::StreamRolledBack => stream_rolled_back(world).await,
            Fault::StreamLimited => stream_limited(world).await,
            Fault::StorageFull => storage_full(world).await,
            Fault::Forged => forged(world).await,
            Fault::SlowConsumer => slow_consumer(world).await,
            Fault::SecondStore => second_store(world),
            Fault::SecondInstance => second_instance(world),
            Fault::ServiceKilled => service_killed(world).await,
        }
    }
}

/// How long a fault lasts is what is tested; there is no event to wait for.
async fn lasting(milliseconds: u64) {
    let _ = timeout(
        Duration::from_millis(milliseconds),
        std::future::pending::<()>(),
    )
    .await;
}

/// One connection of the service, or all of them.
fn roles(world: &mut World) -> Vec<Role> {
    match world.number(0, 4) {
        3 => Role::ALL.to_vec(),
        one => vec![Role::ALL[usize::try_from(one).expect("below three")]],
    }
}

async fn server_killed(world: &mut World) -> Result<(), String> {
    let away_ms = world.number(0, world.away_ms_max);
    blocking(|| world.server.kill());
    lasting(away_ms).await;
    blocking(|| world.server.start_again());
    Ok(())
}

async fn server_stopped(world: &mut World) -> Result<(), String> {
    let stopped_ms = world.number(200, 4_000);
    blocking(|| world.server.pause());
    lasting(stopped_ms).await;
    world.server.resume();
    Ok(())
}

async fn held(world: &mut World, direction: Direction) -> Result<(), String> {
    let roles = roles(world);
    let held_ms = world.number(HELD_MS.0, HELD_MS.1);
    world.proxy.set(&roles, Weather::held(direction));
    lasting(held_ms).await;
    world.proxy.set(&roles, Weather::default());
    Ok(())
}

async fn slow_line(world: &mut World) -> Result<(), String> {
    let roles = roles(world);
    let latency = Duration::from_millis(world.number(5, 60));
    let weather = Weather {
        latency,
        ..Weather::default()
    };
    world.proxy.set(&roles, weather);
    let served = world.settled(3).await;
    world.proxy.set(&roles, Weather::default());
    served
}

async fn cut_before_ack(world: &mut World) -> Result<(), String> {
    let mut counts = world.proxy.watch_counts();
    let withheld = counts.borrow_and_update().acks_withheld;
    let nth = world.number(1, 30);
    world.proxy.cut_before_ack(nth);
    let hit = counts.wait_for(|counts| counts.acks_withheld > withheld);
    match timeout(RECOVERED_WITHIN, hit).await {
        Ok(_) => Ok(()),
        Err(_) => Err("no ack was withheld".to_owned()),
    }
}

async fn stream_deleted(world: &mut World) -> Result<(), String> {
    let jetstream = jetstream::new(world.operator.clone());
    let deleted = jetstream.delete_stream(EVENT_STREAM).await;
    deleted.map_err(|error| error.to_string())?;
    world.stream_began_anew(1);
    Ok(())
}

async fn stream_purged(world: &mut World) -> Result<(), String> {
    let jetstream = jetstream::new(world.operator.clone());
    let stream = jetstream.get_stream(EVENT_STREAM).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let purged = stream.purge().await.map_err(|error| error.to_string())?;
    if purged.purged == 0 {
        return Err("nothing was purged".to_owned());
    }
    let info = stream.get_info().await.map_err(|error| error.to_string())?;
    // The events before are gone, as old ones are.
    world.stream_began_anew(info.state.first_sequence);
    Ok(())
}

async fn stream_rolled_back(world: &mut World) -> Result<(), String> {
    let store = world.server.store();
    let old = store.with_extension("old");
    blocking(|| {
        world.server.stop();
        copy(&store, &old);
        world.server.start_again();
    });
    world.settled(5).await?;
    blocking(|| {
        world.server.stop();
        fs::remove_dir_all(&store).expect("a store that nobody uses");
        fs::rename(&old, &store).expect("a folder beside it");
        world.server.start_again();
    });
    world.stream_began_anew(world.first_kept);
    Ok(())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry").path();
        let copied = to.join(entry.file_name().expect("a name"));
        match entry.is_dir() {
            true => copy(&entry, &copied),
            false => drop(fs::copy(&entry, &copied).expect("a file")),
        }
    }
}

/// An operator's limits: the service puts its own back as soon as an event is refused.
async fn stream_limited(world: &mut World) -> Result<(), String> {
    let jetstream = jetstream::new(world.operator.clone());
    let stream = jetstream.get_stream(EVENT_STREAM).await;
    let info = stream.map_err(|error| error.to_string())?;
    let info = info.cached_info();
    let tiny = Config {
        max_messages: i64::try_from(info.state.messages.max(1)).expect("few messages"),
        discard: DiscardPolicy::New,
        ..info.config.clone()
    };
    let updated = jetstream.update_stream(tiny).await;
    updated.map_err(|error| error.to_string())?;
    Ok(())
}

/// A stranger takes all the room: writes go on up to the lag's bound and are refused above it.
async fn storage_full(world: &mut World) -> Result<(), String> {
    let jetstream = jetstream::new(world.operator.clone());
    let filler = Config {
        name: "FILLER".to_owned(),
        subjects: vec!["filler".to_owned()],
        ..Config::default()
    };
    let text = |error: async_nats::Error| format!("filling the store: {error}");
    let made = jetstream.create_stream(filler).await;
    made.map_err(|error| text(error.into()))?;
    for _ in 0..=STORE_BYTES_MAX / FILL_BYTES + 1 {
        let sent = jetstream
            .publish("filler", vec![0; FILL_BYTES].into())
            .await;
        if sent.map_err(|error| text(error.into()))?.await.is_err() {
            break;
        }
    }
    let (behind, settled) = {
        let heard = world.board.read();
        (heard.tallies.behind, heard.settled.len())
    };
    world.order(|orders| orders.hurry = true);
    let refused = |now: &crate::client::Heard| now.tallies.behind > behind + 20;
    let refused = world.board.until(RECOVERED_WITHIN, refused).await;
    world.order(|orders| orders.hurry = false);
    let went_on = world.board.read().settled.len() > settled;
    let deleted = jetstream.delete_stream("FILLER").await;
    deleted.map_err(|error| text(error.into()))?;
    refused.map_err(|late| format!("writes were not refused with a full store: {late}"))?;
    match went_on {
        true => Ok(()),
        false => Err("no write went on with a full store".to_owned()),
    }
}

/// kill -9, and what else happens before it is back.
async fn service_killed(world: &mut World) -> Result<(), String> {
    let meanwhile = world.number(0, 4);
    blocking(|| world.service.kill());
    match meanwhile {
        0 => stream_deleted(world).await?,
        1 => stream_purged(world).await?,
        2 => blocking(|| {
            world.server.kill();
            world.server.start_again();
        }),
        _ => {}
    }
    blocking(|| world.service.start_again());
    Ok(())
}

async fn forged(world: &mut World) -> Result<(), String> {
    let jetstream = jetstream::new(world.operator.clone());
    let subject = "profile-event.v1.zoo.u-c0-0.changed";
    let mut headers = HeaderMap::new();
    if world.number(0, 2) == 0 {
        // As it will stand there, were it ours.
        let last = observe::state(&world.operator).await;
        let next = last.map_or(0, |state| state.last_sequence) + 1;
        headers.insert("Profile-Position", next.to_string());
        headers.insert("Content-Type", "application/cloudevents+json");
        headers.insert("Nats-Msg-Id", format!("u-c0-0/1.{next}"));
    }
    let forged = jetstream.publish_with_headers(subject, headers, "{}".into());
    let forged = forged.await.map_err(|error| error.to_string())?.await;
    let sequence = forged.map_err(|error| error.to_string())?.sequence;
    let ended = blocking(|| world.service.ended_within(RECOVERED_WITHIN));
    let log = world.service.log();
    match ended {
        None => return Err(format!("the process goes on with a forged event:\n{log}")),
        Some(status) if status.success() => return Err(format!("no error:\n{log}")),
        Some(_) => {}
    }
    if !log.contains(&format!("at sequence {sequence}")) {
        return Err(format!("the error does not name {sequence}:\n{log}"));
    }
    if blocking(|| world.service.start_and_end()).success() {
        return Err("it started again on a forged stream".to_owned());
    }
    stream_deleted(world).await?;
    blocking(|| world.service.start_again());
    Ok(())
}

async fn slow_consumer(world: &mut World) -> Result<(), String> {
    let slow = SlowConsumer::subscribe(&world.server).await;
    let before = world.server.log();
    let is_new = |line: &String| line.contains("Slow Consumer") && !before.contains(line);
    // The server gives it up sooner or later; the service serves on, before and after.
    for _ in 0..SLOW_CONSUMER_ROUNDS_MAX {
        world.settled(10).await?;
        if world.server.log().iter().any(is_new) {
            world.slow_consumers_closed += 1;
            break;
        }
    }
    drop(slow);
    Ok(())
}

fn second_store(world: &World) -> Result<(), String> {
    let mut second = Service::prepared(&world.server, "");
    let status = blocking(|| second.start_and_end());
    match !status.success() && second.log().contains("belongs to the store") {
        true => Ok(()),
        false => Err(format!("a second store was not refused:\n{}", second.log())),
    }
}

fn second_instance(world: &mut World) -> Result<(), String> {
    let before = world.service.log().len();
    let status = blocking(|| world.service.start_and_end());
    let log = world.service.log()[before..].to_owned();
    match !status.success() && log.contains("another process") {
        true => Ok(()),
        false => Err(format!(
            "a second process on the data was not refused:\n{log}"
        )),
    }
}
