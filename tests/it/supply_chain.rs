//! What this program is built from (T28, T29): counted, from one kind of source, written down, and looked at again in time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::civil::Date;
use serde_json::{Value, json};

/// Crates in the tree on Linux, without the tests'.
const CRATES_MAX: usize = 170;
/// For how long a look at an unmaintained dependency counts.
const REVIEW_DAYS: i32 = 180;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The packages of `Cargo.lock`: name and version, with source and checksum.
fn locked() -> BTreeMap<(String, String), (Option<String>, Option<String>)> {
    let lock = read("Cargo.lock");
    let field = |package: &str, key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")))?;
        line.strip_suffix('"').map(str::to_owned)
    };
    let packages = lock.split("[[package]]").skip(1).map(|package| {
        let id = (field(package, "name").unwrap(), field(package, "version").unwrap());
        (id, (field(package, "source"), field(package, "checksum")))
    });
    packages.collect()
}

/// The crates that the program is built from on Linux, with their licences; as cargo resolves them, without network.
fn tree() -> BTreeMap<(String, String), String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--offline", "-e", "normal", "--prefix", "none", "--target", "x86_64-unknown-linux-gnu"]);
    let output = cargo.args(["-f", "{p}|{l}"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let crates = text.lines().filter(|line| !line.is_empty()).map(|line| {
        let (package, licence) = line.split_once('|').unwrap();
        let mut words = package.split(' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap().trim_start_matches('v'));
        // A crate that was shown before has `(*)` behind it.
        ((name.to_owned(), version.to_owned()), licence.trim_end_matches(" (*)").to_owned())
    });
    let mut crates: BTreeMap<_, _> = crates.collect();
    crates.remove(&("chatapi".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
    crates
}

#[test]
fn t28_the_tree_is_small_and_comes_from_one_kind_of_source() {
    let crates = tree();
    assert!(crates.len() <= CRATES_MAX, "{} crates: which of the new ones is worth it?", crates.len());
    for ((name, version), (source, checksum)) in locked() {
        if name == "chatapi" {
            continue;
        }
        assert!(source.as_ref().is_some_and(|source| source.starts_with("registry+")), "{name} {version} is from {source:?}");
        assert!(checksum.is_some(), "{name} {version} has no checksum");
    }
    for banned in ["openssl-sys", "native-tls", "aws-lc-sys", "h2", "serde_yml", "libyml", "unsafe-libyaml"] {
        assert!(crates.keys().all(|(name, _)| name != banned), "{banned} is in the tree");
        assert!(read("deny.toml").contains(&format!("crate = \"{banned}\"")), "deny.toml does not ban {banned}");
    }
    // RUSTSEC-2026-0204.
    let epoch = crates.keys().find(|(name, _)| name == "crossbeam-epoch").unwrap();
    let patch: u32 = epoch.1.strip_prefix("0.9.").unwrap().parse().unwrap();
    assert!(patch >= 20, "crossbeam-epoch {}", epoch.1);
}

#[test]
fn t28_every_direct_dependency_says_why_it_is_there() {
    let manifest = read("Cargo.toml");
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[profile").next().unwrap();
    // Named by the project's own brief, and so without a reason; and those that go with the line above.
    let without = ["serde", "thiserror", "tokio", "tracing", "tracing-subscriber", "http-body-util", "hyper-util", "anstyle"];
    let mut before = "";
    for line in dependencies.lines() {
        if let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            assert!(before.starts_with('#') || without.contains(&name), "{name} has no reason above it");
        }
        before = line;
    }
}

#[test]
fn t29_what_is_unmaintained_is_looked_at_again_in_time() {
    let texts = [read("deny.toml"), read("SECURITY.md")];
    let date = |text: &str, before: &str| -> Date { text.split(before).nth(1).unwrap().trim_start()[..10].parse().unwrap() };
    for text in texts {
        let text = text.replace('\n', " ").replace("# ", "");
        let (looked, again) = (date(&text, "ooked at on "), date(&text, "looked at again by"));
        assert!((again - looked).get_days() <= REVIEW_DAYS, "{looked} to {again}");
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        assert!(today <= again, "sled, instant and fxhash were last looked at on {looked}: look again, and move both dates");
    }
}

#[test]
fn t30_the_bill_of_materials_lists_what_is_built() {
    let locked = locked();
    let components: Vec<Value> = tree()
        .into_iter()
        .map(|((name, version), licence)| {
            let checksum = locked[&(name.clone(), version.clone())].1.clone().unwrap();
            json!({
                "type": "library",
                "name": name,
                "version": version,
                "purl": format!("pkg:cargo/{name}@{version}"),
                "licenses": [{"expression": licence.replace('/', " OR ")}],
                "hashes": [{"alg": "SHA-256", "content": checksum}],
            })
        })
        .collect();
    let component = json!({"type": "application", "name": "chatapi", "version": env!("CARGO_PKG_VERSION")});
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component},
        "components": components,
    });
    let text = serde_json::to_string_pretty(&bill).unwrap() + "\n";
    let path = root().join("sbom.cdx.json");
    if std::env::var_os("CHATAPI_BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "sbom.cdx.json is not what is built; if that is wanted: CHATAPI_BLESS=1");
}
