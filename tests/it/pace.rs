//! How fast a run goes, as it was asked to: `--parallelism`, `--rate`.

use std::time::{Duration, Instant};

use crate::stage::{Gateway, Project};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("shop-{number}")).collect()
}

fn project(gateway: &Gateway, count: usize) -> Project {
    Project::at(&gateway.url(), &names(count).iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn p1_p7_auto_creates_each_name_once_also_where_the_server_says_later() {
    let gateway = Gateway::start(&["create:nth=9=too-many:1", "create:nth=10=too-many:1"]);
    let project = project(&gateway, 60);
    let run = project.run("apply --parallelism auto -vv").exits(0).prints("Apply: 60 created, 0 unchanged.").warns("429");
    assert!(run.stderr.contains("another number of requests at once"), "{run}");
    assert_eq!((gateway.creates(), gateway.tokens().len()), (62, 60), "two were turned away");
    project.run("apply --parallelism auto").exits(0).prints("Nothing to do: 60 instances").done();
    // A variable that is set for all verbs is one for these too.
    let _ = project.call(["status"]).env("CHATAPI_PARALLELISM", "auto").run().exits(3).prints("shop-59");
    let words = ["destroy", "-y", "--max-deletes", "60"].map(str::to_owned).into_iter().chain(names(60));
    project.call(words).env("CHATAPI_PARALLELISM", "auto").run().exits(0).done();
    assert_eq!(gateway.deleted().len(), 60);
}

/// No upper bound: a slow machine is slower.
#[test]
fn a_rate_is_kept_by_creates_and_by_deletes() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, 7);
    // The first goes at once, the other six a tenth of a second apart; what a timer is late by is made up for, up to 50 ms.
    let least = Duration::from_millis(550);
    let start = Instant::now();
    project.run("apply --rate 10/s --parallelism 64").exits(0).prints("Apply: 7 created, 0 unchanged.").done();
    assert!(start.elapsed() >= least);
    let start = Instant::now();
    let words = ["destroy", "-y", "--max-deletes", "7", "--rate", "600/m"].map(str::to_owned).into_iter().chain(names(7));
    project.call(words).run().exits(0).done();
    assert!(start.elapsed() >= least);
}

#[test]
fn what_is_no_number_and_no_rate_is_refused_before_anything_is_sent() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, 1);
    for value in ["0", "513", "fast", "-1"] {
        let run = project.run(&format!("apply --parallelism={value}")).exits(1);
        assert!(run.stderr.contains("a number from 1 to 512, or `auto`"), "{run}");
    }
    for value in ["10", "0/s", "10/d", "fast"] {
        let run = project.run(&format!("apply --rate {value}")).exits(1);
        assert!(run.stderr.contains("as `10/s`, `600/m` or `1000/h`"), "{run}");
    }
    assert_eq!(gateway.requests(), 0);
}

#[test]
fn p10_a_run_that_waits_for_its_turn_is_stopped_at_once() {
    let gateway = Gateway::start(&[]);
    let project = project(&gateway, 3);
    let run = project.call(["apply", "--rate", "1/h"]).start();
    crate::stage::eventually("the first one", || gateway.creates() == 1);
    run.signal(rustix::process::Signal::INT);
    let run = run.wait();
    assert_eq!((run.code, gateway.creates()), (130, 1), "{run}");
    assert!(run.stdout.contains("1 created") && run.stdout.contains("2 not tried"), "{run}");
    project.run("apply").exits(0).prints("Apply: 2 created, 1 unchanged.").done();
}
