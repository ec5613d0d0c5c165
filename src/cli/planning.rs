//! The plan of a manifest against a state, with everything that was said beside the manifest.

use std::collections::{BTreeMap, BTreeSet};

use super::args::SelectionArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::state::meant;
use super::{deletes, remainders, variables};
use crate::instance::{InstanceName, InstanceType};
use crate::manifest::{Declaration, Manifest, Move, Target};
use crate::plan::{Action, Irreplaceable, Plan, Replace, Settled, Settlement, settle};
use crate::report::account::Notice;
use crate::saved::Consent;
use crate::state::{Phase, Record, State};
use crate::text::closest;

/// Values of labels, and owners, that an error lists at the most.
const LISTED: usize = 8;

/// What `manifest` settles in `state`; of the names that `targets` select, if they do.
pub(super) fn settled(manifest: &Manifest, state: &State, targets: &[Target]) -> Result<Settled, CliError> {
    Ok(match selected(targets, Some(manifest), state)? {
        Some(names) => settle(&manifest.settling_only(&names), state)?,
        None => settle(manifest, state)?,
    })
}

/// What is to be done for `manifest` once that is settled, as the operator has said.
pub(super) fn planned(manifest: &Manifest, settled: &Settled, consent: &Consent) -> Result<Plan, CliError> {
    check_recreated(manifest, consent)?;
    let protected = manifest.declarations().iter().filter(|declared| declared.is_protected);
    let protected: BTreeSet<&InstanceName> = protected.map(|declared| &declared.name).collect();
    let is_protected = |name: &InstanceName| protected.contains(name);
    let state = &settled.state;
    check_not_moved(settled, consent)?;
    consent.replace.iter().try_for_each(|asked| check_replaced(manifest, asked, state))?;
    check_replaced_once(consent)?;
    let plan = settled.plan(&declared(manifest)).answered(&consent.not_a_rename, &consent.recreate);
    let plan = plan.protecting(is_protected, state);
    let plan = if consent.prune { plan.pruning(state) } else { plan };
    let plan = plan.replacing(&consent.replace, is_protected, state);
    let targets: Vec<Target> = consent.targets.iter().map(|target| moved(target, settled)).collect();
    Ok(match selected(&targets, Some(manifest), state)? {
        Some(names) => plan.limited_to(&names),
        None => plan,
    })
}

/// Says for which names of `--not-a-rename` there is nothing that it answers: a misspelt one would seem to be answered for.
pub(super) fn remark_unsuspected(context: &Context, manifest: &Manifest, settled: &Settled, consent: &Consent) {
    if consent.not_a_rename.is_empty() {
        return;
    }
    let plan = settled.plan(&declared(manifest));
    let is_suspect = |name: &InstanceName| plan.changes.iter().any(|it| it.name == *name && it.renamed_from.is_some());
    for name in consent.not_a_rename.iter().filter(|name| !is_suspect(name)) {
        if manifest.get(name).is_some() {
            context.console.note(format_args!("{name} is not taken for a rename: `--not-a-rename` does nothing for it"));
            continue;
        }
        let notice = Notice::warning(&format!("`{name}` is not declared: `--not-a-rename` does nothing for it")).about(name);
        let suspects = plan.changes.iter().filter(|it| it.renamed_from.is_some()).map(|it| it.name.as_str());
        context.remark(match closest(name.as_str(), suspects) {
            Some(near) => notice.hint(&format!("did you mean `{near}`?")),
            None => notice,
        });
    }
}

/// The same, by the name that an instance has once `settled` is done.
fn moved(target: &Target, settled: &Settled) -> Target {
    let to = settled.steps.iter().find_map(|(step, _)| match (step, target) {
        (Settlement::Move(step), Target::Name(name)) if step.from == *name => Some(step.to.clone()),
        _ => None,
    });
    to.map_or_else(|| target.clone(), Target::Name)
}

/// Refuses a new instance for a name that is not declared.
pub(super) fn check_recreated(manifest: &Manifest, consent: &Consent) -> Result<(), CliError> {
    match consent.recreate.iter().find(|name| manifest.get(name).is_none()) {
        None => Ok(()),
        Some(name) => {
            let absent = CliError::message(Exit::Error, format!("`{name}` is to be recreated, and is not declared"));
            Err(meant(absent, name, manifest.declarations().iter().map(|it| &it.name)).hint("nothing was sent"))
        }
    }
}

/// Refuses a new instance for a name that gets another one's by the same manifest.
fn check_not_moved(settled: &Settled, consent: &Consent) -> Result<(), CliError> {
    let given = settled.steps.iter().find_map(|(step, _)| match step {
        Settlement::Move(step) if consent.recreate.contains(&step.to) => Some(step),
        _ => None,
    });
    given.map_or(Ok(()), |Move { from, to, place }| {
        let message = format!("`{to}` is to be recreated, and {place} gives it what `{from}` has");
        Err(CliError::message(Exit::Error, message).hint("nothing was sent; say one of the two"))
    })
}

/// Refuses two replacements of one name: each is paid for.
fn check_replaced_once(consent: &Consent) -> Result<(), CliError> {
    let mut seen = BTreeMap::new();
    match consent.replace.iter().find(|asked| seen.insert(&asked.name, &asked.id).is_some_and(|id| *id != asked.id)) {
        None => Ok(()),
        Some(Replace { name, .. }) => {
            let message = format!("`{name}` is to be replaced in two ways");
            Err(CliError::message(Exit::Error, message).hint("nothing was sent; say it once, with the id of what it has"))
        }
    }
}

/// Refuses a replacement of what is not declared, or is not as it was said.
fn check_replaced(manifest: &Manifest, asked: &Replace, state: &State) -> Result<(), CliError> {
    let name = &asked.name;
    if manifest.get(name).is_none() {
        let absent = CliError::message(Exit::Error, format!("`{name}` is to be replaced, and is not declared"));
        return Err(meant(absent, name, manifest.declarations().iter().map(|it| &it.name)).hint("nothing was sent"));
    }
    asked.check(|name| manifest.get(name).is_some(), state).map_err(|why| {
        let error = CliError::new(Exit::Error, &why).hint("nothing was sent");
        match &why {
            Irreplaceable::OtherId { has: Some(id), .. } => error.hint(format!("for what it has: `--replace {name}={id}`")),
            Irreplaceable::OtherId { has: None, .. } => error,
            Irreplaceable::Taken { aside, .. } => error.hint(format!("give what is called `{aside}` another name first")),
        }
    })
}

/// The declared names and types.
pub(super) fn declared(manifest: &Manifest) -> BTreeMap<InstanceName, InstanceType> {
    manifest.declarations().iter().map(|declaration| (declaration.name.clone(), declaration.kind)).collect()
}

/// The names that `targets` select; none: nothing was said, and that is all of them.
pub(super) fn selected(
    targets: &[Target],
    manifest: Option<&Manifest>,
    state: &State,
) -> Result<Option<BTreeSet<InstanceName>>, CliError> {
    if targets.is_empty() {
        return Ok(None);
    }
    let declarations = manifest.map_or(&[][..], Manifest::declarations);
    let mut names = BTreeSet::new();
    for target in targets {
        let found = names_of(target, declarations, state);
        if found.is_empty() {
            return Err(selects_nothing(target, declarations, state));
        }
        names.extend(found);
    }
    Ok(Some(names))
}

/// The recorded names that were typed or selected. A manifest is read only where a label or an owner is.
pub(super) fn chosen(
    context: &Context,
    names: &[InstanceName],
    args: &SelectionArgs,
    state: &State,
) -> Result<BTreeSet<InstanceName>, CliError> {
    let needs_manifest = args.target.iter().any(|target| !matches!(target, Target::Name(_)));
    let manifest =
        if needs_manifest { Some(context.manifest(&args.manifest, &variables::given(context, &args.variables)?)?) } else { None };
    let selected = selected(&args.target, manifest.as_ref(), state)?.unwrap_or_default();
    check_moved(context, manifest.as_ref(), &selected, state)?;
    let recorded = selected.into_iter().filter(|name| state.record(name).is_some());
    Ok(names.iter().cloned().chain(recorded).collect())
}

/// Refuses a selection by label or owner where one of these names is not recorded yet, for its instance has another one until an
/// apply: it would be left out without a word.
fn check_moved(
    context: &Context,
    manifest: Option<&Manifest>,
    selected: &BTreeSet<InstanceName>,
    state: &State,
) -> Result<(), CliError> {
    let exists = |name: &InstanceName| state.record(name).is_some_and(|record| record.instance().is_some());
    let moves = manifest.into_iter().flat_map(|manifest| &manifest.settlements.moves);
    let mut pending = moves.filter(|step| selected.contains(&step.to) && exists(&step.from) && !exists(&step.to));
    let Some(Move { from, to, place }) = pending.next() else { return Ok(()) };
    let message = format!("`{to}` is selected, and its instance is still called `{from}`: {place} is not carried out yet");
    Err(CliError::message(Exit::Error, message)
        .hint(format!("`{} apply` carries it out; or name the instance itself: `{from}`", context.command())))
}

fn names_of(target: &Target, declarations: &[Declaration], state: &State) -> Vec<InstanceName> {
    let chosen = declarations.iter().filter(|declaration| target.selects(declaration)).map(|it| it.name.clone());
    let recorded = match target {
        Target::Name(name) => state.record(name).map(|record| record.name.clone()),
        Target::Label { .. } | Target::Owner(_) => None,
    };
    chosen.chain(recorded).collect()
}

/// Nothing is of that name, label or owner: what there is.
fn selects_nothing(target: &Target, declarations: &[Declaration], state: &State) -> CliError {
    let error = CliError::message(Exit::Error, format!("`--target {target}` selects nothing")).hint("nothing was sent");
    let listed = |what: &str, all: BTreeSet<String>| {
        let some: Vec<String> = all.iter().take(LISTED).cloned().collect();
        match all.len() {
            0 => format!("no instance has {what} in the manifest"),
            count if count > LISTED => format!("there are {}, and {} more", some.join(", "), count - LISTED),
            _ => format!("there are {}", some.join(", ")),
        }
    };
    match target {
        Target::Name(name) => {
            let known = declarations.iter().map(|it| &it.name).chain(state.records().keys());
            meant(error, name, known).hint("it is neither declared nor recorded")
        }
        Target::Label { .. } => {
            let label = |(key, value): (&String, &String)| format!("label={key}={value}");
            error.hint(listed("a label", declarations.iter().flat_map(|it| it.labels.iter().map(label)).collect()))
        }
        Target::Owner(_) => {
            let owner = |it: &Declaration| it.owner.as_ref().map(|who| format!("owner={who}"));
            error.hint(listed("an owner", declarations.iter().filter_map(owner).collect()))
        }
    }
}

/// Says for which of those asked for nothing is done: they were replaced before, and only what happens to `leaving`; or they are being
/// deleted.
pub(super) fn remark_spent(
    context: &Context,
    plan: &Plan,
    consent: &Consent,
    (state, leaving): (&State, &BTreeSet<InstanceName>),
) {
    consent.recreate.iter().filter_map(|name| state.record(name)).for_each(|record| remark_retiring(context, record));
    let asked = &consent.replace;
    let is_aside = |name: &InstanceName| plan.with(Action::Aside).any(|change| change.name == *name);
    for Replace { name, .. } in asked.iter().filter(|asked| is_aside(&asked.name)) {
        let told = format!("`{name}` is to be replaced, and is not among those selected: nothing is done for it");
        context.remark(Notice::warning(&told).about(name));
    }
    for Replace { name, .. } in asked.iter().filter(|asked| plan.replacements().all(|(replaced, _)| *replaced != asked.name)) {
        let exists = state.record(name).and_then(Record::instance);
        let new = state.record(name).and_then(|record| state.replacement_of(record));
        if let Some((new, instance)) = new.zip(exists) {
            let told = format!("`{name}` is {}, which was replaced before: what it got is `{}`", instance.id, new.name);
            let again = format!("to replace it once more, which costs money: `--replace {name}={}`", instance.id);
            context.remark(Notice::warning(&told).about(name).hint(&again));
            continue;
        }
        let Some((old, instance)) = state.replaced(name).zip(exists) else { continue };
        let told = format!("`{name}` was replaced before: the one that it had is `{}`", old.name);
        let notice = match way_on(context, (name, old), (plan, state, leaving)) {
            Some(hint) => Notice::warning(&told).about(name).hint(&hint),
            None => Notice::warning(&told).about(name),
        };
        let again = format!("to replace what it has now, too: `--replace {name}={}`", instance.id);
        context.remark(notice.hint(&again));
    }
}

/// Of a name that is to be recreated, and whose delete is not concluded.
fn remark_retiring(context: &Context, record: &Record) {
    let (Some(_), Some(id)) = (record.retirement(), record.id()) else { return };
    let (name, command) = (&record.name, context.command());
    let told = format!("`{name}` is to be recreated, and the delete of {id} is in doubt: nothing is created for it");
    let finishing = deletes::finishing(&command, record);
    let hint = format!("`{finishing}` finishes that; then `{command} apply --recreate {name}`");
    context.remark(Notice::warning(&told).about(name).hint(&hint));
}

/// What can be done about `old`, which `new` has replaced. What is declared, or has a name of its own, has its place.
fn way_on(
    context: &Context,
    (new, old): (&InstanceName, &Record),
    (plan, state, leaving): (&Plan, &State, &BTreeSet<InstanceName>),
) -> Option<String> {
    let (name, command) = (&old.name, context.command());
    let is_left = plan.with(Action::Orphan).any(|change| change.name == *name);
    match old.phase {
        Phase::Retired { .. } => Some(format!("`{command} state rm {name}` forgets that; then it can be replaced again")),
        _ if is_left && !old.is_kept && !leaving.contains(name) => Some(remainders::way_on(&command, state, (name, new))),
        _ => None,
    }
}
