//! `docs/commands.md` is what `--help` says, word by word; and what any page tells a reader to type, `--help` knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use super::links::pages;
use super::{options, read};
use crate::stage::{Project, kept};

/// Where a help text begins to say what all of them say.
const GLOBAL: &str = "Global options:\n";

/// The help of each command below `words`, in the order of the help.
fn helps(project: &Project, words: &str, into: &mut Vec<(String, String)>) {
    let line = format!("{words} --help");
    let help = project.call(line.split_whitespace()).env("COLUMNS", "100").run().exits(0).stdout;
    into.push((format!("chatapi {words}").trim_end().to_owned(), help.clone()));
    let Some((_, listed)) = help.split_once("Commands:\n") else { return };
    let names = listed.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        helps(project, format!("{words} {name}").trim_start(), into);
    }
}

/// A help text without what all of them say, and that.
fn split(help: &str) -> (String, &str) {
    let (before, rest) = help.split_once(GLOBAL).expect("every help has the global options");
    let lines = rest.split_inclusive('\n');
    let length = lines.take_while(|line| line.starts_with(' ') || *line == "\n").map(str::len).sum();
    let (global, after) = rest.split_at(length);
    (format!("{before}{after}"), global)
}

#[test]
fn the_page_of_commands_is_what_help_says() {
    let mut all = Vec::new();
    helps(&Project::new(""), "", &mut all);
    assert!(all.len() > 30, "{}", all.len());
    let shared = split(&all[0].1).1.to_owned();
    let mut page = "# Commands\n\nWhat `--help` says of each command; a test writes this page from there. `-h` is a shorter form of it, `chatapi man` \
                    the same as manual pages.\n\n## Global options\n\nThey go with every command, before or behind its name.\n\n"
        .to_owned();
    write!(page, "```text\n{}\n```\n", shared.trim_end()).unwrap();
    for (name, help) in &all {
        let (own, global) = split(help);
        // `output` has a `--format` of its own.
        assert!(global.lines().all(|line| shared.contains(line)), "{name}");
        write!(page, "\n## {name}\n\n```text\n{}\n```\n", own.trim_end()).unwrap();
    }
    // What clap puts into empty lines helps nobody.
    let lines = page.lines().map(str::trim_end);
    kept("docs/commands.md", &lines.fold(String::new(), |text, line| text + line + "\n"));
}

/// Everything on a page that is typed: code in a line, and the lines of its sessions.
fn typed(page: &str) -> Vec<String> {
    let (mut lines, mut is_block) = (Vec::new(), false);
    for event in Parser::new_ext(page, options()) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => is_block = true,
            Event::End(TagEnd::CodeBlock) => is_block = false,
            Event::Code(code) => lines.push(code.to_string()),
            Event::Text(text) if is_block => lines.extend(text.lines().map(str::to_owned)),
            _ => {}
        }
    }
    lines
}

/// The words behind each `chatapi` of a line, up to a pipe or a comment.
fn calls(line: &str) -> Vec<Vec<&str>> {
    let words: Vec<&str> = line
        .split(|c: char| c.is_whitespace() || matches!(c, '(' | '"' | '`'))
        .map(|word| word.trim_matches(['`', '$', '(', ')', '"', '\'', ',', ';', '.']))
        .filter(|word| !word.is_empty())
        .collect();
    // Some errors speak of the program.
    let is_call = |at: &usize| words[*at] == "chatapi" && (*at == 0 || words[*at - 1] != "of");
    let ends = |word: &&&str| !matches!(**word, "|" | "#" | "&&" | ">" | "<" | "chatapi");
    (0..words.len()).filter(is_call).map(|at| words[at + 1..].iter().take_while(ends).copied().collect()).collect()
}

/// Flags that a help does not show.
const HIDDEN: [&str; 6] = ["--json", "--no-color", "--auto-approve", "--yes", "--help", "--version"];

/// Flags of cargo and git that stand alone on a page.
const OTHERS: [&str; 2] = ["--features", "--theirs"];

/// What is wrong with a call, and how many flags it has.
fn faults(words: &[&str], known: &BTreeMap<&str, &str>) -> (Vec<String>, usize) {
    let mut faults = Vec::new();
    let verb = words.first().filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()));
    if let Some(verb) = verb.filter(|verb| !known.contains_key(format!("chatapi {verb}").as_str())) {
        faults.push(format!("no command is called {verb}"));
    }
    let mut names = (0..=words.len().min(2)).rev().map(|length| [&["chatapi"], &words[..length]].concat().join(" "));
    let help = names.find_map(|name| known.get(name.as_str())).expect("the first help");
    let flags: Vec<&str> = words.iter().filter(|word| is_flag(word)).map(|word| word.split('=').next().unwrap()).collect();
    faults.extend(flags.iter().filter(|flag| !has(help, flag)).map(|flag| format!("it has no {flag}")));
    (faults, flags.len())
}

fn is_flag(word: &str) -> bool {
    word.len() > 2 && word.starts_with("--")
}

fn has(help: &str, flag: &str) -> bool {
    HIDDEN.contains(&flag) || help.split_whitespace().any(|word| word.trim_end_matches("...") == flag)
}

#[test]
fn what_a_page_tells_to_type_are_commands_and_their_flags() {
    let mut all = Vec::new();
    helps(&Project::new(""), "", &mut all);
    let known: BTreeMap<_, _> = all.iter().map(|(name, help)| (name.as_str(), help.as_str())).collect();
    let (mut wrong, mut count) = (BTreeSet::new(), 0);
    for page in pages().into_iter().filter(|page| !page.ends_with("commands.md")) {
        for line in typed(&read(&page)) {
            for words in calls(&line) {
                let (faults, flags) = faults(&words, &known);
                count += flags;
                wrong.extend(faults.iter().map(|fault| format!("{}: {fault}: {line}", page.display())));
            }
            // A flag on its own is one of some command.
            let flag = line.split([' ', '=']).next().filter(|word| is_flag(word) && !OTHERS.contains(word));
            if let Some(flag) = flag.filter(|flag| !known.values().any(|help| has(help, flag))) {
                wrong.insert(format!("{}: no command has {flag}: {line}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 80, "{count}");
}
