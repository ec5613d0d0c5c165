//! `chatapi show`: a saved plan, without state, key or network.

use std::path::Path;

use jiff::Timestamp;

use super::args::ShowArgs;
use super::context::{Context, typed};
use super::error::CliError;
use super::exit::Exit;
use super::plan;
use super::saved::{self, Standing};
use crate::instance::InstanceName;
use crate::manifest::neighbour;
use crate::report::PlanDocument;
use crate::saved::SavedPlan;
use crate::store;

pub(super) fn run(context: &Context, args: &ShowArgs) -> Result<Exit, CliError> {
    if !args.file.exists() {
        let absent = CliError::message(Exit::Error, format!("there is no file {}", typed(&args.file)));
        return Err(match neighbour(&args.file) {
            _ if is_instance(context, &args.file) => {
                let name = typed(&args.file);
                absent.hint(format!("`{} state show {name}` shows the instance of that name", context.command()))
            }
            Some(near) => absent.hint(format!("did you mean `{}`?", typed(&near))),
            None => absent.hint("`chatapi plan --out FILE` saves a plan"),
        });
    }
    if !saved::is_one(&args.file) {
        let message = format!("{} is no saved plan", typed(&args.file));
        let shown = CliError::message(Exit::Error, message).hint("`chatapi plan --out FILE` saves one");
        return Err(shown.hint("an instance is shown by `chatapi state show NAME`"));
    }
    let saved = saved::read(&args.file)?;
    let manifest = saved.manifest.manifest();
    let cost = manifest.prices.as_ref().map(|prices| saved.plan.cost(prices));
    let known = Some((&saved.lineage, saved.head.serial));
    if context.is_text() {
        plan::show(&context.console, &saved.plan, (cost.as_ref(), None));
        remark(context, &saved);
    }
    if context.reports.is_wanted() {
        context.reports.declare(&manifest);
        context.reports.about(known, saved.plan_hash);
        context.planned(&saved.plan);
        plan::account(context, &saved.plan, (cost.as_ref(), None));
    }
    if context.wants_document() {
        let document = PlanDocument::new((&saved.plan, saved.plan_hash), known, &[]).declared_in(&manifest).costing(cost);
        context.deliver(&document.saved_as(&saved))?;
    }
    Ok(Exit::Done)
}

/// Whether the state records an instance of that name.
fn is_instance(context: &Context, file: &Path) -> bool {
    let name = file.to_str().and_then(|text| text.parse::<InstanceName>().ok());
    name.is_some_and(|name| store::read(&context.state_dir, None).is_ok_and(|reading| reading.state.record(&name).is_some()))
}

/// Where it comes from, and until when it is good.
fn remark(context: &Context, saved: &SavedPlan) {
    let round = |at: Timestamp| at.round(jiff::Unit::Second).unwrap_or(at);
    let by = [&saved.made.by.job, &saved.made.by.user].into_iter().flatten().next();
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    let console = &context.console;
    console.note(format_args!("{} made {}{by}, for {}", saved.id, round(saved.made.at), saved.origin));
    console.note(format_args!("  state   {} at serial {}", saved.lineage, saved.head.serial));
    console.note(format_args!("  hash    {}", saved.plan_hash));
    console.note(format_args!("  until   {}", round(saved.expires)));
    match saved::standing(context, saved) {
        Standing::Good { has_manifest: true } => {
            console.note("  now     good: neither the state here nor the manifest has changed since");
        }
        Standing::Good { has_manifest: false } => {
            console.note("  now     good: the state here has not changed since; the manifest is not here to be looked at");
        }
        Standing::Unknown => console.note(format_args!("  now     not known: its state is not in {}", typed(&context.state_dir))),
        Standing::Refused(error) => context.console.forewarn("an apply of it will stop", &error),
    }
}
