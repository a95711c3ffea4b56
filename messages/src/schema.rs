//! JSON Schemas (draft 2020-12) of the bodies, as the service announces them and tools read them.
//!
//! Checked in under `schemas/`, next to the types they describe; a test holds one against the other.

use crate::subject::Operation;

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
    use super::*;

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
