//! `docs/threats.md` names the tests that stand against each threat, `docs/trust.md` those that carry each promise: every one of
//! them exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Every function in a source file below `dir` that is a test.
fn tests_in(dir: &Path, into: &mut BTreeSet<String>) {
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            tests_in(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let after = text.split("#[test]").skip(1).filter_map(|rest| rest.split_once("fn "));
            into.extend(after.filter_map(|(_, rest)| rest.split_once('(')).map(|(name, _)| name.to_owned()));
        }
    }
}

/// The row of `text` that begins with `number`, in cells.
fn row<'a>(text: &'a str, number: &str) -> Vec<&'a str> {
    let start = format!("| {number} |");
    let row = text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{number} has no row"));
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// The tests that a cell names, each of which exists.
fn named<'a>(cell: &'a str, tests: &BTreeSet<String>) -> Vec<&'a str> {
    let names: Vec<_> = cell.split(", ").filter_map(|name| name.strip_prefix('`')?.strip_suffix('`')).collect();
    assert!(names.iter().all(|name| tests.contains(*name)), "one of these tests does not exist: {cell}");
    names
}

fn all_tests(root: &Path) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    tests_in(&root.join("src"), &mut tests);
    tests_in(&root.join("tests"), &mut tests);
    tests
}

#[test]
fn every_threat_has_a_row_and_every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = all_tests(root);
    let text = fs::read_to_string(root.join("docs/threats.md")).unwrap();
    let mut count = 0;
    for number in 1..=32 {
        let cells = row(&text, &format!("T{number}"));
        assert_eq!(cells.len(), 5, "{cells:?}");
        count += named(cells[3], &tests).len();
        let is_covered = cells[3].contains('`');
        assert!(is_covered || !cells[4].is_empty(), "T{number} has neither a test nor a word about what is open");
    }
    assert!(count >= 60, "{count}");
}

#[test]
fn every_promise_has_a_row_and_every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = all_tests(root);
    let text = fs::read_to_string(root.join("docs/trust.md")).unwrap();
    for number in 1..=16 {
        let cells = row(&text, &format!("P{number}"));
        assert_eq!(cells.len(), 4, "{cells:?}");
        let names = named(cells[3], &tests);
        let mark = format!("p{number}_");
        assert!(names.len() >= 2 && names.iter().any(|name| name.contains(&mark)), "P{number}: {names:?}");
    }
}
