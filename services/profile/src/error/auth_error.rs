//! Why a caller is refused.

use profile_messages::error::ErrorCode;

/// Why a caller is refused: ids, texts and codes of zitadel-api §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthError {
    #[error("auth header missing")]
    HeaderMissing,
    #[error("invalid auth header (AUTH-toLo1)")]
    HeaderInvalid,
    #[error("Errors.Token.Invalid (AUTH-7fs1e)")]
    TokenInvalid,
    #[error("Organisation doesn't exist (AUTH-Bs7Ds)")]
    OrgUnknown,
    #[error("membership not found (AUTHZ-cdgFk)")]
    NoMembership,
    #[error("No matching permissions found (AUTH-5mWD2)")]
    NoPermission,
    /// The same refusal where ZITADEL checks inside the command (v2, `patch`).
    #[error("No matching permissions found (AUTH-AWfge)")]
    NoPermissionInCommand,
    /// The key set cannot be fetched: nothing can be said about the token.
    #[error("the token issuer's keys cannot be read")]
    KeysUnavailable,
    /// Only the issuer can read the token, and none could be asked.
    #[error("the token issuer cannot be asked about the token")]
    IssuerUnavailable,
    /// The bound on tokens that issuers are asked about at once.
    #[error("too many tokens are being asked about at once")]
    IssuerBusy,
}

impl AuthError {
    pub fn code(self) -> ErrorCode {
        match self {
            AuthError::HeaderMissing | AuthError::HeaderInvalid | AuthError::TokenInvalid => {
                ErrorCode::Unauthenticated
            }
            AuthError::OrgUnknown | AuthError::NoPermission | AuthError::NoPermissionInCommand => {
                ErrorCode::PermissionDenied
            }
            AuthError::NoMembership => ErrorCode::NotFound,
            AuthError::KeysUnavailable | AuthError::IssuerUnavailable | AuthError::IssuerBusy => {
                ErrorCode::Unavailable
            }
        }
    }

    /// Id and text of ZITADEL's ErrorDetail; a missing header and what is not ZITADEL's have
    /// none.
    pub fn detail(self) -> Option<(&'static str, String)> {
        let (id, text) = match self {
            AuthError::HeaderMissing
            | AuthError::KeysUnavailable
            | AuthError::IssuerUnavailable
            | AuthError::IssuerBusy => return None,
            AuthError::HeaderInvalid => ("AUTH-toLo1", "invalid auth header"),
            AuthError::TokenInvalid => ("AUTH-7fs1e", "Errors.Token.Invalid"),
            AuthError::OrgUnknown => ("AUTH-Bs7Ds", "Organisation doesn't exist"),
            AuthError::NoMembership => ("AUTHZ-cdgFk", "membership not found"),
            AuthError::NoPermission => ("AUTH-5mWD2", "No matching permissions found"),
            AuthError::NoPermissionInCommand => ("AUTH-AWfge", "No matching permissions found"),
        };
        Some((id, text.to_owned()))
    }
}
