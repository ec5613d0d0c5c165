//! `chatapi.yaml`: the environments of one repository, each with a state, a lock file, a gateway and values of its own.
//!
//! It stands beside the manifests and comes with pull requests as they do. So it says which gateway an environment has, and does
//! not decide where a key is sent: see `cli::environment`. Paths are relative to the file, and returned as they are written there.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::document::{Entry, Node, Value};
use super::report::{self, Page, Report};
use super::scalar::Meaning;
use super::source::Source;
use super::syntax::shortened;
use super::validate::{Found, check_version, expected, fields, listed, span_of, text};
use super::{Limits, reading};
use crate::diagnostic::{Diagnostic, Diagnostics, Span};
use crate::text::{closest, is_hidden};

/// Keys of the whole file.
const TOP: [&str; 3] = ["version", "default", "environments"];
/// Keys of one environment.
const KEYS: [&str; 5] = ["gateway", "state", "lock_file", "var_files", "same_account_as"];
/// Longest name of an environment.
const NAME_MAX: usize = 40;
/// Longest path or address, in bytes.
const TEXT_MAX: usize = 1_024;

const HELP: &str = "write `NAME: {gateway: https://gateway.example/}`; everything in it may be left out";

/// The environments that a file declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environments {
    /// The one that is meant where none is named.
    pub default: Option<String>,
    /// Each under its name.
    pub all: BTreeMap<String, Environment>,
}

/// What belongs to one environment. No two have the same state or lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The address that its server has, or `emulator`; none: nothing is said.
    pub gateway: Option<String>,
    /// The state directory.
    pub state: PathBuf,
    /// The lock file.
    pub lock_file: PathBuf,
    /// Files with values of variables.
    pub var_files: Vec<PathBuf>,
    /// Environments with which it shares an account, as somebody meant.
    pub same_account_as: Vec<String>,
}

impl Environments {
    /// Reads one file, or says all that is wrong with it.
    pub fn parse(source: &Source) -> Result<Self, Diagnostics> {
        let mut problems = Diagnostics::new();
        let (mut page, mut limits) = (Page::new(source.label(), 0), Limits::WHOLE);
        let report = &mut Report::new(&mut page, &mut problems);
        let (root, shown) = reading::tree(source, &mut limits, report);
        let found = root.as_ref().and_then(|root| environments(root, report));
        if let Some(environments) = found.filter(|_| problems.is_empty()) {
            return Ok(environments);
        }
        problems.sort();
        report::show(&mut problems, &[page.into_view(shown)]);
        Err(problems)
    }
}

fn environments(root: &Node<'_>, report: &mut Report<'_>) -> Option<Environments> {
    let Value::Mapping(entries) = &root.value else {
        expected("a mapping with `environments`", root, root.span, "write `environments:`, and below it their names", report);
        return None;
    };
    let [version, default, environments] = fields(entries, TOP, report);
    if let Some(entry) = version.entry() {
        check_version(entry, report);
    }
    let Some(entry) = environments.entry() else {
        if matches!(environments, Found::Missing) {
            let missing = Diagnostic::error("`environments` is missing").at(Span::at(root.span.start));
            report.push(missing.help("write `environments:`, and below it their names"));
        }
        return None;
    };
    let all = named(entry, report);
    let default = default.entry().and_then(|entry| known(entry, &all, report));
    check_apart(&all, report);
    let all = all.into_iter().map(|(name, (_, environment))| (name, environment)).collect();
    Some(Environments { default, all })
}

/// Each environment with where its name stands.
type Named = BTreeMap<String, (Span, Environment)>;

fn named(entry: &Entry<'_>, report: &mut Report<'_>) -> Named {
    let Value::Mapping(entries) = &entry.value.value else {
        expected("a mapping of environments", &entry.value, span_of(entry), HELP, report);
        return Named::new();
    };
    let mut all = Named::new();
    let mut related = Vec::new();
    for entry in entries {
        let Some(name) = entry.key.text() else { continue };
        if !is_name(name) {
            let wrong = Diagnostic::error(&format!("`{}` cannot be the name of an environment", shortened(name)));
            let help = format!("use up to {NAME_MAX} of a to z, 0 to 9 and `-`; begin with a letter");
            report.push(wrong.at(entry.key.span).help(&help));
        } else if let Some(environment) = environment(name, entry, &mut related, report) {
            all.insert(name.to_owned(), (entry.key.span, environment));
        }
    }
    for (name, span) in related {
        if !all.contains_key(name) {
            report.push(unknown(name, &all).at(span));
        }
    }
    all
}

/// One environment; which others it names goes to `related`.
fn environment<'n>(
    name: &str,
    entry: &'n Entry<'_>,
    related: &mut Vec<(&'n str, Span)>,
    report: &mut Report<'_>,
) -> Option<Environment> {
    let mut environment = Environment {
        gateway: None,
        state: PathBuf::from("state").join(name),
        lock_file: PathBuf::from(format!("chatapi.{name}.lock")),
        var_files: Vec::new(),
        same_account_as: Vec::new(),
    };
    let entries = match &entry.value.value {
        Value::Mapping(entries) => entries,
        _ if entry.value.meaning() == Some(Meaning::Null) => return Some(environment),
        _ => {
            expected("a mapping", &entry.value, span_of(entry), HELP, report);
            return None;
        }
    };
    let [gateway, state, lock_file, var_files, same_account_as] = fields(entries, KEYS, report);
    if let Some(entry) = gateway.entry() {
        environment.gateway = plain(entry, "write the server's address, or `emulator`", report).map(str::to_owned);
    }
    if let Some(entry) = state.entry() {
        environment.state = plain(entry, "write a directory, as `state/prod`", report)?.into();
    }
    if let Some(entry) = lock_file.entry() {
        environment.lock_file = plain(entry, "write a file, as `chatapi.prod.lock`", report)?.into();
    }
    if let Some(entry) = var_files.entry() {
        let files = texts(entry, "write a list of files, as `[prod.vars.yaml]`", report);
        environment.var_files = files.into_iter().map(|(file, _)| file.into()).collect();
    }
    if let Some(entry) = same_account_as.entry() {
        let others = texts(entry, "write a list of environments, as `[staging]`", report);
        environment.same_account_as = others.iter().map(|(other, _)| (*other).to_owned()).collect();
        related.extend(others);
    }
    Some(environment)
}

/// The text of `entry` that names one of `all`.
fn known(entry: &Entry<'_>, all: &Named, report: &mut Report<'_>) -> Option<String> {
    let name = text(entry, "write the name of an environment", report)?;
    if !all.contains_key(name) {
        report.push(unknown(name, all).at(span_of(entry)));
    }
    Some(name.to_owned())
}

fn unknown(name: &str, all: &Named) -> Diagnostic {
    let help = match closest(&shortened(name), all.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", listed(all.keys().map(String::as_str))),
    };
    Diagnostic::error(&format!("`{}` is no environment of this file", shortened(name))).help(&help)
}

/// A state of two environments would be one state, and instances of the one would be missing in the other.
fn check_apart(all: &Named, report: &mut Report<'_>) {
    let mut states: Vec<(PathBuf, &str)> = Vec::new();
    let mut locks: Vec<(PathBuf, &str)> = Vec::new();
    for (name, (span, environment)) in all {
        let state = lexical(&environment.state);
        let other = states.iter().find(|(other, _)| other.starts_with(&state) || state.starts_with(other));
        if let Some((_, other)) = other {
            let message = format!("`{name}` keeps its state where `{other}` does");
            report.push(Diagnostic::error(&message).at(*span).help("give each a directory of its own, none inside of another"));
        }
        let lock = lexical(&environment.lock_file);
        if let Some((_, other)) = locks.iter().find(|(other, _)| *other == lock) {
            let message = format!("`{name}` has the lock file of `{other}`");
            report.push(Diagnostic::error(&message).at(*span).help("give each a `lock_file` of its own"));
        }
        states.push((state, name));
        locks.push((lock, name));
    }
}

/// `path` without `.` and, as far as that can be told from its text, without `..`.
fn lexical(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut whole, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir if whole.file_name().is_some() => drop(whole.pop()),
            part => whole.push(part),
        }
        whole
    })
}

fn texts<'n>(entry: &'n Entry<'_>, help: &str, report: &mut Report<'_>) -> Vec<(&'n str, Span)> {
    let Value::List(items) = &entry.value.value else {
        expected("a list", &entry.value, span_of(entry), help, report);
        return Vec::new();
    };
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        match item.text().filter(|text| item.meaning().is_none() && is_plain(text)) {
            Some(text) => found.push((text, item.span)),
            None => expected("a text", item, item.span, help, report),
        }
    }
    found
}

fn plain<'n>(entry: &'n Entry<'_>, help: &str, report: &mut Report<'_>) -> Option<&'n str> {
    let text = text(entry, help, report)?;
    if is_plain(text) {
        return Some(text);
    }
    report.push(Diagnostic::error("this is empty, too long, or has in it what nobody would see").at(span_of(entry)).help(help));
    None
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_MAX && !text.contains(is_hidden)
}

fn is_name(text: &str) -> bool {
    let is_rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= NAME_MAX && text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(is_rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Environments, String> {
        let told = |problem: &Diagnostic| [problem.summary(), problem.advice().unwrap_or_default()].join(": ");
        let found = Environments::parse(&Source::new("chatapi.yaml", text));
        found.map_err(|problems| problems.iter().map(told).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn what_is_left_out_has_a_place_of_its_own() {
        let text = "version: 1\ndefault: dev\nenvironments:\n  dev:\n  prod: {gateway: https://gateway.example/, state: /srv/prod, \
                    var_files: [prod.vars.yaml], same_account_as: [dev]}\n";
        let found = read(text).unwrap();
        assert_eq!(found.default.as_deref(), Some("dev"));
        let dev = &found.all["dev"];
        assert_eq!((dev.state.to_str(), dev.lock_file.to_str()), (Some("state/dev"), Some("chatapi.dev.lock")));
        assert_eq!((&dev.gateway, dev.var_files.len()), (&None, 0));
        let prod = &found.all["prod"];
        assert_eq!((prod.state.to_str(), prod.lock_file.to_str()), (Some("/srv/prod"), Some("chatapi.prod.lock")));
        assert_eq!(prod.gateway.as_deref(), Some("https://gateway.example/"));
        assert_eq!((prod.var_files[0].to_str(), prod.same_account_as[0].as_str()), (Some("prod.vars.yaml"), "dev"));
    }

    #[test]
    fn what_would_mix_two_environments_up_is_refused() {
        for (text, expected) in [
            ("environments: {a: {state: one}, b: {state: ./x/../one}}", "`b` keeps its state where `a` does"),
            ("environments: {a: {state: one}, b: {state: one/two}}", "`b` keeps its state where `a` does"),
            ("environments: {a: {lock_file: l}, b: {lock_file: ./l}}", "`b` has the lock file of `a`"),
            ("default: prd\nenvironments: {prod: }", "did you mean `prod`?"),
            ("environments: {prod: {same_account_as: [dev]}}", "`dev` is no environment"),
            ("environments: {Prod: }", "cannot be the name of an environment"),
            ("environments: {prod: {url: 'https://x'}}", "cannot stand in a manifest"),
            ("environments: {prod: {gatway: emulator}}", "did you mean `gateway`?"),
            ("environments: [prod]", "a mapping of environments is expected"),
            ("environments: {prod: {state: ''}}", "this is empty"),
            ("environments: {prod: {var_files: x.yaml}}", "a list is expected"),
            ("prod: {}", "`environments` is missing"),
            ("version: 2\nenvironments: {a: }", "unknown version"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(expected), "{text}: {told}");
        }
    }
}
