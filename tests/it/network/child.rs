//! Creates in a process of their own: certificates and proxies come from the environment, which is the process's.

use std::collections::BTreeMap;
use std::env;
use std::process::Command;

use chatapi::provider::Provider as _;

use super::{PATIENT, assert_silent, create, provider, runtime};

/// Tells the child what to do; without it, its tests do nothing.
const URL: &str = "NETWORK_TEST_URL";
/// Stands before the one line of a child that its parent reads.
const MARK: &str = "network-test-result: ";

/// What a create in a child came to: word and advice, as `Debug` shows them.
pub(super) fn create_in_child(url: &str, variables: &[(&str, &str)]) -> String {
    in_child("network::child::creates_when_a_parent_asks", url, variables)
}

/// What a listing in a child came to: how many instances and odd items, and how many KiB the child used at most.
pub(super) fn list_in_child(url: &str) -> String {
    in_child("network::child::lists_when_a_parent_asks", url, &[])
}

/// Runs one test of this binary with these variables and no others.
fn in_child(test: &str, url: &str, variables: &[(&str, &str)]) -> String {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().chain([(URL, url)]).collect();
    let mut child = Command::new(env::current_exe().unwrap());
    child.env_clear().envs(variables).args([test, "--exact", "--nocapture"]);
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_silent(&said);
    let result = said.lines().find_map(|line| line.split_once(MARK)).unwrap_or_else(|| panic!("no result: {said}"));
    result.1.to_owned()
}

#[test]
fn creates_when_a_parent_asks() {
    let Ok(url) = env::var(URL) else { return };
    let tried = runtime().block_on(create(&provider(&url, PATIENT)));
    println!("\n{MARK}{:?} {:?} {}", tried.word, tried.advice, tried.text);
}

#[test]
fn lists_when_a_parent_asks() {
    let Ok(url) = env::var(URL) else { return };
    let listing = runtime().block_on(provider(&url, PATIENT).list());
    let (items, odd) = listing.map_or((0, 0), |listing| (listing.instances.len(), listing.odd_items));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    println!("\n{MARK}{items} {odd} {}", peak.trim().trim_end_matches(" kB"));
}
