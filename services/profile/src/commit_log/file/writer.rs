//! The one writer: takes commits in order, checks their heads, and makes a group of them durable with
//! one write and one sync. It does not know of threads or time but for deadlines, so that tests drive
//! it call by call.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use profile_messages::Position;
use profile_messages::record::RECORD_BYTES_MAX;
use tokio::sync::watch;

use super::FileLogOptions;
use super::answers::hand_out;
use super::frame::{self, FrameCodec, FrameKind};
use super::group::{Group, Pending, record_bytes_at_most};
use super::next_segment::NextSegment;
use super::reader::Reader;
use super::recovery::{Active, Elder, Recovered};
use super::segment::{self, NoSegment, SegmentHeader};
use crate::commit_log::{AppendError, Commit, CommitObserver, Head, NotWritten};
use crate::data_dir::DataDir;
use crate::file_system::is_out_of_space;
use crate::telemetry::metrics::GroupOutcome;

/// Kept free behind each group: an idle and a closed frame always fit.
const RESERVED_BYTES: usize = 2 * frame::HEADER_BYTES;

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) dir: DataDir,
    pub(super) log_dir: PathBuf,
    pub(super) codec: FrameCodec,
    pub(super) options: FileLogOptions,
    pub(super) observer: Arc<dyn CommitObserver>,
    pub(super) reader: Arc<Reader>,
    pub(super) durable: watch::Sender<Position>,
    pub(super) failed: watch::Sender<Option<String>>,
    active: Option<Active>,
    elder: Elder,
    next: NextSegment,
    buffer: Vec<u8>,
    /// Kind of the last frame in the active segment; `None` while there is none.
    last_kind: Option<FrameKind>,
}

/// What became of the wish for a new segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rolled {
    Yes,
    /// The segment is empty: what was wished to be sealed is.
    NothingInIt,
    /// The next segment is still being filled: ask again.
    Later,
    No(String),
}

/// What the writer works with, beside its own state.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) dir: DataDir,
    pub(super) log_dir: PathBuf,
    pub(super) codec: FrameCodec,
    pub(super) options: FileLogOptions,
    pub(super) observer: Arc<dyn CommitObserver>,
}

impl Writer {
    pub(super) fn new(around: Surroundings, recovered: Recovered) -> Writer {
        let durable = watch::Sender::new(recovered.last);
        let reader = Arc::new(Reader::new(
            around.dir.file_system().clone(),
            around.log_dir.clone(),
            around.codec,
            durable.subscribe(),
            &recovered.segments,
        ));
        let next = NextSegment::new(
            around.dir.clone(),
            around.log_dir.clone(),
            around.options.segment_bytes,
            around.options.prepare_next,
        );
        Writer {
            next,
            dir: around.dir,
            log_dir: around.log_dir,
            codec: around.codec,
            options: around.options,
            observer: around.observer,
            reader,
            durable,
            failed: watch::Sender::new(None),
            active: recovered.active,
            elder: recovered.elder,
            buffer: Vec::new(),
            last_kind: recovered.last_kind,
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.borrow().is_some()
    }

    /// Whether some commit is not yet covered by a durable-through.
    pub(super) fn is_uncovered(&self) -> bool {
        self.last_kind == Some(FrameKind::Group)
    }

    /// Makes the commits at the front of `queue` durable that fit into one frame, and answers them.
    pub(super) fn write_group(&mut self, queue: &mut VecDeque<Pending>) {
        if self.has_failed() {
            let refused = GroupOutcome {
                certainly_not_written: queue.len() as u64,
                ..GroupOutcome::default()
            };
            self.observer.ended(&[], &refused);
            let closed = || Err(AppendError::NotWritten(NotWritten::Closed));
            return hand_out(queue.drain(..).map(|pending| (pending.answer, closed())));
        }
        let group = self.gather(queue);
        let mut outcome = group.refusals();
        if group.records.is_empty() {
            self.observer.ended(&group.records, &outcome);
            return group.answer_all();
        }
        let first = self.durable.borrow().next();
        let count = u32::try_from(group.records.len()).unwrap_or(u32::MAX);
        let before = *self.durable.borrow();
        self.codec
            .finish(&mut self.buffer, FrameKind::Group, first, count, before);
        if let Err(why) = self.make_room() {
            outcome.certainly_not_written += u64::from(count);
            self.observer.ended(&group.records, &outcome);
            return group.refuse_all(&AppendError::NotWritten(why));
        }
        let clock = self.dir.clock().clone();
        let began = clock.monotonic();
        let written = self.write_frame(FrameKind::Group);
        outcome.took = clock.monotonic().saturating_duration_since(began);
        if let Err(error) = written {
            outcome.maybe_written += u64::from(count);
            self.observer.ended(&group.records, &outcome);
            let text = self.fail("write a group", &error);
            return group.refuse_all(&AppendError::MaybeWritten(text));
        }
        outcome.frame_bytes = self.buffer.len() as u64;
        outcome.committed = u64::from(count);
        let last = group.records.last().map(|record| record.position);
        let last = last.unwrap_or(before);
        self.reader.note_synced(last);
        self.observer.committed(&group.records);
        self.reader.recent.keep(&group.records, &group.bytes);
        self.durable.send_replace(last);
        self.observer.ended(&group.records, &outcome);
        group.answer_all();
        self.prepare_ahead();
    }

    /// Takes commits from the queue while they fit, encoded into the buffer one behind the other.
    fn gather(&mut self, queue: &mut VecDeque<Pending>) -> Group {
        let mut group = Group::default();
        self.codec.begin(&mut self.buffer);
        let bytes_max = self.frame_bytes_max();
        while group.records.len() < self.options.group_commits_max {
            let Some(Pending { commit, answer }) = queue.pop_front() else {
                break;
            };
            if let Err(error) = self.check_head(&group, &commit) {
                group.refused.push((answer, error));
                continue;
            }
            let position = Position(self.durable.borrow().0 + group.records.len() as u64).next();
            let (start, deadline) = (self.buffer.len(), commit.deadline);
            if !group.records.is_empty() && start + record_bytes_at_most(&commit) > bytes_max {
                queue.push_front(Pending { commit, answer });
                break;
            }
            let record = commit.into_record(position);
            record.encode_into(&mut self.buffer);
            let (end, clock) = (self.buffer.len(), self.dir.clock());
            let refusal = if end > bytes_max || end - start > RECORD_BYTES_MAX {
                Some(NotWritten::TooLarge)
            } else if deadline.is_some_and(|deadline| clock.monotonic() >= deadline) {
                Some(NotWritten::DeadlineExceeded)
            } else {
                None
            };
            if let Some(why) = refusal {
                self.buffer.truncate(start);
                group.refused.push((answer, AppendError::NotWritten(why)));
                continue;
            }
            group
                .heads
                .insert(record.user.clone(), Head::after(&record));
            group.records.push(Arc::new(record));
            group.bytes.push(end - start);
            group.answers.push(answer);
        }
        group
    }

    fn check_head(&self, group: &Group, commit: &Commit) -> Result<(), AppendError> {
        let head = match group.heads.get(&commit.user) {
            Some(head) => *head,
            None => self.observer.head(&commit.user).map_err(|error| {
                tracing::warn!(%error, "the head of a user cannot be read");
                AppendError::NotWritten(NotWritten::HeadUnknown)
            })?,
        };
        if head == commit.expected {
            Ok(())
        } else {
            Err(AppendError::Conflict { head })
        }
    }

    fn frame_bytes_max(&self) -> usize {
        let segment = usize::try_from(self.options.segment_bytes).unwrap_or(usize::MAX);
        let taken = segment::HEADER_BYTES + RESERVED_BYTES + frame::ALIGNMENT_BYTES;
        // A group may not pass its bound; a lone record may, since it has one of its own.
        let group = self
            .options
            .group_bytes_max
            .max(RECORD_BYTES_MAX + frame::HEADER_BYTES);
        group.min(segment.saturating_sub(taken))
    }

    /// The empty frame after a pause, so that damage to the last group shows as damage.
    pub(super) fn write_idle(&mut self) {
        if self.is_uncovered() && !self.has_failed() {
            self.write_empty(FrameKind::Idle);
        }
    }

    /// The last word of a clean stop: the next start goes on in this segment.
    pub(super) fn close(&mut self) {
        self.next.stop();
        let due = self.last_kind != Some(FrameKind::Closed);
        if due && self.active.is_some() && !self.has_failed() {
            self.write_empty(FrameKind::Closed);
        }
    }

    fn write_empty(&mut self, kind: FrameKind) {
        self.buffer = self.codec.empty(kind, *self.durable.borrow());
        let room = |active: &Active| active.offset + self.buffer.len() as u64 <= active.bytes;
        if !self.active.as_ref().is_some_and(room) {
            // A segment made without space to spare: the next start takes over once more.
            return;
        }
        if let Err(error) = self.write_frame(kind) {
            self.fail("write an empty frame", &error);
        }
    }

    fn write_frame(&mut self, kind: FrameKind) -> io::Result<()> {
        let active = self.active.as_mut();
        let active = active.ok_or_else(|| io::Error::other("no active segment"))?;
        active.file.write_at(&self.buffer, active.offset)?;
        active.file.sync()?;
        active.offset += self.buffer.len() as u64;
        self.last_kind = Some(kind);
        Ok(())
    }

    /// Goes over to the next segment if the frame in the buffer does not fit into this one.
    fn make_room(&mut self) -> Result<(), NotWritten> {
        let needed = (self.buffer.len() + RESERVED_BYTES) as u64;
        let fits = |active: &Active| active.offset + needed <= active.bytes;
        if self.active.as_ref().is_some_and(fits) {
            return Ok(());
        }
        let last = *self.durable.borrow();
        let elder = self.active.as_ref().map_or(self.elder, |active| Elder {
            first: active.first,
            last,
        });
        match self.next_segment(elder, last.next()) {
            Ok(()) => Ok(()),
            Err(NoSegment::Early(error)) if is_out_of_space(&error) => Err(NotWritten::DiskFull),
            Err(NoSegment::Early(error) | NoSegment::Late(error)) => {
                self.fail("make the next segment", &error);
                Err(NotWritten::Closed)
            }
        }
    }

    /// Goes over to the segment that begins at `first`.
    fn next_segment(&mut self, elder: Elder, first: Position) -> Result<(), NoSegment> {
        let file = self.next.take().map_err(NoSegment::Early)?;
        let header = SegmentHeader {
            epoch: self.dir.epoch(),
            first,
            last_before: elder.last,
            first_before: elder.first,
            compacted: None,
        };
        let published = segment::publish(&self.dir, &self.log_dir, &file, &header, &[]);
        published.inspect_err(|error| {
            if let NoSegment::Early(error) = error {
                self.next.note(error);
            }
        })?;
        self.reader.add_segment(&header);
        self.active = Some(Active {
            file,
            first,
            offset: segment::HEADER_BYTES as u64,
            bytes: self.options.segment_bytes,
        });
        Ok(())
    }

    /// Goes over to the next segment although this one has room, so that this one can be compacted. An
    /// error is no end of the log, unless it leaves open which segment a restart would find.
    pub(super) fn roll(&mut self) -> Rolled {
        let last = *self.durable.borrow();
        let Some(active) = self.active.as_ref().filter(|it| it.first <= last) else {
            return Rolled::NothingInIt;
        };
        if self.has_failed() {
            return Rolled::No("the log has failed".to_owned());
        }
        if !self.next.is_ready() {
            return Rolled::Later;
        }
        let elder = Elder {
            first: active.first,
            last,
        };
        match self.next_segment(elder, last.next()) {
            Ok(()) => {
                self.last_kind = None;
                Rolled::Yes
            }
            Err(NoSegment::Early(error)) => Rolled::No(error.to_string()),
            Err(NoSegment::Late(error)) => {
                // A name that shows after a crash would hide what is written to this segment from now on.
                if let Err(again) = segment::withdraw(&self.dir, &self.log_dir, last.next()) {
                    self.fail("take back the next segment", &again);
                }
                Rolled::No(error.to_string())
            }
        }
    }

    /// The next segment is made, beside the writing, once this one is half full.
    fn prepare_ahead(&mut self) {
        let half = |active: &Active| active.offset >= active.bytes / 2;
        if self.active.as_ref().is_some_and(half) {
            self.next.prepare_ahead();
        }
    }

    fn fail(&mut self, doing: &str, error: &io::Error) -> String {
        let text = format!("the log could not {doing}: {error}; restart the service");
        tracing::error!(text, "the commit log has failed");
        self.failed.send_replace(Some(text.clone()));
        text
    }
}
