//! `chatapi state rekey`: tokens are sealed to other keys from now on, those that are kept too.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;

use crate::cli::args::{IdentityArgs, LockArgs, Manifests};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::identity::{TokenError, identities};
use crate::cli::witness::Witness;
use crate::cli::{sealing, variables};
use crate::provider::certainty::judge;
use crate::seal::{Identity, KeyId, Recipient, Recipients};
use crate::state::{Entry, Event, KeptAnswer, KeptSecret, Lineage, Record, State, about_answer, about_token};
use crate::store::{self, Reading, StateStore, StoreError};
use crate::text::counted;

const NOBODY: &str = "there is no public key to seal to";

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// What is kept stays as it is.
    pub(super) only_new: bool,
    /// Everything is kept in the clear.
    pub(super) unseal: bool,
}

pub(super) fn run(
    context: &Context,
    manifests: &Manifests,
    how: How,
    args: &IdentityArgs,
    lock: &LockArgs,
) -> Result<Exit, CliError> {
    let How { only_new, unseal } = how;
    let wanted = sealing::wanted(&context.manifest(&manifests.files, &variables::given(context, &manifests.variables)?)?)?;
    if wanted.is_empty() != unseal {
        let wrong = if unseal { "there are keys to seal to, and `--unseal` says that nothing is sealed" } else { NOBODY };
        return Err(CliError::message(Exit::Error, wrong)
            .hint("name the keys in `seal_to:` of the manifest, or in CHATAPI_SEAL_TO")
            .hint("to keep every token in the clear from now on: `--unseal`, with no key named"));
    }
    let witness = Witness::of_applied(context, &manifests.files, None)?;
    if let Ok(Reading { state, .. }) = store::read(&context.state_dir, witness.lock())
        && state.recipients == wanted
        && (only_new || is_sealed_so(&context.state_dir, &state, &wanted)?)
    {
        context.done(format!("Nothing to do: sealed to {wanted} already."))?;
        warn_of_old(context);
        return Ok(Exit::Done);
    }
    // Before the lock is taken: a command for the key may wait for a person.
    let keys = if only_new { Vec::new() } else { identities(args)? };
    let mut store = witness.open(context, "state rekey", lock.lock_timeout)?;
    let state = store.state().clone();
    let mut anew = Vec::new();
    if !only_new {
        // All of them are opened before anything is written.
        let entries = store.entries(&store::referred(&state))?;
        for record in state.records().values() {
            for serial in record.entries() {
                let Some(entry) = entries.get(&serial) else { continue };
                anew.push(sealed(record, entry.clone(), &state.lineage, &keys, &wanted)?);
            }
        }
    }
    let count = anew.len();
    store.append(context.run_info("state rekey").event(), Timestamp::now())?;
    if only_new {
        store.append(Event::Recipients { to: wanted.clone() }, Timestamp::now())?;
    } else {
        let mut anew = anew.into_iter();
        let mut next =
            |_: &Record, entry: Entry| anew.find(|sealed| sealed.serial == entry.serial).ok_or(StoreError::NoEntry(entry.serial));
        store.rotate(Timestamp::now(), Some(&wanted), &mut next)?;
    }
    store.sync()?;
    let closed = witness.close(store);
    let kept = if only_new {
        "what is kept stays as it was".to_owned()
    } else {
        counted(count, "kept text sealed anew", "kept texts sealed anew")
    };
    context.done(format!("Sealed to {wanted} from now on; {kept}."))?;
    warn_of_old(context);
    if only_new {
        context.console.note("tokens that were kept before open with the old keys only");
    }
    closed.tell(context)
}

fn warn_of_old(context: &Context) {
    for name in store::old_journals(&context.state_dir) {
        let path = context.state_dir.join(name);
        context.console.warn(format_args!("{} still holds tokens as they were: delete it", path.display()));
    }
}

/// Whether everything that is kept is sealed to just these keys; if there are none: stands in the clear.
fn is_sealed_so(dir: &Path, state: &State, wanted: &Recipients) -> Result<bool, StoreError> {
    let wanted: BTreeSet<KeyId> = wanted.iter().map(Recipient::id).collect();
    let entries = store::read_entries(dir, &store::referred(state))?;
    Ok(entries.values().all(|entry| match entry.event.sealed() {
        Some(sealed) => sealed.keys().cloned().collect::<BTreeSet<_>>() == wanted,
        None => wanted.is_empty() || !entry.event.holds_secret_in_clear(),
    }))
}

fn sealed(record: &Record, mut entry: Entry, lineage: &Lineage, keys: &[Identity], to: &Recipients) -> Result<Entry, CliError> {
    let name = record.token_at(entry.serial).map_or(&record.name, |token| &token.name);
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
            // Without the server's words: they may repeat the API key, which this command does not know.
            let outline = answer.outline.clone().or_else(|| Some(judge(&open).outline().without_words(open.status)));
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
