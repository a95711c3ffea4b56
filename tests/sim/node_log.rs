//! The log as one of several nodes has it: one log for all of them, and a view of its own that is behind.
//!
//! In the place of the adapter to JetStream, with the same order of things: what the node knows to be old is
//! not sent, a fence brings its view up to date, and an append is answered once its view has it.

use std::sync::Arc;

use async_trait::async_trait;
use profile::commit_log::{
    AppendError, Commit, CommitLog, CommitObserver, NotWritten, ReadError, ReadLimits,
};
use profile::current_view::CurrentView;
use profile::current_view::memory::MemoryView;
use profile_messages::record::Record;
use profile_messages::{Position, UserId};
use tokio::sync::watch;

use crate::faulty_log::FaultyLog;
use crate::planted::Plant;

#[derive(Debug)]
pub(crate) struct NodeLog {
    shared: Arc<FaultyLog>,
    view: Arc<MemoryView>,
    plant: Plant,
}

impl NodeLog {
    /// Of a node that starts with nothing.
    pub(crate) fn new(shared: &Arc<FaultyLog>, plant: Plant) -> NodeLog {
        NodeLog {
            shared: Arc::clone(shared),
            view: Arc::default(),
            plant,
        }
    }

    pub(crate) fn view(&self) -> &Arc<MemoryView> {
        &self.view
    }

    /// So many commits of others come in.
    pub(crate) async fn follow(&self, commits: usize) {
        let new = self.shared.records_after(self.view.position()).await;
        let next: Vec<_> = new.into_iter().take(commits).collect();
        self.view.committed(&next);
    }

    /// All that there are.
    pub(crate) async fn follow_to_the_end(&self) {
        self.follow(usize::MAX).await;
    }

    /// The same by reads that may fail.
    async fn catch_up(&self) -> Result<(), ReadError> {
        let caught_up = self.view.catch_up(self.shared.as_ref()).await;
        let told = caught_up.map_err(|error| ReadError::Io(error.to_string()));
        told.map(|_| ())
    }
}

#[async_trait]
impl CommitLog for NodeLog {
    async fn append(&self, commit: Commit) -> Result<Arc<Record>, AppendError> {
        let user = commit.user.clone();
        let known = |head| AppendError::Conflict { head };
        match self.view.head(&user) {
            Ok(head) if head == commit.expected => {}
            Ok(head) => return Err(known(head)),
            Err(_) => return Err(AppendError::NotWritten(NotWritten::HeadUnknown)),
        }
        match self.shared.append(commit).await {
            Ok(record) => {
                self.follow_to_the_end().await;
                Ok(record)
            }
            Err(AppendError::Conflict { .. }) => {
                let unreachable = AppendError::NotWritten(NotWritten::Unreachable);
                self.catch_up().await.map_err(|_| unreachable)?;
                let head = self.view.head(&user);
                Err(head.map_or(AppendError::NotWritten(NotWritten::HeadUnknown), known))
            }
            Err(error @ (AppendError::NotWritten(_) | AppendError::MaybeWritten(_))) => Err(error),
        }
    }

    async fn read_after(
        &self,
        after: Position,
        limits: ReadLimits,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        self.shared.read_after(after, limits).await
    }

    async fn read_one(&self, position: Position) -> Result<Option<Arc<Record>>, ReadError> {
        self.shared.read_one(position).await
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.shared.durable()
    }

    fn failed(&self) -> watch::Receiver<Option<String>> {
        self.shared.failed()
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn see_newest(&self, _: Option<&UserId>) -> Result<(), ReadError> {
        match self.plant {
            Plant::NeverAsksForTheNewest => Ok(()),
            Plant::Nothing
            | Plant::ForgetsAcknowledged
            | Plant::NoVersionCheck
            | Plant::KeyNotWithCommit
            | Plant::AppliesBeforeAppending
            | Plant::RelaySkipsAnEvent
            | Plant::ConsumerForgets
            | Plant::Overtakes => self.catch_up().await,
        }
    }

    async fn close(&self) {}
}
