//! As much of the NATS protocol as the proxy looks at: frames, and the way of an event.

use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;

const EVENT: &str = "profile-event.v1.";
const COMMIT: &str = "profile-log.";
/// As async-nats writes it.
const EXPECTED: &str = "Nats-Expected-Last-Sequence: ";

/// Length of the frame that `bytes` begin with; `None` when it is not whole yet.
pub(super) fn frame_len(bytes: &[u8]) -> Option<usize> {
    let line = line(bytes)?;
    let head = line.len() + 2;
    let mut words = line.split_ascii_whitespace();
    let has_payload = matches!(words.next(), Some("PUB" | "HPUB" | "MSG" | "HMSG"));
    let payload = match has_payload {
        true => words.next_back()?.parse::<usize>().ok()? + 2,
        false => 0,
    };
    (bytes.len() >= head + payload).then_some(head + payload)
}

/// The first line, if it is whole.
fn line(bytes: &[u8]) -> Option<&str> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    std::str::from_utf8(&bytes[..end]).ok()
}

/// The name in a CONNECT.
pub(super) fn name_in_connect(frame: &[u8]) -> Option<String> {
    let json = line(frame)?.strip_prefix("CONNECT ")?;
    let connect: serde_json::Value = serde_json::from_str(json).ok()?;
    connect["name"].as_str().map(str::to_owned)
}

/// What was seen of the events on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Forwarded to the server.
    pub sent: u64,
    /// Of these, for a place in the stream that an event was sent for before.
    pub sent_again: u64,
    /// Events that the server said it stored, which the service was not told.
    pub acks_withheld: u64,
    /// Acknowledged as a duplicate.
    pub duplicates: u64,
    /// Refused: the stream was not at the expected sequence.
    pub refused: u64,
}

/// What the proxy does with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Cut,
}

#[derive(Debug, Default)]
struct Plan {
    /// Events until the one whose ack is withheld; 0: none.
    events_left: u64,
    awaited_reply: Option<String>,
    /// The highest expected sequence that was sent.
    highest: Option<u64>,
}

/// The events of the relay's connections.
#[derive(Debug, Default)]
pub(super) struct Events {
    plan: Mutex<Plan>,
    counts: watch::Sender<Counts>,
}

impl Events {
    pub(super) fn cut_before_ack(&self, nth: u64) {
        let mut plan = self.plan();
        plan.events_left = nth;
        plan.awaited_reply = None;
    }

    pub(super) fn watch(&self) -> watch::Receiver<Counts> {
        self.counts.subscribe()
    }

    /// A frame on its way to the server.
    pub(super) fn to_server(&self, frame: &[u8]) {
        let Some(line) = line(frame) else { return };
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, subject, reply, ..] = words[..] else {
            return;
        };
        let is_stored = subject.starts_with(EVENT) || subject.starts_with(COMMIT);
        if !line.starts_with("HPUB ") || !is_stored {
            return;
        }
        let mut plan = self.plan();
        let expected = expected_sequence(frame);
        let again = expected.is_some() && expected <= plan.highest;
        plan.highest = plan.highest.max(expected);
        if plan.events_left > 0 {
            plan.events_left -= 1;
            if plan.events_left == 0 {
                plan.awaited_reply = Some(reply.to_owned());
            }
        }
        self.counts.send_modify(|counts| {
            counts.sent += 1;
            counts.sent_again += u64::from(again);
        });
    }

    /// A frame on its way to the relay.
    pub(super) fn to_relay(&self, frame: &[u8]) -> Verdict {
        let Some(line) = line(frame) else {
            return Verdict::Pass;
        };
        if !line.starts_with("MSG ") {
            return Verdict::Pass;
        }
        let body = String::from_utf8_lossy(&frame[line.len() + 2..]);
        let (is_ack, is_error) = (body.contains("\"seq\":"), body.contains("\"error\":"));
        let subject = line.split_ascii_whitespace().nth(1);
        let mut plan = self.plan();
        let awaited = subject.is_some() && subject == plan.awaited_reply.as_deref();
        if awaited {
            plan.awaited_reply = None;
        }
        self.counts.send_modify(|counts| {
            counts.acks_withheld += u64::from(awaited && is_ack && !is_error);
            counts.duplicates += u64::from(is_ack && body.contains("\"duplicate\":true"));
            let wrong = ["\"err_code\":10071", "\"err_code\":10164"];
            counts.refused += u64::from(wrong.iter().any(|code| body.contains(code)));
        });
        match awaited {
            true => Verdict::Cut,
            false => Verdict::Pass,
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().expect("nothing panics with it")
    }
}

fn expected_sequence(frame: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(frame);
    let (_, behind) = text.split_once(EXPECTED)?;
    behind.split("\r\n").next()?.parse().ok()
}
