//! A funnel that says what it is told to say, and the edge in front of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use profile_domain::Rejection;
use profile_messages::command::CommandRequest;
use profile_messages::error::FieldViolation;
use profile_messages::query::QueryRequest;
use profile_messages::reply::{
    CommandReply, EmailView, GetReply, HistoryChange, HistoryReply, ObjectDetails, PhoneView,
    ProfileView, QueryReply,
};
use profile_messages::subject::Operation;
use profile_messages::{Gender, Position, Timestamp, Version};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::clock::ManualClock;
use crate::error::{AuthError, Read, ServiceError};
use crate::service::RequestContext;
use crate::transport::Funnel;
use crate::transport::exchange::{Exchange, HttpCounters};
use crate::transport::http::dispatch::Dispatch;

/// The HTTP edge without its listener, on a runtime of this thread alone.
pub(super) struct Edge {
    pub(super) exchange: Arc<Exchange<Stub>>,
    pub(super) dispatch: Dispatch<Stub>,
    letter: Arc<AtomicU8>,
    runtime: Runtime,
    /// As long as it is there, the edge is not told to stop.
    _stop: watch::Sender<bool>,
}

thread_local! {
    static EDGE: Edge = Edge::new();
}

/// Calls `ask` with an edge whose funnel answers as `letter` says: `A` is success, then the errors.
pub(super) fn with_edge<T>(letter: u8, ask: impl FnOnce(&Edge) -> T) -> T {
    EDGE.with(|edge| {
        edge.letter.store(letter, Ordering::Relaxed);
        ask(edge)
    })
}

impl Edge {
    fn new() -> Edge {
        let letter = Arc::new(AtomicU8::new(b'A'));
        let stub = Stub {
            letter: Arc::clone(&letter),
        };
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let counters = Arc::new(HttpCounters::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let runtime = runtime.expect("a runtime");
        let timeout = Duration::from_secs(1);
        let exchange = Exchange::new(Arc::new(stub), clock, 1, timeout, counters);
        let exchange = Arc::new(exchange);
        let (stop, stopped) = watch::channel(false);
        let dispatch = {
            let _entered = runtime.enter();
            Dispatch::new(Arc::clone(&exchange), stopped).expect("our own descriptors")
        };
        Edge {
            exchange,
            dispatch,
            letter,
            runtime,
            _stop: stop,
        }
    }

    pub(super) fn block_on<T>(&self, asked: impl Future<Output = T>) -> T {
        self.runtime.block_on(asked)
    }
}

/// Knows no user and every answer.
#[derive(Debug)]
pub(super) struct Stub {
    letter: Arc<AtomicU8>,
}

impl Stub {
    fn says(&self) -> Result<(), ServiceError> {
        let letter = self.letter.load(Ordering::Relaxed);
        let mut errors = errors();
        let index = usize::from(letter.wrapping_sub(b'A')) % (errors.len() + 1);
        match index.checked_sub(1) {
            None => Ok(()),
            Some(index) => Err(errors.swap_remove(index)),
        }
    }
}

impl Funnel for Stub {
    async fn execute(
        &self,
        _context: RequestContext,
        request: CommandRequest,
    ) -> Result<CommandReply, ServiceError> {
        self.says()?;
        let created = request.operation() == Operation::Create;
        let at = Some(Timestamp(1_756_976_136_156_333));
        Ok(CommandReply {
            user_id: created.then(|| "42".to_owned()),
            details: ObjectDetails {
                creation_date: at.filter(|_| created),
                change_date: at.filter(|_| !created),
                ..details()
            },
        })
    }

    async fn query(
        &self,
        context: RequestContext,
        request: QueryRequest,
    ) -> Result<QueryReply, ServiceError> {
        self.says()?;
        let with_phone = context.envelope.org.is_none();
        let lists = [Operation::History, Operation::MeHistory];
        Ok(match lists.contains(&request.operation()) {
            true => QueryReply::History(history()),
            false => QueryReply::Get(Box::new(user(with_phone))),
        })
    }
}

fn details() -> ObjectDetails {
    ObjectDetails {
        sequence: 7,
        creation_date: Some(Timestamp(1_756_976_136_000_000)),
        change_date: Some(Timestamp(1_756_976_136_156_333)),
        resource_owner: "org".to_owned(),
    }
}

fn user(with_phone: bool) -> GetReply {
    GetReply {
        user_id: "42".to_owned(),
        details: details(),
        profile: ProfileView {
            first_name: "Gigi".to_owned(),
            last_name: "Giraffe".to_owned(),
            nick_name: String::new(),
            display_name: "Gigi G".to_owned(),
            preferred_language: "en".to_owned(),
            gender: Gender::Female,
        },
        user_name: "gigi".to_owned(),
        email: EmailView {
            email: "gigi@zoo.example".to_owned(),
            is_email_verified: true,
        },
        phone: with_phone.then(|| PhoneView {
            phone: "+41446681800".to_owned(),
            is_phone_verified: false,
        }),
    }
}

fn history() -> HistoryReply {
    let change = |kind: &str, sequence| HistoryChange {
        sequence,
        change_date: Timestamp(0),
        kind: kind.to_owned(),
        editor_id: String::new(),
        resource_owner: "org".to_owned(),
        fields: Vec::new(),
    };
    HistoryReply {
        changes: vec![
            change("removed", 3),
            change("changed", 2),
            change("created", 1),
        ],
        next_cursor: None,
    }
}

/// Every kind of error once.
fn errors() -> Vec<ServiceError> {
    let violation = |field: &str| FieldViolation {
        field: field.to_owned(),
        description: "value is required".to_owned(),
    };
    let mut errors = vec![
        ServiceError::Auth(AuthError::HeaderMissing),
        ServiceError::Auth(AuthError::TokenInvalid),
        ServiceError::Auth(AuthError::OrgUnknown),
        ServiceError::Auth(AuthError::NoMembership),
        ServiceError::Auth(AuthError::KeysUnavailable),
        ServiceError::Invalid {
            message: "invalid X.FirstName: value is required".to_owned(),
            violations: vec![violation("firstName"), violation("lastName")],
        },
        ServiceError::ReadNotFound(Read::User),
        ServiceError::Unsupported("metadata"),
        ServiceError::NoUserType,
        ServiceError::VersionMismatch {
            current: Version(8),
        },
        ServiceError::KeyReused,
        ServiceError::Overloaded("requests in flight"),
        ServiceError::DeadlineExceeded,
        ServiceError::VersionNotReached { wanted: Version(9) },
        ServiceError::Unavailable("the log cannot be read"),
        ServiceError::OutcomeUnknown {
            key: "4711".to_owned(),
        },
        ServiceError::Compacted {
            first_kept: Position(5),
        },
        ServiceError::Internal,
    ];
    errors.extend(Rejection::ALL.map(ServiceError::Rejected));
    errors
}
