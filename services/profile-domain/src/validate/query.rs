//! The rules of ZITADEL's reads.

use profile_messages::Version;
use profile_messages::json::Message;
use profile_messages::query::{ChangeQuery, ChangesBody, PAGE_ROWS_DEFAULT};

use super::NAME;
use crate::rule::{Fields, Violations};

#[cfg(test)]
mod tests;

/// ZITADEL management GetHumanProfile.
///
/// # Errors
/// The broken rule.
pub fn human_profile(user_id: &str) -> Result<(), Violations> {
    let mut fields = Fields::of("GetHumanProfileRequest");
    fields.any_text_length("UserId", "userId", user_id, NAME);
    fields.into_result(())
}

/// ZITADEL management GetUserByID.
///
/// # Errors
/// The broken rule.
pub fn management_user(id: &str) -> Result<(), Violations> {
    let mut fields = Fields::of("GetUserByIDRequest");
    fields.any_text_length("Id", "id", id, NAME);
    fields.into_result(())
}

/// ZITADEL user v2 GetUserByID: another name of the field.
///
/// # Errors
/// The broken rule.
pub fn any_user(user_id: &str) -> Result<(), Violations> {
    let mut fields = Fields::of("GetUserByIDRequest");
    fields.any_text_length("UserId", "userId", user_id, NAME);
    fields.into_result(())
}

/// A page of a user's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangesPage {
    pub order: ChangesOrder,
    pub rows_max: u64,
}

/// Where a page of changes begins; the version named does not belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangesOrder {
    /// From the newest change before this version, or from the newest of all.
    NewestFirst { before: Option<Version> },
    /// From the oldest change after this version; [`Version::NONE`]: from the oldest of all.
    OldestFirst { after: Version },
}

/// ZITADEL management ListUserChanges; `rows_max` is the most rows of any page.
///
/// # Errors
/// All broken rules, in ZITADEL's order.
pub fn user_changes(
    user_id: &str,
    body: &ChangesBody,
    rows_max: u64,
) -> Result<ChangesPage, Violations> {
    let mut fields = Fields::of("ListUserChangesRequest");
    let page = changes_page(&mut fields, body, rows_max);
    fields.any_text_length("UserId", "userId", user_id, NAME);
    fields.into_result(page)
}

/// ZITADEL auth ListMyUserChanges.
///
/// # Errors
/// The broken rule.
pub fn my_changes(body: &ChangesBody, rows_max: u64) -> Result<ChangesPage, Violations> {
    let mut fields = Fields::of("ListMyUserChangesRequest");
    let page = changes_page(&mut fields, body, rows_max);
    fields.into_result(page)
}

/// ZITADEL has no rule for `limit` and reads without a bound when there is none; here a page has one.
fn changes_page(outer: &mut Fields, body: &ChangesBody, rows_max: u64) -> ChangesPage {
    let query = body.query.as_ref().map(|Message(query)| *query);
    let ChangeQuery {
        sequence,
        limit,
        asc,
    } = query.unwrap_or_default();
    let limit = limit.map_or(0, |limit| limit.0);
    let mut fields = outer.nested_type("ChangeQuery", "Query", "query");
    fields.at_most("Limit", "limit", limit, rows_max);
    outer.collect(fields);
    let sequence = Version(sequence.map_or(0, |sequence| sequence.0));
    ChangesPage {
        order: match asc {
            Some(true) => ChangesOrder::OldestFirst { after: sequence },
            Some(false) | None => ChangesOrder::NewestFirst {
                before: Some(sequence).filter(|sequence| *sequence != Version::NONE),
            },
        },
        rows_max: match limit {
            0 => PAGE_ROWS_DEFAULT.min(rows_max),
            limit => limit,
        },
    }
}
