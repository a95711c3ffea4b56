//! Both documents as one page: plain HTML and CSS, without a script and without anything from elsewhere.

mod nats;
mod rest;

use profile_messages::error::ErrorCode;

use crate::fields::fields;
use crate::html::{code, escape, example, field_table, table};
use crate::json::Json;

const STYLE: &str = include_str!("page/style.css");

/// A part of the page, and how the contents name it.
struct Section {
    id: String,
    name: String,
    html: String,
}

/// The whole page.
pub(crate) fn page(asyncapi: &Json, openapi: &Json) -> String {
    let groups = [
        ("NATS requests", nats::requests(asyncapi)),
        ("Events", nats::events(asyncapi)),
        ("REST", rest::calls(openapi)),
        ("Errors", vec![errors(asyncapi)]),
    ];
    let contents: String = groups
        .iter()
        .map(|(name, all)| contents(name, all))
        .collect();
    let parts: String = groups.iter().map(|(name, all)| part(name, all)).collect();
    let version = escape(asyncapi.get("info").expect("info").text("version"));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>profile-service {version}: the contract</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">To the text</a>\n<header><h1>profile-service <small>{version}</small></h1>\n\
         <p>User profiles over NATS, REST, gRPC, gRPC-Web and Connect. For machines: <a href=\"asyncapi.json\">\
         asyncapi.json</a> and <a href=\"openapi.json\">openapi.json</a> at the service's HTTP port, and \
         <code>profilectl schema</code>.</p></header>\n\
         <nav aria-label=\"Contents\">\n{contents}</nav>\n<main id=\"main\">\n{parts}</main>\n</body>\n</html>\n"
    )
}

fn group_id(name: &str) -> String {
    name.to_lowercase().replace(' ', "-")
}

fn contents(name: &str, sections: &[Section]) -> String {
    let links: String = sections
        .iter()
        .map(|one| {
            format!(
                "<li><a href=\"#{}\">{}</a></li>\n",
                one.id,
                escape(&one.name)
            )
        })
        .collect();
    let id = group_id(name);
    format!("<h2><a href=\"#{id}\">{name}</a></h2>\n<ul>\n{links}</ul>\n")
}

fn part(name: &str, sections: &[Section]) -> String {
    let sections: String = sections
        .iter()
        .map(|one| format!("<section id=\"{}\">\n{}</section>\n", one.id, one.html))
        .collect();
    format!("<h2 id=\"{}\">{name}</h2>\n{sections}", group_id(name))
}

/// A body's fields and its examples.
fn body(document: &Json, caption: &str, schema: &Json, examples: &[(String, Json)]) -> String {
    let mut html = field_table(caption, &fields(document, schema));
    for (name, value) in examples {
        html += &example(&format!("Example: {name}"), value);
    }
    html
}

/// The codes of every transport, and the body that all of them have.
fn errors(asyncapi: &Json) -> Section {
    let message = asyncapi.at("#/components/messages/error").expect("errors");
    let rows = ErrorCode::ALL.map(|one| {
        vec![
            code(one.name()),
            one.http().to_string(),
            one.grpc().to_string(),
            crate::operations::meaning(one).to_owned(),
        ]
    });
    let schema = message.get("payload").expect("a payload");
    let html = "<h3>Codes and body</h3>\n".to_owned()
        + &table("Codes", &["code", "HTTP and NATS", "gRPC", "when"], &rows)
        + &body(asyncapi, "Body", schema, &nats::examples(message));
    Section {
        id: "error".to_owned(),
        name: "Codes and body".to_owned(),
        html,
    }
}
