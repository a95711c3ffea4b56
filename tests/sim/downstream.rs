//! Everything behind the log: the real relay with its cursor, the stream, and a consumer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use profile::clock::Clock;
use profile::commit_log::CommitLog;
use profile::current_view::CurrentView;
use profile::relay::lag::RelayLag;
use profile::relay::testkit::RelayPorts;
use profile::relay::{Relay, RelayHandle, RelayState};
use tokio::task::AbortHandle;

use crate::consumer::Consumer;
use crate::dice::Dice;
use crate::faulty_log::FaultyLog;
use crate::ledger::Ledger;
use crate::planted::{Plant, careless_relay};
use crate::require;
use crate::slots::SimSlots;
use crate::stream::SimStream;

/// Between the two looks at a removal.
const ERASE_SETTLE: Duration = Duration::from_secs(5);
/// Virtual time within which the relay must have caught up once nothing fails any more.
const CATCH_UP_S_MAX: u64 = 600;

#[derive(Debug)]
pub(crate) struct Downstream {
    dice: Dice,
    stream: Arc<SimStream>,
    slots: Arc<SimSlots>,
    erased: Arc<SimSlots>,
    relay: Option<RelayHandle>,
    consumer: Consumer,
    plant: Plant,
    careless: Option<AbortHandle>,
    careless_cursor: Arc<Mutex<u64>>,
}

impl Downstream {
    pub(crate) fn new(seed: u64, plant: Plant) -> Downstream {
        Downstream {
            dice: Dice::new(seed, 3),
            stream: Arc::new(SimStream::new(Dice::new(seed, 4))),
            slots: Arc::new(SimSlots::new(Dice::new(seed, 5))),
            erased: Arc::new(SimSlots::new(Dice::new(seed, 7))),
            relay: None,
            consumer: Consumer::new(Dice::new(seed, 6), plant),
            plant,
            careless: None,
            careless_cursor: Arc::default(),
        }
    }

    /// A new relay: only log, cursor and stream are left of the one before. `lag` is made anew for it
    /// and hears of every group from now on.
    pub(crate) async fn start(
        &mut self,
        log: &Arc<FaultyLog>,
        view: Arc<dyn CurrentView>,
        clock: Arc<dyn Clock>,
        lag: Arc<RelayLag>,
    ) -> Result<(), String> {
        self.kill();
        if self.plant == Plant::RelaySkipsAnEvent {
            let (stream, cursor) = (Arc::clone(&self.stream), Arc::clone(&self.careless_cursor));
            let task = tokio::spawn(careless_relay(Arc::clone(log), stream, cursor));
            self.careless = Some(task.abort_handle());
            return Ok(());
        }
        let ports = RelayPorts {
            log: Arc::clone(log) as Arc<dyn CommitLog>,
            view,
            stream: self.stream.clone(),
            slots: self.slots.clone(),
            erased: self.erased.clone(),
            erase_settle: ERASE_SETTLE,
            clock,
            store_id: "simulated".to_owned(),
            window_messages_max: 8,
            lag,
        };
        let started = Relay::start_with(ports).await;
        self.relay = Some(started.map_err(|error| format!("I5: {error}"))?);
        Ok(())
    }

    /// Whatever the relay was doing, it does no more.
    pub(crate) fn kill(&mut self) {
        self.relay = None;
        if let Some(task) = self.careless.take() {
            task.abort();
        }
    }

    /// Whether the relay died in a write of its cursor since the last look.
    pub(crate) fn relay_died(&self) -> bool {
        let (cursor, erased) = (self.slots.died(), self.erased.died());
        cursor || erased
    }

    /// Something goes wrong with the stream or the cursor.
    pub(crate) fn suffer(&mut self) {
        // A relay that is to be caught is not to be caught for anything else.
        if self.plant == Plant::RelaySkipsAnEvent {
            return;
        }
        match self.dice.below(8) {
            0 => self.wipe(),
            1 => self.slots.lose(),
            2..5 => self.consumer.forget_acks(),
            _ => self.stream.lose_tail(u64::from(self.dice.below(20))),
        }
    }

    /// Somebody deletes the stream, and with it what it knows of the consumer.
    pub(crate) fn wipe(&mut self) {
        self.stream.wipe();
        self.consumer.starts_over();
    }

    /// From now on the relay's cursor stays where it is on disk.
    pub(crate) fn freeze_the_cursor(&self) {
        self.slots.freeze();
    }

    /// The consumer takes what there is.
    pub(crate) fn consume(&mut self, ledger: &Ledger) -> Result<(), String> {
        self.consumer.read(&self.stream, ledger)
    }

    /// No stream that is only unlucky makes the relay give up.
    pub(crate) fn check(&self) -> Result<(), String> {
        let state = self.relay.as_ref().map(|relay| relay.status().state);
        match state {
            Some(RelayState::Stopped(refusal)) => Err(format!("I5: the relay stopped: {refusal}")),
            Some(RelayState::Closed) => Err("I5: the relay closed by itself".to_owned()),
            Some(
                RelayState::Starting
                | RelayState::Running
                | RelayState::Refilling
                | RelayState::Standby
                | RelayState::Waiting(_),
            )
            | None => Ok(()),
        }
    }

    pub(crate) fn heal(&self) {
        self.stream.heal();
        self.slots.heal();
        self.erased.heal();
    }

    /// I8: once nothing fails any more, everything committed gets to the consumer, and nothing is left
    /// behind. Returns what was delivered, and how much of it was new.
    pub(crate) async fn settle(&mut self, ledger: &Ledger) -> Result<(u64, u64), String> {
        let end = ledger.end();
        let bound = Duration::from_secs(CATCH_UP_S_MAX);
        if let Some(relay) = &self.relay {
            let mut status = relay.watch();
            let caught_up =
                status.wait_for(|it| it.state == RelayState::Running && it.acked == end);
            let waited = tokio::time::timeout(bound, caught_up).await;
            self.check()?;
            require(waited.is_ok(), || {
                format!("I8: the relay is at {:?}, the log at {end}", relay.status())
            })?;
            let status = relay.status();
            let (events, bytes) = (status.lag_events, status.lag_bytes);
            require(events == 0 && bytes == 0, || {
                format!("I8: {events} events, {bytes} bytes behind at the end of the log")
            })?;
        } else {
            crate::clock::pass(bound).await;
        }
        // What a stream lost of its own accord while the relay had nothing to send is seen at the next
        // event, not before: until then the stream is behind by that.
        let (_, last) = self.stream.from(0, 0);
        require(last == end.0 || self.relay.is_none(), || {
            format!("I8: the stream ends at {last}, the log at {end}")
        })?;
        self.consume(ledger)?;
        self.consumer.has_converged(ledger)?;
        Ok(self.consumer.counts())
    }
}
