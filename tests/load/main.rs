//! Many users: the service stays within its memory and its limit of live actors.
//!
//! `make load` creates and changes 100,000 users against a release build; `LOAD_USERS=N` sets their
//! number. Without it, a small version that any build passes.

use std::fs;
use std::time::Duration;

use profile_tests::caller::{Caller, Identity, new_user};
use profile_tests::nats_server::{NatsServer, ServerOptions};
use profile_tests::service::Service;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

const USERS_DEFAULT: usize = 2_000;
const CLIENTS: usize = 64;
const RSS_MIB_MAX: u64 = 512;
/// A fifth of the users of the full version.
const LIVE_ACTORS_MAX_FULL: usize = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_users_fit_in_the_memory_and_the_actors_that_are_allowed() {
    let users = std::env::var("LOAD_USERS").map_or(USERS_DEFAULT, |text| {
        text.parse().expect("LOAD_USERS is a number")
    });
    // Few enough in the small version too that most users are passivated between their two commands.
    let live_actors_max = LIVE_ACTORS_MAX_FULL.min(users / 5);
    let server = NatsServer::start(ServerOptions::default());
    let extra = format!("[actors]\nlive_actors_max = {live_actors_max}\n");
    let mut service = Service::start(&server, &extra);
    let callers = callers(&server, &service).await;

    measured("create", users, all(&callers, users, create)).await;
    measured("update", users, all(&callers, users, update)).await;
    let sampled = users.div_ceil(100);
    measured("get", sampled, all(&callers, sampled, get)).await;
    let peak = rss_mib_most(service.pid());
    eprintln!("VmHWM of profiled: {peak} MiB");
    assert!(peak < RSS_MIB_MAX, "{peak} MiB");

    assert!(service.stop().success(), "{}", service.log());
    let actors = actors(&service.log());
    eprintln!("actors: {actors}");
    let count = |name: &str| actors[name].as_u64().expect("a count") as usize;
    assert!(count("live_most") <= live_actors_max, "{actors}");
    assert!(count("activations") >= users, "{actors}");
    assert!(count("passivations") + live_actors_max >= users, "{actors}");

    let started = Instant::now();
    service.start_again();
    let (took, peak) = (started.elapsed(), rss_mib_most(service.pid()));
    eprintln!(
        "start on this data: {} ms, VmHWM {peak} MiB",
        took.as_millis()
    );
    assert!(peak < RSS_MIB_MAX, "{peak} MiB");
    all(&callers, sampled, get).await;
}

/// One connection each.
async fn callers(server: &NatsServer, service: &Service) -> Vec<Caller> {
    let mut callers = Vec::new();
    for _ in 0..CLIENTS {
        callers.push(Caller::connect(server, service, &Identity::owner("zoo")).await);
    }
    callers
}

/// Runs `one` for every user, each caller with one request at a time.
async fn all<F>(callers: &[Caller], users: usize, one: fn(Caller, String) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut clients = JoinSet::new();
    for (first, caller) in callers.iter().cloned().enumerate() {
        clients.spawn(async move {
            for number in (first..users).step_by(CLIENTS) {
                one(caller.clone(), format!("user-{number}")).await;
            }
        });
    }
    clients.join_all().await;
}

async fn create(caller: Caller, user: String) {
    let keyed = caller.with("Idempotency-Key", "create");
    let created = keyed.call("create", new_user(&user)).await.ok();
    assert_eq!(created["details"]["sequence"], "1");
}

async fn update(caller: Caller, user: String) {
    let keyed = caller.with("Idempotency-Key", "update");
    let body = json!({
        "userId": user, "firstName": "Gigi", "lastName": "Giraffe", "displayName": user,
        "preferredLanguage": "en", "gender": "GENDER_FEMALE",
    });
    let updated = keyed.call("update", body).await.ok();
    assert_eq!(updated["details"]["sequence"], "2");
}

async fn get(caller: Caller, user: String) {
    let got = caller.call("get", json!({"userId": user})).await.ok();
    assert_eq!(got["details"]["sequence"], "2");
    assert_eq!(got["profile"]["displayName"], Value::from(user));
}

async fn measured(what: &str, requests: usize, work: impl Future<Output = ()>) {
    let started = Instant::now();
    work.await;
    let took = started.elapsed().max(Duration::from_millis(1));
    let each_second = requests as f64 / took.as_secs_f64();
    eprintln!(
        "{what}: {requests} in {:.1} s, {each_second:.0}/s",
        took.as_secs_f64()
    );
}

/// The most memory that a process ever had resident, in MiB.
fn rss_mib_most(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.expect("VmHWM").trim().trim_end_matches(" kB");
    kib.parse::<u64>().expect("a number") / 1024
}

/// The fields of the line that a stopping service logs of its actors.
fn actors(log: &str) -> Value {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let fields = lines.map(|mut line| line["fields"].take());
    let mut of_actors = fields.filter(|fields| fields["message"] == "actors");
    of_actors.next_back().expect("a line of the actors")
}
