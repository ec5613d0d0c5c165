//! The house as the crate docs draw it, held against the sources: who uses whom, and who alone names what.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module with its floor; a module uses only lower floors.
const FLOORS: [(&str, u8); 20] = [
    ("failpoint", 0),
    ("text", 0),
    ("secret", 0),
    ("instance", 0),
    ("seal", 1),
    ("diagnostic", 2),
    ("listing", 2),
    ("price", 2),
    ("state", 2),
    ("manifest", 3),
    ("plan", 4),
    ("saved", 5),
    ("doctor", 3),
    ("store", 4),
    ("provider", 4),
    ("client", 5),
    ("apply", 5),
    ("emulator", 5),
    ("report", 6),
    ("cli", 7),
];

/// Every source file below `src`, with its path from there.
fn sources() -> BTreeMap<PathBuf, String> {
    fn walk(dir: &Path, root: &Path, into: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, root, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    walk(&root, &root, &mut files);
    files
}

/// The top-level module that a file belongs to.
fn module_of(path: &Path) -> String {
    path.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The top-level modules that a line of code names.
fn named(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or_default();
    let after = code.split("crate::").skip(1);
    after.map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()).collect()
}

#[test]
fn modules_use_lower_floors_only_and_all_are_on_the_map() {
    let floors: BTreeMap<&str, u8> = FLOORS.into();
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    for (path, text) in sources() {
        let module = module_of(&path);
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let floor = *floors.get(module.as_str()).unwrap_or_else(|| panic!("{module} has no floor"));
        assert!(docs.contains(&format!("[`{module}`]")), "{module} is not in the crate docs");
        for (number, line) in text.lines().enumerate() {
            for used in named(line).iter().filter(|used| **used != module) {
                let Some(below) = floors.get(used.as_str()) else { continue };
                assert!(*below < floor, "{}:{}: {module} uses {used}", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn one_room_names_each_outside_thing() {
    let rooms: [(&str, &[&str]); 4] = [
        ("::sled::", &["store/sled.rs", "store/sled/tests.rs"]),
        ("reqwest::", &["provider/http.rs", "provider/body.rs", "provider/url.rs", "provider/instance.rs"]),
        ("io::stdout", &["cli/console.rs"]),
        ("serde_yaml::", &["manifest/", "emulator/faults.rs", "doctor/forge/yaml.rs"]),
    ];
    for (path, text) in sources() {
        let path = path.to_string_lossy().into_owned();
        let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
        for (thing, rooms) in rooms {
            let may = rooms.iter().any(|room| path.starts_with(room));
            assert!(may || !code.contains(thing), "{path} names {thing}");
        }
    }
}

/// Between its fork and its exec a child has every open file of the test program, locks too: a lock that another test has just let
/// go would still be held. So tests that start programs and tests that hold locks live in different programs.
#[test]
fn unit_tests_start_no_program() {
    for (path, text) in sources() {
        let tests = text.split_once("#[cfg(test)]\nmod tests {").map_or("", |(_, tests)| tests);
        let is_test = path.components().any(|part| part.as_os_str().to_string_lossy().contains("tests"));
        let code = if is_test { &text } else { tests };
        assert!(!code.contains("Command::new"), "{} starts a program", path.display());
    }
    let starters: Vec<_> =
        sources().into_iter().filter(|(_, text)| text.contains("process::Command")).map(|(path, _)| path).collect();
    assert_eq!(starters, [Path::new("cli/process.rs")], "who starts programs");
}
