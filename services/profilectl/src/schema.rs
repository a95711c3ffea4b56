//! The machine-readable contract of this release, printed or written as files.

use std::io::{self, Write as _};
use std::path::Path;

use profile_messages::schema::{ASYNCAPI, FILES, OPENAPI, PROTOS};
use serde_json::value::RawValue;

use crate::args::{SchemaArgs, SchemaPart};
use crate::failure::Failure;

/// # Errors
/// When neither a part nor a directory is named, or the directory cannot be written.
pub(crate) fn schema(args: &SchemaArgs) -> Result<(), Failure> {
    match (args.part, &args.out) {
        (Some(part), None) => print(part),
        (Some(part), Some(out)) => write(part, out),
        (None, Some(out)) => SchemaPart::ALL
            .into_iter()
            .try_for_each(|part| write(part, out)),
        (None, None) => Err(Failure::usage(
            "name a part (openapi, asyncapi, json-schemas, protos), or a directory for all with --out",
        )),
    }
}

fn print(part: SchemaPart) -> Result<(), Failure> {
    let text = match part {
        SchemaPart::Openapi => OPENAPI.to_owned(),
        SchemaPart::Asyncapi => ASYNCAPI.to_owned(),
        SchemaPart::JsonSchemas => by_name()?,
        SchemaPart::Protos => PROTOS
            .map(|(path, text)| format!("\n// {path}\n\n{text}"))
            .concat(),
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// All JSON Schemas as one object.
fn by_name() -> Result<String, Failure> {
    let mut all = std::collections::BTreeMap::new();
    for (name, text) in FILES {
        let schema: &RawValue = serde_json::from_str(text)
            .map_err(|error| Failure::other(format!("{name}: {error}")))?;
        all.insert(name, schema);
    }
    let text = serde_json::to_string_pretty(&all);
    let text = text.map_err(|error| Failure::other(error.to_string()))?;
    Ok(text + "\n")
}

fn write(part: SchemaPart, out: &Path) -> Result<(), Failure> {
    match part {
        SchemaPart::Openapi => write_all(out, &[("openapi.json", OPENAPI)]),
        SchemaPart::Asyncapi => write_all(out, &[("asyncapi.json", ASYNCAPI)]),
        SchemaPart::JsonSchemas => write_all(&out.join("json-schemas"), &FILES),
        SchemaPart::Protos => write_all(&out.join("protos"), &PROTOS),
    }
}

/// The files below `folder`, which is made.
fn write_all(folder: &Path, files: &[(&str, &str)]) -> Result<(), Failure> {
    for (path, text) in files {
        let file = folder.join(path);
        let parent = file.parent().unwrap_or(folder);
        let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&file, text));
        written.map_err(|error| {
            Failure::other(format!("{} cannot be written: {error}", file.display()))
        })?;
    }
    Ok(())
}
