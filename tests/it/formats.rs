//! A data directory of each released format, checked in, is served by the real binary; what a newer
//! release wrote is refused by name.

use std::fs;
use std::path::{Path, PathBuf};

use profile_tests::caller::{Answer, Caller, Identity};
use profile_tests::nats_server::{NatsServer, ServerOptions};
use profile_tests::repository;
use profile_tests::service::Service;
use serde_json::json;

const CURSOR: &str = "relay";
const SEGMENT: &str = "log/00000000000000000001.seg";

/// The service with this data directory, not started yet.
fn prepared(server: &NatsServer, golden: &str) -> Service {
    let service = Service::prepared(server, "");
    let golden = repository::file("services/profile/golden").join(golden);
    copy(&golden, &service.data_dir());
    service
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().unwrap().is_dir() {
            true => copy(&path, &copied),
            false => drop(fs::copy(path, copied).unwrap()),
        }
    }
}

fn replaced(path: PathBuf, from: &[u8], to: &[u8]) {
    let mut bytes = fs::read(&path).unwrap();
    let mut places = bytes.windows(from.len());
    let place = places.position(|part| part == from).unwrap();
    bytes[place..place + to.len()].copy_from_slice(to);
    fs::write(path, bytes).unwrap();
}

/// Makes the checksum of the cursor's first slot right again: CRC-32C, bit by bit.
fn sealed(path: PathBuf) {
    let mut bytes = fs::read(&path).unwrap();
    let checksum = !bytes[..124].iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| match sum & 1 {
            0 => sum >> 1,
            _ => (sum >> 1) ^ 0x82f6_3b78,
        })
    });
    bytes[124..128].copy_from_slice(&checksum.to_le_bytes());
    fs::write(path, bytes).unwrap();
}

/// user-2 of the checked-in directory has version 2; `display_name` is of the newest.
async fn is_served(owner: &Caller, version: &str, display_name: &str) {
    let got = owner.call("get", json!({"userId": "user-2"})).await.ok();
    assert_eq!(got["details"]["sequence"], version);
    assert_eq!(got["profile"]["displayName"], display_name);
    assert_eq!(got["profile"]["gender"], "GENDER_DIVERSE");
    for user in ["user-1", "user-3", "user-4"] {
        let got = owner.call("get", json!({"userId": user})).await.ok();
        assert_eq!(got["details"]["sequence"], "1");
    }
}

async fn renamed(owner: &Caller, name: &str) -> Answer {
    let body = json!({"userId": "user-2", "displayName": name});
    owner.call("patch", body).await
}

#[tokio::test]
async fn the_data_directory_of_format_1_is_served_and_goes_on() {
    let server = NatsServer::start(ServerOptions::default());
    let mut service = prepared(&server, "data-format-1");
    service.start_again();
    let owner = Caller::connect(&server, &service, &Identity::owner("org-1")).await;
    is_served(&owner, "2", "display user-2 1").await;
    let changed = renamed(&owner, "New").await.ok();
    assert_eq!(changed["details"]["sequence"], "3");
    assert!(service.stop().success(), "{}", service.log());

    // The current view is never the only copy: of another format it is built again.
    let view_state = service.data_dir().join("current/STATE");
    replaced(view_state, b"format 2", b"format 3");
    service.start_again();
    is_served(&owner, "3", "New").await;
    let log = service.log();
    assert!(log.contains("another format"), "{log}");
    let changed = renamed(&owner, "Newer").await.ok();
    assert_eq!(changed["details"]["sequence"], "4");
}

#[tokio::test]
async fn a_store_a_segment_and_a_cursor_of_a_newer_release_are_refused_by_name() {
    let server = NatsServer::start(ServerOptions::default());
    let cases: [(&str, &[u8], &[u8], &str); 3] = [
        (
            "STORE",
            b"PROFSTOR\x01",
            b"PROFSTOR\x02",
            "/STORE has format 2, this release knows up to 1",
        ),
        (
            SEGMENT,
            b"\x01",
            b"\x03",
            ".seg has format 3 of a newer release",
        ),
        (
            CURSOR,
            b"PRELAY\x01",
            b"PRELAY\x02",
            "the relay's cursor (the file `relay`) has format 2 of a newer release",
        ),
    ];
    for (file, old, new, refusal) in cases {
        let mut service = prepared(&server, "data-format-1");
        replaced(service.data_dir().join(file), old, new);
        if file == CURSOR {
            sealed(service.data_dir().join(file));
        }
        let before = fs::read(service.data_dir().join(SEGMENT)).unwrap();
        assert!(!service.start_and_end().success());
        let log = service.log();
        assert!(log.contains(refusal), "{log}");
        assert!(
            log.contains("run the release that wrote it, or a newer one"),
            "{log}"
        );
        let after = fs::read(service.data_dir().join(SEGMENT)).unwrap();
        assert!(before == after, "what is refused is left as it was");
    }
}
