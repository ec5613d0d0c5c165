//! `prices`: what an instance of each type costs a month. They inform, and only the operator's limit makes them stop anything.

use std::collections::BTreeMap;

use super::document::{Entry, Value};
use super::report::Report;
use super::validate::{Found, expected, fields, span_of};
use crate::diagnostic::Diagnostic;
use crate::instance::InstanceType;
use crate::price::{Amount, Currency, Prices};

/// Its keys: the currency, then [`InstanceType::ALL`].
pub(super) const KEYS: [&str; 3] = ["currency", "whatsapp", "whatsapp_dev"];

const HELP: &str = "write `prices: {currency: EUR, whatsapp: 39.00}`";

/// The prices; nothing if something in them is wrong, which is reported.
pub(super) fn prices(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<Prices> {
    let Value::Mapping(entries) = &entry.value.value else {
        expected("a mapping with `currency` and a price for each type", &entry.value, span_of(entry), HELP, report);
        return None;
    };
    let [currency, whatsapp, dev] = fields(entries, KEYS, report);
    let currency = match currency {
        Found::Entry(entry) | Found::Misspelt(entry) => currency_of(entry, report),
        Found::Refused => None,
        Found::Missing => {
            report.push(Diagnostic::error("`prices` has no `currency`").at(entry.key.span).help(HELP));
            None
        }
    };
    let mut per_month = BTreeMap::new();
    let mut is_right = true;
    for (kind, found) in [(InstanceType::WhatsApp, whatsapp), (InstanceType::WhatsAppDev, dev)] {
        match found {
            Found::Entry(entry) | Found::Misspelt(entry) => match amount(entry, report) {
                Some(amount) => drop(per_month.insert(kind, amount)),
                None => is_right = false,
            },
            Found::Refused => is_right = false,
            Found::Missing => {}
        }
    }
    Some(Prices { currency: currency?, per_month }).filter(|_| is_right)
}

fn currency_of(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<Currency> {
    let read = entry.value.text().map(|text| Currency::try_from(text.to_owned()));
    match read {
        Some(Ok(currency)) => Some(currency),
        Some(Err(why)) => {
            report.push(Diagnostic::error(why).at(span_of(entry)).help(HELP));
            None
        }
        None => {
            expected("a currency", &entry.value, span_of(entry), HELP, report);
            None
        }
    }
}

/// The text as it stands there counts, with or without quotes: `39.90` is not 39.9 of some floating kind.
fn amount(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<Amount> {
    let read = entry.value.text().map(str::parse::<Amount>);
    match read {
        Some(Ok(amount)) => Some(amount),
        Some(Err(error)) => {
            report.push(Diagnostic::error(&error.to_string()).at(span_of(entry)).help(HELP));
            None
        }
        None => {
            expected("an amount", &entry.value, span_of(entry), HELP, report);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_key() {
        let kinds = InstanceType::ALL.map(InstanceType::as_str);
        assert_eq!(KEYS.split_first().unwrap().1, kinds);
    }
}
