//! The REST half of the page, out of the OpenAPI document.

use super::{Section, body};
use crate::fields::{Field, Required, fields};
use crate::html::{code, escape, field_table, line, paragraphs, table};
use crate::json::Json;

/// What is told once, and one section for each operation.
pub(super) fn calls(document: &Json) -> Vec<Section> {
    let info = document.get("info").expect("info");
    let mut sections = vec![Section {
        id: "rest-about".to_owned(),
        name: "About the calls".to_owned(),
        html: "<h3>About the calls</h3>\n".to_owned() + &paragraphs(info.text("description")),
    }];
    for (path, item) in document.get("paths").expect("paths").fields() {
        for (method, operation) in item.fields() {
            sections.push(call(document, path, method, operation));
        }
    }
    sections
}

fn call(document: &Json, path: &str, method: &str, operation: &Json) -> Section {
    let method = method.to_uppercase();
    let deprecated = match operation.get("deprecated") {
        Some(_) => " <span class=\"deprecated\">deprecated</span>",
        None => "",
    };
    let id = operation.text("operationId");
    let html = format!(
        "<h3><span class=\"method {}\">{method}</span> {}{deprecated}</h3>\n<p class=\"summary\">{}: {}</p>\n",
        method.to_lowercase(),
        code(path),
        escape(id),
        line(operation.text("summary")),
    ) + &paragraphs(operation.text("description"))
        + &parameters(document, operation)
        + &request(document, operation)
        + &responses(document, operation);
    Section {
        id: format!("rest-{}", id.to_lowercase()),
        name: format!("{method} {path}"),
        html,
    }
}

fn parameters(document: &Json, operation: &Json) -> String {
    let all = operation.get("parameters").map(Json::items);
    let all = all
        .unwrap_or_default()
        .iter()
        .map(|it| document.resolve(it));
    let rows: Vec<Field> = all
        .map(|parameter| {
            let schema = parameter.get("schema").expect("a schema").clone();
            let name = parameter.text("name");
            let one = Json::from_iter([(name.to_owned(), schema)]);
            let schema = Json::from_iter([("properties".to_owned(), one)]);
            let mut field = fields(document, &schema).remove(0);
            field.kind = parameter.text("in").to_owned();
            field.description = parameter.text("description").to_owned();
            if parameter.get("required").is_some() {
                field.required = Required::Yes;
            }
            field
        })
        .collect();
    field_table("Path and headers", &rows)
}

fn request(document: &Json, operation: &Json) -> String {
    let Some(request) = operation.get("requestBody") else {
        return String::new();
    };
    contents(document, "Request", document.resolve(request))
}

fn responses(document: &Json, operation: &Json) -> String {
    let all = operation.get("responses").expect("responses").fields();
    let mut html = String::new();
    let mut rows = Vec::new();
    for (status, response) in all {
        let response = document.resolve(response);
        let headers = response.get("headers").map(Json::fields);
        let headers = headers.unwrap_or_default().iter();
        let headers: Vec<String> = headers.map(|(name, _)| code(name)).collect();
        let description = line(response.text("description"));
        rows.push(vec![escape(status), description, headers.join(" ")]);
        // The body of errors is told once.
        if status == "200" {
            html += &contents(document, "Reply", response);
        }
    }
    html + &table("Answers", &["status", "when", "headers"], &rows)
}

/// The first content of a request or an answer.
fn contents(document: &Json, caption: &str, holder: &Json) -> String {
    let contents = holder.get("content").map(Json::fields);
    let Some((_, content)) = contents.and_then(|all| all.first()) else {
        return String::new();
    };
    let schema = content.get("schema").expect("a schema");
    let examples = content.get("examples").map(Json::fields);
    let examples: Vec<(String, Json)> = examples
        .unwrap_or_default()
        .iter()
        .filter_map(|(name, example)| {
            let value = document.resolve(example).get("value")?;
            Some((name.clone(), value.clone()))
        })
        .collect();
    body(document, caption, schema, &examples)
}
