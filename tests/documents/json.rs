//! JSON whose fields stay in their order: what is generated is read by people.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Object(Vec<(String, Json)>),
    Array(Vec<Json>),
    Scalar(Value),
}

/// An object with these fields in this order.
pub(crate) fn object<const N: usize>(fields: [(&str, Json); N]) -> Json {
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    Json::Object(fields.into())
}

/// `{"$ref": "#/..."}`
pub(crate) fn reference(place: &str) -> Json {
    object([("$ref", format!("#/{place}").into())])
}

impl Json {
    /// # Panics
    /// When `text` is no JSON: it is one of our own files.
    pub(crate) fn read(text: &str) -> Json {
        serde_json::from_str(text).expect("our own file is JSON")
    }

    /// Indented, with a line end.
    pub(crate) fn write(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings and numbers") + "\n"
    }

    pub(crate) fn fields(&self) -> &[(String, Json)] {
        match self {
            Json::Object(fields) => fields,
            Json::Array(_) | Json::Scalar(_) => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Json] {
        match self {
            Json::Array(items) => items,
            Json::Object(_) | Json::Scalar(_) => &[],
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        let found = self.fields().iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value)
    }

    /// A field's text; empty where there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).and_then(Json::as_str).unwrap_or_default()
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Json::Scalar(value) => value.as_str(),
            Json::Object(_) | Json::Array(_) => None,
        }
    }

    /// What `#/a/b` names; a `~1` in it is a slash.
    pub(crate) fn at(&self, reference: &str) -> Option<&Json> {
        let place = reference.strip_prefix("#/")?;
        place.split('/').try_fold(self, |json, name| {
            json.get(&name.replace("~1", "/").replace("~0", "~"))
        })
    }

    /// What a reference names; other JSON is itself.
    ///
    /// # Panics
    /// When the reference names nothing.
    pub(crate) fn resolve<'a>(&'a self, json: &'a Json) -> &'a Json {
        match json.text("$ref") {
            "" => json,
            place => self.at(place).unwrap_or_else(|| panic!("{place}")),
        }
    }

    /// Without a field, at the top alone.
    pub(crate) fn without(mut self, name: &str) -> Json {
        if let Json::Object(fields) = &mut self {
            fields.retain(|(own, _)| own != name);
        }
        self
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::Scalar(text.into())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Json {
        Json::Scalar(text.into())
    }
}

impl From<Vec<Json>> for Json {
    fn from(items: Vec<Json>) -> Json {
        Json::Array(items)
    }
}

impl FromIterator<(String, Json)> for Json {
    fn from_iter<I: IntoIterator<Item = (String, Json)>>(fields: I) -> Json {
        Json::Object(fields.into_iter().collect())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
            Json::Array(items) => items.serialize(serializer),
            Json::Scalar(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(Ordered)
    }
}

struct Ordered;

impl<'de> Visitor<'de> for Ordered {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Json::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut found = Vec::new();
        while let Some(item) = items.next_element()? {
            found.push(item);
        }
        Ok(Json::Array(found))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(text.into())
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Scalar(Value::Null))
    }
}
