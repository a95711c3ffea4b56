//! The NATS contract as AsyncAPI 3.0, made of the operations, schemas and golden files of `messages`.

use std::fs;

use profile_messages::envelope::{
    AUTHORIZATION, DEADLINE_MS, DEADLINE_MS_MAX, EXPECTED_VERSION, IDEMPOTENCY_KEY,
    IDEMPOTENCY_KEY_LENGTH_MAX, ORG, POSITION, SERVICE_ERROR, SERVICE_ERROR_CODE, TRACEPARENT,
    TRACESTATE, ZITADEL_ORG,
};
use profile_messages::error::ErrorCode;
use profile_messages::event::{CONTENT_TYPE, EventKind};
use profile_messages::schema;
use profile_messages::subject::{EVENT_STREAM, Operation, QUEUE};
use profile_tests::repository;

use crate::json::{Json, object, reference};
use crate::operations;

/// The form of ids in subjects.
const ID: &str = "^[A-Za-z0-9_-]{1,200}$";

/// The whole document.
pub(crate) fn document() -> Json {
    object([
        ("asyncapi", "3.0.0".into()),
        ("id", "urn:profile-service".into()),
        ("info", info()),
        ("defaultContentType", "application/json".into()),
        ("servers", servers()),
        ("channels", channels()),
        ("operations", operations()),
        ("components", components()),
    ])
}

/// A golden file, by its name without the ending.
pub(crate) fn golden(name: &str) -> Json {
    let path = repository::file(&format!("messages/golden/{name}.json"));
    Json::read(&fs::read_to_string(path).expect("a golden file"))
}

fn info() -> Json {
    let description = "User profiles by request-reply, and change events.\n\nSend a request to its subject with a \
                       reply subject below _INBOX. or _R_.: an answer has the body of the reply or, with the header \
                       Nats-Service-Error-Code, that of an error. JSON in lowerCamelCase; unknown fields are ignored; \
                       at most 64 KiB. Where a subject has the user in it, that id counts.\n\nA timeout at the \
                       requester says nothing about the outcome: repeat with the same Idempotency-Key.\n\nThe service \
                       announces itself by the NATS micro protocol ($SRV.INFO.profile), with these schemas.";
    object([
        ("title", "profile-service".into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("description", description.into()),
        ("license", object([("name", "Apache-2.0".into())])),
    ])
}

fn servers() -> Json {
    let description =
        "The bus; make run starts one there. Users and permissions: config/nats-server.conf";
    let server = object([
        ("host", "127.0.0.1:4222".into()),
        ("protocol", "nats".into()),
        ("description", description.into()),
        (
            "security",
            vec![reference("components/securitySchemes/natsUser")].into(),
        ),
    ]);
    object([("bus", server)])
}

/// `meUpdate`, as a name of a channel, an operation or a message begins.
pub(crate) fn key(operation: Operation) -> String {
    let mut parts = operation.name().split('.');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |key, part| {
        let (head, tail) = part.split_at(1);
        key + &head.to_uppercase() + tail
    })
}

/// `profile.v1.user.{userId}.update`, where the operation has that form.
pub(crate) fn user_address(operation: Operation) -> Option<String> {
    let form = format!("profile.v1.user.{{userId}}.{}", operation.name());
    operation.has_user_form().then_some(form)
}

fn channels() -> Json {
    let mut channels = Vec::new();
    for operation in Operation::ALL {
        let key = key(operation);
        let messages = || message_refs(&[format!("{key}Request")]);
        let channel = object([
            ("address", operation.subject().into()),
            ("messages", messages()),
        ]);
        channels.push((key.clone(), channel));
        if let Some(address) = user_address(operation) {
            let channel = object([
                ("address", address.into()),
                ("messages", messages()),
                ("parameters", object([("userId", parameter("The user"))])),
            ]);
            channels.push((format!("{key}OfUser"), channel));
        }
        let replies = message_refs(&[format!("{key}Reply"), "error".to_owned()]);
        let channel = object([
            ("address", Json::Scalar(serde_json::Value::Null)),
            (
                "description",
                "The reply subject of the request, below _INBOX. or _R_.".into(),
            ),
            ("messages", replies),
        ]);
        channels.push((format!("{key}Replies"), channel));
    }
    channels.extend(EventKind::ALL.map(event_channel));
    channels.into_iter().collect()
}

fn event_channel(kind: EventKind) -> (String, Json) {
    let description = format!("Kept in the JetStream stream {EVENT_STREAM}.");
    let channel = object([
        ("address", event_address(kind).into()),
        ("description", description.into()),
        ("messages", message_refs(&[event_key(kind)])),
        (
            "parameters",
            object([
                ("orgId", parameter("The user's organization")),
                ("userId", parameter("The user")),
            ]),
        ),
    ]);
    (event_key(kind), channel)
}

pub(crate) fn event_address(kind: EventKind) -> String {
    format!("profile-event.v1.{{orgId}}.{{userId}}.{}", kind.name())
}

/// `profileChanged`
pub(crate) fn event_key(kind: EventKind) -> String {
    let (head, tail) = kind.name().split_at(1);
    format!("profile{}{tail}", head.to_uppercase())
}

fn parameter(what: &str) -> Json {
    object([
        ("description", format!("{what}: {ID}").into()),
        ("examples", vec![Json::from("mia")].into()),
    ])
}

fn message_refs(names: &[String]) -> Json {
    let named = |name: &String| {
        let place = format!("components/messages/{name}");
        (name.clone(), reference(&place))
    };
    names.iter().map(named).collect()
}

fn operations() -> Json {
    let mut found = Vec::new();
    for operation in Operation::ALL {
        let key = key(operation);
        found.push((key.clone(), request_operation(operation, &key)));
        if operation.has_user_form() {
            let channel = format!("{key}OfUser");
            found.push((channel.clone(), request_operation(operation, &channel)));
        }
    }
    for kind in EventKind::ALL {
        let key = event_key(kind);
        let operation = object([
            ("action", "send".into()),
            ("channel", reference(&format!("channels/{key}"))),
            ("summary", format!("A profile was {}", kind.name()).into()),
            ("description", EVENT_DESCRIPTION.into()),
            ("messages", channel_messages(&key, &[&key])),
        ]);
        found.push((
            format!("send{}{}", &key[..1].to_uppercase(), &key[1..]),
            operation,
        ));
    }
    found.into_iter().collect()
}

const EVENT_DESCRIPTION: &str = "At least once, in order and without a gap for each user. An empty message with the \
                                 header Profile-Withheld stands in the place of an event of a removed user.";

fn request_operation(operation: Operation, channel: &str) -> Json {
    let key = key(operation);
    let (request, reply) = (format!("{key}Request"), format!("{key}Reply"));
    let replies = format!("{key}Replies");
    object([
        ("action", "receive".into()),
        ("channel", reference(&format!("channels/{channel}"))),
        ("summary", operations::summary(operation).into()),
        ("description", operations::description(operation).into()),
        (
            "security",
            vec![reference("components/securitySchemes/bearer")].into(),
        ),
        ("x-permission", operations::permission(operation).into()),
        (
            "bindings",
            object([("nats", object([("queue", QUEUE.into())]))]),
        ),
        ("messages", channel_messages(channel, &[&request])),
        (
            "reply",
            object([
                ("channel", reference(&format!("channels/{replies}"))),
                ("messages", channel_messages(&replies, &[&reply, "error"])),
            ]),
        ),
    ])
}

fn channel_messages(channel: &str, names: &[&str]) -> Json {
    let place = |name: &&str| reference(&format!("channels/{channel}/messages/{name}"));
    names.iter().map(place).collect::<Vec<_>>().into()
}

fn components() -> Json {
    object([
        ("messages", messages()),
        ("schemas", schemas()),
        ("securitySchemes", security_schemes()),
    ])
}

fn messages() -> Json {
    let mut found = Vec::new();
    for operation in Operation::ALL {
        let key = key(operation);
        let request = message(
            operation.name(),
            Some("requestHeaders"),
            &format!("{key}Request"),
            "application/json",
            vec![("request", operations::request(operation))],
        );
        found.push((format!("{key}Request"), request));
        let golden = golden(operations::reply(operation));
        let title = format!("Reply to {}", operation.name());
        let reply = format!("{key}Reply");
        let reply_message = message(
            &title,
            None,
            &reply,
            "application/json",
            vec![("reply", golden)],
        );
        found.push((reply, reply_message));
    }
    for kind in EventKind::ALL {
        let examples = ["names", "changed", "full"].map(|payload| {
            let name = format!("event-{}-{payload}", kind.name());
            (payload, golden(&name))
        });
        let headers = Some("eventHeaders");
        let title = format!("A profile was {}", kind.name());
        let event = message(&title, headers, "event", CONTENT_TYPE, examples.into());
        found.push((event_key(kind), event));
    }
    let examples = ErrorCode::ALL.map(|code| {
        let file = code.name().to_lowercase().replace('_', "-");
        (code.name(), golden(&format!("error-{file}")))
    });
    let headers = Some("errorHeaders");
    let error = message(
        "Error",
        headers,
        "error",
        "application/json",
        examples.into(),
    );
    found.push(("error".to_owned(), error));
    found.into_iter().collect()
}

fn message(
    title: &str,
    headers: Option<&str>,
    payload: &str,
    content_type: &str,
    examples: Vec<(&str, Json)>,
) -> Json {
    let schema = |name: &str| reference(&format!("components/schemas/{name}"));
    let examples = examples
        .into_iter()
        .map(|(name, payload)| object([("name", name.into()), ("payload", payload)]));
    let mut fields = vec![("title".to_owned(), title.into())];
    fields.push(("contentType".to_owned(), content_type.into()));
    fields.extend(headers.map(|name| ("headers".to_owned(), schema(name))));
    fields.push(("payload".to_owned(), schema(payload)));
    fields.push(("examples".to_owned(), examples.collect::<Vec<_>>().into()));
    fields.into_iter().collect()
}

fn schemas() -> Json {
    let mut found = Vec::new();
    for operation in Operation::ALL {
        let key = key(operation);
        found.push((format!("{key}Request"), schema::request(operation)));
        found.push((format!("{key}Reply"), schema::response(operation)));
    }
    found.push(("event".to_owned(), schema::EVENT.to_owned()));
    found.push(("error".to_owned(), schema::ERROR.to_owned()));
    // AsyncAPI's own dialect; the schemas keep to what both have.
    let schemas = found
        .into_iter()
        .map(|(name, text)| (name, Json::read(&text).without("$schema")));
    let headers = [
        ("requestHeaders", request_headers()),
        ("errorHeaders", error_headers()),
        ("eventHeaders", event_headers()),
    ];
    let headers = headers.map(|(name, schema)| (name.to_owned(), schema));
    schemas.chain(headers).collect()
}

fn request_headers() -> Json {
    let org = "The context organization; default: the caller's own";
    let deadline = format!(
        "Milliseconds from receipt, 1 to {DEADLINE_MS_MAX}: not done at all if they passed before the append"
    );
    let key = format!("^[!-~]{{1,{IDEMPOTENCY_KEY_LENGTH_MAX}}}$");
    let key_text =
        "A repetition within 24 h gets the first answer again; with another body it is refused";
    let version = "The version that the change is meant for, 0 = must not exist; else 409 with the current one";
    headers(
        [
            (AUTHORIZATION, "^Bearer .+$", "Bearer and an access token"),
            (ORG, "", org),
            (ZITADEL_ORG, "", "The same as Profile-Org"),
            (IDEMPOTENCY_KEY, &key, key_text),
            (EXPECTED_VERSION, "^[0-9]+$", version),
            (DEADLINE_MS, "^[0-9]+$", &deadline),
            (
                TRACEPARENT,
                "",
                "W3C Trace Context; another form is ignored",
            ),
            (TRACESTATE, "", "What belongs to it"),
        ],
        &[AUTHORIZATION],
    )
}

fn error_headers() -> Json {
    let status = "An HTTP status: 400, 401, 403, 404, 409, 429, 500, 501, 503 or 504";
    headers(
        [
            (SERVICE_ERROR, "", "One line for people, at most 256 bytes"),
            (SERVICE_ERROR_CODE, "^[45][0-9]{2}$", status),
        ],
        &[SERVICE_ERROR, SERVICE_ERROR_CODE],
    )
}

fn event_headers() -> Json {
    headers(
        [
            ("Nats-Msg-Id", "", "The event's id"),
            (POSITION, "^[0-9]+$", "Place in the whole log"),
            ("Content-Type", "", CONTENT_TYPE),
            (
                TRACEPARENT,
                "",
                "W3C Trace Context of the change, if it was made in a trace",
            ),
            (TRACESTATE, "", "What belongs to it"),
        ],
        &["Nats-Msg-Id", POSITION],
    )
}

/// Name, pattern if there is one, and description of each.
fn headers<const N: usize>(all: [(&str, &str, &str); N], required: &[&str]) -> Json {
    let properties = all.map(|(name, pattern, description)| {
        let mut schema = vec![("type".to_owned(), Json::from("string"))];
        if !pattern.is_empty() {
            schema.push(("pattern".to_owned(), pattern.into()));
        }
        schema.push(("description".to_owned(), description.into()));
        (name.to_owned(), schema.into_iter().collect::<Json>())
    });
    let required: Vec<Json> = required.iter().map(|name| Json::from(*name)).collect();
    object([
        ("type", "object".into()),
        ("properties", properties.into_iter().collect()),
        ("required", required.into()),
    ])
}

fn security_schemes() -> Json {
    let bearer = object([
        ("type", "httpApiKey".into()),
        ("name", AUTHORIZATION.into()),
        ("in", "header".into()),
        (
            "description",
            "Bearer and an access token of a configured issuer, in the header of each request"
                .into(),
        ),
    ]);
    let user = object([
        ("type", "userPassword".into()),
        (
            "description",
            "NATS user and password, or what the server asks for instead".into(),
        ),
    ]);
    object([("natsUser", user), ("bearer", bearer)])
}
