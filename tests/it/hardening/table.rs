//! `docs/threats.md` names the tests that stand against each threat: every one of them exists.

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

#[test]
fn every_threat_has_a_row_and_every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    tests_in(&root.join("src"), &mut tests);
    tests_in(&root.join("tests"), &mut tests);
    let text = fs::read_to_string(root.join("docs/threats.md")).unwrap();
    let mut named = 0;
    for number in 1..=31 {
        let start = format!("| T{number} |");
        let row = text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("T{number} has no row"));
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{row}");
        for name in cells[3].split(", ").filter_map(|name| name.strip_prefix('`')?.strip_suffix('`')) {
            assert!(tests.contains(name), "T{number} names the test {name}, which does not exist");
            named += 1;
        }
        let is_covered = cells[3].contains('`');
        assert!(is_covered || !cells[4].is_empty(), "T{number} has neither a test nor a word about what is open");
    }
    assert!(named >= 60, "{named}");
}
