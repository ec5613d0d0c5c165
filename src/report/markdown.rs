//! Markdown for a job's summary or a comment: what needs a person first, then what changes, cut to a budget.
//!
//! Foreign texts stand in code only, inline or fenced, where a forge makes no link, no picture, no mention and no HTML of them;
//! all that stands elsewhere is ours.

use super::account::{Account, Case, Standing};
use crate::diagnostic::{DiagnosticData, Severity};
use crate::text::{counted, escape};

/// How long a text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// In characters (Unicode scalar values).
    pub characters: usize,
    /// In bytes.
    pub bytes: usize,
}

impl Budget {
    /// What fits a comment (65,536 characters) with room for what somebody puts around it, and a job's summary (1 MiB).
    pub const COMMENT: Self = Self { characters: 60_000, bytes: 1_000_000 };
}

/// The budget below which there is nothing worth saying.
pub const LEAST: usize = 4_000;
/// Rows that are seen without unfolding.
const OPEN_MAX: usize = 50;
/// Most notices told in full.
const NOTICES_MAX: usize = 20;
/// Longest foreign text in one place, in characters.
const TEXT_MAX: usize = 300;
/// Kept for the lines that say what was left out.
const RESERVE: usize = 800;

/// `account` as Markdown, in any case shorter than `budget`, which is [`LEAST`] at least.
pub fn markdown(account: &Account, budget: Budget) -> String {
    let (head, foot) = (head(account), foot(account));
    let room = |whole: usize, used: usize| whole.saturating_sub(used + RESERVE);
    let mut page = Page {
        characters: room(budget.characters, count(&head) + count(&foot)),
        bytes: room(budget.bytes, head.len() + foot.len()),
        text: head,
    };
    page.notices(account);
    let mut notable: Vec<&Case> = account.cases.iter().filter(|case| case.standing < Standing::Left).collect();
    notable.sort_by_key(|case| case.standing);
    let (open, folded) = notable.split_at(notable.len().min(OPEN_MAX));
    let mut left_out = page.table(None, open);
    left_out += page.table(Some("more"), folded);
    for (standing, what) in [(Standing::Left, "no longer declared"), (Standing::Good, "unchanged")] {
        left_out += page.table(Some(what), &account.with(standing).collect::<Vec<_>>());
    }
    if left_out > 0 {
        let names = counted(left_out, "more name does", "more names do");
        let line = format!("_{names} not fit here; the JSON document has all of them (`--json-into FILE`)._\n\n");
        page.text.push_str(&line);
    }
    page.text + &foot
}

fn count(text: &str) -> usize {
    text.chars().count()
}

/// The marker by which a comment is found again.
pub fn marker(account: &Account) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | ' ' | '-');
    let key: String = account.key().chars().take(120).map(|c| if is_plain(c) { c } else { '_' }).collect();
    format!("<!-- chatapi-{} {} -->", account.verb, key.replace("--", "-_").trim())
}

fn head(account: &Account) -> String {
    let title = account.title.as_ref().map(|title| format!(": {}", code(title))).unwrap_or_default();
    let headline = match &account.headline {
        Some(headline) => headline.clone(),
        None => format!("Stopped with exit code {}.", account.exit_code),
    };
    format!("{}\n### chatapi {}{title}\n\n**{headline}**\n\n", marker(account), account.verb)
}

fn foot(account: &Account) -> String {
    let hash = account.plan_hash.as_ref().map(|hash| format!("Plan {}", code(hash)));
    let state = account.lineage.as_ref().map(|lineage| {
        let serial = account.serial.map(|serial| format!(", serial {serial}")).unwrap_or_default();
        format!("State {}{serial}", code(&lineage.to_string()))
    });
    let parts = [hash, state, Some(format!("exit code {}", account.exit_code))];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ") + "\n"
}

/// What is written so far, and the room that is left.
struct Page {
    text: String,
    characters: usize,
    bytes: usize,
}

impl Page {
    /// Writes `part` if it fits beside `later`.
    fn push(&mut self, part: &str, later: usize) -> bool {
        let (characters, bytes) = (count(part), part.len());
        let fits = characters + later <= self.characters && bytes + later <= self.bytes;
        if fits {
            self.text.push_str(part);
            self.characters -= characters;
            self.bytes -= bytes;
        }
        fits
    }

    /// What needs a person, errors first, as a terminal would show it.
    fn notices(&mut self, account: &Account) {
        const OPEN: &str = "```text\n";
        const CLOSE: &str = "```\n\n";
        let problems = account.problems.iter().map(problem);
        let (errors, warnings) = (notices(account, Severity::Error), notices(account, Severity::Warning));
        let all: Vec<String> = problems.chain(errors).chain(warnings).collect();
        let total = all.len() + account.problem_count.saturating_sub(account.problems.len());
        if all.is_empty() || !self.push(OPEN, CLOSE.len()) {
            return;
        }
        let room = self.characters / 2;
        let told = all.iter().take(NOTICES_MAX).take_while(|notice| {
            // Half of the room is for the names.
            self.characters.saturating_sub(count(notice)) > room && self.push(notice, CLOSE.len())
        });
        let told = told.count();
        self.push(CLOSE, 0);
        if told < total {
            self.push(&format!("_{} more are told in the log._\n\n", total - told), 0);
        }
    }

    /// A table of `cases`, folded under `what` if it is said; gives how many do not fit.
    fn table(&mut self, what: Option<&str>, cases: &[&Case]) -> usize {
        const HEADER: &str = "| | Name | Type | What | Why |\n|---|---|---|---|---|\n";
        if cases.is_empty() {
            return 0;
        }
        let total = cases.len();
        let open = what.map(|what| format!("<details><summary>{total} {what}</summary>\n\n")).unwrap_or_default();
        let close = if what.is_some() { "\n</details>\n\n" } else { "\n" };
        let mut rows = cases.iter().map(|case| row(case));
        let first = rows.next().unwrap_or_default();
        if !self.push(&format!("{open}{HEADER}{first}"), close.len()) {
            return total;
        }
        let told = 1 + rows.take_while(|row| self.push(row, close.len())).count();
        self.push(close, 0);
        total - told
    }
}

fn row(case: &Case) -> String {
    let (name, kind, detail) = (code(case.name.as_str()), case.kind, code(&case.detail));
    format!("| `{}` | {name} | {} | {} | {detail} |\n", case.mark(), code(kind.as_str()), case.word)
}

fn notices(account: &Account, severity: Severity) -> impl Iterator<Item = String> {
    let word = word(severity);
    account.noticed(severity).map(move |notice| {
        let hints = notice.hints.iter().map(|hint| format!("  {}\n", cut(hint)));
        format!("{word}: {}\n{}", cut(&notice.sentence()), hints.collect::<String>())
    })
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn problem(problem: &DiagnosticData) -> String {
    let place = problem.range.as_ref().map(|range| match range.start {
        Some(start) => format!("{}:{}:{}: ", range.filename, start.line, start.column),
        None => format!("{}: ", range.filename),
    });
    let detail = problem.detail.as_ref().map(|detail| format!("  {}\n", cut(detail))).unwrap_or_default();
    format!("{}: {}\n{detail}", word(problem.severity), cut(&(place.unwrap_or_default() + &problem.summary)))
}

/// `text` in one line of bearable length.
pub(super) fn cut(text: &str) -> String {
    let text = escape(text);
    match text.char_indices().nth(TEXT_MAX) {
        None => text.into_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// `text` as code that nothing in it can end, in a cell of a table too.
fn code(text: &str) -> String {
    let text = cut(text);
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '|' {
            // A backslash before it would be a pair with ours, and the bar bare again.
            safe.push_str(if safe.ends_with('\\') { " \\" } else { "\\" });
        }
        safe.push(character);
    }
    let longest = safe.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    match longest {
        _ if safe.trim().is_empty() => String::new(),
        0 => format!("`{safe}`"),
        _ => {
            let fence = "`".repeat(longest + 1);
            format!("{fence} {safe} {fence}")
        }
    }
}

#[cfg(test)]
#[path = "markdown_tests.rs"]
mod tests;
