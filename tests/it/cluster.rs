//! Several nodes on one bus: the real binary, each with a data directory of its own, and the commit log in
//! JetStream.

mod affinity;
mod failing;
mod migrate;
mod nodes;

use std::time::Duration;

use async_nats::{ConnectOptions, jetstream};
use futures::future::join_all;
use profile_tests::caller::{Caller, Identity, new_user};
use profile_tests::http_client::{HttpClient, answer};
use profile_tests::nats_server::{NatsServer, ServerOptions};
use profile_tests::service::Service;
use serde_json::{Value, json};

use nodes::{CLUSTER, Cluster, body_of_update};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_at_one_node_is_read_at_the_other_at_once() {
    let cluster = Cluster::start(2, "").await;
    let [one, two] = &cluster.nodes[..] else {
        panic!("two nodes")
    };
    for (user, first, other) in [("gigi", one, two), ("mia", two, one)] {
        cluster.owner.call("create", new_user(user)).await.ok();
        for round in 0..10 {
            let name = format!("{user} {round}");
            first.update(user, &name).await.ok();
            let got = other.get(user).await.ok();
            assert_eq!(got["profile"]["displayName"], name.as_str());
            // Of the other one's actor, whose copy was old a moment ago.
            let nick_name = format!("N{round}");
            other.patch(user, &nick_name).await.ok();
            let got = first.get(user).await.ok();
            assert_eq!(got["profile"]["nickName"], nick_name.as_str());
            assert_eq!(got["profile"]["displayName"], name.as_str());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_made_at_one_node_is_known_at_the_other_and_so_is_its_removal() {
    let cluster = Cluster::start(2, "").await;
    let [one, two] = &cluster.nodes[..] else {
        panic!("two nodes")
    };
    for number in 0..20 {
        let user = format!("u-{number}");
        let created = one.create(&user).await.ok();
        assert_eq!(created["userId"], user);
        two.patch(&user, "N").await.ok();
        let removed = cluster.owner.call("remove", json!({"userId": user}));
        assert_eq!(removed.await.ok()["details"]["sequence"], "3");
        for node in [one, two] {
            node.get(&user).await.refused(404);
            node.patch(&user, "M").await.refused(404);
        }
    }
    one.create("left").await.ok();
    let listed = cluster.owner.call("list", json!({})).await.ok();
    let users = listed["users"].as_array().unwrap();
    assert_eq!(users.len(), 1);
    // One of the two answered; the other one too, over the bus.
    let pages = (0..8).map(|_| cluster.owner.call("list", json!({})));
    for page in join_all(pages).await {
        assert_eq!(page.ok()["users"], listed["users"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_used_once_whichever_nodes_its_repetitions_reach() {
    let cluster = Cluster::start(2, "").await;
    cluster.owner.call("create", new_user("gigi")).await.ok();
    for round in 0..10 {
        let key = format!("k-{round}");
        let keyed = cluster.owner.with("Idempotency-Key", &key);
        let name = format!("GG {round}");
        let all = (0..6).map(|_| keyed.call("update", body_of_update("gigi", &name)));
        let answers: Vec<Value> = join_all(all).await.into_iter().map(|it| it.ok()).collect();
        assert!(
            answers.iter().all(|answer| *answer == answers[0]),
            "{answers:?}"
        );
        assert_eq!(answers[0]["details"]["sequence"], (round + 2).to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_nodes_change_one_user_at_once_and_every_change_is_one_version() {
    let cluster = Cluster::start(2, "").await;
    cluster.owner.call("create", new_user("gigi")).await.ok();
    let rounds = 25;
    let of_a_node = |number: usize| {
        let node = &cluster.nodes[number];
        async move {
            for round in 0..rounds {
                node.update("gigi", &format!("{number}-{round}")).await.ok();
            }
        }
    };
    join_all([0, 1].map(of_a_node)).await;
    let history = cluster
        .owner
        .call("history", json!({"userId": "gigi", "limit": 1000}));
    let history = history.await.ok();
    let changes = history["changes"].as_array().unwrap();
    let versions: Vec<_> = changes
        .iter()
        .map(|it| it["sequence"].as_str().unwrap())
        .collect();
    let expected: Vec<String> = (1..=2 * rounds + 1)
        .rev()
        .map(|it| it.to_string())
        .collect();
    assert_eq!(versions, expected);
    cluster.assert_events_are("gigi", 2 * rounds + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expected_version_is_held_against_the_newest_one_of_all_nodes() {
    let cluster = Cluster::start(2, "").await;
    cluster.owner.call("create", new_user("gigi")).await.ok();
    for version in 1..10 {
        let expecting = cluster
            .owner
            .with("Profile-Expected-Version", &version.to_string());
        let name = format!("GG {version}");
        let bodies = (0..2).map(|side| body_of_update("gigi", &format!("{name} {side}")));
        let both = join_all(bodies.map(|body| expecting.call("update", body))).await;
        let refused: Vec<_> = both.iter().filter(|it| it.status.is_some()).collect();
        assert_eq!(refused.len(), 1, "{both:?}");
        refused[0].refused(409);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_reads_locally_waits_for_the_version_that_is_asked_for() {
    let cluster = Cluster::start(2, "reads = \"local\"\n").await;
    cluster.owner.call("create", new_user("gigi")).await.ok();
    for _ in 0..30 {
        let done = cluster
            .owner
            .call("patch", json!({"userId": "gigi", "nickName": "a"}));
        let undone = cluster
            .owner
            .call("patch", json!({"userId": "gigi", "nickName": "b"}));
        done.await.ok();
        let version = undone.await.ok()["details"]["sequence"].clone();
        let body = json!({"userId": "gigi", "minVersion": version});
        let got = cluster.owner.call("get", body).await.ok();
        assert_eq!(got["profile"]["nickName"], "b");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_catches_up_and_a_new_one_reads_everything() {
    let mut cluster = Cluster::start(2, "").await;
    cluster.owner.call("create", new_user("gigi")).await.ok();
    cluster.nodes[1].service.stop();
    for round in 0..20 {
        cluster.nodes[0]
            .update("gigi", &format!("GG {round}"))
            .await
            .ok();
    }
    cluster.nodes[1].start_again();
    let got = cluster.nodes[1].get("gigi").await.ok();
    assert_eq!(got["profile"]["displayName"], "GG 19");
    cluster.join("").await;
    for node in &mut cluster.nodes[..2] {
        node.service.stop();
    }
    let got = cluster.nodes[2].get("gigi").await.ok();
    assert_eq!(got["profile"]["displayName"], "GG 19");
    let history = cluster
        .owner
        .call("history", json!({"userId": "gigi"}))
        .await
        .ok();
    assert_eq!(history["changes"].as_array().unwrap().len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_node_that_relays_stops_another_one_goes_on_at_once() {
    let mut cluster = Cluster::start(3, "").await;
    cluster.owner.call("create", new_user("gigi")).await.ok();
    let mut made = 1;
    for number in 0..2 {
        cluster.nodes[number].service.stop();
        let last = cluster.nodes.last().unwrap();
        for _ in 0..5 {
            last.update("gigi", &format!("GG {made}")).await.ok();
            made += 1;
        }
        cluster.assert_events_are("gigi", made).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_acknowledges_before_it_syncs_is_refused_and_one_that_does_not_is_taken() {
    let late = NatsServer::start(ServerOptions::default());
    let seen = |server: &NatsServer| {
        let url = server.monitoring_url();
        format!("[commit_log]\nengine = \"jetstream\"\nmonitoring_urls = [\"{url}\"]\n")
    };
    let mut service = Service::prepared(&late, &seen(&late));
    assert!(!service.start_and_end().success());
    assert!(
        service.log().contains("sync_interval: always"),
        "{}",
        service.log()
    );
    let options = ServerOptions {
        replaced: vec![("sync_interval: \"1s\"", "sync_interval: always".to_owned())],
        ..ServerOptions::default()
    };
    let server = NatsServer::start(options);
    let service = Service::start(&server, &seen(&server));
    let owner = Caller::connect(&server, &service, &Identity::owner("zoo")).await;
    owner.call("create", new_user("gigi")).await.ok();
    // Neither seen nor confirmed: not even tried.
    let mut blind = Service::prepared(&server, "[commit_log]\nengine = \"jetstream\"\n");
    assert!(!blind.start_and_end().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_gone_is_not_made_anew() {
    let admin = "{ user: admin, password: \"admin-on-loopback\" }".to_owned();
    let server = NatsServer::start(ServerOptions {
        extra_users: admin,
        ..ServerOptions::default()
    });
    let mut service = Service::start(&server, CLUSTER);
    let owner = Caller::connect(&server, &service, &Identity::owner("zoo")).await;
    owner.call("create", new_user("gigi")).await.ok();
    assert!(service.stop().success());
    let (name, password) = ("admin".to_owned(), "admin-on-loopback".to_owned());
    let admin = ConnectOptions::with_user_and_password(name, password);
    let jetstream = jetstream::new(server.connect_with(admin).await);
    jetstream.delete_stream("PROFILE_LOG_0").await.unwrap();
    // A node with an empty directory would find no user.
    let mut empty = service.prepared_beside(&server, CLUSTER);
    for node in [&mut service, &mut empty] {
        assert!(!node.start_and_end().success());
        assert!(
            node.log().contains("is gone, and it held"),
            "{}",
            node.log()
        );
    }
    let left = jetstream.get_stream("PROFILE_LOG_0").await;
    assert!(left.is_err(), "nobody has made it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_another_store_does_not_join() {
    let server = NatsServer::start(ServerOptions::default());
    let mut alone = Service::start(&server, "");
    alone.stop();
    let other = NatsServer::start(ServerOptions::default());
    let _founder = Service::start(&other, CLUSTER);
    let file = alone.folder().join("profiled.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let config = config.replace(&server.url(), &other.url());
    std::fs::write(&file, format!("{config}\n{CLUSTER}")).unwrap();
    assert!(!alone.start_and_end().success());
    assert!(
        alone.log().contains("name an empty or new directory"),
        "{}",
        alone.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_is_healthy_only_while_it_runs_itself() {
    let mut cluster = Cluster::start(2, "").await;
    assert!(cluster.nodes.iter().all(|node| node.service.is_healthy()));
    cluster.nodes[0].service.kill();
    assert!(!cluster.nodes[0].service.is_healthy());
    assert!(cluster.nodes[1].service.is_healthy());
}
