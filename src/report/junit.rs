//! `JUnit` XML: a test case for each name. What was refused or cannot be is a failure, what nobody knows an error, what was not
//! tried is skipped. There is no schema that all readers share: only what all of them know is written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::account::{Account, Case, Notice, Standing};
use super::markdown::cut;
use crate::diagnostic::{DiagnosticData, Severity};
use crate::instance::InstanceName;
use crate::text::escape;

/// How a test case ended.
enum Verdict {
    Passed,
    Skipped(String),
    Failed(Trouble),
    Broke(Trouble),
}

/// What went wrong.
struct Trouble {
    kind: String,
    message: String,
    hints: Vec<String>,
}

/// One test case.
struct Test {
    name: String,
    place: Option<(String, u32)>,
    /// None: nothing was asked of the server for it.
    took: Option<Duration>,
    verdict: Verdict,
}

/// `account` as `JUnit` XML.
pub fn junit(account: &Account) -> String {
    let tests = tests(account);
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    // Writing into memory cannot fail.
    let _ = document(&mut writer, account, &tests);
    String::from_utf8(writer.into_inner()).unwrap_or_default() + "\n"
}

/// The run itself where something is wrong with it, the manifests' problems, then every name.
fn tests(account: &Account) -> Vec<Test> {
    let known: BTreeMap<&InstanceName, &Notice> =
        account.notices.iter().filter_map(|notice| Some((notice.name.as_ref()?, notice))).collect();
    let general = account.noticed(Severity::Error).filter(|notice| notice.name.is_none()).map(|notice| Test {
        name: format!("chatapi {}", account.verb),
        place: None,
        took: None,
        verdict: match notice.guard {
            Some(_) => Verdict::Failed(Trouble::of(notice)),
            None => Verdict::Broke(Trouble::of(notice)),
        },
    });
    let problems = account.problems.iter().map(of_problem);
    let names = account.cases.iter().map(|case| Test {
        name: case.name.to_string(),
        place: account.places.get(&case.name).map(|place| (place.file.to_string(), place.position.line)),
        took: account.times.get(&case.name).copied(),
        verdict: verdict(case, known.get(&case.name).copied()),
    });
    let mut tests: Vec<Test> = general.chain(problems).chain(names).collect();
    if tests.is_empty() {
        let name = format!("chatapi {}", account.verb);
        tests.push(Test { name, place: None, took: None, verdict: Verdict::Passed });
    }
    tests
}

fn verdict(case: &Case, notice: Option<&Notice>) -> Verdict {
    let trouble = || match notice {
        Some(notice) => Trouble { kind: case.word.to_owned(), ..Trouble::of(notice) },
        None => Trouble { kind: case.word.to_owned(), message: case.detail.clone(), hints: Vec::new() },
    };
    match (case.standing, notice) {
        (Standing::Doubtful, _) => Verdict::Broke(trouble()),
        (Standing::Failed, _) => Verdict::Failed(trouble()),
        (_, Some(notice)) if notice.severity == Severity::Error => Verdict::Failed(Trouble::of(notice)),
        (Standing::Skipped, _) => Verdict::Skipped(format!("{}: {}", case.word, case.detail)),
        (Standing::Settled | Standing::Changed | Standing::Removed | Standing::Left | Standing::Good, _) => Verdict::Passed,
    }
}

fn of_problem(problem: &DiagnosticData) -> Test {
    let range = problem.range.as_ref();
    let start = range.and_then(|range| range.start);
    let name = match (range, start) {
        (Some(range), Some(start)) => format!("{}:{}:{}", range.filename, start.line, start.column),
        (Some(range), None) => range.filename.clone(),
        (None, _) => "manifest".to_owned(),
    };
    let hints = problem.detail.clone().into_iter().collect();
    Test {
        name,
        place: range.zip(start).map(|(range, start)| (range.filename.clone(), start.line)),
        took: None,
        verdict: Verdict::Failed(Trouble { kind: "manifest".to_owned(), message: problem.summary.clone(), hints }),
    }
}

impl Trouble {
    fn of(notice: &Notice) -> Self {
        let kind = notice.guard.unwrap_or("error").to_owned();
        Self { kind, message: notice.sentence(), hints: notice.hints.clone() }
    }
}

fn document(writer: &mut Writer<Vec<u8>>, account: &Account, tests: &[Test]) -> io::Result<()> {
    let count = |is_so: fn(&Verdict) -> bool| tests.iter().filter(|test| is_so(&test.verdict)).count().to_string();
    let counts = [
        ("tests", tests.len().to_string()),
        ("failures", count(|verdict| matches!(verdict, Verdict::Failed(_)))),
        ("errors", count(|verdict| matches!(verdict, Verdict::Broke(_)))),
        ("skipped", count(|verdict| matches!(verdict, Verdict::Skipped(_)))),
        ("time", seconds(account.took)),
    ];
    let counts = || counts.iter().map(|(name, value)| (*name, value.as_str()));
    let suite = format!("chatapi {}", account.verb);
    let title = account.title.as_deref().map_or_else(|| suite.clone(), |title| clean(&cut(title)).into_owned());
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let suites = writer.create_element("testsuites").with_attribute(("name", suite.as_str())).with_attributes(counts());
    suites.write_inner_content(|writer| {
        let suite = writer.create_element("testsuite").with_attribute(("name", title.as_str())).with_attributes(counts());
        suite.write_inner_content(|writer| tests.iter().try_for_each(|test| test.write(writer, account.verb)))?;
        Ok(())
    })?;
    Ok(())
}

impl Test {
    fn write(&self, writer: &mut Writer<Vec<u8>>, verb: &str) -> io::Result<()> {
        let (name, class) = (clean(&self.name), format!("chatapi.{verb}"));
        let mut case = writer.create_element("testcase").with_attribute(("name", &*name));
        case = case.with_attribute(("classname", class.as_str()));
        if let Some((file, line)) = &self.place {
            case = case.with_attribute(("file", &*clean(file))).with_attribute(("line", line.to_string().as_str()));
        }
        if let Some(took) = self.took {
            case = case.with_attribute(("time", seconds(took).as_str()));
        }
        match &self.verdict {
            Verdict::Passed => case.write_empty()?,
            Verdict::Skipped(why) => case.write_inner_content(|writer| {
                writer.create_element("skipped").with_attribute(("message", &*clean(why))).write_empty()?;
                Ok(())
            })?,
            Verdict::Failed(trouble) => case.write_inner_content(|writer| trouble.write(writer, "failure"))?,
            Verdict::Broke(trouble) => case.write_inner_content(|writer| trouble.write(writer, "error"))?,
        };
        Ok(())
    }
}

impl Trouble {
    fn write(&self, writer: &mut Writer<Vec<u8>>, element: &str) -> io::Result<()> {
        let message = clean(&self.message);
        let lines = self.hints.iter().fold(message.to_string(), |text, hint| text + "\n" + &clean(hint));
        let element = writer.create_element(element).with_attribute(("message", &*message));
        element.with_attribute(("type", self.kind.as_str())).write_text_content(BytesText::new(&lines))?;
        Ok(())
    }
}

/// As a decimal number of seconds.
fn seconds(took: Duration) -> String {
    format!("{:.3}", took.as_secs_f64())
}

/// `text` without what XML cannot hold, not even written out: controls, and the last two characters of the first plane.
fn clean(text: &str) -> Cow<'_, str> {
    let text = escape(text);
    if text.contains(['\u{fffe}', '\u{ffff}']) {
        return text.replace('\u{fffe}', "\\u{fffe}").replace('\u{ffff}', "\\u{ffff}").into();
    }
    text
}

#[cfg(test)]
mod tests {
    use roxmltree::Document;

    use super::*;
    use crate::instance::InstanceType;

    #[test]
    fn every_character_is_read_back_by_another_parser_or_written_out() {
        for character in (0..0x300).chain(0x2000..0x2070).chain(0xd7f0..0xe010).chain(0xfff0..0x10010).filter_map(char::from_u32)
        {
            let detail = format!("a{character}]]>b\"'<&");
            let name = InstanceName::parse("n").unwrap();
            let (kind, word) = (InstanceType::WhatsApp, "refused");
            let cases = vec![Case { name, kind, standing: Standing::Failed, word, detail: detail.clone() }];
            let xml = junit(&Account { verb: "apply", title: Some(detail.clone()), cases, ..Account::default() });
            let document = Document::parse(&xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
            let failure = document.descendants().find(|node| node.has_tag_name("failure")).unwrap();
            let expected = clean(&detail);
            assert_eq!((failure.attribute("message"), failure.text()), (Some(&*expected), Some(&*expected)));
            let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
            assert_eq!(suite.attribute("name"), Some(&*expected));
            assert_eq!(expected == detail, !crate::text::is_hidden(character) && u32::from(character) & !1 != 0xfffe);
        }
    }

    #[test]
    fn a_run_without_a_name_is_one_test() {
        for (notices, failures) in [(vec![], 0), (vec![Notice::error("no")], 1)] {
            let xml = junit(&Account { verb: "plan", notices, ..Account::default() });
            let document = Document::parse(&xml).unwrap();
            assert_eq!(document.descendants().filter(|node| node.has_tag_name("testcase")).count(), 1, "{xml}");
            assert_eq!(document.descendants().filter(|node| node.has_tag_name("error")).count(), failures, "{xml}");
        }
    }
}
