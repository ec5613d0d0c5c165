//! `--from server`: what the server lists, under the names that an operator gives.

use jiff::Timestamp;

use super::{Known, add_known, empty, finish};
use crate::cli::args::RebuildArgs;
use crate::cli::console::Console;
use crate::cli::context::{Context, draw_lineage};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::table::{Column, table};
use crate::cli::{neighbours, signals};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::listing::Listing;
use crate::manifest::ProviderKind;
use crate::provider::Provider as _;
use crate::state::{Binding, Event, Lineage};
use crate::store::{self, LockFile, Reading, StateStore as _};

pub(super) fn rebuild(context: &Context, args: &RebuildArgs, Known { lock, source, path }: &Known) -> Result<Exit, CliError> {
    let (bound, lineage) = bound(context)?;
    let listing = signals::runtime()?.block_on(async {
        let server = context.connect(ProviderKind::Chatapi, &args.server).await?;
        context.check_binding(bound.as_ref(), &server, &lineage)?;
        let listing = server.provider.list().await.map_err(|error| CliError::new(Exit::Error, &error))?;
        Ok::<_, CliError>((server, listing))
    });
    let (server, listing) = listing?;
    if args.adopt.is_empty() {
        return Err(unnamed(context, &listing));
    }
    check_adopted(args, lock.as_ref())?;
    let theirs = neighbours::at(context, Some(server.provider.origin()));
    args.adopt.iter().try_for_each(|(_, id)| neighbours::check_free(&theirs, id))?;
    let adopted = args.adopt.iter().map(|named| adoption(&listing, named)).collect::<Result<Vec<_>, _>>()?;
    let mut store = empty(context, args, lock.as_ref().map(|known| (known, source.as_path())))?;
    // It was not held when its binding was looked at first.
    context.check_binding(store.state().binding.as_ref(), &server, &store.state().lineage)?;
    store.append(context.run_info("state rebuild").event(), Timestamp::now())?;
    let binding = server.binding(&store.state().lineage);
    store.append(Event::Bound(binding), Timestamp::now())?;
    for event in adopted {
        store.append(event, Timestamp::now())?;
    }
    if let Some(known) = lock {
        // Names that nobody gave an id to were created, or may have been: they are not free. Where both say one, the operator is right.
        add_known(&mut store, known, false)?;
    }
    finish(context, store, (path, lock.as_ref()))
}

/// What is recorded of an instance that an operator names.
fn adoption(listing: &Listing, (name, id): &(InstanceName, InstanceId)) -> Result<Event, CliError> {
    let found = listing.instances.iter().find(|instance| instance.id == *id);
    let known = found.and_then(|found| Some((found.kind?, found.api_url.clone())));
    let (kind, api_url) = known.ok_or_else(|| {
        CliError::message(Exit::Error, format!("the server lists no {id} of a type that is known here"))
            .hint("without `--adopt` this shows what it lists")
    })?;
    let source = "the server's list, named by an operator".to_owned();
    Ok(Event::Adopted { name: name.clone(), kind, id: id.clone(), api_url, source, is_foreign: false })
}

/// What a state that is here is bound to, and its lineage. One that is not here, or cannot be read, says nothing.
fn bound(context: &Context) -> Result<(Option<Binding>, Lineage), CliError> {
    match store::read(&context.state_dir, None) {
        Ok(Reading { state, .. }) => Ok((state.binding, state.lineage)),
        Err(_) => Ok((None, draw_lineage()?)),
    }
}

/// Each name and each id once, and none against the lock file: one of the two would be dropped, and created again.
fn check_adopted(args: &RebuildArgs, known: Option<&LockFile>) -> Result<(), CliError> {
    let wrong = |message: String| Err(CliError::message(Exit::Error, message).hint("nothing was written"));
    for (at, (name, id)) in args.adopt.iter().enumerate() {
        if args.adopt.iter().take(at).any(|(other, taken)| other == name || taken == id) {
            return wrong(format!("`--adopt {name}={id}` names one of them a second time"));
        }
        let against =
            known.into_iter().flat_map(LockFile::known).find(|(other, instance)| (*other == name) != (instance.id == *id));
        if let Some((other, instance)) = against {
            return wrong(format!("`--adopt {name}={id}` is against the lock file, where `{other}` is {}", instance.id));
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
