//! `chatapi token set --from FILE`: many tokens at once. Nothing of what the file holds is ever shown, only where it is wrong.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::context::typed;
use super::error::CliError;
use super::exit::Exit;
use super::token::is_token;
use crate::instance::InstanceName;
use crate::secret::Secret;

/// The longest file, in bytes.
const FILE_MAX: u64 = 64 * 1_024 * 1_024;

/// What belongs into the file.
const FORM: &str =
    "CSV with `name,token` in each line, or JSON: `{\"NAME\": \"TOKEN\", …}`, or a list of `{\"name\": …, \"token\": …}`";

/// An item of a JSON list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    name: String,
    token: String,
}

/// A line of the file, a name, and its token.
type Row = (Option<u64>, String, Zeroizing<String>);

/// The tokens in the file at `path`, or in standard input where that is `-`: at least one, and one for each name.
pub(super) fn read(path: &Path) -> Result<Vec<(InstanceName, Secret)>, CliError> {
    let text = if path.as_os_str() == "-" { from_stdin()? } else { from_file(path)? };
    let rows = match text.trim_start().as_bytes().first() {
        Some(b'{' | b'[') => json(&text)?,
        _ => csv(&text)?,
    };
    let mut seen = BTreeSet::new();
    let mut tokens = Vec::with_capacity(rows.len());
    for (at, (line, name, token)) in rows.into_iter().enumerate() {
        let wrong = |what: &str| {
            let place = line.map_or_else(|| format!("item {}", at + 1), |line| format!("line {line}"));
            CliError::message(Exit::Error, format!("{place} of the tokens {what}")).hint("nothing was written").hint(FORM)
        };
        let name = InstanceName::parse(&name).map_err(|_| wrong("has no name that an instance can have"))?;
        if !is_token(&token) {
            return Err(wrong("has no token: visible ASCII characters"));
        }
        if !seen.insert(name.clone()) {
            return Err(wrong("has a name that another one has too"));
        }
        tokens.push((name, Secret::new(token.to_string())));
    }
    if tokens.is_empty() {
        return Err(CliError::message(Exit::Error, "there are no tokens in it").hint(FORM));
    }
    Ok(tokens)
}

fn from_stdin() -> Result<Zeroizing<String>, CliError> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(CliError::message(Exit::Error, "the tokens are read from standard input, which is a terminal here")
            .hint("`--from FILE`, or a pipe"));
    }
    text(stdin).map_err(|error| CliError::new(Exit::Error, &error).context("cannot read the tokens"))
}

fn from_file(path: &Path) -> Result<Zeroizing<String>, CliError> {
    let fail = |error: io::Error| CliError::new(Exit::Error, &error).context(format!("cannot read {}", typed(path)));
    let metadata = std::fs::metadata(path).map_err(fail)?;
    if !metadata.is_file() {
        return Err(fail(io::Error::other("it is not a file")));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        let message = format!("{} holds tokens, and others can read it", typed(path));
        return Err(CliError::message(Exit::Error, message)
            .hint("nothing was written")
            .hint(format!("`chmod 600 {}`; whoever has read it has the tokens", typed(path))));
    }
    text(File::open(path).map_err(fail)?).map_err(fail)
}

fn text(from: impl Read) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let read = from.take(FILE_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_MAX { Err(io::Error::other("it is too long")) } else { Ok(text) }
}

fn json(text: &str) -> Result<Vec<Row>, CliError> {
    // The reader's words may quote a token.
    let wrong = |error: serde_json::Error| {
        let (line, column) = (error.line(), error.column());
        CliError::message(Exit::Error, format!("the tokens cannot be read as JSON, at line {line}, column {column}")).hint(FORM)
    };
    if text.trim_start().starts_with('[') {
        let items: Vec<Item> = serde_json::from_str(text).map_err(wrong)?;
        return Ok(items.into_iter().map(|Item { name, token }| (None, name, Zeroizing::new(token))).collect());
    }
    let Pairs(items) = serde_json::from_str(text).map_err(wrong)?;
    Ok(items.into_iter().map(|(name, token)| (None, name, Zeroizing::new(token))).collect())
}

/// The members of an object as they stand there: a name that stands twice is not lost.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Pairs;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of names and tokens")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = members.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

fn csv(text: &str) -> Result<Vec<Row>, CliError> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for record in reader.records() {
        let wrong = |line: u64| {
            CliError::message(Exit::Error, format!("line {line} of the tokens is no name and no token"))
                .hint("nothing was written")
                .hint(FORM)
        };
        let record = record.map_err(|error| wrong(error.position().map_or(0, csv::Position::line)))?;
        let line = record.position().map_or(0, csv::Position::line);
        match (record.len(), record.get(0), record.get(1)) {
            (2, Some(name), Some(token)) if !(rows.is_empty() && is_header(name, token)) => {
                rows.push((Some(line), name.to_owned(), Zeroizing::new(token.to_owned())));
            }
            (2, ..) => {}
            _ => return Err(wrong(line)),
        }
    }
    Ok(rows)
}

fn is_header(name: &str, token: &str) -> bool {
    name.eq_ignore_ascii_case("name") && token.eq_ignore_ascii_case("token")
}
