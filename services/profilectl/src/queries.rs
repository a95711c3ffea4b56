//! The commands that read: get, history, list.

use std::ops::ControlFlow;

use bytes::Bytes;
use profile_messages::reply::{HistoryReply, ListReply};
use profile_messages::subject::Operation;
use serde::de::DeserializeOwned;

use crate::args::{GetArgs, Global, HistoryArgs, ListArgs, PageArgs};
use crate::client::Connection;
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
pub(crate) struct Pages<'a> {
    pub(crate) global: &'a Global,
    pub(crate) operation: Operation,
    pub(crate) user_id: Option<&'a str>,
    pub(crate) prefix: Option<&'a str>,
    pub(crate) page: &'a PageArgs,
}

impl Pages<'_> {
    /// Prints one page, or with `--all` every page as it comes.
    async fn print<P: DeserializeOwned>(
        &self,
        next: impl Fn(&P) -> Option<String>,
        show: impl Fn(&Bytes, &P, Place, &PageArgs, &Global) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut place = Place::First;
        // Checked before connecting: usage errors need no server.
        self.request(self.page.cursor.as_deref())?;
        let mut connection = client::connect(self.global).await?;
        let see = |reply: &Bytes, page: &P| {
            show(reply, page, place, self.page, self.global)?;
            place = Place::Later;
            Ok(match self.page.all {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        };
        self.walk(&mut connection, next, see).await
    }

    /// Asks for page after page until `see` has enough or there are no more: memory holds one at a time.
    pub(crate) async fn walk<P: DeserializeOwned>(
        &self,
        connection: &mut Connection,
        next: impl Fn(&P) -> Option<String>,
        mut see: impl FnMut(&Bytes, &P) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let mut cursor = self.page.cursor.clone();
        loop {
            let reply = connection.ask(self.request(cursor.as_deref())?).await?;
            let page = output::decode(&reply)?;
            let following = next(&page);
            if see(&reply, &page)?.is_break() || following.is_none() {
                return Ok(());
            }
            if following == cursor {
                return Err(Failure::other("the service sent the same cursor twice"));
            }
            cursor = following;
        }
    }

    fn request(&self, cursor: Option<&str>) -> Result<request::Request, Failure> {
        let body = body::page(self.page, self.prefix, cursor);
        request::read(self.global, self.operation, self.user_id, body)
    }
}
