//! A repeated key gets its first answer, whatever happened to the user in between.

use profile_tests::caller::{Caller, Identity, new_user};
use profile_tests::nats_server::{NatsServer, ServerOptions};
use profile_tests::service::Service;
use serde_json::json;

#[tokio::test]
async fn a_repeated_key_gets_the_first_answer_also_after_the_user_is_removed() {
    let server = NatsServer::start(ServerOptions::default());
    let service = Service::start(&server, "");
    let owner = Caller::connect(&server, &service, &Identity::owner("zoo")).await;
    let keyed = owner.with("Idempotency-Key", "k");
    let update = json!({
        "userId": "gigi", "firstName": "Gigi", "lastName": "Giraffe", "displayName": "GG",
    });
    let patch = json!({"userId": "gigi", "nickName": "Gi"});
    let mut first = Vec::new();
    for (operation, body) in [
        ("create", new_user("gigi")),
        ("update", update),
        ("patch", patch),
        ("remove", json!({"userId": "gigi"})),
    ] {
        let answer = keyed.call(operation, body.clone()).await.ok();
        first.push((operation, body, answer));
    }
    for (operation, body, answer) in first {
        let again = keyed.call(operation, body.clone()).await;
        assert_eq!(again.ok(), answer, "{operation}");
        let other = owner.with("Idempotency-Key", "other");
        let refused = other.call(operation, body).await;
        assert!(matches!(refused.status, Some(400 | 404)), "{operation}");
    }
    let stranger = Caller::connect(&server, &service, &Identity::user("eve", "zoo")).await;
    let refused = stranger
        .call("patch", json!({"userId": "gigi", "nickName": "E"}))
        .await;
    assert_eq!(
        refused.refused(404),
        "User could not be found (COMMAND-ugjs0upun6)"
    );
}
