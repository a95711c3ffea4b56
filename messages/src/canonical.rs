//! The bytes of a command that a request hash covers. They decide whether a repetition is the same
//! request, also across an upgrade, so they are a format of their own and do not follow the Rust types.

use crate::command::{Command, ProfilePatch};
use crate::{Contact, Gender, ProfileFields, Version};

/// First byte of the encoding. A release that changes the encoding of an existing command raises it and
/// accepts repetitions of the old form for the time that keys are remembered.
pub const CANONICAL_FORMAT: u8 = 1;

/// The command and its expected version, unambiguously: each text carries its length.
pub fn canonical_bytes(command: &Command, expected_version: Option<Version>) -> Vec<u8> {
    let mut bytes = Bytes(vec![CANONICAL_FORMAT]);
    match expected_version {
        None => bytes.0.push(0),
        Some(version) => {
            bytes.0.push(1);
            bytes.0.extend_from_slice(&version.0.to_le_bytes());
        }
    }
    match command {
        Command::Create {
            user,
            org,
            fields,
            contact,
        } => {
            bytes.0.push(1);
            bytes.text(user.as_str());
            bytes.text(org.as_str());
            bytes.fields(fields);
            bytes.contact(contact);
        }
        Command::Update { org, fields } => {
            bytes.0.push(2);
            bytes.text(org.as_str());
            bytes.fields(fields);
        }
        Command::Patch { patch } => {
            bytes.0.push(3);
            bytes.patch(patch);
        }
        Command::Remove { org } => {
            bytes.0.push(4);
            bytes.text(org.as_str());
        }
    }
    bytes.0
}

struct Bytes(Vec<u8>);

impl Bytes {
    fn text(&mut self, text: &str) {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn maybe_text(&mut self, text: Option<&String>) {
        self.0.push(u8::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }

    fn gender(&mut self, gender: Gender) {
        self.0.extend_from_slice(&gender.number().to_le_bytes());
    }

    fn fields(&mut self, fields: &ProfileFields) {
        self.text(&fields.first_name);
        self.text(&fields.last_name);
        self.text(&fields.nick_name);
        self.text(&fields.display_name);
        self.text(&fields.preferred_language);
        self.gender(fields.gender);
    }

    fn contact(&mut self, contact: &Contact) {
        self.text(&contact.user_name);
        self.text(&contact.email);
        self.0.push(u8::from(contact.email_verified));
        self.text(&contact.phone);
        self.0.push(u8::from(contact.phone_verified));
    }

    fn patch(&mut self, patch: &ProfilePatch) {
        self.maybe_text(patch.first_name.as_ref());
        self.maybe_text(patch.last_name.as_ref());
        self.maybe_text(patch.nick_name.as_ref());
        self.maybe_text(patch.display_name.as_ref());
        self.maybe_text(patch.preferred_language.as_ref());
        self.0.push(u8::from(patch.gender.is_some()));
        if let Some(gender) = patch.gender {
            self.gender(gender);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OrgId, UserId};

    fn hex(command: &Command, expected: Option<Version>) -> String {
        let bytes = canonical_bytes(command, expected);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn org() -> OrgId {
        OrgId::parse("zoo").unwrap()
    }

    /// Released for ever: a repetition across an upgrade must hash alike.
    #[test]
    fn the_encoding_of_format_1_stays_as_it_is() {
        let fields = ProfileFields {
            first_name: "A".into(),
            last_name: "B".into(),
            nick_name: String::new(),
            display_name: "C".into(),
            preferred_language: "en".into(),
            gender: Gender::Diverse,
        };
        let six = "010000004101000000420000000001000000430200000065 6e03000000".replace(' ', "");
        let contact = Contact {
            user_name: "a".into(),
            email: "e".into(),
            email_verified: true,
            phone: String::new(),
            phone_verified: false,
        };
        let user = UserId::parse("u").unwrap();
        let create = Command::Create {
            user,
            org: org(),
            fields: fields.clone(),
            contact,
        };
        let expected =
            format!("0100010100000075030000007a6f6f{six}010000006101000000650100000000 00");
        assert_eq!(hex(&create, None), expected.replace(' ', ""));
        let update = Command::Update { org: org(), fields };
        assert_eq!(hex(&update, None), format!("010002030000007a6f6f{six}"));
        let with_version = format!("0101070000000000000002030000007a6f6f{six}");
        assert_eq!(hex(&update, Some(Version(7))), with_version);
        let patch = ProfilePatch {
            nick_name: Some("N".into()),
            gender: Some(Gender::Female),
            ..ProfilePatch::default()
        };
        assert_eq!(
            hex(&Command::Patch { patch }, None),
            "0100030000010100 00004e00000101000000".replace(' ', "")
        );
        assert_eq!(
            hex(&Command::Remove { org: org() }, None),
            "010004030000007a6f6f"
        );
    }

    #[test]
    fn neighbouring_texts_cannot_be_confused() {
        let with = |first: &str, last: &str| {
            let fields = ProfileFields {
                first_name: first.into(),
                last_name: last.into(),
                ..ProfileFields::default()
            };
            canonical_bytes(&Command::Update { org: org(), fields }, None)
        };
        assert_ne!(with("ab", "c"), with("a", "bc"));
    }
}
