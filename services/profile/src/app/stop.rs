//! What is waited for before the first request, and what ends the last one.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::edges::Parts;
use crate::relay::reconcile::Refusal;
use crate::relay::{RelayState, RelayStatus};

/// Waits until the event stream was seen to be this store's: before that a second store could answer
/// requests on the same bus and fork users. A stream that is not ours, and a server without JetStream,
/// are errors at the start; what passes by itself is waited for.
pub(super) async fn stream_confirmed(
    mut relay: watch::Receiver<RelayStatus>,
) -> anyhow::Result<()> {
    loop {
        let state = relay.borrow_and_update().state.clone();
        match state {
            RelayState::Running | RelayState::Refilling | RelayState::Standby => return Ok(()),
            RelayState::Stopped(refusal) => return Err(stopped(&refusal)),
            RelayState::Closed => return Err(anyhow::anyhow!("the event relay ended")),
            RelayState::Waiting(reason) => {
                tracing::warn!(
                    reason,
                    "not taking requests yet: the event stream cannot be looked at, trying again"
                );
            }
            RelayState::Starting => {}
        }
        relay.changed().await.context("the event relay ended")?;
    }
}

fn stopped(refusal: &Refusal) -> anyhow::Error {
    anyhow::anyhow!("the event relay stopped: {refusal}")
}

/// SIGTERM and SIGINT; until they are listened to, either ends the process at once.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    pub(super) fn listen() -> std::io::Result<StopSignals> {
        Ok(StopSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Returns when told to stop; fails when a part cannot go on without a restart.
pub(super) async fn until_stopped(
    parts: &Parts<'_>,
    mut signals: StopSignals,
) -> anyhow::Result<()> {
    let storage = parts.storage;
    let (mut log_failed, mut view_failed) = (storage.log.failed(), storage.view.failed());
    tokio::select! {
        _ = signals.terminate.recv() => Ok(()),
        _ = signals.interrupt.recv() => Ok(()),
        reason = failure(&mut log_failed) => Err(anyhow::anyhow!("the commit log failed: {reason}")),
        reason = failure(&mut view_failed) => Err(anyhow::anyhow!("the current view failed: {reason}")),
        error = relay_stopped(parts.relay.clone()) => Err(error),
        () = parts.shards.ended() => {
            Err(anyhow::anyhow!("a gateway ended by itself, the log says why: this is a bug"))
        }
    }
}

async fn relay_stopped(mut relay: watch::Receiver<RelayStatus>) -> anyhow::Error {
    loop {
        if let RelayState::Stopped(refusal) = &relay.borrow_and_update().state {
            return stopped(refusal);
        }
        if relay.changed().await.is_err() {
            return anyhow::anyhow!("the event relay ended");
        }
    }
}

async fn failure(failed: &mut watch::Receiver<Option<String>>) -> String {
    match failed.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or_default(),
        Err(_) => "it ended".to_owned(),
    }
}
