//! A lock file that was named and is not there, and a state that is named in other words than its lock file was written by.

use std::fs;
use std::os::unix::fs::symlink;

use super::{changes_nothing, done};
use crate::stage::manifest;

#[test]
fn p5_a_named_lock_file_that_is_not_there_is_an_error_of_every_verb_that_makes_none() {
    let (gateway, project) = done(&["a"]);
    let older = project.copy_of_state();
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0);
    project.restore(&older);
    project.write("packet.json", "{}");
    let lines = [
        "output --reveal --lock-file typo.lock",
        "output --retry --lock-file typo.lock",
        "token get a --lock-file typo.lock",
        "token set a --replace --lock-file typo.lock",
        "state list --lock-file typo.lock",
        "state export --reveal --lock-file typo.lock",
        "state mv a z --lock-file typo.lock",
        "release a --lock-file typo.lock",
        "doubts --lock-file typo.lock",
        "resolve a --attempt a-x --not-created --offline --lock-file typo.lock",
    ];
    changes_nothing(&project, &lines, |_, run| {
        run.exits(8).warns("there is no lock file typo.lock, which was named").done_with("how its name is written");
    });
    for line in ["state compact", "state verify", "release a", "output --reveal"] {
        let run = project.call(line.split(' ')).env("CHATAPI_LOCK_FILE", "typo.lock").run().exits(8);
        run.done_with("there is no lock file typo.lock, which was named");
    }
    // What an apply has never written may be named.
    fs::remove_dir_all(project.state()).unwrap();
    project.run("init --lock-file first.lock").exits(0).done();
    project.run("output --lock-file first.lock").exits(0).done_with("no instance is recorded");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p5_the_lock_file_beside_the_state_is_found_however_the_state_is_named() {
    let (_gateway, project) = done(&["a"]);
    symlink(project.state(), project.path("other")).unwrap();
    fs::create_dir(project.path("elsewhere")).unwrap();
    symlink(project.state(), project.path("elsewhere/link")).unwrap();
    let state = project.state().display().to_string();
    let (slash, dot) = (format!("{state}/"), format!("{state}/."));
    let (link, linked) = (project.path("other").display().to_string(), project.path("elsewhere/link").display().to_string());
    let names = [("state", "."), ("state", "./"), ("state/emulator", ".."), ("state", "../state"), ("elsewhere", "link")];
    let whole = [&slash, &dot, &link, &linked].map(|name| ("elsewhere", name.as_str()));
    fs::create_dir_all(project.path("state/emulator")).unwrap();
    for (dir, name) in names.into_iter().chain(whole) {
        for verb in [&["release", "a"][..], &["release", "--undo", "a"]] {
            let run = project.call([&["--state", name][..], verb].concat()).in_dir(dir).run().exits(0);
            run.done_with("chatapi.lock says so too: commit it");
        }
    }
    // One beside the link comes first.
    fs::copy(project.lock_file(), project.path("elsewhere/chatapi.lock")).unwrap();
    let before = project.read("chatapi.lock");
    project.call(["--state", &linked, "release", "a"]).run().exits(0).done_with("elsewhere/chatapi.lock says so too");
    assert_eq!(project.read("chatapi.lock"), before);
}
