//! A user's entity at a node that hears nothing by itself: whatever it refuses or does not change, it has
//! asked the stream first.

use profile::commit_log::conformance::user;
use profile::current_view::memory::MemoryView;
use profile::entity::{Done, EntityPorts, Order, ProfileEntity, Verdict};
use profile::error::ServiceError;
use profile::telemetry::traces::Trace;
use profile_messages::command::{Command, ProfilePatch};
use profile_messages::event::EventPayload;
use profile_messages::record::{CommandKey, KeyOrigin};
use profile_messages::{Contact, OrgId, ProfileFields, Version};

use super::bench::open_with;
use super::*;

struct Deaf {
    ports: EntityPorts,
}

impl Deaf {
    async fn open(url: &str) -> Deaf {
        let view = Arc::new(MemoryView::default());
        let (log, clock) = open_with(url, 0, "s-1", Arc::clone(&view) as _)
            .await
            .unwrap();
        let ports = EntityPorts {
            log: Arc::new(log),
            view,
            clock,
            store_id: "s-1".into(),
            epoch: 1,
            payload: EventPayload::Changed,
        };
        Deaf { ports }
    }

    async fn execute(&self, order: &Order) -> Result<Done, ServiceError> {
        let mut entity = ProfileEntity::load(&order.user, self.ports.view.as_ref()).unwrap();
        match entity.execute(order, &self.ports).await {
            Verdict::Answered(answer) => answer,
            Verdict::MaybeWritten => panic!("maybe written"),
        }
    }
}

fn order(key: u8, command: Command) -> Order {
    Order {
        operation: "tested",
        user: user(1),
        command,
        key: CommandKey {
            hash: [key; 16],
            origin: KeyOrigin::Caller,
        },
        key_text: key.to_string(),
        request_hash: [key; 16],
        expected_version: None,
        actor: "operator".to_owned(),
        actor_issuer: String::new(),
        trace: Trace::default(),
        deadline: None,
    }
}

fn org() -> OrgId {
    OrgId::parse("zoo").unwrap()
}

fn create() -> Command {
    let fields = ProfileFields {
        first_name: "Gigi".to_owned(),
        last_name: "Giraffe".to_owned(),
        display_name: "GG".to_owned(),
        ..ProfileFields::default()
    };
    let contact = Contact {
        user_name: "gigi".to_owned(),
        email: "gigi@zoo.example".to_owned(),
        email_verified: false,
        phone: String::new(),
        phone_verified: false,
    };
    Command::Create {
        user: user(1),
        org: org(),
        fields,
        contact,
    }
}

fn patch(nick_name: &str) -> Command {
    Command::Patch {
        patch: ProfilePatch {
            nick_name: Some(nick_name.to_owned()),
            ..ProfilePatch::default()
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_held_against_the_newest_commit_of_all_nodes() {
    let bench = Bench::open().await;
    let ahead = Deaf::open(&bench.server.url()).await;
    // Known as unknown: made elsewhere since.
    let deaf = Deaf::open(&bench.server.url()).await;
    ahead.execute(&order(1, create())).await.unwrap();
    let done = deaf.execute(&order(2, patch("a"))).await.unwrap();
    assert_eq!(done.version, Version(2));
    // Known as "a", which would be no change: it is "b" by now.
    ahead.execute(&order(3, patch("b"))).await.unwrap();
    let done = deaf.execute(&order(4, patch("a"))).await.unwrap();
    assert_eq!((done.version, done.kind.is_some()), (Version(4), true));
    // Known as version 4.
    ahead.execute(&order(5, patch("c"))).await.unwrap();
    let expecting = Order {
        expected_version: Some(Version(5)),
        ..order(6, patch("d"))
    };
    assert_eq!(deaf.execute(&expecting).await.unwrap().version, Version(6));
    // Known as existing.
    ahead
        .execute(&order(7, Command::Remove { org: org() }))
        .await
        .unwrap();
    let refused = deaf.execute(&order(8, patch("e"))).await;
    assert!(
        matches!(refused, Err(ServiceError::Rejected(_))),
        "{refused:?}"
    );
    assert_eq!(deaf.ports.view.position(), Position(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_used_at_another_node_gets_its_first_answer() {
    let bench = Bench::open().await;
    let deaf = Deaf::open(&bench.server.url()).await;
    let ahead = Deaf::open(&bench.server.url()).await;
    let first = ahead.execute(&order(1, create())).await.unwrap();
    assert_eq!(deaf.execute(&order(1, create())).await, Ok(first));
    let first = ahead.execute(&order(2, patch("a"))).await.unwrap();
    ahead.execute(&order(3, patch("b"))).await.unwrap();
    assert_eq!(deaf.execute(&order(2, patch("a"))).await, Ok(first));
    let other = Order {
        request_hash: [9; 16],
        ..order(3, patch("z"))
    };
    let refused = deaf.execute(&other).await;
    assert!(
        matches!(refused, Err(ServiceError::KeyReused)),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_cannot_be_confirmed_is_unavailable() {
    let mut bench = Bench::open().await;
    let deaf = Deaf::open(&bench.server.url()).await;
    bench.server.stop();
    let refused = deaf.execute(&order(1, patch("a"))).await;
    assert!(
        matches!(refused, Err(ServiceError::Unavailable(_))),
        "{refused:?}"
    );
}
