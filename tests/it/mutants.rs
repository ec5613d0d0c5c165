//! The seeded faults of `tests/mutants` still fit the sources, and each names a test that exists. `tests/mutants/run` shows that the
//! tests catch them.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn each_mutant_applies_and_names_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_checkout = Command::new("git").arg("-C").arg(root).args(["rev-parse", "--git-dir"]).output();
    if !is_checkout.is_ok_and(|output| output.status.success()) {
        println!("skipped: no git checkout");
        return;
    }
    let mut count = 0;
    for file in fs::read_dir(root.join("tests/mutants")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        count += 1;
        let text = fs::read_to_string(&path).unwrap();
        let line = text.lines().nth(1).unwrap();
        assert!(line.starts_with("# --lib ") || line.starts_with("# --test it "), "{}: {line}", path.display());
        let wanted = line.rsplit([' ', ':']).find(|word| !word.is_empty()).unwrap();
        let word = format!("(fn|mod) {wanted}\\b");
        let found = Command::new("git").current_dir(root).args(["grep", "-qE", &word, "--", "*.rs"]).status().unwrap();
        assert!(found.success(), "{}: there is no test {wanted}", path.display());
        let applied = Command::new("git").current_dir(root).args(["apply", "--check"]).arg(&path).output().unwrap();
        assert!(applied.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&applied.stderr));
    }
    assert!(count > 10, "only {count} mutants");
}
