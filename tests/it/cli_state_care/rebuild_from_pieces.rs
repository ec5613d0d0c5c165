//! `chatapi state rebuild --from journal`: what the intact lines beside damaged ones still tell, and which witness is right.

use std::fs;

use super::rebuild::{garble, rebuilt};
use super::{done, journal};
use crate::stage::{Gateway, Project, manifest};

/// What stands in intact lines beside a damaged one, with its token: the new instance, and the one that it has replaced.
#[test]
fn p3_a_lost_line_of_a_replacement_costs_neither_id_nor_token() {
    for word in ["\"replacing\"", "\"created\"", "\"listed\""] {
        for has_witness in [true, false] {
            let (gateway, project) = done(&["a", "b"]);
            let old = project.ids()["a"].clone();
            project.run("apply --replace a").exits(0).done_or_doubtful();
            let new = project.ids()["a"].clone();
            let text = journal(&project);
            let last = text.lines().rfind(|line| line.contains(word)).unwrap_or_else(|| panic!("{word}: {text}")).to_owned();
            if has_witness {
                project.write("state/journal.jsonl", text.replacen(&last, "{\"damaged", 1));
            } else {
                garble(&project, |line| line == last);
            }
            rebuilt(&project);
            assert_eq!((&project.ids()["a"], &project.ids()[&format!("a.{old}")]), (&new, &old), "{word}");
            for (name, id) in [("a", &new), (&*format!("a.{old}"), &old)] {
                assert_eq!(project.token(name), gateway.tokens()[id], "{word}: {name}");
            }
            project.run("apply").done_or_doubtful();
            // What became of the old one may be in the line that is gone: then it is protected.
            let run = project.run("apply --prune --yes --max-deletes 9");
            assert!(run.code == 0 || run.code == 6, "{run}");
            assert!(gateway.deleted().iter().all(|id| *id == old), "{word}: {run}");
            assert_eq!(gateway.creates(), 3, "{word}: {run}");
        }
    }
}

/// A lock file that was put back is older than the index, which has seen all that it tells of, and what came of that.
#[test]
fn p3_an_older_lock_file_overrules_no_index_that_has_seen_more() {
    let (gateway, project) = done(&["a", "b", "c"]);
    let older = project.read("chatapi.lock");
    let ids = project.ids();
    project.declare(&manifest("{kind: chatapi}", &["b", "c"]));
    project.run("state mv a moved").exits(0).done();
    project.run("destroy b --yes --max-deletes 1").exits(0).done();
    project.run("apply --recreate b").exits(0).done_or_doubtful();
    let (now, text) = (project.ids(), journal(&project));
    let damaged = text.lines().find(|line| line.contains("\"moved\"")).unwrap();
    project.write("state/journal.jsonl", text.replacen(damaged, "{\"damaged", 1));
    project.write("chatapi.lock", older);
    rebuilt(&project);
    assert_eq!(project.ids(), now);
    assert_eq!(project.token("moved"), gateway.tokens()[&ids["a"]]);
    assert_eq!(project.token("b"), gateway.tokens()[&now["b"]]);
    let run = project.run("state list --format json").exits(0).json();
    assert_eq!(run.as_array().unwrap().len(), 3, "{run}");
    project.run("apply").exits(0).prints("0 created, 2 unchanged, 1 orphaned").done_or_doubtful();
    assert_eq!(gateway.creates(), 4);
}

/// The answer with its id and token is there, and the entry that tells whose it was is not.
#[test]
fn p3_an_answer_whose_name_is_lost_is_kept_under_a_name_of_its_own() {
    for is_told_elsewhere in [true, false] {
        let (gateway, project) = done(&["a"]);
        project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
        project.run("apply").exits(0).done_or_doubtful();
        let (ids, lock) = (project.ids(), project.read("chatapi.lock"));
        garble(&project, |line| line.contains("\"intent\"") && line.contains("\"b\""));
        let held = if is_told_elsewhere { "b".to_owned() } else { format!("lost.{}", ids["b"]) };
        if !is_told_elsewhere {
            fs::remove_file(project.lock_file()).unwrap();
        }
        let run = project.run("state rebuild --from journal").exits(0).prints("Rebuilt: 2 names, 0 of them in doubt");
        let told = format!("`chatapi state mv {held} NAME`");
        assert_eq!(run.stderr.contains(&told), !is_told_elsewhere, "{run}");
        run.done_or_doubtful();
        assert_eq!(project.run("state list --format json").exits(0).json().as_array().unwrap().len(), 2);
        if !is_told_elsewhere {
            // Nobody pays for it twice without having been asked.
            let before = gateway.creates();
            project.run("apply").exits(6).warns(&held).done_with("a rename would pay for a second instance");
            assert_eq!((gateway.creates(), project.token(&held)), (before, gateway.tokens()[&ids["b"]].clone()));
            project.run(&format!("state mv {held} b")).exits(0).done();
            project.run("apply").exits(0).prints("0 created").done_or_doubtful();
        }
        assert_eq!((gateway.creates(), project.ids() == ids), (2, true), "{lock}");
    }
}

/// The journal with the first line that `is_bad` damaged, and everything else as it is.
fn damaged(project: &Project, is_bad: impl Fn(&&str) -> bool) {
    let text = journal(project);
    let line = text.lines().find(is_bad).unwrap_or_else(|| panic!("{text}")).to_owned();
    project.write("state/journal.jsonl", text.replacen(&line, "{\"damaged", 1));
}

#[test]
fn p3_what_the_index_knows_comes_with_the_token_that_the_journal_has() {
    let (gateway, project) = done(&["a", "b"]);
    damaged(&project, |line| line.contains("\"intent\"") && line.contains("\"b\""));
    rebuilt(&project);
    for (name, id) in project.ids() {
        assert_eq!(project.token(&name), gateway.tokens()[&id], "{name}");
    }
    project.run("apply").exits(0).prints("Nothing to do").done_or_doubtful();
    // A token that was set by hand, under a name that a lost line gave.
    let (gateway, project) = done(&["a"]);
    project.run("state mv a site").exits(0).done();
    project.declare(&manifest("{kind: chatapi}", &["site"]));
    let typed = "Token0that0the0operator0brings";
    project.call(["token", "set", "site", "--replace"]).input(typed).run().exits(0).done_or_doubtful();
    damaged(&project, |line| line.contains("\"moved\""));
    rebuilt(&project);
    assert_eq!(project.token("site"), typed);
    assert_eq!(gateway.creates(), 1);
}

/// What is sealed is sealed under a name: where nobody knows that, the token is missing, and not there and useless.
#[test]
fn p3_a_sealed_token_whose_name_is_lost_is_missing() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    let public = project.run("key generate --output key.txt").exits(0).stdout;
    let seal = |names: &[&str]| format!("seal_to: [{}]\n{}", public.trim_end(), manifest("{kind: chatapi}", names));
    project.declare(&seal(&["a"]));
    project.run("apply").exits(0).done();
    project.declare(&seal(&["a", "b"]));
    project.run("apply").exits(0).done();
    let id = project.ids()["b"].clone();
    garble(&project, |line| line.contains("\"intent\"") && line.contains("\"b\""));
    fs::remove_file(project.lock_file()).unwrap();
    project.run("state rebuild --from journal").exits(0).warns("1 instance is without token").done_or_doubtful();
    project.run(&format!("state mv lost.{id} b")).exits(0).done_or_doubtful();
    project.run("apply").exits(3).warns("its token is missing").done_or_doubtful();
    assert_eq!(project.run("token get a --identity key.txt").exits(0).stdout.trim_end(), gateway.tokens()[&project.ids()["a"]]);
    assert_eq!(gateway.creates(), 2);
}

/// It may be of any type, and it is deleted by nobody who has not named it.
#[test]
fn p1_p9_what_has_lost_its_name_is_protected_and_asked_about() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &[]);
    let entry = |name: &str, kind: &str| format!("  - {{name: {name}, type: {kind}, protect: true}}\n");
    let one = format!("instances:\n{}", entry("a", "whatsapp"));
    let both = format!("{one}{}", entry("b", "whatsapp_dev"));
    project.declare(&both);
    project.run("apply").exits(0).done_or_doubtful();
    garble(&project, |line| line.contains("\"intent\"") && line.contains("\"b\""));
    fs::remove_file(project.lock_file()).unwrap();
    project.run("state rebuild --from journal").exits(0).done_or_doubtful();
    project.run("apply").exits(6).done_with("a rename would pay for a second instance");
    // One line has protected both.
    project.run("destroy a --yes --max-deletes 1").exits(6).done_with("`a` is protected");
    project.declare(&one);
    project.run("apply --prune --yes --max-deletes 9").exits(6).done_with("is protected");
    assert_eq!((gateway.creates(), gateway.deleted().len()), (2, 0));
}

/// It was rebuilt before: a lock file from before that is older than the index all the same.
#[test]
fn p3_an_older_lock_file_overrules_nothing_after_an_earlier_rebuild() {
    let (gateway, project) = done(&["a", "b"]);
    let older = project.read("chatapi.lock");
    damaged(&project, |line| line.contains("\"run\""));
    rebuilt(&project);
    project.run("state mv a site").exits(0).done_or_doubtful();
    project.declare(&manifest("{kind: chatapi}", &["site", "b"]));
    project.run("apply --replace b").exits(0).done_or_doubtful();
    let now = project.ids();
    for word in ["\"moved\"", "\"replacing\"", "\"intent\""] {
        damaged(&project, |line| line.contains(word));
    }
    project.write("chatapi.lock", older);
    rebuilt(&project);
    assert_eq!(now.iter().filter(|(name, id)| project.ids().get(*name) == Some(id)).count(), 3, "{:?}", project.ids());
    assert_eq!(project.token("b"), gateway.tokens()[&now["b"]]);
    project.run("apply").done_or_doubtful();
    assert_eq!(gateway.creates(), 3);
}

/// A token that was set under a name is of the instance that the name had then.
#[test]
fn p3_no_token_is_given_to_another_instance() {
    let (gateway, project) = done(&["a"]);
    let old = project.ids()["a"].clone();
    project.run("apply --replace a").exits(0).done_or_doubtful();
    let typed = "Token0that0the0operator0brings";
    project.call(["token", "set", "a", "--replace"]).input(typed).run().exits(0).done_or_doubtful();
    let text = journal(&project);
    let from = text.lines().position(|line| line.contains("\"replacing\"")).unwrap();
    let upto = text.lines().enumerate().filter(|(_, line)| line.contains("\"created\"")).last().unwrap().0;
    let rest = |at: usize| !(from..=upto).contains(&at);
    let lines = text.lines().enumerate().map(|(at, line)| if rest(at) { line } else { "#" });
    project.write("state/journal.jsonl", lines.collect::<Vec<_>>().join("\n") + "\n");
    rebuilt(&project);
    assert_eq!(project.token("a"), typed);
    assert_eq!(project.token(&format!("a.{old}")), gateway.tokens()[&old]);
}

/// Where the name was about to be tried, by the lock file alone, the answer is that name's.
#[cfg(feature = "failpoints")]
#[test]
fn p1_the_one_answer_without_a_name_is_of_the_one_name_without_an_answer() {
    let (gateway, project) = done(&["a"]);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    let died = project.call(["apply"]).env("CHATAPI_FAILPOINT", "journal-after-created=kill").run();
    assert!(died.code != 0, "{died}");
    damaged(&project, |line| line.contains("\"intent\"") && line.contains("\"b\""));
    rebuilt(&project);
    let id = project.ids()["b"].clone();
    assert_eq!(project.token("b"), gateway.tokens()[&id]);
    project.run("apply").exits(0).prints("Nothing to do").done_or_doubtful();
    assert_eq!(gateway.creates(), 2);
}
