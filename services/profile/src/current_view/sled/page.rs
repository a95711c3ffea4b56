//! One page of a list, true at one position, without keeping a commit waiting for sled.
//!
//! sled is read first, without the overlay's lock; then, under it, rows of users whom the overlay holds
//! by now are dropped and the overlay's own are merged in. That is consistent because sled changes only
//! by the generation that was flushing when the page began: its users are masked throughout, and the
//! next generation cannot begin while the page holds `pages`.

use std::sync::Arc;

use profile_messages::UserId;
use profile_messages::current::CurrentUser;

use super::stored::{StoredError, StoredRow};
use super::{Shared, read};
use crate::current_view::list_place::{self, Span};
use crate::current_view::overlay::{Generation, Overlay};
use crate::current_view::{ListRequest, ListRows, ViewError};

type Flushing = Option<Arc<Generation>>;

pub(super) fn read_page(shared: &Shared, request: &ListRequest) -> Result<ListRows, ViewError> {
    read_page_with(shared, request, || ())
}

/// `after_sled` runs between reading sled and merging, where commits get in: for a test.
pub(super) fn read_page_with(
    shared: &Shared,
    request: &ListRequest,
    mut after_sled: impl FnMut(),
) -> Result<ListRows, ViewError> {
    shared.refuse_failed()?;
    let span = Span::of(request);
    let rows_wanted = request.rows_max.saturating_add(1); // one more tells whether there is more
    let _no_changeover = read(&shared.pages);
    let flushing = read(&shared.overlay).flushing().cloned();

    let mut from = span.clone();
    let mut stored_rows: Vec<StoredRow> = Vec::new();
    loop {
        let is_newer = |user: &UserId| is_masked(&flushing, &read(&shared.overlay), user);
        let more_rows = shared.in_sled(|stored| stored.listed(&from, rows_wanted, is_newer))?;
        let is_end = more_rows.len() < rows_wanted;
        if let Some(last) = more_rows.last() {
            from.after = Some(last.place.clone());
        }
        stored_rows.extend(more_rows);
        after_sled();

        let overlay = read(&shared.overlay);
        stored_rows.retain(|row| !is_masked(&flushing, &overlay, &row.user));
        if is_end || stored_rows.len() >= rows_wanted {
            let position = overlay.position();
            let changed = changed_rows(&flushing, &overlay, &span, rows_wanted);
            drop(overlay);
            let mut rows = merge(stored_rows, changed, rows_wanted).or_else(|error| {
                // Fails the view, unless a failed write explains it.
                shared.in_sled(|_| Err(error))
            })?;
            let more = rows.len() > request.rows_max;
            rows.truncate(request.rows_max);
            return Ok(ListRows {
                rows,
                position,
                more,
            });
        }
        // Commits took the place of rows that were read: go on after them. Each round ends with fewer
        // users left to mask, because none leaves the overlay meanwhile.
    }
}

/// Whether sled's row of this user is superseded, or may be about to be.
fn is_masked(flushing: &Flushing, overlay: &Overlay, user: &UserId) -> bool {
    overlay.active().holds(user) || flushing.as_ref().is_some_and(|f| f.holds(user))
}

type ChangedRow = (Vec<u8>, Arc<CurrentUser>);

/// The overlay's first rows of the span, in order.
fn changed_rows(
    flushing: &Flushing,
    overlay: &Overlay,
    span: &Span,
    rows_max: usize,
) -> Vec<ChangedRow> {
    let active = overlay.active();
    let to_row = |(place, entry): (&[u8], &Arc<CurrentUser>)| (place.to_vec(), Arc::clone(entry));
    let mut rows: Vec<ChangedRow> = active.listed(span).take(rows_max).map(to_row).collect();
    if let Some(flushing) = flushing {
        let not_newer = flushing
            .listed(span)
            .filter(|(_, entry)| !active.holds(&entry.user));
        rows.extend(not_newer.take(rows_max).map(to_row));
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    }
    rows
}

fn merge(
    stored: Vec<StoredRow>,
    changed: Vec<ChangedRow>,
    rows_max: usize,
) -> Result<Vec<Arc<CurrentUser>>, StoredError> {
    let mut rows = changed;
    for row in stored {
        let entry = row
            .entry
            .filter(|entry| list_place::of_entry(entry).as_ref() == Some(&row.place))
            .ok_or_else(|| StoredError::Damaged("a listed user is not there".to_owned()))?;
        rows.push((row.place, entry));
    }
    rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    rows.truncate(rows_max);
    Ok(rows.into_iter().map(|(_, entry)| entry).collect())
}
