//! Who can read what should be secret: sealing, modes, and what git would carry away.

use super::{Check, Facts, ManifestFacts, StateFacts, Tracking};

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    [vec![sealing(facts)], permissions(facts), vec![git(facts)], outputs(facts)].concat()
}

/// Said once, and the same before and after an apply: what is in the clear there is no secret.
const EMULATED: &str = "no key to seal to, and none is needed: the emulator's tokens open nothing";

fn sealing(facts: &Facts) -> Check {
    let id = "sealing";
    let generate = &facts.key_hint;
    let is_wanted = facts.is_sealed_by_environment || matches!(facts.manifest, ManifestFacts::Good { is_sealed: true, .. });
    match &facts.state {
        _ if !facts.is_paid() && !is_wanted => Check::skipped(id, EMULATED),
        StateFacts::Good { unsealed: count @ 1.., is_sealed, .. } => {
            let tokens = if *count == 1 { "one secret stands".to_owned() } else { format!("{count} secrets stand") };
            let rekey = format!("`{} state rekey` seals what is kept", facts.command);
            let hint = if *is_sealed || is_wanted { rekey } else { format!("{generate}; then {rekey}") };
            let message = format!("{tokens} in the state in the clear: whoever can read it can use them");
            Check::warning(id, message).hint(hint)
        }
        StateFacts::Good { is_sealed: true, .. } => Check::ok(id, "what the state keeps is sealed"),
        _ if is_wanted => Check::ok(id, "tokens will be sealed"),
        _ => Check::warning(id, "neither the manifest nor CHATAPI_SEAL_TO names a key: tokens will be kept in the clear")
            .hint(generate.clone()),
    }
}

fn permissions(facts: &Facts) -> Vec<Check> {
    let id = "permissions";
    let finding = |exposed: &super::Exposed| {
        let is_groups = exposed.mode.is_multiple_of(0o10);
        let by = if is_groups { "its group" } else { "everybody on this machine" };
        let message = format!("{} is open to {by} (mode {:04o})", exposed.what, exposed.mode);
        let check = if is_groups { Check::warning(id, message) } else { facts.serious(id, message) };
        check.hint(format!("`{}`", exposed.remedy))
    };
    super::or(facts.exposed.iter().map(finding).collect(), || Check::ok(id, "what is secret is yours alone"))
}

fn git(facts: &Facts) -> Check {
    let id = "git";
    let shown = &facts.place.shown;
    let unsealed = if let StateFacts::Good { unsealed, .. } = facts.state { unsealed } else { 0 };
    let unsealed = if facts.is_paid() { unsealed } else { 0 };
    match facts.git.map(|git| git.state) {
        None => Check::skipped(id, "no git work tree here, or no git"),
        Some(None) => Check::ok(id, format!("{shown} is outside of the repository")),
        Some(Some(Tracking { is_tracked: true, .. })) if unsealed > 0 => facts
            .serious(id, format!("{shown} is in git, and tokens stand in it in the clear"))
            .hint(format!("`git rm -r --cached {shown}`; tokens that were pushed are known to others: have them replaced")),
        Some(Some(Tracking { is_tracked: true, is_apart: true, .. })) => {
            let sealed = if facts.is_paid() { ", sealed" } else { "" };
            Check::ok(id, format!("{shown} is in git{sealed} and on a branch of its own"))
        }
        Some(Some(Tracking { is_tracked: true, .. })) => Check::warning(
            id,
            format!("{shown} is in git: two branches that apply are two states, and each creates what it misses"),
        )
        .hint(format!("let one branch apply, one run at a time; or keep the state elsewhere: {}", facts.named("state", "DIR"))),
        Some(Some(Tracking { is_ignored: true, .. })) => Check::ok(id, format!("{shown} is left out of commits")),
        Some(Some(_)) if matches!(facts.state, StateFacts::Absent) => {
            if facts.state_elsewhere().is_some() {
                return Check::skipped(id, "no state here: the pipelines have theirs elsewhere");
            }
            Check::skipped(id, format!("no {shown} yet; the one that chatapi makes is left out of commits"))
        }
        Some(Some(_)) => {
            let hint = format!("`printf '*\\n!.gitignore\\n' > {shown}/.gitignore`");
            let message = format!("{shown} is not ignored: `git add .` would commit it");
            let check = if unsealed > 0 {
                facts.serious(id, message + ", and tokens in the clear with it")
            } else {
                Check::warning(id, message)
            };
            check.hint(hint)
        }
    }
}

/// Files with credentials that git has, or would take. Nothing is said where none are written.
fn outputs(facts: &Facts) -> Vec<Check> {
    let id = "outputs";
    if facts.outputs.is_empty() {
        return Vec::new();
    }
    let finding = |(file, tracking): &(String, Tracking)| {
        let (directory, name) = file.rsplit_once('/').map_or(("", file.as_str()), |(directory, name)| (directory, name));
        let place = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let ignore = format!("echo {name} >> {place}.gitignore");
        if tracking.is_tracked {
            let check = facts.serious(id, format!("{file} is in git, and credentials are written to it"));
            Some(check.hint(format!("`git rm --cached {file}`, then `{ignore}`; have tokens replaced that were pushed")))
        } else if tracking.is_ignored {
            None
        } else {
            let message = format!("{file} is not ignored, and credentials are written to it: `git add .` would commit them");
            Some(Check::warning(id, message).hint(format!("`{ignore}`")))
        }
    };
    super::or(facts.outputs.iter().filter_map(finding).collect(), || {
        Check::ok(id, "the files that credentials are written to are left out of commits")
    })
}
