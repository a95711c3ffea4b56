//! The NATS half of the page, out of the AsyncAPI document.

use super::{Section, body};
use crate::fields::fields;
use crate::html::{code, escape, field_table, line, paragraphs};
use crate::json::Json;

/// One section for each operation; the form with the user in the subject stands beside the other.
pub(super) fn requests(document: &Json) -> Vec<Section> {
    let info = document.get("info").expect("info");
    let headers = document
        .at("#/components/schemas/requestHeaders")
        .expect("the headers");
    let mut sections = vec![Section {
        id: "nats-about".to_owned(),
        name: "Asking, and headers".to_owned(),
        html: "<h3>Asking, and headers</h3>\n".to_owned()
            + &paragraphs(info.text("description"))
            + &field_table("Headers of a request", &fields(document, headers)),
    }];
    let operations = operations(document, "receive");
    let first = operations.filter(|(name, _)| !name.ends_with("OfUser"));
    sections.extend(first.map(|(name, operation)| request(document, name, operation)));
    sections
}

/// One section for each kind of event.
pub(super) fn events(document: &Json) -> Vec<Section> {
    let headers = document
        .at("#/components/schemas/eventHeaders")
        .expect("the headers");
    let operations = operations(document, "send");
    let section = |(name, operation): (&str, &Json)| {
        let channel = document.resolve(operation.get("channel").expect("a channel"));
        let message = message(document, operation);
        let payload = message.get("payload").expect("a payload");
        Section {
            id: format!("event-{}", name.to_lowercase()),
            name: channel.text("address").to_owned(),
            html: heading(channel.text("address"), operation.text("summary"))
                + &paragraphs(operation.text("description"))
                + &paragraphs(channel.text("description"))
                + &field_table("Headers", &fields(document, headers))
                + &body(document, "Event", payload, &examples(message)),
        }
    };
    operations.map(section).collect()
}

fn operations<'a>(
    document: &'a Json,
    action: &'a str,
) -> impl Iterator<Item = (&'a str, &'a Json)> {
    let all = document.get("operations").expect("operations").fields();
    let named = all
        .iter()
        .map(|(name, operation)| (name.as_str(), operation));
    named.filter(move |(_, operation)| operation.text("action") == action)
}

fn request(document: &Json, name: &str, operation: &Json) -> Section {
    let channel = document.resolve(operation.get("channel").expect("a channel"));
    let subject = channel.text("address");
    let request = message(document, operation);
    let reply = message(document, operation.get("reply").expect("a reply"));
    let payload = |message: &Json| message.get("payload").expect("a payload").clone();
    let of_user = document.at(&format!("#/channels/{name}OfUser"));
    let of_user = of_user.map(|it| format!("<p>Also {}.</p>\n", code(it.text("address"))));
    let permission = line(operation.text("x-permission"));
    let html = heading(subject, operation.text("summary"))
        + &of_user.unwrap_or_default()
        + &format!("<p class=\"may\">Who may: {permission}</p>\n")
        + &paragraphs(operation.text("description"))
        + &body(document, "Request", &payload(request), &examples(request))
        + &body(document, "Reply", &payload(reply), &examples(reply));
    Section {
        id: format!("nats-{}", name.to_lowercase()),
        name: subject.to_owned(),
        html,
    }
}

fn heading(subject: &str, summary: &str) -> String {
    format!(
        "<h3>{}</h3>\n<p class=\"summary\">{}</p>\n",
        code(subject),
        escape(summary)
    )
}

/// The first message of an operation or of its reply.
fn message<'a>(document: &'a Json, operation: &'a Json) -> &'a Json {
    let messages = operation.get("messages").expect("messages").items();
    let first = messages.first().expect("a message");
    document.resolve(document.resolve(first))
}

pub(super) fn examples(message: &Json) -> Vec<(String, Json)> {
    let examples = message.get("examples").map(Json::items).unwrap_or_default();
    let named = |example: &Json| {
        let payload = example.get("payload").expect("a payload");
        (example.text("name").to_owned(), payload.clone())
    };
    examples.iter().map(named).collect()
}
