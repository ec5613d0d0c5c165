//! The second place for an answer that the journal does not take, and `chatapi state rescue`, which brings it back.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::apply::{Packet, Rescue};
use crate::cli::args::{IdentityArgs, LockArgs, WitnessArg};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::identity::{TokenError, identities};
use crate::cli::{token, witness};
use crate::instance::{InstanceId, InstanceName};
use crate::provider::certainty::{CreatedInstance, Verdict, judge};
use crate::seal::Identity;
use crate::secret::Secret;
use crate::state::{AttemptId, Event, Outline, Phase, Serial, State, about_answer};
use crate::store::{self, FileStore, StateStore};
use crate::text::counted;

/// How a line of a log begins that holds a packet.
const MARK: &str = "chatapi-rescue:";
/// Longest text that is searched for packets.
const LOG_MAX: u64 = 64 << 20;
const LOOK: &str = "`chatapi doubts` shows the attempts that wait for an answer";

/// A file in a second place, else, if it is sealed, a line on standard error.
pub(crate) struct Elsewhere {
    pub(crate) context: Arc<Context>,
    /// The directory; whether the operator named it.
    pub(crate) dir: (PathBuf, bool),
}

impl Rescue for Elsewhere {
    fn save(&self, packet: &Packet) -> Option<String> {
        let text = zeroize::Zeroizing::new(serde_json::to_vec_pretty(packet).ok()?);
        let (dir, is_named) = &self.dir;
        // In the clear only where somebody has said that it may be: beside a manifest it might be committed.
        if packet.is_sealed() || *is_named {
            let path = dir.join(format!("chatapi-rescue-{}.json", packet.attempt));
            match write(&path, &text) {
                Ok(()) => return Some(path.display().to_string()),
                Err(error) => tracing::warn!(%error, path = %path.display(), "the rescue file cannot be written"),
            }
        }
        if !packet.is_sealed() {
            return None;
        }
        let compact = serde_json::to_vec(packet).ok()?;
        self.context.console.warn(format_args!("the answer of {} can be kept nowhere: keep this line", packet.name));
        self.context.console.error_line(format_args!("{MARK} {}", STANDARD.encode(compact)));
        // Without the colon: only the line itself has the mark.
        Some("the log: the line that begins with `chatapi-rescue`".to_owned())
    }
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = store::make_new(path, 0o600)?;
    file.write_all(text)?;
    file.sync_all()?;
    // As durable as the journal would have been.
    store::sync_dir(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

pub(super) fn run(
    context: &Context,
    file: &Path,
    identity: &IdentityArgs,
    (lock_file, lock): (&WitnessArg, &LockArgs),
) -> Result<Exit, CliError> {
    let (packets, unreadable) = packets(file)?;
    let needs_key = |state: &State| packets.values().any(|packet| packet.is_sealed() && lacks_token(state, packet).is_some());
    // Looked at before the lock is taken: a command for the key may wait for a person.
    let keys = if needs_key(&witness::read(context, lock_file)?.state) { identities(identity)? } else { Vec::new() };
    let (mut store, witness) = witness::open(context, "state rescue", lock.lock_timeout, lock_file)?;
    let (mut awaited, mut tokens, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for packet in packets.values() {
        match fit(store.state(), packet, &keys) {
            Ok(Fit::Awaited) => awaited.push(packet),
            Ok(Fit::Token(name, token)) => tokens.push((packet, name, token)),
            Err(why) => left.push(why),
        }
    }
    if awaited.is_empty() && tokens.is_empty() {
        let nothing = || CliError::message(Exit::Error, "it holds no rescued answer").hint(LOOK);
        return Err(left.into_iter().next().unwrap_or_else(nothing));
    }
    store.append(context.run_info("state rescue").event(), Timestamp::now())?;
    let mut told_of = Vec::new();
    for packet in awaited {
        bring_back(&mut store, packet)?;
        told_of.push(packet.name.clone());
    }
    for (_, name, token) in tokens {
        let token = token::keep(store.state(), None, &name, token)?;
        store.append(Event::TokenSet { name: name.clone(), token, api_url: None }, Timestamp::now())?;
        told_of.push(name);
    }
    store.sync()?;
    let told: Vec<String> = told_of.iter().map(|name| told(store.state(), name)).collect();
    let closed = witness.close(store);
    context.done(told.join("\n"))?;
    let exit = closed.tell(context)?;
    if left.is_empty() && unreadable == 0 {
        context.console.note("what was in it is in the state now: it can be deleted");
        return Ok(exit);
    }
    for why in &left {
        context.console.error(why);
    }
    if unreadable > 0 {
        context.console.warn(format_args!(
            "{} that should hold an answer cannot be read: keep the log",
            counted(unreadable, "line", "lines")
        ));
    }
    Ok(Exit::Partly)
}

/// What a packet is good for.
enum Fit {
    /// Its attempt waits for an answer.
    Awaited,
    /// Its attempt was settled by hand, and the instance of that name lacks this token.
    Token(InstanceName, Secret),
}

/// What `packet` is good for; an error says why for nothing.
fn fit(state: &State, packet: &Packet, keys: &[Identity]) -> Result<Fit, CliError> {
    let is_for_an_attempt = is_awaited(state, packet);
    let name = lacks_token(state, packet);
    if !is_for_an_attempt && name.is_none() {
        return Err(CliError::message(Exit::Error, why_not(state, packet)).hint(LOOK));
    }
    if !state.recipients.is_empty() && !packet.is_sealed() {
        return Err(CliError::message(
            Exit::Error,
            format!("the answer of `{}` is not sealed, and this state seals", packet.name),
        )
        .hint("no run of this state wrote it; `chatapi token set NAME` takes a token that is known otherwise"));
    }
    let Some((name, id)) = name.filter(|_| !is_for_an_attempt) else { return Ok(Fit::Awaited) };
    // An answer belongs to an open attempt only, so the token is taken out of it.
    let about = about_answer(&packet.lineage, &packet.name, &packet.attempt);
    let answer = packet.answer.open(keys, &about).map_err(|error| {
        CliError::from(TokenError::from(error)).context(format!("the token of `{name}` cannot be brought back"))
    })?;
    match judge(&answer) {
        Verdict::Created(CreatedInstance { token: Some(token), id: answered, .. }) if answered == id => {
            Ok(Fit::Token(name, token))
        }
        _ => Err(CliError::message(Exit::Error, format!("the rescued answer for `{}` is not about {id}", packet.name))
            .hint("`chatapi token set NAME` takes a token that is known otherwise")),
    }
}

/// Whether its attempt waits for an answer.
fn is_awaited(state: &State, packet: &Packet) -> bool {
    let record = state.record(&packet.name).map(|record| &record.phase);
    packet.lineage == state.lineage
        && matches!(record, Some(Phase::InDoubt(attempt, doubt)) if attempt.id == packet.attempt && doubt.answer.is_none())
}

/// The instance, under whatever name it has by now, whose attempt was settled by hand and whose token is only in the packet.
fn lacks_token(state: &State, packet: &Packet) -> Option<(InstanceName, InstanceId)> {
    let outline = packet.answer.clear().map_or_else(|| packet.answer.outline.clone(), |answer| Some(judge(&answer).outline()));
    let Some(Outline::Created { id, has_token: true, .. }) = outline.filter(|_| packet.lineage == state.lineage) else {
        return None;
    };
    let name = state.known_ids().get(&id)?.clone();
    let instance = state.record(&name)?.instance()?;
    instance.token.is_none().then_some((name, id))
}

/// Why a packet is not taken in.
fn why_not(state: &State, packet: &Packet) -> String {
    if packet.lineage != state.lineage {
        return format!("the answer of `{}` belongs to another state, of lineage {}", packet.name, packet.lineage);
    }
    let status = state.record(&packet.name).map_or("not recorded", |record| record.status());
    format!("`{}` is {status}: attempt {} does not wait for an answer", packet.name, packet.attempt)
}

/// Records the answer, and what it proves.
fn bring_back(store: &mut FileStore, packet: &Packet) -> Result<(), CliError> {
    let Packet { attempt, answer, .. } = packet.clone();
    let serial = store.append(Event::Received { attempt: attempt.clone(), answer: answer.clone() }, Timestamp::now())?;
    store.sync()?;
    let status = answer.status;
    let outline = answer.clear().map_or(answer.outline, |answer| Some(judge(&answer).outline()));
    let outline = outline.map(|outline| outline.without_words(status));
    store.append(conclusion(attempt, serial, outline), Timestamp::now())?;
    Ok(())
}

fn conclusion(attempt: AttemptId, serial: Serial, outline: Option<Outline>) -> Event {
    match outline {
        Some(Outline::Created { id, api_url, has_token }) => {
            Event::Created { attempt, id, api_url, token_in: has_token.then_some(serial), token: None }
        }
        // A file is no proof that nothing was created: a person says so, with `resolve`.
        Some(Outline::Refused { reason, .. } | Outline::Later { reason, .. }) => {
            Event::Doubted { attempt, reason: format!("the rescued answer refuses it ({reason})") }
        }
        Some(Outline::Doubt { reason }) => Event::Doubted { attempt, reason },
        None => Event::Doubted { attempt, reason: "the recorded answer could not be read".to_owned() },
    }
}

fn told(state: &State, name: &InstanceName) -> String {
    match state.record(name).map(|record| &record.phase) {
        Some(Phase::Created(instance)) if instance.token.is_some() => {
            format!("`{name}` exists as {}, and its token is kept.", instance.id)
        }
        Some(Phase::Created(instance)) => format!("`{name}` exists as {}; its token is missing.", instance.id),
        Some(Phase::InDoubt(_, doubt)) => format!("`{name}` stays in doubt: {}.", doubt.reason),
        _ => format!("`{name}` was not created; the next apply tries again."),
    }
}

/// The packets in a rescue file, or in the lines of a log, by attempt; and how many lines have the mark and no packet.
fn packets(path: &Path) -> Result<(BTreeMap<AttemptId, Packet>, usize), CliError> {
    let fail =
        |error: &dyn std::error::Error| CliError::new(Exit::Error, error).context(format!("cannot read {}", path.display()));
    let mut text = String::new();
    if path.as_os_str() == "-" {
        io::stdin().take(LOG_MAX).read_to_string(&mut text).map_err(|error| fail(&error))?;
    } else {
        super::regular(path).and_then(|file| file.take(LOG_MAX).read_to_string(&mut text)).map_err(|error| fail(&error))?;
    }
    let (packets, unreadable): (Vec<Packet>, usize) = match serde_json::from_str(&text) {
        Ok(packet) => (vec![packet], 0),
        Err(error) if text.trim_start().starts_with('{') => return Err(fail(&error)),
        Err(_) => {
            // What only speaks of such a line is none: a packet is one long word.
            let words = text.lines().filter_map(|line| line.split_once(MARK)?.1.split_whitespace().next());
            let (good, bad): (Vec<_>, Vec<_>) = words.filter(|word| word.len() > 64).map(in_line).partition(Option::is_some);
            (good.into_iter().flatten().collect(), bad.len())
        }
    };
    if packets.iter().any(|packet| !packet.is_known()) {
        return Err(CliError::message(Exit::Error, "a newer version of chatapi wrote it").hint("use that version"));
    }
    Ok((packets.into_iter().map(|packet| (packet.attempt.clone(), packet)).collect(), unreadable))
}

/// The packet in a word of a log.
fn in_line(word: &str) -> Option<Packet> {
    let json = zeroize::Zeroizing::new(STANDARD.decode(word).ok()?);
    serde_json::from_slice(&json).ok()
}
