//! Stored formats: what is written reads back, and no bytes make a reader panic.

// The whole file is a test, its helpers too: clippy.toml allows these in `#[test]` functions only.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use profile_messages::command::{CreateBody, PatchBody, UpdateBody};
use profile_messages::current::{
    CALLER_KEYS_KEPT_MAX, CurrentUser, GENERATED_KEYS_KEPT_MAX, KEYS_KEPT_US_MAX, RecentCommand,
};
use profile_messages::event::EventKind;
use profile_messages::json::decode_body;
use profile_messages::record::{CommandKey, KeyOrigin, Record};
use profile_messages::trace::TraceContext;
use profile_messages::{
    Contact, Gender, OrgId, Position, ProfileFields, Timestamp, UserId, UserState, Version,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn kind() -> impl Strategy<Value = EventKind> {
    select(EventKind::ALL.to_vec())
}

fn key() -> impl Strategy<Value = CommandKey> {
    let origin = select(vec![KeyOrigin::Caller, KeyOrigin::Generated]);
    (any::<[u8; 16]>(), origin).prop_map(|(hash, origin)| CommandKey { hash, origin })
}

fn user() -> impl Strategy<Value = UserId> {
    "[A-Za-z0-9_-]{1,200}".prop_map(|id| UserId::parse(&id).unwrap())
}

fn org() -> impl Strategy<Value = OrgId> {
    "[A-Za-z0-9_-]{1,200}".prop_map(|id| OrgId::parse(&id).unwrap())
}

fn text() -> impl Strategy<Value = String> {
    ".{0,20}"
}

prop_compose! {
    fn fields()(
        names in [text(), text(), text(), text(), text()],
        gender in select(Gender::ALL.to_vec()),
    ) -> ProfileFields {
        let [first_name, last_name, nick_name, display_name, preferred_language] = names;
        ProfileFields { first_name, last_name, nick_name, display_name, preferred_language, gender }
    }
}

prop_compose! {
    fn contact()(
        [user_name, email, phone] in [text(), text(), text()],
        email_verified in any::<bool>(),
        phone_verified in any::<bool>(),
    ) -> Contact {
        Contact { user_name, email, email_verified, phone, phone_verified }
    }
}

prop_compose! {
    fn state()(fields in fields(), contact in contact(), at in any::<i64>()) -> UserState {
        UserState { fields, contact, created_at: Timestamp(at) }
    }
}

prop_compose! {
    fn trace()(
        (trace_id, parent_id, flags) in any::<([u8; 16], [u8; 8], u8)>(),
        state in "[a-z]{1,8}=[ -+.-9]{0,40}[!-+]",
    ) -> Option<TraceContext> {
        TraceContext::new(trace_id, parent_id, flags, &state)
    }
}

prop_compose! {
    fn record()(
        (user, org) in (user(), org()),
        (actor, actor_issuer) in (text(), text()),
        (position, previous, version) in any::<(u64, u64, u64)>(),
        (epoch, at, request_hash) in any::<(u32, i64, [u8; 16])>(),
        (kind, key) in (kind(), option::of(key())),
        event in vec(any::<u8>(), 0..300),
        state in option::of(state()),
        trace in option::of(trace()),
    ) -> Record {
        Record {
            position: Position(position),
            previous: Position(previous),
            user, org,
            version: Version(version),
            epoch,
            at: Timestamp(at),
            kind, key, request_hash,
            event: Bytes::from(event),
            actor, actor_issuer, state,
            trace: trace.flatten(),
        }
    }
}

prop_compose! {
    fn recent()(
        key in key(),
        kind in kind(),
        (request_hash, version, at) in any::<([u8; 16], u64, i64)>(),
    ) -> RecentCommand {
        RecentCommand { key, request_hash, kind, version: Version(version), at: Timestamp(at) }
    }
}

prop_compose! {
    fn current()(
        (user, org) in (user(), org()),
        (version, position, epoch, at) in any::<(u64, u64, u32, i64)>(),
        state in option::of(state()),
        recent in vec(recent(), 0..20),
    ) -> CurrentUser {
        CurrentUser {
            user, org,
            version: Version(version),
            position: Position(position),
            epoch,
            at: Timestamp(at),
            state, recent,
        }
    }
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode_into(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn a_record_reads_back_and_says_where_the_next_begins(
        first in record(),
        second in record(),
    ) {
        let mut bytes = encoded(&first);
        second.encode_into(&mut bytes);
        let (read, length) = Record::decode(&bytes).unwrap();
        prop_assert_eq!(read, first);
        let (read, last) = Record::decode(&bytes[length..]).unwrap();
        prop_assert_eq!(read, second);
        prop_assert_eq!(length + last, bytes.len());
    }

    #[test]
    fn a_current_user_reads_back(current in current()) {
        prop_assert_eq!(CurrentUser::decode(&current.encode()), Ok(current));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = Record::decode(&bytes);
        let _ = CurrentUser::decode(&bytes);
        let _ = decode_body::<UpdateBody>(&bytes);
        let _ = decode_body::<PatchBody>(&bytes);
        let _ = decode_body::<CreateBody>(&bytes);
    }

    /// Damage of what was once good gets further than arbitrary bytes do.
    #[test]
    fn no_damage_makes_a_reader_panic(
        (record, current) in (record(), current()),
        damage in vec((any::<usize>(), any::<u8>()), 1..8),
        cut in any::<usize>(),
    ) {
        for mut bytes in [encoded(&record), current.encode()] {
            for (place, byte) in &damage {
                let place = place % bytes.len();
                bytes[place] = *byte;
            }
            bytes.truncate(bytes.len() - cut % 4);
            let _ = Record::decode(&bytes);
            let _ = CurrentUser::decode(&bytes);
        }
    }

    #[test]
    fn no_json_like_text_makes_a_reader_panic(text in r#"[{}\[\]",:0-9a-z\\ \t\n.eE+-]{0,80}"#) {
        let _ = decode_body::<UpdateBody>(text.as_bytes());
        let _ = decode_body::<CreateBody>(text.as_bytes());
    }

    #[test]
    fn the_newest_16_caller_and_4_generated_keys_of_24_hours_are_kept(
        first in record(),
        commands in vec((key(), 0..KEYS_KEPT_US_MAX / 6), 1..60),
    ) {
        let mut at = 1_757_062_536_000_000;
        let mut all: Vec<RecentCommand> = Vec::new();
        let mut current: Option<CurrentUser> = None;
        for (index, (key, pause)) in commands.into_iter().enumerate() {
            at += pause;
            let ordinal = index as u64 + 1;
            let record = Record {
                key: Some(key),
                position: Position(ordinal),
                version: Version(ordinal),
                at: Timestamp(at),
                ..first.clone()
            };
            all.push(RecentCommand {
                key,
                request_hash: record.request_hash,
                kind: record.kind,
                version: record.version,
                at: record.at,
            });
            current = Some(CurrentUser::fold(current.as_ref(), &record));
        }
        let current = current.unwrap();
        let of = |commands: &[RecentCommand], origin| -> Vec<RecentCommand> {
            let young = |command: &&RecentCommand| at - command.at.0 <= KEYS_KEPT_US_MAX;
            let own = commands.iter().filter(|command| command.key.origin == origin);
            own.filter(young).copied().collect()
        };
        for (origin, kept_max) in [
            (KeyOrigin::Caller, CALLER_KEYS_KEPT_MAX),
            (KeyOrigin::Generated, GENERATED_KEYS_KEPT_MAX),
        ] {
            let expected = of(&all, origin);
            let newest = &expected[expected.len().saturating_sub(kept_max)..];
            prop_assert_eq!(of(&current.recent, origin), newest);
        }
        let is_old = |command: &RecentCommand| at - command.at.0 > KEYS_KEPT_US_MAX;
        prop_assert!(!current.recent.iter().any(is_old));
        let kept_max = CALLER_KEYS_KEPT_MAX + GENERATED_KEYS_KEPT_MAX;
        prop_assert!(current.recent.len() <= kept_max);
        prop_assert!(current.recent.is_sorted_by_key(|command| command.version));
    }

    #[test]
    fn folding_the_same_record_again_changes_nothing(
        before in option::of(current()),
        record in record(),
    ) {
        let once = CurrentUser::fold(before.as_ref(), &record);
        prop_assert_eq!(CurrentUser::fold(Some(&once), &record), once);
    }
}
