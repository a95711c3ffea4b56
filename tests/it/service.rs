//! The whole service over NATS: every operation, and what is refused.

use profile_tests::caller::{Caller, Identity, new_user, token};
use profile_tests::nats_server::{NatsServer, ServerOptions};
use profile_tests::service::Service;
use serde_json::{Value, json};

struct Bench {
    server: NatsServer,
    service: Service,
    owner: Caller,
}

async fn bench() -> Bench {
    let server = NatsServer::start(ServerOptions::default());
    let service = Service::start(&server, "");
    let owner = Caller::connect(&server, &service, &Identity::owner("zoo")).await;
    Bench {
        server,
        service,
        owner,
    }
}

impl Bench {
    async fn caller(&self, identity: &Identity) -> Caller {
        Caller::connect(&self.server, &self.service, identity).await
    }
}

fn update(user: &str, display_name: &str) -> Value {
    json!({"userId": user, "firstName": "Gigi", "lastName": "Giraffe", "displayName": display_name})
}

#[tokio::test]
async fn a_user_lives_from_create_to_remove() {
    let Bench {
        owner,
        server: _server,
        service: _service,
    } = bench().await;
    let created = owner.call("create", new_user("gigi")).await.ok();
    assert_eq!(created["userId"], "gigi");
    assert_eq!(created["details"]["sequence"], "1");
    assert_eq!(created["details"]["resourceOwner"], "zoo");
    assert!(created["details"]["creationDate"].is_string());
    assert!(created["details"]["changeDate"].is_null());

    let updated = owner.call("update", update("gigi", "Gigi G")).await.ok();
    assert_eq!(updated["details"]["sequence"], "2");
    assert!(updated["details"]["creationDate"].is_null());
    let patched = owner
        .call("user.gigi.patch", json!({"nickName": "Gi"}))
        .await
        .ok();
    assert_eq!(patched["details"]["sequence"], "3");

    let got = owner.call("user.gigi.get", json!({})).await.ok();
    let profile = json!({
        "firstName": "Gigi", "lastName": "Giraffe", "nickName": "Gi", "displayName": "Gigi G",
        "preferredLanguage": "und",
    });
    assert_eq!(got["profile"], profile);
    assert_eq!(
        got["email"],
        json!({"email": "gigi@zoo.example", "isEmailVerified": true})
    );
    assert_eq!(got["details"]["sequence"], "3");

    let history = owner.call("history", json!({"userId": "gigi"})).await.ok();
    let kinds: Vec<_> = history["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["type"])
        .collect();
    assert_eq!(kinds, ["changed", "changed", "created"]);
    let fields = json!([{"field": "nickName", "old": "", "new": "Gi"}]);
    assert_eq!(history["changes"][0]["fields"], fields);
    assert_eq!(history["changes"][0]["editorId"], "owner-of-zoo");

    let removed = owner.call("remove", json!({"userId": "gigi"})).await.ok();
    assert_eq!(removed["details"]["sequence"], "4");
    owner
        .call("get", json!({"userId": "gigi"}))
        .await
        .refused(404);
    let again = owner.call("create", new_user("gigi")).await;
    assert_eq!(again.refused(400), "User already exists (COMMAND-k2unb)");
}

#[tokio::test]
async fn me_is_the_caller_whatever_the_organization_header_says() {
    let bench = bench().await;
    bench.owner.call("create", new_user("mia")).await.ok();
    let mia = bench.caller(&Identity::user("mia", "zoo")).await;
    let body = json!({"firstName": "Mia", "lastName": "Mouse", "displayName": "MM"});
    assert_eq!(
        mia.call("me.update", body).await.ok()["details"]["sequence"],
        "2"
    );
    mia.call("me.patch", json!({"nickName": "Mimi"})).await.ok();
    assert_eq!(
        mia.call("me.get", json!({})).await.ok()["profile"]["nickName"],
        "Mimi"
    );
    assert_eq!(
        mia.call("me.history", json!({"limit": 2})).await.ok()["changes"][1]["sequence"],
        "2"
    );
    mia.call("user.mia.patch", json!({"nickName": null}))
        .await
        .ok();
    let elsewhere = mia
        .with("Profile-Org", "nowhere")
        .call("me.get", json!({}))
        .await;
    assert_eq!(
        elsewhere.refused(403),
        "Organisation doesn't exist (AUTH-Bs7Ds)"
    );
    let other = mia.call("get", json!({"userId": "mia"})).await;
    assert_eq!(other.refused(404), "membership not found (AUTHZ-cdgFk)");
}

#[tokio::test]
async fn an_empty_organization_header_is_none_and_two_must_agree() {
    let bench = bench().await;
    let empty = bench
        .owner
        .with("x-zitadel-orgid", "")
        .with("Profile-Org", "");
    empty.call("create", new_user("gigi")).await.ok();
    let both = bench
        .owner
        .with("x-zitadel-orgid", "zoo")
        .with("Profile-Org", "farm");
    assert_eq!(
        both.call("list", json!({})).await.violated(),
        ["x-zitadel-orgid"]
    );
}

#[tokio::test]
async fn a_read_waits_for_a_version_within_its_bound_and_only_for_users_that_exist() {
    let bench = bench().await;
    bench.owner.call("create", new_user("gigi")).await.ok();
    let (reader, writer) = (bench.owner.clone(), bench.owner.clone());
    let wait = tokio::spawn(async move {
        reader
            .call("get", json!({"userId": "gigi", "minVersion": "2"}))
            .await
    });
    writer.call("update", update("gigi", "Two")).await.ok();
    assert_eq!(wait.await.unwrap().ok()["details"]["sequence"], "2");
    let short = bench.owner.with("Profile-Deadline-Ms", "50");
    short
        .call("get", json!({"userId": "gigi", "minVersion": "3"}))
        .await
        .refused(504);
    bench
        .owner
        .call("get", json!({"userId": "nobody", "minVersion": "1"}))
        .await
        .refused(404);
}

#[tokio::test]
async fn an_invalid_update_lists_every_violation_and_changes_nothing() {
    let Bench {
        owner,
        server: _server,
        service: _service,
    } = bench().await;
    owner.call("create", new_user("gigi")).await.ok();
    let long = "x".repeat(201);
    let body = json!({"userId": "gigi", "firstName": "", "lastName": long, "nickName": "a\u{1}b"});
    let answer = owner.call("update", body).await;
    let text = "invalid UpdateHumanProfileRequest.FirstName: value length must be between 1 and 200 \
                runes, inclusive";
    assert_eq!(answer.refused(400), text);
    assert_eq!(answer.error.as_deref(), Some(text));
    assert_eq!(answer.violated(), ["firstName", "lastName", "nickName"]);
    assert_eq!(answer.metadata("retry"), Some("no"));
    let got = owner.call("get", json!({"userId": "gigi"})).await.ok();
    assert_eq!(got["details"]["sequence"], "1");
}

#[tokio::test]
async fn a_repeated_key_gets_the_first_answer_also_after_a_restart() {
    let mut bench = bench().await;
    let keyed = bench.owner.with("Idempotency-Key", "k1");
    let first = keyed.call("create", json!({
        "userName": "g", "profile": {"firstName": "G", "lastName": "G"}, "email": {"email": "g@z"},
    }));
    let first = first.await.ok();
    let user = first["userId"].as_str().unwrap().to_owned();
    let updated = keyed.call("update", update(&user, "One")).await.ok();
    assert_eq!(
        keyed.call("update", update(&user, "One")).await.ok(),
        updated
    );
    let other = keyed.call("update", update(&user, "Two")).await;
    assert_eq!(
        other.refused(400),
        "the idempotency key was used with another request"
    );
    bench.service.kill();
    bench.service.start_again();
    assert_eq!(
        keyed.call("update", update(&user, "One")).await.ok(),
        updated
    );
    let mut body = new_user("x");
    body = json!({"userName": body["userName"].take()});
    body["userName"] = "g".into();
    body["profile"] = json!({"firstName": "G", "lastName": "G"});
    body["email"] = json!({"email": "g@z"});
    assert_eq!(keyed.call("create", body).await.ok(), first);
}

#[tokio::test]
async fn a_stale_expected_version_is_refused_with_the_current_one() {
    let Bench {
        owner,
        server: _server,
        service: _service,
    } = bench().await;
    owner.call("create", new_user("gigi")).await.ok();
    owner
        .with("Profile-Expected-Version", "1")
        .call("update", update("gigi", "A"))
        .await
        .ok();
    let stale = owner
        .with("Profile-Expected-Version", "1")
        .call("update", update("gigi", "B"))
        .await;
    stale.refused(409);
    assert_eq!(stale.metadata("currentVersion"), Some("2"));
    let bad = owner
        .with("Profile-Expected-Version", "x")
        .call("update", update("gigi", "B"))
        .await;
    assert_eq!(bad.violated(), ["Profile-Expected-Version"]);
}

#[tokio::test]
async fn who_may_not_is_told_in_zitadels_words() {
    let bench = bench().await;
    bench.owner.call("create", new_user("gigi")).await.ok();
    let anonymous = Caller::anonymous(&bench.server).await;
    let missing = anonymous.call("update", update("gigi", "A")).await;
    assert_eq!(missing.refused(401), "auth header missing");
    let lower = anonymous
        .with("Authorization", "bearer x")
        .call("list", json!({}))
        .await;
    assert_eq!(lower.refused(401), "invalid auth header (AUTH-toLo1)");
    let forged = anonymous.with_token("a.b.c").call("list", json!({})).await;
    assert_eq!(forged.refused(401), "Errors.Token.Invalid (AUTH-7fs1e)");

    let farmer = bench.caller(&Identity::owner("farm")).await;
    let foreign = farmer.call("update", update("gigi", "A")).await;
    assert_eq!(foreign.refused(400), "Profile not found (COMMAND-3M9sd)");
    let in_zoo = farmer
        .with("Profile-Org", "zoo")
        .call("update", update("gigi", "A"))
        .await;
    assert_eq!(in_zoo.refused(404), "membership not found (AUTHZ-cdgFk)");
    let read = farmer.call("get", json!({"userId": "gigi"})).await;
    assert_eq!(read.refused(404), "User could not be found (QUERY-HNhb3)");
    let patch = farmer
        .call("patch", json!({"userId": "gigi", "nickName": "x"}))
        .await;
    assert_eq!(patch.refused(404), "membership not found (AUTHZ-cdgFk)");

    let mut viewer = Identity::user("viewer", "zoo");
    viewer.roles = vec![("ORG_OWNER_VIEWER".to_owned(), "zoo".to_owned())];
    let viewer = bench.caller(&viewer).await;
    let write = viewer.call("update", update("gigi", "A")).await;
    assert_eq!(
        write.refused(403),
        "No matching permissions found (AUTH-5mWD2)"
    );
    let patch = viewer
        .call("patch", json!({"userId": "gigi", "nickName": "x"}))
        .await;
    assert_eq!(
        patch.refused(403),
        "No matching permissions found (AUTH-AWfge)"
    );
    viewer.call("get", json!({"userId": "gigi"})).await.ok();

    let unknown = bench.owner.call("update", update("nobody", "A")).await;
    assert_eq!(unknown.refused(400), "Profile not found (COMMAND-3M9sd)");
    let same = bench
        .owner
        .call("update", update("gigi", "Gigi Giraffe"))
        .await;
    assert_eq!(same.refused(400), "Profile not changed (COMMAND-2M0fs)");
}

#[tokio::test]
async fn lists_page_in_order_and_bind_their_cursor() {
    let bench = bench().await;
    for (user, name) in [("u1", "Zebra"), ("u2", "ant"), ("u3", "Ape"), ("u4", "bee")] {
        bench.owner.call("create", new_user(user)).await.ok();
        bench.owner.call("update", update(user, name)).await.ok();
    }
    let names = |page: &Value| -> Vec<String> {
        let users = page["users"].as_array().unwrap().iter();
        users
            .map(|user| user["profile"]["displayName"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = bench.owner.call("list", json!({"limit": 3})).await.ok();
    assert_eq!(names(&first), ["ant", "Ape", "bee"]);
    let cursor = &first["nextCursor"];
    let rest = bench
        .owner
        .call("list", json!({"limit": 3, "cursor": cursor}))
        .await
        .ok();
    assert_eq!(names(&rest), ["Zebra"]);
    assert!(rest["nextCursor"].is_null());
    let with_a = bench.owner.call("list", json!({"prefix": "A"})).await.ok();
    assert_eq!(names(&with_a), ["ant", "Ape"]);
    let stolen = bench
        .owner
        .call("list", json!({"prefix": "b", "cursor": cursor}))
        .await;
    assert_eq!(stolen.violated(), ["cursor"]);
    let too_many = bench.owner.call("list", json!({"limit": 1001})).await;
    assert_eq!(too_many.violated(), ["limit"]);
}

#[tokio::test]
async fn history_pages_to_the_beginning() {
    let Bench {
        owner,
        server: _server,
        service: _service,
    } = bench().await;
    owner.call("create", new_user("gigi")).await.ok();
    for n in 0..6 {
        owner
            .call("update", update("gigi", &format!("name {n}")))
            .await
            .ok();
    }
    let (mut sequences, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let body = json!({"userId": "gigi", "limit": 3, "cursor": cursor});
        let page = owner.call("history", body).await.ok();
        let changes = page["changes"].as_array().unwrap().iter();
        sequences.extend(changes.map(|change| change["sequence"].as_str().unwrap().to_owned()));
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(sequences, ["7", "6", "5", "4", "3", "2", "1"]);
}

#[tokio::test]
async fn replay_gives_the_events_in_order_and_withholds_those_of_the_removed() {
    let bench = bench().await;
    for user in ["a", "b"] {
        bench.owner.call("create", new_user(user)).await.ok();
    }
    bench.owner.call("update", update("a", "A")).await.ok();
    bench
        .owner
        .call("remove", json!({"userId": "b"}))
        .await
        .ok();
    let denied = bench.owner.call("replay", json!({})).await;
    assert_eq!(
        denied.refused(403),
        "No matching permissions found (AUTH-5mWD2)"
    );
    let mut auditor = Identity::user("auditor", "zoo");
    auditor.roles = vec![("IAM_OWNER_VIEWER".to_owned(), "zoo".to_owned())];
    let auditor = bench.caller(&auditor).await;
    let page = auditor.call("replay", json!({"after": "0"})).await.ok();
    let events = page["events"].as_array().unwrap().iter();
    let ids: Vec<_> = events
        .map(|event| event["event"]["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["a/1.1", "a/1.2", "b/1.2"]);
    assert_eq!(
        (&page["position"], &page["end"]),
        (&json!("4"), &json!(true))
    );
}

#[tokio::test]
async fn values_of_profile_fields_and_tokens_never_reach_the_log() {
    let server = NatsServer::start(ServerOptions::default());
    let mut service = Service::start(
        &server,
        "[telemetry]\nformat = \"json\"\nfilter = \"trace\"",
    );
    let identity = Identity::owner("zoo");
    let owner = Caller::connect(&server, &service, &identity).await;
    let sentinel = |n: u32| format!("sentinel-{n}-value");
    let body = json!({
        "userId": "gigi", "userName": sentinel(1),
        "profile": {"firstName": sentinel(2), "lastName": sentinel(3), "nickName": sentinel(4),
                    "displayName": sentinel(5), "preferredLanguage": "sentinel-6"},
        "email": {"email": sentinel(7)}, "phone": {"phone": format!("+{}", sentinel(8))},
    });
    owner.call("create", body.clone()).await.ok();
    owner.call("create", body).await.refused(400);
    let bad =
        json!({"userId": "gigi", "firstName": format!("{}\u{0}", sentinel(9)), "lastName": 5});
    owner.call("update", bad).await.refused(400);
    owner
        .call("update", update("gigi", &sentinel(10)))
        .await
        .ok();
    owner
        .call("list", json!({"prefix": sentinel(11)}))
        .await
        .ok();
    owner
        .with_token("sentinel.token.value")
        .call("list", json!({}))
        .await
        .refused(401);
    owner
        .with("Idempotency-Key", "sentinel-key")
        .call("remove", json!({"userId": "gigi"}))
        .await
        .ok();
    assert!(service.stop().success());
    let log = service.log();
    assert!(log.contains("gigi"), "ids are logged");
    assert!(!log.contains("sentinel"), "{log}");
    assert!(!log.contains(&token(&service, &identity)));
}

#[tokio::test]
async fn a_service_without_an_issuer_refuses_to_start_and_says_what_to_set() {
    let server = NatsServer::start(ServerOptions::default());
    let mut service = Service::prepared_without_issuer(&server);
    assert!(!service.start_and_end().success());
    assert!(service.log().contains("issuers"), "{}", service.log());
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused() {
    let mut bench = bench().await;
    let running = bench.service.pid();
    assert!(!bench.service.start_and_end().success());
    assert!(
        bench.service.log().contains("another process"),
        "{}",
        bench.service.log()
    );
    assert_eq!(bench.service.pid(), running);
    bench.owner.call("create", new_user("gigi")).await.ok();
}

#[tokio::test]
async fn a_service_that_is_told_to_stop_as_soon_as_it_is_ready_stops_in_order() {
    let server = NatsServer::start(ServerOptions::default());
    let mut service = Service::start(&server, "");
    assert!(service.stop().success());
    assert!(service.log().contains("\"message\":\"stopped\""));
}
