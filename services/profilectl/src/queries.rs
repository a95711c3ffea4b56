//! The commands that read: get, history, list.

use bytes::Bytes;
use profile_messages::reply::{HistoryReply, ListReply};
use profile_messages::subject::Operation;
use serde::de::DeserializeOwned;

use crate::args::{GetArgs, Global, HistoryArgs, ListArgs, PageArgs};
use crate::failure::Failure;
use crate::output::{self, Place};
use crate::request::{self, operation};
use crate::{body, client};

pub(crate) async fn get(global: &Global, args: &GetArgs) -> Result<(), Failure> {
    let operation = operation(&args.target, Operation::Get, Operation::MeGet);
    let user_id = args.target.user_id.as_deref();
    let request = request::read(global, operation, user_id, body::get(args.min_version))?;
    let reply = client::connect(global).await?.ask(request).await?;
    output::get(&reply, global.format())
}

pub(crate) async fn history(global: &Global, args: &HistoryArgs) -> Result<(), Failure> {
    let pages = Pages {
        global,
        operation: operation(&args.target, Operation::History, Operation::MeHistory),
        user_id: args.target.user_id.as_deref(),
        prefix: None,
        page: &args.page,
    };
    let next = |page: &HistoryReply| page.next_cursor.clone();
    match args.diff {
        true => pages.print(next, output::history_diff).await,
        false => pages.print(next, output::history).await,
    }
}

pub(crate) async fn list(global: &Global, args: &ListArgs) -> Result<(), Failure> {
    let pages = Pages {
        global,
        operation: Operation::List,
        user_id: None,
        prefix: args.prefix.as_deref(),
        page: &args.page,
    };
    let next = |page: &ListReply| page.next_cursor.clone();
    pages.print(next, output::list).await
}

/// A query that is answered page by page.
struct Pages<'a> {
    global: &'a Global,
    operation: Operation,
    user_id: Option<&'a str>,
    prefix: Option<&'a str>,
    page: &'a PageArgs,
}

impl Pages<'_> {
    /// Prints one page, or with `--all` every page as it comes: memory holds one at a time.
    async fn print<P: DeserializeOwned>(
        &self,
        next: impl Fn(&P) -> Option<String>,
        show: impl Fn(&Bytes, &P, Place, &PageArgs, &Global) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut cursor = self.page.cursor.clone();
        // Checked before connecting: usage errors need no server.
        let mut request = self.request(cursor.as_deref())?;
        let mut connection = client::connect(self.global).await?;
        let mut place = Place::First;
        loop {
            let reply = connection.ask(request).await?;
            let page = output::decode(&reply)?;
            show(&reply, &page, place, self.page, self.global)?;
            let following = next(&page);
            if !self.page.all || following.is_none() {
                return Ok(());
            }
            if following == cursor {
                return Err(Failure::other("the service sent the same cursor twice"));
            }
            cursor = following;
            request = self.request(cursor.as_deref())?;
            place = Place::Later;
        }
    }

    fn request(&self, cursor: Option<&str>) -> Result<request::Request, Failure> {
        let body = body::page(self.page, self.prefix, cursor);
        request::read(self.global, self.operation, self.user_id, body)
    }
}
