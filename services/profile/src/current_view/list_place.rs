//! A user's place in its organization's list as bytes that sort like (organization, folded display
//! name, user id): `org 00 name 00 user`, every 00 inside the name written as `00 FF`.
//!
//! Unambiguous because ids hold neither 00 nor FF, and UTF-8 never holds FF.

use profile_messages::current::CurrentUser;
use profile_messages::{OrgId, UserId};

use super::{ListKey, ListRequest};

const SEPARATOR: u8 = 0x00;
const ESCAPED: u8 = 0xFF;

/// The place of `entry`; `None` for a removed user, who is not listed.
pub(super) fn of_entry(entry: &CurrentUser) -> Option<Vec<u8>> {
    ListKey::of(entry).map(|key| of_key(&entry.org, &key))
}

fn of_key(org: &OrgId, key: &ListKey) -> Vec<u8> {
    let mut place = name_prefix(org, &key.display_name_folded);
    place.push(SEPARATOR);
    place.extend_from_slice(key.user.as_str().as_bytes());
    place
}

/// The user id at the end of a place; `None` when the bytes are not a place.
pub(super) fn user_of(place: &[u8]) -> Option<UserId> {
    let id = place.rsplit(|byte| *byte == SEPARATOR).next()?;
    UserId::parse(std::str::from_utf8(id).ok()?).ok()
}

/// What every place begins with whose folded display name begins with `prefix_folded`.
fn name_prefix(org: &OrgId, prefix_folded: &str) -> Vec<u8> {
    let mut place = Vec::with_capacity(org.as_str().len() + prefix_folded.len() + 2);
    place.extend_from_slice(org.as_str().as_bytes());
    place.push(SEPARATOR);
    for byte in prefix_folded.bytes() {
        place.push(byte);
        if byte == SEPARATOR {
            place.push(ESCAPED);
        }
    }
    place
}

/// The places that a request asks for: those after `after` that begin with `prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) prefix: Vec<u8>,
    /// The last place of the page before.
    pub(super) after: Option<Vec<u8>>,
}

impl Span {
    pub(super) fn of(request: &ListRequest) -> Span {
        Span {
            prefix: name_prefix(&request.org, &request.prefix_folded),
            after: request.after.as_ref().map(|key| of_key(&request.org, key)),
        }
    }

    /// Where reading starts: the first place that is neither before the prefix nor at `after`.
    pub(super) fn start(&self) -> Vec<u8> {
        match &self.after {
            Some(after) if *after >= self.prefix => {
                let mut start = after.clone();
                start.push(SEPARATOR); // the smallest key above `after`
                start
            }
            Some(_) | None => self.prefix.clone(),
        }
    }

    pub(super) fn holds(&self, place: &[u8]) -> bool {
        place.starts_with(&self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(name: &str, user: &str) -> Vec<u8> {
        let key = ListKey {
            display_name_folded: name.to_owned(),
            user: UserId::parse(user).unwrap(),
        };
        of_key(&OrgId::parse("org").unwrap(), &key)
    }

    proptest! {
        #[test]
        fn places_sort_like_name_and_user(
            a in "[\0\u{1}a-cß\u{ff}]{0,4}", b in "[\0\u{1}a-cß\u{ff}]{0,4}",
            u in "[-A-Z_a-z0-9]{1,3}", v in "[-A-Z_a-z0-9]{1,3}",
        ) {
            prop_assert_eq!(
                place(&a, &u).cmp(&place(&b, &v)),
                (a.as_str(), u.as_str()).cmp(&(b.as_str(), v.as_str()))
            );
            prop_assert_eq!(user_of(&place(&a, &u)), UserId::parse(&u).ok());
            let org = OrgId::parse("org").unwrap();
            prop_assert_eq!(
                place(&a, &u).starts_with(&name_prefix(&org, &b)),
                a.starts_with(&b)
            );
        }
    }
}
