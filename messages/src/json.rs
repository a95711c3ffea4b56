//! How request bodies are read: as ZITADEL's gateway reads protobuf JSON (zitadel-api §2.3).
//!
//! Unknown fields and bytes after the first value are ignored, `null` is absent, an empty body is an
//! empty message; a field given twice, an array for a message and a wrong type are refused.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Largest request body in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Why a body was refused. The text never holds a value of the body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body is longer than {BODY_BYTES_MAX} bytes")]
    TooLong,
    #[error("unexpected EOF")]
    Eof,
    #[error("syntax error (line {line}:{column})")]
    Syntax { line: usize, column: usize },
    #[error("the protobuf message cannot be decoded")]
    Undecodable,
    /// Two members of a oneof.
    #[error("oneof {0} is already set")]
    Twice(&'static str),
    #[error("{what} (line {line}:{column})")]
    Field {
        what: &'static str,
        line: usize,
        column: usize,
    },
}

/// Reads the first JSON value of `body` as one message.
///
/// # Errors
/// [`BodyError`] as the module says.
pub fn decode_body<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, BodyError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(BodyError::TooLong);
    }
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Message<T>>();
    match values.next() {
        None => Ok(T::default()),
        Some(Ok(message)) => {
            // serde_json does not look into the strings of ignored fields; ZITADEL's decoder does.
            let read = body.get(..values.byte_offset()).unwrap_or(body);
            let utf8 = std::str::from_utf8(read).map_err(|error| error.valid_up_to());
            match utf8.and_then(|_| whole_escapes(read)) {
                Ok(()) => Ok(message.0),
                Err(offset) => Err(syntax_at(read, offset)),
            }
        }
        Some(Err(error)) => Err(classify(&error)),
    }
}

/// Whether every escaped surrogate has its other half. `json` is valid but for that, so that a backslash
/// stands in strings only; the error is the offset of the first one that has not.
fn whole_escapes(json: &[u8]) -> Result<(), usize> {
    let escaped = |at: usize| {
        let digits = json.get(at..)?.strip_prefix(b"\\u")?.get(..4)?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut at = 0;
    while let Some(found) = json
        .get(at..)
        .and_then(|rest| rest.iter().position(|b| *b == b'\\'))
    {
        at += found;
        at += match escaped(at) {
            None => 2,
            Some(0xd800..=0xdbff) => match escaped(at + 6) {
                Some(0xdc00..=0xdfff) => 12,
                Some(_) | None => return Err(at),
            },
            Some(0xdc00..=0xdfff) => return Err(at),
            Some(_) => 6,
        };
    }
    Ok(())
}

fn syntax_at(body: &[u8], offset: usize) -> BodyError {
    let before = body.get(..offset).unwrap_or(body);
    let newlines = before.iter().filter(|byte| **byte == b'\n').count();
    let in_line = before.iter().rev().take_while(|byte| **byte != b'\n');
    BodyError::Syntax {
        line: newlines + 1,
        column: in_line.count() + 1,
    }
}

/// serde's texts quote values, so only its category, its place and our own words are passed on.
fn classify(error: &serde_json::Error) -> BodyError {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Eof => BodyError::Eof,
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
            BodyError::Syntax { line, column }
        }
        serde_json::error::Category::Data => {
            let text = error.to_string();
            let duplicate = text.starts_with("duplicate field");
            let what = if duplicate {
                "duplicate field"
            } else {
                "invalid value for a field"
            };
            BodyError::Field { what, line, column }
        }
    }
}

/// A message is a JSON object: serde's derive would accept an array as well, at every depth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Message<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_map(MessageVisitor(PhantomData))
            .map(Message)
    }
}

struct MessageVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MessageVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// That a field was sent with something in it. The value itself is checked for its kind and dropped:
/// passwords and the like never lie about in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent;

/// For a field that is a text in ZITADEL: the empty one counts as absent, as protobuf has it.
pub(crate) fn sent_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Sent>, D::Error> {
    let text = Option::<SomeText>::deserialize(from)?;
    Ok(text.filter(|text| !text.is_empty).map(|_| Sent))
}

/// For an `optional` text in ZITADEL: an empty one was sent as well.
pub(crate) fn sent_optional_text<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Sent>, D::Error> {
    Ok(Option::<SomeText>::deserialize(from)?.map(|_| Sent))
}

/// A text of which only this is kept.
struct SomeText {
    is_empty: bool,
}

impl<'de> Deserialize<'de> for SomeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SomeText, D::Error> {
        deserializer.deserialize_str(SomeTextVisitor)
    }
}

struct SomeTextVisitor;

impl Visitor<'_> for SomeTextVisitor {
    type Value = SomeText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SomeText, E> {
        Ok(SomeText {
            is_empty: text.is_empty(),
        })
    }
}

/// For a field that is a message in ZITADEL: an empty one was sent as well.
pub(crate) fn sent_message<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Sent>, D::Error> {
    let message = Option::<Message<Anything>>::deserialize(from)?;
    Ok(message.map(|_| Sent))
}

/// For a list in ZITADEL: an empty one counts as absent.
pub(crate) fn sent_list<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Sent>, D::Error> {
    let list = Option::<Vec<serde::de::IgnoredAny>>::deserialize(from)?;
    Ok(list.filter(|list| !list.is_empty()).map(|_| Sent))
}

/// A message whose fields do not matter.
#[derive(Default, Deserialize)]
struct Anything {}

/// The gender of a body: a name or a whole number; the enum is open. An unknown name means absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireGender(pub Option<i32>);

impl<'de> Deserialize<'de> for WireGender {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GenderVisitor)
    }
}

struct GenderVisitor;

impl Visitor<'_> for GenderVisitor {
    type Value = WireGender;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a gender")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<WireGender, E> {
        let known = crate::Gender::ALL
            .into_iter()
            .find(|gender| gender.name() == name);
        Ok(WireGender(known.map(crate::Gender::number)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<WireGender, E> {
        i32::try_from(number)
            .map(|n| WireGender(Some(n)))
            .map_err(|_| E::custom("not an int32"))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<WireGender, E> {
        i32::try_from(number)
            .map(|n| WireGender(Some(n)))
            .map_err(|_| E::custom("not an int32"))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<WireGender, E> {
        let int32 = f64::from(i32::MIN)..=f64::from(i32::MAX);
        let whole = number.fract() == 0.0 && int32.contains(&number);
        // Whole and in range: the cast is exact.
        if whole {
            Ok(WireGender(Some(number as i32)))
        } else {
            Err(E::custom("not an int32"))
        }
    }
}

/// A uint64 or uint32 of protobuf JSON: a number or a decimal string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireU64(pub u64);

impl<'de> Deserialize<'de> for WireU64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(U64Visitor)
    }
}

struct U64Visitor;

impl Visitor<'_> for U64Visitor {
    type Value = WireU64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a uint64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<WireU64, E> {
        text.parse()
            .map(WireU64)
            .map_err(|_| E::custom("not a uint64"))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<WireU64, E> {
        Ok(WireU64(number))
    }

    /// `20.0` and `2e1` are whole numbers too.
    fn visit_f64<E: Error>(self, number: f64) -> Result<WireU64, E> {
        // Up to here every whole number has an f64 of its own: the cast is exact.
        let exact = 0.0..=9_007_199_254_740_992.0;
        if number.fract() == 0.0 && exact.contains(&number) {
            Ok(WireU64(number as u64))
        } else {
            Err(E::custom("not a uint64"))
        }
    }
}

/// Writes a uint64 as protobuf JSON does: a decimal string.
pub(crate) fn u64_text<S: serde::Serializer>(
    number: &u64,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

/// Reads a uint64 that may be a number or a decimal string.
pub(crate) fn u64_from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    WireU64::deserialize(deserializer).map(|number| number.0)
}
