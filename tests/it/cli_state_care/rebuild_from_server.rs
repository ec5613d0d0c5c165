//! `chatapi state rebuild --from server`: what the server lists, under the names that somebody gives, and what the lock file knows.

use std::fs;

use super::done;
use crate::stage::{Account, Create, Project, manifest};

#[test]
fn a_state_is_rebuilt_from_what_the_server_lists_and_a_person_names() {
    let (gateway, project) = done(&["a", "b"]);
    let ids = project.ids();
    fs::remove_dir_all(project.state()).unwrap();
    project.run("apply").exits(8);
    project.run("state rebuild --from server").exits(1).prints(&ids["a"]).warns("--adopt NAME=");
    project.run("state rebuild --from server --adopt a=999999").exits(1).warns("against the lock file");
    project.run("state rebuild --from server --adopt c=999999").exits(1).warns("lists no 999999");
    project.run("state rebuild --from server --adopt a").exits(1).warns("NAME=ID");
    let words = format!("state rebuild --from server --adopt a={} --adopt b={}", ids["a"], ids["b"]);
    let run = project.run(&words).exits(0).prints("2 instances without token");
    assert!(!run.stderr.contains("the address of an instance is missing"), "the list has told it: {run}");
    assert!(project.run("state list --format json").exits(0).json()[0]["api_url"].is_string());
    project.run("apply").exits(3).warns("its token is missing");
    for (name, id) in &ids {
        project.call(["token", "set", name]).input(gateway.tokens()[id].clone()).run().exits(0);
    }
    project.run("apply").exits(0).prints("Nothing to do: 2 instances");
    assert_eq!((project.ids(), gateway.creates()), (ids, 2));
}

#[test]
fn p5_a_rebuild_from_the_server_keeps_what_the_lock_file_knows_besides() {
    let (gateway, project) = done(&["a", "b"]);
    let ids = project.ids();
    fs::remove_dir_all(project.state()).unwrap();
    project.run(&format!("state rebuild --from server --adopt a={}", ids["a"])).exits(0).prints("2 instances without token");
    project.run("apply").exits(3);
    assert_eq!((project.ids(), gateway.creates()), (ids, 2));
}

/// `a` was called gone, and what it had has been taken in as `b`: whoever names neither of them loses neither.
#[test]
fn p1_a_rebuild_from_the_server_knows_what_passed_from_one_name_to_another() {
    for named in [&["keep"][..], &["keep", "b"]] {
        let account = Account::start();
        let project = Project::at(&account.url(), &["a", "keep"]);
        project.run("apply --parallelism 1 --allow-unknown all").exits(0);
        let ids = project.ids();
        account.hide(&[&[&ids["a"]]]);
        project.declare(&manifest("{kind: chatapi}", &["keep"]));
        project.run("destroy a --yes --max-deletes 1 --settle-after 0s").done_or_doubtful();
        account.hide(&[&[]]);
        project.run(&format!("import b --id {}", ids["a"])).exits(0);
        let all = project.ids();
        project.declare(&manifest("{kind: chatapi}", &["a", "b", "keep"]));
        fs::remove_dir_all(project.state()).unwrap();
        let adopt = named.iter().map(|name| format!(" --adopt {name}={}", all[*name])).collect::<Vec<_>>().concat();
        project.run(&format!("state rebuild --from server{adopt}")).exits(0).prints("2 instances");
        assert_eq!(project.ids(), all, "{named:?}");
        project.run("apply").exits(6).warns("`--recreate a`");
        project.run("apply --target b").exits(3).warns("token");
        assert_eq!(account.creates(), 2, "{named:?}");
    }
}

/// P9: an id of one server is another instance on another.
#[test]
fn p9_a_rebuild_from_the_server_takes_no_lock_file_to_another_server_or_account() {
    let account = Account::start();
    let project = Project::at(&account.url(), &["a", "b"]);
    project.run("apply --parallelism 1 --allow-unknown all").exits(0);
    fs::remove_dir_all(project.state()).unwrap();
    let (before, ids, foreign) = (project.read("chatapi.lock"), account.ids(), account.foreign("whatsapp"));
    let elsewhere = Account::start();
    let words = format!("state rebuild --from server --adopt x={foreign}");
    let run = project.call(words.split(' ')).env("CHATAPI_URL", elsewhere.url()).run();
    run.exits(1)
        .warns("the instances of the lock file are on")
        .warns("`--from lock`, then `state rebind`")
        .done_with("nothing was written");
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    account.hide(&[&all]);
    let run = project.run(&words).exits(1).warns("the server lists none of the 2 instances of the lock file");
    run.done_with("the API key says which account is asked");
    project.run("state list").exits(8);
    assert_eq!(project.read("chatapi.lock"), before);
    account.hide(&[&all[..1]]);
    project.run(&words).exits(0).prints("3 instances");
}

#[test]
fn p1_what_is_adopted_is_named_once_and_not_against_the_lock_file() {
    let (_gateway, project) = done(&["a", "b"]);
    let ids = project.ids();
    fs::remove_dir_all(project.state()).unwrap();
    for (one, two, why) in [("a", "a", "a second time"), ("a", "b", "a second time"), ("c", "c", "against the lock file")] {
        let words = format!("state rebuild --from server --adopt {one}={} --adopt {two}={}", ids["a"], ids["a"]);
        let words = if one == "c" { format!("state rebuild --from server --adopt c={}", ids["a"]) } else { words };
        project.run(&words).exits(1).warns(why).warns("nothing was written");
        assert!(!project.path("state/journal.jsonl").exists(), "{words}");
    }
}

/// What was being created is of its type: an instance of another one is not what came of it.
#[test]
fn p1_a_doubt_is_not_ended_by_an_instance_of_another_type() {
    let account = Account::start();
    let project = Project::at(&account.url(), &["a", "c"]);
    account.next(&[Create::Made, Create::Lost]);
    project.run("apply --parallelism 1 --allow-unknown all").exits(3).done_or_doubtful();
    let (made, other) = (account.newest(), account.foreign("whatsapp_dev"));
    fs::remove_dir_all(project.state()).unwrap();
    let before = project.read("chatapi.lock");
    let run = project.run(&format!("state rebuild --from server --adopt c={other}")).exits(1);
    let told = format!("`c` was being created as whatsapp by the lock file, and {other} is whatsapp_dev");
    run.warns(&told).done_with("nothing was written; another id, or another name for this one");
    assert_eq!(project.read("chatapi.lock"), before);
    project.run(&format!("state rebuild --from server --adopt c={made}")).exits(0).prints("2 instances without token").done();
    project.run("apply").exits(3).prints("0 created").done_or_doubtful();
    assert_eq!((project.ids()["c"].clone(), account.creates()), (made, 2));
}

/// P9: a list does not say what was protected: what it brings back is not deleted without a word.
#[test]
fn p9_what_is_adopted_from_a_list_is_protected() {
    let (gateway, project) = done(&["a", "b"]);
    let ids = project.ids();
    fs::remove_dir_all(project.state()).unwrap();
    let lock = project.read("chatapi.lock");
    fs::remove_file(project.lock_file()).unwrap();
    let adopt = format!("state rebuild --from server --adopt a={} --adopt b={}", ids["a"], ids["b"]);
    let run = project.run(&adopt).exits(0).warns("the server does not say what was protected");
    run.done_with("what is not declared stays protected");
    project.run("destroy b --yes --max-deletes 1").exits(6).done_with("`b` is protected");
    project.declare(&manifest("{kind: chatapi}", &["a"]));
    let prune = project.run("apply --prune --yes --max-deletes 1").exits(6).prints("nothing was sent");
    prune.done_with("`b` is protected, and would be deleted");
    assert!(gateway.deleted().is_empty());
    // What the lock file knows is as that says.
    fs::remove_dir_all(project.state()).unwrap();
    project.write("chatapi.lock", lock);
    let run = project.run(&adopt).exits(0);
    assert!(!run.stderr.contains("protected"), "{run}");
    project.run("destroy b --yes --max-deletes 1").exits(0).done();
    assert_eq!(gateway.deleted(), [ids["b"].clone()]);
}

/// An older lock file names what was deleted since: that is told, and there is a way on.
#[test]
fn p9_what_a_lock_file_names_and_the_server_does_not_list_is_told() {
    let (gateway, project) = done(&["a", "b"]);
    let older = project.read("chatapi.lock");
    let old = project.ids()["b"].clone();
    project.run("apply --replace b --yes --max-deletes 1").exits(0).done_or_doubtful();
    let new = project.ids()["b"].clone();
    fs::remove_dir_all(project.state()).unwrap();
    project.write("chatapi.lock", older);
    let run = project.run(&format!("state rebuild --from server --adopt b={new}")).exits(1).warns("is against the lock file");
    run.warns(&format!("the server does not list {old}")).done_with("`chatapi state rebuild --from lock` first");
    let run = project.run(&format!("state rebuild --from server --adopt b2={new}")).exits(0);
    run.warns(&format!("`b` is {old} by the lock file, and the server does not list that")).done_with("`chatapi drift`");
    project.run("drift").warns("destroy b").done_or_doubtful();
    assert_eq!(gateway.creates(), 3);
}
