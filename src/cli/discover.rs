//! `chatapi import --discover`: what the account holds and the state does not know, as entries for a manifest. Changes nothing.

use std::path::PathBuf;

use super::args::{ImportArgs, VariableArgs};
use super::context::{Context, kind_of};
use super::environment::Chosen;
use super::error::CliError;
use super::exit::Exit;
use super::witness::MANIFEST;
use super::{foreseen, neighbours, token_set, variables, witness};
use crate::instance::InstanceId;
use crate::listing::Listing;
use crate::manifest::{Manifest, ProviderKind};
use crate::plan::missing;
use crate::provider::Provider as _;
use crate::report::Discovery;
use crate::state::{Binding, State};
use crate::store;
use crate::text::counted;

pub(super) fn run(context: &Context, args: &ImportArgs, file: Option<PathBuf>) -> Result<Exit, CliError> {
    let manifest = manifest(context, file, &args.variables)?;
    let has_state = store::has_state(&context.state_dir);
    let state = has_state.then(|| witness::look(context, &args.lock_file)).transpose()?.map(|reading| reading.state);
    let foreseen = state.as_ref().map(|state| foreseen::of(context, &context.state_dir, state)).transpose()?;
    if let Some(foreseen) = &foreseen {
        foreseen::tell(context, foreseen);
    }
    let state = foreseen.map(|foreseen| foreseen.state);
    let listing = list(context, args, (state.as_ref(), manifest.as_ref()))?;
    let gone = state.as_ref().map(|state| missing(state, &listing)).unwrap_or_default();
    if let Some(first) = gone.first() {
        let all = counted(gone.len(), "instance", "instances");
        context
            .console
            .warn(format_args!("the server's list lacks {all} that the state has ({first}, …): more may be missing in it"));
    }
    let bound = state.as_ref().and_then(|state| state.binding.as_ref());
    let theirs = neighbours::beside(context, state.as_ref(), provider(context, bound, manifest.as_ref()));
    let doubtful = |id: &InstanceId| theirs.doubt_of(id).map(|owner| format!("{owner} is in doubt, and may have created it"));
    let of_doubts = listing.instances.iter().filter_map(|it| Some((it.id.clone(), doubtful(&it.id)?)));
    let owned =
        theirs.owners.iter().map(|(id, owner)| (id.clone(), format!("it belongs to environment {}", owner.at.environment)));
    let elsewhere = of_doubts.chain(owned).collect();
    let found = Discovery::of(&listing, state.as_ref(), manifest.as_ref(), &elsewhere);
    if context.is_json() {
        context.document(&found)?;
    } else {
        context.console.result(found.yaml(&context.command()));
    }
    if found.count() > 0 {
        let (command, console) = (context.command(), &context.console);
        console
            .note(format_args!("next: look at the names, put this into a manifest, then `{command} plan` and `{command} apply`"));
        console.note(format_args!("after that {}", token_set::missing(&command, found.count())));
    }
    Ok(Exit::Done)
}

/// Where the account is: where the state's is, else where the manifest or the environment says.
pub(super) fn provider(context: &Context, bound: Option<&Binding>, manifest: Option<&Manifest>) -> ProviderKind {
    match (bound, manifest) {
        (Some(_), _) => kind_of(bound),
        (None, Some(manifest)) => manifest.provider,
        (None, None) if context.environment.as_ref().is_some_and(Chosen::is_on_emulator) => ProviderKind::Emulator,
        (None, None) => ProviderKind::Chatapi,
    }
}

/// The manifest that was named, or the usual one if it is there.
pub(super) fn manifest(context: &Context, file: Option<PathBuf>, variables: &VariableArgs) -> Result<Option<Manifest>, CliError> {
    let usual = PathBuf::from(MANIFEST);
    // `import --discover > instances.yaml`: the shell has made it, and it holds nothing yet.
    let holds_something = std::fs::metadata(&usual).is_ok_and(|metadata| metadata.len() > 0);
    match file.or_else(|| holds_something.then_some(usual)) {
        Some(file) => context.manifest(&[file], &variables::given(context, variables)?).map(Some),
        None => Ok(None),
    }
}

fn list(
    context: &Context,
    args: &ImportArgs,
    (state, manifest): (Option<&State>, Option<&Manifest>),
) -> Result<Listing, CliError> {
    let bound = state.and_then(|state| state.binding.as_ref());
    let kind = provider(context, bound, manifest);
    if bound.is_none() && kind == ProviderKind::Emulator {
        // It lives beside a state, and there is none that it has worked for.
        return Ok(Listing::default());
    }
    super::signals::runtime()?.block_on(async {
        let server = match bound {
            Some(_) => context.connect_bound(bound, &args.server).await?,
            None => context.connect(kind, &args.server).await?,
        };
        if let Some(state) = state {
            context.check_binding(bound, &server, &state.lineage)?;
        }
        if server.embedded_at().is_none() {
            context.console.note(format_args!("asked {} for its list", server.provider.origin().0));
        }
        let listed = server.provider.list().await;
        listed.map_err(|error| CliError::new(Exit::Error, &error).context("the account cannot be listed"))
    })
}
