//! Requests that nobody ever answers, many of them: `TIMED_OUT_REQUESTS=1000000`.

use std::process::Command;

use futures::future::join_all;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const REQUESTS_DEFAULT: u64 = 50_000;
const AT_ONCE: u64 = 1_000;
const TIMEOUT: Duration = Duration::from_millis(20);
/// A forgotten entry is a hundred bytes and more; half of that is the noise of an allocator.
const BYTES_PER_REQUEST_MAX: u64 = 50;

/// Memory is counted for a whole process, so the test named `test` runs again in one of its own.
/// Returns whether this is that one; else it has run there, and was green.
fn is_alone(test: &str) -> bool {
    const ALONE: &str = "TIMED_OUT_REQUESTS_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "--nocapture", test]).env(ALONE, "1");
    let ended = child.output().unwrap();
    let text = [ended.stdout, ended.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    println!("{text}");
    assert!(ended.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{test} is the name of no test");
    false
}

/// A bus that takes everything and delivers nothing.
async fn silent_bus() -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(swallow(connection));
        }
    });
    async_nats::connect(format!("nats://{address}"))
        .await
        .unwrap()
}

async fn swallow(connection: TcpStream) {
    const INFO: &str = r#"INFO {"server_id":"S","server_name":"silent","version":"2.15.1","go":"","host":"127.0.0.1","port":1,"headers":true,"max_payload":1048576,"proto":1,"client_id":1}"#;
    let (read, mut write) = connection.into_split();
    write
        .write_all(format!("{INFO}\r\n").as_bytes())
        .await
        .unwrap();
    let (mut read, mut line) = (BufReader::new(read), Vec::new());
    while read
        .read_until(b'\n', &mut line)
        .await
        .is_ok_and(|bytes| bytes > 0)
    {
        if line.starts_with(b"PING") && write.write_all(b"PONG\r\n").await.is_err() {
            return;
        }
        line.clear();
    }
}

fn requests() -> u64 {
    let number = std::env::var("TIMED_OUT_REQUESTS");
    number.map_or(REQUESTS_DEFAULT, |text| text.parse().unwrap())
}

/// Resident memory of this process.
fn rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * 1024
}

/// Lets `count` requests time out, [`AT_ONCE`] at a time.
async fn time_out<F: Future<Output = bool>>(count: u64, one: impl Fn() -> F) {
    let mut timed_out = 0;
    while timed_out < count {
        let all = join_all((0..AT_ONCE).map(|_| one())).await;
        timed_out += all.into_iter().filter(|timed_out| *timed_out).count() as u64;
    }
}

/// Bytes that each of so many requests leaves behind, once everything that is needed once is there.
async fn growth<F: Future<Output = bool>>(requests: u64, one: impl Fn() -> F) -> u64 {
    time_out(REQUESTS_DEFAULT / 5, &one).await;
    let before = rss_bytes();
    time_out(requests, &one).await;
    let grown = rss_bytes().saturating_sub(before);
    println!("{requests} requests timed out: {before} bytes before, {grown} more");
    grown / requests
}

#[tokio::test]
async fn a_request_that_timed_out_leaves_nothing_behind() {
    if !is_alone("jetstream::inbox::tests::a_request_that_timed_out_leaves_nothing_behind") {
        return;
    }
    let inbox = Inbox::new(silent_bus().await, TIMEOUT);
    let each = growth(requests(), async || {
        let (subject, headers) = ("nobody.listens".to_owned(), HeaderMap::new());
        let sent = inbox
            .send(subject, headers, Bytes::from_static(b"{}"))
            .await;
        // A connection whose queue does not move is another matter: those do not count.
        let Ok(reply) = sent else {
            return false;
        };
        assert_eq!(reply.await.unwrap_err(), unheard("no answer in time"));
        true
    });
    let each = each.await;
    let waiting = &inbox.opened.get().unwrap().waiting;
    assert_eq!(waiting.lock().len(), 0, "entries without a request");
    assert!(waiting.lock().capacity() < 10 * AT_ONCE as usize);
    assert!(each < BYTES_PER_REQUEST_MAX, "{each} bytes a request");
}

/// The reason for an inbox of our own. Green no longer: async-nats is repaired, and it may go.
#[tokio::test]
async fn async_nats_keeps_an_entry_for_every_request_that_timed_out() {
    if !is_alone(
        "jetstream::inbox::tests::async_nats_keeps_an_entry_for_every_request_that_timed_out",
    ) {
        return;
    }
    let client = silent_bus().await;
    let each = growth(REQUESTS_DEFAULT, async || {
        let request = async_nats::Request::new().timeout(Some(TIMEOUT));
        let answer = client.send_request("nobody.listens", request).await;
        answer.is_err_and(|error| error.kind() == async_nats::RequestErrorKind::TimedOut)
    });
    let each = each.await;
    assert!(each > BYTES_PER_REQUEST_MAX, "{each} bytes a request");
}
