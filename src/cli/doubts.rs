//! `chatapi doubts`.

use jiff::Timestamp;

use super::args::{DoubtsArgs, ServerArgs};
use super::console::{BOLD, DOUBT};
use super::context::{Context, kind_of, settling};
use super::deletes::finishing;
use super::error::CliError;
use super::exit::Exit;
use super::machine::not_before;
use super::neighbours::{self, Owners};
use super::{foreseen, signals, witness};
use crate::apply::{Examination, examine};
use crate::plan::{Candidate, Proposal};
use crate::report::DoubtData;
use crate::state::{Record, State};
use crate::store;

pub(super) fn run(context: &Context, args: &DoubtsArgs) -> Result<Exit, CliError> {
    let writer = store::writer(&context.state_dir);
    let reading = witness::look(context, &args.lock_file)?;
    // One that began or ended while the state was read may have to do with what was read.
    let writer = writer.or_else(|| store::writer(&context.state_dir));
    let asks = args.refresh && reading.state.doubts().next().is_some();
    let state = &foreseen::of(context, &context.state_dir, &reading.state)?.state;
    let examination = if asks { Some(ask(context, state, &args.server)?) } else { None };
    let bound = reading.state.binding.as_ref();
    let owners = if asks { neighbours::beside(context, Some(&reading.state), kind_of(bound)).owners } else { Owners::new() };
    let proposal = |name| examination.as_ref().and_then(|seen| seen.proposals.get(name)).map(|(_, proposal)| proposal);
    let creates = reading
        .state
        .doubts()
        .map(|(record, attempt, doubt)| DoubtData::new(&reading.state, record, attempt, doubt, proposal(&record.name)));
    let doubts = creates.chain(reading.state.records().values().filter_map(DoubtData::of_delete));
    let doubts: Vec<DoubtData> = doubts.map(|doubt| doubt.beside(writer.as_ref())).collect();
    if context.is_json() {
        context.document(&doubts)?;
    } else if doubts.is_empty() {
        context.console.line("No doubts.");
    } else {
        for doubt in &doubts {
            if let Some(writer) = &doubt.at_work {
                head(context, doubt);
                context.console.line(format_args!("    settle    not yet: {writer} is at work, and may still be answered"));
                continue;
            }
            if let Some((id, record)) = doubt.deletes.as_ref().zip(reading.state.record(&doubt.name)) {
                head(context, doubt);
                context.console.line(format_args!("    deletes   {id}; the next one asks the server's list"));
                context.console.unbroken(format_args!("    settle    {}", finishing(&context.command(), record)));
                continue;
            }
            let attempt = state.record(&doubt.name).and_then(Record::open_attempt);
            let new = examination.as_ref().zip(attempt).map(|(seen, attempt)| seen.candidates.new_to(state, attempt, doubt.kind));
            show(context, doubt, (proposal(&doubt.name), &new.unwrap_or_default()), &owners);
        }
    }
    Ok(if doubts.is_empty() { Exit::Done } else { Exit::InDoubt })
}

/// Asks the server of this state what it lists.
pub(super) fn ask(context: &Context, state: &State, args: &ServerArgs) -> Result<Examination, CliError> {
    signals::runtime()?.block_on(async {
        let server = context.connect_bound(state.binding.as_ref(), args).await?;
        context.check_binding(state.binding.as_ref(), &server, &state.lineage)?;
        let run = context.run_info("doubts");
        let examined = examine(&*server.provider, state, settling(args), (&run, Timestamp::now)).await;
        examined.map_err(|error| CliError::new(Exit::Error, &error).hint("without `--refresh` the recorded evidence is shown"))
    })
}

/// What is known of it without a list.
fn head(context: &Context, doubt: &DoubtData) {
    let console = &context.console;
    let DoubtData { name, kind, attempt, since, reason, .. } = doubt;
    console.line(format_args!("{DOUBT}?{DOUBT:#} {BOLD}{name}{BOLD:#} ({kind})"));
    let since = since.round(jiff::Unit::Second).unwrap_or(*since);
    console.line(format_args!("    attempt   {attempt}, since {since}"));
    console.line(format_args!("    seen      {reason}"));
    if let Some(by) = &doubt.by {
        console.line(format_args!("    by        {by}"));
    }
}

fn show(context: &Context, doubt: &DoubtData, (proposal, new): (Option<&Proposal>, &[&Candidate]), owners: &Owners) {
    head(context, doubt);
    let (console, command) = (&context.console, context.command());
    let DoubtData { name, attempt, .. } = doubt;
    let settle = |how: &str| console.unbroken(format_args!("    settle    {command} resolve {name} --attempt {attempt} {how}"));
    match proposal {
        None => {
            console.line("    list      not asked (`--refresh` asks the server)");
            settle("--created ID");
            settle("--not-created");
        }
        Some(Proposal::Exists(found)) if let Some(owner) = owners.get(&found.id) => {
            console.line(format_args!("    list      shows {} as new since the attempt; {owner} has it", found.id));
            settle("--not-created --despite-list --reason TEXT");
        }
        Some(Proposal::Exists(found)) => {
            console.line(format_args!("    list      shows {} as new since the attempt", found.id));
            settle(&format!("--created {}", found.id));
        }
        Some(Proposal::NotCreated) => {
            console.line("    list      two agreeing lists show nothing new since the attempt");
            settle("--not-created");
        }
        Some(Proposal::NotYetSettled { at }) => {
            let at = not_before(*at);
            console.line(format_args!("    list      shows nothing new yet; that counts from {at} on: ask again then"));
        }
        Some(Proposal::Unknown { why }) => {
            console.line(format_args!("    list      does not tell: {why}"));
            if !new.is_empty() {
                let of =
                    |id| owners.get(id).map(|owner| format!(" (environment `{}`)", owner.at.environment)).unwrap_or_default();
                let ids: Vec<String> = new.iter().map(|candidate| format!("{}{}", candidate.id, of(&candidate.id))).collect();
                console.line(format_args!("    new       {}", ids.join(", ")));
            }
            settle("--created ID --despite-list --reason TEXT");
            settle("--not-created --despite-list --reason TEXT");
        }
    }
}
