//! The lines of the input, each read and judged by itself: one that is wrong is not the end of the import.

use std::io::{BufRead, Read};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use profile_messages::json::BODY_BYTES_MAX;
use serde_json::{Map, Value};

use super::results::Outcome;
use crate::failure::Failure;

/// A body and the key beside it.
const LINE_BYTES_MAX: usize = BODY_BYTES_MAX + 1_024;
const KEY_MEMBER: &str = "idempotencyKey";

#[derive(Debug)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// Where the next one begins in the input.
    pub(super) end_byte: u64,
    /// SHA-256 of its bytes, without the line end, in hex.
    pub(super) digest: String,
    /// What is to be created, or why nothing can be.
    pub(super) user: Result<User, Outcome>,
}

#[derive(Debug)]
pub(super) struct User {
    pub(super) id: Option<String>,
    /// Of the line, else one that stands for its bytes.
    pub(super) key: String,
    /// Body of `create`.
    pub(super) body: Bytes,
}

pub(super) struct Lines {
    source: Box<dyn BufRead>,
    number: u64,
    end_byte: u64,
}

impl Lines {
    pub(super) fn new(source: Box<dyn BufRead>) -> Lines {
        Lines {
            source,
            number: 0,
            end_byte: 0,
        }
    }

    /// The next line without its end, or its first bytes if it is too long.
    fn read(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        let most = LINE_BYTES_MAX as u64 + 1;
        let mut length = (&mut self.source).take(most).read_until(b'\n', &mut text)? as u64;
        if length == 0 {
            return Ok(None);
        }
        let is_cut = length == most && text.last() != Some(&b'\n');
        if is_cut {
            length += self.source.skip_until(b'\n')? as u64;
        }
        self.number += 1;
        self.end_byte += length;
        while matches!(text.last(), Some(b'\n' | b'\r')) {
            text.pop();
        }
        Ok(Some(text))
    }
}

impl Iterator for Lines {
    type Item = Result<Line, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = match self.read() {
            Ok(text) => text?,
            Err(error) => {
                return Some(Err(Failure::other(format!(
                    "cannot read the input: {error}"
                ))));
            }
        };
        let digest = profilectl::hex(digest(&SHA256, &text).as_ref());
        Some(Ok(Line {
            number: self.number,
            end_byte: self.end_byte,
            user: user(&text, &digest),
            digest,
        }))
    }
}

fn user(text: &[u8], digest: &str) -> Result<User, Outcome> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(Outcome::Blank);
    }
    if text.len() > LINE_BYTES_MAX {
        return Err(wrong(format!(
            "the line is longer than {LINE_BYTES_MAX} bytes"
        )));
    }
    let body: Map<String, Value> = match serde_json::from_slice(text) {
        Ok(body) => body,
        // serde_json's own text may quote a value.
        Err(error) => return Err(wrong(format!("no JSON object (column {})", error.column()))),
    };
    let id = body.get("userId").or_else(|| body.get("user_id"));
    let id = id
        .and_then(Value::as_str)
        .filter(|id| !id.is_empty())
        .map(str::to_owned);
    with_key(body, id, text, digest)
}

fn with_key(
    mut body: Map<String, Value>,
    id: Option<String>,
    text: &[u8],
    digest: &str,
) -> Result<User, Outcome> {
    match body.remove(KEY_MEMBER) {
        None if id.is_none() => Err(wrong(format!(
            "neither userId nor {KEY_MEMBER}: sent twice, the line could become two users"
        ))),
        // As it was written: what JSON libraries change in numbers or doubled members is for the service.
        None => Ok(User {
            id,
            key: format!("import-{}", digest.get(..32).unwrap_or(digest)),
            body: Bytes::copy_from_slice(text),
        }),
        Some(Value::String(key)) if is_key(&key) => Ok(User {
            id,
            key,
            body: Value::Object(body).to_string().into(),
        }),
        Some(_) => Err(wrong(format!(
            "{KEY_MEMBER} is no text that can stand in a header"
        ))),
    }
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && !key.chars().any(char::is_control)
}

fn wrong(message: String) -> Outcome {
    Outcome::Failed {
        user_id: None,
        code: "INVALID_ARGUMENT".to_owned(),
        message,
        fields: Vec::new(),
    }
}
