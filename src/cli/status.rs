//! `chatapi status`: asks each instance whether its phone is linked, once or again and again.

use std::collections::BTreeMap;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use super::args::{PARALLELISM, StatusArgs};
use super::asking::{Asked, Field, Silence};
use super::console::{BAD, BOLD, Console, DIM, DOUBT, GOOD};
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::signals;
use super::table::{Column, painted};
use super::wrap::broken;
use crate::apply::StopSignal;
use crate::instance::InstanceName;
use crate::provider::InstanceStatus;
use crate::report::{StatusDocument, StatusRow, StatusSummary};
use crate::state::Record;
use crate::text::escape;

/// The rows' columns.
const COLUMNS: [Column; 4] = [Column::cut("NAME", 16), Column::whole("ID"), Column::cut("STATUS", 12), Column::cut("DETAIL", 24)];
/// Which of them is painted.
const STATUS: usize = 2;
/// A terminal with fewer lines has none to spare for gaps and for how the watch is ended.
const LOW: usize = 14;

pub(super) fn run(context: &Context, args: &StatusArgs) -> Result<Exit, CliError> {
    if args.watch && context.is_json() {
        return Err(CliError::message(Exit::Error, "`--watch` is for people, and has no JSON")
            .hint("ask again for each document, or take the lines that it prints without a terminal"));
    }
    signals::runtime()?.block_on(async {
        let stop = signals::listen()?;
        let field = Field::open(context, &args.names, (&args.identity, &args.lock_file, &args.reach)).await?;
        if field.asked.is_empty() && field.open.is_empty() {
            context
                .console
                .warn(format_args!("no instance is recorded in {}: there is none to ask", context.state_dir.display()));
        }
        let field = Arc::new(field);
        if args.watch { watch(context, args, field, stop).await } else { once(context, args, &field, stop).await }
    })
}

async fn once(context: &Context, args: &StatusArgs, field: &Arc<Field>, stop: StopSignal) -> Result<Exit, CliError> {
    let (rows, at) = round(context, args, field, stop).await?;
    if context.is_json() {
        context.document(&StatusDocument::new(&rows, at))?;
    } else {
        context.console.result(drawn(&rows.iter().collect::<Vec<_>>()));
        context.console.line(format_args!("{BOLD}{}{BOLD:#}", StatusSummary::of(&rows).sentence()));
        remark(context, &rows);
    }
    Ok(if StatusSummary::of(&rows).are_all_authenticated() { Exit::Done } else { Exit::Unlinked })
}

/// Until a signal comes.
async fn watch(context: &Context, args: &StatusArgs, mut field: Arc<Field>, stop: StopSignal) -> Result<Exit, CliError> {
    let screen = Console::width().map(|_| ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout()));
    let _unechoed = screen.as_ref().map(|_| Console::unechoed());
    if let Some(screen) = &screen
        && let Ok(style) = ProgressStyle::with_template("{msg}")
    {
        screen.set_style(style);
    }
    let mut said: BTreeMap<InstanceName, String> = BTreeMap::new();
    let mut stopped = stop.clone();
    loop {
        let ended = round(context, args, &field, stop.clone()).await;
        let Ok((rows, at)) = ended else { break };
        let at = at.round(jiff::Unit::Second).unwrap_or(at);
        match &screen {
            Some(screen) => {
                let headline = format!("{at} {}", StatusSummary::of(&rows).sentence());
                let every = format!("asked anew every {:?}; Ctrl-C ends it", args.reach.interval);
                let text = frame(context, &rows, (&headline, &every), (Console::width(), Console::height()));
                screen.set_message(context.console.as_shown(&text));
            }
            None => changes(context, &rows, at, &mut said),
        }
        tokio::select! {
            biased;
            _ = stopped.wait() => break,
            () = tokio::time::sleep(args.reach.interval) => {}
        }
        field = Arc::new(field.anew(context, &args.names, &args.lock_file)?);
    }
    if let Some(screen) = screen {
        screen.abandon();
        context.console.result("\n");
    }
    Ok(stopped.asked().map_or(Exit::Done, Exit::Signal))
}

/// A line for each name that says something else than before.
fn changes(context: &Context, rows: &[StatusRow], at: Timestamp, said: &mut BTreeMap<InstanceName, String>) {
    for row in rows {
        let [word, detail] = words(row);
        let now = if detail.is_empty() { word } else { format!("{word} ({detail})") };
        match said.insert(row.name.clone(), now.clone()) {
            Some(before) if before == now => {}
            Some(before) => context.console.line(format_args!("{at} {}: {now}, was {before}", row.name)),
            None => context.console.line(format_args!("{at} {}: {now}", row.name)),
        }
    }
}

/// Asks all of them once.
async fn round(
    context: &Context,
    args: &StatusArgs,
    field: &Arc<Field>,
    mut stop: StopSignal,
) -> Result<(Vec<StatusRow>, Timestamp), CliError> {
    let at = Timestamp::now();
    tokio::select! {
        biased;
        signal = stop.wait() => Err(CliError::message(Exit::Signal(signal), format!("stopped by {}", signal.as_str()))),
        answers = field.ask_all(args.parallelism.or(PARALLELISM)) => {
            let rows = field.asked.iter().zip(answers).map(|(asked, answer)| row(asked, answer));
            let open = field.open.iter().filter_map(|name| field.state.record(name)).map(unknown);
            let mut rows: Vec<StatusRow> = rows.chain(open).collect();
            rows.sort_by(|a, b| a.name.cmp(&b.name));
            for message in rows.iter_mut().filter_map(|row| row.message.as_mut()) {
                *message = context.console.addressed(message).into_owned();
            }
            Ok((rows, at))
        }
    }
}

fn row(asked: &Asked, answer: Result<InstanceStatus, Silence>) -> StatusRow {
    let row = StatusRow {
        name: asked.name.clone(),
        kind: asked.kind,
        id: Some(asked.id.clone()),
        status: None,
        is_authenticated: false,
        has_qr: false,
        problem: None,
        message: None,
    };
    match answer {
        Ok(said) => StatusRow { is_authenticated: said.is_linked(), has_qr: said.qr.is_some(), status: Some(said.word), ..row },
        Err(silence) => {
            let message = silence.to_string().replace("NAME", asked.name.as_str());
            StatusRow { problem: Some(silence.as_str()), message: Some(message), ..row }
        }
    }
}

/// Of a create that is not concluded.
fn unknown(record: &Record) -> StatusRow {
    StatusRow {
        name: record.name.clone(),
        kind: record.kind,
        id: None,
        status: None,
        is_authenticated: false,
        has_qr: false,
        problem: Some("not_concluded"),
        message: Some("its create is not concluded: `chatapi doubts` tells more".to_owned()),
    }
}

/// The word of a row, and what stands behind it.
fn words(row: &StatusRow) -> [String; 2] {
    let word = row.status.clone().unwrap_or_else(|| row.problem.unwrap_or_default().replace('_', " "));
    [word, row.message.as_deref().map(|message| escape(message).into_owned()).unwrap_or_default()]
}

/// What a terminal of `columns` and `height` shows. Where that is too low, what is not authenticated goes before the rest, and that
/// something is left out is said.
fn frame(
    context: &Context,
    rows: &[StatusRow],
    (headline, every): (&str, &str),
    (columns, height): (Option<usize>, Option<usize>),
) -> String {
    let is_low = height.is_some_and(|height| height < LOW);
    let wrapped = |text: &str| columns.map_or_else(|| text.to_owned(), |columns| broken(text, columns, Some(0)));
    let taken = |text: &str| wrapped(text).lines().count().max(1);
    let headline = &wrapped(headline);
    let (above, around) = if is_low {
        (format!("{headline}\n"), taken(headline))
    } else {
        (format!("{headline}\n{DIM}{every}{DIM:#}\n\n"), taken(headline) + taken(every) + 1)
    };
    // The table's head has a line of its own.
    let room = height.map_or(usize::MAX, |height| height.saturating_sub(around + 1));
    let mut shown: Vec<&StatusRow> = rows.iter().collect();
    if rows.len() <= room {
        return (above + &drawn(&shown)).trim_end().to_owned();
    }
    shown.sort_by_key(|row| row.is_authenticated);
    let more = |left_out: &[&StatusRow]| {
        let is_rest_linked = left_out.iter().all(|row| row.is_authenticated);
        let of_them = if is_rest_linked { "all authenticated" } else { "not all authenticated" };
        format!("and {} more, {of_them}: `{} status` shows all", left_out.len(), context.command())
    };
    let gap = usize::from(!is_low);
    let left_out = shown.split_off(room.saturating_sub(taken(&more(&shown)) + gap));
    shown.sort_by(|a, b| a.name.cmp(&b.name));
    // Drawn with all of them, so that its columns stay where they are whoever is shown.
    let fitting = shown.len();
    let table = drawn(&shown.into_iter().chain(left_out.iter().copied()).collect::<Vec<_>>());
    let lines = if fitting == 0 { 0 } else { fitting + 1 };
    let table: String = table.split_inclusive('\n').take(lines).collect();
    format!("{above}{table}{}{DIM}{}{DIM:#}", "\n".repeat(gap), wrapped(&more(&left_out)))
}

fn drawn(rows: &[&StatusRow]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let line = |row: &StatusRow| {
        let [word, detail] = words(row);
        let id = row.id.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        vec![row.name.to_string(), id, word, detail]
    };
    let paint = |index: usize| {
        let style = match rows.get(index) {
            Some(row) if row.is_authenticated => GOOD,
            Some(row) if row.status.is_some() => DOUBT,
            _ => BAD,
        };
        (STATUS, style)
    };
    painted(&COLUMNS, &rows.iter().copied().map(line).collect::<Vec<_>>(), Console::width(), &paint) + "\n"
}

fn remark(context: &Context, rows: &[StatusRow]) {
    let command = context.command();
    if let Some(row) = rows.iter().find(|row| row.has_qr) {
        let name = &row.name;
        context.console.note(format_args!("  {BOLD}hint{BOLD:#}: `{command} qr {name}` shows the code that links a phone"));
    }
    if rows.iter().filter(|row| row.problem == Some(Silence::NoAddress.as_str())).count() > 1 {
        let form = "`name,token,api_url` in each line";
        context.console.note(format_args!(
            "  {BOLD}hint{BOLD:#}: `{command} token set --from FILE` brings the addresses of many, beside the tokens that are kept: {form}"
        ));
    }
    if rows.iter().any(|row| row.problem == Some("refused")) {
        context.console.note(format_args!("  {BOLD}hint{BOLD:#}: `{command} drift` tells whether the server still has it"));
    }
    let wrong: Vec<&StatusRow> = rows.iter().filter(|row| row.problem == Some("wrong_token")).collect();
    let named = match wrong.as_slice() {
        [] => return,
        [row] => format!("{} --replace < FILE` keeps another token", row.name),
        [row, ..] => format!("NAME --replace < FILE` keeps another token, of each of {} such as `{}`", wrong.len(), row.name),
    };
    context.console.note(format_args!("  {BOLD}hint{BOLD:#}: `{command} token set {named}"));
}
