//! What a pipeline runs, and against what: versions that move, placeholders that nobody has filled in, an emulator in place of a
//! server.

use std::collections::BTreeSet;

use super::guards::SECRETS;
use super::pipelines::{At, each};
use super::{Check, Command, Facts, ManifestFacts, Target};

pub(super) fn checks(facts: &Facts, applying: &[At<'_>]) -> Vec<Check> {
    let all = facts.pipelines.iter().flat_map(|pipeline| pipeline.jobs.iter().map(move |job| At { pipeline, job }));
    let all: Vec<At<'_>> = all.collect();
    let pins: Vec<_> = all.iter().flat_map(pins).collect();
    let mut checks = Vec::new();
    if !applying.is_empty() || !pins.is_empty() {
        checks.extend(super::or(pins, || Check::ok("version-pin", "no job takes whatever version is newest")));
    }
    let left = placeholders(&all);
    if !applying.is_empty() || !left.is_empty() {
        checks.extend(super::or(left, || Check::ok("placeholders", "none is left to be filled in")));
    }
    if !applying.is_empty() {
        checks.extend(target(facts, applying));
    }
    checks
}

fn pins(at: &At<'_>) -> Vec<Check> {
    let commands = at.job.steps.iter().flat_map(|step| &step.commands);
    let loose = commands.filter_map(loose).chain(at.job.image.as_deref().and_then(loose_image));
    let finding = |(what, hint): (&str, &str)| Check::warning("version-pin", format!("{at} {what}")).hint(hint);
    loose.map(finding).collect()
}

/// What a command installs without saying which.
fn loose(command: &Command) -> Option<(&'static str, &'static str)> {
    let names = |text: &str| command.words.iter().any(|word| word.contains(text));
    if names("releases/latest") && names("chatapi") {
        return Some(("downloads whatever release is the latest", "name the version in the address, and check its SHA-256"));
    }
    let is_install = (command.is("cargo") && command.has("install")) || command.is("cargo-binstall") || command.has("binstall");
    if !is_install || !names("chatapi") || command.has("--path") {
        return None;
    }
    if command.has("--git") {
        let is_fixed = command.has("--rev") || command.has("--tag");
        return (!is_fixed).then_some((
            "installs chatapi from a branch that moves",
            "name the commit: `cargo install --locked --git … --rev COMMIT`",
        ));
    }
    let is_fixed = command.has("--version") || command.has("--vers") || names("chatapi@");
    match (is_fixed, command.has("--locked") || !command.is("cargo") || command.has("binstall")) {
        (true, true) => None,
        (true, false) => {
            Some(("installs chatapi with whatever dependencies are newest", "`cargo install --locked chatapi --version …`"))
        }
        (false, _) => Some(("installs whatever version of chatapi is newest", "`cargo install --locked chatapi --version …`")),
    }
}

fn loose_image(image: &str) -> Option<(&'static str, &'static str)> {
    let name = image.rsplit('/').next().unwrap_or(image);
    let is_fixed = name.contains('@') || name.split_once(':').is_some_and(|(_, tag)| tag != "latest");
    let loose = name.starts_with("chatapi") && !is_fixed;
    loose.then_some(("takes whatever image of chatapi is newest", "name its version, or better its digest: `image: …@sha256:…`"))
}

/// Variables of ours that nobody has filled in yet, once for each file.
fn placeholders(all: &[At<'_>]) -> Vec<Check> {
    let ours = all.iter().flat_map(|at| at.job.variables.iter().map(move |(name, value)| (&at.pipeline.file, name, value)));
    let is_ours = |name: &str| name.starts_with("CHATAPI_") && !SECRETS.contains(&name);
    let left: BTreeSet<_> = ours.filter(|(_, name, value)| is_ours(name) && is_placeholder(value)).collect();
    let finding = |(file, name, value): (&String, &String, &String)| {
        let hint = if value.starts_with('0') {
            "write the commit that you trust there: `git rev-parse HEAD` in your clone of chatapi".to_owned()
        } else {
            format!("write in {file} what `{name}` is for you")
        };
        Check::warning("placeholders", format!("{name} in {file} is not filled in: it is `{value}`")).hint(hint)
    };
    left.into_iter().map(finding).collect()
}

/// A commit of zeros, or a host that is nobody's.
fn is_placeholder(value: &str) -> bool {
    let is_zero = value.len() >= 7 && value.bytes().all(|byte| byte == b'0');
    let host = value.split_once("://").map_or("", |(_, rest)| rest).split(['/', ':', '?', '#']).next().unwrap_or_default();
    let is_nobodys = |name: &str| host == name || host.ends_with(&format!(".{name}"));
    is_zero || ["example", "example.com", "example.org", "example.net"].into_iter().any(is_nobodys)
}

/// Whether an apply there creates anything real.
fn target(facts: &Facts, applying: &[At<'_>]) -> Vec<Check> {
    let id = "target";
    if let ManifestFacts::Good { is_paid: false, .. } = facts.manifest {
        let message = "the manifest is for the emulator: the pipeline's applies create nothing on a real server";
        return vec![Check::warning(id, message).hint("`provider: {kind: chatapi}` in the manifest, once it has been tried")];
    }
    each(id, applying, "nothing points the pipelines to an emulator", |at| {
        let url = at.job.variable("CHATAPI_URL").filter(|url| Target::of(url) == Target::ThisMachine);
        let finding = |url: &str| {
            let message =
                format!("{at} applies to {url}, which is the runner itself: what is created there is gone with the job");
            Check::warning(id, message).hint("CHATAPI_URL is the server's address, as a variable of the repository")
        };
        url.map(finding).into_iter().collect()
    })
}
