//! `--from server`: what the server lists, under the names that an operator gives.

use jiff::Timestamp;

use super::{Known, add_known, check_free, empty, finish, unsaid};
use crate::cli::args::RebuildArgs;
use crate::cli::console::{BOLD, Console};
use crate::cli::context::{Context, draw_lineage};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::gone::NAMES;
use crate::cli::table::{Column, table};
use crate::cli::{neighbours, signals};
use crate::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};
use crate::listing::{ListedInstance, Listing};
use crate::manifest::ProviderKind;
use crate::provider::Provider as _;
use crate::state::{Binding, Event, Grounds, Lineage, Origin, Record, State, Verdict};
use crate::store::{self, LockFile, LockedInstance, Reading, StateStore as _};
use crate::text::counted;

/// Why what was adopted is protected.
const UNSAID: &str = "the server does not say what was protected: everything that `--adopt` has brought is protected now";

pub(super) fn rebuild(context: &Context, args: &RebuildArgs, Known { lock, source, path }: &Known) -> Result<Exit, CliError> {
    let (bound, lineage) = bound(context)?;
    let listing = signals::runtime()?.block_on(async {
        let server = context.connect(ProviderKind::Chatapi, &args.server).await?;
        context.check_binding(bound.as_ref(), &server, &lineage)?;
        lock.iter().try_for_each(|known| check_origin(known, server.provider.origin()))?;
        let listing = server.provider.list().await.map_err(|error| CliError::new(Exit::Error, &error))?;
        Ok::<_, CliError>((server, listing))
    });
    let (server, listing) = listing?;
    lock.iter().try_for_each(|known| check_account(known, &listing))?;
    if args.adopt.is_empty() {
        return Err(unnamed(context, &listing));
    }
    check_adopted(context, args, lock.as_ref().map(|known| (known, &listing)))?;
    let theirs = neighbours::at(context, Some(server.provider.origin()));
    args.adopt.iter().try_for_each(|(_, id)| neighbours::check_free(&theirs, id))?;
    lock.iter().try_for_each(|known| check_free(&theirs, known))?;
    let adopted = args.adopt.iter().map(|named| found(&listing, named)).collect::<Result<Vec<_>, _>>()?;
    adopted.iter().try_for_each(|one| one.check_kind(lock.as_ref()))?;
    let mut store = empty(context, args, lock.as_ref().map(|known| (known, source.as_path())))?;
    // It was not held when its binding was looked at first.
    context.check_binding(store.state().binding.as_ref(), &server, &store.state().lineage)?;
    store.append(context.run_info("state rebuild").event(), Timestamp::now())?;
    let binding = server.binding(&store.state().lineage);
    store.append(Event::Bound(binding), Timestamp::now())?;
    // First what the lock file knows, so that what is deleted, protected or in doubt is that whatever is named besides.
    if let Some(known) = lock {
        add_known(&mut store, known, &|id| listed(&listing, id)?.api_url.clone())?;
    }
    let mut protected = Vec::new();
    for one in adopted {
        let name = one.name.clone();
        if let Some(event) = one.event(store.state()) {
            store.append(event, Timestamp::now())?;
            protected.push(name);
        }
    }
    let unsaid = lock.as_ref().and_then(unsaid).or_else(|| (!protected.is_empty()).then_some(UNSAID));
    if !protected.is_empty() {
        store.append(Event::Protection { protected, unprotected: Vec::new() }, Timestamp::now())?;
    }
    let done = finish(context, store, path, unsaid)?;
    if let Some(known) = lock {
        tell_unlisted(context, known, &listing);
    }
    Ok(done)
}

/// What an operator has named, as the server lists it.
struct Adopted<'a> {
    name: &'a InstanceName,
    id: &'a InstanceId,
    kind: InstanceType,
    api_url: Option<ApiUrl>,
}

fn listed<'a>(listing: &'a Listing, id: &InstanceId) -> Option<&'a ListedInstance> {
    listing.instances.iter().find(|instance| instance.id == *id)
}

fn found<'a>(listing: &Listing, (name, id): &'a (InstanceName, InstanceId)) -> Result<Adopted<'a>, CliError> {
    let known = listed(listing, id).and_then(|found| Some((found.kind?, found.api_url.clone())));
    let (kind, api_url) = known.ok_or_else(|| {
        CliError::message(Exit::Error, format!("the server lists no {id} of a type that is known here"))
            .hint("without `--adopt` this shows what it lists")
    })?;
    Ok(Adopted { name, id, kind, api_url })
}

impl Adopted<'_> {
    /// What was being created is of its type.
    fn check_kind(&self, known: Option<&LockFile>) -> Result<(), CliError> {
        let Self { name, id, kind, .. } = self;
        match known.and_then(|known| known.in_doubt.get(name)) {
            Some(doubt) if doubt.kind != *kind => {
                let message = format!("`{name}` was being created as {} by the lock file, and {id} is {kind}", doubt.kind);
                Err(CliError::message(Exit::Error, message).hint("nothing was written; another id, or another name for this one"))
            }
            _ => Ok(()),
        }
    }

    /// What is recorded of it in `state`; none: it is on record already.
    fn event(self, state: &State) -> Option<Event> {
        let Self { name, id, kind, api_url } = self;
        let (name, id) = (name.clone(), id.clone());
        let record = state.record(&name);
        if record.is_some_and(|record| record.id() == Some(&id) && !record.is_retired()) {
            return None;
        }
        let source = "the server's list, named by an operator".to_owned();
        Some(match record.and_then(Record::open_attempt) {
            // What was in doubt is this.
            Some(open) => {
                let grounds = Grounds { by: source, reason: None, candidates: None };
                Event::Resolved { attempt: open.id.clone(), verdict: Verdict::Created { id, api_url }, grounds }
            }
            None => Event::Adopted { name, kind, id, api_url, source, is_foreign: false },
        })
    }
}

/// A lock file tells where its instances are.
fn check_origin(known: &LockFile, origin: &Origin) -> Result<(), CliError> {
    match &known.origin {
        Some(theirs) if theirs != origin => {
            let message = format!("the instances of the lock file are on {theirs}, and this is {origin}");
            Err(CliError::message(Exit::Error, message)
                .hint("nothing was written; CHATAPI_URL says which server is asked")
                .hint("if it is the same account under another address: `--from lock`, then `state rebind`"))
        }
        _ => Ok(()),
    }
}

/// An account that lists none of what the lock file names is not theirs.
fn check_account(known: &LockFile, listing: &Listing) -> Result<(), CliError> {
    let is_missing = |(_, instance): (&InstanceName, &LockedInstance)| listed(listing, &instance.id).is_none();
    let count = known.instances.len();
    if count == 0 || !known.instances.iter().all(is_missing) {
        return Ok(());
    }
    let named = counted(count, "instance", "instances");
    Err(CliError::message(
        Exit::Error,
        format!("the server lists none of the {named} of the lock file: it may be another account's"),
    )
    .hint("nothing was written; the API key says which account is asked")
    .hint("if all of them were deleted on the server: `--from lock`, and `drift` tells of them"))
}

/// What the lock file names and the list lacks is on record all the same: one list may lag behind.
fn tell_unlisted(context: &Context, known: &LockFile, listing: &Listing) {
    let (console, command) = (&context.console, context.command());
    let unlisted: Vec<_> = known.instances.iter().filter(|(_, instance)| listed(listing, &instance.id).is_none()).collect();
    for (name, instance) in unlisted.iter().take(NAMES) {
        console.warn(format_args!("`{name}` is {} by the lock file, and the server does not list that", instance.id));
    }
    if let Some(more) = unlisted.len().checked_sub(NAMES).filter(|more| *more > 0) {
        console.warn(format_args!("nor does it list {more} more of the lock file"));
    }
    if !unlisted.is_empty() {
        console.note(format_args!("  {BOLD}hint{BOLD:#}: `{command} drift` tells what became of it, and what to do"));
    }
}

/// What a state that is here is bound to, and its lineage. One that is not here, or cannot be read, says nothing.
fn bound(context: &Context) -> Result<(Option<Binding>, Lineage), CliError> {
    match store::read(&context.state_dir, None) {
        Ok(Reading { state, .. }) => Ok((state.binding, state.lineage)),
        Err(_) => Ok((None, draw_lineage()?)),
    }
}

/// Each name and each id once, and none against the lock file: one of the two would be dropped, and created again.
fn check_adopted(context: &Context, args: &RebuildArgs, known: Option<(&LockFile, &Listing)>) -> Result<(), CliError> {
    let wrong = |message: String| CliError::message(Exit::Error, message).hint("nothing was written");
    for (at, (name, id)) in args.adopt.iter().enumerate() {
        if args.adopt.iter().take(at).any(|(other, taken)| other == name || taken == id) {
            return Err(wrong(format!("`--adopt {name}={id}` names one of them a second time")));
        }
        let against =
            known.iter().flat_map(|(lock, _)| lock.known()).find(|(other, instance)| (*other == name) != (instance.id == *id));
        if let Some((other, LockedInstance { id: its, .. })) = against {
            let message = format!("`--adopt {name}={id}` is against the lock file, where `{other}` is {its}");
            let refused = wrong(message);
            return match known {
                Some((_, listing)) if listed(listing, its).is_none() => {
                    let command = context.command();
                    Err(refused.hint(format!(
                        "the server does not list {its}: `{command} state rebuild --from lock` first, then `{command} drift` leads on"
                    )))
                }
                _ => Err(refused),
            };
        }
    }
    Ok(())
}

/// What the server lists, and the command with a gap for each name: the server knows none of them.
fn unnamed(context: &Context, listing: &Listing) -> CliError {
    let rows = listing.instances.iter().map(|instance| {
        let kind = instance.kind.map_or("-", InstanceType::as_str);
        let address = instance.api_url.as_ref().map_or("-", |address| address.as_str());
        vec![instance.id.to_string(), kind.to_owned(), address.to_owned()]
    });
    let columns = [Column::whole("ID"), Column::whole("TYPE"), Column::cut("ADDRESS", 16)];
    context.console.result(table(&columns, &rows.collect::<Vec<_>>(), Console::width()));
    let adopt: Vec<_> = listing.instances.iter().map(|instance| format!("--adopt NAME={}", instance.id)).collect();
    CliError::message(Exit::Error, "the server knows ids and no names: say which is which").hint(format!(
        "{} state rebuild --from server {}",
        context.command(),
        adopt.join(" ")
    ))
}
