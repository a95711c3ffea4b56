//! The fields of a schema as rows of a table: path, type, limits, description.

use crate::json::Json;

/// Deeper schemas would be a loop.
const DEPTH_MAX: usize = 12;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// `profile.firstName`, `users[].userId`.
    pub(crate) path: String,
    pub(crate) kind: String,
    pub(crate) required: Required,
    pub(crate) limits: String,
    pub(crate) description: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Required {
    Yes,
    No,
}

/// Every field of `schema`; references lead into `document`.
pub(crate) fn fields(document: &Json, schema: &Json) -> Vec<Field> {
    let mut found = Vec::new();
    collect(document, schema, "", 0, &mut found);
    found
}

fn collect(document: &Json, schema: &Json, path: &str, depth: usize, found: &mut Vec<Field>) {
    assert!(depth < DEPTH_MAX, "{path} is too deep");
    let schema = document.resolve(schema);
    let required = schema.get("required").map(Json::items).unwrap_or_default();
    let properties = schema.get("properties").map(Json::fields);
    for (name, property) in properties.unwrap_or_default() {
        let path = match path.is_empty() {
            true => name.clone(),
            false => format!("{path}.{name}"),
        };
        let is_required = required.iter().any(|own| own.as_str() == Some(name));
        field(document, property, path, is_required, depth, found);
    }
    for word in ["allOf", "oneOf", "anyOf"] {
        for part in schema.get(word).map(Json::items).unwrap_or_default() {
            collect(document, part, path, depth + 1, found);
        }
    }
    if let Some(items) = schema.get("items") {
        collect(document, items, &format!("{path}[]"), depth + 1, found);
    }
}

fn field(
    document: &Json,
    schema: &Json,
    path: String,
    is_required: bool,
    depth: usize,
    found: &mut Vec<Field>,
) {
    let resolved = document.resolve(schema);
    let description = [schema.text("description"), resolved.text("description")];
    let known = found.iter().any(|field| field.path == path);
    // A variant says again what it shares with the others.
    if !known {
        found.push(Field {
            path: path.clone(),
            kind: kind(document, resolved),
            required: match is_required {
                true => Required::Yes,
                false => Required::No,
            },
            limits: limits(document, resolved),
            description: description
                .into_iter()
                .find(|text| !text.is_empty())
                .unwrap_or_default()
                .to_owned(),
        });
    }
    collect(document, resolved, &path, depth + 1, found);
}

/// `string or null`, `list of object`.
fn kind(document: &Json, schema: &Json) -> String {
    let schema = document.resolve(schema);
    if let Some(items) = schema.get("items") {
        return format!("list of {}", kind(document, items));
    }
    let types = match schema.get("type") {
        Some(Json::Array(types)) => types.iter().filter_map(Json::as_str).collect(),
        Some(one) => one.as_str().into_iter().collect(),
        None => Vec::new(),
    };
    if !types.is_empty() {
        return types.join(" or ");
    }
    for word in ["allOf", "oneOf", "anyOf"] {
        if let Some(first) = schema.get(word).and_then(|parts| parts.items().first()) {
            return kind(document, first);
        }
    }
    match schema.get("enum").or(schema.get("const")) {
        Some(_) => "string".to_owned(),
        None => "any".to_owned(),
    }
}

fn limits(document: &Json, schema: &Json) -> String {
    let number = |name: &str| schema.get(name).map(plain);
    let mut found = Vec::new();
    for (least, most, unit) in [
        ("minLength", "maxLength", " characters"),
        ("minimum", "maximum", ""),
        ("minItems", "maxItems", " items"),
    ] {
        found.extend(match (number(least), number(most)) {
            (Some(least), Some(most)) => Some(format!("{least} to {most}{unit}")),
            (Some(least), None) => Some(format!("at least {least}{unit}")),
            (None, Some(most)) => Some(format!("at most {most}{unit}")),
            (None, None) => None,
        });
    }
    for name in ["pattern", "format"] {
        found.extend(schema.get(name).map(|it| format!("`{}`", plain(it))));
    }
    found.extend(schema.get("const").map(|it| format!("`{}`", plain(it))));
    let items = schema.get("items").map(|items| document.resolve(items));
    let values = schema.get("enum").or(items.and_then(|it| it.get("enum")));
    let values: Vec<String> = values
        .map(Json::items)
        .unwrap_or_default()
        .iter()
        .map(|value| format!("`{}`", plain(value)))
        .collect();
    if !values.is_empty() {
        found.push(values.join(" "));
    }
    found.join("; ")
}

/// Text without its quotes.
fn plain(value: &Json) -> String {
    match value {
        Json::Scalar(serde_json::Value::String(text)) => text.clone(),
        Json::Scalar(_) | Json::Object(_) | Json::Array(_) => value.write().trim().to_owned(),
    }
}

#[test]
fn nested_fields_have_paths_types_and_limits() {
    let document = Json::read(
        r##"{"names": {"type": "object", "required": ["first"], "properties": {
            "first": {"type": "string", "minLength": 1, "maxLength": 200},
            "rows": {"type": "array", "items": {"properties": {"on": {"type": ["boolean", "null"]}}}}}},
            "whole": {"allOf": [{"$ref": "#/names"}]}}"##,
    );
    let whole = document.get("whole").expect("it is there");
    let found = fields(&document, whole);
    let told = found
        .iter()
        .map(|field| (field.path.as_str(), field.kind.as_str(), field.required));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ("first", "string", Required::Yes),
            ("rows", "list of any", Required::No),
            ("rows[].on", "boolean or null", Required::No),
        ]
    );
    assert_eq!(found[0].limits, "1 to 200 characters");
}
