//! P2, P9 while something is deleted: what the server has deleted is on record as that, or as in doubt; what was not named is untouched; the
//! run says what failed and what to do; and with room the same command goes to the end.

use super::*;
use crate::kill_loop::oracle::listed;

/// Deletes `name-0` and `name-1`, by their names or as what has left the manifest.
fn command(verb: &str) -> Vec<&str> {
    let confirmed = ["--yes", "--max-deletes", "2", "--parallelism", "1"];
    let words: &[&str] = if verb == "destroy" { &["destroy", "name-0", "name-1"] } else { &["apply", "--prune"] };
    words.iter().chain(&confirmed).copied().collect()
}

/// Whether an intent to delete is on record.
#[cfg(feature = "failpoints")]
fn is_begun(site: &Site) -> bool {
    listed(&site.project).unwrap().values().any(|(status, _)| status == "retiring")
}

/// Three instances, of which two have left the manifest.
fn site(dir: &Path) -> Site {
    let site = Site::new(dir);
    assert_eq!(site.project.run(&["apply", "--parallelism", "1"]).code(), Some(0));
    let manifest = fs::read_to_string(site.project.path("instances.yaml")).unwrap();
    let left: Vec<&str> = manifest.lines().filter(|line| !line.contains("name-0") && !line.contains("name-1")).collect();
    fs::write(site.project.path("instances.yaml"), left.join("\n") + "\n").unwrap();
    site
}

/// What the record says agrees with what the server did, and the run has told it; then the same command goes to the end.
fn assert_sound(site: &Site, ended: &Ended, (verb, what): (&str, &str)) {
    let told = format!("{what}: {:?}\n{}{}", ended.status, ended.stdout, ended.stderr);
    assert!(matches!(ended.code(), Some(0 | 1 | 3 | 4)) && !ended.stderr.contains("panicked"), "{told}");
    let has_all = ["error: ", "hint: "].iter().all(|part| ended.stderr.contains(part));
    assert!(ended.code() == Some(0) || has_all, "what failed, and what to do: {told}");
    let records = listed(&site.project).unwrap();
    let gone = site.gateway.deleted();
    for (name, (status, id)) in &records {
        let is_gone = gone.contains(id);
        let is_as_told = match status.as_str() {
            "created" => !is_gone,
            "retired" => is_gone,
            // One that was sent is in doubt, and the exit code says so.
            "retiring" => !is_gone || ended.code() == Some(3),
            _ => false,
        };
        assert!(is_as_told && (name != "name-2" || status == "created"), "{name} is {status}: {told}");
    }
    assert!(ended.code() != Some(1) || gone.is_empty(), "{told}");
    let words = [&command(verb)[..], &["--settle-after", "0s"]].concat();
    let again = site.project.run(&words);
    assert_eq!(again.code(), Some(0), "{told}\nthen: {}{}", again.stdout, again.stderr);
    assert_eq!((site.gateway.deleted().len(), site.gateway.creates().len()), (2, NAMES), "{told}");
    assert_eq!(site.project.run(&["state", "verify"]).code(), Some(0), "{told}");
    assert!(!site.project.run(&["token", "get", "name-2"]).stdout.is_empty(), "{told}");
}

#[test]
fn p2_p9_a_file_size_limit_in_the_middle_of_deletes_loses_nothing() {
    let mut outcomes = [0; 5];
    for verb in ["destroy", "prune"] {
        // Around the end of the journal, where each entry is the first that has no room; and around what an index takes.
        for more in [-1_i64, 0, 1, 2, 3, 4, 1_024, 5_632, 16_384, 65_536] {
            let place = tempfile::tempdir().unwrap();
            let site = site(place.path());
            let journal = fs::metadata(site.project.path("state/journal.jsonl")).unwrap().len() / 512;
            let blocks = journal.saturating_add_signed(more);
            let ended = Run::start(site.project.limited(blocks, &command(verb))).end();
            outcomes[usize::try_from(ended.code().unwrap()).unwrap()] += 1;
            assert_sound(&site, &ended, (verb, &format!("{verb}, {more} blocks more")));
        }
    }
    println!("file size limits: exit codes {outcomes:?}");
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
}

/// No room for one entry of a delete, whichever it is.
#[cfg(feature = "failpoints")]
#[test]
fn p2_p9_a_disk_that_is_full_at_an_entry_of_a_delete_loses_nothing() {
    for (verb, step) in ["destroy", "prune"].iter().flat_map(|verb| ["before", "written"].map(|step| (*verb, step))) {
        for (word, is_sent) in [("retiring", false), ("retire_sent", false), ("retired", true)] {
            let place = tempfile::tempdir().unwrap();
            let site = site(place.path());
            let mut call = site.project.command(&command(verb));
            let point = format!("journal-{step}-{word}");
            call.env("CHATAPI_FAILPOINT", format!("{point}=full"));
            let ended = Run::start(call).end();
            assert_eq!(!site.gateway.deleted().is_empty(), is_sent, "{verb}, {point}: {}", ended.stderr);
            // An apply tells of the intent that it has left on record.
            let is_open = is_sent || verb == "prune" && is_begun(&site);
            assert_eq!(ended.code(), Some(if is_open { 3 } else { 1 }), "{verb}, {point}: {}{}", ended.stdout, ended.stderr);
            assert_sound(&site, &ended, (verb, &format!("{verb}, {point}")));
        }
    }
}
