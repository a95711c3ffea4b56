//! The users of `config/nats-server.conf` and their connections.

use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::NatsServer;

/// A user of `config/nats-server.conf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatsUser {
    Ingress,
    Egress,
    Requester,
    Consumer,
    /// The one of `config/nats-consumer-of-one-org.conf`, an example that the shipped file leaves out.
    ConsumerOrg1,
}

impl NatsUser {
    /// Those of the shipped file.
    pub const ALL: [Self; 4] = [Self::Ingress, Self::Egress, Self::Requester, Self::Consumer];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ingress => "service_ingress",
            Self::Egress => "service_egress",
            Self::Requester => "requester",
            Self::Consumer => "consumer",
            Self::ConsumerOrg1 => "consumer_org1",
        }
    }

    /// The password that the harness gives it: as good as any on loopback.
    pub fn password(self) -> &'static str {
        match self {
            Self::Ingress => "password-of-ingress",
            Self::Egress => "password-of-egress",
            Self::Requester => "password-of-requester",
            Self::Consumer => "password-of-consumer",
            Self::ConsumerOrg1 => "password-of-consumer-org1",
        }
    }

    /// The environment variable from which `config/nats-server.conf` takes the password.
    pub fn password_variable(self) -> &'static str {
        match self {
            Self::Ingress => "NATS_INGRESS_PASSWORD",
            Self::Egress => "NATS_EGRESS_PASSWORD",
            Self::Requester => "NATS_REQUESTER_PASSWORD",
            Self::Consumer => "NATS_CONSUMER_PASSWORD",
            Self::ConsumerOrg1 => "NATS_CONSUMER_ORG1_PASSWORD",
        }
    }

    /// What its inboxes start with; nobody else may subscribe there.
    pub fn inbox_prefix(self) -> &'static str {
        match self {
            Self::Ingress => "_INBOX_profile_ingress",
            Self::Egress => "_INBOX_profile_egress",
            Self::Requester => "_INBOX.requester",
            Self::Consumer => "_INBOX.consumer",
            Self::ConsumerOrg1 => "_INBOX.consumer_org1",
        }
    }

    /// Name, password and inbox prefix as a client needs them.
    pub fn connect_options(self) -> ConnectOptions {
        ConnectOptions::with_user_and_password(self.name().to_owned(), self.password().to_owned())
            .custom_inbox_prefix(self.inbox_prefix())
            .name(self.name())
    }
}

/// A client with everything that its connection reports (`Connected`, `ServerError` ...), in order.
#[derive(Debug)]
pub struct Connection {
    pub client: Client,
    pub events: UnboundedReceiver<Event>,
}

impl NatsServer {
    /// Connects as `user`, or without a name to an open server with [`NatsServer::connect_open`].
    pub async fn connect(&self, user: NatsUser) -> Client {
        self.connect_with(user.connect_options()).await
    }

    /// Connects to a server of [`super::Access::Open`].
    pub async fn connect_open(&self) -> Client {
        self.connect_with(ConnectOptions::new()).await
    }

    pub async fn connect_with(&self, options: ConnectOptions) -> Client {
        options
            .connect(self.url())
            .await
            .expect("the server takes connections")
    }

    /// Connects as `user` and listens to what the connection reports.
    pub async fn connect_with_events(&self, user: NatsUser) -> Connection {
        let (sender, events) = unbounded_channel();
        let options = user.connect_options().event_callback(move |event| {
            let _ = sender.send(event);
            async {}
        });
        Connection {
            client: self.connect_with(options).await,
            events,
        }
    }
}
