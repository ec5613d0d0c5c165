//! Every exit code is reached by a story that a user could tell, and what the server saw goes with it (P1, P4 to P8).

use crate::stage::{Gateway, OtherGateway, Project, Reply, manifest};

const EIGHT: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

#[test]
fn exit_1_where_nothing_could_be_created() {
    let refusing = Gateway::start(&["create=refuse:limit reached"]);
    let project = Project::at(&refusing.url(), &["a", "b"]);
    project.run("apply").exits(1).prints("a refused: limit reached").prints("Apply: 0 created, 0 unchanged, 2 refused.");
    let document = project.run("apply --format json").exits(1).json();
    assert_eq!((&document["exit_code"], &document["summary"]["refused"]), (&1.into(), &2.into()));
    assert_eq!((refusing.creates(), refusing.tokens().len()), (4, 0), "a refusal may be tried again");

    let gone = Gateway::start(&[]).stop();
    let project = Project::at(&gone, &EIGHT);
    let run = project.run("apply").exits(1).warns("the server cannot be reached").warns("nothing was sent");
    assert!(run.stdout.contains("0 created"), "{run}");
    project.run("plan").exits(0).prints("8 to create");

    let wrong_key = OtherGateway::start(|_| Reply::new(200, r#"{"error":"no such account"}"#));
    let project = Project::at(&wrong_key.url(), &EIGHT);
    project.run("apply").exits(1).prints("refused: no such account");
    project.run("state list --format json").exits(0).prints("absent");
}

#[test]
fn exit_1_and_a_stop_after_the_first_answers_where_every_other_name_would_fail_too() {
    for status in [401, 402, 403, 404] {
        let server = OtherGateway::start(move |_| Reply::new(status, r#"{"error":"not you"}"#));
        let project = Project::at(&server.url(), &EIGHT);
        let run = project.run("apply --parallelism 2").exits(1).warns("the server refuses every create: not you");
        assert!(server.creates() <= 2, "{status}: {} creates, {run}", server.creates());
        assert!(run.stdout.contains("not tried"), "{status}: {run}");
    }
}

#[test]
fn exit_4_where_some_were_refused() {
    let gateway = Gateway::start(&["create:nth=2=refuse:limit reached"]);
    let project = Project::at(&gateway.url(), &["a", "b", "c"]);
    project.run("apply --parallelism 1").exits(4).prints("2 created, 0 unchanged, 1 refused.");
    project.run("apply").exits(0).prints("Apply: 1 created, 2 unchanged.");
    assert_eq!((gateway.creates(), gateway.tokens().len()), (4, 3));
    every_request_is_on_record(&gateway, &project);
}

#[test]
fn p1_p7_p14_exit_3_for_a_lost_answer_while_the_others_go_on() {
    for fault in ["drop-after", "reset-after", "status-after:500", "status-after:502", "garbage", "truncate:150", "exists"] {
        let gateway = Gateway::start(&[&format!("create:nth=1={fault}")]);
        let project = Project::at(&gateway.url(), &["a", "b", "c"]);
        let run = project.run("apply --parallelism 1").exits(3).prints("2 created, 0 unchanged, 1 in doubt.");
        let attempt = project.attempt("a");
        let run = run.warns("a is in doubt").warns(&format!("chatapi resolve a --attempt {attempt} --created ID"));
        let _ = run.warns(&format!("chatapi resolve a --attempt {attempt} --not-created"));
        for line in ["apply", "apply --format json", "plan", "plan --detailed-exitcode", "doubts", "apply --parallelism 8"] {
            let _ = project.run(line).exits(3);
        }
        assert_eq!(gateway.creates(), 3, "{fault}: a held doubt sends nothing");
        every_request_is_on_record(&gateway, &project);
    }
}

/// P14: each attempt that the server saw has its `sent` record, and no attempt was seen twice.
fn every_request_is_on_record(gateway: &Gateway, project: &Project) {
    let journal = project.read("state/journal.jsonl");
    let mut attempts = gateway.attempts();
    for attempt in &attempts {
        let sent = format!(r#""event":{{"sent":{{"attempt":"{attempt}"}}}}"#);
        assert_eq!(journal.matches(&sent).count(), 1, "{attempt}");
    }
    attempts.sort();
    attempts.dedup();
    assert_eq!(attempts.len(), gateway.creates());
}

#[test]
fn exit_3_for_an_instance_without_its_token_until_one_is_set() {
    let gateway = Gateway::start(&["create=no-token"]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(3).prints("token missing").warns("chatapi token set a");
    project.run("plan").exits(3).prints("without token");
    project.run("token get a").exits(3).warns("the token of `a` is missing");
    project.run("apply").exits(3);
    project.call(["token", "set", "a"]).input("given-by-hand\n").run().exits(0).prints("The token of `a` is kept.");
    project.run("apply").exits(0).prints("Nothing to do");
    assert_eq!((project.token("a").as_str(), gateway.creates()), ("given-by-hand", 1));
    project.call(["token", "set", "a"]).input("another").run().exits(1).warns("--replace");
    project.call(["token", "set", "a", "--replace"]).input("another").run().done();
    assert_eq!(project.token("a"), "another");
}

#[test]
fn p6_exit_5_for_the_second_of_two_applies_and_none_if_it_may_wait() {
    let (server, made) = OtherGateway::healthy(true);
    let project = Project::at(&server.url(), &["a", "b"]);
    server.hold();
    let job = ["https://forge.example", "team/gateways", "4711"];
    let variables = ["GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"].into_iter().zip(job);
    let first = variables.fold(project.call(["apply"]), |call, (name, value)| call.env(name, value)).start();
    server.sees_creates(2);
    let asked = server.asked().len();
    for line in
        ["apply", "apply --lock-timeout 0s", "state mv a z", "token set a", "resolve a --attempt x --not-created --offline"]
    {
        let run = project.call(line.split(' ')).input("a-token").run();
        let run = run.exits(5).warns("is locked by `chatapi apply` (process ").warns("nothing was sent");
        let _ = run.warns("https://forge.example/team/gateways/actions/runs/4711");
    }
    assert_eq!(server.asked().len(), asked, "who is locked out sends nothing");
    let second = project.call(["apply", "--lock-timeout", "500s"]).start();
    second.says("waiting for `chatapi apply`");
    second.says("actions/runs/4711), 4");
    second.says(" s more at the most");
    let third = project.call(["apply", "--events", "--lock-timeout", "500s"]).start();
    third.says("waiting for `chatapi apply`");
    server.release();
    first.wait().exits(0).prints("Apply: 2 created");
    second.wait().exits(0).prints("Nothing to do: 2 instances exist as declared.");
    let third = third.wait().exits(0).prints("\"type\":\"apply_progress\",\"progress\":\"locked\"");
    let _ = third.prints("actions/runs/4711)\",\"wait_ms\":");
    assert_eq!((server.creates(), made.lock().unwrap().len()), (2, 2));
}

/// `git clean` removes what git does not keep: the lock file, and not the journal.
#[test]
fn p1_p6_a_lock_file_that_is_removed_lets_no_second_writer_in() {
    let (server, _) = OtherGateway::healthy(true);
    let project = Project::at(&server.url(), &["a", "b", "c"]);
    server.hold();
    let first = project.call(["apply", "--parallelism", "1"]).start();
    server.sees_creates(1);
    std::fs::remove_file(project.state().join("lock")).unwrap();
    for line in ["apply", "state mv a z", "token set a", "state compact", "apply --lock-timeout 1s"] {
        let _ = project.call(line.split(' ')).input("a-token").run().exits(5).warns("is locked by another process");
    }
    let _ = project.run("state rebuild --from journal").exits(5);
    server.release();
    first.wait().exits(0).prints("Apply: 3 created");
    project.run("apply").exits(0).prints("Nothing to do");
    project.run("state verify").exits(0).done();
    assert_eq!(server.creates(), 3);
}

/// Who waits for a lock file that is removed meanwhile waits for the one that is there then.
#[test]
fn p6_a_lock_file_that_is_replaced_while_it_is_waited_for_is_not_taken() {
    let (server, _) = OtherGateway::healthy(true);
    let project = Project::at(&server.url(), &["a", "b", "c"]);
    server.hold();
    let first = project.call(["apply", "--parallelism", "1"]).start();
    server.sees_creates(1);
    let second = project.call(["apply", "--lock-timeout", "50s"]).start();
    second.says("waiting for `chatapi apply`");
    std::fs::remove_file(project.state().join("lock")).unwrap();
    server.release();
    first.wait().exits(0).prints("Apply: 3 created");
    second.wait().exits(0).prints("Nothing to do");
    assert_eq!(server.creates(), 3);
}

#[test]
fn p6_a_killed_apply_leaves_no_lock_and_its_attempt_in_doubt() {
    let (server, _) = OtherGateway::healthy(true);
    let project = Project::at(&server.url(), &["a"]);
    server.hold();
    let first = project.call(["apply"]).start();
    server.sees_creates(1);
    first.signal(rustix::process::Signal::KILL);
    first.wait().exits(1_009);
    server.release();
    project.run("apply").exits(3).warns("a is in doubt");
    assert_eq!(server.creates(), 1);
}

#[test]
fn p5_exit_8_where_the_state_is_lost_and_the_lock_file_remembers() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply").done();
    let before = gateway.requests();
    std::fs::remove_dir_all(project.state()).unwrap();
    for line in ["apply", "apply --init", "plan", "apply --parallelism 1"] {
        let run = project.run(line).exits(8).warns("the lock file");
        // A plan never sends anything, and has no need to say so.
        assert_eq!(run.stderr.contains("nothing was sent"), line != "plan", "{run}");
    }
    assert!(!project.state().exists(), "an empty directory would be in the way of a backup");
    let empty = project.call(["apply"]).env("CHATAPI_STATE", "elsewhere").run();
    empty.exits(8).warns("state rebuild --from-lock");
    assert_eq!(gateway.requests(), before);
    std::fs::remove_dir_all(project.state()).unwrap_or_default();
    project.run("state rebuild --from-lock chatapi.lock").exits(0).prints("Rebuilt: 2 instances without token, 0 in doubt.");
    project.run("apply").exits(3).warns("its token is missing");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p5_exit_8_in_ci_for_an_empty_state_until_it_is_said_to_be_the_first_run() {
    for mark in [("CI", "true"), ("GITHUB_ACTIONS", "true"), ("GITLAB_CI", "1"), ("JENKINS_URL", "http://ci/")] {
        let gateway = Gateway::start(&[]);
        let project = Project::at(&gateway.url(), &["a"]).with(mark.0, mark.1);
        project.run("plan").exits(0).warns("chatapi apply --init");
        project.run("apply").exits(8).warns("nothing was sent").warns("chatapi apply --init");
        assert!(gateway.requests() == 0 && !project.state().exists() && !project.lock_file().exists());
        // A cache that brings back an empty state every time must not pay every time.
        project.run("init").done();
        project.run("apply").exits(8).warns("or an empty one");
        assert_eq!(gateway.requests(), 0);
        project.run("apply --init").exits(0).prints("1 created");
        project.run("apply").exits(0).prints("Nothing to do");
        assert_eq!(gateway.creates(), 1);
    }
    let free = Project::new(&manifest("{kind: emulator}", &["a"])).with("CI", "true");
    free.run("apply").exits(0).prints("1 created");
}

#[test]
fn p5_exit_8_for_an_older_copy_of_the_state() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").done();
    let older = project.copy_of_state();
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").done();
    let newer = project.copy_of_state();
    project.restore(&older);
    for line in ["apply", "plan"] {
        let run =
            project.run(line).exits(8).warns("older").warns("`chatapi state rebuild --from journal --lock-file chatapi.lock`");
        assert!(!run.stderr.contains("beside the lock file"), "it is the one that was looked at: {run}");
    }
    project.restore(&newer);
    project.run("apply").exits(0).prints("Nothing to do: 2");
    // What the hint says is what helps where nothing newer is left: the names that it lacks come from the lock file.
    project.restore(&older);
    project.run("state rebuild --from journal --lock-file chatapi.lock").exits(0).prints("Rebuilt: 2 names");
    project.run("apply").exits(3).warns("b exists and its token is missing");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p5_exit_8_for_another_states_lock_file() {
    let gateway = Gateway::start(&[]);
    let (one, two) = (Project::at(&gateway.url(), &["a"]), Project::at(&gateway.url(), &["a"]));
    one.run("apply").done();
    two.run("apply").done();
    two.write("chatapi.lock", one.read("chatapi.lock"));
    two.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    two.run("apply").exits(8).warns("nothing was sent");
    two.run("state rebuild --from journal").exits(8).warns("the lock file says");
    assert_eq!(two.read("chatapi.lock"), one.read("chatapi.lock"), "it is not overwritten");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn p5_exit_8_for_a_damaged_journal() {
    const FOUND_BY_PLAN: usize = 4;
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply").done();
    project.declare(&manifest("{kind: chatapi}", &["a", "b", "c"]));
    let journal = project.read("state/journal.jsonl").into_bytes();
    let lines: Vec<usize> = (0..journal.len()).filter(|at| journal[*at] == b'\n').collect();
    let flipped = |at: usize| {
        let mut bytes = journal.clone();
        bytes[at] ^= 1;
        bytes
    };
    let without_second = [&journal[..=lines[0]], &journal[lines[1] + 1..]].concat();
    let cut = |at: usize| journal[..at].to_vec();
    let damaged = [
        flipped(30),
        flipped(journal.len() / 2),
        flipped(journal.len() - 3),
        without_second,
        cut(lines[3]),
        cut(0),
        vec![0; 4_096],
    ];
    for (number, bytes) in damaged.into_iter().enumerate() {
        project.write("state/journal.jsonl", &bytes);
        let run = project.run("apply").exits(8).warns("nothing was sent");
        assert_eq!(gateway.creates(), 2, "damage {number}: {run}");
        // A plan reads the index while that stands at the journal's last line, so it need not notice damage further up.
        if number >= FOUND_BY_PLAN {
            project.run("plan").exits(8);
        }
        assert_eq!(std::fs::read(project.path("state/journal.jsonl")).unwrap(), bytes, "damage {number}: it is left as it was");
    }
    project.write("state/journal.jsonl", &journal);
    project.run("apply").exits(0).prints("1 created, 2 unchanged");
}

#[test]
fn a_rate_limit_is_obeyed_and_shown() {
    let gateway = Gateway::start(&["create:nth=1=too-many:1"]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    let begun = std::time::Instant::now();
    let run = project.run("apply --parallelism 1").exits(0).warns("the server asks to wait (status 429): going on in 1.0 s");
    assert!(begun.elapsed().as_millis() >= 1_000, "{run}");
    assert_eq!((gateway.creates(), gateway.tokens().len()), (3, 2));
}

#[test]
fn another_server_or_account_than_the_states_is_refused_before_a_byte_is_sent() {
    let (one, two) = (Gateway::start(&[]), Gateway::start(&[]));
    let project = Project::at(&one.url(), &["a"]);
    project.run("apply").done();
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    let before = one.requests();
    let url = project.call(["apply"]).env("CHATAPI_URL", two.url()).run();
    url.exits(1).warns("the state belongs to").warns("nothing was sent");
    let key = project.call(["apply"]).env("CHATAPI_API_KEY", "another-key").run();
    key.exits(1).warns("another account").warns("nothing was sent");
    project.declare(&manifest("{kind: emulator}", &["a", "b"]));
    project.run("apply").exits(1).warns("nothing was sent");
    assert_eq!((one.requests(), two.requests()), (before, 0));
}
