//! Golden files of everything that is sent or stored. The bytes of a released format never change, and
//! every released one still decodes. `UPDATE_GOLDEN=1 cargo test -p profile-messages` writes them anew.

// The whole file is a test, its helpers too: clippy.toml allows these in `#[test]` functions only.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Once;

#[path = "golden/samples.rs"]
mod samples;

use profile_messages::current::CurrentUser;
use profile_messages::error::{ErrorCode, Status};
use profile_messages::event::{CloudEvent, EventKind};
use profile_messages::record::{Record, RecordError};
use profile_messages::reply::{CommandReply, GetReply, HistoryReply, ListReply, ReplayReply};
use samples::{currents, errors, events, records, replies};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of stored formats are written 32 to a line.
const HEX_LINE_BYTES: usize = 32;

/// Where the golden files are; the first to ask writes them, when that is what the run is for.
fn directory() -> PathBuf {
    static UPDATED: Once = Once::new();
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    UPDATED.call_once(|| {
        if std::env::var("UPDATE_GOLDEN").as_deref() == Ok("1") {
            fs::create_dir_all(&directory).unwrap();
            for (name, text) in files() {
                fs::write(directory.join(name), text).unwrap();
            }
        }
    });
    directory
}

fn read(name: &str) -> String {
    let path = directory().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every golden file: its name and what it has to hold.
fn files() -> Vec<(String, String)> {
    let line = |text: String| text + "\n";
    let mut files: Vec<(String, String)> = Vec::new();
    for (name, reply) in replies() {
        files.push((format!("reply-{name}.json"), line(reply)));
    }
    for status in errors() {
        let code = ErrorCode::from_grpc(status.code).unwrap();
        let name = code.name().to_lowercase().replace('_', "-");
        files.push((format!("error-{name}.json"), line(json(&status))));
    }
    for (name, event) in events() {
        files.push((format!("event-{name}.json"), line(json(&event))));
    }
    for (name, record) in records() {
        let mut bytes = Vec::new();
        record.encode_into(&mut bytes);
        files.push((format!("record-1-{name}.hex"), hex(&bytes)));
    }
    for (name, current) in currents() {
        files.push((format!("current-1-{name}.hex"), hex(&current.encode())));
    }
    files
}

#[test]
fn what_is_written_is_the_golden_file_byte_for_byte() {
    for (name, text) in files() {
        assert_eq!(read(&name), text, "{name}");
    }
}

#[test]
fn every_golden_file_has_its_case() {
    let cases: BTreeSet<String> = files().into_iter().map(|(name, _)| name).collect();
    let entries = fs::read_dir(directory()).unwrap();
    let stored: BTreeSet<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(stored, cases);
}

#[test]
fn every_golden_reply_reads_back() {
    fn reads_back<R: DeserializeOwned + Serialize>(name: &str) {
        let text = read(&format!("reply-{name}.json"));
        let reply: R =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(json(&reply), text.trim_end(), "{name}");
    }
    reads_back::<CommandReply>("create");
    reads_back::<CommandReply>("update");
    reads_back::<GetReply>("get");
    reads_back::<GetReply>("get-least");
    reads_back::<HistoryReply>("history");
    reads_back::<ListReply>("list");
    reads_back::<ListReply>("list-empty");
    reads_back::<ReplayReply>("replay");
    assert_eq!(replies().len(), 8);
}

#[test]
fn every_error_code_has_a_golden_status_that_reads_back() {
    let statuses = errors();
    let codes: BTreeSet<i32> = statuses.iter().map(|status| status.code).collect();
    assert_eq!(codes, ErrorCode::ALL.map(ErrorCode::grpc).into());
    for status in statuses {
        let code = ErrorCode::from_grpc(status.code).unwrap();
        let name = code.name().to_lowercase().replace('_', "-");
        let read: Status = serde_json::from_str(&read(&format!("error-{name}.json"))).unwrap();
        assert_eq!(read, status, "{name}");
    }
}

#[test]
fn a_status_with_a_detail_of_a_later_release_is_still_readable() {
    let text = r#"{"code":9,"message":"m","details":[{"@type":"type.googleapis.com/new","x":1},
        {"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[]},7]}"#;
    let status: Status = serde_json::from_str(text).unwrap();
    assert_eq!((status.code, status.details.len()), (9, 1));
}

#[test]
fn every_golden_event_reads_back() {
    let events = events();
    assert_eq!(events.len(), EventKind::ALL.len() * 3);
    for (name, event) in events {
        let text = read(&format!("event-{name}.json"));
        let read: CloudEvent = serde_json::from_str(&text).unwrap();
        assert_eq!(read, event, "{name}");
    }
}

#[test]
fn no_golden_event_holds_contact_data() {
    for (name, _) in events() {
        let text = read(&format!("event-{name}.json"));
        for value in ["ada.lovelace", "ada@example.com", "+41446681800"] {
            assert!(!text.contains(value), "{name}");
        }
    }
}

#[test]
fn every_released_record_format_still_decodes() {
    for (name, record) in records() {
        let bytes = unhex(&read(&format!("record-1-{name}.hex")));
        let (decoded, length) = Record::decode(&bytes).unwrap();
        assert_eq!((decoded, length), (record, bytes.len()), "{name}");
    }
}

#[test]
fn every_released_current_user_format_still_decodes() {
    for (name, current) in currents() {
        let bytes = unhex(&read(&format!("current-1-{name}.hex")));
        assert_eq!(CurrentUser::decode(&bytes), Ok(current), "{name}");
    }
}

#[test]
fn a_newer_format_is_refused_by_its_number_and_a_cut_record_is_damaged() {
    let bytes = unhex(&read("record-1-created-caller-key.hex"));
    let mut newer = bytes.clone();
    newer[4] = 2;
    assert_eq!(Record::decode(&newer), Err(RecordError::Newer(2)));
    for length in 0..bytes.len() {
        let cut = Record::decode(&bytes[..length]);
        assert!(matches!(cut, Err(RecordError::Damaged(_))), "{length}");
    }
    // Field 1, the format, is the first field of a current user: tag 8, then the number.
    let mut newer = unhex(&read("current-1-removed.hex"));
    assert_eq!(newer[..2], [8, 1]);
    newer[1] = 2;
    assert_eq!(CurrentUser::decode(&newer), Err(RecordError::Newer(2)));
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    let lines = bytes.chunks(HEX_LINE_BYTES).map(|line| {
        let digits: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
        digits + "\n"
    });
    lines.collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}
