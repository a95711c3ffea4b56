//! The users of an organization, page by page.

use std::sync::Arc;

use profile_messages::UserId;
use profile_messages::current::CurrentUser;
use profile_messages::query::PageBody;
use profile_messages::reply::{GetReply, ListReply, QueryReply};

use super::caller::Caller;
use super::read::{get_reply, unreadable};
use super::{ProfileService, cursor};
use crate::auth::Permission;
use crate::current_view::{ListKey, ListRequest, ListRows, folded};
use crate::error::ServiceError;

impl ProfileService {
    pub(super) async fn list(
        &self,
        caller: &Caller,
        body: PageBody,
    ) -> Result<QueryReply, ServiceError> {
        let org = self.authorized_org(caller, Permission::UserRead)?;
        let rows_max = self.page_rows(body.limit)?;
        let _page = self.page_permit()?;
        let prefix_folded = folded(body.prefix.as_deref().unwrap_or_default());
        let [issuer, subject] = caller.principal.identity();
        let scope = ["list", org.as_str(), &prefix_folded, issuer, subject];
        let after = match body.cursor.as_deref() {
            None => None,
            Some(sealed) => Some(list_key(&cursor::open(&self.data_dir, &scope, sealed)?)?),
        };
        let request = ListRequest {
            org: org.clone(),
            prefix_folded: prefix_folded.clone(),
            after,
            rows_max,
        };
        let rows = self.read_rows(request).await?;
        let (users, last) = self.fitting(&rows);
        let more = rows.more || users.len() < rows.rows.len();
        let next = last.filter(|_| more);
        let next_cursor = next.map(|row| cursor::seal(&self.data_dir, &scope, &place(row)));
        Ok(QueryReply::List(ListReply {
            users,
            next_cursor,
            position: rows.position.0,
        }))
    }

    /// The view may have to read the disk, so not on an I/O thread.
    async fn read_rows(&self, request: ListRequest) -> Result<ListRows, ServiceError> {
        let view = Arc::clone(&self.ports.view);
        let read = tokio::task::spawn_blocking(move || view.list(&request)).await;
        read.map_err(|_| ServiceError::Internal)?
            .map_err(|_| unreadable())
    }

    /// As many rows as fit into a reply, and the last of them; at least one.
    fn fitting<'a>(&self, rows: &'a ListRows) -> (Vec<GetReply>, Option<&'a Arc<CurrentUser>>) {
        let (mut users, mut last, mut bytes) = (Vec::new(), None, 0);
        for row in &rows.rows {
            let Some(state) = row.state.as_ref() else {
                continue;
            };
            let reply = get_reply(row, state);
            bytes += serde_json::to_vec(&reply).map_or(0, |json| json.len());
            if bytes > self.reads.page_bytes_max && !users.is_empty() {
                break;
            }
            users.push(reply);
            last = Some(row);
        }
        (users, last)
    }
}

/// Place of a row as sealed into a cursor: the user id, a zero byte, the folded name.
fn place(row: &CurrentUser) -> Vec<u8> {
    let name = row
        .state
        .as_ref()
        .map_or("", |state| state.fields.display_name.as_str());
    [row.user.as_str().as_bytes(), b"\0", folded(name).as_bytes()].concat()
}

fn list_key(place: &[u8]) -> Result<ListKey, ServiceError> {
    let text = std::str::from_utf8(place).map_err(|_| ServiceError::Internal)?;
    let (user, name) = text.split_once('\0').ok_or(ServiceError::Internal)?;
    let user = UserId::parse(user).map_err(|_| ServiceError::Internal)?;
    Ok(ListKey {
        display_name_folded: name.to_owned(),
        user,
    })
}
