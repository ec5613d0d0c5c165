//! `status`: each instance is asked at its own address with its own token, which goes nowhere else and is never shown.

use std::fs;
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::{Value, json};

use crate::stage::{Gateway, OtherGateway, Project, Reply, Terminal, is_free_of, manifest, rechained};

/// What each name says, or why it says nothing.
fn words(document: &Value) -> Vec<String> {
    let of = |row: &Value| {
        let word = row["status"].as_str().or(row["problem"].as_str()).unwrap();
        format!("{}: {word}", row["name"].as_str().unwrap())
    };
    document["instances"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn exit_3_until_all_that_were_asked_are_authenticated() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply --parallelism 1").exits(0).done();
    let ids = project.ids();
    let before = project.copy_of_state();
    let run = project.run("status").exits(3).prints("Status: 2 instances, 0 authenticated, 2 not authenticated.");
    run.prints("got qr code").warns("`chatapi qr a` shows the code").done_or_doubtful();
    gateway.instance(&ids["a"], "emulatorLink");
    project.run("status a").exits(0).prints("Status: 1 instance, 1 authenticated.").done();
    let document = project.run("status --format json").exits(3).json();
    assert_eq!(words(&document), ["a: authenticated", "b: got qr code"]);
    assert_eq!(document["summary"], json!({"instances": 2, "authenticated": 1, "not_authenticated": 1, "no_answer": 0}));
    assert_eq!((&document["instances"][1]["has_qr"], document["instances"][0].get("message")), (&true.into(), None));
    let run = project.call(["status", "--color", "always"]).coloured().run().exits(3).prints("\u{1b}[32mauthenticated\u{1b}[0m");
    run.prints("\u{1b}[35mgot qr code\u{1b}[0m").done_or_doubtful();
    gateway.instance(&ids["b"], "emulatorLink");
    project.run("status").exits(0).done();
    gateway.instance(&ids["a"], "logout");
    project.run("status b a").exits(3).prints("1 not authenticated").done_or_doubtful();
    // It needs no key, and no server but the instances'.
    project.call(["status", "b"]).without("CHATAPI_API_KEY").without("CHATAPI_URL").run().exits(0).done();
    assert_eq!(project.copy_of_state(), before, "looking writes nothing");
    project.run("status unheard-of").exits(1).done_with("nothing is recorded under `unheard-of`");
}

#[test]
fn sealed_tokens_are_opened_with_a_key_and_not_without_one() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    let public = project.run("key generate --output key.txt").exits(0).stdout;
    project.declare(&format!("seal_to: [{}]\n{}", public.trim(), manifest("{kind: chatapi}", &["a"])));
    project.run("apply").exits(0).done();
    let asked = gateway.requests();
    project.run("status").exits(1).done_with("`--identity FILE`");
    assert_eq!(gateway.requests(), asked);
    gateway.instance(&project.ids()["a"], "emulatorLink");
    project.run("status --identity key.txt").exits(0).prints("1 authenticated").done();
}

/// A state may come with a pull request, and tells addresses in the clear; what is sealed with a token says where that belongs.
#[test]
fn p11_a_sealed_token_goes_to_no_address_that_somebody_has_put_into_the_state() {
    let gateway = Gateway::start(&[]);
    let thief = OtherGateway::start(|_| Reply::new(200, r#"{"accountStatus":"authenticated"}"#));
    let project = Project::at(&gateway.url(), &["a"]);
    let public = project.run("key generate --output key.txt").exits(0).stdout;
    project.declare(&format!("seal_to: [{}]\n{}", public.trim(), manifest("{kind: chatapi}", &["a"])));
    project.run("apply").exits(0).done();
    let journal = project.read("state/journal.jsonl");
    let theirs = thief.url().trim_end_matches("/v1/api").trim_end_matches('/').to_owned();
    project.write("state/journal.jsonl", rechained(&journal.replace(gateway.url().trim_end_matches('/'), &theirs)));
    fs::remove_dir_all(project.path("state/index")).unwrap();
    fs::remove_file(project.lock_file()).unwrap();
    assert!(project.run("state show a").exits(0).stdout.contains(&theirs));
    for line in ["status", "qr a --print", "output --reveal"] {
        project.run(&format!("{line} --identity key.txt")).exits(8).done_with("somebody has changed the state");
    }
    assert!(thief.asked().is_empty());
    project.run("token get a --identity key.txt").exits(0).done();
}

/// What the account's list does not say an operator can; a token goes there by the rules for addresses of a list.
#[test]
fn p11_an_address_that_nobody_has_told_is_set_with_the_token() {
    let thief = OtherGateway::start(|_| Reply::new(200, r#"{"accountStatus":"authenticated"}"#));
    let server = OtherGateway::start(|asked| match asked.function() {
        "status" => Reply::new(200, r#"{"accountStatus":"authenticated"}"#),
        _ => Reply::new(200, r#"{"result":[{"id":"1","name":"","type":"whatsapp"}]}"#),
    });
    let project = Project::at(&server.url(), &[]);
    project.run("init").exits(0).done();
    project.call(["import", "a", "--id", "1", "--token-stdin"]).input("aokentokentoken1").run().exits(0).done();
    let hint = "`chatapi token set NAME --replace --api-url URL`".replace("NAME", "a");
    project.run("status").exits(3).prints("no address").done_with(&hint);
    project.run("qr a --print").exits(3).done_with(&hint);
    let set = |url: &str| project.call(["token", "set", "a", "--replace", "--api-url", url]).input("aokentokentoken1").run();
    for bad in ["there", "ftp://x.example/", "https://user@x.example/"] {
        set(bad).exits(1).done_with("it is not repeated, for it may be a token");
    }
    set(&format!("{}/i1/", thief.url().trim_end_matches('/'))).exits(0).done();
    project.run("status").exits(3).prints("bad address").done_with("--trust-host");
    assert!(thief.asked().is_empty());
    set(&format!("{}/i1/", server.url().trim_end_matches('/'))).exits(0).done();
    for _ in 0..2 {
        project.run("status").exits(0).prints("1 authenticated").done();
        project.run("state compact").exits(0).done();
    }
}

/// An address that the create has told stays as it is.
#[test]
fn p11_an_address_of_a_create_is_not_set_by_hand() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(0).done();
    let set =
        project.call(["token", "set", "a", "--replace", "--api-url", "https://x.example/i1/"]).input("aokentokentoken1").run();
    set.exits(1).done_with("has told its address, http://127.0.0.1");
    assert!(!project.run("state show a").exits(0).stdout.contains("x.example"));
}

/// T11: what a server or a file has written is one word to a shell.
#[test]
fn t11_a_host_in_a_command_that_is_told_is_one_word() {
    let server = OtherGateway::start(|_| {
        let item = r#"{"id":"1","name":"","type":"whatsapp","apiUrl":"https://$(reboot)'`id`;x.example/i1/"}"#;
        Reply::new(200, format!(r#"{{"result":[{item}]}}"#))
    });
    let project = Project::at(&server.url(), &[]);
    project.run("init").exits(0).done();
    project.call(["import", "a", "--id", "1", "--token-stdin"]).input("aokentokentoken1").run().exits(0).done();
    let quoted = r"`--trust-host '$(reboot)'\''`id`;x.example'` says so";
    project.run("qr a --print").exits(1).done_with(quoted);
    let document = project.run("status --format json").exits(3).json();
    assert!(document["instances"][0]["message"].as_str().unwrap().contains(quoted), "{document}");
    project.write("chatapi.yaml", "environments: {prod: {gateway: 'https://$(reboot).example/'}}\n");
    let run = project.call(["apply", "--env", "prod"]).without("CHATAPI_URL").run().exits(1);
    run.done_with("export CHATAPI_URL='https://$(reboot).example/' (as chatapi.yaml has it)");
    // What a state says of itself is not the operator's word either.
    fs::remove_file(project.path("chatapi.yaml")).unwrap();
    let journal = project.read("state/journal.jsonl");
    let (bound, _) = server.url().split_once("/v1").map(|(bound, rest)| (bound.to_owned(), rest.to_owned())).unwrap_or_default();
    let bound = if bound.is_empty() { server.url().trim_end_matches('/').to_owned() } else { bound };
    project.write("state/journal.jsonl", rechained(&journal.replace(&bound, "https://$(reboot).example:443")));
    fs::remove_dir_all(project.path("state/index")).unwrap_or_default();
    fs::remove_file(project.lock_file()).unwrap_or_default();
    let run = project.call(["drift"]).without("CHATAPI_URL").run().exits(1);
    run.done_with("export CHATAPI_URL='https://$(reboot).example:443/' (this state belongs to it)");
}

#[test]
fn why_an_instance_says_nothing_is_told_for_each_and_keeps_no_other_back() {
    let gateway = Gateway::start(&["create:nth=2=no-token", "create:nth=3=drop-after"]);
    let project = Project::at(&gateway.url(), &["a", "b", "c", "d", "e"]);
    project.run("apply --parallelism 1").exits(3).done_or_doubtful();
    gateway.instance(&project.ids()["a"], "emulatorLink");
    project.call(["token", "set", "d", "--replace"]).input("another-token-altogether").run().exits(0).done();
    let run = project.run("status --format json").exits(3);
    let document = run.json();
    assert_eq!(
        words(&document),
        ["a: authenticated", "b: token_missing", "c: not_concluded", "d: wrong_token", "e: got qr code"]
    );
    assert_eq!(document["summary"]["no_answer"], 3);
    let run = project.run("status").exits(3).warns("`chatapi token set d --replace < FILE` keeps another token");
    is_free_of(
        &["another-token-altogether".to_owned(), gateway.tokens()[&project.ids()["a"]].clone()],
        &run.to_string(),
        "status",
    );
    project.call(["token", "set", "e", "--replace"]).input("another-token-altogether").run().exits(0).done();
    let told = "`chatapi token set NAME --replace < FILE` keeps another token, of each of 2 such as `d`";
    project.run("status").exits(3).prints("`chatapi token set b < FILE` gives it one").warns(told);
    let gone = Project::at(&gateway.url(), &["z"]);
    gone.run("apply --allow-unknown all").exits(0).done();
    gateway.stop();
    let document = gone.run("status --format json --connect-timeout 5s").exits(3).json();
    assert_eq!(words(&document), ["z: unreachable"]);
}

/// P11: by https, or to this machine; to no other address that an answer names, and not twice.
#[test]
fn p11_a_token_goes_to_its_own_instance_and_nowhere_else() {
    let elsewhere = OtherGateway::start(|_| Reply::new(200, r#"{"accountStatus":"authenticated"}"#));
    let there = elsewhere.url();
    let own = Arc::new(Mutex::new(String::new()));
    let (address, made) = (Arc::clone(&own), Mutex::new(0));
    let server = OtherGateway::start(move |asked| match asked.function() {
        "newInstance" => {
            let mut made = made.lock().unwrap();
            *made += 1;
            let base = if *made == 1 { address.lock().unwrap().clone() } else { "http://h.example".to_owned() };
            let instance = format!(r#"{{"id":"{made}","apiUrl":"{base}/instance{made}/","token":"tokentokentoken{made}"}}"#);
            Reply::new(200, format!(r#"{{"result":{{"status":"created","instance":{instance}}}}}"#))
        }
        "status" => Reply::new(302, r#"{"accountStatus":"authenticated"}"#).to(&format!("{there}/status?token=tokentokentoken1")),
        _ => Reply::new(200, r#"{"result":[]}"#),
    });
    *own.lock().unwrap() = server.url();
    let project = Project::at(&server.url(), &["a", "b"]);
    project.run("apply --parallelism 1").exits(0).done();
    let run = project.call("status --format json -vvv".split(' ')).env("CHATAPI_LOG", "trace").run().exits(3);
    assert_eq!(words(&run.json()), ["a: unreachable", "b: bad_address"]);
    let asked: Vec<_> = server.asked().into_iter().filter(|asked| asked.function() == "status").collect();
    assert_eq!(asked.len(), 1, "asked once");
    assert!(asked[0].method == "GET" && asked[0].target.ends_with("/v1/api/instance1/status?token=tokentokentoken1"));
    assert!(elsewhere.asked().is_empty());
    is_free_of(&["tokentokentoken1".to_owned(), "tokentokentoken2".to_owned()], &run.to_string(), "status");
}

/// P11: whoever writes the list says where instances are, and collects no tokens by that.
#[test]
fn p11_an_address_from_a_list_gets_a_token_only_where_the_account_is_or_an_operator_says() {
    let thief = OtherGateway::start(|_| Reply::new(200, r#"{"accountStatus":"authenticated"}"#));
    let (there, own) = (thief.url(), Arc::new(Mutex::new(String::new())));
    let address = Arc::clone(&own);
    let server = OtherGateway::start(move |asked| {
        if asked.function() == "status" {
            return Reply::new(200, r#"{"accountStatus":"authenticated"}"#);
        }
        let item = |id, base: &str| format!(r#"{{"id":"{id}","name":"","type":"whatsapp","apiUrl":"{base}/i{id}/"}}"#);
        let here = address.lock().unwrap().clone();
        let items = [item(1, &there), item(2, &there), item(3, &here)].join(",");
        Reply::new(200, format!(r#"{{"result":[{items}]}}"#))
    });
    *own.lock().unwrap() = server.url();
    let text = manifest("{kind: chatapi}", &["b"]) + "import: [{name: b, id: '2', type: whatsapp}]\n";
    let project = Project::at(&server.url(), &[]);
    project.declare(&text);
    let import = |name: &str, id| {
        project.call(["import", name, "--id", id, "--token-stdin"]).input(format!("{name}okentokentoken1")).run()
    };
    project.run("init").exits(0).done();
    import("a", "1").exits(0).done();
    import("c", "3").exits(0).done();
    project.run("apply").exits(3).prints("1 imported").done_or_doubtful();
    project.call(["token", "set", "b"]).input("bokentokentoken1").run().exits(0).done();
    for _ in 0..2 {
        let document = project.run("status --format json").exits(3).json();
        assert_eq!(words(&document), ["a: bad_address", "b: bad_address", "c: authenticated"]);
        let flag = format!("`--trust-host {}` says so", thief.url().trim_end_matches("/v1/api"));
        assert!(document["instances"][0]["message"].as_str().unwrap().contains(&flag), "{document}");
        project.run("qr b --print").exits(1).done_with(&flag);
        assert!(thief.asked().is_empty());
        // A journal that is begun anew still knows it.
        project.run("state compact").exits(0).done();
    }
    project.run("status --trust-host eu1.example a").exits(3).prints("bad address").done_or_doubtful();
    project.run("status --trust-host https://").exits(1).done_with("expected a host");
    assert!(thief.asked().is_empty());
    let trusted = format!("--trust-host other.example --trust-host {}", thief.url());
    project.run(&format!("status {trusted}")).exits(0).prints("3 authenticated").done();
    project.run(&format!("qr b --print {trusted}")).exits(0).prints("linked to a phone already").done();
    assert_eq!(thief.asked().len(), 3);
}

#[test]
fn p13_an_answer_without_end_or_that_never_comes_is_none() {
    let own = Arc::new(Mutex::new(String::new()));
    let address = Arc::clone(&own);
    let server = OtherGateway::start(move |asked| match asked.function() {
        "newInstance" => {
            let base = address.lock().unwrap().clone();
            let instance = format!(r#"{{"id":"1","apiUrl":"{base}/i1","token":"tokentokentoken1"}}"#);
            Reply::new(200, format!(r#"{{"result":{{"status":"created","instance":{instance}}}}}"#))
        }
        "status" => Reply::new(200, format!(r#"{{"accountStatus":"authenticated","more":"{}"}}"#, "x".repeat(2 << 20))),
        _ => Reply::new(200, r#"{"result":[]}"#),
    });
    *own.lock().unwrap() = server.url();
    let project = Project::at(&server.url(), &["a"]);
    project.run("apply").exits(0).done();
    project.run("status").exits(3).prints("broke off or is too long").done_or_doubtful();
}

#[test]
fn watching_prints_a_line_for_each_change_and_ends_on_a_signal() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply --parallelism 1").exits(0).done();
    let ids = project.ids();
    let watching = project.call(["status", "--watch", "--interval", "100ms"]).start();
    watching.prints_so_far("b: got qr code\n");
    gateway.instance(&ids["a"], "emulatorLink");
    watching.prints_so_far("a: authenticated, was got qr code\n");
    gateway.instance(&ids["a"], "logout");
    watching.prints_so_far("a: got qr code, was authenticated\n");
    watching.signal(Signal::TERM);
    let run = watching.wait().exits(143);
    assert_eq!(run.stdout.lines().count(), 4, "{run}");
    project.run("status --watch --format json").exits(1).done_with("has no JSON");
    project.run("status --watch --interval 1ms").exits(1).done_with("100ms");
}

#[test]
fn a_terminal_has_one_table_that_is_drawn_anew() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(0).done();
    let (screen, terminal) = Terminal::open(100);
    let call = project.call("status --watch --interval 100ms".split(' ')).env("TERM", "xterm-256color");
    let seen = terminal.try_clone().unwrap();
    let echoes_signals = || tcgetattr(&seen).unwrap().local_modes.contains(LocalModes::ECHOCTL);
    assert!(echoes_signals());
    let watching = call.stdout_to(terminal).coloured().start();
    screen.shows("Status: 1 instance, 0 authenticated, 1 not authenticated.");
    // A `^C` behind the table would move it: the head would stand there twice.
    assert!(!echoes_signals());
    gateway.instance(&project.ids()["a"], "emulatorLink");
    screen.shows("Status: 1 instance, 1 authenticated.");
    watching.signal(Signal::INT);
    let run = watching.wait();
    assert!(echoes_signals(), "the terminal is left as it was");
    drop(seen);
    let shown = screen.end();
    assert!(run.code == 130 && shown.ends_with('\n'), "{run}: {shown:?}");
    // Up and away with the old one, before the new one.
    let last = shown.rsplit_once("NAME").unwrap().0;
    assert!(last.contains("\u{1b}[2K") && shown.contains("\u{1b}[35mgot qr code\u{1b}[0m"), "{shown:?}");
    let (screen, terminal) = Terminal::open(100);
    let call = project.call(["status", "--watch"]).env("TERM", "xterm-256color").env("NO_COLOR", "1");
    let watching = call.stdout_to(terminal).coloured().start();
    screen.shows("Status: 1 instance, 1 authenticated.");
    watching.signal(Signal::INT);
    let run = watching.wait();
    let shown = screen.end();
    assert!(run.code == 130 && !shown.contains("[32m") && shown.contains("Ctrl-C ends it"), "{run}: {shown:?}");
}

#[test]
fn a_low_terminal_shows_what_is_not_linked_first_and_counts_the_rest() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b", "c", "d", "e"]);
    project.run("apply").exits(0).done();
    for name in ["a", "b", "d"] {
        gateway.instance(&project.ids()[name], "emulatorLink");
    }
    let (screen, terminal) = Terminal::of_size(100, 6);
    let call = project.call(["status", "--watch"]).env("TERM", "xterm-256color");
    let watching = call.stdout_to(terminal).coloured().start();
    screen.shows("and 2 more, all authenticated: `chatapi status` shows all");
    watching.signal(Signal::INT);
    let _ = watching.wait();
    let shown = screen.end();
    let has = |name: &str| shown.contains(&format!(" {name}      1000"));
    assert!(has("a") && has("c") && has("e") && !has("b") && !has("d"), "{shown:?}");
}

/// Of 8 lines none goes to gaps, what is left out is counted, and the columns stay where they would be with everybody shown.
#[test]
fn a_very_low_terminal_shows_as_many_as_it_has_lines() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b", "c", "d", "e", "f", "g", "h-with-a-much-longer-name"]);
    project.run("apply").exits(0).done();
    gateway.instance(&project.ids()["h-with-a-much-longer-name"], "emulatorLink");
    for (columns, lines, left_out) in [(100, 8, 3), (100, 6, 5), (40, 8, 6), (100, 3, 8), (100, 10, 0)] {
        let (screen, terminal) = Terminal::of_size(columns, lines);
        let watching = project.call(["status", "--watch"]).env("TERM", "xterm-256color").stdout_to(terminal).coloured().start();
        if left_out > 0 {
            screen.shows(
                &format!("and {left_out} more, not all authenticated")
                    .replace("not all", if left_out == 1 { "all" } else { "not all" }),
            );
        } else {
            screen.shows("h-with-a-much-longer-name");
        }
        watching.signal(Signal::INT);
        let _ = watching.wait();
        let shown = screen.end();
        let frame = shown.rsplit_once("Status: ").unwrap().1;
        let rows = frame.matches("got qr code").count() + frame.matches("authenticated\u{1b}").count();
        assert_eq!(rows, 8 - left_out, "{columns}x{lines}: {shown:?}");
        let is_aligned = !frame.contains("NAME") || columns < 80 || frame.contains(&format!("NAME{}ID", " ".repeat(24)));
        assert!(is_aligned, "{columns}x{lines}: {shown:?}");
    }
}

/// What an apply makes meanwhile is asked, too.
#[test]
fn watching_reads_the_state_anew() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(0).done();
    let watching = project.call(["status", "--watch", "--interval", "100ms"]).start();
    watching.prints_so_far("a: got qr code\n");
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    project.run("apply").exits(0).done();
    // A round in the middle of the create has told that it is not concluded, and this line says what it was before.
    watching.prints_so_far("b: got qr code");
    watching.signal(Signal::TERM);
    let _ = watching.wait().exits(143);
}

/// Its port is another one in each run; its phones find themselves linked at the third question.
#[test]
fn instances_of_the_embedded_emulator_can_be_asked_too() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.run("apply").exits(0).done();
    project.run("status").exits(3).prints("got qr code").warns("embedded emulator at").done_or_doubtful();
    let watching = project.call(["status", "--watch", "--interval", "100ms"]).start();
    watching.prints_so_far("a: authenticated, was got qr code\n");
    watching.signal(Signal::INT);
    let run = watching.wait();
    assert_eq!(run.code, 130, "{run}");
}

#[test]
fn where_there_is_none_to_ask_that_is_said() {
    let project = Project::at("http://127.0.0.1:1/", &[]);
    project.run("init").exits(0).done();
    project.run("status").exits(0).done_with("there is none to ask");
}
