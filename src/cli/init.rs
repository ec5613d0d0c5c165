//! `chatapi init`.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::Timestamp;

use super::args::InitArgs;
use super::context::{Context, draw_lineage};
use super::error::CliError;
use super::exit::Exit;
use crate::store::{FileStore, StateStore, make_anew};

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
    let dir = context.state_dir.display();
    let state = match known {
        0 => format!("State in {dir} (lineage {lineage})."),
        _ => format!("The state in {dir} records {known} names; it stays as it is."),
    };
    let file = args.file.display();
    let manifest = match write_first(&args.file) {
        Ok(()) => format!("Manifest in {file}."),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => format!("{file} is there already."),
        Err(error) => return Err(CliError::new(Exit::Error, &error).context(format!("cannot write {file}"))),
    };
    context.done(format!("{state}\n{manifest}"))?;
    context.console.note(format_args!("next: {} plan {file}", context.command()));
    Ok(Exit::Done)
}

/// Writes the first manifest where there is none, whole or not at all. Anyone may read it: it is meant to be committed.
fn write_first(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = Path::new(&temporary);
    let written = write_whole(temporary).and_then(|()| match fs::hard_link(temporary, path) {
        // Not every file system has links; a link is preferred because it replaces nothing.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => fs::rename(temporary, path),
        linked => linked,
    });
    // Renamed away, it is gone already; and a leftover does no harm.
    let _ = fs::remove_file(temporary);
    written
}

fn write_whole(path: &Path) -> io::Result<()> {
    let mut new = make_anew(path, 0o644)?;
    new.set_permissions(Permissions::from_mode(0o644))?;
    new.write_all(FIRST.as_bytes())?;
    new.sync_all()
}
