//! What the service makes is what the contract's golden files say.

use std::path::Path;
use std::sync::Arc;

use profile_messages::event::EventKind;
use profile_messages::{Contact, Gender};

use super::*;
use crate::clock::ManualClock;
use crate::commit_log::memory::MemoryLog;
use crate::current_view::memory::MemoryView;

fn golden(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../messages/golden");
    std::fs::read_to_string(folder.join(name))
        .unwrap()
        .trim_end()
        .to_owned()
}

fn ports(payload: EventPayload) -> EntityPorts {
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    EntityPorts {
        log: Arc::new(MemoryLog::new(clock.clone())),
        view: Arc::new(MemoryView::default()),
        clock,
        store_id: "5f1e".into(),
        epoch: 1,
        payload,
    }
}

/// Version, time and event of each golden file, and the fields before and after it.
fn sample(
    kind: EventKind,
) -> (
    u64,
    i64,
    Event,
    Option<ProfileFields>,
    Option<ProfileFields>,
) {
    let old = ProfileFields {
        first_name: "Ada".to_owned(),
        last_name: "Lovelace".to_owned(),
        display_name: "Ada Lovelace".to_owned(),
        ..ProfileFields::default()
    };
    let new = ProfileFields {
        nick_name: "Zoë \"日本\" 👩".to_owned(),
        preferred_language: "de-CH".to_owned(),
        gender: Gender::Diverse,
        ..old.clone()
    };
    let contact = Contact {
        user_name: "ada.lovelace".to_owned(),
        email: "ada@example.com".to_owned(),
        email_verified: true,
        phone: "+41446681800".to_owned(),
        phone_verified: false,
    };
    match kind {
        EventKind::Created => {
            let (org, fields) = (OrgId::parse("org-1").unwrap(), old.clone());
            let event = Event::Created {
                org,
                fields,
                contact,
            };
            (1, 1_757_062_536_156_333, event, None, Some(old))
        }
        EventKind::Changed => {
            let changes = FieldChanges::between(&old, &new);
            (
                2,
                1_757_148_936_500_000,
                Event::Changed { changes },
                Some(old),
                Some(new),
            )
        }
        EventKind::Removed => (3, 1_757_235_336_000_000, Event::Removed, Some(new), None),
    }
}

#[test]
fn every_event_is_made_as_its_golden_file_says() {
    let (user, org) = (UserId::parse("69629023906488334"), OrgId::parse("org-1"));
    let (user, org) = (user.unwrap(), org.unwrap());
    for kind in EventKind::ALL {
        for (name, payload) in [
            ("names", EventPayload::Names),
            ("changed", EventPayload::Changed),
            ("full", EventPayload::Full),
        ] {
            let (version, at, event, before, after) = sample(kind);
            let announced = Announced {
                user: &user,
                org: &org,
                version: Version(version),
                at: Timestamp(at),
                event: &event,
                before: before.as_ref(),
                after: after.as_ref(),
            };
            let made = announced.encode(&ports(payload)).unwrap();
            let file = format!("event-{}-{name}.json", kind.name());
            assert_eq!(std::str::from_utf8(&made).unwrap(), golden(&file), "{file}");
        }
    }
}
