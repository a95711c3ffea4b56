//! A relay that runs while this node holds the lease, and stands by while another one does.

use std::sync::Arc;

use profile_messages::Position;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::super::upkeep::Relaying;
use super::lease::{Lease, RENEW_EVERY};
use crate::relay::reconcile::Refusal;
use crate::relay::stream::StreamError;
use crate::relay::stream::jetstream::JetStreamEvents;
use crate::relay::{RelayCounts, RelayHandle, RelayState, RelayStatus};

/// Standing by, so much is the work of another node and not a backlog.
const OTHERS_EVENTS_MAX: u64 = 10_000;

/// Dropping it ends the relay as a crash would.
pub(crate) struct ElectedRelay {
    status: watch::Receiver<RelayStatus>,
    settled: watch::Receiver<Option<Position>>,
    erased: watch::Receiver<Position>,
    counts: Arc<RelayCounts>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl ElectedRelay {
    pub(super) fn start(relaying: Relaying, lease: Lease) -> ElectedRelay {
        let standing = RelayStatus {
            acked: Position::NONE,
            lag_events: 0,
            lag_bytes: 0,
            state: RelayState::Starting,
        };
        let (stop, stopped) = watch::channel(false);
        let shown = Shown {
            status: watch::Sender::new(standing),
            settled: watch::Sender::new(None),
            erased: watch::Sender::new(Position::NONE),
        };
        let (status, settled, erased) = (
            shown.status.subscribe(),
            shown.settled.subscribe(),
            shown.erased.subscribe(),
        );
        let counts = Arc::clone(&relaying.options.counts);
        let events = JetStreamEvents::new(
            relaying.client.clone(),
            relaying.options.stream.clone(),
            &relaying.options.store_id,
            relaying.options.epoch,
        );
        let turns = Turns {
            relaying,
            events,
            lease,
            shown,
            stopped,
        };
        ElectedRelay {
            status,
            settled,
            erased,
            counts,
            stop,
            task: tokio::spawn(turns.run()),
        }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<RelayStatus> {
        self.status.clone()
    }

    pub(crate) fn watch_settled(&self) -> watch::Receiver<Option<Position>> {
        self.settled.clone()
    }

    pub(crate) fn watch_erased(&self) -> watch::Receiver<Position> {
        self.erased.clone()
    }

    pub(crate) fn counts(&self) -> Arc<RelayCounts> {
        Arc::clone(&self.counts)
    }

    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        let _ = (&mut self.task).await;
    }
}

impl Drop for ElectedRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What others see, whoever relays.
struct Shown {
    status: watch::Sender<RelayStatus>,
    settled: watch::Sender<Option<Position>>,
    erased: watch::Sender<Position>,
}

impl Shown {
    fn turn_to(&self, state: RelayState) {
        self.settled.send_replace(None);
        self.status.send_modify(|status| status.state = state);
    }
}

/// How the wait for the lease ended.
enum Stood {
    Elected,
    ToldToStop,
}

/// How a turn as the one that relays ended.
enum Ended {
    LeaseLost,
    /// For good: somebody has to look. The process ends with it.
    Refused,
    ToldToStop,
}

struct Turns {
    relaying: Relaying,
    events: JetStreamEvents,
    lease: Lease,
    shown: Shown,
    stopped: watch::Receiver<bool>,
}

impl Turns {
    async fn run(mut self) {
        loop {
            match self.stand_by().await {
                Stood::Elected => {}
                Stood::ToldToStop => break,
            }
            tracing::info!("elected: this node relays events");
            let relay = match self.begin().await {
                Ok(relay) => relay,
                Err(trouble) => {
                    tracing::warn!(trouble, "this node cannot relay events yet");
                    self.shown.turn_to(RelayState::Waiting(trouble));
                    self.lease.let_go().await;
                    // Others may do better.
                    tokio::time::sleep(RENEW_EVERY).await;
                    continue;
                }
            };
            let ended = self.relay(&relay).await;
            match ended {
                // What is under way is of no use any more.
                Ended::LeaseLost => drop(relay),
                Ended::Refused => return self.lease.let_go().await,
                Ended::ToldToStop => {
                    relay.stop().await;
                    break;
                }
            }
            tracing::warn!("another node relays events from now on");
        }
        self.lease.let_go().await;
        self.shown.turn_to(RelayState::Closed);
    }

    /// What was relayed by another node before must be known here: cursor and stream would be ahead of the log.
    async fn begin(&self) -> Result<RelayHandle, String> {
        let seen = self.relaying.log.see_newest(None).await;
        seen.map_err(|error| error.to_string())?;
        let started = self.relaying.start().await;
        started.map_err(|error| error.to_string())
    }

    async fn stand_by(&mut self) -> Stood {
        let mut ticks = interval(RENEW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopped = self.stopped.clone();
        loop {
            tokio::select! {
                biased;
                () = told(&mut stopped) => return Stood::ToldToStop,
                _ = ticks.tick() => {}
            }
            match self.lease.is_taken().await {
                Ok(true) => return Stood::Elected,
                Ok(false) => self.look().await,
                Err(error) => self.shown.turn_to(RelayState::Waiting(error.to_string())),
            }
        }
    }

    /// Whose the event stream is, and whether somebody fills it.
    async fn look(&self) {
        let state = match self.events.look().await {
            Ok(Some((stream, _))) => {
                let durable = *self.relaying.log.durable().borrow();
                let behind = durable.0.saturating_sub(stream.last);
                if behind < OTHERS_EVENTS_MAX {
                    self.relaying.lag.forget();
                }
                self.shown.status.send_modify(|status| {
                    status.acked = Position(stream.last);
                    status.lag_events = behind;
                    status.lag_bytes = self.relaying.lag.bytes();
                });
                RelayState::Standby
            }
            Ok(None) => RelayState::Waiting("the event stream is not made yet".to_owned()),
            Err(StreamError::Refused(text)) => RelayState::Stopped(Refusal::Stream(text)),
            Err(error) => RelayState::Waiting(error.to_string()),
        };
        self.shown.turn_to(state);
    }

    async fn relay(&mut self, relay: &RelayHandle) -> Ended {
        let (mut status, mut settled, mut erased) =
            (relay.watch(), relay.watch_settled(), relay.watch_erased());
        let mut ticks = interval(RENEW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopped = self.stopped.clone();
        loop {
            self.shown
                .status
                .send_replace(status.borrow_and_update().clone());
            self.shown
                .settled
                .send_replace(*settled.borrow_and_update());
            self.shown.erased.send_replace(*erased.borrow_and_update());
            if matches!(self.shown.status.borrow().state, RelayState::Stopped(_)) {
                return Ended::Refused;
            }
            tokio::select! {
                biased;
                () = told(&mut stopped) => return Ended::ToldToStop,
                _ = ticks.tick() => {
                    if !self.lease.is_renewed().await {
                        return Ended::LeaseLost;
                    }
                }
                _ = status.changed() => {}
                _ = settled.changed() => {}
                _ = erased.changed() => {}
            }
        }
    }
}

async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}
