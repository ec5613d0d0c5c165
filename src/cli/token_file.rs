//! `chatapi token set --from FILE`: many tokens at once. Nothing of what the file holds is ever shown, only where it is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::marker::PhantomData;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::context::typed;
use super::error::CliError;
use super::exit::Exit;
use super::token::is_token;
use super::token_set::Brought;
use crate::instance::{ApiUrl, InstanceId, InstanceName};
use crate::secret::{SEARCHED_FROM, Secret};

/// The longest file, in bytes.
const FILE_MAX: u64 = 64 * 1_024 * 1_024;

/// What belongs into the file.
const FORM: &str = "CSV with `name,token` or `name,token,api_url` in each line, or JSON: `{\"NAME\": \"TOKEN\", …}`, or a list of \
     `{\"name\": …, \"token\": …, \"api_url\": …}`, or what `chatapi output --reveal --format json` gives";

/// An item of a JSON list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    name: String,
    token: String,
    api_url: Option<String>,
}

/// What `chatapi output` gives. A member of the same name whose value is a token is an instance's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Output {
    #[serde(rename = "format_version")]
    _format_version: String,
    instances: Pairs<Shown>,
}

/// An instance there.
#[derive(Deserialize)]
struct Shown {
    id: String,
    /// None: it was missing then, or left out.
    token: Option<String>,
    api_url: Option<String>,
}

/// What stands in one place of the file.
struct Row {
    line: Option<u64>,
    id: Option<String>,
    name: String,
    token: Zeroizing<String>,
    api_url: Option<String>,
}

/// The tokens in the file at `path`, or in standard input where that is `-`: at least one, and one for each name.
pub(super) fn read(path: &Path) -> Result<Vec<Brought>, CliError> {
    let is_piped = path.as_os_str() == "-";
    let text = if is_piped { from_stdin()? } else { from_file(path)? };
    let whole = if is_piped { "standard input".to_owned() } else { typed(path) };
    let rows = match text.trim_start().as_bytes().first() {
        Some(b'{' | b'[') => json(&text, &whole)?,
        _ => csv(&text, &whole)?,
    };
    let mut seen = BTreeSet::new();
    let mut all = Vec::with_capacity(rows.len());
    for (at, row) in rows.into_iter().enumerate() {
        let place = row.line.map_or_else(|| format!("item {}", at + 1), |line| format!("line {line}"));
        let place = format!("{place} of {whole}");
        let brought = brought(row, &place)?;
        if !seen.insert(brought.name.clone()) {
            return Err(wrong(&place, "has a name that another one has too"));
        }
        all.push(brought);
    }
    check_tokens(&all)?;
    if all.is_empty() {
        return Err(CliError::message(Exit::Error, format!("there are no tokens in {whole}")).hint(FORM));
    }
    Ok(all)
}

fn wrong(place: &str, what: &str) -> CliError {
    CliError::message(Exit::Error, format!("{place} is not taken: it {what}")).hint("nothing was written").hint(FORM)
}

fn brought(Row { id, name, token, api_url, .. }: Row, place: &str) -> Result<Brought, CliError> {
    let name = InstanceName::parse(&name).map_err(|_| wrong(place, "has no name that an instance can have"))?;
    if !is_token(&token) {
        return Err(wrong(place, "has no token: visible ASCII characters"));
    }
    // What stands there may be a token: it is not repeated.
    let api_url = api_url.filter(|text| !text.is_empty()).map(|text| ApiUrl::parse(&text)).transpose();
    // Behind `?` and `#` may stand one too, and an address is told.
    let is_told = |address: &ApiUrl| !address.as_str().contains(['?', '#']);
    let api_url = api_url.ok().filter(|address| address.as_ref().is_none_or(is_told));
    let api_url = api_url.ok_or_else(|| wrong(place, "has an address that is none"))?;
    let id = id.map(|text| InstanceId::parse(&text)).transpose().map_err(|_| wrong(place, "has an id that is none"))?;
    Ok(Brought { place: Some(place.to_owned()), name, id, token: Secret::new(token.to_string()), api_url })
}

/// Each instance has a token of its own, and an address, which is kept in the clear and told, has none in it.
fn check_tokens(all: &[Brought]) -> Result<(), CliError> {
    let mut places = BTreeMap::new();
    for one in all {
        let place = one.place.as_deref().unwrap_or_default();
        if let Some(before) = places.insert(one.token.expose(), place) {
            return Err(wrong(place, &format!("has the token of {before} too")));
        }
    }
    let long = places.into_keys().filter(|token| token.len() >= SEARCHED_FROM);
    let mut tokens: Vec<_> = long.map(|token| Zeroizing::new(token.to_ascii_lowercase())).collect();
    tokens.sort_unstable_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
    let holds_one = |one: &&Brought| one.api_url.as_ref().is_some_and(|address| holds_one(address, &tokens));
    all.iter()
        .find(holds_one)
        .map_or(Ok(()), |one| Err(wrong(one.place.as_deref().unwrap_or_default(), "has an address with a token in it")))
}

/// Whether one of the sorted `tokens` stands in `address`, as it is or percent-encoded. Hosts are the same in capitals.
fn holds_one(address: &ApiUrl, tokens: &[Zeroizing<String>]) -> bool {
    let is_in = |text: &[u8]| (0..text.len()).any(|at| text.get(at..).is_some_and(|rest| begins_with_one(rest, tokens)));
    let text = address.as_str().to_ascii_lowercase();
    is_in(text.as_bytes()) || is_in(&percent_decoded(&text).to_ascii_lowercase())
}

/// Whether `text` begins with one of the sorted `tokens`. That is the last one before it, or as long as what both begin with at most.
fn begins_with_one(mut text: &[u8], tokens: &[Zeroizing<String>]) -> bool {
    loop {
        let before = tokens.partition_point(|token| token.as_bytes() <= text).checked_sub(1);
        let Some(token) = before.and_then(|at| tokens.get(at)) else { return false };
        let common = text.iter().zip(token.as_bytes()).take_while(|(one, other)| one == other).count();
        if common == token.len() {
            return true;
        }
        text = text.get(..common).unwrap_or_default();
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut rest, mut decoded) = (text.as_bytes(), Vec::with_capacity(text.len()));
    while let [first, after @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, after @ ..] => digit(high).zip(digit(low)).map(|(high, low)| (high << 4 | low, after)),
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((*first, after));
        decoded.push(byte);
        rest = after;
    }
    decoded
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

fn json(text: &str, whole: &str) -> Result<Vec<Row>, CliError> {
    // The reader's words may quote a token.
    let wrong = |error: serde_json::Error| {
        let (line, column) = (error.line(), error.column());
        let message = if error.is_data() {
            format!("{whole} is JSON of another shape, at line {line}, column {column}")
        } else {
            format!("{whole} cannot be read as JSON, at line {line}, column {column}")
        };
        CliError::message(Exit::Error, message).hint("nothing was written").hint(FORM)
    };
    let row = |name, token, api_url| Row { line: None, id: None, name, token: Zeroizing::new(token), api_url };
    if text.trim_start().starts_with('[') {
        let items: Vec<Item> = serde_json::from_str(text).map_err(wrong)?;
        return Ok(items.into_iter().map(|Item { name, token, api_url }| row(name, token, api_url)).collect());
    }
    if let Ok(Output { instances: Pairs(shown), .. }) = serde_json::from_str(text) {
        let of_shown =
            |(name, shown): (String, Shown)| Some(Row { id: Some(shown.id), ..row(name, shown.token?, shown.api_url) });
        return Ok(shown.into_iter().filter_map(of_shown).collect());
    }
    let Pairs(items) = serde_json::from_str(text).map_err(wrong)?;
    Ok(items.into_iter().map(|(name, token)| row(name, token, None)).collect())
}

/// The members of an object as they stand there: a name that stands twice is not lost.
struct Pairs<V>(Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Members<V> {
            type Value = Pairs<V>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Pairs<V>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = members.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

fn csv(text: &str, whole: &str) -> Result<Vec<Row>, CliError> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for record in reader.records() {
        let wrong = |line: u64| wrong(&format!("line {line} of {whole}"), "is no name and no token");
        let record = record.map_err(|error| wrong(error.position().map_or(0, csv::Position::line)))?;
        let line = record.position().map_or(0, csv::Position::line);
        match (record.get(0), record.get(1)) {
            (Some(name), Some(token)) if record.len() <= 3 => {
                if !(rows.is_empty() && is_header(name, token)) {
                    let api_url = record.get(2).map(str::to_owned);
                    let token = Zeroizing::new(token.to_owned());
                    rows.push(Row { line: Some(line), id: None, name: name.to_owned(), token, api_url });
                }
            }
            _ => return Err(wrong(line)),
        }
    }
    Ok(rows)
}

fn is_header(name: &str, token: &str) -> bool {
    name.eq_ignore_ascii_case("name") && token.eq_ignore_ascii_case("token")
}
