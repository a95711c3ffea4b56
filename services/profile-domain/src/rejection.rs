//! Why a valid command is refused in the present state, with ZITADEL's ids and texts.

/// A refusal leaves no trace. `Display` is ZITADEL's text without the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// Unknown, removed or another organization's user, on `update` and `me.update` (ZITADEL v1).
    #[error("Profile not found")]
    ProfileNotFound,
    /// None of the six fields differs (ZITADEL v1).
    #[error("Profile not changed")]
    NotChanged,
    /// The id exists or was removed: ids are never reused.
    #[error("User already exists")]
    AlreadyExists,
    /// Unknown or removed user, on `patch` (ZITADEL v2).
    #[error("User could not be found")]
    UserNotFound,
    /// Unknown, removed or another organization's user, on `remove`.
    #[error("User could not be found")]
    RemoveNotFound,
    /// The first name of a new user is blank once trimmed.
    #[error("First name in profile is empty")]
    FirstNameEmpty,
    /// The last name of a new user is blank once trimmed.
    #[error("Last name in profile is empty")]
    LastNameEmpty,
}

impl Rejection {
    pub const ALL: [Rejection; 7] = [
        Rejection::ProfileNotFound,
        Rejection::NotChanged,
        Rejection::AlreadyExists,
        Rejection::UserNotFound,
        Rejection::RemoveNotFound,
        Rejection::FirstNameEmpty,
        Rejection::LastNameEmpty,
    ];

    /// ZITADEL's error id.
    pub fn id(self) -> &'static str {
        match self {
            Rejection::ProfileNotFound => "COMMAND-3M9sd",
            Rejection::NotChanged => "COMMAND-2M0fs",
            Rejection::AlreadyExists => "COMMAND-k2unb",
            Rejection::UserNotFound => "COMMAND-ugjs0upun6",
            Rejection::RemoveNotFound => "COMMAND-m9od",
            Rejection::FirstNameEmpty => "PROFILE-RF5z2",
            Rejection::LastNameEmpty => "PROFILE-DSUkN",
        }
    }
}
