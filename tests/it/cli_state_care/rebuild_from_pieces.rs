//! `chatapi state rebuild --from journal`: what the intact lines beside damaged ones still tell, and which witness is right.

use std::fs;

use super::rebuild::{garble, rebuilt};
use super::{done, journal};
use crate::stage::manifest;

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
            project.run("apply").exits(0).prints("Nothing to do").done_or_doubtful();
        }
        assert_eq!((gateway.creates(), project.ids() == ids), (2, true), "{lock}");
    }
}
