//! All files to one manifest: which step comes when, and what several files may say together.

use std::collections::HashMap;

use super::attributes::Attributes;
use super::document::Node;
use super::names::{self, Candidate};
use super::repeat::Ground;
use super::report::{self, Page, Report};
use super::settlements::Said;
use super::source::{self, Source};
use super::validate::{self, Content, Repeated, Settings};
use super::variables::{Given, Variables};
use super::{FILE_MAX, Limits, Manifest, document, encoding, entry};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Span};
use crate::price::Prices;
use crate::seal::Recipients;

/// Reads `sources` with values for their variables.
pub(super) fn read(sources: &[Source], given: &Given) -> Result<Manifest, Diagnostics> {
    let mut problems = Diagnostics::new();
    let mut limits = Limits::WHOLE;
    if sources.is_empty() {
        problems.push(Diagnostic::error("no manifest was given").help("name a file, a directory, or `-` for standard input"));
    }
    let all: Vec<&Source> = sources.iter().chain(&given.files).collect();
    let mut pages: Vec<Page> = all.iter().enumerate().map(|(order, source)| Page::new(source.label(), order)).collect();
    let (mut roots, mut texts) = (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
    for (source, page) in all.iter().zip(&mut pages) {
        let (root, text) = tree(source, &mut limits, &mut Report::new(page, &mut problems));
        roots.push(root);
        texts.push(text);
    }
    let (manifests, values) = roots.split_at(sources.len());
    let (manifest_pages, value_pages) = pages.split_at_mut(sources.len());
    let (mut beside, mut gathered) = (Vec::new(), Gathered::default());
    let parts = parts(manifests, manifest_pages, &mut gathered, &mut problems);
    let variables = declared(&parts, (given, values, value_pages), manifest_pages, &mut problems);
    for ((source, page), part) in sources.iter().zip(manifest_pages).zip(&parts) {
        let tables = HashMap::new();
        let ground = Ground { variables: &variables, source, limits: &mut limits, tables, pages: &mut beside, first: all.len() };
        make(part.as_ref(), ground, &mut Report::new(page, &mut problems), &mut gathered.candidates);
    }
    let (more, more_texts): (Vec<Page>, Vec<Option<&str>>) = beside.into_iter().unzip();
    pages.extend(more);
    texts.extend(more_texts);
    finish(gathered, variables, problems, pages.into_iter().zip(texts))
}

/// One file as a tree; the text comes back if it can be shown.
pub(super) fn tree<'a>(source: &'a Source, limits: &mut Limits, report: &mut Report<'_>) -> (Option<Node<'a>>, Option<&'a str>) {
    let Some(left) = limits.bytes.checked_sub(source.bytes().len()).filter(|_| source.bytes().len() <= FILE_MAX) else {
        report.push(source::too_long(source.bytes().len() > FILE_MAX));
        return (None, None);
    };
    limits.bytes = left;
    let text = match encoding::decode(source.bytes()) {
        Ok(text) => text,
        Err(problem) => {
            report.push(*problem);
            return (None, std::str::from_utf8(source.bytes()).ok().filter(|text| !text.contains('\0')));
        }
    };
    (document::read(text, &mut limits.nodes, report), Some(text.whole))
}

/// What each manifest says of instances; what it says beside goes to `gathered`.
fn parts<'n, 'a>(
    roots: &'n [Option<Node<'a>>],
    pages: &mut [Page],
    gathered: &mut Gathered,
    problems: &mut Diagnostics,
) -> Vec<Option<Repeated<'n, 'a>>> {
    let part = |(root, page): (&'n Option<Node<'a>>, &mut Page)| {
        let report = &mut Report::new(page, problems);
        let (content, repeated) = validate::content(root.as_ref()?, report);
        gathered.take(content, report);
        repeated
    };
    roots.iter().zip(pages).map(part).collect()
}

/// The variables of all manifests, with their values.
fn declared(
    parts: &[Option<Repeated<'_, '_>>],
    (given, values, value_pages): (&Given, &[Option<Node<'_>>], &mut [Page]),
    pages: &mut [Page],
    problems: &mut Diagnostics,
) -> Variables {
    let mut variables = Variables::default();
    for (part, page) in parts.iter().zip(pages) {
        let Some(part) = part else {
            // A file that cannot be read may declare some.
            variables.is_partial = true;
            continue;
        };
        variables.declare(part.variables, &mut Report::new(page, problems));
    }
    variables.resolve(given, (values, value_pages), problems);
    variables
}

fn make(part: Option<&Repeated<'_, '_>>, mut ground: Ground<'_, '_>, report: &mut Report<'_>, candidates: &mut Vec<Candidate>) {
    let Some(part) = part else { return };
    let defaults = Attributes::defaults(part.defaults, ground.variables, report);
    if let Some(entry) = part.instances.entry() {
        candidates.append(&mut entry::candidates(entry, &defaults, &mut ground, report));
    }
}

fn finish<'a>(
    gathered: Gathered,
    variables: Variables,
    mut problems: Diagnostics,
    pages: impl Iterator<Item = (Page, Option<&'a str>)>,
) -> Result<Manifest, Diagnostics> {
    let views: Vec<_> = pages.map(|(page, text)| page.into_view(text)).collect();
    let Gathered { provider, prices, seal_to, candidates, settlements } = gathered;
    let files: Vec<_> = views.iter().map(|view| view.file.clone()).collect();
    let declarations = names::unique(candidates, &files, &mut problems);
    // What is wrong may be the declaration that seems to be missing.
    let is_whole = problems.is_empty();
    let settlements = settlements.checked((&declarations, is_whole), &files, &mut problems);
    if problems.is_empty() {
        let Settings { kind, exclusive } = provider.map(|(settings, _)| settings).unwrap_or_default();
        let (prices, seal_to) = (prices.map(|(prices, _)| prices), seal_to.map(|(recipients, _)| recipients));
        let variables = variables.into_values();
        return Ok(Manifest { provider: kind, exclusive, prices, seal_to, variables, settlements, declarations });
    }
    problems.sort();
    report::show(&mut problems, &views);
    Err(problems)
}

/// What the files said so far.
#[derive(Default)]
struct Gathered {
    provider: Option<(Settings, Place)>,
    prices: Option<(Prices, Place)>,
    seal_to: Option<(Recipients, Place)>,
    candidates: Vec<Candidate>,
    settlements: Said,
}

impl Gathered {
    fn take(&mut self, content: Content, report: &mut Report<'_>) {
        agree("provider", &mut self.provider, content.provider, report);
        agree("prices", &mut self.prices, content.prices, report);
        agree("seal_to", &mut self.seal_to, content.seal_to, report);
        self.settlements.append(content.settlements);
    }
}

/// What several files may say if they say the same.
fn agree<T: PartialEq>(key: &str, known: &mut Option<(T, Place)>, said: Option<(T, Span)>, report: &mut Report<'_>) {
    let Some((value, span)) = said else { return };
    match known {
        None => *known = Some((value, report.place(span.start))),
        Some((first, place)) if *first != value => {
            let differs = Diagnostic::error(&format!("`{key}` differs from the one in another file")).at(span);
            report.push(differs.related("first said", place.clone()).help("say it in one file only"));
        }
        Some(_) => {}
    }
}
