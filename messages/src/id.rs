//! Ids of users and organizations, versions and positions.

use std::fmt;
use std::sync::Arc;

/// Longest id in bytes (ids are ASCII, so also in characters).
pub const ID_LENGTH_BYTES_MAX: usize = 200;

/// An id outside `[A-Za-z0-9_-]{1,200}`. Carries no part of the value, so it may be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to 200 characters of A-Z, a-z, 0-9, _ and -")]
pub struct InvalidId;

fn check(text: &str) -> Result<(), InvalidId> {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain && (1..=ID_LENGTH_BYTES_MAX).contains(&text.len()) {
        Ok(())
    } else {
        Err(InvalidId)
    }
}

/// Id of a user: `[A-Za-z0-9_-]{1,200}`, so that it is one NATS subject token and one path segment.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

/// Id of an organization, of the same form as a [`UserId`]. ZITADEL calls it resource owner.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrgId(Arc<str>);

impl UserId {
    /// # Errors
    /// [`InvalidId`] when `text` is not of the form.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        check(text).map(|()| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl OrgId {
    /// # Errors
    /// [`InvalidId`] when `text` is not of the form.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        check(text).map(|()| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({})", self.0)
    }
}

impl fmt::Display for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrgId({})", self.0)
    }
}

/// Version of one user: 1, 2, 3 ... without gaps; 0 means "does not exist". ZITADEL: sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u64);

impl Version {
    pub const NONE: Version = Version(0);

    #[must_use]
    pub fn next(self) -> Version {
        Version(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Ordinal of a commit over the whole log: 1, 2, 3 ...; 0 means "before the first". Opaque to callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(pub u64);

impl Position {
    pub const NONE: Position = Position(0);

    #[must_use]
    pub fn next(self) -> Position {
        Position(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_subject_token() {
        for good in ["a", "69629023906488334", "A-Z_9", &"x".repeat(200)] {
            assert_eq!(UserId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a.b", "a b", "*", ">", "ä", "a\0", &"x".repeat(201)] {
            assert_eq!(UserId::parse(bad), Err(InvalidId));
            assert_eq!(OrgId::parse(bad), Err(InvalidId));
        }
    }
}
