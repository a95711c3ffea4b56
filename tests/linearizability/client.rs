//! Clients of one user that write down what they ask and what they are told.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::RequestErrorKind;
use profile_tests::caller::Caller;
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::model::{Input, Operation, Outcome, Output, Told};
use crate::plan::{self, Heard, Known, below, heard};

const PAUSE: Duration = Duration::from_millis(20);
/// A minute and more of silence.
const ATTEMPTS_MAX: u32 = 3_000;
/// The service remembers the last 16 keyed commands of a user. A key is repeated only while fewer than
/// that can have come behind it: those begun since, and those of other clients that were under way.
const KEYS_BEHIND_MAX: u64 = 8;

/// What the clients of one history share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) user: String,
    /// Operations that are still to be done.
    pub(crate) left: AtomicU64,
    /// What takes longer is left open, or asked again.
    pub(crate) answer_within: Duration,
    /// With so many left the user may be removed.
    pub(crate) removed_below: u64,
    /// The newest version that any client was told.
    pub(crate) version: AtomicU64,
    pub(crate) keys: Mutex<Keys>,
    pub(crate) told: Mutex<Told>,
    /// Operations so far about which the planted bug could lie.
    pub(crate) chances: AtomicU64,
    pub(crate) started: Instant,
    /// Operations done in all histories.
    pub(crate) progress: watch::Sender<u64>,
}

/// Which keys may still be repeated, by the number in which they were begun.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    begun: u64,
    open: BTreeSet<u64>,
}

impl Keys {
    fn begin(&mut self) -> Option<u64> {
        let oldest = self.open.first().copied().unwrap_or(self.begun);
        if self.begun - oldest >= KEYS_BEHIND_MAX {
            return None;
        }
        let number = self.begun;
        self.open.insert(number);
        self.begun += 1;
        Some(number)
    }
}

/// A bug in what is recorded, to see it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// Some reads are answered from what was read long ago.
    StaleRead,
    /// Some updates are acknowledged and never made.
    LostUpdate,
}

/// Of the operations of a history about which the planted bug could lie, it lies at the first and then at
/// each so many more: no history is without a lie.
const PLANTED_EVERY: u64 = 10;

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) caller: Caller,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) shared: Arc<Shared>,
    pub(crate) planted: Option<Planted>,
    /// The first thing that was read, for [`Planted::StaleRead`].
    pub(crate) first_read: Option<Output>,
}

impl Client {
    /// Does operations until none is left.
    pub(crate) async fn work(mut self) -> Vec<Operation> {
        let mut recorded = Vec::new();
        loop {
            let less_one = |left: u64| left.checked_sub(1);
            let (one, other) = (Ordering::SeqCst, Ordering::SeqCst);
            let Ok(left) = self.shared.left.fetch_update(one, other, less_one) else {
                return recorded;
            };
            let known = Known {
                version: self.shared.version.load(Ordering::SeqCst),
                may_be_removed: left < self.shared.removed_below,
            };
            let name = format!("{}-{left}", self.number);
            let input = plan::next(&mut self.rng, known, &name);
            recorded.extend(self.record(input).await);
            self.shared.progress.send_modify(|done| *done += 1);
        }
    }

    /// The same connection, for a read after the work; it does not lie.
    pub(crate) fn again(&self) -> Client {
        Client {
            number: self.number,
            caller: self.caller.clone(),
            rng: self.rng.clone(),
            shared: Arc::clone(&self.shared),
            planted: None,
            first_read: None,
        }
    }

    /// What all clients of this user were told by histories.
    pub(crate) fn told(&self) -> Told {
        self.shared.told.lock().expect("it is not poisoned").clone()
    }

    pub(crate) fn user(&self) -> &str {
        &self.shared.user
    }

    /// Does one operation to its end. Nothing is recorded of a read that was not answered. An attempt
    /// that was not answered, of a command whose answer is not remembered under its key (README,
    /// "Limits": refusals, and a patch that changed nothing), may be carried out later still: it is an
    /// operation of its own then.
    pub(crate) async fn record(&mut self, input: Input) -> Vec<Operation> {
        let number = match input.is_command() && below(&mut self.rng, 4) > 0 {
            true => self.keys().begin(),
            false => None,
        };
        let called_ns = self.now_ns();
        let lie = self.planted.and_then(|bug| self.lie(bug, &input));
        let (called_ns, outcome, is_open) = match lie.filter(|_| self.is_time_to_lie()) {
            Some(output) => (called_ns, self.known(output), false),
            None => self.ask(&input, number, called_ns).await,
        };
        if self.first_read.is_none()
            && let Outcome::Known { output, .. } = &outcome
            && matches!(output, Output::Seen { .. })
        {
            self.first_read = Some(output.clone());
        }
        if let Some(number) = number {
            self.keys().open.remove(&number);
        }
        let operation = |outcome| Operation {
            client: self.number,
            input: input.clone(),
            called_ns,
            outcome,
        };
        let mut recorded = Vec::new();
        if is_open && input.is_command() && !is_remembered(&input, &outcome) {
            recorded.push(operation(Outcome::Maybe));
        }
        if input.is_command() || outcome != Outcome::Maybe {
            recorded.push(operation(outcome));
        }
        recorded
    }

    /// Asks until the outcome is known, or open without a key to ask again with. The call is moved
    /// behind attempts that were certainly not done. Also whether an attempt before the answered one
    /// was left open.
    async fn ask(&self, input: &Input, key: Option<u64>, called_ns: u64) -> (u64, Outcome, bool) {
        let caller = self.caller_for(input, key);
        let (mut called_ns, mut is_open) = (called_ns, false);
        for _ in 0..ATTEMPTS_MAX {
            let request = caller.try_call(input.operation(), input.body(&self.shared.user));
            let answer = timeout(self.shared.answer_within, request).await;
            let told = match answer {
                Ok(Ok(answer)) => heard(input, &answer),
                Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => Heard::NotDone,
                // Also a connection that broke: who knows how far the request came.
                Ok(Err(_)) | Err(_) => Heard::Open,
            };
            match told {
                Heard::Output(output) => return (called_ns, self.known(output), is_open),
                Heard::History(newest, told) => {
                    self.remember(told);
                    return (called_ns, self.known(newest), is_open);
                }
                Heard::Open if key.is_none() => return (called_ns, Outcome::Maybe, false),
                Heard::Open => is_open = true,
                Heard::NotDone => {
                    pause().await;
                    if !is_open {
                        called_ns = self.now_ns();
                    }
                }
            }
        }
        panic!("nobody answers client {} on {input:?}", self.number);
    }

    /// All histories tell the same.
    fn remember(&self, told: Told) {
        let mut before = self.shared.told.lock().expect("it is not poisoned");
        for (version, change) in told {
            let first = before.entry(version).or_insert_with(|| change.clone());
            assert_eq!(*first, change, "version {version} of {}", self.shared.user);
        }
    }

    fn caller_for(&self, input: &Input, key: Option<u64>) -> Caller {
        let mut caller = self.caller.clone();
        if let Some(number) = key {
            caller = caller.with("Idempotency-Key", &format!("key-{number}"));
        }
        if let Some(version) = input.expected_version() {
            caller = caller.with("Profile-Expected-Version", &version.to_string());
        }
        caller
    }

    fn known(&self, output: Output) -> Outcome {
        let told = match &output {
            Output::Seen { version, .. }
            | Output::Newest { version }
            | Output::Done { version } => *version,
            Output::OtherVersion { current } => *current,
            Output::NotFound | Output::AlreadyExists | Output::NotChanged => 0,
        };
        self.shared.version.fetch_max(told, Ordering::SeqCst);
        Outcome::Known {
            output,
            returned_ns: self.now_ns(),
        }
    }

    /// What the planted bug answers to `input`, if it is about such operations.
    fn lie(&self, bug: Planted, input: &Input) -> Option<Output> {
        let newest = self.shared.version.load(Ordering::SeqCst);
        match (bug, input) {
            (Planted::StaleRead, Input::Get) => {
                let first = self.first_read.clone()?;
                let is_old = matches!(first, Output::Seen { version, .. } if version < newest);
                is_old.then_some(first)
            }
            (Planted::LostUpdate, Input::Update { .. }) if newest > 0 => {
                let version = newest + 1;
                Some(Output::Done { version })
            }
            (Planted::StaleRead | Planted::LostUpdate, _) => None,
        }
    }

    fn is_time_to_lie(&self) -> bool {
        let chances = self.shared.chances.fetch_add(1, Ordering::SeqCst);
        chances.is_multiple_of(PLANTED_EVERY)
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, Keys> {
        self.shared.keys.lock().expect("the keys are not poisoned")
    }

    fn now_ns(&self) -> u64 {
        let since = self.shared.started.elapsed().as_nanos();
        u64::try_from(since).expect("less than 500 years")
    }
}

/// Whether a later attempt with the same key is answered from memory instead of carried out.
fn is_remembered(input: &Input, outcome: &Outcome) -> bool {
    let Outcome::Known { output, .. } = outcome else {
        return false;
    };
    match output {
        Output::Done { .. } => !matches!(input, Input::Patch { .. }),
        Output::NotFound
        | Output::AlreadyExists
        | Output::NotChanged
        | Output::OtherVersion { .. }
        | Output::Seen { .. }
        | Output::Newest { .. } => false,
    }
}

async fn pause() {
    // There is no event of a service that takes requests again: ask, a little later.
    let _ = timeout(PAUSE, std::future::pending::<()>()).await;
}
