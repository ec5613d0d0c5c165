//! `chatapi init`.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::Timestamp;

use super::args::InitArgs;
use super::context::{Context, draw_lineage};
use super::error::CliError;
use super::exit::Exit;
use crate::store::{FileStore, StateStore};

/// A first manifest: on the emulator, so that nothing costs money yet.
const FIRST: &str = "\
# What should exist. `chatapi plan` shows what is missing, `chatapi apply` creates it.
version: 1
provider:
  kind: emulator        # costs nothing; `chatapi` is a real server, named by CHATAPI_URL
instances:
  - name: support-eu    # yours: letters, digits, `.`, `_`, `-`
    type: whatsapp      # whatsapp or whatsapp_dev
  - name: sandbox
    type: whatsapp_dev
";

pub(super) fn run(context: &Context, args: &InitArgs) -> Result<Exit, CliError> {
    let hold = context.hold("init", args.lock.lock_timeout)?;
    let store = FileStore::open_or_begin(&context.state_dir, hold, None, draw_lineage()?, Timestamp::now())?;
    let (lineage, known) = (store.state().lineage.clone(), store.state().records().len());
    Box::new(store).close()?;
    let console = &context.console;
    match known {
        0 => console.line(format_args!("State in {} (lineage {lineage}).", context.state_dir.display())),
        _ => console.line(format_args!("The state in {} records {known} names; it stays as it is.", context.state_dir.display())),
    }
    let file = args.file.display();
    match write_first(&args.file) {
        Ok(()) => console.line(format_args!("Manifest in {file}.")),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => console.line(format_args!("{file} is there already.")),
        Err(error) => return Err(CliError::new(Exit::Error, &error).context(format!("cannot write {file}"))),
    }
    console.note(format_args!("next: chatapi plan {file}"));
    Ok(Exit::Done)
}

/// Writes the first manifest where there is none. Anyone may read it: it is meant to be committed.
fn write_first(path: &Path) -> io::Result<()> {
    let mut new = OpenOptions::new().write(true).create_new(true).open(path)?;
    new.set_permissions(Permissions::from_mode(0o644))?;
    new.write_all(FIRST.as_bytes())
}
