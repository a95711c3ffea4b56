//! What ZITADEL's bodies may ask for and is not about profiles: the JSON name of the first such field.

use profile_messages::command::ImportBody;
use profile_messages::command::v2::{
    AddHumanBody, CreateHumanBody, CreateUserBody, EmailBody, PhoneBody, UpdateHumanBody,
    UpdateUserBody, UpdateUserHumanBody,
};
use profile_messages::json::{Message, Sent};

type Field = (&'static str, Option<Sent>);

/// A passkey is registered by a mail of ZITADEL's; `false` asks for nothing.
pub(super) fn import(body: &ImportBody) -> Option<&'static str> {
    let passwordless = body.request_passwordless_registration == Some(true);
    first(&[
        (
            "requestPasswordlessRegistration",
            passwordless.then_some(Sent),
        ),
        ("otpCode", body.otp_code),
        ("idps", body.idps),
        ("recoveryCodes", body.recovery_codes),
    ])
}

pub(super) fn update_human(body: &UpdateHumanBody) -> Option<&'static str> {
    first(&[
        ("username", body.username),
        ("email", body.email),
        ("phone", body.phone),
        ("password", body.password),
    ])
}

pub(super) fn update_user(body: &UpdateUserBody) -> Option<&'static str> {
    let in_human = |Message(human): &Message<UpdateUserHumanBody>| {
        first(&[
            ("email", human.email),
            ("phone", human.phone),
            ("password", human.password),
        ])
    };
    first(&[("username", body.username)])
        .or_else(|| body.human.as_ref().and_then(in_human))
        .or_else(|| first(&[("machine", body.machine), ("metadata", body.metadata)]))
}

pub(super) fn add_human(body: &AddHumanBody) -> Option<&'static str> {
    let organization = body.organization.as_ref();
    let domain = organization.and_then(|Message(organization)| organization.org_domain);
    first(&[("orgDomain", domain)])
        .or_else(|| contact(body.email.as_ref(), body.phone.as_ref()))
        .or_else(|| {
            first(&[
                ("metadata", body.metadata),
                ("password", body.password),
                ("hashedPassword", body.hashed_password),
                ("idpLinks", body.idp_links),
                ("totpSecret", body.totp_secret),
            ])
        })
}

pub(super) fn create_user(body: &CreateUserBody) -> Option<&'static str> {
    let in_human = |Message(human): &Message<CreateHumanBody>| {
        contact(human.email.as_ref(), human.phone.as_ref()).or_else(|| {
            first(&[
                ("password", human.password),
                ("hashedPassword", human.hashed_password),
                ("idpLinks", human.idp_links),
                ("totpSecret", human.totp_secret),
                ("metadata", human.metadata),
            ])
        })
    };
    let human = body.human.as_ref().and_then(in_human);
    human.or_else(|| first(&[("machine", body.machine), ("metadata", body.metadata)]))
}

/// No message is ever sent, and no code made.
fn contact(
    email: Option<&Message<EmailBody>>,
    phone: Option<&Message<PhoneBody>>,
) -> Option<&'static str> {
    let email = email.map(|Message(email)| [email.send_code, email.return_code]);
    let phone = phone.map(|Message(phone)| [phone.send_code, phone.return_code]);
    let codes = [email, phone].into_iter().flatten();
    codes
        .map(|[send, back]| first(&[("sendCode", send), ("returnCode", back)]))
        .find_map(|field| field)
}

fn first(fields: &[Field]) -> Option<&'static str> {
    fields.iter().find_map(|(name, sent)| sent.map(|_| *name))
}
