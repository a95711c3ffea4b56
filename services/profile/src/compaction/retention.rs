//! Which records stay: the rule of the service, told from the current view.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use profile_messages::Position;
use profile_messages::current::CurrentUser;
use profile_messages::record::Record;

use crate::commit_log::{Fate, Retention};
use crate::current_view::CurrentView;

/// What is done with the records of a user who is erased from the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErasedRecords {
    /// The first one ends the compaction: the view has to be renewed before.
    Find,
    Keep,
    Drop,
}

#[derive(Debug)]
pub(super) struct ViewRetention {
    view: Arc<dyn CurrentView>,
    history_changes_kept: u64,
    erased_through: Position,
    erased: ErasedRecords,
    has_found_erased: AtomicBool,
}

impl ViewRetention {
    pub(super) fn new(
        view: Arc<dyn CurrentView>,
        history_changes_kept: u64,
        erased_through: Position,
        erased: ErasedRecords,
    ) -> ViewRetention {
        ViewRetention {
            view,
            history_changes_kept: history_changes_kept.max(1),
            erased_through,
            erased,
            has_found_erased: AtomicBool::new(false),
        }
    }

    pub(super) fn has_found_erased(&self) -> bool {
        self.has_found_erased.load(Ordering::Acquire)
    }

    /// The view is never behind a durable record, so a user that it does not know is none to judge.
    fn fate_beside(&self, record: &Record, current: &CurrentUser) -> Fate {
        if record.position >= current.position {
            return Fate::Keep; // the newest, or the tombstone
        }
        if current.state.is_none() {
            let is_erased = current.position <= self.erased_through;
            return if is_erased { Fate::Erased } else { Fate::Keep };
        }
        let beyond = record.version.0.saturating_add(self.history_changes_kept);
        // A repetition of a command is answered from its record's place in the table, and the table is
        // rebuilt from the log.
        let is_recent = current.recent.iter().any(|it| it.version == record.version);
        if beyond > current.version.0 || is_recent {
            Fate::Keep
        } else {
            Fate::Superseded
        }
    }
}

impl Retention for ViewRetention {
    fn fate(&self, record: &Record) -> Result<Fate, String> {
        let current = self.view.user(&record.user).map_err(|e| e.to_string())?;
        let Some(current) = current else {
            return Ok(Fate::Keep);
        };
        let fate = self.fate_beside(record, &current);
        match (fate, self.erased) {
            (Fate::Keep | Fate::Superseded, _) | (Fate::Erased, ErasedRecords::Drop) => Ok(fate),
            (Fate::Erased, ErasedRecords::Keep) => Ok(Fate::Keep),
            (Fate::Erased, ErasedRecords::Find) => {
                self.has_found_erased.store(true, Ordering::Release);
                Err(format!("position {} is to be erased", record.position))
            }
        }
    }
}
