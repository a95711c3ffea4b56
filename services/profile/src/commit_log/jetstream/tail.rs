//! What other nodes commit, as it comes: a consumer of the whole stream. It only saves time: what it does
//! not bring is read from the leader, at the latest when an append, a conflict or a look asks for it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use futures::StreamExt;
use profile_messages::Position;
use tokio::time::MissedTickBehavior;

use super::line::Line;
use super::reading::Run;
use super::stream::unreachable;
use crate::commit_log::ReadError;

/// How often it is seen whether the stream went on without the consumer telling.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Before the consumer is made again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Until it is aborted, or the log has failed.
pub(super) async fn run(line: Arc<Line>) {
    let mut failed = line.follower().watch_failed();
    let following = async {
        loop {
            if let Err(error) = follow(&line).await {
                if let ReadError::Damaged { .. } = error {
                    // Nobody would ever be told of what is behind it.
                    return line.follower().fail(&error.to_string());
                }
                tracing::warn!(%error, "the consumer of the commit log is made again");
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    };
    tokio::select! {
        () = following => {}
        _ = failed.wait_for(Option::is_some) => {}
    }
}

async fn follow(line: &Line) -> Result<(), ReadError> {
    let messages = consumer(line, line.follower().position()).await?;
    let mut messages = pin!(messages);
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = looks.tick() => look(line).await?,
            message = messages.next() => {
                let Some(message) = message else { return Ok(()) };
                let message = message.map_err(unreachable)?;
                let sequence = message.info().map_err(unreachable)?.stream_sequence;
                let stored = line.stream().stored(sequence, &message.subject, &message.payload)?;
                line.follower().take(Run::one(stored)).await;
                // What the consumer passed over was deleted, or it lost its place: the leader knows.
                let before = Position(sequence.saturating_sub(1));
                if line.follower().position() < before && is_behind(line, before).await {
                    line.reach(before).await?;
                }
            }
        }
    }
}

/// The thread may have it in memory and needs a moment.
async fn is_behind(line: &Line, position: Position) -> bool {
    const MOMENT: Duration = Duration::from_millis(20);
    !line.follower().reaches(position, MOMENT).await
}

async fn look(line: &Line) -> Result<(), ReadError> {
    let standing = line.stream().standing().await?;
    if !line.is_of(&standing) {
        return Err(line.lost_its_end(standing.last));
    }
    if standing.last < line.follower().position() {
        return look_until_sure(line).await;
    }
    line.note_dropped(standing.dropped_through);
    if is_behind(line, standing.last).await {
        line.reach(standing.last).await?;
    }
    Ok(())
}

/// A stream that ends before what was acknowledged has lost it, unless it is a leader of before that does not
/// know yet that it is none any more.
async fn look_until_sure(line: &Line) -> Result<(), ReadError> {
    let seen = line.follower().position();
    let sure_at = tokio::time::Instant::now() + line.stream().lost_after();
    loop {
        let standing = line.stream().standing().await?;
        if standing.last >= seen {
            return Ok(());
        }
        if tokio::time::Instant::now() >= sure_at {
            return Err(line.lost_its_end(standing.last));
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn consumer(line: &Line, after: Position) -> Result<Ordered, ReadError> {
    let context = async_nats::jetstream::new(line.stream().client().clone());
    let config = OrderedConfig {
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: after.0 + 1,
        },
        ..OrderedConfig::default()
    };
    let consumer = context.create_consumer_on_stream(config, line.stream().name());
    let consumer = consumer.await.map_err(unreachable)?;
    consumer.messages().await.map_err(unreachable)
}
