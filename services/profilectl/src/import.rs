//! `import`: users from NDJSON, one `create` a line, so many at a time.
//!
//! Results are written in the order of the lines, one for each, and nothing else is remembered: killed at any
//! moment, the next run counts them and goes on with the line after. A line whose result was lost is sent
//! again under the same idempotency key, which stands for its bytes: it gets its first answer, or, where the
//! service has forgotten the key, is told as `existed`.

mod line;
mod results;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::Client;
use futures::{StreamExt, stream};
use profile_messages::error::{ErrorCode, Status, StatusDetail};
use profile_messages::reply::CommandReply;
use profile_messages::subject::Operation;

use self::line::{Line, Lines};
use self::results::{Identity, LineResult, Outcome, Results};
use crate::args::{Global, ImportArgs, WriteArgs};
use crate::client;
use crate::failure::Failure;
use crate::progress::{Progress, Unit};
use crate::{output, request};

/// Attempts of one line before the run ends; what it is then is for the next run to find out.
const ATTEMPTS_MAX: u32 = 14;
const PAUSE_MS_FIRST: u64 = 50;
const PAUSE_MS_MAX: u64 = 5_000;
/// ZITADEL's id of "this user exists, or did".
const EXISTS: &str = "COMMAND-k2unb";

/// # Errors
/// Usage: input, results or token that cannot be used, results of another import. Else the first failure that
/// is not about one line. Lines that the service refuses are in the results, and end with an error too.
pub(crate) async fn import(global: &Global, args: &ImportArgs) -> Result<(), Failure> {
    let (source, bytes) = open(&args.file)?;
    let mut lines = Lines::new(source);
    let first = lines.next().transpose()?;
    let Some(first) = first else {
        output::note("nothing to import");
        return Ok(());
    };
    let identity = Identity::of(
        &first,
        bytes,
        &request::bearer(global)?,
        global.org.as_deref(),
    );
    let path = results_path(args)?;
    let mut results = Results::open(&path, &identity)?;
    let done = results.lines();
    if done > 0 {
        output::note(&format!("goes on after line {done} of {}", path.display()));
    }
    let mut progress = Progress::new(Unit::Bytes, bytes, args.progress);
    let connection = client::connect(global).await?;
    let todo = std::iter::once(Ok(first)).chain(lines);
    let todo = todo.skip(usize::try_from(done).unwrap_or(usize::MAX));
    let mut answers = stream::iter(todo)
        .map(async |line| imported(global, &connection.client, line?).await)
        .buffered(args.in_flight);
    while let Some(answer) = answers.next().await {
        let (result, end_byte) = answer?;
        results.append(&result)?;
        progress.reached(end_byte, results.tally());
    }
    results.sync()?;
    progress.end();
    let tally = results.tally();
    output::note(&format!("{tally}: see {}", path.display()));
    let is_refused = tally.failed > 0 || (args.fail_on_existing && tally.existed > 0);
    match is_refused {
        true => Err(Failure::other("not every line is a new user")),
        false => Ok(()),
    }
}

/// The input, and how long it is where that can be told.
fn open(file: &Path) -> Result<(Box<dyn BufRead>, Option<u64>), Failure> {
    if file == Path::new("-") {
        return Ok((Box::new(BufReader::new(std::io::stdin())), None));
    }
    let unread = |error| Failure::usage(format!("cannot open {}: {error}", file.display()));
    let source = File::open(file).map_err(unread)?;
    let metadata = source.metadata().map_err(unread)?;
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(BufReader::new(source)), bytes))
}

fn results_path(args: &ImportArgs) -> Result<PathBuf, Failure> {
    if let Some(path) = &args.results {
        return Ok(path.clone());
    }
    if args.file == Path::new("-") {
        return Err(Failure::usage("with -, say where --results are written"));
    }
    let mut path = args.file.clone().into_os_string();
    path.push(".results");
    Ok(path.into())
}

/// The result of one line, and where it ends in the input.
///
/// # Errors
/// What is not about this line alone: no token, no permission, no service in all attempts.
async fn imported(
    global: &Global,
    client: &Client,
    line: Line,
) -> Result<(LineResult, u64), Failure> {
    let end_byte = line.end_byte;
    let told = |outcome| {
        let result = LineResult {
            line: line.number,
            outcome,
        };
        (result, end_byte)
    };
    let user = match line.user {
        Ok(user) => user,
        Err(outcome) => return Ok(told(outcome)),
    };
    let write = WriteArgs {
        idempotency_key: Some(user.key),
        ..WriteArgs::default()
    };
    let mut pause_ms = PAUSE_MS_FIRST;
    let mut attempt = 1;
    loop {
        let addressed = (Operation::Create.subject(), user.body.clone());
        let request = request::change(global, &write, addressed)?;
        let failure = match client::answer(client, request).await {
            Ok(reply) => return Ok(told(created(&reply)?)),
            Err(failure) => failure,
        };
        match verdict(failure, user.id.as_deref()) {
            Verdict::Told(outcome) => return Ok(told(outcome)),
            Verdict::Again(failure) if attempt == ATTEMPTS_MAX => return Err(failure),
            Verdict::Again(_) => {}
            Verdict::End(failure) => return Err(failure),
        }
        attempt += 1;
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        pause_ms = (pause_ms * 2).min(PAUSE_MS_MAX);
    }
}

fn created(reply: &bytes::Bytes) -> Result<Outcome, Failure> {
    let reply: CommandReply = output::decode(reply)?;
    Ok(Outcome::Created {
        user_id: reply.user_id.unwrap_or_default(),
        version: reply.details.sequence.to_string(),
    })
}

/// What a failure means for its line.
#[derive(Debug)]
enum Verdict {
    Told(Outcome),
    Again(Failure),
    End(Failure),
}

fn verdict(failure: Failure, user_id: Option<&str>) -> Verdict {
    let status = match &failure {
        Failure::Answer { status, .. } => status,
        Failure::NoResponders { .. }
        | Failure::TimedOut { .. }
        | Failure::OutcomeUnknown { .. }
        | Failure::NoConnection(_) => return Verdict::Again(failure),
        Failure::Usage(_)
        | Failure::Refused(_)
        | Failure::Credentials(_)
        | Failure::Output(_)
        | Failure::Other(_) => return Verdict::End(failure),
    };
    let Some(code) = ErrorCode::from_grpc(status.code) else {
        return Verdict::End(failure);
    };
    match code {
        ErrorCode::ResourceExhausted
        | ErrorCode::DeadlineExceeded
        | ErrorCode::Unavailable
        | ErrorCode::OutcomeUnknown => Verdict::Again(failure),
        ErrorCode::Unauthenticated | ErrorCode::PermissionDenied | ErrorCode::Internal => {
            Verdict::End(failure)
        }
        ErrorCode::InvalidArgument
        | ErrorCode::NotFound
        | ErrorCode::FailedPrecondition
        | ErrorCode::Aborted
        | ErrorCode::OutOfRange
        | ErrorCode::Unimplemented => Verdict::Told(refused(status, code, user_id)),
    }
}

fn refused(status: &Status, code: ErrorCode, user_id: Option<&str>) -> Outcome {
    let user_id = user_id.map(str::to_owned);
    let is_exists = |detail: &StatusDetail| matches!(detail, StatusDetail::ErrorDetail { id, .. } if id == EXISTS);
    if status.details.iter().any(is_exists) {
        return Outcome::Existed { user_id };
    }
    let violations = status.violations().iter();
    Outcome::Failed {
        user_id,
        code: code.name().to_owned(),
        message: status.message.clone(),
        fields: violations
            .map(|violation| violation.field.clone())
            .collect(),
    }
}
