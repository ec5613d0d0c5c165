//! Read by a parser that a forge could use: what is ours, and what became of foreign text.

use pulldown_cmark::{Event, Options, Parser, Tag};

use super::*;
use crate::instance::{InstanceName, InstanceType};
use crate::report::account::Notice;

const EVIL: &str = "x|y `z` ``` [a](http://evil.example/) ![i](http://evil.example/i.png) <script>alert(1)</script> \
    </details> --> @octocat #1 \\| \\\\| www.evil.example https://evil.example\n::error::x\r\n| a | b |\u{202e}";

fn case(name: &str, standing: Standing, detail: &str) -> Case {
    let name = InstanceName::parse(name).unwrap();
    Case { name, kind: InstanceType::WhatsApp, standing, word: "create", detail: detail.to_owned() }
}

fn numbered(count: usize, standing: Standing, detail: &str) -> Vec<Case> {
    (0..count).map(|number| case(&format!("support-eu-{number:05}"), standing, detail)).collect()
}

fn parsed(text: &str) -> Vec<Event<'_>> {
    Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_MATH).collect()
}

/// Every HTML that a browser would see is ours, there is no link and no picture, and every row has its five cells.
fn nothing_broke_out(text: &str) {
    let (mut cells, mut rows) = (0, 0);
    for event in parsed(text) {
        match event {
            Event::Html(html) | Event::InlineHtml(html) => {
                let is_ours = ["<details>", "</details>", "<!-- chatapi-"].iter().any(|ours| html.starts_with(ours));
                let is_comment = html.starts_with("<!--") && html.trim_end().ends_with(" -->") && html.matches('>').count() == 1;
                assert!(is_ours && (is_comment || !html.contains("script")), "{html}");
            }
            Event::Start(Tag::Link { .. } | Tag::Image { .. }) | Event::InlineMath(_) | Event::DisplayMath(_) => {
                panic!("{event:?} in {text}");
            }
            Event::Start(Tag::TableCell) => cells += 1,
            Event::Start(Tag::TableRow | Tag::TableHead) => rows += 1,
            Event::Text(words) => assert!(!words.contains("evil") || is_fenced(text, &words), "{words}"),
            _ => {}
        }
    }
    assert_eq!(cells, rows * 5, "{text}");
}

/// Whether `words` stand in a fenced block and nowhere else.
fn is_fenced(text: &str, words: &str) -> bool {
    let mut is_inside = false;
    let outside = Parser::new(text).filter(|event| {
        match event {
            Event::Start(Tag::CodeBlock(_)) => is_inside = true,
            Event::End(pulldown_cmark::TagEnd::CodeBlock) => is_inside = false,
            _ => {}
        }
        !is_inside && matches!(event, Event::Text(outside) if **outside == *words)
    });
    outside.count() == 0
}

#[test]
fn foreign_text_breaks_out_of_nothing() {
    let (name, id) = (InstanceName::parse("www.evil.example").unwrap(), "s".repeat(9));
    let notice = Notice::error(EVIL).about(&name).because(EVIL).hint(EVIL);
    let account = Account {
        verb: "apply",
        title: Some(EVIL.to_owned()),
        headline: Some("Apply: 1 created.".to_owned()),
        plan_hash: Some(EVIL.to_owned()),
        cases: vec![case("a", Standing::Failed, EVIL), case("b", Standing::Good, EVIL), case("c", Standing::Good, &id)],
        notices: vec![notice],
        ..Account::default()
    };
    let text = markdown(&account, Budget::COMMENT);
    nothing_broke_out(&text);
    assert!(!text.contains('\u{202e}') && !text.lines().any(|line| line.starts_with("::") || line.contains("-->x")), "{text}");
    let codes: Vec<String> = parsed(&text)
        .into_iter()
        .filter_map(|event| match event {
            Event::Code(code) => Some(code.into_string()),
            _ => None,
        })
        .collect();
    assert!(codes.iter().filter(|code| code.contains("@octocat")).count() >= 3, "{codes:?}");
}

#[test]
fn every_single_character_stays_in_its_cell() {
    for character in (0x20..0x7f).chain([0xa0, 0x2028, 0xff5c]).filter_map(char::from_u32) {
        for detail in [
            format!("{character}"),
            format!("{character}{character}"),
            format!("a{character}|{character}b"),
            format!("\\{character}|"),
        ] {
            let cases = vec![case("a", Standing::Changed, &detail), case("b", Standing::Changed, "after")];
            let text = markdown(&Account { cases, ..Account::default() }, Budget::COMMENT);
            nothing_broke_out(&text);
            assert_eq!(
                parsed(&text).iter().filter(|event| **event == Event::Code("after".into())).count(),
                1,
                "{detail}: {text}"
            );
        }
    }
}

#[test]
fn five_thousand_names_fit_the_budget_and_what_is_left_out_is_counted() {
    let long = "reason ".repeat(60);
    for (standing, detail) in [
        (Standing::Changed, "not created yet"),
        (Standing::Failed, long.as_str()),
        (Standing::Good, "exists as 123456"),
        (Standing::Changed, "名前が長い理由 名前が長い理由 名前が長い理由"),
    ] {
        let notices = (0..5_000).map(|number| Notice::warning(&format!("{number}: {long}")).hint(&long)).collect();
        let cases = numbered(5_000, standing, detail);
        let account = Account { verb: "plan", cases, notices, headline: Some("Plan: many.".to_owned()), ..Account::default() };
        let text = markdown(&account, Budget::COMMENT);
        assert!(count(&text) <= 60_000 && count(&text) > 40_000, "{}", count(&text));
        nothing_broke_out(&text);
        let rows = text.lines().filter(|line| line.starts_with("| `")).count();
        assert!(text.contains(&format!("_{} more names do not fit here", 5_000 - rows)), "{rows} rows");
        let told = text.lines().filter(|line| line.starts_with("warning: ")).count();
        assert!(told > 0 && text.contains(&format!("_{} more are told in the log._", 5_000 - told)), "{told} told");
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
        assert!(text.ends_with("exit code 0\n"));
    }
}

#[test]
fn bytes_are_a_budget_too_and_the_least_one_is_kept() {
    let account = Account { cases: numbered(5_000, Standing::Changed, "名前"), ..Account::default() };
    for bytes in [LEAST, 10_000, 50_000] {
        let text = markdown(&account, Budget { bytes, ..Budget::COMMENT });
        assert!(text.len() <= bytes && text.contains("do not fit here"), "{} of {bytes}", text.len());
    }
    let notices = vec![Notice::error(&"名".repeat(9_000)); 50];
    let account = Account { title: Some("名".repeat(500)), notices, headline: Some("Apply.".to_owned()), ..account };
    let text = markdown(&account, Budget { bytes: LEAST, ..Budget::COMMENT });
    assert!(text.len() <= LEAST, "{}", text.len());
}

#[test]
fn what_is_small_is_told_whole_with_errors_first() {
    let cases = vec![case("a", Standing::Good, ""), case("b", Standing::Changed, ""), case("c", Standing::Doubtful, "")];
    let notices = vec![Notice::warning("later"), Notice::error("first")];
    let account = Account { verb: "plan", cases, notices, headline: Some("Plan: 1 to create.".to_owned()), ..Account::default() };
    let text = markdown(&account, Budget::COMMENT);
    let order =
        ["### chatapi plan", "**Plan: 1 to create.**", "error: first", "warning: later", "`c`", "`b`", "1 unchanged", "`a`"];
    let places: Vec<_> = order.iter().map(|part| text.find(part).unwrap_or_else(|| panic!("{part} in {text}"))).collect();
    assert!(places.is_sorted(), "{text}");
    assert!(!text.contains("more"), "{text}");
}

#[test]
fn the_marker_tells_states_apart_and_ends_where_it_should() {
    let of = |title: Option<&str>, files: &[&str]| {
        let files = files.iter().map(|&file| file.to_owned()).collect();
        marker(&Account { verb: "plan", title: title.map(str::to_owned), files, ..Account::default() })
    };
    assert_eq!(of(None, &["instances.yaml"]), "<!-- chatapi-plan instances.yaml -->");
    assert_ne!(of(None, &["a.yaml"]), of(None, &["b.yaml"]));
    assert_eq!(of(Some("eu"), &["a.yaml"]), of(Some("eu"), &["b.yaml"]));
    assert_eq!(of(Some("a --> <script>--!> \n"), &[]), "<!-- chatapi-plan a -__ _script_-___ _ -->");
}
