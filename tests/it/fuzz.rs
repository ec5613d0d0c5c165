//! The properties of `properties`, for every file of the kept corpora and for mutations of them.
//!
//! The ordinary run takes at most 10 s. More, and elsewhere:
//!
//! ```text
//! CHATAPI_FUZZ_ROUNDS=100 CHATAPI_FUZZ_SEED=7 cargo test --test it fuzz -- --nocapture
//! ```
//!
//! A failure leaves its bytes in a file and says which: copied into the corpus it is replayed from then on. `docs/fuzzing.md` has
//! the long runs under cargo-fuzz.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use fastrand::Rng;

use super::kill_loop::number;
use super::properties::{ALL, KEY, Property};

/// Mutations of the ordinary run, by target; the slow ones have fewer.
fn share(target: &str) -> u64 {
    match target {
        "f4_journal" | "f6_round_trip" | "f11_sealed" => 250,
        "f12_values" => 600,
        "f13_plan" => 1_000,
        "f5_http" | "f10_headers" | "f10_waits" => 150,
        _ => 3_000,
    }
}

/// What is put between bytes, besides bytes: words on which something turns.
const WORDS: [&str; 46] = [
    "0",
    "-1",
    "18446744073709551615",
    "1e999",
    "null",
    "{}",
    "[]",
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\n",
    "\r\n",
    "\r\n\r\n",
    "\0",
    "\u{1b}[31m",
    "\u{202e}",
    "\u{feff}",
    "##vso[",
    "::error::",
    "200",
    "429",
    "cut\n",
    "created",
    "error",
    "result",
    "instance",
    "token",
    "id",
    "- ",
    "  ",
    "#",
    "&a",
    "*a",
    "!!str",
    "<<: ",
    "@",
    "//",
    "127.0.0.1",
    "localhost",
    "http://",
    "%00",
    KEY,
];

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut seeds: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    seeds.sort();
    assert!(seeds.len() >= 3, "{target} has {} seeds", seeds.len());
    seeds
}

/// One to four changes: bits, bytes, words, parts taken out, doubled or taken from another seed.
fn mutated(seeds: &[(PathBuf, Vec<u8>)], dice: &mut Rng) -> Vec<u8> {
    let mut bytes = dice.choice(seeds).unwrap().1.clone();
    for _ in 0..dice.usize(1..=4) {
        let at = dice.usize(0..=bytes.len());
        let end = (at + dice.usize(0..=64)).min(bytes.len());
        match dice.u8(0..8) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << dice.u8(0..8),
            2 if at < bytes.len() => bytes[at] = dice.u8(..),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            5 => {
                let other = &dice.choice(seeds).unwrap().1;
                let from = dice.usize(0..=other.len());
                let to = (from + dice.usize(0..=200)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            6 => bytes.truncate(at),
            _ => {
                let word = dice.choice(WORDS).unwrap();
                bytes.splice(at..at, word.bytes());
            }
        }
    }
    bytes
}

/// Calls `property`; where it does not hold, the bytes are kept.
fn hold(target: &str, property: Property, bytes: &[u8], what: &str) {
    if catch_unwind(AssertUnwindSafe(|| property(bytes))).is_err() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{target}-failure"));
        fs::write(&path, bytes).unwrap();
        panic!("{target} does not hold for {what}: see {}", path.display());
    }
}

fn replay(targets: &[&str]) {
    let (rounds, seed) = (number("CHATAPI_FUZZ_ROUNDS", 1), number("CHATAPI_FUZZ_SEED", 1));
    for (target, property) in ALL.into_iter().filter(|(target, _)| targets.contains(target)) {
        let begun = Instant::now();
        let seeds = corpus(target);
        for (path, bytes) in &seeds {
            hold(target, property, bytes, &path.display().to_string());
        }
        let mut dice = Rng::with_seed(seed);
        let mutations = rounds * share(target);
        for round in 0..mutations {
            let bytes = mutated(&seeds, &mut dice);
            hold(target, property, &bytes, &format!("mutation {round} of seed {seed}"));
        }
        println!("{target}: {} seeds, {mutations} mutations of seed {seed}, {:.1?}", seeds.len(), begun.elapsed());
    }
}

#[test]
fn p11_p13_manifests_texts_and_addresses() {
    replay(&["f1_manifest", "f7_text", "f8_url"]);
}

#[test]
fn p1_p3_p11_answers_and_listings() {
    replay(&["f2_verdict", "f3_listing"]);
}

#[test]
fn p1_p5_journals_and_exports() {
    replay(&["f4_journal", "f6_round_trip"]);
}

#[test]
fn p1_p13_bytes_over_a_connection() {
    replay(&["f5_http", "f10_headers", "f10_waits"]);
}

#[test]
fn p11_sealed_texts() {
    replay(&["f11_sealed"]);
}

#[test]
fn p4_p11_values_and_saved_plans() {
    replay(&["f12_values", "f13_plan"]);
}

/// A property that never fails would hold for everything.
#[test]
fn a_failure_is_seen_and_its_bytes_are_kept() {
    fn fails(bytes: &[u8]) {
        assert_ne!(bytes, b"bad");
    }
    let seen = catch_unwind(|| hold("f0_trial", fails, b"bad", "a trial")).unwrap_err();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("f0_trial-failure");
    assert!(seen.downcast_ref::<String>().unwrap().contains(&path.display().to_string()));
    assert_eq!(fs::read(&path).unwrap(), b"bad");
    hold("f0_trial", fails, b"good", "a trial");
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let names = |dir: &str| {
        let entries = fs::read_dir(root.join(dir)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let mut all: Vec<&str> = ALL.iter().map(|(target, _)| *target).collect();
    all.sort_unstable();
    assert_eq!((names("corpus"), names("fuzz_targets")), (all.iter().map(ToString::to_string).collect(), names("corpus")));
    assert!(all.iter().all(|target| manifest.contains(&format!("name = \"{target}\""))));
}

#[test]
#[ignore = "writes the sealed texts of the fixtures anew"]
fn the_sealed_fixture_is_written() {
    use chatapi::seal::{About, Identity, Recipients, Sealed};
    let identities = Identity::read_all(include_str!("../fixtures/identity-1.txt")).unwrap();
    let other = Identity::generate().unwrap();
    let keys = identities.iter().chain([&other]).map(|identity| identity.recipient().unwrap());
    let recipients = Recipients::new(keys).unwrap();
    let lineage = "07070707070707070707070707070707";
    let texts = [("answer", "one", "a-one", r#"{"result":{}}"#), ("token", "two", "", "token0123456789a")];
    let kept = texts.map(|(what, name, attempt, text)| {
        let sealed = Sealed::seal(text.as_bytes(), &recipients, &About { what, lineage, name, attempt }).unwrap();
        serde_json::json!({"what": what, "lineage": lineage, "name": name, "attempt": attempt, "text": text, "sealed": sealed})
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sealed-1.json");
    fs::write(path, serde_json::to_string_pretty(&kept).unwrap() + "\n").unwrap();
}
