//! P1, P3, P8, P12, P14 under SIGKILL: the real program is killed again and again while a server outside of it goes on.
//!
//! The ordinary set has 200 rounds. The long campaign, with the program as it is shipped:
//!
//! ```text
//! cargo build --release
//! CHATAPI_KILL_ROUNDS=2000 CHATAPI_KILL_BINARY=$PWD/target/release/chatapi cargo test --test it kills -- --nocapture
//! ```
//!
//! `CHATAPI_KILL_SEED` chooses another campaign (default 1); a failure names the project that replays it.

use super::kill_loop::{Campaign, Figures, Server, number, run};

/// `share`: how many rounds in ten.
fn campaign(server: Server, share: usize) -> Figures {
    let rounds = usize::try_from(number("CHATAPI_KILL_ROUNDS", 200)).unwrap() * share / 10;
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
