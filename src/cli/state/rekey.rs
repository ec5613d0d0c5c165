//! `chatapi state rekey`: tokens are sealed to other keys from now on, those that are kept too.

use jiff::Timestamp;

use crate::cli::args::{IdentityArgs, LockArgs, Manifests};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::identity::{TokenError, identities};
use crate::cli::sealing;
use crate::provider::certainty::judge;
use crate::seal::{Identity, Recipients};
use crate::state::{Entry, Event, KeptAnswer, KeptSecret, Lineage, Record, about_answer, about_token};
use crate::store::{self, StateStore, StoreError};

pub(super) fn run(
    context: &Context,
    manifests: &Manifests,
    only_new: bool,
    args: &IdentityArgs,
    lock: &LockArgs,
) -> Result<Exit, CliError> {
    let wanted = sealing::wanted(&Context::manifest(&manifests.files)?)?;
    let mut store = context.open("state rekey", lock.lock_timeout, None)?;
    let state = store.state().clone();
    let mut anew = Vec::new();
    if !only_new {
        // All of them are opened before anything is written.
        let keys = identities(args)?;
        let entries = store.entries(&store::referred(&state))?;
        for record in state.records().values() {
            for serial in record.entries() {
                let Some(entry) = entries.get(&serial) else { continue };
                anew.push(sealed(record, entry.clone(), &state.lineage, &keys, &wanted)?);
            }
        }
    }
    super::care::record(&mut store, context, "state rekey", Event::Recipients { to: wanted.clone() })?;
    store.sync()?;
    let count = anew.len();
    if !only_new {
        let mut anew = anew.into_iter();
        let mut next =
            |_: &Record, entry: Entry| anew.find(|sealed| sealed.serial == entry.serial).ok_or(StoreError::NoEntry(entry.serial));
        store.rotate(Timestamp::now(), &mut next)?;
    }
    Box::new(store).close()?;
    let kept = if only_new { "what is kept stays as it was".to_owned() } else { format!("{count} kept texts sealed anew") };
    context.done(format!("Sealed to {wanted} from now on; {kept}."))?;
    if only_new {
        context.console.note("tokens that were kept before open with the old keys only");
    }
    Ok(Exit::Done)
}

fn sealed(record: &Record, mut entry: Entry, lineage: &Lineage, keys: &[Identity], to: &Recipients) -> Result<Entry, CliError> {
    let name = record.instance().and_then(|instance| instance.token.as_ref()).map_or(&record.name, |token| &token.name);
    let closed = |error| {
        CliError::from(TokenError::from(error))
            .context(format!("`{}`", record.name))
            .hint("if that key is lost: `--only-new` leaves what is kept as it is")
    };
    let failed = |error: crate::seal::SealError| CliError::new(Exit::Error, &error).context("nothing was changed");
    match &mut entry.event {
        Event::Received { attempt, answer } => {
            let about = about_answer(lineage, name, attempt);
            let open = answer.open(keys, &about).map_err(closed)?;
            let outline = answer.outline.clone().or_else(|| Some(judge(&open).outline()));
            *answer = KeptAnswer::keep(&open, outline, to, &about).map_err(failed)?;
        }
        Event::Created { token: Some(token), .. } | Event::TokenSet { token, .. } => {
            let about = about_token(lineage, name);
            let secret = token.open(keys, &about).map_err(closed)?;
            *token = KeptSecret::keep(secret, to, &about).map_err(failed)?;
        }
        _ => {}
    }
    Ok(entry)
}
