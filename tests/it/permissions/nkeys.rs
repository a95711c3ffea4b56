//! Nkeys in the place of passwords, as `docs/security.md` sets them up: the server knows the public half alone.

use std::fs;

use ::nkeys::KeyPair;
use async_nats::ConnectOptions;
use profile_tests::caller::{Caller, Identity, new_user, token};
use profile_tests::service::Service;
use serde_json::json;

use super::*;

/// Name and password as the shipped configuration has them.
const LOGINS: [&str; 3] = [
    "user: service_ingress\n      password: $NATS_INGRESS_PASSWORD\n",
    "user: service_egress\n      password: $NATS_EGRESS_PASSWORD\n",
    "user: requester\n      password: $NATS_REQUESTER_PASSWORD\n",
];

/// The shipped configuration where these three have a key.
fn server(keys: &[KeyPair; 3]) -> NatsServer {
    let nkeys = keys
        .iter()
        .map(|key| format!("nkey: {}\n", key.public_key()));
    NatsServer::start(ServerOptions {
        replaced: LOGINS.into_iter().zip(nkeys).collect(),
        ..ServerOptions::default()
    })
}

/// A service whose configuration names a file with the seed for each of its users.
fn start(server: &NatsServer, users: &[(NatsUser, &KeyPair)]) -> Service {
    let mut service = Service::prepared(server, "");
    let config = service.folder().join("profiled.toml");
    let mut text = fs::read_to_string(&config).expect("the file is there");
    for (user, key) in users {
        let seed = service.folder().join(format!("{}.nk", user.name()));
        fs::write(&seed, key.seed().expect("a whole pair")).expect("the folder can be written");
        let login = format!(
            "user = \"{}\"\npassword = \"{}\"\n",
            user.name(),
            user.password()
        );
        assert!(text.contains(&login), "{text}");
        let by_key = format!("nkey_seed_file = \"{}\"\n", seed.display());
        text = text.replace(&login, &by_key);
    }
    fs::write(config, text).expect("the folder can be written");
    service.start_again();
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_and_a_requester_log_in_by_nkeys_and_no_longer_by_password() {
    let keys = [(); 3].map(|()| KeyPair::new_user());
    let [ingress, egress, requester] = &keys;
    let server = server(&keys);
    let service = start(&server, &[(Ingress, ingress), (Egress, egress)]);
    assert!(service.is_healthy());

    let seed = requester.seed().expect("a whole pair");
    let options = ConnectOptions::with_nkey(seed).custom_inbox_prefix("_INBOX.requester");
    let client = server.connect_with(options).await;
    let owner = token(&service, &Identity::owner("zoo"));
    let caller = Caller::over(client).with_token(&owner);
    caller.call("create", new_user("gigi")).await.ok();
    let read = caller.call("get", json!({"userId": "gigi"})).await.ok();
    assert_eq!(read["userId"], "gigi");

    // The password is no way in any more, nor is another key.
    let by_password = Requester.connect_options().connect(server.url()).await;
    assert!(by_password.is_err());
    let stranger = KeyPair::new_user().seed().expect("a whole pair");
    let by_stranger = ConnectOptions::with_nkey(stranger)
        .connect(server.url())
        .await;
    assert!(by_stranger.is_err());
}
