//! zitadel-api as data: what is sent, by whom, and what comes of it on every transport.

use profile::transport::api::{ApiService, Call};
use serde_json::{Value, json};

use super::world::Who;

/// One row of a table.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) call: Call,
    pub(crate) who: Who,
    pub(crate) user: Option<String>,
    /// `x-zitadel-orgid`.
    pub(crate) org: Option<&'static str>,
    pub(crate) body: Value,
    pub(crate) expected: Expected,
}

#[derive(Clone, Debug)]
pub(crate) enum Expected {
    Done,
    Refused {
        code: i32,
        /// Of ZITADEL's detail; the message ends with it.
        id: Option<&'static str>,
        text: String,
        /// Fields of all violations.
        violations: Vec<String>,
    },
}

impl Case {
    /// A call by the owner of the zoo on Gigi with a body that changes something.
    pub(crate) fn of(call: Call) -> Case {
        let who = if call.service() == ApiService::Auth {
            Who::User("mia")
        } else {
            Who::Owner
        };
        let has_target = call.http().1.contains("{user_id}");
        Case {
            name: String::new(),
            call,
            who,
            user: has_target.then(|| "gigi".to_owned()),
            org: None,
            body: valid_body(call),
            expected: Expected::Done,
        }
    }

    pub(crate) fn named(mut self, name: impl Into<String>) -> Case {
        self.name = name.into();
        self
    }

    pub(crate) fn by(mut self, who: Who) -> Case {
        self.who = who;
        self
    }

    pub(crate) fn on(mut self, user: &str) -> Case {
        self.user = Some(user.to_owned());
        self
    }

    pub(crate) fn in_org(mut self, org: &'static str) -> Case {
        self.org = Some(org);
        self
    }

    /// With this value at a place of the body (JSON path with dots).
    pub(crate) fn with(mut self, place: &str, value: Value) -> Case {
        let mut at = &mut self.body;
        for name in place.split('.') {
            at = &mut at[name];
        }
        *at = value;
        self
    }

    /// Without what is at a place of the body.
    pub(crate) fn without(mut self, place: &str) -> Case {
        let (outer, name) = match place.rsplit_once('.') {
            None => (&mut self.body, place),
            Some((outer, name)) => {
                let pointer = format!("/{}", outer.replace('.', "/"));
                (self.body.pointer_mut(&pointer).unwrap(), name)
            }
        };
        outer.as_object_mut().unwrap().remove(name);
        self
    }

    /// ZITADEL's own error: text and id.
    pub(crate) fn refused(self, code: i32, id: &'static str, text: &str) -> Case {
        self.expecting(code, Some(id), text, &[])
    }

    /// A plain status.
    pub(crate) fn refused_plainly(self, code: i32, text: &str) -> Case {
        self.expecting(code, None, text, &[])
    }

    /// A validator's text, and the fields of all violations.
    pub(crate) fn invalid(self, text: &str, fields: &[&str]) -> Case {
        self.expecting(3, None, text, fields)
    }

    fn expecting(
        mut self,
        code: i32,
        id: Option<&'static str>,
        text: &str,
        fields: &[&str],
    ) -> Case {
        self.expected = Expected::Refused {
            code,
            id,
            text: text.to_owned(),
            violations: fields.iter().map(|field| (*field).to_owned()).collect(),
        };
        self
    }
}

/// In a body: replaced by another text each time it is sent.
pub(crate) const FRESH: &str = "{fresh}";

/// A body that is valid and changes something each time.
fn valid_body(call: Call) -> Value {
    let v1_profile = json!({"firstName": "Gigi", "lastName": "Giraffe", "nickName": FRESH});
    let v2_profile = json!({"givenName": "Gigi", "familyName": FRESH});
    let mail = json!({"email": "gigi@zoo.example"});
    match call {
        Call::UpdateHumanProfile | Call::UpdateMyProfile => json!({
            "firstName": FRESH, "lastName": "Giraffe", "nickName": FRESH, "displayName": "Gigi G",
        }),
        Call::AddHumanUser | Call::ImportHumanUser => {
            json!({"userName": "gigi", "profile": v1_profile, "email": mail})
        }
        Call::V2UpdateHumanUser => json!({"profile": v2_profile}),
        Call::V2UpdateUser => json!({"human": {"profile": {"givenName": FRESH}}}),
        Call::V2AddHumanUser => json!({"profile": v2_profile, "email": mail}),
        Call::V2CreateUser => json!({
            "organizationId": "zoo", "username": "gigi",
            "human": {"profile": v2_profile, "email": mail},
        }),
        Call::ListUserChanges
        | Call::ListMyUserChanges
        | Call::GetHumanProfile
        | Call::GetUserById
        | Call::GetMyProfile
        | Call::V2GetUserById => json!({}),
    }
}
