//! The documentation, held against the program and against itself: pages that the program writes, examples that are run, links
//! that lead somewhere.

use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

mod commands;
mod exit_codes;
mod json;
mod links;
mod manifest;
mod picture;
mod quick_start;
mod troubleshooting;

/// What mdBook reads, and GitHub too.
fn options() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS | Options::ENABLE_FOOTNOTES
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: impl AsRef<Path>) -> String {
    let path = root().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `dir` whose name ends with `ending`, as paths from the root of the project.
fn files(dir: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![root().join(dir)];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).unwrap().flatten() {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                left.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// A block of code: the words behind its fence, its text, and the heading above it.
struct Block {
    words: String,
    text: String,
    title: String,
}

/// The page with the blocks of code that `fill` writes anew.
fn with_blocks(markdown: &str, mut fill: impl FnMut(&Block) -> Option<String>) -> String {
    let (mut page, mut done) = (String::new(), 0);
    let (mut title, mut text, mut words, mut range) = (String::new(), String::new(), String::new(), 0..0);
    for (event, place) in Parser::new_ext(markdown, options()).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { .. }) => text.clear(),
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(behind))) => {
                text.clear();
                words = behind.to_string();
                range = 0..0;
            }
            Event::Text(part) => {
                text += &part;
                range = if range.is_empty() { place } else { range.start..place.end };
            }
            Event::Code(part) => text += &part,
            Event::End(TagEnd::Heading(_)) => title.clone_from(&text),
            Event::End(TagEnd::CodeBlock) => {
                let block = Block { words: words.clone(), text: text.clone(), title: title.clone() };
                if let Some(new) = fill(&block) {
                    page.extend([&markdown[done..range.start], new.as_str()]);
                    done = range.end;
                }
            }
            _ => {}
        }
    }
    page + &markdown[done..]
}

/// A part of a page: a heading, and the tables below it up to the next.
struct Section {
    title: String,
    /// The first cell of each row of its tables, without the rows of titles.
    first_cells: Vec<String>,
}

/// The parts of a page, in their order.
fn sections(markdown: &str) -> Vec<Section> {
    let mut parts: Vec<Section> = Vec::new();
    let (mut text, mut is_first) = (String::new(), false);
    for event in Parser::new_ext(markdown, options()) {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                text.clear();
                parts.push(Section { title: String::new(), first_cells: Vec::new() });
            }
            Event::Start(Tag::TableRow) => is_first = true,
            Event::Start(Tag::TableCell) => text.clear(),
            Event::Text(part) | Event::Code(part) => text += &part,
            Event::SoftBreak | Event::HardBreak => text.push(' '),
            Event::End(end) => {
                let Some(part) = parts.last_mut() else { continue };
                match end {
                    TagEnd::Heading(_) => part.title.clone_from(&text),
                    TagEnd::TableCell if is_first => {
                        part.first_cells.push(text.clone());
                        is_first = false;
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    parts
}
