//! Annotations: problems that a forge shows beside the line in question. A forge reads them as commands in the log, so nothing
//! but [`Annotation`] may pass the console's gate, and foreign text inside one ends nothing.
//!
//! A step shows about ten of a kind: the most important ones come first, and one says how many are not there.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use super::account::{Account, Standing};
use crate::diagnostic::{DiagnosticData, Place, Severity};
use crate::instance::InstanceName;
use crate::text::escape;

/// Most annotations of one kind.
const SHOWN_MAX: usize = 10;

/// Who reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forge {
    /// GitHub Actions, and what runs its workflows.
    GitHub,
    /// Azure Pipelines.
    Azure,
}

/// One line that a forge obeys. Only this module makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation(String);

impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an annotation says.
struct Remark {
    severity: Severity,
    title: &'static str,
    place: Option<(String, Option<(u32, u32)>)>,
    text: String,
}

/// Where a forge looks for files: they are named from the repository's root, and a run names them from its directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base {
    /// The repository's root, with `/` at its end; empty: it is not known.
    pub root: String,
    /// The run's directory below it, with `/` at its end; empty: it is the root.
    pub below: String,
}

impl Base {
    fn path(&self, file: &str) -> String {
        match file.strip_prefix(&self.root) {
            Some(inside) if file.starts_with('/') && !self.root.is_empty() => inside.to_owned(),
            _ if file.starts_with('/') => file.to_owned(),
            _ => format!("{}{}", self.below, file.trim_start_matches("./")),
        }
    }
}

/// What `account` has to tell beside lines.
pub fn annotations(account: &Account, forge: Forge, base: &Base) -> Vec<Annotation> {
    let remarks = remarks(account);
    let unkept = account.problem_count.saturating_sub(account.problems.len());
    let mut lines = Vec::new();
    for (severity, unkept) in [(Severity::Error, unkept), (Severity::Warning, 0)] {
        let all: Vec<&Remark> = remarks.iter().filter(|remark| remark.severity == severity).collect();
        let total = all.len() + unkept;
        let most = if total > SHOWN_MAX { SHOWN_MAX - 1 } else { SHOWN_MAX };
        let shown = all.len().min(most);
        lines.extend(all.iter().take(shown).map(|remark| remark.line(forge, base)));
        if total > shown {
            let text = format!("{} more, told in the log", total - shown);
            lines.push(Remark { severity, title: "chatapi", place: None, text }.line(forge, base));
        }
    }
    lines
}

/// All that is worth an annotation, the most important first: what stopped the run, the manifests' problems, then names.
fn remarks(account: &Account) -> Vec<Remark> {
    let place = |name| account.places.get(name).and_then(place_of);
    let notices = account.notices.iter().map(|notice| {
        let hint = match notice.hints.as_slice() {
            [only] => format!(" ({only})"),
            _ => String::new(),
        };
        let title = notice.guard.map_or("chatapi", |_| "chatapi: stopped by a guard");
        let place = notice.name.as_ref().and_then(place);
        Remark { severity: notice.severity, title, place, text: notice.sentence() + &hint }
    });
    let problems = account.problems.iter().map(of_problem);
    // A name that a notice is about is not told twice.
    let told: BTreeSet<&InstanceName> = account.notices.iter().filter_map(|notice| notice.name.as_ref()).collect();
    let worth = |standing: Standing| matches!(standing, Standing::Failed | Standing::Doubtful);
    let cases = account.cases.iter().filter(|case| worth(case.standing) && !told.contains(&case.name)).map(|case| Remark {
        severity: if case.standing == Standing::Failed { Severity::Error } else { Severity::Warning },
        title: "chatapi",
        place: place(&case.name),
        text: format!("{} {}: {}", case.name, case.word, case.detail),
    });
    notices.chain(problems).chain(cases).collect()
}

fn place_of(place: &Place) -> Option<(String, Option<(u32, u32)>)> {
    let is_file = &*place.file != "-" && &*place.file != "<stdin>";
    is_file.then(|| (place.file.to_string(), Some((place.position.line, place.position.column))))
}

fn of_problem(problem: &DiagnosticData) -> Remark {
    let detail = problem.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
    let place = problem.range.as_ref().filter(|range| range.filename != "<stdin>");
    let place = place.map(|range| (range.filename.clone(), range.start.map(|start| (start.line, start.column))));
    Remark { severity: problem.severity, title: "chatapi: manifest", place, text: problem.summary.clone() + &detail }
}

impl Remark {
    fn line(&self, forge: Forge, base: &Base) -> Annotation {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let file = self.place.as_ref().map(|(file, _)| base.path(file));
        let position = self.place.as_ref().and_then(|(_, position)| *position);
        Annotation(match forge {
            Forge::GitHub => self.github(word, file, position),
            Forge::Azure => self.azure(word, file, position),
        })
    }

    fn github(&self, word: &str, file: Option<String>, position: Option<(u32, u32)>) -> String {
        let mut properties = Vec::new();
        properties.extend(file.map(|file| format!("file={}", percent(&file, ":,"))));
        properties.extend(position.map(|(line, column)| format!("line={line},col={column}")));
        properties.push(format!("title={}", percent(self.title, ":,")));
        format!("::{word} {}::{}", properties.join(","), percent(&self.text, ""))
    }

    fn azure(&self, word: &str, file: Option<String>, position: Option<(u32, u32)>) -> String {
        let mut properties = vec![format!("type={word}")];
        properties.extend(file.map(|file| format!("sourcepath={}", azure(&file))));
        properties.extend(position.map(|(line, column)| format!("linenumber={line};columnnumber={column}")));
        format!("##vso[task.logissue {}]{}", properties.join(";"), azure(&self.text))
    }
}

/// `text` as GitHub's runner reads it back, with `more` written out too.
fn percent(text: &str, more: &str) -> String {
    written_out(text, |c| c == '%' || more.contains(c))
}

/// `text` as Azure's agent reads it back.
fn azure(text: &str) -> String {
    let text = escape(text).replace('%', "%AZP25");
    written_out(&text, |c| c == ';' || c == ']')
}

/// One line, with each character that `is_ours` written as `%` and its number. Line breaks were written out before.
fn written_out(text: &str, is_ours: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for character in escape(text).chars() {
        if is_ours(character) {
            // Writing into a string cannot fail.
            let _ = write!(out, "%{:02X}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
#[path = "annotations_tests.rs"]
mod tests;
