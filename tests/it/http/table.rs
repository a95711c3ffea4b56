//! Every row over every transport that carries its call: same code, same HTTP status where there is one,
//! same id, same text, same violations.

use futures::StreamExt;
use futures::stream;
use profile::transport::api::Call;
use profile_tests::outcome::Failure;
use profile_tests::transports::{Outcome, Sent, Transport};
use serde_json::Value;

use super::cases::{Case, Expected, FRESH};
use super::world::World;

/// Sends every case over every transport; tells of all that came out otherwise.
#[track_caller]
pub(crate) fn judged(wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// What came out otherwise than the table says.
pub(crate) async fn differences(world: &World, cases: &[Case]) -> Vec<String> {
    let all = cases.iter().enumerate();
    let all = all.flat_map(|(row, case)| over(case.call).map(move |over| (row, case, over)));
    let checked = stream::iter(all.collect::<Vec<_>>())
        .map(|(row, case, over)| check(world, row, case, over))
        .buffered(8);
    checked.filter_map(std::future::ready).collect().await
}

fn over(call: Call) -> impl Iterator<Item = Transport> {
    Transport::ALL
        .into_iter()
        .filter(move |it| it.carries(call))
}

async fn check(world: &World, row: usize, case: &Case, over: Transport) -> Option<String> {
    let sent = sent(world, row, case, over);
    let outcome = world.transports.send(over, &sent).await;
    let said = verdict(case, over, &outcome).err()?;
    Some(format!(
        "{:?} {} over {over:?}: {said}",
        case.call, case.name
    ))
}

fn sent(world: &World, row: usize, case: &Case, over: Transport) -> Sent {
    let mut body = case.body.clone();
    freshen(&mut body, &format!("{over:?} {row}"));
    let mut sent = world.sent(case.call, case.who, case.user.as_deref(), body);
    if let Some(org) = case.org {
        sent.headers
            .push(("x-zitadel-orgid".to_owned(), org.to_owned()));
    }
    sent
}

pub(crate) fn freshen(value: &mut Value, fresh: &str) {
    match value {
        Value::String(text) if text == FRESH => fresh.clone_into(text),
        Value::Object(fields) => fields.values_mut().for_each(|value| freshen(value, fresh)),
        Value::Array(items) => items.iter_mut().for_each(|value| freshen(value, fresh)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn verdict(case: &Case, over: Transport, outcome: &Outcome) -> Result<(), String> {
    let (code, id, text, violations) = match (&case.expected, &outcome.result) {
        (Expected::Done, Ok(_)) => return status(over, outcome, 200),
        (Expected::Done, Err(failure)) => return Err(format!("{failure:?}")),
        (Expected::Refused { .. }, Ok(body)) => return Err(format!("done: {body}")),
        (
            Expected::Refused {
                code,
                id,
                text,
                violations,
            },
            Err(_),
        ) => (*code, *id, text, violations),
    };
    let failure = outcome.result.as_ref().unwrap_err();
    let Failure {
        code: got_code,
        message,
        detail,
        violations: got,
        retry,
        current_version: _,
    } = failure;
    let expected_message = match id {
        None => text.clone(),
        Some(id) => format!("{text} ({id})"),
    };
    let expected_detail = id.map(|id| (id.to_owned(), text.clone()));
    let fields: Vec<&String> = got.iter().map(|(field, _)| field).collect();
    let same = *got_code == code
        && *message == expected_message
        && *detail == expected_detail
        && fields == violations.iter().collect::<Vec<_>>()
        && retry.as_deref() == Some("no");
    if !same {
        return Err(format!(
            "{failure:?}, not {code} {expected_message} {violations:?}"
        ));
    }
    // The validator's text ends in the rule of the first violation.
    if let Some((_, rule)) = got.first()
        && !message.ends_with(rule.as_str())
    {
        return Err(format!("the first violation is {rule}, the text {message}"));
    }
    status(over, outcome, http_status(code))
}

/// zitadel-api §5.2; gRPC and gRPC-Web say it in their own way only.
fn http_status(code: i32) -> u16 {
    match code {
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        7 => 403,
        8 => 429,
        10 => 409,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

fn status(over: Transport, outcome: &Outcome, expected: u16) -> Result<(), String> {
    let expected = match over {
        Transport::Grpc | Transport::GrpcWeb | Transport::GrpcWebText => 200,
        Transport::Nats | Transport::Rest | Transport::ConnectJson | Transport::ConnectProto => {
            expected
        }
    };
    match outcome.http == expected {
        true => Ok(()),
        false => Err(format!("status {}, not {expected}", outcome.http)),
    }
}
