//! JSON Schemas (draft 2020-12) of the bodies, as the service announces them and tools read them, and the
//! documents that are made of them.
//!
//! Checked in under `schemas/`, next to the types they describe; tests hold one against the other.

use crate::subject::Operation;

/// OpenAPI 3.1 of the REST paths.
pub const OPENAPI: &str = include_str!("../openapi.json");
/// AsyncAPI 3.0 of the NATS subjects; `make schemas` writes it.
pub const ASYNCAPI: &str = include_str!("../schemas/asyncapi.json");
/// Both documents as one HTML page that needs nothing from elsewhere; `make schemas` writes it.
pub const PAGE: &str = include_str!("../schemas/page.html");
/// The schema of every event's payload.
pub const EVENT: &str = include_str!("../schemas/event.json");
/// The schema of every error's body.
pub const ERROR: &str = include_str!("../schemas/error.json");

/// Every JSON Schema, by the name of its file.
pub const FILES: [(&str, &str); 19] = [
    (
        "command.response.json",
        include_str!("../schemas/command.response.json"),
    ),
    (
        "create.request.json",
        include_str!("../schemas/create.request.json"),
    ),
    ("error.json", include_str!("../schemas/error.json")),
    ("event.json", include_str!("../schemas/event.json")),
    (
        "get.request.json",
        include_str!("../schemas/get.request.json"),
    ),
    (
        "get.response.json",
        include_str!("../schemas/get.response.json"),
    ),
    (
        "history.request.json",
        include_str!("../schemas/history.request.json"),
    ),
    (
        "history.response.json",
        include_str!("../schemas/history.response.json"),
    ),
    (
        "list.request.json",
        include_str!("../schemas/list.request.json"),
    ),
    (
        "list.response.json",
        include_str!("../schemas/list.response.json"),
    ),
    (
        "me-get.request.json",
        include_str!("../schemas/me-get.request.json"),
    ),
    (
        "me-history.request.json",
        include_str!("../schemas/me-history.request.json"),
    ),
    (
        "me-patch.request.json",
        include_str!("../schemas/me-patch.request.json"),
    ),
    (
        "me-update.request.json",
        include_str!("../schemas/me-update.request.json"),
    ),
    (
        "patch.request.json",
        include_str!("../schemas/patch.request.json"),
    ),
    (
        "remove.request.json",
        include_str!("../schemas/remove.request.json"),
    ),
    (
        "replay.request.json",
        include_str!("../schemas/replay.request.json"),
    ),
    (
        "replay.response.json",
        include_str!("../schemas/replay.response.json"),
    ),
    (
        "update.request.json",
        include_str!("../schemas/update.request.json"),
    ),
];

/// The messages of gRPC, gRPC-Web and Connect, by their path below the import root.
pub const PROTOS: [(&str, &str); 9] = [
    (
        "zitadel/auth.proto",
        include_str!("../proto/zitadel/auth.proto"),
    ),
    (
        "zitadel/change.proto",
        include_str!("../proto/zitadel/change.proto"),
    ),
    (
        "zitadel/management.proto",
        include_str!("../proto/zitadel/management.proto"),
    ),
    (
        "zitadel/message.proto",
        include_str!("../proto/zitadel/message.proto"),
    ),
    (
        "zitadel/object.proto",
        include_str!("../proto/zitadel/object.proto"),
    ),
    (
        "zitadel/object/v2/object.proto",
        include_str!("../proto/zitadel/object/v2/object.proto"),
    ),
    (
        "zitadel/user.proto",
        include_str!("../proto/zitadel/user.proto"),
    ),
    (
        "zitadel/user/v2/user.proto",
        include_str!("../proto/zitadel/user/v2/user.proto"),
    ),
    (
        "zitadel/user/v2/user_service.proto",
        include_str!("../proto/zitadel/user/v2/user_service.proto"),
    ),
];

/// The schema of an operation's request body, on one line.
pub fn request(operation: Operation) -> String {
    one_line(match operation {
        Operation::Create => include_str!("../schemas/create.request.json"),
        Operation::Update => include_str!("../schemas/update.request.json"),
        Operation::Patch => include_str!("../schemas/patch.request.json"),
        Operation::MeUpdate => include_str!("../schemas/me-update.request.json"),
        Operation::MePatch => include_str!("../schemas/me-patch.request.json"),
        Operation::MeGet => include_str!("../schemas/me-get.request.json"),
        Operation::MeHistory => include_str!("../schemas/me-history.request.json"),
        Operation::Get => include_str!("../schemas/get.request.json"),
        Operation::History => include_str!("../schemas/history.request.json"),
        Operation::List => include_str!("../schemas/list.request.json"),
        Operation::Replay => include_str!("../schemas/replay.request.json"),
        Operation::Remove => include_str!("../schemas/remove.request.json"),
    })
}

/// The schema of an operation's reply body, on one line.
pub fn response(operation: Operation) -> String {
    one_line(match operation {
        Operation::Create
        | Operation::Update
        | Operation::Patch
        | Operation::MeUpdate
        | Operation::MePatch
        | Operation::Remove => include_str!("../schemas/command.response.json"),
        Operation::MeGet | Operation::Get => include_str!("../schemas/get.response.json"),
        Operation::MeHistory | Operation::History => {
            include_str!("../schemas/history.response.json")
        }
        Operation::List => include_str!("../schemas/list.response.json"),
        Operation::Replay => include_str!("../schemas/replay.response.json"),
    })
}

/// No string in the files spans lines, so what stands at line ends and beginnings is layout.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_in_its_table() {
        for (folder, table) in [("schemas", &FILES[..]), ("proto", &PROTOS[..])] {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let mut there = BTreeSet::new();
            collect(&root, &root, &mut there);
            for made in ["asyncapi.json", "page.html"] {
                there.remove(made);
            }
            let named: BTreeSet<String> =
                table.iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(there, named, "{folder}");
        }
    }

    fn collect(root: &Path, folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(root, &path, found);
            } else {
                let below = path.strip_prefix(root).unwrap();
                found.insert(below.to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_schema_is_one_line_of_json() {
        for operation in Operation::ALL {
            for schema in [request(operation), response(operation)] {
                let parsed: serde_json::Value = serde_json::from_str(&schema).unwrap();
                assert!(parsed.get("$schema").is_some(), "{operation:?}");
                assert!(!schema.contains('\n'));
            }
        }
    }
}
