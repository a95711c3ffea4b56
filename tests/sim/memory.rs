//! What a process knows behind the log: the current view and the relay's lag, gone with the process.

use std::sync::{Arc, Mutex};

use profile::commit_log::{CommitObserver, Head};
use profile::current_view::memory::MemoryView;
use profile::relay::lag::RelayLag;
use profile_messages::UserId;
use profile_messages::record::Record;

use crate::faulty_log::FaultyLog;

#[derive(Debug, Default)]
pub(crate) struct Memory {
    view: Mutex<Arc<MemoryView>>,
    lag: Mutex<Arc<RelayLag>>,
}

impl Memory {
    pub(crate) fn view(&self) -> Arc<MemoryView> {
        Arc::clone(&self.view.lock().unwrap())
    }

    pub(crate) fn lag(&self) -> Arc<RelayLag> {
        Arc::clone(&self.lag.lock().unwrap())
    }

    /// A lag for a relay that starts now.
    pub(crate) fn new_lag(&self) -> Arc<RelayLag> {
        let mut lag = self.lag.lock().unwrap();
        *lag = Arc::default();
        Arc::clone(&lag)
    }

    /// Everything is gone, and comes back from the log.
    pub(crate) async fn start_again(&self, log: &FaultyLog) -> Result<(), String> {
        let view = Arc::new(MemoryView::default());
        let caught_up = view.catch_up(log).await;
        caught_up.map_err(|error| error.to_string())?;
        *self.view.lock().unwrap() = view;
        Ok(())
    }
}

impl CommitObserver for Memory {
    fn head(&self, user: &UserId) -> Result<Head, String> {
        self.view().head(user)
    }

    fn committed(&self, group: &[Arc<Record>]) {
        self.view().committed(group);
        self.lag().committed(group);
    }
}
