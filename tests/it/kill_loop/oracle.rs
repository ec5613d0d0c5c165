//! What must hold after every run, computed from the server's ledger and the journal's lines, not from the state.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use chatapi::emulator::{LedgerEntry, SeenRequest};
use chatapi::instance::InstanceName;
use chatapi::provider::certainty::{Verdict, judge};
use chatapi::secret::Secret;
use chatapi::state::{Answer, Entry, Event, about_answer};
use serde_json::Value;

use super::project::{Ended, Project, identities};

/// What the journal says of one attempt.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail {
    pub(crate) name: String,
    pub(crate) is_sent: bool,
    pub(crate) is_received: bool,
    pub(crate) closed: Option<Closed>,
    /// Id and token.
    pub(crate) created: Option<(String, Option<String>)>,
}

/// Why an attempt created nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    Unsent,
    /// By a refusal or the operator.
    Otherwise,
}

impl Trail {
    /// Sent, and nothing recorded that tells what came of it.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.is_sent && !self.is_received && self.closed.is_none()
    }

    /// The phase that a kill would leave it in; none: it is over.
    pub(crate) fn phase(&self) -> Option<Phase> {
        match self {
            Self { closed: Some(_), .. } => None,
            Self { created: Some(_), .. } => Some(Phase::Created),
            Self { is_received: true, .. } => Some(Phase::Received),
            Self { is_sent: true, .. } => Some(Phase::Sent),
            _ => Some(Phase::Intent),
        }
    }
}

/// How far an attempt had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Intent,
    Sent,
    Received,
    Created,
}

/// Every attempt in the journal of `project`, by its id. A torn last line is no entry.
pub(crate) fn trails(project: &Project) -> BTreeMap<String, Trail> {
    let mut trails: BTreeMap<String, Trail> = BTreeMap::new();
    let mut tokens = BTreeMap::new();
    let mut lineage = None;
    let bytes = fs::read(project.path("state/journal.jsonl")).unwrap_or_default();
    for line in bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        let entry: Entry = serde_json::from_slice(line).unwrap();
        let mut at = |attempt: &dyn ToString, change: &dyn Fn(&mut Trail)| {
            change(trails.entry(attempt.to_string()).or_default());
        };
        match entry.event {
            Event::Genesis { lineage: drawn, .. } => lineage = Some(drawn),
            Event::Intent { attempt, name, .. } => at(&attempt, &|trail| trail.name = name.to_string()),
            Event::Sent { attempt } => at(&attempt, &|trail| trail.is_sent = true),
            Event::Received { attempt, answer } => {
                at(&attempt, &|trail| trail.is_received = true);
                let name = InstanceName::parse(&trails[attempt.as_str()].name).unwrap();
                let about = about_answer(lineage.as_ref().unwrap(), &name, &attempt);
                let opened = answer.open(identities(), &about).unwrap();
                assert_eq!(answer.clear().is_none(), project.url.is_some(), "sealed where it should be, and only there");
                tokens.insert(entry.serial, token_of(&opened));
            }
            Event::Unsent { attempt, .. } => at(&attempt, &|trail| trail.closed = Some(Closed::Unsent)),
            Event::Refused { attempt, .. } | Event::Resolved { attempt, .. } => {
                at(&attempt, &|trail| trail.closed = Some(Closed::Otherwise));
            }
            Event::Created { attempt, id, token_in, .. } => {
                let token = token_in.and_then(|serial| tokens.get(&serial)?.clone());
                at(&attempt, &|trail| trail.created = Some((id.to_string(), token.clone())));
            }
            _ => {}
        }
    }
    trails
}

/// The token in an answer.
fn token_of(answer: &Answer) -> Option<String> {
    match judge(answer) {
        Verdict::Created(instance) => Some(instance.token?.expose().to_owned()),
        _ => None,
    }
}

/// What the server did and what runs said.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) ledger: Vec<LedgerEntry>,
    pub(crate) seen: Vec<SeenRequest>,
    /// Names and ids that runs printed as created.
    pub(crate) printed: Vec<(String, String)>,
}

/// What a check found, besides faults.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) creates: usize,
    /// In doubt, and the server has it.
    pub(crate) doubts_created: usize,
    /// In doubt, and the server has nothing.
    pub(crate) doubts_empty: usize,
}

/// Holds the state of `project` after its `last` run against the truth. An error is a broken promise, in words.
pub(crate) fn check(project: &Project, truth: &Truth, last: &Ended) -> Result<Found, String> {
    let trails = trails(project);
    let owners = one_create_each(&trails, truth)?;
    let listed = listed(project)?;
    let ambiguous: BTreeSet<&str> = trails.values().filter(|trail| trail.is_ambiguous()).map(|t| t.name.as_str()).collect();
    let doubted: BTreeSet<&str> = listed.iter().filter(|(_, item)| item.0 == "in_doubt").map(|(n, _)| n.as_str()).collect();
    ensure(ambiguous == doubted, || format!("in doubt are {doubted:?}, the journal says {ambiguous:?}"))?;
    let expected = if doubted.is_empty() { 0 } else { 3 };
    ensure(last.code() == Some(expected), || format!("the last run ended with {:?}, not {expected}", last.status))?;
    for name in project.names() {
        let status = listed.get(name).map(|item| item.0.as_str());
        ensure(matches!(status, Some("created" | "in_doubt")), || format!("`{name}` ends as {status:?}"))?;
    }
    nothing_lost(&trails, &listed, &owners)?;
    for (name, id) in &truth.printed {
        let is_kept = listed.get(name).is_some_and(|item| item.0 == "created" && item.1 == *id);
        ensure(is_kept, || format!("`{name}` was printed as created as {id} and is {:?}", listed.get(name)))?;
    }
    index_is_the_journal(project, last)?;
    private(&project.path("state"))?;
    let doubts_created = doubted.iter().filter(|name| owners.contains_key(**name)).count();
    Ok(Found { creates: owners.len(), doubts_created, doubts_empty: doubted.len() - doubts_created })
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Ledger creates by name. V1: one each. V4 and P14: each request that came has its `sent` record.
fn one_create_each<'a>(
    trails: &'a BTreeMap<String, Trail>,
    truth: &'a Truth,
) -> Result<BTreeMap<&'a str, &'a LedgerEntry>, String> {
    let mut owners = BTreeMap::new();
    for create in &truth.ledger {
        let attempt = create.request_id.as_deref().ok_or("a create without an attempt's id")?;
        let trail = trails.get(attempt).ok_or_else(|| format!("no attempt {attempt} in the journal"))?;
        ensure(trail.is_sent && trail.closed.is_none(), || format!("{attempt} was created and is not `sent`"))?;
        let twice = owners.insert(trail.name.as_str(), create);
        ensure(twice.is_none(), || format!("`{}` was created twice", trail.name))?;
    }
    let mut came = BTreeSet::new();
    for seen in &truth.seen {
        let attempt = seen.request_id.as_deref().ok_or("a request without an attempt's id")?;
        ensure(trails.get(attempt).is_some_and(|trail| trail.is_sent), || format!("{attempt} came and is not `sent`"))?;
        ensure(came.insert(attempt), || format!("{attempt} came twice"))?;
    }
    Ok(owners)
}

/// V2 and V3: every create of the server is known with its id and token, or its name is in doubt; and no id is invented.
fn nothing_lost(
    trails: &BTreeMap<String, Trail>,
    listed: &BTreeMap<String, (String, String)>,
    owners: &BTreeMap<&str, &LedgerEntry>,
) -> Result<(), String> {
    let mut kept: BTreeMap<&str, &(String, Option<String>)> = BTreeMap::new();
    kept.extend(trails.values().filter_map(|trail| Some((trail.name.as_str(), trail.created.as_ref()?))));
    for (name, create) in owners {
        let (status, id) = listed.get(*name).ok_or_else(|| format!("`{name}` exists and is not recorded"))?;
        if status == "in_doubt" {
            continue;
        }
        ensure(status == "created" && id == create.id.as_str(), || format!("`{name}` is {status} as {id}: {:?}", create.id))?;
        let token = kept.get(name).and_then(|(_, token)| token.as_deref());
        let is_whole = token.is_some() && token == create.token.as_ref().map(Secret::expose);
        ensure(is_whole, || format!("the token of `{name}` is lost"))?;
    }
    for (name, (status, id)) in listed.iter().filter(|(_, (status, _))| status == "created") {
        let is_real = owners.get(name.as_str()).is_some_and(|create| create.id.as_str() == id);
        ensure(is_real, || format!("`{name}` is {status} as {id}, which the server does not know"))?;
    }
    Ok(())
}

/// Name → status and id, from `chatapi state list --format json`.
pub(crate) fn listed(project: &Project) -> Result<BTreeMap<String, (String, String)>, String> {
    let ended = project.run(&["state", "list", "--format", "json"]);
    ensure(ended.code() == Some(0), || format!("state list ends with {:?}: {}", ended.status, ended.stderr))?;
    let items: Vec<Value> = serde_json::from_str(&ended.stdout).map_err(|error| error.to_string())?;
    let text = |item: &Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
    Ok(items.iter().map(|item| (text(item, "name"), (text(item, "status"), text(item, "id")))).collect())
}

/// After an undisturbed end the index answers, and says what the journal says; or the run said that it could not be written.
///
/// Asked of the program, in a process of its own: between fork and exec every child of these tests holds what they have open, and
/// sled's lock with it.
fn index_is_the_journal(project: &Project, last: &Ended) -> Result<(), String> {
    let looked = project.run(&["state", "verify", "--format", "json"]);
    let told = || format!("{}{}; the run before said {}", looked.stdout, looked.stderr, last.stderr);
    ensure(looked.code() == Some(0), || format!("state verify ends with {:?}: {}", looked.status, told()))?;
    let found: Value = serde_json::from_str(&looked.stdout).map_err(|error| error.to_string())?;
    let findings = found["findings"].as_array().cloned().unwrap_or_default();
    let index = findings.iter().find(|finding| finding["part"] == "index").map(|finding| finding["message"].clone());
    let is_told = last.stderr.contains("the index could not be brought up to date");
    ensure(is_told || index.is_some_and(|message| message == "equals the journal"), || {
        format!("the index does not answer: {}", told())
    })
}

/// V9: nobody else reads the state, and nothing temporary is left.
fn private(dir: &Path) -> Result<(), String> {
    for entry in fs::read_dir(dir).map_err(|error| error.to_string())?.flatten() {
        let (path, mode) = (entry.path(), entry.metadata().map_err(|error| error.to_string())?.permissions().mode());
        ensure(mode.trailing_zeros() >= 6, || format!("{} has mode {mode:o}", path.display()))?;
        ensure(path.extension().is_none_or(|extension| extension != "new"), || format!("{} is left", path.display()))?;
        if path.is_dir() {
            private(&path)?;
        }
    }
    Ok(())
}
