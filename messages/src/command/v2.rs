//! Bodies of ZITADEL's user service v2 (`zitadel.user.v2`), as far as they are about profiles. Fields of
//! the kind [`Sent`] are known and not supported: a request that holds one is refused as a whole.

use serde::Deserialize;

use crate::json::{Message, Sent, WireGender, sent_list, sent_message, sent_optional_text};

/// `SetHumanProfile`, and the profile of `UpdateUserRequest.Human`, whose fields may all be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProfileBody {
    #[serde(alias = "given_name")]
    pub given_name: Option<String>,
    #[serde(alias = "family_name")]
    pub family_name: Option<String>,
    #[serde(alias = "nick_name")]
    pub nick_name: Option<String>,
    #[serde(alias = "display_name")]
    pub display_name: Option<String>,
    #[serde(alias = "preferred_language")]
    pub preferred_language: Option<String>,
    pub gender: Option<WireGender>,
}

/// `SetHumanEmail`. No mail is ever sent, so asking for a code is not supported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EmailBody {
    pub email: Option<String>,
    #[serde(alias = "is_verified")]
    pub is_verified: Option<bool>,
    #[serde(alias = "send_code", deserialize_with = "sent_message")]
    pub send_code: Option<Sent>,
    #[serde(alias = "return_code", deserialize_with = "sent_message")]
    pub return_code: Option<Sent>,
}

/// `SetHumanPhone`, as [`EmailBody`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PhoneBody {
    pub phone: Option<String>,
    #[serde(alias = "is_verified")]
    pub is_verified: Option<bool>,
    #[serde(alias = "send_code", deserialize_with = "sent_message")]
    pub send_code: Option<Sent>,
    #[serde(alias = "return_code", deserialize_with = "sent_message")]
    pub return_code: Option<Sent>,
}

/// `UpdateHumanUserRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateHumanBody {
    #[serde(alias = "user_id")]
    pub user_id: Option<String>,
    #[serde(deserialize_with = "sent_optional_text")]
    pub username: Option<Sent>,
    pub profile: Option<Message<ProfileBody>>,
    #[serde(deserialize_with = "sent_message")]
    pub email: Option<Sent>,
    #[serde(deserialize_with = "sent_message")]
    pub phone: Option<Sent>,
    #[serde(deserialize_with = "sent_message")]
    pub password: Option<Sent>,
}

/// `UpdateUserRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateUserBody {
    #[serde(alias = "user_id")]
    pub user_id: Option<String>,
    #[serde(deserialize_with = "sent_optional_text")]
    pub username: Option<Sent>,
    pub human: Option<Message<UpdateUserHumanBody>>,
    #[serde(deserialize_with = "sent_message")]
    pub machine: Option<Sent>,
    #[serde(deserialize_with = "sent_list")]
    pub metadata: Option<Sent>,
}

/// `UpdateUserRequest.Human`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateUserHumanBody {
    pub profile: Option<Message<ProfileBody>>,
    #[serde(deserialize_with = "sent_message")]
    pub email: Option<Sent>,
    #[serde(deserialize_with = "sent_message")]
    pub phone: Option<Sent>,
    #[serde(deserialize_with = "sent_message")]
    pub password: Option<Sent>,
}

/// `zitadel.object.v2.Organization`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OrganizationBody {
    #[serde(alias = "org_id")]
    pub org_id: Option<String>,
    /// A member of a oneof was sent also when it is empty.
    #[serde(alias = "org_domain", deserialize_with = "sent_optional_text")]
    pub org_domain: Option<Sent>,
}

/// `AddHumanUserRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AddHumanBody {
    #[serde(alias = "user_id")]
    pub user_id: Option<String>,
    pub username: Option<String>,
    pub organization: Option<Message<OrganizationBody>>,
    pub profile: Option<Message<ProfileBody>>,
    pub email: Option<Message<EmailBody>>,
    pub phone: Option<Message<PhoneBody>>,
    #[serde(deserialize_with = "sent_list")]
    pub metadata: Option<Sent>,
    #[serde(deserialize_with = "sent_message")]
    pub password: Option<Sent>,
    #[serde(alias = "hashed_password", deserialize_with = "sent_message")]
    pub hashed_password: Option<Sent>,
    #[serde(alias = "idp_links", deserialize_with = "sent_list")]
    pub idp_links: Option<Sent>,
    #[serde(alias = "totp_secret", deserialize_with = "sent_optional_text")]
    pub totp_secret: Option<Sent>,
}

/// `CreateUserRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateUserBody {
    #[serde(alias = "organization_id")]
    pub organization_id: Option<String>,
    #[serde(alias = "user_id")]
    pub user_id: Option<String>,
    pub username: Option<String>,
    pub human: Option<Message<CreateHumanBody>>,
    #[serde(deserialize_with = "sent_message")]
    pub machine: Option<Sent>,
    #[serde(deserialize_with = "sent_list")]
    pub metadata: Option<Sent>,
}

/// `CreateUserRequest.Human`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateHumanBody {
    pub profile: Option<Message<ProfileBody>>,
    pub email: Option<Message<EmailBody>>,
    pub phone: Option<Message<PhoneBody>>,
    #[serde(deserialize_with = "sent_message")]
    pub password: Option<Sent>,
    #[serde(alias = "hashed_password", deserialize_with = "sent_message")]
    pub hashed_password: Option<Sent>,
    #[serde(alias = "idp_links", deserialize_with = "sent_list")]
    pub idp_links: Option<Sent>,
    #[serde(alias = "totp_secret", deserialize_with = "sent_optional_text")]
    pub totp_secret: Option<Sent>,
    /// Deprecated in favour of the request's own.
    #[serde(deserialize_with = "sent_list")]
    pub metadata: Option<Sent>,
}

/// The oneof of which more than one member is there.
fn set_twice(oneof: &'static str, members: &[bool]) -> Option<&'static str> {
    let set = members.iter().filter(|is_set| **is_set).count();
    (set > 1).then_some(oneof)
}

/// The same oneof of an e-mail and of a phone.
fn verified_twice(is_verified: Option<bool>, codes: [Option<Sent>; 2]) -> Option<&'static str> {
    let [send, give_back] = codes.map(|code| code.is_some());
    set_twice("verification", &[is_verified.is_some(), send, give_back])
}

impl EmailBody {
    fn oneof_set_twice(&self) -> Option<&'static str> {
        verified_twice(self.is_verified, [self.send_code, self.return_code])
    }
}

impl PhoneBody {
    fn oneof_set_twice(&self) -> Option<&'static str> {
        verified_twice(self.is_verified, [self.send_code, self.return_code])
    }
}

impl UpdateUserBody {
    /// The first oneof of the message that holds two members: protobuf JSON refuses such a message.
    pub fn oneof_set_twice(&self) -> Option<&'static str> {
        set_twice("user_type", &[self.human.is_some(), self.machine.is_some()])
    }
}

impl AddHumanBody {
    /// As [`UpdateUserBody::oneof_set_twice`].
    pub fn oneof_set_twice(&self) -> Option<&'static str> {
        let organization = self.organization.as_ref().and_then(|Message(it)| {
            set_twice("org", &[it.org_id.is_some(), it.org_domain.is_some()])
        });
        let email = self.email.as_ref();
        let phone = self.phone.as_ref();
        let passwords = [self.password.is_some(), self.hashed_password.is_some()];
        organization
            .or_else(|| email.and_then(|Message(it)| it.oneof_set_twice()))
            .or_else(|| phone.and_then(|Message(it)| it.oneof_set_twice()))
            .or_else(|| set_twice("password_type", &passwords))
    }
}

impl CreateUserBody {
    /// As [`UpdateUserBody::oneof_set_twice`].
    pub fn oneof_set_twice(&self) -> Option<&'static str> {
        let user_type = [self.human.is_some(), self.machine.is_some()];
        let human = self.human.as_ref().and_then(|Message(it)| {
            let email = it.email.as_ref();
            let phone = it.phone.as_ref();
            let passwords = [it.password.is_some(), it.hashed_password.is_some()];
            email
                .and_then(|Message(it)| it.oneof_set_twice())
                .or_else(|| phone.and_then(|Message(it)| it.oneof_set_twice()))
                .or_else(|| set_twice("password_type", &passwords))
        });
        set_twice("user_type", &user_type).or(human)
    }
}
