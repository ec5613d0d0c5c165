//! Every page is in the book, and every link leads to a file and a heading that are there. Nothing is asked over the network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{BrokenLink, Event, LinkType, Parser, Tag, TagEnd};

use super::{files, options, read, root, sections};

/// Where pages stand, but for those at the root.
const DIRECTORIES: [&str; 5] = ["docs", "examples", "fuzz", "state", "tests"];

/// Every page of the project.
pub(super) fn pages() -> BTreeSet<PathBuf> {
    let at_root = std::fs::read_dir(root()).unwrap().flatten().map(|entry| PathBuf::from(entry.file_name()));
    let at_root = at_root.filter(|name| name.extension().is_some_and(|ending| ending == "md"));
    let built = ["fuzz/target", "fuzz/corpus", "fuzz/artifacts", "fuzz/coverage"];
    let below = DIRECTORIES.iter().flat_map(|dir| files(dir, ".md"));
    at_root.chain(below.filter(|path| !built.iter().any(|dir| path.starts_with(dir)))).collect()
}

/// The targets of links and pictures, and the references of which nobody says where they lead.
fn links(markdown: &str) -> (Vec<String>, Vec<String>) {
    let mut unknown = Vec::new();
    let note = |link: BrokenLink<'_>| {
        // `[default: 24h]` in running text is no link.
        if matches!(link.link_type, LinkType::Reference | LinkType::Collapsed) {
            unknown.push(link.reference.to_string());
        }
        None
    };
    let events = Parser::new_with_broken_link_callback(markdown, options(), Some(note));
    let target = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.to_string()),
        _ => None,
    };
    let targets = events.filter_map(target).collect();
    (targets, unknown)
}

/// What a heading is called in a link, as GitHub and mdBook write it: lower case, no punctuation, `-1` behind the second of a name.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    for section in sections(markdown) {
        let kept = section.title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect();
        let count = counts.entry(anchor.clone()).or_default();
        anchors.insert(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
        *count += 1;
    }
    anchors
}

/// `path` without its `..`; none: it leads out of the project.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir if plain.pop() => {}
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(plain)
}

/// What is wrong with a link on `page`.
fn fault(page: &Path, link: &str) -> Option<String> {
    if link.starts_with("https://") {
        return None;
    }
    if link.contains("://") || link.starts_with("mailto:") {
        return Some("an address that is not https".to_owned());
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let beside = page.parent().unwrap().join(path);
    let Some(target) = (if path.is_empty() { Some(page.to_owned()) } else { plain(&beside) }) else {
        return Some("it leads out of the project".to_owned());
    };
    let is_left = page.starts_with("docs") && !target.starts_with("docs");
    if is_left {
        return Some("a page of the book links to what is not in it".to_owned());
    }
    if !root().join(&target).exists() {
        return Some(format!("{} is not there", target.display()));
    }
    let anchor = anchor.filter(|_| target.extension().is_some_and(|ending| ending == "md"))?;
    let known = anchors(&read(&target));
    (!known.contains(anchor)).then(|| format!("{} has no heading for #{anchor}; it has {known:?}", target.display()))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let (mut faults, mut count) = (Vec::new(), 0);
    for page in pages() {
        let (targets, unknown) = links(&read(&page));
        faults.extend(unknown.iter().map(|reference| format!("{}: [{reference}] is defined nowhere", page.display())));
        count += targets.len();
        let wrong = targets.iter().filter_map(|link| Some(format!("{}: {link}: {}", page.display(), fault(&page, link)?)));
        faults.extend(wrong);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 60, "only {count} links were seen");
}

#[test]
fn a_wrong_link_is_seen() {
    let page = Path::new("docs/plans.md");
    for good in ["https://example.com/", "plans.md", "#prices", "outputs.md#shell", "schema/manifest.json", "../docs/plans.md"] {
        assert_eq!(fault(page, good), None, "{good}");
    }
    for bad in
        ["http://example.com/", "plan.md", "#price", "outputs.md#Shell", "../README.md", "../../x", "/etc/passwd", "schema/x"]
    {
        assert!(fault(page, bad).is_some(), "{bad}");
    }
    let (targets, unknown) = links("[a](b.md) ![c](d.svg) [e][f] [g] `[h](i)` <https://example.com/>\n\n```\n[j](k)\n```\n");
    assert_eq!((targets.join(" "), unknown.join(" ")), ("b.md d.svg https://example.com/".to_owned(), "f".to_owned()));
    let known: Vec<_> = anchors("# The `a` key, twice\n\n## Is it?\n\n## Is it?\n").into_iter().collect();
    assert_eq!(known, ["is-it", "is-it-1", "the-a-key-twice"]);
}

#[test]
fn every_page_is_in_the_book_once() {
    let in_the_book: Vec<_> = links(&read("docs/SUMMARY.md")).0.into_iter().map(|link| Path::new("docs").join(link)).collect();
    let pages: BTreeSet<_> = files("docs", ".md").into_iter().filter(|path| !path.ends_with("SUMMARY.md")).collect();
    assert_eq!(
        in_the_book.iter().collect::<BTreeSet<_>>(),
        pages.iter().collect(),
        "docs/SUMMARY.md lists other pages than docs/ has"
    );
    assert_eq!(in_the_book.len(), pages.len(), "a page stands in docs/SUMMARY.md twice");
}

/// An angle bracket outside of code would be a tag of HTML, and nobody would see the words in it.
#[test]
fn no_page_has_html_by_accident() {
    // What the program prints for a forge has HTML on purpose.
    for page in pages().into_iter().filter(|page| !page.starts_with("tests/snapshots")) {
        let text = read(&page);
        for event in Parser::new_ext(&text, options()) {
            if let Event::Html(html) | Event::InlineHtml(html) = event {
                assert!(html.starts_with("<!--") || html.starts_with("-->"), "{}: {html}", page.display());
            }
        }
        let first = Parser::new_ext(&text, options())
            .find(|event| !matches!(event, Event::Html(_) | Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock)));
        assert!(matches!(first, Some(Event::Start(Tag::Heading { .. }))), "{} begins without a heading", page.display());
    }
}
