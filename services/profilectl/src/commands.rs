//! The commands that change something: create, update, patch, remove.

use bytes::Bytes;
use profile_messages::subject::Operation;
use serde_json::json;

use crate::args::{CreateArgs, FileArg, Global, PatchArgs, RemoveArgs, UpdateArgs, WriteArgs};
use crate::failure::Failure;
use crate::request::{self, addressed, addressed_file};
use crate::{body, client, output};

pub(crate) async fn create(global: &Global, args: &CreateArgs) -> Result<(), Failure> {
    let others = args.user_id.is_some()
        || args.user_name.is_some()
        || args.email.is_some()
        || args.phone.is_some();
    one_source(&args.file, others || !args.fields.is_empty())?;
    let addressed = addressed_file(Operation::Create, None, &args.file)
        .unwrap_or_else(|| addressed(Operation::Create, None, body::create(args)));
    send(global, &args.write, addressed?).await
}

pub(crate) async fn update(global: &Global, args: &UpdateArgs) -> Result<(), Failure> {
    one_source(&args.file, !args.fields.is_empty())?;
    if args.file.path.is_none() && args.fields.is_empty() {
        return Err(Failure::usage("name the fields of the new profile"));
    }
    let operation = request::operation(&args.target, Operation::Update, Operation::MeUpdate);
    let user_id = args.target.user_id.as_deref();
    let addressed = addressed_file(operation, user_id, &args.file)
        .unwrap_or_else(|| addressed(operation, user_id, body::update(&args.fields)));
    send(global, &args.write, addressed?).await
}

pub(crate) async fn patch(global: &Global, args: &PatchArgs) -> Result<(), Failure> {
    one_source(
        &args.file,
        !args.fields.is_empty() || !args.clear.is_empty(),
    )?;
    let operation = request::operation(&args.target, Operation::Patch, Operation::MePatch);
    let user_id = args.target.user_id.as_deref();
    let addressed = match addressed_file(operation, user_id, &args.file) {
        Some(addressed) => addressed?,
        None => addressed(operation, user_id, body::patch(args)?)?,
    };
    send(global, &args.write, addressed).await
}

pub(crate) async fn remove(global: &Global, args: &RemoveArgs) -> Result<(), Failure> {
    let addressed = addressed(Operation::Remove, Some(&args.user_id), json!({}))?;
    send(global, &args.write, addressed).await
}

async fn send(
    global: &Global,
    write: &WriteArgs,
    addressed: (String, Bytes),
) -> Result<(), Failure> {
    let request = request::change(global, write, addressed)?;
    let reply = client::connect(global).await?.ask(request).await?;
    output::command(&reply, global.format())
}

/// A body comes from a file or from the options, not from both.
fn one_source(file: &FileArg, has_options: bool) -> Result<(), Failure> {
    if file.path.is_some() && has_options {
        return Err(Failure::usage(
            "--file sends its body as it is: give no fields beside it",
        ));
    }
    Ok(())
}
