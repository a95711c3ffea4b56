//! The stream's configuration: what we want, what an existing one lacks, and whose it is.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};
use profile_messages::subject::{EVENT_STREAM, EVENTS};

use super::{StreamError, StreamOptions};

/// Which store feeds the stream: a second one would fork users.
pub const METADATA_STORE_ID: &str = "profile-store-id";
/// The store's epoch; a restore raises it.
pub const METADATA_EPOCH: &str = "profile-epoch";

/// The configuration of a new stream.
pub(super) fn wanted(options: &StreamOptions, store_id: &str, epoch: u32) -> Config {
    updated(&Config::default(), options, store_id, epoch).0
}

/// `existing` with our settings, and the names of those that differ. What we do not set (placement,
/// compression, description, ...) is the operator's and stays.
pub(super) fn updated(
    existing: &Config,
    options: &StreamOptions,
    store_id: &str,
    epoch: u32,
) -> (Config, Vec<&'static str>) {
    let mut config = existing.clone();
    config.name = EVENT_STREAM.to_owned();
    let mut changes = Vec::new();
    let mut set = Setter {
        changes: &mut changes,
    };
    set.to("subjects", &mut config.subjects, vec![EVENTS.to_owned()]);
    set.to("storage", &mut config.storage, StorageType::File);
    set.to("retention", &mut config.retention, RetentionPolicy::Limits);
    // Old events make room for new ones: the limits are the retention, the log is the truth.
    set.to("discard", &mut config.discard, DiscardPolicy::Old);
    set.to("max_msgs", &mut config.max_messages, -1);
    let per_subject = &mut config.max_messages_per_subject;
    set.to("max_msgs_per_subject", per_subject, -1);
    let bytes_max = i64::try_from(options.bytes_max).unwrap_or(i64::MAX);
    let bytes_max = if bytes_max == 0 { -1 } else { bytes_max };
    set.to("max_bytes", &mut config.max_bytes, bytes_max);
    set.to("max_age", &mut config.max_age, options.max_age);
    set.to("num_replicas", &mut config.num_replicas, options.replicas);
    let window = duplicate_window(options);
    set.to("duplicate_window", &mut config.duplicate_window, window);
    set.to("allow_direct", &mut config.allow_direct, true);
    // deny_delete, false by default, stays as it is: the server does not let it be taken back, and
    // it keeps nothing from the stream but the erasure of removed users, which complains by itself.
    set.to("deny_purge", &mut config.deny_purge, false);
    set.to("no_ack", &mut config.no_ack, false);
    let metadata = with_owner(&config.metadata, store_id, epoch);
    set.to("metadata", &mut config.metadata, metadata);
    (config, changes)
}

/// A setting is changed and named only when it differs.
struct Setter<'a> {
    changes: &'a mut Vec<&'static str>,
}

impl Setter<'_> {
    fn to<T: PartialEq>(&mut self, name: &'static str, field: &mut T, value: T) {
        if *field != value {
            *field = value;
            self.changes.push(name);
        }
    }
}

/// The server refuses a window longer than the age.
fn duplicate_window(options: &StreamOptions) -> Duration {
    if options.max_age.is_zero() {
        options.duplicate_window
    } else {
        options.duplicate_window.min(options.max_age)
    }
}

/// Says in the configuration whose the stream is.
pub(super) fn set_owner(config: &mut Config, store_id: &str, epoch: u32) {
    config.metadata = with_owner(&config.metadata, store_id, epoch);
}

fn with_owner(
    metadata: &HashMap<String, String>,
    store_id: &str,
    epoch: u32,
) -> HashMap<String, String> {
    let mut metadata = metadata.clone();
    metadata.insert(METADATA_STORE_ID.to_owned(), store_id.to_owned());
    metadata.insert(METADATA_EPOCH.to_owned(), epoch.to_string());
    metadata
}

/// Whether this store may write to the stream.
///
/// # Errors
/// [`StreamError::Refused`] with advice: another store's, a later epoch's, or nobody's and not empty.
pub(super) fn check_owner(info: &Info, store_id: &str, epoch: u32) -> Result<(), StreamError> {
    let refuse = |text: String| Err(StreamError::Refused(text));
    let config = &info.config;
    if config.mirror.is_some()
        || config.sources.as_ref().is_some_and(|it| !it.is_empty())
        || config.subject_transform.is_some()
    {
        return refuse(format!(
            "the stream {EVENT_STREAM} is a mirror, has sources or transforms subjects: \
             the service must be its only writer. Delete it, or give it another name"
        ));
    }
    let Some(owner) = config.metadata.get(METADATA_STORE_ID) else {
        if info.state.messages == 0 && info.state.last_sequence == 0 {
            return Ok(());
        }
        return refuse(format!(
            "the stream {EVENT_STREAM} was not made by profile-service and is not new \
             ({} messages, last sequence {}): delete it, and it is made again from the log",
            info.state.messages, info.state.last_sequence
        ));
    };
    if owner != store_id {
        return refuse(format!(
            "the stream {EVENT_STREAM} belongs to the store {owner}, this one is {store_id}: \
             two stores on one bus would fork users. Start the service with the data directory of \
             {owner}; or, if that store is gone for good, delete the stream"
        ));
    }
    let theirs = epoch_of(info);
    if epoch < theirs {
        return refuse(format!(
            "the stream {EVENT_STREAM} was written in epoch {theirs} of the store, this data \
             directory is of epoch {epoch}: it is older than a restore. Use the newer directory"
        ));
    }
    Ok(())
}

/// The epoch in which the stream was written last, 0 for none.
pub(super) fn epoch_of(info: &Info) -> u32 {
    let epoch = info.config.metadata.get(METADATA_EPOCH);
    epoch.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(metadata: &[(&str, &str)], messages: u64, last: u64) -> Info {
        let metadata: HashMap<_, _> = metadata.iter().copied().collect();
        let config = serde_json::json!({
            "name": EVENT_STREAM, "retention": "limits", "storage": "file", "discard": "old",
            "num_replicas": 1, "metadata": metadata,
        });
        let time = "2026-01-01T00:00:00Z";
        let state = serde_json::json!({
            "messages": messages, "bytes": 0, "first_seq": 1, "first_ts": time,
            "last_seq": last, "last_ts": time, "consumer_count": 0,
        });
        let info = serde_json::json!({ "config": config, "created": time, "state": state });
        serde_json::from_value(info).unwrap()
    }

    #[test]
    fn only_our_own_or_a_new_stream_is_taken() {
        let check = |metadata: &[_], messages, last| {
            check_owner(&info(metadata, messages, last), "s-1", 2).map_err(|it| it.to_string())
        };
        assert_eq!(check(&[(METADATA_STORE_ID, "s-1")], 9, 9), Ok(()));
        let ours = [(METADATA_STORE_ID, "s-1"), (METADATA_EPOCH, "2")];
        assert_eq!(check(&ours, 9, 9), Ok(()));
        assert_eq!(check(&[], 0, 0), Ok(()));
        let text = check(&[], 1, 1).unwrap_err();
        assert!(text.contains("not made by profile-service"), "{text}");
        assert!(check(&[], 0, 7).is_err());
        let text = check(&[(METADATA_STORE_ID, "s-2")], 0, 0).unwrap_err();
        assert!(text.contains("belongs to the store s-2"), "{text}");
        let later = [(METADATA_STORE_ID, "s-1"), (METADATA_EPOCH, "3")];
        let text = check(&later, 9, 9).unwrap_err();
        assert!(text.contains("epoch 3"), "{text}");
    }

    #[test]
    fn only_what_differs_is_changed_and_the_operators_settings_stay() {
        let options = StreamOptions::default();
        let mut existing = wanted(&options, "s-1", 1);
        existing.description = Some("ours".to_owned());
        assert_eq!(
            updated(&existing, &options, "s-1", 1),
            (existing.clone(), vec![])
        );
        let longer = StreamOptions {
            max_age: options.max_age * 2,
            ..options
        };
        let (config, changes) = updated(&existing, &longer, "s-1", 2);
        assert_eq!(changes, ["max_age", "metadata"]);
        assert_eq!(config.description, existing.description);
        assert_eq!(config.metadata[METADATA_EPOCH], "2");
    }

    #[test]
    fn a_stream_that_refuses_deletes_is_not_refused_for_it() {
        let options = StreamOptions::default();
        let mut existing = wanted(&options, "s-1", 1);
        assert!(!existing.deny_delete);
        existing.deny_delete = true;
        let (config, changes) = updated(&existing, &options, "s-1", 1);
        assert!(config.deny_delete && changes.is_empty(), "{changes:?}");
    }
}
