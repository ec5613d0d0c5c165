//! `docs/troubleshooting.md`: every text on it is one that the program prints, and every error of the command line is on it.

use std::collections::BTreeSet;
use std::path::Path;

use pulldown_cmark::{Event, HeadingLevel, Parser, Tag, TagEnd};

use super::{files, options, read};

/// Where errors are made, and behind what their text stands.
const MAKERS: [(&str, &[&str]); 11] = [
    ("src/cli", &["CliError::message(", ".context(", "let message =", "#[error("]),
    ("src/store/mod.rs", &["#[error("]),
    ("src/store/behind.rs", &["#[error("]),
    ("src/store/lockfile.rs", &["#[error("]),
    ("src/saved.rs", &["#[error("]),
    ("src/provider/url.rs", &["#[error("]),
    ("src/provider/mod.rs", &["#[error("]),
    ("src/report/guard.rs", &["format!("]),
    ("src/report/credentials/mod.rs", &["#[error("]),
    ("src/store/place.rs", &["write!(f, ", "f.write_str("]),
    (
        "src/report/mod.rs",
        &["Halt::Refused(reason) => (\"refused\", format!(", "(\"unreachable\", format!(", "(\"rate_limited\", format!("],
    ),
];
/// Texts that are a part of another, or no error.
const PARTS: [&str; 3] = ["`…`", ", and … … allowed", "Imported … at serial …."];

/// What stands between `{` and `}` in a text of the program, and what differs on the page.
fn plain(text: &str) -> String {
    let (mut plain, mut is_inside) = (String::new(), false);
    let doubled = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    for character in doubled.chars() {
        match character {
            '{' | '}' => {
                is_inside = character == '{';
                if is_inside && !plain.ends_with('…') {
                    plain.push('…');
                }
            }
            _ if is_inside => {}
            '…' if plain.ends_with('…') => {}
            other => plain.push(other),
        }
    }
    plain.replace('\u{1}', "{").replace('\u{2}', "}")
}

/// A source as its texts read: no broken lines in them, no escapes.
fn source(path: &Path) -> String {
    let text = read(path);
    let mut joined = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut whole = line.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            whole += lines.next().unwrap_or_default().trim_start();
        }
        joined += &whole;
        joined.push('\n');
    }
    joined
}

/// Everything that stands in quotes, a line each.
fn literals(source: &str) -> String {
    let mut found = String::new();
    for line in source.lines() {
        let line = line.replace("\\\"", "\u{3}");
        line.split('"').skip(1).step_by(2).for_each(|text| found += &(plain(&text.replace('\u{3}', "\"")) + "\n"));
    }
    found
}

/// The texts of errors that a source makes.
fn made(source: &str, makers: &[&str]) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    for maker in makers {
        for rest in source.split(maker).skip(1) {
            let Some((before, text)) = rest.split_once('"') else { continue };
            let words = before.replace("format!(", "").replace("Exit::", "");
            // Something else than a text of its own stands there.
            if !words.chars().all(|c| c.is_ascii_alphabetic() || c.is_whitespace() || c == ',') || words.matches(',').count() > 1
            {
                continue;
            }
            let text = text.replace("\\\"", "\u{1}");
            texts.insert(plain(&text.split('"').next().unwrap().replace('\u{1}', "\"")));
        }
    }
    texts
}

/// The texts that the page is about: headings and first cells that are code and nothing else.
fn told(page: &str) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    let (mut codes, mut is_bare, mut is_first) = (Vec::new(), true, false);
    for event in Parser::new_ext(page, options()) {
        match event {
            Event::Start(Tag::Heading { .. } | Tag::TableCell) => (codes, is_bare) = (Vec::new(), true),
            Event::Start(Tag::TableRow) => is_first = true,
            Event::Code(code) => codes.push(code.to_string()),
            Event::Text(_) => is_bare = false,
            Event::End(TagEnd::TableCell) if !is_first => {}
            Event::End(TagEnd::Heading(HeadingLevel::H3) | TagEnd::TableCell) => {
                is_first = false;
                match codes.as_slice() {
                    [code] if is_bare => drop(texts.insert(plain(code))),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    texts
}

#[test]
fn every_text_on_the_page_is_one_that_the_program_has() {
    let sources: String = files("src", ".rs").iter().map(|path| literals(&source(path))).collect();
    let texts = told(&read("docs/troubleshooting.md"));
    assert!(texts.len() > 120, "{}", texts.len());
    let gone: Vec<_> = texts.iter().filter(|text| !sources.contains(text.as_str())).collect();
    assert!(gone.is_empty(), "no source has {gone:#?}");
}

#[test]
fn every_error_of_the_command_line_is_on_the_page() {
    let texts = told(&read("docs/troubleshooting.md"));
    let mut count = 0;
    let mut missing = BTreeSet::new();
    for (place, makers) in MAKERS {
        let sources = if Path::new(place).extension().is_some() { vec![place.into()] } else { files(place, ".rs") };
        for path in sources {
            let found = made(&source(&path), makers);
            count += found.len();
            let untold = found.into_iter().filter(|text| !texts.contains(text) && !PARTS.contains(&text.as_str()));
            missing.extend(untold.map(|text| format!("{}: {text}", path.display())));
        }
    }
    assert!(missing.is_empty(), "docs/troubleshooting.md lacks {missing:#?}");
    assert!(count > 120, "{count}");
}

#[test]
fn texts_are_found_as_they_are_printed() {
    assert_eq!(plain("`{name}` is {}{x:?}: {{a}}"), "`…` is …: {a}");
    let text = "CliError::message(Exit::Error, format!(\"a {b} \\\"c\\\"\")) CliError::message(\n Exit::Guard,\n \"d\") CliError::message(exit, message)";
    assert_eq!(made(text, &["CliError::message("]).into_iter().collect::<Vec<_>>(), ["a … \"c\"", "d"]);
    let page = "## `no`\n\n### `yes …`\n\n### `no` too\n\n| text |  |\n|---|---|\n| ``a `b` `` | `no` |\n";
    assert_eq!(told(page).into_iter().collect::<Vec<_>>(), ["a `b` ", "yes …"]);
}
