//! P1, P3, P8, P12, P14 under SIGKILL: the real program is killed again and again while a server outside of it goes on.
//!
//! The ordinary set has 800 rounds, about 1,000 kills. The long campaign, with the program as it is shipped:
//!
//! ```text
//! cargo build --release
//! CHATAPI_KILL_ROUNDS=2000 CHATAPI_KILL_BINARY=$PWD/target/release/chatapi cargo test --test it kills -- --nocapture
//! ```
//!
//! `CHATAPI_KILL_SEED` chooses another campaign (default 1); a failure names the project that replays it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use chatapi::secret::Secret;

use super::kill_loop::gateway::{Gateway, Manner};
use super::kill_loop::oracle::{Truth, check};
use super::kill_loop::project::Project;
use super::kill_loop::{Campaign, Figures, Server, number, run};

/// `share`: how many rounds in ten.
fn campaign(server: Server, share: usize) -> Figures {
    let rounds = usize::try_from(number("CHATAPI_KILL_ROUNDS", 800)).unwrap() * share / 10;
    let campaign = Campaign { rounds: rounds.max(1), seed: number("CHATAPI_KILL_SEED", 1), server };
    println!("{campaign:?}");
    let figures = run(campaign);
    println!("{figures}");
    figures
}

/// A campaign that never hits a window proves nothing.
fn assert_hits(figures: &Figures, one_in: usize) {
    let least = figures.rounds / one_in;
    for (what, count) in [
        ("before an intent", figures.before_intent),
        ("an intent", figures.intent),
        ("sent and unanswered", figures.sent),
        ("received and not concluded", figures.received),
        ("between creates", figures.between),
    ] {
        assert!(count >= least, "only {count} kills hit: {what} (at least {least} of {})", figures.rounds);
    }
}

#[test]
fn p1_p3_p8_p12_p14_random_kills_make_nothing_twice_and_lose_nothing() {
    let figures = campaign(Server::Apart, 8);
    assert_hits(&figures, 20);
    assert!(figures.found.doubts_created >= figures.rounds / 20, "{figures}");
}

#[test]
fn p1_p3_a_server_that_dies_with_the_program_makes_nothing_twice() {
    let figures = campaign(Server::Embedded, 2);
    assert_hits(&figures, 25);
}

type Spoil<'a> = &'a dyn Fn(&mut Truth);

/// A judge that finds nothing wrong with anything would pass every campaign.
#[test]
fn the_oracle_sees_each_broken_promise() {
    let place = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&place.path().join("gateway"), Manner::inside("0ms"));
    let mut project = Project::new(place.path(), Some(gateway.url()));
    project.declare(2);
    let last = project.run(&["apply"]);
    let truth = || Truth { ledger: gateway.creates(), seen: gateway.seen(), printed: last.printed() };
    let judge = |truth: &Truth| check(&project, truth, &last).err().unwrap_or_default();
    assert_eq!(judge(&truth()), "");
    let spoilt = |spoil: Spoil<'_>| {
        let mut truth = truth();
        spoil(&mut truth);
        judge(&truth)
    };
    let table: [(&str, Spoil<'_>); 9] = [
        ("was created twice", &|truth| truth.ledger.push(truth.ledger[0].clone())),
        ("no attempt a-stranger", &|truth| truth.ledger[0].request_id = Some("a-stranger".to_owned())),
        ("without an attempt's id", &|truth| truth.ledger[0].request_id = None),
        ("is lost", &|truth| truth.ledger[0].token = Some(Secret::new("another".to_owned()))),
        ("does not know", &|truth| drop(truth.ledger.pop())),
        ("is created as", &|truth| truth.ledger[0].id = truth.ledger[1].id.clone()),
        ("came twice", &|truth| truth.seen.push(truth.seen[0].clone())),
        ("is not `sent`", &|truth| truth.seen[0].request_id = Some("a-stranger".to_owned())),
        ("was printed as created", &|truth| truth.printed[0].1 = "1".to_owned()),
    ];
    for (words, spoil) in table {
        let broken = spoilt(spoil);
        assert!(broken.contains(words), "expected `{words}`, not `{broken}`");
    }
    let journal = project.path("state/journal.jsonl");
    fs::set_permissions(&journal, Permissions::from_mode(0o644)).unwrap();
    assert!(judge(&truth()).contains("has mode"));
    fs::set_permissions(&journal, Permissions::from_mode(0o600)).unwrap();
    fs::remove_dir_all(project.path("state/index")).unwrap();
    assert!(judge(&truth()).contains("the index does not answer"));
}
