//! `--junit-into` and `--gitlab-into`, read back by a parser that is not ours.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};

use crate::stage::{Gateway, Project, manifest};

const FILES: &str = "--junit-into out.xml --gitlab-into out.json";

/// Each test case's verdict, and the counts on the suite: tests, failures, errors, skipped.
fn verdicts(project: &Project) -> (BTreeMap<String, String>, [usize; 4]) {
    let xml = project.read("out.xml");
    let document = Document::parse(&xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
    let verdict = |case: Node<'_, '_>| case.first_element_child().map_or("passed", |node| node.tag_name().name()).to_owned();
    let cases = document.descendants().filter(|node| node.has_tag_name("testcase"));
    let cases = cases.map(|case| (case.attribute("name").unwrap().to_owned(), verdict(case))).collect();
    let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    let count = |name| suite.attribute(name).unwrap().parse().unwrap();
    (cases, ["tests", "failures", "errors", "skipped"].map(count))
}

/// How long the suite took, and each test case that says it, in seconds.
fn times(project: &Project) -> Vec<Option<f64>> {
    let xml = project.read("out.xml");
    let document = Document::parse(&xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
    let timed = document.descendants().filter(|node| node.has_tag_name("testsuite") || node.has_tag_name("testcase"));
    timed.map(|node| node.attribute("time").map(|time| time.parse().unwrap())).collect()
}

fn cases(wanted: &[(&str, &str)]) -> BTreeMap<String, String> {
    wanted.iter().map(|(name, verdict)| ((*name).to_owned(), (*verdict).to_owned())).collect()
}

#[test]
fn p7_every_name_is_a_test_case_with_its_verdict() {
    let gateway = Gateway::start(&["create:nth=2=drop-after", "create:nth=3=refuse:<no> & \"none\""]);
    let project = Project::at(&gateway.url(), &["a", "b", "c"]);
    project.run(&format!("plan {FILES}")).exits(0).done();
    assert_eq!(times(&project)[1..], [None; 3], "a plan asks nothing of the server");
    assert_eq!(verdicts(&project), (cases(&[("a", "passed"), ("b", "passed"), ("c", "passed")]), [3, 0, 0, 0]));
    assert_eq!(project.read("out.json"), "{\"create\":3,\"delete\":0,\"update\":0}\n");
    project.run(&format!("apply --parallelism 1 {FILES}")).exits(3).done_with("c refused");
    assert_eq!(verdicts(&project), (cases(&[("a", "passed"), ("b", "error"), ("c", "failure")]), [3, 1, 1, 0]));
    let longest: f64 = times(&project)[1..].iter().flatten().copied().fold(0.0, f64::max);
    assert!(times(&project)[0] >= Some(longest) && times(&project).len() == 4, "{:?}", times(&project));
    let xml = project.read("out.xml");
    let document = Document::parse(&xml).unwrap();
    let case = |name| document.descendants().find(|node| node.attribute("name") == Some(name)).unwrap();
    assert_eq!((case("b").attribute("file"), case("b").attribute("line")), (Some("instances.yaml"), Some("4")));
    let text = case("b").first_element_child().unwrap().text().unwrap();
    assert!(text.contains(&format!("chatapi resolve b --attempt {} --not-created", project.attempt("b"))), "{text}");
    let refused = case("c").first_element_child().unwrap();
    assert_eq!(refused.attribute("type"), Some("refused"));
    assert!(refused.attribute("message").unwrap().starts_with("<no> & \"none\""), "{xml}");
    assert_eq!(project.read("out.json"), "{\"create\":1,\"delete\":0,\"update\":0}\n");
}

#[test]
fn what_stops_a_run_fails_and_what_was_not_tried_is_skipped() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run(&format!("apply --max-creates 1 {FILES}")).exits(6).done_with("nothing was sent");
    let expected = cases(&[("chatapi apply", "failure"), ("a", "skipped"), ("b", "skipped")]);
    assert_eq!(verdicts(&project), (expected, [3, 1, 0, 2]));
    project.run("apply").exits(0).done();
    project.declare(&manifest("{kind: chatapi}", &["a"]).replace("whatsapp", "whatsapp_dev"));
    project.run(&format!("apply {FILES}")).exits(6).done_with("a type cannot be changed");
    assert_eq!(verdicts(&project), (cases(&[("a", "failure"), ("b", "passed")]), [2, 1, 0, 0]));
    project.declare(&manifest("{kind: chatapi}", &["a", "c"]));
    project.run(&format!("apply {FILES}")).exits(6).done_with("--not-a-rename c");
    assert_eq!(verdicts(&project).0, cases(&[("a", "passed"), ("b", "passed"), ("c", "failure")]));
}

#[test]
fn a_run_that_fails_early_has_a_report_and_gitlab_none_that_says_no_changes() {
    let project = Project::new("instances:\n  - {name: a, type: x}\n  - {name: a, type: whatsapp}\n");
    project.run(&format!("plan {FILES}")).exits(1).done_with("unknown type");
    let (cases, counts) = verdicts(&project);
    assert_eq!((counts[0], counts[1], cases["instances.yaml:2:21"].as_str()), (2, 2, "failure"));
    assert_eq!(project.read("out.json"), "{}\n");
    project.declare(&manifest("{kind: chatapi}", &["a"]));
    project.run(&format!("apply {FILES}")).exits(1).done_with("CHATAPI_URL");
    assert_eq!(verdicts(&project), (self::cases(&[("chatapi apply", "error")]), [1, 0, 1, 0]));
}

#[test]
fn a_title_is_cut_to_a_bearable_length() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    let title = "long ".repeat(10_000);
    project.call(["plan", "--title", title.as_str(), "--junit-into", "out.xml"]).run().exits(0).done();
    let xml = project.read("out.xml");
    assert!(xml.contains("name=\"long long ") && xml.len() < 2_000, "{}", xml.len());
}
