//! The mapping of `config/nats-partitions.conf`: which node is asked.

use std::collections::BTreeMap;
use std::fs;

use profile_tests::caller::token;
use profile_tests::repository;

use super::*;

const MONITORING: &str = "[monitoring]\nlisten = \"127.0.0.1:0\"\n";
const PARTITIONS: u16 = 3;
const USERS: usize = 12;
const ROUNDS: u64 = 4;

struct Mapped {
    nodes: Vec<Service>,
    owner: Caller,
    server: NatsServer,
}

impl Mapped {
    /// One node for each partition.
    async fn start() -> Mapped {
        let mapping = fs::read_to_string(repository::file("config/nats-partitions.conf"));
        let server = NatsServer::start(ServerOptions {
            extra_config: mapping.unwrap(),
            ..ServerOptions::default()
        });
        let config = format!("{CLUSTER}{MONITORING}");
        let first = Service::prepared(&server, &config);
        let others = (1..PARTITIONS).map(|_| first.prepared_beside(&server, &config));
        let others: Vec<_> = others.collect();
        let mut nodes: Vec<_> = [first].into_iter().chain(others).collect();
        for (partition, node) in nodes.iter_mut().enumerate() {
            node.start_under(&[("PROFILE__NATS__PARTITION", partition.to_string())]);
        }
        let token = token(&nodes[0], &Identity::owner("zoo"));
        Mapped {
            owner: Caller::anonymous(&server).await.with_token(&token),
            nodes,
            server,
        }
    }

    /// How many updates each node has answered by now.
    async fn answered(&self) -> Vec<u64> {
        let series =
            "profile_requests_total{transport=\"nats\",operation=\"update\",outcome=\"OK\"}";
        let nodes = self.nodes.iter();
        join_all(nodes.map(|node| counted(node, series))).await
    }

    async fn update(&self, user: &str, round: u64) {
        let operation = format!("user.{user}.update");
        let body = body_of_update(user, &format!("{user} {round}"));
        self.owner.call(&operation, body).await.ok();
    }
}

async fn counted(node: &Service, series: &str) -> u64 {
    let metrics = HttpClient::http1(node.monitoring()).get("/metrics").await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(series));
    value.map_or(0, |value| value.trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_requests_about_one_user_go_to_the_node_of_its_partition() {
    let mapped = Mapped::start().await;
    let mut users_of_node = BTreeMap::new();
    for number in 0..USERS {
        let user = format!("user-{number}");
        mapped.owner.call("create", new_user(&user)).await.ok();
        let before = mapped.answered().await;
        for round in 0..ROUNDS {
            mapped.update(&user, round).await;
        }
        let after = mapped.answered().await;
        let grown: Vec<_> = after.iter().zip(&before).map(|(a, b)| a - b).collect();
        assert_eq!(grown.iter().sum::<u64>(), ROUNDS, "{user}: {grown:?}");
        let node = grown.iter().position(|grown| *grown == ROUNDS);
        let node = node.unwrap_or_else(|| panic!("{user} was at several nodes: {grown:?}"));
        *users_of_node.entry(node).or_insert(0) += 1;
    }
    assert_eq!(
        users_of_node.len(),
        usize::from(PARTITIONS),
        "{users_of_node:?}"
    );
    // With the user in the body any of them answers.
    for number in 0..USERS {
        let body = body_of_update(&format!("user-{number}"), "anywhere");
        mapped.owner.call("update", body).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_partition_answers_for_those_that_are_down() {
    let mut mapped = Mapped::start().await;
    mapped.owner.call("create", new_user("gigi")).await.ok();
    for node in &mut mapped.nodes {
        assert!(node.stop().success());
    }
    let nobody = mapped.owner.try_call("get", json!({"userId": "gigi"}));
    let nobody = nobody.await.expect_err("nobody is there");
    assert_eq!(nobody.kind(), async_nats::RequestErrorKind::NoResponders);
    let config = format!("{CLUSTER}{MONITORING}");
    let mut spare = mapped.nodes[0].prepared_beside(&mapped.server, &config);
    spare.start_again();
    mapped.update("gigi", 1).await;
    let got = mapped
        .owner
        .call("get", json!({"userId": "gigi"}))
        .await
        .ok();
    assert_eq!(got["profile"]["displayName"], "gigi 1");
    let own = mapped.owner.call("me.get", json!({})).await;
    own.refused(404);
}
