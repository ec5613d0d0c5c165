//! `chatapi schema`.

use std::path::Path;

use serde_json::Value;

use super::args::SchemaArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::kept::Kept;
use crate::manifest;
use crate::report;
use crate::store;

/// Where `init` puts the schema of the manifest, beside it.
pub(super) const FILE: &str = "chatapi.schema.json";

pub(super) fn run(context: &Context, args: &SchemaArgs) -> Result<Exit, CliError> {
    let schema = match report::schema::schema(&args.of) {
        Some(document) => serde_json::from_str(document).map_err(|error| CliError::new(Exit::Error, &error))?,
        None => manifest::schema(),
    };
    let Some(path) = &args.out else {
        context.document(&schema)?;
        return Ok(Exit::Done);
    };
    if let Some(why) = Kept::of(context, &[], None).refusal(path) {
        let message = format!("nothing is written to {}: {why}", path.display());
        return Err(CliError::message(Exit::Error, message).hint("name another file: `--out FILE`"));
    }
    write(path, &schema)?;
    context.done(format!("Schema in {}.", path.display()))?;
    Ok(Exit::Done)
}

/// The text of a schema file.
pub(super) fn text(schema: &Value) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(schema).map_err(|error| CliError::new(Exit::Error, &error))?;
    Ok(text + "\n")
}

/// Puts `schema` in the place of what is at `path`. Anyone may read it: it is meant to be committed.
fn write(path: &Path, schema: &Value) -> Result<(), CliError> {
    let written = store::replace(path, text(schema)?.as_bytes(), 0o644);
    written.map_err(|error| CliError::new(Exit::Error, &error).context(format!("cannot write {}", path.display())))
}
