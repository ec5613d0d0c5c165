//! `chatapi state history`: what happened, and who did it.

use std::collections::BTreeSet;

use super::names::unknown;
use crate::cli::console::Console;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::table::{Column, table};
use crate::cli::witness;
use crate::instance::InstanceName;
use crate::report::{Happening, HistoryDocument, in_words};
use crate::state::{AttemptId, Entry, Event, Who};
use crate::store::{self, StoreError};

pub(super) fn run(context: &Context, name: Option<&InstanceName>) -> Result<Exit, CliError> {
    let past = match store::history(&context.state_dir) {
        Err(StoreError::Absent(_)) => return Err(witness::absent(context)),
        past => past?,
    };
    let happenings = told(&past.entries, name);
    if let Some(name) = name.filter(|_| happenings.is_empty()) {
        let known: BTreeSet<&InstanceName> = past.entries.iter().filter_map(|entry| entry.event.name()).collect();
        return Err(unknown(name, known));
    }
    for gap in &past.gaps {
        context.console.warn(format_args!("the history has a gap: {}", crate::text::escape(gap)));
    }
    if context.is_json() {
        context.document(&HistoryDocument::new(happenings, past.gaps))?;
        return Ok(Exit::Done);
    }
    let row = |it: &Happening| {
        let at = it.at.round(jiff::Unit::Second).unwrap_or(it.at).to_string();
        let name = it.name.as_ref().map_or("-", |name| name.as_str()).to_owned();
        let attempt = it.attempt.as_ref().map_or("-", |attempt| attempt.as_str()).to_owned();
        vec![it.serial.to_string(), at, in_words(it.event).to_owned(), name, attempt, it.detail.clone(), it.by.clone()]
    };
    let columns = [
        Column::whole("SERIAL"),
        Column::whole("TIME"),
        Column::whole("EVENT"),
        Column::cut("NAME", 12),
        Column::whole("ATTEMPT").spare(),
        Column::cut("DETAIL", 16),
        Column::cut("BY", 12).spare(),
    ];
    let rows: Vec<_> = happenings.iter().map(row).collect();
    context.console.result(table(&columns, &rows, Console::width()));
    Ok(Exit::Done)
}

/// The entries in words, all of them or those about `name`, under whatever name it had.
fn told(entries: &[Entry], name: Option<&InstanceName>) -> Vec<Happening> {
    let names = name.map(|name| names_of(entries, name));
    let mut attempts: std::collections::BTreeMap<AttemptId, InstanceName> = std::collections::BTreeMap::new();
    let mut by = String::new();
    let mut told = Vec::new();
    for entry in entries {
        if let Event::Run { verb, who, .. } = &entry.event {
            by = doer(verb, who);
        }
        if let (Some(name), Some(attempt)) = (entry.event.name(), entry.event.attempt()) {
            attempts.insert(attempt.clone(), name.clone());
        }
        let about = entry.event.name().or_else(|| attempts.get(entry.event.attempt()?)).cloned();
        let is_meant = names.as_ref().is_none_or(|names| {
            let noted = |noted: &InstanceName| names.contains(noted);
            match &entry.event {
                Event::Noted { orphaned: some, returned: others }
                | Event::Protection { protected: some, unprotected: others } => some.iter().chain(others).any(noted),
                _ => about.as_ref().is_some_and(noted),
            }
        });
        if is_meant {
            told.push(Happening::new(entry, about, by.clone()));
        }
    }
    told
}

/// The names that what is `name` today had.
fn names_of(entries: &[Entry], name: &InstanceName) -> BTreeSet<InstanceName> {
    let mut names = BTreeSet::from([name.clone()]);
    for entry in entries.iter().rev() {
        if let Event::Moved { from, to } | Event::Replacing { name: from, to } = &entry.event
            && names.contains(to)
        {
            names.insert(from.clone());
        }
    }
    names
}

fn doer(verb: &str, who: &Who) -> String {
    let parts = [&who.user, &who.host, &who.job, &who.commit];
    let who = parts.into_iter().flatten().cloned().collect::<Vec<_>>().join(", ");
    if who.is_empty() { verb.to_owned() } else { format!("{verb} ({who})") }
}
