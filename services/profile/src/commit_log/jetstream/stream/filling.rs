//! A stream that is filled with the commits of a log in files, each at the position that it has there.
//!
//! It is no store's log before it is whole, so that no node opens it. A filler takes each place without a
//! commit; the last one of several removes the others by a roll-up.

use async_nats::header::{NATS_EXPECTED_LAST_SEQUENCE, NATS_EXPECTED_STREAM, NATS_ROLLUP};
use futures::FutureExt;
use futures::future::BoxFuture;
use profile_messages::subject::log_filler;

use super::*;

/// Whose log the stream will be.
pub(super) const MOVING: &str = "profile-moving-store-id";

/// Where a move begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Behind this place; the stream has everything up to it.
    After(Position),
    /// The stream is the store's log already.
    AlreadyMoved,
}

/// What a position gets.
#[derive(Clone, Debug)]
pub(in crate::commit_log::jetstream) enum Place {
    Commit(Arc<Record>),
    Filler(Position),
    /// Removes the fillers before it.
    LastFiller(Position),
}

impl Place {
    pub(in crate::commit_log::jetstream) fn position(&self) -> Position {
        match self {
            Place::Commit(record) => record.position,
            Place::Filler(position) | Place::LastFiller(position) => *position,
        }
    }
}

impl LogStream {
    /// Finds the stream of a move that was begun, or makes one whose first message gets `first`.
    ///
    /// # Errors
    /// [`OpenError`]: as for a log, and when the stream is another store's.
    pub(in crate::commit_log::jetstream) async fn begin(
        &self,
        store_id: &str,
        first: Position,
    ) -> Result<Begun, OpenError> {
        let too_old = |version| OpenError::TooOld { version };
        self.api.check_server(SERVER_MIN)?.map_err(too_old)?;
        let call = format!("STREAM.INFO.{}", self.name);
        let info = match self.api.call::<Info>(&call, &json!({})).await? {
            Ok(info) => info,
            Err(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                let config = self.unfinished(store_id, first);
                let call = format!("STREAM.CREATE.{}", self.name);
                let created = self.api.call::<Info>(&call, &config).await?;
                created.map_err(|error| self.refused(&error))?
            }
            Err(error) => return Err(self.refused(&error)),
        };
        let metadata = &info.config.metadata;
        let is_of = |key: &str| metadata.get(key).map(String::as_str) == Some(store_id);
        if is_of(STORE_ID) {
            return Ok(Begun::AlreadyMoved);
        }
        if !is_of(MOVING) {
            let found = metadata.get(STORE_ID).or(metadata.get(MOVING));
            return Err(OpenError::OtherStore {
                stream: self.name.clone(),
                found: found.map_or("nobody", String::as_str).to_owned(),
                own: store_id.to_owned(),
            });
        }
        Ok(Begun::After(Position(info.state.last_sequence)))
    }

    /// The configuration of a log but for what a move needs.
    fn unfinished(&self, store_id: &str, first: Position) -> Config {
        let mut config = self.wanted(store_id);
        config.subjects.push(log_filler(self.options.partition));
        config.deny_purge = false;
        config.allow_rollup = true;
        config.first_sequence = Some(first.0);
        config.metadata = [(MOVING.to_owned(), store_id.to_owned())].into();
        config
    }

    /// Sends what the next place gets, in the order of the calls; the stream takes it only behind `last`.
    pub(in crate::commit_log::jetstream) async fn put(
        &self,
        place: &Place,
        last: Position,
    ) -> Result<BoxFuture<'static, Result<Position, ReadError>>, ReadError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_STREAM, self.name.as_str());
        headers.insert(NATS_EXPECTED_LAST_SEQUENCE, last.to_string());
        let mut payload = Vec::new();
        let subject = match place {
            Place::Commit(record) => {
                record.encode_into(&mut payload);
                log_subject(self.options.partition, &record.user)
            }
            Place::LastFiller(_) => {
                headers.insert(NATS_ROLLUP, "sub");
                log_filler(self.options.partition)
            }
            Place::Filler(_) => log_filler(self.options.partition),
        };
        let position = place.position();
        let sent = self.api.send(subject, headers, payload.into()).await;
        let reply = sent.map_err(unreachable)?;
        let heard = async move {
            match answered(&reply.await.map_err(unreachable)?.payload) {
                Attempt::Written(at) if at == position => Ok(position),
                Attempt::Written(at) => Err(unreachable(format!("{position} was put at {at}"))),
                Attempt::Fenced => Err(unreachable(format!("{position} is not the next place"))),
                Attempt::Refused(why) | Attempt::Unheard(why) => Err(unreachable(why)),
            }
        };
        Ok(heard.boxed())
    }

    /// Deletes the fillers that no roll-up has removed.
    pub(in crate::commit_log::jetstream) async fn delete_fillers(&self) -> Result<(), ReadError> {
        let wanted = json!({ "last_by_subj": log_filler(self.options.partition) });
        let call = format!("STREAM.MSG.GET.{}", self.name);
        loop {
            let found = self.api.call::<GetMessage>(&call, &wanted).await;
            match found.map_err(unreachable)? {
                Ok(found) => self.delete(Position(found.message.sequence)).await?,
                Err(error) if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => return Ok(()),
                Err(error) => return Err(unreachable(error)),
            }
        }
    }

    /// From here on the stream is the store's log.
    pub(in crate::commit_log::jetstream) async fn hand_over(
        &self,
        store_id: &str,
        dropped_through: Position,
    ) -> Result<(), ReadError> {
        let wanted = self.wanted(store_id);
        let mut config = self.info().await?.config;
        config.subjects = wanted.subjects;
        config.deny_purge = wanted.deny_purge;
        config.allow_rollup = wanted.allow_rollup;
        config.metadata.remove(MOVING);
        config.metadata.extend(wanted.metadata);
        if dropped_through > Position::NONE {
            let through = dropped_through.to_string();
            config.metadata.insert(DROPPED_THROUGH.to_owned(), through);
        }
        let call = format!("STREAM.UPDATE.{}", self.name);
        let updated = self.api.call::<Info>(&call, &config).await;
        updated.map_err(unreachable)?.map_err(unreachable)?;
        Ok(())
    }
}
