//! `chatapi state rebind`: another key or address, and no other account.

use std::fs;

use chatapi::emulator::account_hash;

use super::doubtful;
use crate::stage::{Gateway, Project, manifest};

#[test]
fn t1_the_same_account_under_another_key_and_address_is_bound_when_the_list_shows_that_it_is() {
    let data = tempfile::tempdir().unwrap();
    let gateway = Gateway::start_in(data.path());
    let project = Project::at(&gateway.url(), &["a", "b"]).with("CHATAPI_API_KEY", "the-first-key-of-it");
    project.run("apply").exits(0);
    let other_key = |words: &[&str]| project.call(words).env("CHATAPI_API_KEY", "the-renewed-key-of-it").run();
    other_key(&["apply"]).exits(1).warns("the API key differs").warns("state rebind");
    other_key(&["state", "rebind"]).exits(6).warns("does not list 2 of this state's 2 instances: 100001, 100002");
    gateway.stop();
    // The provider gives the account another key; the server comes up at another address.
    let ledger = data.path().join("ledger.jsonl");
    let text = fs::read_to_string(&ledger).unwrap();
    let renewed = text.replace(&account_hash("the-first-key-of-it"), &account_hash("the-renewed-key-of-it"));
    assert_ne!(text, renewed);
    fs::write(&ledger, renewed).unwrap();
    let gateway = Gateway::start_in(data.path());
    let project = project.with("CHATAPI_URL", gateway.url()).with("CHATAPI_API_KEY", "the-renewed-key-of-it");
    project.run("apply").exits(1).warns("the state belongs to").warns("state rebind");
    project.run("state rebind").exits(0).prints("lists all of its instances (2)");
    project.run("state rebind").exits(0).prints("already");
    project.run("apply").exits(0).prints("Nothing to do: 2 instances");
    project.call(["apply"]).env("CHATAPI_API_KEY", "the-first-key-of-it").run().exits(1).warns("the API key differs");
    project.run("state history").exits(0).prints("rebound").prints("lists all of its instances (2)");
    assert_eq!(gateway.creates(), 0);
}

#[test]
fn t1_another_account_is_not_taken_for_the_same() {
    let (gateway, project) = doubtful();
    let other = Gateway::start(&[]);
    let elsewhere = |words: &[&str]| project.call(words).env("CHATAPI_URL", other.url()).run();
    elsewhere(&["apply"]).exits(1).warns("not to").warns("state rebind");
    elsewhere(&["state", "rebind"]).exits(6).warns("something is in doubt").warns("nothing was changed");
    elsewhere(&["state", "rebind", "--despite-list"]).exits(1).warns("--reason");
    let despite = ["state", "rebind", "--despite-list", "--reason", "moved by the provider"];
    elsewhere(&despite).exits(6).warns("something is in doubt").warns("doubts --refresh");
    // The other account has an instance of that id by now, and of that type too: what is in doubt still speaks against it.
    let stranger = Project::at(&other.url(), &["x"]);
    stranger.run("apply").exits(0);
    assert_eq!(stranger.ids()["x"], project.ids()["a"]);
    elsewhere(&["state", "rebind"]).exits(6).warns("something is in doubt");
    let attempt = project.attempt("b");
    project.call(["resolve", "b", "--attempt", &attempt, "--not-created", "--offline", "--reason", "test"]).run().exits(0);
    let third = Gateway::start(&[]);
    let odd = Project::at(&third.url(), &[]);
    odd.declare("version: 1\nprovider: {kind: chatapi}\ninstances: [{name: x, type: whatsapp_dev}]\n");
    odd.run("apply").exits(0);
    let there = |words: &[&str]| project.call(words).env("CHATAPI_URL", third.url()).run();
    let refused = there(&["state", "rebind"]).exits(6).warns("does not list 1 of this state's 1 instance: ");
    refused.warns("--despite-list --reason").warns("nothing was changed");
    there(&despite).exits(0).prints("from now on").prints("does not list 1");
    there(&["plan"]).exits(0).prints("1 to create");
    project.run("state history").exits(0).prints("moved by the provider");
    assert_eq!((gateway.creates(), other.creates(), third.creates()), (2, 1, 1));
}

#[test]
fn what_is_bound_to_nothing_or_to_the_emulator_is_not_rebound() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &[]);
    project.run("apply").exits(0);
    project.run("state rebind").exits(1).warns("no server yet");
    project.declare(&manifest("{kind: emulator}", &["a"]));
    project.run("apply").exits(0);
    project.run("state rebind").exits(1).warns("embedded emulator");
    assert_eq!(gateway.requests(), 0);
}
