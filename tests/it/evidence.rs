//! P1: whose an instance is. Nothing of what is recorded or was ever listed is forgotten when something is taken in, settled or created.

use crate::stage::{Account, Create, Project, manifest};

fn project(account: &Account, names: &[&str]) -> Project {
    let project = Project::at(&account.url(), names);
    project.run("apply --parallelism 1 --allow-unknown all").done_or_doubtful();
    project
}

#[cfg(feature = "failpoints")]
fn apply_dying_at(project: &Project, words: &str, point: &str) {
    let died = project.call(words.split(' ')).env("CHATAPI_FAILPOINT", format!("{point}=kill")).run();
    assert!(died.code > 1_000, "{died}");
}

#[cfg(feature = "failpoints")]
/// `a`, and `b`, whose answer is recorded and not read; the id in it.
fn received(account: &Account) -> (Project, String) {
    let project = project(account, &["a"]);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    apply_dying_at(&project, "apply", "journal-after-received");
    (project, account.newest())
}

#[cfg(feature = "failpoints")]
#[test]
fn p1_an_id_in_a_recorded_answer_is_known_to_what_looks() {
    let account = Account::start();
    let (project, id) = received(&account);
    let before = project.read("state/journal.jsonl");
    let drift = project.run("drift --detailed-exitcode").exits(0).prints("No drift: 2 instances checked");
    drift.warns(&format!("the answer to the create of `b` is on record: {id}")).done_with("an apply finishes it");
    let found = project.run("import --discover").exits(0).prints("instances: []");
    assert!(!found.stdout.contains(&id), "{found}");
    let taken = project.run(&format!("import other --id {id}")).exits(1).warns(&format!("{id} is recorded already, as `b`"));
    taken.done_with("apply` finishes");
    assert_eq!(project.read("state/journal.jsonl"), before, "nothing is written");
    let entry =
        format!("{}import: [{{name: other, id: '{id}', type: whatsapp}}]\n", manifest("{kind: chatapi}", &["a", "other"]));
    project.declare(&entry);
    project.run("apply").exits(1).done_with(&format!("the id {id} belongs to `b`"));
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0).prints("Nothing to do: 2 instances").done();
    assert_eq!((project.ids()["b"].as_str(), account.creates()), (id.as_str(), 2));
}

#[cfg(feature = "failpoints")]
#[test]
fn p1_what_writes_finishes_recorded_answers_first() {
    let account = Account::start();
    let (project, id) = received(&account);
    let foreign = account.foreign("whatsapp");
    project.run(&format!("import desk --id {foreign}")).exits(0).done();
    assert_eq!(project.ids()["b"], id, "its answer is read");
    assert_eq!(project.token("b"), format!("tok0of0instance0{id}"));
    project.run("state verify").exits(0).done();
    project.declare(&manifest("{kind: chatapi}", &["a", "b", "desk"]));
    project.run("apply").exits(3).done_with("1 without token");
    assert_eq!(account.creates(), 2);
}

#[cfg(feature = "failpoints")]
#[test]
fn p1_a_recorded_answer_is_no_other_attempts_instance() {
    let account = Account::start();
    let project = project(&account, &["a"]);
    account.next(&[Create::Nothing]);
    project.declare(&manifest("{kind: chatapi}", &["a", "x"]));
    project.run("apply").exits(3).done_with("1 in doubt");
    project.declare(&manifest("{kind: chatapi}", &["a", "b", "x"]));
    apply_dying_at(&project, "apply", "journal-after-received");
    let (id, attempt) = (account.newest(), project.attempt("x"));
    project.run("doubts --refresh").exits(3).prints("shows nothing new yet").done_with("x");
    for how in ["", " --offline", " --despite-list --reason sure"] {
        let run = project.run(&format!("resolve x --attempt {attempt} --created {id}{how}"));
        assert!(matches!(run.code, 1 | 6), "{run}");
        run.done_with(&format!("cannot have created {id}, which is `b`"));
    }
    project.run("apply").exits(3).done_with("1 in doubt");
    assert_eq!(project.ids()["b"], id);
}

/// An answer that proves nothing makes its attempt one that may have created what is new.
#[cfg(feature = "failpoints")]
#[test]
fn p1_an_unread_answer_that_proves_nothing_is_a_doubt() {
    let account = Account::start();
    let project = project(&account, &["a"]);
    account.next(&[Create::Lost]);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    apply_dying_at(&project, "apply", "journal-after-received");
    let id = account.newest();
    project.run(&format!("import other --id {id}")).exits(6).done_with("it may have created that");
    let found = project.run("import --discover").exits(0).prints("instances: []");
    found.prints("is left out: attempt").done();
}

/// What was listed before an attempt is not its instance, whatever another attempt's list says.
#[test]
fn p16_what_was_there_before_an_attempt_is_not_what_it_created() {
    let account = Account::start();
    let project = project(&account, &["a"]);
    account.next(&[Create::Lost, Create::Nothing]);
    project.declare(&manifest("{kind: chatapi}", &["a", "x"]));
    project.run("apply").exits(3).done_with("1 in doubt");
    let id = account.newest();
    project.declare(&manifest("{kind: chatapi}", &["a", "x", "z"]));
    project.run("apply").exits(3).done_with("2 in doubt");
    let (x, z) = (project.attempt("x"), project.attempt("z"));
    let wrong = project.run(&format!("resolve z --attempt {z} --created {id}")).exits(6);
    wrong.warns(&format!("does not list {id} as new since the attempt")).done_with("--despite-list");
    let entry =
        format!("{}resolutions: [{{name: z, attempt: {z}, created: '{id}'}}]\n", manifest("{kind: chatapi}", &["a", "x", "z"]));
    project.declare(&entry);
    project.run("apply").exits(6).done_with("as new since the attempt");
    project.run(&format!("resolve x --attempt {x} --created {id}")).exits(0).done();
}

/// `a`, and `x` in doubt, which made one that a list since has shown and later ones do not.
fn shown_once(provider: &str) -> (Account, Project, String) {
    let account = Account::start();
    let project = Project::at(&account.url(), &[]);
    project.declare(&manifest(provider, &["a"]));
    project.run("apply").exits(0).done();
    account.next(&[Create::Lost]);
    project.declare(&manifest(provider, &["a", "x"]));
    project.run("apply").exits(3).done_with("1 in doubt");
    let id = account.newest();
    account.hide(&[&[&id]]);
    (account, project, id)
}

const PLAIN: &str = "{kind: chatapi}";

#[test]
fn p1_p16_what_a_list_since_the_attempt_has_shown_is_not_absent() {
    let (account, project, id) = shown_once(PLAIN);
    let attempt = project.attempt("x");
    project.run("doubts --refresh --settle-after 0s").exits(3).done_with("a list since the attempt has shown");
    let run = project.run(&format!("resolve x --attempt {attempt} --not-created --settle-after 0s")).exits(6);
    run.warns("a list since the attempt has shown").done_with("--despite-list");
    let entry = format!("{}resolutions: [{{name: x, attempt: {attempt}, not-created: true}}]\n", manifest(PLAIN, &["a", "x"]));
    project.declare(&entry);
    project.run("apply --settle-after 0s").exits(6).done_with("a list since the attempt has shown");
    // Another run's list in between takes the evidence not away, and a new journal neither.
    project.declare(&manifest(PLAIN, &["a", "x", "z"]));
    project.run("apply --allow-unknown all").exits(3).done_with("1 created");
    project.run("state compact").exits(0).done();
    project.run("state verify").exits(0).done();
    let again = format!("resolve x --attempt {attempt} --not-created --settle-after 0s");
    project.run(&again).exits(6).done_with("a list since the attempt has shown");
    // Listed again, it is what it is.
    account.hide(&[]);
    project.run(&format!("resolve x --attempt {attempt} --created {id}")).exits(0).done();
    assert_eq!(account.creates(), 3);
}

#[test]
fn p1_an_exclusive_account_is_no_reason_to_forget_a_list() {
    let (account, project, _) = shown_once("{kind: chatapi, exclusive: true}");
    project.run("apply --settle-after 0s").exits(3).done_with("1 in doubt");
    assert_eq!(account.creates(), 2);
}

/// Two entries, each with lists of its own: what the first ones show counts for the second.
#[test]
fn p1_what_any_list_of_the_run_shows_is_not_called_absent() {
    let account = Account::start();
    let project = project(&account, &["a"]);
    account.next(&[Create::Lost, Create::Lost]);
    project.declare(&manifest(PLAIN, &["a", "x", "z"]));
    // Nothing is listed between the run and the next.
    account.hide(&[&[], &["80002", "80003"]]);
    project.run("apply --parallelism 1").exits(3).done_with("2 in doubt");
    let (x, z) = (project.attempt("x"), project.attempt("z"));
    let entries =
        format!("resolutions: [{{name: z, attempt: {z}, created: '80003'}}, {{name: x, attempt: {x}, not-created: true}}]\n");
    project.declare(&(manifest(PLAIN, &["a", "x", "z"]) + &entries));
    account.hide(&[&[], &["80002"]]);
    project.run("apply --settle-after 0s").exits(6).done_with("has shown 80002");
    assert_eq!(account.creates(), 3);
}

/// An instance that was deleted while its name was declared, and is listed, is given another name.
#[cfg(feature = "failpoints")]
#[test]
fn p1_a_name_whose_deleted_instance_has_another_name_now_asks_before_it_gets_a_new_one() {
    let account = Account::start();
    let project = project(&account, &["a", "b"]);
    let id = project.ids()["b"].clone();
    project.run("destroy b -y --max-deletes 1").exits(0).done();
    project.run(&format!("import other --id {id}")).exits(0).done();
    project.declare(&manifest(PLAIN, &["a", "b", "other"]));
    for _ in ["from the index", "from the journal"] {
        project.run("apply").exits(6).warns("`b` was deleted as").done_with("--recreate b");
        std::fs::remove_dir_all(project.path("state/index")).unwrap();
    }
    project.run("state compact").exits(0).done();
    project.run("apply").exits(6).done_with("--recreate b");
    assert_eq!(account.creates(), 2);
    // One that only lists called gone keeps its token, whatever its name.
    account.hide(&[&["80001"]]);
    let kept = project.token("a");
    apply_dying_at(&project, "apply --recreate a --recreate b --settle-after 0s", "journal-after-gone");
    account.hide(&[]);
    project.run("import third --id 80001").exits(0).prints("its token is kept").done();
    assert_eq!(project.token("third"), kept);
    project.declare(&manifest(PLAIN, &["a", "b", "other", "third"]));
    project.run("apply").exits(6).warns("--recreate a").done_with("--recreate b");
    assert_eq!(account.creates(), 2);
}

/// A lost run made `b`; the instance is taken in under another name, and `b` is declared still.
#[test]
fn p1_an_instance_taken_in_under_a_new_name_may_be_the_one_that_is_to_be_created() {
    let account = Account::start();
    let project = project(&account, &["a"]);
    let old = project.copy_of_state();
    let lock = project.read("chatapi.lock");
    project.declare(&manifest(PLAIN, &["a", "b"]));
    project.run("apply").exits(0).done();
    let id = project.ids()["b"].clone();
    project.restore(&old);
    project.write("chatapi.lock", lock);
    let ci = |words: &str| project.call(words.split(' ')).env("CI", "true").run();
    ci("apply").exits(6).done_with("import --discover");
    let found = project.run("import --discover").exits(0);
    project.write("found.yaml", &found.stdout);
    let name = format!("instance-{id}");
    let stopped = ci("apply instances.yaml found.yaml").exits(6).warns(&format!("`{name}`, taken in as {id}"));
    stopped.warns("--not-a-rename b").done_with("import: [{name: b");
    project.run("plan instances.yaml found.yaml").warns(&format!("`{name}`, taken in as {id}")).done_with("import");
    assert_eq!(account.creates(), 2);
    // The same by command.
    project.run(&format!("import {name} --id {id}")).exits(0).done();
    ci("apply").exits(6).done_with("--not-a-rename b");
    project.declare(&manifest(PLAIN, &["a", "b", &name]));
    ci("apply").exits(6).warns(&format!("`{name}`, taken in as {id}")).done_with("state mv");
    project.run(&format!("state mv {name} b")).exits(0).done();
    project.declare(&manifest(PLAIN, &["a", "b"]));
    ci("apply").exits(3).done_with("1 without token");
    assert_eq!(account.creates(), 2);
}

/// Whoever adopts what exists is not held up, nor later, when something is created.
#[test]
fn what_is_taken_in_under_its_declared_names_stops_nothing() {
    let account = Account::start();
    let ids = [account.foreign("whatsapp"), account.foreign("whatsapp")];
    let project = Project::at(&account.url(), &["one", "two"]);
    let entries: Vec<_> =
        ["one", "two"].iter().zip(&ids).map(|(name, id)| format!("  - {{name: {name}, id: '{id}', type: whatsapp}}\n")).collect();
    project.declare(&format!("{}import:\n{}", manifest(PLAIN, &["one", "two"]), entries.concat()));
    let ci = |words: &str| project.call(words.split(' ')).env("CI", "true").run();
    ci("apply --init").exits(3).done_with("2 imported");
    project.declare(&format!("{}import:\n{}", manifest(PLAIN, &["one", "two", "new"]), entries.concat()));
    ci("apply").exits(3).done_with("1 created");
    assert_eq!(account.creates(), 1);
}

/// One that lists called gone, and whose next create was refused, is what it was if it is listed again.
#[test]
fn p3_a_refused_recreate_forgets_no_token() {
    let account = Account::start();
    let project = project(&account, &["a", "b"]);
    let (id, token) = (project.ids()["b"].clone(), project.token("b"));
    account.hide(&[&[&id]]);
    account.next(&[Create::Refused]);
    project.run("apply --recreate b --settle-after 0s").exits(1).done_with("1 refused");
    project.run("state compact").exits(0).done();
    account.hide(&[]);
    project.run(&format!("import b --id {id}")).exits(0).prints("its token is kept").done();
    assert_eq!(project.token("b"), token);
    project.run("state verify").exits(0).done();
    project.run("apply").exits(0).prints("Nothing to do: 2 instances").done();
}

/// A recreate that died, and another name in the place of the one that it was for.
#[cfg(feature = "failpoints")]
#[test]
fn p1_a_recreate_that_died_is_not_evaded_by_another_name() {
    for point in ["journal-after-gone", "journal-after-intent"] {
        let account = Account::start();
        let project = project(&account, &["a", "shop"]);
        let id = project.ids()["shop"].clone();
        account.hide(&[&[&id]]);
        apply_dying_at(&project, "apply --recreate shop --settle-after 0s", point);
        account.hide(&[]);
        let names = manifest(PLAIN, &["a", "store"]);
        project.declare(&format!("{names}moved: [{{from: shop, to: store}}]\n"));
        project.run("apply --allow-unknown all").exits(1).done_with("`shop` is recorded as gone");
        project.declare(&names);
        project.run("apply --allow-unknown all").exits(6).done_with("--not-a-rename store");
        assert_eq!(account.creates(), 2, "{point}");
        project.run(&format!("import store --id {id}")).exits(0).done();
        project.run("apply").exits(0).done_with("2 instances");
    }
}

/// What was called gone and is listed again is no create's: neither by a rule nor by somebody's word.
#[test]
fn p1_p9_what_a_name_had_before_settles_no_other_names_doubt() {
    let account = Account::start();
    let exclusive = |names: &[&str]| manifest("{kind: chatapi, exclusive: true}", names);
    let project = project(&account, &["a", "z"]);
    let gone = project.ids()["a"].clone();
    account.hide(&[&[&gone]]);
    project.run("apply --recreate a --settle-after 0s --allow-unknown all").exits(0).done();
    account.next(&[Create::Nothing]);
    project.declare(&exclusive(&["a", "b", "z"]));
    project.run("apply --settle-after 1h").exits(3).prints("1 in doubt");
    account.hide(&[&[]]);
    project.run("apply --settle-after 1h").exits(3).prints("1 in doubt");
    let shown = project.run("doubts --refresh --settle-after 1h").exits(3);
    assert!(!shown.stdout.contains(&format!("--created {gone}")), "{shown}");
    let attempt = project.attempt("b");
    let typed = project.run(&format!("resolve b --attempt {attempt} --created {gone}")).exits(6);
    typed.warns("is recorded as deleted").done_with(&format!("import NAME --id {gone}"));
    assert_ne!(project.ids().get("b"), Some(&gone));
}

/// A plan asks for no list: what a list settles first makes another plan of it, and that is said.
#[test]
fn p4_a_hash_that_a_doubt_stands_in_the_way_of_says_so() {
    let account = Account::start();
    let project = project(&account, &["a"]);
    account.next(&[Create::Nothing]);
    project.declare(&manifest("{kind: chatapi, exclusive: true}", &["a", "b"]));
    project.run("apply").exits(3).done_with("1 in doubt");
    let hash = project.run("plan --checksum").exits(3).stdout.trim().to_owned();
    let run = project.run(&format!("apply --settle-after 0s --checksum {hash}")).exits(7).warns("nothing was sent");
    run.done_with("`b` is in doubt here, and the account's list would settle it first: `chatapi doubts --refresh`");
    assert_eq!(account.creates(), 2);
}

/// What goes before the list has a reason that is kept.
#[test]
fn p1_a_verdict_against_the_list_needs_a_reason() {
    let account = Account::start();
    let project = project(&account, &["a"]);
    account.next(&[Create::Lost]);
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(3).done_with("1 in doubt");
    let (attempt, id) = (project.attempt("b"), account.newest());
    let refused = project.run(&format!("resolve b --attempt {attempt} --not-created --despite-list")).exits(6);
    refused.warns(&format!("--created {id}`")).warns("nothing was changed").done_with("a `--reason` that is kept");
    assert_eq!(project.attempt("b"), attempt);
}

/// The token of what is taken in again is the one that is kept.
#[test]
fn p3_an_import_puts_no_other_token_in_the_place_of_a_kept_one() {
    let account = Account::start();
    let project = project(&account, &["a", "z"]);
    let gone = project.ids()["a"].clone();
    account.hide(&[&[&gone]]);
    account.next(&[Create::Refused]);
    project.run("apply --recreate a --settle-after 0s --allow-unknown all").exits(1).done_with("1 refused");
    account.hide(&[&[]]);
    let typed = project.call(["import", "old", "--id", &gone, "--token-stdin"]).input("wrong0wrong0wrong0").run();
    typed.exits(1).warns("is kept already").done_with("leave `--token-stdin` out");
    let (before, lock) = (project.copy_of_state(), project.read("chatapi.lock"));
    project.run("state rm a").exits(0).warns(&format!("only lists called {gone} gone, and its token is forgotten")).done();
    project.restore(&before);
    project.write("chatapi.lock", lock);
    project.run(&format!("import old --id {gone}")).exits(0).done();
    assert_eq!(project.token("old"), format!("tok0of0instance0{gone}"));
    project.run("state verify").exits(0).done();
}

/// Nothing is on record of a run that cannot write its lock file.
#[test]
fn p4_what_is_gone_is_recorded_only_where_the_run_goes_on() {
    let account = Account::start();
    let project = project(&account, &["a", "z"]);
    let gone = project.ids()["a"].clone();
    account.hide(&[&[&gone]]);
    let words = "apply --recreate a --settle-after 0s --allow-unknown all --lock-file no/such/directory/chatapi.lock";
    project.run(words).exits(1).warns("cannot write no/such/directory/chatapi.lock").done_with("nothing was sent");
    assert_eq!((&project.ids()["a"], account.creates()), (&gone, 2), "it is not on record as gone");
}

/// What one list lacks does not count; a later one that shows it makes it no part of the run.
#[test]
fn p9_a_list_that_lags_lifts_no_limit_of_deletes() {
    for (most, hidden) in [(0, 2), (1, 3), (1, 1)] {
        let account = Account::start();
        let project = project(&account, &["a", "b", "c"]);
        let ids = account.ids();
        let lacking: Vec<&str> = ids.iter().take(hidden).map(String::as_str).collect();
        project.declare(&manifest("{kind: chatapi}", &["c"]));
        account.hide(&[&lacking, &[]]);
        let run = project.run(&format!("apply --prune --yes --max-deletes {most}"));
        assert!(account.deletes() <= most, "{run}");
        assert_eq!(account.deletes(), 2_usize.saturating_sub(hidden), "{run}");
        run.done_with("nothing was sent for it");
    }
}
