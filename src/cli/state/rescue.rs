//! The second place for an answer that the journal does not take, and `chatapi state rescue`, which brings it back.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::apply::{Packet, Rescue};
use crate::cli::args::LockArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::provider::certainty::judge;
use crate::state::{Event, Outline, Phase, Serial, State};
use crate::store::{self, FileStore, StateStore};

/// How a line of a log begins that holds a packet.
const MARK: &str = "chatapi-rescue:";
/// Longest text that is searched for packets.
const LOG_MAX: u64 = 256 << 20;

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
    file.sync_all()
}

pub(super) fn run(context: &Context, file: &Path, lock: &LockArgs) -> Result<Exit, CliError> {
    let packets = packets(file)?;
    let mut store = context.open("state rescue", lock.lock_timeout, None)?;
    let fits = |packet: &&Packet| is_awaited(store.state(), packet);
    let wanted: Vec<Packet> = packets.iter().filter(fits).cloned().collect();
    if wanted.is_empty() {
        return Err(nothing_fits(&store, &packets));
    }
    store.append(context.run_info("state rescue").event(), Timestamp::now())?;
    for packet in &wanted {
        bring_back(&mut store, packet)?;
    }
    store.sync()?;
    let told: Vec<String> = wanted.iter().map(|packet| told(store.state(), packet)).collect();
    Box::new(store).close()?;
    context.done(told.join("\n"))?;
    context.console.note(format_args!("delete the rescued file: what was in it is in the state now"));
    Ok(Exit::Done)
}

/// Whether its attempt waits for an answer.
fn is_awaited(state: &State, packet: &Packet) -> bool {
    let record = state.record(&packet.name).map(|record| &record.phase);
    packet.lineage == state.lineage
        && matches!(record, Some(Phase::InDoubt(attempt, doubt)) if attempt.id == packet.attempt && doubt.answer.is_none())
}

fn nothing_fits(store: &FileStore, packets: &[Packet]) -> CliError {
    let state = store.state();
    let why = match packets {
        [] => "it holds no rescued answer".to_owned(),
        [one, ..] if one.lineage != state.lineage => format!("it belongs to another state, of lineage {}", one.lineage),
        [one, ..] => {
            let status = state.record(&one.name).map_or("not recorded", |record| record.status());
            format!("`{}` is {status}: attempt {} does not wait for an answer", one.name, one.attempt)
        }
    };
    CliError::message(Exit::Error, why).hint("`chatapi doubts` shows the attempts that do")
}

/// Records the answer, and what it proves.
fn bring_back(store: &mut FileStore, packet: &Packet) -> Result<(), CliError> {
    let Packet { attempt, answer, .. } = packet.clone();
    let serial = store.append(Event::Received { attempt: attempt.clone(), answer: answer.clone() }, Timestamp::now())?;
    store.sync()?;
    let outline = answer.clear().map_or(answer.outline, |answer| Some(judge(&answer).outline()));
    store.append(conclusion(attempt, serial, outline), Timestamp::now())?;
    Ok(())
}

fn conclusion(attempt: crate::state::AttemptId, serial: Serial, outline: Option<Outline>) -> Event {
    match outline {
        Some(Outline::Created { id, api_url, has_token }) => {
            Event::Created { attempt, id, api_url, token_in: has_token.then_some(serial), token: None }
        }
        Some(Outline::Refused { reason, .. } | Outline::Later { reason, .. }) => Event::Refused { attempt, reason },
        Some(Outline::Doubt { reason }) => Event::Doubted { attempt, reason },
        None => Event::Doubted { attempt, reason: "the recorded answer could not be read".to_owned() },
    }
}

fn told(state: &State, packet: &Packet) -> String {
    let name = &packet.name;
    match state.record(name).map(|record| &record.phase) {
        Some(Phase::Created(instance)) if instance.token.is_some() => {
            format!("`{name}` exists as {}, and its token is kept.", instance.id)
        }
        Some(Phase::Created(instance)) => format!("`{name}` exists as {}; its token is missing.", instance.id),
        Some(Phase::InDoubt(_, doubt)) => format!("`{name}` stays in doubt: {}.", doubt.reason),
        _ => format!("`{name}` was not created; the next apply tries again."),
    }
}

/// Those that can be read, each once: a log says many things, and some of them twice. The first error, if it has none.
fn whole(read: impl Iterator<Item = Result<Packet, CliError>>) -> Result<Vec<Packet>, CliError> {
    let (mut packets, mut failed) = (Vec::new(), None);
    for packet in read {
        match packet {
            Ok(packet) if packets.contains(&packet) => {}
            Ok(packet) => packets.push(packet),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        Some(error) if packets.is_empty() => Err(error),
        _ => Ok(packets),
    }
}

/// The packets in a rescue file, or in the lines of a log.
fn packets(path: &Path) -> Result<Vec<Packet>, CliError> {
    let fail =
        |error: &dyn std::error::Error| CliError::new(Exit::Error, error).context(format!("cannot read {}", path.display()));
    let mut text = String::new();
    if path.as_os_str() == "-" {
        io::stdin().take(LOG_MAX).read_to_string(&mut text).map_err(|error| fail(&error))?;
    } else {
        File::open(path).and_then(|file| file.take(LOG_MAX).read_to_string(&mut text)).map_err(|error| fail(&error))?;
    }
    let packets: Vec<Packet> = match serde_json::from_str(&text) {
        Ok(packet) => vec![packet],
        Err(error) if text.trim_start().starts_with('{') => return Err(fail(&error)),
        Err(_) => {
            let marked = text.lines().filter_map(|line| line.split_once(MARK).map(|(_, rest)| rest.trim()));
            let read = marked.map(|packet| {
                let json = STANDARD.decode(packet.split_whitespace().next().unwrap_or_default()).map_err(|error| fail(&error))?;
                serde_json::from_slice(&json).map_err(|error| fail(&error))
            });
            whole(read)?
        }
    };
    if packets.iter().any(|packet| !packet.is_known()) {
        return Err(CliError::message(Exit::Error, "a newer version of chatapi wrote it").hint("use that version"));
    }
    Ok(packets)
}
