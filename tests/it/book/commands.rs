//! `docs/commands.md` is what `--help` says, word by word.

use std::fmt::Write as _;

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
