//! What the examples meet: nats-server with the shipped users, the service, and a token.

use std::fs;
use std::path::PathBuf;

use profile_tests::caller::{Caller, Identity, new_user, token};
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use profile_tests::service::Service;
use profile_tests::temp_dir::TempDir;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::language::{Language, Program};

pub(crate) const ORG: &str = "zoo";

#[derive(Debug)]
pub(crate) struct World {
    // Dropped in this order: the service before its bus.
    service: Service,
    pub(crate) server: NatsServer,
    pub(crate) caller: Caller,
    token: String,
    folder: TempDir,
}

impl World {
    pub(crate) async fn start() -> World {
        let server = NatsServer::start(ServerOptions::default());
        let service = Service::start(&server, "[http]\nlisten = \"127.0.0.1:0\"\n");
        // Events of every organization are for those who run the service.
        let operator = Identity {
            roles: vec![("IAM_OWNER".to_owned(), ORG.to_owned())],
            ..Identity::user("operator", ORG)
        };
        World {
            caller: Caller::connect(&server, &service, &operator).await,
            token: token(&service, &operator),
            service,
            server,
            folder: TempDir::create(),
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What a consumer keeps in its file.
    pub(crate) fn kept(&self, name: &str) -> Value {
        let text = fs::read(self.file(name)).expect("the consumer has written its file");
        serde_json::from_slice(&text).expect("the file is JSON")
    }

    /// The program in this language with what `source run/env.sh` sets; `None` where there is none.
    pub(crate) fn command(&self, language: &Language, program: Program) -> Option<Command> {
        let mut command = language.command(program)?;
        self.set_environment(&mut command);
        Some(command)
    }

    pub(crate) fn set_environment(&self, command: &mut Command) {
        set_connections(command, &self.server);
        command
            .env("PROFILE_TOKEN", &self.token)
            .env("PROFILE_URL", format!("http://{}", self.service.http()));
    }

    pub(crate) async fn create(&self, user: &str) {
        self.caller.call("create", new_user(user)).await.ok();
    }

    pub(crate) async fn rename(&self, user: &str, display_name: &str) {
        let body = json!({"userId": user, "displayName": display_name});
        self.caller.call("patch", body).await.ok();
    }

    pub(crate) async fn read(&self, user: &str) -> Value {
        self.caller.call("get", json!({"userId": user})).await.ok()
    }

    /// How many changes the user has had.
    pub(crate) async fn changes(&self, user: &str) -> usize {
        let history = self.caller.call("history", json!({"userId": user})).await;
        history.ok()["changes"].as_array().map_or(0, Vec::len)
    }
}

/// Address and passwords.
pub(crate) fn set_connections(command: &mut Command, server: &NatsServer) {
    command
        .env("NATS_URL", server.url())
        .env("PROFILECTL_NATS_PASSWORD", NatsUser::Requester.password())
        .env("NATS_CONSUMER_PASSWORD", NatsUser::Consumer.password());
}
