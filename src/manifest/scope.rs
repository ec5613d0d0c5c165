//! What placeholders may stand for in one entry: the variables, and its own number or row.

use std::borrow::Cow;

use super::pattern::{Bound, Known, Pattern, Slot};
use super::report::Report;
use super::syntax::shortened;
use super::table::{KEY, Table};
use super::validate::listed;
use super::variables::{Held, Variables};
use crate::diagnostic::{Diagnostic, Span};
use crate::text::closest;

/// How a variable is asked for.
const VARIABLE: &str = "var.";
/// The placeholder of the number.
pub(super) const NUMBER: &str = "n";
/// Most placeholders that a message lists.
const LISTED_MAX: usize = 20;

/// What differs from instance to instance.
#[derive(Debug, Clone, Copy)]
pub(super) enum Local<'s> {
    /// Nothing: there is only one.
    Nothing,
    Number,
    Row(&'s Table),
    /// Nobody knows: where it comes from is wrong, which is reported.
    Refused,
}

/// What placeholders may stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'s> {
    pub(super) variables: &'s Variables,
    pub(super) local: Local<'s>,
}

impl Scope<'_> {
    /// The pattern in `text`, with all that is the same for every instance. What is wrong is reported at `span`.
    pub(super) fn bind(&self, text: &str, span: Span, report: &mut Report<'_>) -> Option<Bound> {
        let pattern = match Pattern::parse(text) {
            Ok(pattern) => pattern,
            Err(error) => {
                report.push(Diagnostic::error(&error.to_string()).at(span).help(error.help()));
                return None;
            }
        };
        match pattern.bind(|slot| self.known(slot)) {
            Ok(bound) => Some(bound),
            Err(unknown) => {
                for slot in unknown.into_iter().filter(|slot| !self.is_refused(slot)) {
                    report.push_with(|_| self.unknown(slot).at(span));
                }
                None
            }
        }
    }

    fn known(&self, slot: &Slot) -> Option<Known<'_>> {
        if let Some(name) = slot.name.strip_prefix(VARIABLE) {
            return match self.variables.get(name) {
                Held::Value(value) => Some(Known::Text(value)),
                Held::Refused | Held::Nothing => None,
            };
        }
        match self.local {
            Local::Number if slot.name == NUMBER => Some(Known::Number),
            Local::Row(table) if slot.width.is_none() => {
                table.columns().iter().position(|column| *column == slot.name).map(Known::Column)
            }
            _ => None,
        }
    }

    /// Whether that nobody knows it was reported elsewhere.
    fn is_refused(&self, slot: &Slot) -> bool {
        match slot.name.strip_prefix(VARIABLE) {
            Some(name) => self.variables.get(name) == Held::Refused,
            None => match self.local {
                Local::Refused => true,
                // What has no items says nothing of their fields.
                Local::Row(table) => table.columns().is_empty(),
                Local::Nothing | Local::Number => false,
            },
        }
    }

    fn unknown(&self, slot: &Slot) -> Diagnostic {
        let names: Vec<String> = self.names().take(LISTED_MAX + 1).collect();
        let help = match (closest(&slot.name, names.iter().map(String::as_str)), names.len()) {
            (Some(near), _) => format!("did you mean `{{{near}}}`?"),
            (None, 0) => "`{n}` needs a `count`, `{key}` a `for_each`, `{var.NAME}` a declared variable".to_owned(),
            (None, count) => {
                let shown: Vec<String> = names.iter().take(LISTED_MAX).map(|name| format!("{{{name}}}")).collect();
                let more = if count > LISTED_MAX { ", and more" } else { "" };
                format!("known here: {}{more}", listed(shown.iter().map(String::as_str)))
            }
        };
        Diagnostic::error(&format!("there is no `{{{}}}` here", shown(&slot.name))).help(&help)
    }

    fn names(&self) -> impl Iterator<Item = String> {
        let (number, columns): (_, &[String]) = match self.local {
            Local::Number => (Some(NUMBER.to_owned()), &[]),
            Local::Row(table) => (None, table.columns()),
            Local::Nothing | Local::Refused => (None, &[]),
        };
        let columns = columns.iter().filter(|column| !column.is_empty()).map(|column| shown(column).into_owned());
        let variables = self.variables.names().map(|name| format!("{VARIABLE}{name}"));
        number.into_iter().chain(columns).chain(variables)
    }
}

/// A name for a message. `key` is no secret here.
pub(super) fn shown(name: &str) -> Cow<'_, str> {
    if name == KEY { Cow::Borrowed(name) } else { shortened(name) }
}

/// The variable that `text` names, if it names one and says nothing else.
pub(super) fn variable(text: &str) -> Option<String> {
    let pattern = Pattern::parse(text).ok()?;
    let slot = pattern.only_slot().filter(|slot| slot.width.is_none())?;
    slot.name.strip_prefix(VARIABLE).map(str::to_owned)
}
