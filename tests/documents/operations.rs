//! What no type says about the operations: who may, in words, and an example of each.

use profile_messages::error::ErrorCode;
use profile_messages::subject::Operation;

use crate::json::Json;

/// Who may call it.
pub(crate) fn permission(operation: Operation) -> &'static str {
    match operation {
        Operation::Create | Operation::Update | Operation::Remove => "user.write",
        Operation::Patch => "user.write, or the user's own token",
        Operation::MeUpdate | Operation::MePatch | Operation::MeGet | Operation::MeHistory => {
            "any valid token"
        }
        Operation::Get | Operation::History | Operation::List => "user.read",
        Operation::Replay => "events.read",
    }
}

/// What it does.
pub(crate) fn summary(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "Create a human user with a profile",
        Operation::Update => "Replace a user's profile",
        Operation::Patch => "Change some fields of a user's profile",
        Operation::MeUpdate => "Replace the caller's own profile",
        Operation::MePatch => "Change some fields of the caller's own profile",
        Operation::MeGet => "The caller's own profile",
        Operation::MeHistory => "The changes of the caller's own profile",
        Operation::Get => "A user's profile and contact data",
        Operation::History => "The changes of a user's profile",
        Operation::List => "The users of the organization",
        Operation::Replay => "Events after a position, out of the log",
        Operation::Remove => "Remove a user for ever",
    }
}

/// What a caller has to know beside that.
pub(crate) fn description(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => {
            "The id is the caller's or, without one, made by the service: from organization, caller and \
             Idempotency-Key where there is a key, so that a repetition meets the same user. An id that exists or was \
             removed is 400 with COMMAND-k2unb."
        }
        Operation::Update => {
            "An omitted field becomes empty, displayName first and last name. An unknown user is 400 with \
             COMMAND-3M9sd, a profile that would not change 400 with COMMAND-2M0fs."
        }
        Operation::MeUpdate => {
            "An omitted field becomes empty; displayName is required. A profile that would not change is 400 with \
             COMMAND-2M0fs. Profile-Org does not count."
        }
        Operation::Patch => {
            "RFC 7396: an absent field keeps its value, null clears nickName, preferredLanguage and gender. A change \
             that changes nothing is no error. An unknown user is 404."
        }
        Operation::MePatch => {
            "RFC 7396: an absent field keeps its value, null clears nickName, preferredLanguage and gender. A change \
             that changes nothing is no error. Profile-Org does not count."
        }
        Operation::Get | Operation::MeGet => {
            "Sees every change that was answered. minVersion waits for that version of the user, bounded."
        }
        Operation::History | Operation::MeHistory => {
            "Newest first, with old and new value of each field; the next page by cursor."
        }
        Operation::List => {
            "By display name, true at the position of the answer; the next page by cursor. The cursor belongs to \
             caller, organization and prefix."
        }
        Operation::Replay => {
            "For what the stream no longer holds. Ask again with after = position until end. A position that is no \
             longer kept is 400 with OUT_OF_RANGE."
        }
        Operation::Remove => "The id is never used again. An unknown user is 404.",
    }
}

/// A request that its schema takes.
pub(crate) fn request(operation: Operation) -> Json {
    Json::read(match operation {
        Operation::Create => {
            r#"{"userId": "mia", "userName": "mia", "profile": {"firstName": "Mia", "lastName": "Mouse"},
                "email": {"email": "mia@zoo.example", "isEmailVerified": true}}"#
        }
        Operation::Update => {
            r#"{"userId": "mia", "firstName": "Mia", "lastName": "Mouse", "displayName": "Mia M",
                "preferredLanguage": "de", "gender": "GENDER_FEMALE"}"#
        }
        Operation::MeUpdate => {
            r#"{"firstName": "Mia", "lastName": "Mouse", "displayName": "Mia M"}"#
        }
        Operation::Patch => r#"{"userId": "mia", "nickName": "Mimi", "gender": null}"#,
        Operation::MePatch => r#"{"nickName": "Mimi", "gender": null}"#,
        Operation::MeGet => r#"{"minVersion": "2"}"#,
        Operation::Get => r#"{"userId": "mia", "minVersion": "2"}"#,
        Operation::MeHistory => r#"{"limit": 10}"#,
        Operation::History => r#"{"userId": "mia", "limit": 10}"#,
        Operation::List => r#"{"prefix": "mi", "limit": 100}"#,
        Operation::Replay => r#"{"after": "6", "limit": 100}"#,
        Operation::Remove => r#"{"userId": "mia"}"#,
    })
}

/// The golden file of its reply.
pub(crate) fn reply(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "reply-create",
        Operation::Update
        | Operation::Patch
        | Operation::MeUpdate
        | Operation::MePatch
        | Operation::Remove => "reply-update",
        Operation::MeGet | Operation::Get => "reply-get",
        Operation::MeHistory | Operation::History => "reply-history",
        Operation::List => "reply-list",
        Operation::Replay => "reply-replay",
    }
}

/// When an error has this code.
pub(crate) fn meaning(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::InvalidArgument => {
            "A field, a header or the body is wrong, or the key was used with another body"
        }
        ErrorCode::Unauthenticated => "No valid token",
        ErrorCode::PermissionDenied => "Permission missing, or an unknown organization",
        ErrorCode::NotFound => "Unknown user, or no membership in the organization",
        ErrorCode::FailedPrecondition => "A rule refuses the change in the present state",
        ErrorCode::Aborted => "The expected version is not the current one",
        ErrorCode::OutOfRange => "A position that is no longer kept, or that the log never had",
        ErrorCode::Unimplemented => "No such operation here",
        ErrorCode::ResourceExhausted => "A bound was reached, at once; nothing was done",
        ErrorCode::DeadlineExceeded => "The deadline passed before the append; nothing was done",
        ErrorCode::Unavailable => "Certainly not done; may be tried again",
        ErrorCode::OutcomeUnknown => "Maybe done: ask again with the same idempotency key",
        ErrorCode::Internal => "A fault of the service; its log tells",
    }
}
