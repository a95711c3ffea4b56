//! A service with a few users in two organizations, and who may call it.

use profile_tests::caller::{Caller, Identity, new_user, token};
use profile_tests::nats_server::{NatsServer, ServerOptions};
use profile_tests::service::Service;
use profile_tests::transports::{Sent, Transports};
use serde_json::{Value, json};

pub(crate) const LISTEN: &str = "[http]\nlisten = \"127.0.0.1:0\"\n";

/// Whom a call comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// No header at all.
    Nobody,
    /// This value of the header, whatever it is.
    Header(&'static str),
    /// The token of another issuer's key, well-formed.
    Stranger,
    /// ORG_OWNER of the zoo.
    Owner,
    /// ORG_OWNER of the farm.
    Farmer,
    /// ORG_OWNER_VIEWER of the zoo: may read.
    Viewer,
    /// A user of the zoo, without any role.
    User(&'static str),
}

/// Gigi and Mia are users of the zoo, Fay of the farm; Rex was one of the zoo.
pub(crate) struct World {
    pub(crate) server: NatsServer,
    pub(crate) service: Service,
    pub(crate) transports: Transports,
    pub(crate) owner: Caller,
}

impl World {
    pub(crate) async fn start() -> World {
        World::start_with("").await
    }

    /// With more lines of configuration: first of `[http]`, then whole sections.
    pub(crate) async fn start_with(extra: &str) -> World {
        let server = NatsServer::start(ServerOptions::default());
        let service = Service::start(&server, &format!("{LISTEN}{extra}"));
        let owner = Caller::connect(&server, &service, &Identity::owner("zoo")).await;
        for user in ["gigi", "mia", "rex"] {
            owner.call("create", new_user(user)).await.ok();
        }
        owner.call("remove", json!({"userId": "rex"})).await.ok();
        let farmer = Caller::connect(&server, &service, &Identity::owner("farm")).await;
        farmer.call("create", new_user("fay")).await.ok();
        let transports = Transports::connect(&server, &service).await;
        World {
            server,
            service,
            transports,
            owner,
        }
    }

    /// The `Authorization` header of a caller, if it sends one.
    pub(crate) fn authorization(&self, who: Who) -> Option<String> {
        let identity = match who {
            Who::Nobody => return None,
            Who::Header(value) => return Some(value.to_owned()),
            Who::Stranger => {
                let other = Service::prepared(&self.server, "");
                let identity = Identity::owner("zoo");
                return Some(format!("Bearer {}", token(&other, &identity)));
            }
            Who::Owner => Identity::owner("zoo"),
            Who::Farmer => Identity::owner("farm"),
            Who::Viewer => Identity {
                subject: "viewer".to_owned(),
                org: "zoo".to_owned(),
                roles: vec![("ORG_OWNER_VIEWER".to_owned(), "zoo".to_owned())],
            },
            Who::User(user) => Identity::user(user, "zoo"),
        };
        Some(format!("Bearer {}", token(&self.service, &identity)))
    }

    pub(crate) fn bearer(&self, who: Who) -> String {
        self.authorization(who).expect("somebody with a token")
    }

    /// A call by `who` on a user of the zoo.
    pub(crate) fn sent(
        &self,
        call: profile::transport::api::Call,
        who: Who,
        user: Option<&str>,
        body: Value,
    ) -> Sent {
        let authorization = self.authorization(who).into_iter();
        Sent {
            call,
            user: user.map(str::to_owned),
            body,
            headers: authorization
                .map(|value| ("authorization".to_owned(), value))
                .collect(),
        }
    }

    /// The user's version now.
    pub(crate) async fn version(&self, user: &str) -> u64 {
        let got = self.owner.call("get", json!({"userId": user})).await.ok();
        let version = got["details"]["sequence"].as_str().expect("a version");
        version.parse().expect("a number")
    }
}

/// UpdateHumanProfile or UpdateMyProfile with this display name.
pub(crate) fn profile(display_name: &str) -> Value {
    json!({"firstName": "Gigi", "lastName": "Giraffe", "displayName": display_name})
}
