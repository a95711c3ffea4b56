//! The cells of a round: what is called, for which users, by how many at once.

use std::sync::Arc;

use crate::arms::http::{Grpc, Rest};
use crate::arms::kv::Put;
use crate::arms::nats::{Asked, OverNats};
use crate::arms::postgres::{Told, Transaction};
use crate::arms::redis::{Connections, Multi};
use crate::keys::Keys;
use crate::load::Call;
use crate::process::Watched;
use crate::systems::{Ours, Systems};

/// A cell: its name is `<what>_<in flight>`.
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) call: Arc<dyn Call>,
    pub(crate) keys: Keys,
    pub(crate) in_flight: usize,
    pub(crate) weight: Weight,
    pub(crate) watched: Vec<Watched>,
}

/// Whether a target hangs on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Runs for the steady time.
    Counts,
    /// Runs for a short time.
    Shown,
}

impl Cell {
    fn new(what: &str, in_flight: usize, weight: Weight, call: &Arc<dyn Call>, on: &On) -> Cell {
        Cell {
            name: format!("{what}_{in_flight}"),
            call: Arc::clone(call),
            keys: on.keys,
            in_flight,
            weight,
            watched: on.watched.clone(),
        }
    }
}

/// What a cell runs on.
struct On {
    keys: Keys,
    watched: Vec<Watched>,
}

/// Every cell of a round, in the order in which they run: those that are compared lie side by side.
pub(crate) async fn all(systems: &Systems) -> Vec<Cell> {
    let main = systems.ours.first().expect("a store");
    let mut cells = Vec::new();
    echo(systems, main, &mut cells).await;
    updates(main, &mut cells).await;
    for ours in systems.ours.iter().skip(1) {
        larger(ours, &mut cells).await;
    }
    gets(main, &mut cells).await;
    over_http(main, &mut cells).await;
    peers(systems, main.users, &mut cells).await;
    cells
}

async fn echo(systems: &Systems, main: &Ours, cells: &mut Vec<Cell>) {
    let call: Arc<dyn Call> =
        Arc::new(OverNats::connect(&main.server, &main.service, Asked::Echo).await);
    let watched = vec![
        Watched {
            name: "responder",
            pid: systems.echo.pid(),
        },
        Watched {
            name: "nats-server",
            pid: main.server.pid(),
        },
    ];
    let on = On {
        keys: Keys::Uniform(main.users),
        watched,
    };
    cells.push(Cell::new("echo", 1, Weight::Counts, &call, &on));
    cells.push(Cell::new("echo", 64, Weight::Counts, &call, &on));
    cells.push(Cell::new("echo", 256, Weight::Counts, &call, &on));
    cells.push(Cell::new("echo", 1024, Weight::Shown, &call, &on));
}

async fn updates(main: &Ours, cells: &mut Vec<Cell>) {
    let call: Arc<dyn Call> = Arc::new(main.call(Asked::Update).await);
    let mut on = On {
        keys: Keys::Uniform(main.users),
        watched: main.watched(),
    };
    cells.push(Cell::new("update", 1, Weight::Counts, &call, &on));
    cells.push(Cell::new("update", 64, Weight::Counts, &call, &on));
    cells.push(Cell::new("update", 256, Weight::Counts, &call, &on));
    cells.push(Cell::new("update", 1024, Weight::Shown, &call, &on));
    on.keys = Keys::Zipf(main.users);
    cells.push(Cell::new("update_zipf", 256, Weight::Shown, &call, &on));
    on.keys = Keys::OneUser;
    cells.push(Cell::new("update_one_user", 32, Weight::Counts, &call, &on));
}

/// The same on a store with more users.
async fn larger(ours: &Ours, cells: &mut Vec<Cell>) {
    let call: Arc<dyn Call> = Arc::new(ours.call(Asked::Update).await);
    let on = On {
        keys: Keys::Uniform(ours.users),
        watched: ours.watched(),
    };
    cells.push(Cell::new(
        "update_most_users",
        256,
        Weight::Counts,
        &call,
        &on,
    ));
}

async fn gets(main: &Ours, cells: &mut Vec<Cell>) {
    let call: Arc<dyn Call> = Arc::new(main.call(Asked::Get).await);
    let on = On {
        keys: Keys::Uniform(main.users),
        watched: main.watched(),
    };
    cells.push(Cell::new("get", 256, Weight::Counts, &call, &on));
}

async fn over_http(main: &Ours, cells: &mut Vec<Cell>) {
    let on = On {
        keys: Keys::Uniform(main.users),
        watched: main.watched(),
    };
    let rest: Arc<dyn Call> = Arc::new(Rest::of(&main.service));
    let grpc: Arc<dyn Call> = Arc::new(Grpc::connect(&main.service).await);
    cells.push(Cell::new("rest_update", 64, Weight::Shown, &rest, &on));
    cells.push(Cell::new("grpc_update", 64, Weight::Shown, &grpc, &on));
}

async fn peers(systems: &Systems, users: usize, cells: &mut Vec<Cell>) {
    let keys = Keys::Uniform(users);
    if let Some(postgres) = &systems.postgres {
        let on = On {
            keys,
            watched: vec![Watched {
                name: "postgres",
                pid: postgres.pid(),
            }],
        };
        let told: Arc<dyn Call> =
            Arc::new(Transaction::connect(postgres, 64, Told::ByNotify).await);
        let untold: Arc<dyn Call> =
            Arc::new(Transaction::connect(postgres, 64, Told::Nobody).await);
        cells.push(Cell::new("postgres_notify", 64, Weight::Counts, &told, &on));
        cells.push(Cell::new("postgres", 64, Weight::Counts, &untold, &on));
    }
    if let Some(redis) = &systems.redis {
        let on = On {
            keys,
            watched: vec![Watched {
                name: "redis",
                pid: redis.pid(),
            }],
        };
        let each: Arc<dyn Call> = Arc::new(Multi::connect(redis, 256, Connections::ForEach).await);
        let shared: Arc<dyn Call> = Arc::new(Multi::connect(redis, 256, Connections::Shared).await);
        cells.push(Cell::new("redis", 64, Weight::Shown, &each, &on));
        cells.push(Cell::new("redis", 256, Weight::Counts, &each, &on));
        cells.push(Cell::new(
            "redis_one_connection",
            256,
            Weight::Shown,
            &shared,
            &on,
        ));
    }
    for (name, server) in [
        ("kv", &systems.kv_default),
        ("kv_synced", &systems.kv_always),
    ] {
        let on = On {
            keys,
            watched: vec![Watched {
                name: "nats-server",
                pid: server.pid(),
            }],
        };
        let put: Arc<dyn Call> = Arc::new(Put::connect(server).await);
        cells.push(Cell::new(name, 256, Weight::Counts, &put, &on));
    }
}
