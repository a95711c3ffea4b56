//! The servers of a run, started once and ended by pid with the value.

use std::time::Duration;

use tokio::time::Instant;

use futures::StreamExt as _;
use profile_tests::nats_server::{NatsServer, NatsUser, ServerOptions};
use profile_tests::service::Service;

use crate::arms::kv;
use crate::arms::nats::{Asked, EchoProcess, OverNats};
use crate::arms::postgres::Postgres;
use crate::arms::redis::Redis;
use crate::load::Call;
use crate::process::{Usage, Watched};

/// Creations on their way while a store is filled.
const CREATES_IN_FLIGHT: usize = 512;
/// Of a processor, over the time between two looks: less is idle.
const IDLE_PROCESSORS: f64 = 0.05;
const LOOK_EVERY: Duration = Duration::from_millis(100);
const SETTLE_SECONDS_MAX: u64 = 120;

/// Our service with so many users stored, on a nats-server of its own, with a subscriber to its events.
pub(crate) struct Ours {
    pub(crate) users: usize,
    // Dropped in this order.
    pub(crate) service: Service,
    pub(crate) server: NatsServer,
    listening: tokio::task::JoinHandle<()>,
}

pub(crate) struct Systems {
    pub(crate) ours: Vec<Ours>,
    pub(crate) echo: EchoProcess,
    pub(crate) postgres: Option<Postgres>,
    pub(crate) redis: Option<Redis>,
    pub(crate) kv_default: NatsServer,
    pub(crate) kv_always: NatsServer,
}

impl Ours {
    /// With the environment's `CONFIG` (TOML, whole sections) for trying things out.
    pub(crate) async fn start(users: usize, extra: &str) -> Ours {
        let tried = std::env::var("CONFIG").unwrap_or_default();
        let extra = format!("[http]\nlisten = \"127.0.0.1:0\"\n{extra}\n{tried}\n");
        // Somebody without limits, for the responder that does no work.
        let echo = "{ user: bench, password: \"bench-on-loopback\" }".to_owned();
        let options = ServerOptions {
            extra_users: echo,
            ..ServerOptions::default()
        };
        let server = NatsServer::start(options);
        let service = Service::start(&server, &extra);
        let consumer = server.connect(NatsUser::Consumer).await;
        let subscription = consumer.subscribe("profile-event.v1.>").await;
        let mut events = subscription.expect("a subscription");
        let listening = tokio::spawn(async move { while events.next().await.is_some() {} });
        let ours = Ours {
            users,
            service,
            server,
            listening,
        };
        ours.fill().await;
        ours
    }

    /// Creates the users.
    async fn fill(&self) {
        fill(&self.call(Asked::Create).await, self.users).await;
        settle(&self.watched()).await;
    }

    pub(crate) async fn call(&self, asked: Asked) -> OverNats {
        OverNats::connect(&self.server, &self.service, asked).await
    }

    pub(crate) fn watched(&self) -> Vec<Watched> {
        vec![
            Watched {
                name: "profiled",
                pid: self.service.pid(),
            },
            Watched {
                name: "nats-server",
                pid: self.server.pid(),
            },
        ]
    }
}

/// Creates so many users.
pub(crate) async fn fill(create: &OverNats, users: usize) {
    let began = Instant::now();
    futures::stream::iter(0..users)
        .for_each_concurrent(CREATES_IN_FLIGHT, |user| async move {
            let created = create.call(0, user, 0).await;
            created.expect("a user can be created");
        })
        .await;
    let rate = users as f64 / began.elapsed().as_secs_f64();
    eprintln!("{users} users created, {rate:.0}/s");
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Systems {
    /// `stores` are the numbers of users of our services, in order; the first also bears the echo.
    pub(crate) async fn start(stores: &[usize]) -> Systems {
        let mut ours = Vec::new();
        for users in stores {
            ours.push(Ours::start(*users, "").await);
        }
        let echo = EchoProcess::start(&ours.first().expect("a store").server);
        let systems = Systems {
            ours,
            echo,
            postgres: Postgres::start().await,
            redis: Redis::start().await,
            kv_default: kv::start(kv::Sync::Default),
            kv_always: kv::start(kv::Sync::Always),
        };
        systems.say_what_is_missing();
        systems
    }

    fn say_what_is_missing(&self) {
        if self.postgres.is_none() {
            eprintln!("no PostgreSQL: apt-get install postgresql-15");
        }
        if self.redis.is_none() {
            eprintln!("no Redis: apt-get install redis-server");
        }
    }
}

/// Waits until the processes have nothing left to do, so that what one cell put off is not done at the
/// expense of the next. Returns how long that took.
pub(crate) async fn settle(watched: &[Watched]) -> Duration {
    let began = Instant::now();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.tick().await;
    loop {
        let usage = Usage::now(watched);
        looks.tick().await;
        let busy: f64 = usage.since().iter().map(|share| share.processors).sum();
        if busy < IDLE_PROCESSORS {
            return began.elapsed().saturating_sub(LOOK_EVERY);
        }
        let waited = began.elapsed().as_secs();
        assert!(waited < SETTLE_SECONDS_MAX, "{watched:?} never rest");
    }
}
