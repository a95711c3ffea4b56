//! Everything that the service tells: each user, each history, every page of the list, the whole replay.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use profile_tests::caller::{Answer, Caller};
use serde_json::{Value, json};

const READS_AT_ONCE: usize = 8;
/// An answer that a damaged file explains.
const UNAVAILABLE: u16 = 503;

/// Answers by question: the status of an error, and the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told(pub(crate) BTreeMap<String, (Option<u16>, Value)>);

/// How answers compare with those of before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Equal,
    /// Equal but for this many, which were refused.
    Refused(usize),
    /// The first question that was answered otherwise.
    Wrong(String),
}

impl Told {
    pub(crate) fn judge(&self, truth: &Told) -> Verdict {
        let mut refused = 0;
        for (question, right) in &truth.0 {
            match self.0.get(question) {
                Some(answer) if answer == right => {}
                Some((Some(UNAVAILABLE), _)) => refused += 1,
                None if self.is_cut(question) => refused += 1,
                answer => {
                    let text = format!("{question}: {answer:?} instead of {right:?}");
                    return Verdict::Wrong(text.chars().take(300).collect());
                }
            }
        }
        match self.0.keys().find(|key| !truth.0.contains_key(*key)) {
            // A list or replay that goes on where it ended.
            Some(more) if refused == 0 => Verdict::Wrong(format!("{more} is new")),
            Some(_) | None if refused > 0 => Verdict::Refused(refused),
            Some(_) | None => Verdict::Equal,
        }
    }

    /// Whether the pages end with a refused one.
    fn is_cut(&self, question: &str) -> bool {
        let operation = question.split(' ').next();
        let refused = |answer: &Option<u16>| *answer == Some(UNAVAILABLE);
        let mut answers = self.0.iter();
        answers.any(|(other, (status, _))| other.split(' ').next() == operation && refused(status))
    }
}

/// Asks everything. `Err` when there is no answer at all.
pub(crate) async fn everything(caller: &Caller, users: &[String]) -> Result<Told, String> {
    let mut told = Told::default();
    let of_users = users.iter().flat_map(|user| {
        [
            ("get", json!({"userId": user})),
            ("history", json!({"userId": user, "limit": 1000})),
        ]
    });
    let answers = stream::iter(of_users).map(|(operation, body)| async move {
        let question = format!("{operation} {body}");
        let answer = ask(caller, operation, body).await?;
        Ok::<_, String>((question, answer))
    });
    let answers: Vec<_> = answers.buffered(READS_AT_ONCE).collect().await;
    for answer in answers {
        let (question, answer) = answer?;
        told.0.insert(question, (answer.status, answer.body));
    }
    for prefix in ["", "a"] {
        pages(caller, prefix, &mut told).await?;
    }
    replay(caller, &mut told).await?;
    Ok(told)
}

async fn ask(caller: &Caller, operation: &str, body: Value) -> Result<Answer, String> {
    let answer = caller.try_call(operation, body).await;
    answer.map_err(|error| format!("{operation} got no answer: {error}"))
}

async fn pages(caller: &Caller, prefix: &str, told: &mut Told) -> Result<(), String> {
    let mut cursor = None::<String>;
    for page in 0.. {
        let mut body = json!({"limit": 10, "prefix": prefix});
        if let Some(cursor) = cursor {
            body["cursor"] = json!(cursor);
        }
        let mut answer = ask(caller, "list", body).await?;
        let next = answer.body["nextCursor"].take();
        let question = format!("list {prefix} page {page}");
        told.0.insert(question, (answer.status, answer.body));
        match next.as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    Ok(())
}

async fn replay(caller: &Caller, told: &mut Told) -> Result<(), String> {
    let mut after = 0;
    loop {
        let answer = ask(caller, "replay", json!({"after": after, "limit": 1000})).await?;
        let (position, end) = (answer.body["position"].clone(), answer.body["end"].clone());
        let question = format!("replay after {after}");
        let is_refused = answer.status.is_some();
        told.0.insert(question, (answer.status, answer.body));
        if is_refused || end == json!(true) {
            return Ok(());
        }
        let position = position.as_str().and_then(|text| text.parse().ok());
        after = position.ok_or("replay without a position")?;
    }
}
