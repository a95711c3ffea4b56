//! sled's flush with an end. sled 0.34 waits until its buffers are written; when one of them cannot be, it
//! may note the error and wake nobody, and who waits then waits for ever.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use super::stored::StoredError;

/// Whoever asks anew hears of the error at once, so a slow disk is not taken for a failed one.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(2);
const ASKED_MAX: usize = 60;

/// Runs `flush` on a thread of its own, and again while it does not come back.
///
/// # Errors
/// What `flush` says. [`StoredError::Damaged`] when one that began earlier is still not back: it holds sled's
/// lock of the directory, so that sled cannot be opened again before the process has ended.
pub(super) fn flushed(
    flush: impl FnOnce() -> Result<(), StoredError> + Clone + Send + 'static,
) -> Result<(), StoredError> {
    flushed_asking(ASK_AGAIN_AFTER, flush)
}

fn flushed_asking(
    again_after: Duration,
    flush: impl FnOnce() -> Result<(), StoredError> + Clone + Send + 'static,
) -> Result<(), StoredError> {
    let (ended, outcomes) = sync_channel(ASKED_MAX);
    for asked in 0..ASKED_MAX {
        ask(flush.clone(), ended.clone())?;
        match outcomes.recv_timeout(again_after) {
            Ok(outcome) if asked == 0 || outcome.is_ok() => return outcome,
            // The error was there before. Those that waited for it may wake now.
            Ok(outcome) => {
                let mut others = (0..asked).map(|_| outcomes.recv_timeout(again_after));
                return match others.all(|other| other.is_ok()) {
                    true => outcome,
                    false => Err(lost("one of its threads is stuck")),
                };
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
    Err(lost("it does not come back"))
}

fn ask(
    flush: impl FnOnce() -> Result<(), StoredError> + Send + 'static,
    ended: SyncSender<Result<(), StoredError>>,
) -> Result<(), StoredError> {
    let started = Builder::new().name("sled-flush".to_owned()).spawn(move || {
        // Another one was faster: nobody waits any more.
        let _ = ended.send(flush());
    });
    let no_thread = |error: std::io::Error| StoredError::Io(format!("no thread: {error}"));
    started.map(drop).map_err(no_thread)
}

fn lost(why: &str) -> StoredError {
    StoredError::Damaged(format!("sled's flush waits for a write that failed: {why}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    /// Numbers the calls from 1.
    fn counted(
        flush: impl Fn(usize) -> Result<(), StoredError> + Clone + Send + 'static,
    ) -> impl FnOnce() -> Result<(), StoredError> + Clone + Send + 'static {
        let calls = Arc::new(AtomicUsize::new(0));
        move || flush(calls.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn refused() -> Result<(), StoredError> {
        Err(StoredError::Io("no space".to_owned()))
    }

    fn for_ever() -> ! {
        loop {
            std::thread::park();
        }
    }

    #[test]
    fn what_the_first_call_says_is_handed_on() {
        assert_eq!(flushed(counted(|_| Ok(()))), Ok(()));
        assert_eq!(flushed(counted(|_| refused())), refused());
    }

    #[test]
    fn a_flush_that_sled_forgot_is_damage_once_another_one_hears_the_error() {
        let flush = counted(|call| if call == 1 { for_ever() } else { refused() });
        let error = flushed_asking(SOON, flush).unwrap_err();
        assert!(matches!(error, StoredError::Damaged(why) if why.ends_with("stuck")));
    }

    #[test]
    fn a_flush_that_wakes_when_another_one_hears_the_error_is_none_that_is_stuck() {
        let (wake, wait) = gate();
        let flush = counted(move |call| {
            if call == 1 {
                wait();
            } else {
                wake();
            }
            refused()
        });
        assert_eq!(flushed_asking(SOON, flush), refused());
    }

    #[test]
    fn a_slow_flush_is_waited_for() {
        let (go_on, wait) = gate();
        let flush = counted(move |call| {
            if call < 4 {
                wait();
            } else {
                go_on();
                wait();
            }
            Ok(())
        });
        assert_eq!(flushed_asking(SOON, flush), Ok(()));
    }

    /// One that lets all go, and one that waits for it.
    fn gate() -> (
        impl Fn() + Clone + Send + 'static,
        impl Fn() + Clone + Send + 'static,
    ) {
        let state = Arc::new((std::sync::Mutex::new(false), std::sync::Condvar::new()));
        let opened = Arc::clone(&state);
        let open = move || {
            *opened.0.lock().unwrap() = true;
            opened.1.notify_all();
        };
        let wait = move || {
            let is_open = state.0.lock().unwrap();
            drop(state.1.wait_while(is_open, |is_open| !*is_open).unwrap());
        };
        (open, wait)
    }
}
