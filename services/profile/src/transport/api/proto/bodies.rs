//! The generated messages as the bodies that JSON is read into: one set of rules for both.
//!
//! A plain proto3 text is never absent, so it is `Some`, empty or not. What is not supported is dropped
//! here, but for the fact that it was sent.

use profile_messages::command::{CreateBody, EmailBody, ImportBody, PhoneBody, UpdateBody, v2};
use profile_messages::json::{Message, Sent, WireGender, WireU64};
use profile_messages::query::{ChangeQuery, ChangesBody};

use super::zitadel::management::v1::{
    AddHumanUserRequest, ImportHumanUserRequest, UpdateHumanProfileRequest, add_human_user_request,
    import_human_user_request,
};
use super::zitadel::{auth, change, object, user};

pub(super) fn changes(query: Option<change::v1::ChangeQuery>) -> ChangesBody {
    let query = query.map(|query| {
        Message(ChangeQuery {
            sequence: Some(WireU64(query.sequence)),
            limit: Some(WireU64(query.limit.into())),
            asc: Some(query.asc),
        })
    });
    ChangesBody {
        user_id: None,
        query,
    }
}

impl From<UpdateHumanProfileRequest> for UpdateBody {
    fn from(sent: UpdateHumanProfileRequest) -> UpdateBody {
        UpdateBody {
            user_id: None,
            first_name: Some(sent.first_name),
            last_name: Some(sent.last_name),
            nick_name: Some(sent.nick_name),
            display_name: sent.display_name,
            preferred_language: Some(sent.preferred_language),
            gender: gender(sent.gender),
        }
    }
}

impl From<auth::v1::UpdateMyProfileRequest> for UpdateBody {
    fn from(sent: auth::v1::UpdateMyProfileRequest) -> UpdateBody {
        UpdateBody {
            user_id: None,
            first_name: Some(sent.first_name),
            last_name: Some(sent.last_name),
            nick_name: Some(sent.nick_name),
            display_name: Some(sent.display_name),
            preferred_language: Some(sent.preferred_language),
            gender: gender(sent.gender),
        }
    }
}

impl From<AddHumanUserRequest> for CreateBody {
    fn from(sent: AddHumanUserRequest) -> CreateBody {
        CreateBody {
            user_id: None,
            user_name: Some(sent.user_name),
            profile: sent.profile.map(|profile| Message(profile.into())),
            email: sent.email.map(|it| email(it.email, it.is_email_verified)),
            phone: sent.phone.map(|it| phone(it.phone, it.is_phone_verified)),
            initial_password: sent_text(&sent.initial_password),
        }
    }
}

impl From<ImportHumanUserRequest> for ImportBody {
    fn from(sent: ImportHumanUserRequest) -> ImportBody {
        ImportBody {
            user_name: Some(sent.user_name),
            profile: sent.profile.map(|profile| Message(profile.into())),
            email: sent.email.map(|it| email(it.email, it.is_email_verified)),
            phone: sent.phone.map(|it| phone(it.phone, it.is_phone_verified)),
            password: sent_text(&sent.password),
            hashed_password: sent_message(sent.hashed_password),
            password_change_required: Some(sent.password_change_required),
            request_passwordless_registration: Some(sent.request_passwordless_registration),
            otp_code: sent_text(&sent.otp_code),
            idps: sent_list(&sent.idps),
            recovery_codes: sent_list(&sent.recovery_codes),
        }
    }
}

impl From<add_human_user_request::Profile> for UpdateBody {
    fn from(sent: add_human_user_request::Profile) -> UpdateBody {
        UpdateBody {
            user_id: None,
            first_name: Some(sent.first_name),
            last_name: Some(sent.last_name),
            nick_name: Some(sent.nick_name),
            display_name: Some(sent.display_name),
            preferred_language: Some(sent.preferred_language),
            gender: gender(sent.gender),
        }
    }
}

impl From<import_human_user_request::Profile> for UpdateBody {
    fn from(sent: import_human_user_request::Profile) -> UpdateBody {
        UpdateBody {
            user_id: None,
            first_name: Some(sent.first_name),
            last_name: Some(sent.last_name),
            nick_name: Some(sent.nick_name),
            display_name: Some(sent.display_name),
            preferred_language: Some(sent.preferred_language),
            gender: gender(sent.gender),
        }
    }
}

fn email(email: String, is_email_verified: bool) -> Message<EmailBody> {
    Message(EmailBody {
        email: Some(email),
        is_email_verified: Some(is_email_verified),
    })
}

fn phone(phone: String, is_phone_verified: bool) -> Message<PhoneBody> {
    Message(PhoneBody {
        phone: Some(phone),
        is_phone_verified: Some(is_phone_verified),
    })
}

impl From<user::v2::UpdateHumanUserRequest> for v2::UpdateHumanBody {
    fn from(sent: user::v2::UpdateHumanUserRequest) -> v2::UpdateHumanBody {
        v2::UpdateHumanBody {
            user_id: None,
            username: sent_message(sent.username),
            profile: sent.profile.map(|profile| Message(profile.into())),
            email: sent_message(sent.email),
            phone: sent_message(sent.phone),
            password: sent_message(sent.password),
        }
    }
}

impl From<user::v2::UpdateUserRequest> for v2::UpdateUserBody {
    fn from(sent: user::v2::UpdateUserRequest) -> v2::UpdateUserBody {
        use user::v2::update_user_request::UserType;
        let (human, machine) = match sent.user_type {
            Some(UserType::Human(human)) => (Some(Message(human.into())), None),
            Some(UserType::Machine(_)) => (None, Some(Sent)),
            None => (None, None),
        };
        v2::UpdateUserBody {
            user_id: None,
            username: sent_message(sent.username),
            human,
            machine,
            metadata: sent_list(&sent.metadata),
        }
    }
}

impl From<user::v2::update_user_request::Human> for v2::UpdateUserHumanBody {
    fn from(sent: user::v2::update_user_request::Human) -> v2::UpdateUserHumanBody {
        v2::UpdateUserHumanBody {
            profile: sent.profile.map(|profile| Message(profile.into())),
            email: sent_message(sent.email),
            phone: sent_message(sent.phone),
            password: sent_message(sent.password),
        }
    }
}

impl From<user::v2::update_user_request::human::Profile> for v2::ProfileBody {
    fn from(sent: user::v2::update_user_request::human::Profile) -> v2::ProfileBody {
        v2::ProfileBody {
            given_name: sent.given_name,
            family_name: sent.family_name,
            nick_name: sent.nick_name,
            display_name: sent.display_name,
            preferred_language: sent.preferred_language,
            gender: sent.gender.and_then(gender),
        }
    }
}

impl From<user::v2::SetHumanProfile> for v2::ProfileBody {
    fn from(sent: user::v2::SetHumanProfile) -> v2::ProfileBody {
        v2::ProfileBody {
            given_name: Some(sent.given_name),
            family_name: Some(sent.family_name),
            nick_name: sent.nick_name,
            display_name: sent.display_name,
            preferred_language: sent.preferred_language,
            gender: sent.gender.and_then(gender),
        }
    }
}

impl From<user::v2::SetHumanEmail> for v2::EmailBody {
    fn from(sent: user::v2::SetHumanEmail) -> v2::EmailBody {
        use user::v2::set_human_email::Verification;
        let mut body = v2::EmailBody {
            email: Some(sent.email),
            ..v2::EmailBody::default()
        };
        match sent.verification {
            Some(Verification::SendCode(_)) => body.send_code = Some(Sent),
            Some(Verification::ReturnCode(_)) => body.return_code = Some(Sent),
            Some(Verification::IsVerified(verified)) => body.is_verified = Some(verified),
            None => {}
        }
        body
    }
}

impl From<user::v2::SetHumanPhone> for v2::PhoneBody {
    fn from(sent: user::v2::SetHumanPhone) -> v2::PhoneBody {
        use user::v2::set_human_phone::Verification;
        let mut body = v2::PhoneBody {
            phone: Some(sent.phone),
            ..v2::PhoneBody::default()
        };
        match sent.verification {
            Some(Verification::SendCode(_)) => body.send_code = Some(Sent),
            Some(Verification::ReturnCode(_)) => body.return_code = Some(Sent),
            Some(Verification::IsVerified(verified)) => body.is_verified = Some(verified),
            None => {}
        }
        body
    }
}

impl From<object::v2::Organization> for v2::OrganizationBody {
    fn from(sent: object::v2::Organization) -> v2::OrganizationBody {
        use object::v2::organization::Org;
        let (org_id, org_domain) = match sent.org {
            Some(Org::OrgId(id)) => (Some(id), None),
            Some(Org::OrgDomain(_)) => (None, Some(Sent)),
            None => (None, None),
        };
        v2::OrganizationBody { org_id, org_domain }
    }
}

impl From<user::v2::AddHumanUserRequest> for v2::AddHumanBody {
    fn from(sent: user::v2::AddHumanUserRequest) -> v2::AddHumanBody {
        use user::v2::add_human_user_request::PasswordType;
        let (password, hashed_password) = match sent.password_type {
            Some(PasswordType::Password(_)) => (Some(Sent), None),
            Some(PasswordType::HashedPassword(_)) => (None, Some(Sent)),
            None => (None, None),
        };
        v2::AddHumanBody {
            user_id: sent.user_id,
            username: sent.username,
            organization: sent.organization.map(|it| Message(it.into())),
            profile: sent.profile.map(|it| Message(it.into())),
            email: sent.email.map(|it| Message(it.into())),
            phone: sent.phone.map(|it| Message(it.into())),
            metadata: sent_list(&sent.metadata),
            password,
            hashed_password,
            idp_links: sent_list(&sent.idp_links),
            totp_secret: sent_message(sent.totp_secret),
        }
    }
}

impl From<user::v2::CreateUserRequest> for v2::CreateUserBody {
    fn from(sent: user::v2::CreateUserRequest) -> v2::CreateUserBody {
        use user::v2::create_user_request::UserType;
        let (human, machine) = match sent.user_type {
            Some(UserType::Human(human)) => (Some(Message(human.into())), None),
            Some(UserType::Machine(_)) => (None, Some(Sent)),
            None => (None, None),
        };
        v2::CreateUserBody {
            organization_id: Some(sent.organization_id),
            user_id: sent.user_id,
            username: sent.username,
            human,
            machine,
            metadata: sent_list(&sent.metadata),
        }
    }
}

impl From<user::v2::create_user_request::Human> for v2::CreateHumanBody {
    fn from(sent: user::v2::create_user_request::Human) -> v2::CreateHumanBody {
        use user::v2::create_user_request::human::PasswordType;
        let (password, hashed_password) = match sent.password_type {
            Some(PasswordType::Password(_)) => (Some(Sent), None),
            Some(PasswordType::HashedPassword(_)) => (None, Some(Sent)),
            None => (None, None),
        };
        v2::CreateHumanBody {
            profile: sent.profile.map(|it| Message(it.into())),
            email: sent.email.map(|it| Message(it.into())),
            phone: sent.phone.map(|it| Message(it.into())),
            password,
            hashed_password,
            idp_links: sent_list(&sent.idp_links),
            totp_secret: sent_message(sent.totp_secret),
            metadata: sent_list(&sent.metadata),
        }
    }
}

fn gender(number: i32) -> Option<WireGender> {
    Some(WireGender(Some(number)))
}

fn sent_text(text: &str) -> Option<Sent> {
    (!text.is_empty()).then_some(Sent)
}

fn sent_message<T>(message: Option<T>) -> Option<Sent> {
    message.map(|_| Sent)
}

fn sent_list<T>(list: &[T]) -> Option<Sent> {
    (!list.is_empty()).then_some(Sent)
}
