//! Questions before deletes, at a terminal that is a real pseudo-terminal: only the number deletes, and a signal ends the question.

use rustix::process::Signal;

use crate::stage::{Gateway, Project, Run, Terminal, manifest};

/// Runs `line` where somebody reads and types `answers`, one for each question; what the terminal showed.
fn at_terminal(project: &Project, line: &str, answers: &[&str]) -> (Run, String) {
    let (screen, terminal) = Terminal::open(100);
    let running = project.call(line.split(' ')).at(&terminal).start();
    drop(terminal);
    screen.shows(ASKED);
    for answer in answers {
        screen.types(&format!("{answer}\n"));
    }
    (running.wait(), screen.end())
}

/// The same, where a signal is the answer.
fn interrupted(project: &Project, line: &str) -> (Run, String) {
    let (screen, terminal) = Terminal::open(100);
    let running = project.call(line.split(' ')).at(&terminal).start();
    drop(terminal);
    screen.shows(ASKED);
    running.signal(Signal::INT);
    (running.wait(), screen.end())
}

const ASKED: &str = "to delete, or no to keep";

fn project(gateway: &Gateway) -> Project {
    let project = Project::at(&gateway.url(), &["a", "b", "c"]);
    project.run("apply --parallelism 1").exits(0).done();
    project
}

#[test]
fn p4_only_the_number_deletes() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    for answers in [&[""][..], &["no"], &["yes", "y", "1"], &["3", "a", "0x2"]] {
        let (run, shown) = at_terminal(&project, "destroy a b", answers);
        assert!(run.code == 6 && shown.contains("not confirmed"), "{answers:?}: {} {shown}", run.code);
    }
    assert!(gateway.deleted().is_empty());
    let (run, shown) = at_terminal(&project, "destroy a b", &["yes", "2"]);
    assert!(run.code == 0 && shown.contains("2 instances will be deleted") && shown.contains("Destroy: 2 deleted."), "{shown}");
    assert_eq!(gateway.deleted().len(), 2);
}

/// Whoever mistypes is told what is expected.
#[test]
fn another_answer_than_the_number_is_told_what_is_expected() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    let (run, shown) = at_terminal(&project, "destroy a b", &["3", "x", "no"]);
    assert!(run.code == 6 && shown.contains("`3` is no answer to that: 2 or no is expected"), "{} {shown}", run.code);
    assert!(shown.contains("nothing was sent") && gateway.deleted().is_empty(), "{shown}");
}

#[test]
fn p10_a_signal_at_the_question_of_a_destroy_ends_it_and_says_that_nothing_was_sent() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    let asked = gateway.requests();
    let (run, shown) = interrupted(&project, "destroy a b");
    assert_eq!(run.code, 130, "{shown}");
    assert!(shown.contains("stopped by SIGINT") && shown.contains("nothing was sent"), "{shown}");
    assert_eq!(gateway.requests(), asked, "{shown}");
    // The state is as it was, and nobody holds it.
    let (run, shown) = at_terminal(&project, "destroy a b", &["2"]);
    assert!(run.code == 0 && gateway.deleted().len() == 2, "{} {shown}", run.code);
}

#[test]
fn p10_a_signal_at_the_question_of_a_prune_ends_it_and_nothing_is_sent() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    project.declare(&manifest("{kind: chatapi}", &["a", "d"]));
    let (run, shown) = interrupted(&project, "apply --prune --not-a-rename d");
    assert_eq!(run.code, 130, "{shown}");
    assert_eq!((gateway.creates(), gateway.deleted().len()), (3, 0), "{shown}");
    assert!(shown.contains("nothing was sent; apply again") && !shown.contains("in flight"), "{shown}");
    let (run, shown) = at_terminal(&project, "apply --prune --not-a-rename d", &["2"]);
    assert!(run.code == 0 && gateway.creates() == 4 && gateway.deleted().len() == 2, "{} {shown}", run.code);
}

#[test]
fn p10_a_signal_at_the_question_of_a_replacement_keeps_the_old_one() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway);
    let old = project.ids()["a"].clone();
    project
        .declare("instances:\n  - {name: a, type: whatsapp_dev}\n  - {name: b, type: whatsapp}\n  - {name: c, type: whatsapp}\n");
    let (run, shown) = interrupted(&project, "apply --replace a");
    assert_eq!(run.code, 130, "{shown}");
    assert_eq!((gateway.creates(), gateway.deleted().len()), (4, 0), "{shown}");
    assert!(shown.contains("was replaced, and still exists: it is still paid for"), "{shown}");
    let (run, shown) = at_terminal(&project, "apply --replace a", &["1"]);
    assert!(run.code == 0 && gateway.creates() == 4, "{} {shown}", run.code);
    assert_eq!(gateway.deleted(), [old], "{shown}");
}
