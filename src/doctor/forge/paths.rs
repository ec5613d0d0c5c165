//! Paths as pipelines write them, from the repository's root, and patterns that name some.

use super::script;

/// What stands for the repository's root at the beginning of a path.
const ROOTS: [&str; 6] = [
    "${{github.workspace}}",
    "${{env.GITHUB_WORKSPACE}}",
    "$GITHUB_WORKSPACE",
    "${GITHUB_WORKSPACE}",
    "$CI_PROJECT_DIR",
    "${CI_PROJECT_DIR}",
];
/// What stands for a place that no checkout is in.
const ELSEWHERE: [&str; 8] =
    ["~", "/", "$HOME", "${HOME}", "${{runner.temp}}", "${{runner.tool_cache}}", "$RUNNER_TEMP", "$RUNNER_TOOL_CACHE"];
/// Files that a state has, below its directory.
const FILES: [&str; 5] = ["journal.jsonl", "index", "index/db", "history", ".gitignore"];
/// Longest pattern that is held against paths, in bytes.
const PATTERN_MAX: usize = 150;
/// Most ways in which braces are written out.
const BRACES_MAX: usize = 16;

/// Whether files that somebody names have some of a state among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// They have, by this pattern.
    Yes(String),
    /// It depends on what this pattern is in the run.
    Perhaps(String),
    /// They have not.
    No,
}

/// A path without the ways to say the repository's root, and without what ends it.
pub(super) fn plain(path: &str) -> String {
    let path: String = script::without_blanks_in_expressions(path.trim());
    let path = ROOTS.iter().find_map(|root| path.strip_prefix(root)).map_or(path.as_str(), |rest| rest.trim_start_matches('/'));
    let mut path = path;
    while let Some(rest) = path.strip_prefix("./") {
        path = rest;
    }
    let path = path.trim_end_matches("/**").trim_end_matches("/*").trim_end_matches('/');
    if path == "." { String::new() } else { path.to_owned() }
}

/// `path`, seen from `directory`.
pub(in crate::doctor) fn joined(directory: Option<&str>, path: &str) -> String {
    let path = plain(path);
    match directory.map(plain).filter(|directory| !directory.is_empty()) {
        Some(directory) if path.is_empty() => directory,
        Some(directory) if is_inside(&path) => format!("{directory}/{path}"),
        _ => path,
    }
}

/// Whether it is in the work tree, as far as its text says.
pub(in crate::doctor) fn is_inside(path: &str) -> bool {
    !path.starts_with(['/', '~', '$'])
}

/// Whether the files that `patterns` name have some of `state` among them; one with `!` takes out what those before it named.
pub(in crate::doctor) fn holds(patterns: &[String], state: &str) -> Holds {
    let mut found = Holds::No;
    for pattern in patterns {
        if let Some(out) = pattern.trim_start().strip_prefix('!') {
            if is_whole(&plain(out), state) {
                found = Holds::No;
            }
        } else if covers(pattern, state) {
            found = Holds::Yes(pattern.clone());
        } else if found == Holds::No && is_unknown(pattern, state) {
            found = Holds::Perhaps(pattern.clone());
        }
    }
    found
}

/// Whether only a run knows what it names.
fn is_unknown(pattern: &str, state: &str) -> bool {
    let pattern = plain(pattern);
    if pattern.len() > PATTERN_MAX {
        return true;
    }
    let is_elsewhere = ELSEWHERE.iter().any(|place| pattern.starts_with(place));
    pattern.contains('$') && !(is_elsewhere && is_inside(state))
}

/// Whether the files that `pattern` names have some of the directory `state` among them.
pub(in crate::doctor) fn covers(pattern: &str, state: &str) -> bool {
    let pattern = plain(pattern);
    if matches!(pattern.as_str(), "" | "*" | "**") {
        return is_inside(state);
    }
    let is_below =
        |inner: &str, outer: &str| inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    if is_below(state, &pattern) || is_below(&pattern, state) {
        return true;
    }
    if !pattern.contains(['*', '?', '[', '{']) || pattern.len() > PATTERN_MAX || state.len() > PATTERN_MAX {
        return false;
    }
    let files = FILES.iter().map(|file| format!("{state}/{file}"));
    let paths: Vec<String> = above(state).map(str::to_owned).chain(files).collect();
    written_out(&pattern).iter().any(|pattern| paths.iter().any(|path| is_match(pattern, path)))
}

/// Whether `pattern` names the whole of `state`.
fn is_whole(pattern: &str, state: &str) -> bool {
    (pattern.is_empty() && is_inside(state)) || above(state).any(|path| is_match(pattern, path))
}

/// `a/b/c`, `a/b`, `a`.
fn above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(outer, _)| outer).filter(|outer| !outer.is_empty()))
}

/// `a{b,c}` as `ab` and `ac`.
fn written_out(pattern: &str) -> Vec<String> {
    let (mut done, mut open) = (Vec::new(), vec![pattern.to_owned()]);
    while let Some(next) = open.pop() {
        let parts =
            next.split_once('{').and_then(|(before, rest)| rest.split_once('}').map(|(inside, after)| (before, inside, after)));
        match parts {
            Some((before, inside, after)) if done.len() + open.len() < BRACES_MAX => {
                open.extend(inside.split(',').map(|one| format!("{before}{one}{after}")));
            }
            // Too many: then it may be any.
            Some(_) => return vec!["**".to_owned()],
            None => done.push(next),
        }
    }
    done
}

fn is_match(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    fits(&pattern, &path, |part| *part == "**", |part, name| is_part(part, name))
}

/// One name. What stands in brackets may be any character.
fn is_part(pattern: &str, name: &str) -> bool {
    let mut tokens = Vec::new();
    let mut bytes = pattern.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'[' {
            bytes.by_ref().find(|byte| *byte == b']');
        }
        tokens.push(if byte == b'[' { b'?' } else { byte });
    }
    fits(&tokens, name.as_bytes(), |token| *token == b'*', |token, byte| *token == b'?' || token == byte)
}

/// Whether the whole of `items` is what `pattern` says, where `is_any` stands for any number of them. Its time is their product.
fn fits<P, I>(pattern: &[P], items: &[I], is_any: impl Fn(&P) -> bool, is_one: impl Fn(&P, &I) -> bool) -> bool {
    // After each of the first items: whether the pattern up to here has used just those.
    let mut reached: Vec<bool> = std::iter::once(true).chain(items.iter().map(|_| false)).collect();
    for part in pattern {
        let mut before = false;
        let next = reached.iter().enumerate().map(|(used, is_reached)| {
            let one = if is_any(part) {
                before || *is_reached
            } else {
                let last = used.checked_sub(1);
                let was = last.and_then(|last| reached.get(last)).copied().unwrap_or_default();
                was && last.and_then(|last| items.get(last)).is_some_and(|item| is_one(part, item))
            };
            before = one;
            one
        });
        reached = next.collect();
    }
    reached.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_paths_meet_however_the_root_is_said() {
        for (pattern, state, expected) in [
            ("state", "state", true),
            ("./state/", "state", true),
            ("state/**", "state", true),
            ("${{ github.workspace }}/state", "state", true),
            ("$CI_PROJECT_DIR/infra", "infra/state", true),
            ("state/journal.jsonl", "state", true),
            (".", "state", true),
            ("**/state", "infra/state", true),
            ("st*", "state", true),
            ("*/state", "infra/state", true),
            ("**/*.jsonl", "infra/state", true),
            ("i?fra/*", "infra/state", true),
            ("{target,sta{te,tus}}", "state", true),
            ("{target,state}", "state", true),
            ("s[t]ate", "state", true),
            ("*.jsonl", "state", false),
            ("**/target", "infra/state", false),
            ("*/state", "state", false),
            ("~/.cargo", "state", false),
            ("states", "state", false),
            ("target", "state", false),
            (".", "/srv/state", false),
        ] {
            assert_eq!(covers(pattern, state), expected, "{pattern} {state}");
        }
        assert_eq!(joined(Some("infra/"), "./state"), "infra/state");
        assert_eq!(joined(Some("infra"), "/srv/state"), "/srv/state");
        assert_eq!(joined(Some("infra"), "."), "infra");
    }

    #[test]
    fn exceptions_are_taken_out_and_what_only_a_run_knows_is_told() {
        let held = |patterns: &[&str]| holds(&patterns.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), "kept/state");
        assert_eq!(held(&["target", "kept"]), Holds::Yes("kept".to_owned()));
        assert_eq!(held(&[".", "!kept"]), Holds::No);
        assert_eq!(held(&[".", "!kept/state/index"]), Holds::Yes(".".to_owned()));
        assert_eq!(held(&["!kept", "."]), Holds::Yes(".".to_owned()));
        assert_eq!(held(&["$DIR"]), Holds::Perhaps("$DIR".to_owned()));
        assert_eq!(held(&["$HOME/.cargo", "~/.x", "${{ runner.temp }}/x"]), Holds::No);
    }
}
