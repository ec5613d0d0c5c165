//! Values that a grammar may stumble over: a list, and as many more as are wanted, always the same ones.

use chatapi::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};
use chatapi::report::credentials::{Credential, Token};
use chatapi::secret::Secret;

/// Each has broken some reader of some format.
pub(super) const NASTY: [&str; 66] = [
    "plain0Token1",
    "",
    " ",
    " begins with a space",
    "ends with a space ",
    "'",
    "''",
    "it's",
    "\"",
    "\"quoted\"",
    "'quoted'",
    "`id`",
    "`quoted`",
    "'\"`",
    "a'b\"c",
    "a'b#c",
    "a'b\\c",
    "a'b\"c#d",
    "\\",
    "\\\\",
    "ends\\",
    "a\\'b",
    "a\\\"b",
    "a\\nb",
    "a\\rb",
    "a\\\\nb",
    "a\\u0041b",
    "$",
    "$$",
    "$HOME",
    "${HOME}",
    "${HOME:-x}",
    "a${",
    "$(id)",
    "$(touch pwned)",
    "$((1+1))",
    "!",
    "!!",
    "#",
    "# comment",
    "a#b",
    "a #b",
    "a=b",
    "=",
    ";id",
    "a;id",
    "a|id",
    "a&id",
    "a>b",
    "*",
    "~",
    "~root",
    "<<EOF",
    "%25%0A",
    "a\nb",
    "a\n",
    "\na",
    "a'\nCHATAPI_EVIL_TOKEN='x",
    "a\"\nCHATAPI_EVIL_TOKEN=\"x",
    "a\nCHATAPI_EVIL_TOKEN=x",
    "a\r\nb",
    "a\0b",
    "a\tb",
    "\u{1b}[31mred\u{1b}[0m",
    "Grüße, мир, 世界 🙂",
    "a\u{2028}b\u{200b}c\u{feff}\u{202e}",
];

/// What a number, a date, a truth or an end of a document looks like to some YAML; and commands of CI systems.
pub(super) const MEANT_OTHERWISE: [&str; 24] = [
    "true",
    "no",
    "on",
    "null",
    "~",
    "0123456789",
    "1e3",
    "0x1F",
    "0o17",
    "1_000",
    "12:30:45",
    "2026-11-22",
    ".inf",
    ".nan",
    "<<",
    "---",
    "...",
    "- a",
    "a: b",
    "!!int 3",
    "&a",
    "*a",
    "##vso[task.setvariable variable=x]y",
    "::set-env name=x::y",
];

/// All of them, and `count` that are drawn.
pub(super) fn all(count: usize) -> Vec<String> {
    let listed = NASTY.iter().chain(&MEANT_OTHERWISE).map(|value| (*value).to_owned());
    let mut dice = fastrand::Rng::with_seed(20_261_122);
    let pieces: Vec<&str> = "' \" ` \\ $ { } ( ) # = ; & | < > ! * ~ \n \r \t : % [ ] - a B 7 é 🙂 \u{2028} \u{200b} \u{7f} \0 ${ $( :: ##vso[ EOF \n# \\\\ \\'"
        .split(' ')
        .chain([" "])
        .collect();
    let drawn = move |_| (0..dice.usize(1..12)).map(|_| pieces[dice.usize(..pieces.len())]).collect();
    listed.chain((0..count).map(drawn)).collect()
}

/// Tokens as a server or a person may give them: visible ASCII characters, so many.
pub(super) fn tokens(count: usize) -> Vec<String> {
    let mut dice = fastrand::Rng::with_seed(7);
    let drawn = |_| (0..dice.usize(1..40)).map(|_| char::from(dice.u8(b'!'..=b'~'))).collect();
    (0..count).map(drawn).collect()
}

/// An instance with this token.
pub(super) fn credential(name: &str, token: &str) -> Credential {
    Credential {
        name: InstanceName::parse(name).unwrap(),
        kind: InstanceType::WhatsApp,
        id: InstanceId::parse("100001").unwrap(),
        api_url: Some(ApiUrl::parse("https://eu.example/instance100001/?a=b&c=$d#e").unwrap()),
        token: Token::Revealed(Secret::new(token.to_owned())),
    }
}
