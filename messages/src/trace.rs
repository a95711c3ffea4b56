//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>): which trace a request belongs to.

use std::fmt;

/// Longest `traceparent` in bytes that is looked at; one of version 00 has 55.
const PARENT_BYTES_MAX: usize = 128;
const PARENT_BYTES_MIN: usize = 55;
/// Longest `tracestate` that is handed on, in bytes: what the W3C asks for at least.
pub const STATE_BYTES_MAX: usize = 512;
/// What a record takes for it, in bytes, beside the state.
pub const STORED_BYTES: usize = 16 + 8 + 1;
const STATE_MEMBERS_MAX: usize = 32;
/// Members longer than this are the first to go from a `tracestate` that is too long.
const MEMBER_BYTES_KEPT: usize = 128;
const SAMPLED: u8 = 1;

/// The place in a trace that a request comes from: what `traceparent` and `tracestate` say.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    parent_id: [u8; 8],
    flags: u8,
    state: String,
}

impl TraceContext {
    /// `None` for an id of zeros, which is none. Of the flags the sampled one is kept; `tracestate` as in
    /// [`TraceContext::parse`].
    pub fn new(
        trace_id: [u8; 16],
        parent_id: [u8; 8],
        flags: u8,
        tracestate: &str,
    ) -> Option<TraceContext> {
        let is_one = trace_id != [0; 16] && parent_id != [0; 8];
        is_one.then(|| TraceContext {
            trace_id,
            parent_id,
            flags: flags & SAMPLED,
            state: state(tracestate).unwrap_or_default(),
        })
    }

    /// Reads the two headers. A `traceparent` that is not of its form is none; a `tracestate` that is not
    /// is empty, and one of more than [`STATE_BYTES_MAX`] bytes loses whole members.
    pub fn parse(traceparent: &str, tracestate: &str) -> Option<TraceContext> {
        if !(PARENT_BYTES_MIN..=PARENT_BYTES_MAX).contains(&traceparent.len()) {
            return None;
        }
        let mut parts = traceparent.splitn(5, '-');
        let [version] = hex(parts.next()?)?;
        let (trace_id, parent_id) = (hex(parts.next()?)?, hex(parts.next()?)?);
        let [flags] = hex(parts.next()?)?;
        let is_known = match (version, parts.next()) {
            (0xff, _) => false,
            (0, rest) => rest.is_none(),
            // A later version may say more, behind a dash.
            (1..=0xfe, _) => true,
        };
        is_known
            .then(|| TraceContext::new(trace_id, parent_id, flags, tracestate))
            .flatten()
    }

    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    pub fn parent_id(&self) -> [u8; 8] {
        self.parent_id
    }

    /// Whether the caller records this trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The header `traceparent`, version 00.
    pub fn traceparent(&self) -> String {
        let mut text = String::with_capacity(PARENT_BYTES_MIN);
        text.push_str("00-");
        push_hex(&mut text, &self.trace_id);
        text.push('-');
        push_hex(&mut text, &self.parent_id);
        text.push('-');
        push_hex(&mut text, &[self.flags]);
        text
    }

    /// The header `tracestate`; empty for none.
    pub fn tracestate(&self) -> &str {
        &self.state
    }

    /// Trace id, parent id and flags, one behind the other: how a record keeps them.
    pub(crate) fn to_bytes(&self) -> [u8; STORED_BYTES] {
        let mut bytes = [0; STORED_BYTES];
        let parts = self.trace_id.iter().chain(&self.parent_id);
        let parts = parts.chain(std::iter::once(&self.flags));
        bytes
            .iter_mut()
            .zip(parts)
            .for_each(|(to, from)| *to = *from);
        bytes
    }

    /// `None` for bytes that are no trace context.
    pub(crate) fn from_bytes(bytes: &[u8], tracestate: &str) -> Option<TraceContext> {
        let (trace_id, rest) = bytes.split_first_chunk::<16>()?;
        let (parent_id, rest) = rest.split_first_chunk::<8>()?;
        match rest {
            [flags] => TraceContext::new(*trace_id, *parent_id, *flags, tracestate),
            _ => None,
        }
    }
}

/// Without the state, which is somebody else's.
impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())
    }
}

/// Lower case only, as the W3C asks.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xf));
    }
}

/// The members that are handed on; `None` when one of them is not of its form or a key stands twice.
fn state(text: &str) -> Option<String> {
    let mut members: Vec<&str> = Vec::new();
    let named = text.split(',').map(|it| it.trim_matches([' ', '\t']));
    for member in named.filter(|it| !it.is_empty()) {
        let (key, value) = member.split_once('=')?;
        let is_taken = |it: &&str| it.split_once('=').is_some_and(|(other, _)| other == key);
        let is_full = members.len() >= STATE_MEMBERS_MAX;
        if is_full || !is_key(key) || !is_value(value) || members.iter().any(is_taken) {
            return None;
        }
        members.push(member);
    }
    let length = |members: &[&str]| {
        let bytes: usize = members.iter().map(|it| it.len() + 1).sum();
        bytes.saturating_sub(1)
    };
    if length(&members) > STATE_BYTES_MAX {
        members.retain(|it| it.len() <= MEMBER_BYTES_KEPT);
    }
    while length(&members) > STATE_BYTES_MAX {
        members.pop();
    }
    Some(members.join(","))
}

fn is_key(key: &str) -> bool {
    let begins = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let goes_on = |byte: u8| begins(byte) || b"_-*/@".contains(&byte);
    (1..=256).contains(&key.len())
        && key.bytes().next().is_some_and(begins)
        && key.bytes().all(goes_on)
}

fn is_value(value: &str) -> bool {
    let plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'=' && byte != b',';
    (1..=256).contains(&value.len()) && value.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_w3c_is_read_and_written_as_it_was() {
        let trace = TraceContext::parse(PARENT, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE").unwrap();
        assert_eq!(trace.traceparent(), PARENT);
        assert_eq!(
            trace.tracestate(),
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
        );
        assert!(trace.is_sampled());
        let stored = TraceContext::from_bytes(&trace.to_bytes(), trace.tracestate());
        assert_eq!(stored, Some(trace));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for later in [
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes",
        ] {
            let trace = TraceContext::parse(later, "").unwrap();
            assert_eq!(trace.traceparent(), PARENT);
        }
    }

    #[test]
    fn what_is_not_of_its_form_is_no_trace() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47-3600f067aa0ba902b7-001",
            "0é-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        ] {
            assert_eq!(TraceContext::parse(bad, ""), None, "{bad}");
        }
    }

    #[test]
    fn a_state_that_is_not_of_its_form_is_dropped_and_the_trace_stays() {
        for bad in ["a", "=1", "A=1", "a=", "a=1,a=2", "a=1=2", "a=\u{e9}"] {
            let trace = TraceContext::parse(PARENT, bad).unwrap();
            assert_eq!(trace.tracestate(), "", "{bad}");
        }
        let spaced = TraceContext::parse(PARENT, "a=1 , ,b@c=2,").unwrap();
        assert_eq!(spaced.tracestate(), "a=1,b@c=2");
        let many: Vec<String> = (0..33).map(|number| format!("k{number}=1")).collect();
        let trace = TraceContext::parse(PARENT, &many.join(",")).unwrap();
        assert_eq!(trace.tracestate(), "");
    }

    #[test]
    fn a_long_state_loses_its_longest_and_then_its_last_members() {
        let long = format!("a={},b=2,c={}", "x".repeat(256), "y".repeat(256));
        let trace = TraceContext::parse(PARENT, &long).unwrap();
        assert_eq!(trace.tracestate(), "b=2");
        let members: Vec<String> = (0..6)
            .map(|it| format!("k{it}={}", "x".repeat(100)))
            .collect();
        let trace = TraceContext::parse(PARENT, &members.join(",")).unwrap();
        assert_eq!(trace.tracestate(), members[..4].join(","));
    }
}
