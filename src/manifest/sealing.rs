//! `seal_to`: the public keys that secrets are sealed to.

use super::document::{Entry, Node, Value};
use super::report::Report;
use super::validate::expected;
use crate::diagnostic::Diagnostic;
use crate::seal::{KeyError, Recipient, Recipients};

const HELP: &str = "write a list of public keys, as `chatapi key show` prints them";

/// The keys of a list; nothing if one of them is wrong, which is reported.
pub(super) fn recipients(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<Recipients> {
    let Value::List(items) = &entry.value.value else {
        let span = if entry.value.span.is_empty() { entry.key.span } else { entry.value.span };
        expected("a list of public keys", &entry.value, span, HELP, report);
        return None;
    };
    let read: Vec<Option<Recipient>> = items.iter().map(|item| recipient(item, report)).collect();
    let keys = read.into_iter().collect::<Option<Vec<_>>>()?;
    if keys.is_empty() {
        report.push(Diagnostic::error("`seal_to` names no key").at(entry.key.span).help("name at least one, or leave it out"));
        return None;
    }
    let recipients = Recipients::new(keys);
    recipients.map_err(|error| report.push(Diagnostic::error(&error.to_string()).at(entry.key.span).help("leave some out"))).ok()
}

fn recipient(item: &Node<'_>, report: &mut Report<'_>) -> Option<Recipient> {
    let Some(text) = item.text() else {
        expected("a public key", item, item.span, HELP, report);
        return None;
    };
    match text.parse() {
        Ok(key) => Some(key),
        Err(error) => {
            let help = match error {
                KeyError::SecretForPublic => "`chatapi key generate` makes a new pair; only its public half goes in here",
                _ => "`chatapi key show --identity FILE` prints the public key that belongs to a secret one",
            };
            report.push(Diagnostic::error(&error.to_string()).at(item.span).help(help));
            None
        }
    }
}
