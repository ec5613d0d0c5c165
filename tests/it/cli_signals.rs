//! Interrupts: what is in flight is finished and recorded, nothing new is started, and a second signal waits for nothing (P10).

use rustix::process::Signal;

use crate::stage::{Gateway, OtherGateway, Project};

const SIX: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[test]
fn p10_after_the_first_signal_those_in_flight_are_recorded_and_nothing_new_starts() {
    for (signal, code, word) in [(Signal::INT, 130, "SIGINT"), (Signal::TERM, 143, "SIGTERM"), (Signal::HUP, 129, "SIGHUP")] {
        let (server, made) = OtherGateway::healthy(true);
        let project = Project::at(&server.url(), &SIX);
        server.hold();
        let apply = project.call(["apply", "--parallelism", "2"]).start();
        server.sees_creates(2);
        apply.signal(signal);
        apply.says(&format!("{word}: nothing new is sent; 2 in flight get up to 9.0 s"));
        server.release();
        let run =
            apply.wait().exits(code).prints("Apply: 2 created, 0 unchanged, 4 not tried.").warns(&format!("stopped by {word}"));
        assert_eq!((server.creates(), made.lock().unwrap().len(), project.ids().len()), (2, 2, 2), "{run}");
        for (name, id) in project.ids() {
            let token = made.lock().unwrap().iter().find(|made| made.id.to_string() == id).map(|made| made.token.clone());
            assert_eq!(Some(project.token(&name)), token);
        }
        project.run("apply").exits(0).prints("Apply: 4 created, 2 unchanged.");
        assert_eq!(server.creates(), 6);
    }
}

#[test]
fn p10_a_second_signal_stops_at_once_and_what_was_in_flight_is_in_doubt() {
    {
        let (server, _) = OtherGateway::healthy(true);
        let project = Project::at(&server.url(), &SIX);
        server.hold();
        let apply = project.call(["apply", "--parallelism", "2"]).start();
        server.sees_creates(2);
        apply.signal(Signal::INT);
        apply.says("nothing new is sent");
        let begun = std::time::Instant::now();
        // Two at the same moment count as one, so a person's second one comes later.
        while begun.elapsed().as_millis() < 400 {
            std::thread::park_timeout(std::time::Duration::from_millis(400));
        }
        apply.signal(Signal::INT);
        apply.wait().exits(3).prints("2 in doubt").prints("4 not tried");
        assert!(begun.elapsed().as_secs() < 8, "it did not wait for the 9 s that the first signal gives");
        server.release();
        let doubts = project.run("doubts --format json").exits(3).json();
        assert_eq!((doubts.as_array().unwrap().len(), server.creates()), (2, 2));
        project.run("apply").exits(3).prints("Apply: 4 created, 0 unchanged, 2 in doubt.");
        assert_eq!(server.creates(), 6);
    }
}

#[test]
fn p10_a_signal_while_the_server_lists_ends_the_run_before_anything_is_created() {
    let gateway = Gateway::start(&["list=stall-before"]);
    let project = Project::at(&gateway.url(), &SIX);
    let apply = project.call(["apply"]).start();
    let begun = std::time::Instant::now();
    while gateway.requests() == 0 {
        assert!(begun.elapsed().as_secs() < 60, "it never asked for the list");
        std::thread::yield_now();
    }
    let begun = std::time::Instant::now();
    apply.signal(Signal::INT);
    apply.wait().exits(130).prints("6 not tried");
    assert!(begun.elapsed().as_secs() < 30, "it waited for the list, which takes a minute and more");
    assert_eq!(gateway.creates(), 0);
}

#[test]
fn p10_a_ci_systems_second_signal_does_not_cut_the_first_ones_time_short() {
    for (first, second, code) in
        [(Signal::INT, Signal::TERM, 130), (Signal::TERM, Signal::INT, 143), (Signal::TERM, Signal::TERM, 143)]
    {
        let (server, _) = OtherGateway::healthy(true);
        let project = Project::at(&server.url(), &SIX);
        server.hold();
        let apply = project.call(["apply", "--parallelism", "2"]).start();
        server.sees_creates(2);
        apply.signal(first);
        apply.says("nothing new is sent");
        apply.signal(second);
        server.release();
        apply.wait().exits(code).prints("Apply: 2 created").prints("4 not tried");
        project.run("apply").exits(0).prints("Apply: 4 created, 2 unchanged.");
        assert_eq!(server.creates(), 6);
    }
}

#[test]
fn p10_a_signal_while_it_waits_for_the_rate_limit_ends_the_run() {
    let server = OtherGateway::start(|_| crate::stage::Reply::new(429, ""));
    let project = Project::at(&server.url(), &SIX);
    let apply = project.call(["apply", "--parallelism", "1"]).start();
    apply.says("the server asks to wait (status 429)");
    apply.signal(Signal::TERM);
    let run = apply.wait().exits(143).prints("Apply: 0 created");
    assert!(run.stdout.contains("6 not tried"), "{run}");
    project.run("state list --format json").done();
}

#[test]
fn a_signal_while_it_waits_for_the_lock_ends_it() {
    let (server, _) = OtherGateway::healthy(true);
    let project = Project::at(&server.url(), &["a"]);
    server.hold();
    let first = project.call(["apply"]).start();
    server.sees_creates(1);
    let second = project.call(["apply", "--lock-timeout", "10m"]).start();
    second.says("waiting for `chatapi apply`");
    second.signal(Signal::TERM);
    second.wait().exits(143).warns("stopped by SIGTERM while waiting for the state's lock").warns("nothing was sent");
    server.release();
    first.wait().done();
    assert_eq!(server.creates(), 1);
}
