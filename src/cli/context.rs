//! What the typed words mean here: environment, paths, key and server, checked and turned into values.

use std::env;
use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use super::args::{Format, Global, ServerArgs, TimeoutArgs};
use super::console::Console;
use super::environment::Chosen;
use super::error::CliError;
use super::exit::Exit;
use super::machine::{boot_id, is_ci, keeps_what_is_synced, up, who};
use super::progress::in_words;
use super::reports::Reports;
use super::{saved, witness};
use crate::apply::RunInfo;
use crate::emulator::{Emulator, EmulatorConfig};
use crate::manifest::{Confidential, Given, Manifest, ProviderKind, Stdin};
use crate::plan::Settling;
use crate::provider::{ApiKey, BaseUrl, HttpProvider, Limits, Provider};
use crate::report::MessageDocument;
use crate::report::events::Line;
use crate::secret::Secret;
use crate::state::{Binding, Lineage, Origin};
use crate::store::{self, FileStore, Hold, Holder, LockFile};
use crate::text::{Printed, disarm, escape};

/// The file beside a manifest that remembers its state.
pub(super) const LOCK_FILE: &str = "chatapi.lock";
/// Where a state is kept if nothing else is said.
pub(super) const STATE: &str = "state";
/// Where the embedded emulator keeps its ledger.
const EMULATOR: &str = "emulator";
/// At which question for its status an instance of the embedded emulator finds itself linked: a code is seen before.
const LINKED_AFTER: u64 = 3;
/// Longest secret that is read from a file or pipe.
const SECRET_MAX: u64 = 64 * 1_024;

/// How the key is named.
const KEY_HINT: &str = "export CHATAPI_API_KEY_FILE=/path/to/key (0600), or CHATAPI_API_KEY from your CI's secrets";

/// What every command knows.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) console: Console,
    pub(super) format: Format,
    pub(super) state_dir: PathBuf,
    /// The environment that was chosen.
    pub(super) environment: Option<Chosen>,
    /// What no manifest and nothing beside one may hold.
    pub(super) confidential: Confidential,
    /// Whether its file system may be one whose locks do not hold.
    is_any_disk_good: bool,
    pub(super) is_ci: bool,
    /// Whether this run has created something: an error afterwards is not "nothing was created".
    pub(super) has_created: AtomicBool,
    /// What is told beside what is printed.
    pub(super) reports: Reports,
}

/// A server that can be asked, and the emulator behind it if it is the embedded one.
pub(super) struct Server {
    pub(super) provider: Arc<HttpProvider>,
    key: Option<ApiKey>,
    emulator: Option<Emulator>,
    /// The environment that was chosen.
    environment: Option<String>,
}

impl Server {
    /// Where the embedded emulator listens this time.
    pub(super) fn embedded_at(&self) -> Option<String> {
        self.emulator.as_ref().map(Emulator::base_url)
    }

    /// What a state of `lineage` is bound to when it uses this server.
    pub(super) fn binding(&self, lineage: &Lineage) -> Binding {
        let origin = self.provider.origin().clone();
        let key = self.key.as_ref().map(|key| key.fingerprint(lineage, &origin));
        Binding { origin, key, environment: self.environment.clone() }
    }

    /// Whether a state of `lineage` that is `bound` may be used with this server: the same one, and the same account where one is
    /// known. An early fingerprint is believed here, for this server's address was told from outside.
    pub(super) fn is_of(&self, bound: &Binding, lineage: &Lineage) -> bool {
        let mine = self.binding(lineage);
        let early = self.key.as_ref().map(|key| key.early_fingerprint(lineage));
        bound.origin == mine.origin && (bound.key.is_none() || bound.key == mine.key || bound.key == early)
    }
}

impl Context {
    pub(super) fn new(global: &Global, (environment, confidential): (Option<Chosen>, Confidential), console: Console) -> Self {
        let format = if global.json { Format::Json } else { global.format };
        let own = environment.as_ref().map(Chosen::state).or_else(|| global.state.clone());
        let (state_dir, is_any_disk_good) = (own.unwrap_or_else(|| PathBuf::from(STATE)), global.unsafe_fs);
        let (has_created, reports) = (AtomicBool::new(false), Reports::default());
        Self { console, format, state_dir, environment, confidential, is_any_disk_good, is_ci: is_ci(), has_created, reports }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether results are printed for people, line by line.
    pub(super) fn is_text(&self) -> bool {
        self.format == Format::Text && !self.reports.is_streaming()
    }

    /// The program as it has to be called again for this state.
    pub(super) fn command(&self) -> String {
        self.console.command.clone()
    }

    /// Tells what was done: a line, or a document with it.
    pub(super) fn done(&self, message: String) -> Result<(), CliError> {
        if self.is_json() {
            return self.document(&MessageDocument::new(message));
        }
        self.console.line(message);
        Ok(())
    }

    /// Prints a document as JSON.
    pub(super) fn document(&self, document: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(document).map_err(|error| CliError::new(Exit::Error, &error))?;
        self.console.result(format_args!("{}\n", disarm(&text, Printed::Json)));
        Ok(())
    }

    /// Reads manifests, from files and standard input, with values for their variables.
    pub(super) fn manifest(&self, files: &[PathBuf], given: &Given) -> Result<Manifest, CliError> {
        saved::refuse_where_manifests_are_meant(files)?;
        let mut input = io::stdin();
        let stdin = if input.is_terminal() { Stdin::Terminal } else { Stdin::Piped(&mut input) };
        let manifest = Manifest::read(files, stdin, given).map_err(|problems| match files {
            [only] if only.as_os_str() == "instances.yaml" && !only.exists() => {
                CliError::from(problems).hint("`chatapi init` writes a first one")
            }
            _ => CliError::from(problems),
        })?;
        tracing::info!(instances = manifest.declarations().len(), provider = %manifest.provider, "read the manifest");
        match &self.environment {
            Some(chosen) => chosen.placed(manifest),
            None => Ok(manifest),
        }
    }

    /// The server's address, if there is one.
    fn url(&self) -> Result<Option<String>, CliError> {
        let said = env::var("CHATAPI_URL").ok();
        match &self.environment {
            // Which state is bound to the gateway is told by the key: without one, an address would be asked for that may not be needed.
            Some(chosen) if said.is_none() && chosen.origin().is_some() => chosen.url(&api_key()?),
            Some(chosen) => chosen.agreed(said),
            None => Ok(said),
        }
    }

    /// Where the server is, as far as that can be told without its key.
    pub(super) fn origin(&self) -> Option<Origin> {
        let said = env::var("CHATAPI_URL").ok().and_then(|url| Some(BaseUrl::parse(&url).ok()?.origin()));
        said.or_else(|| self.environment.as_ref().and_then(Chosen::origin))
    }

    /// Refuses another server or account than the state's, or one of another environment, before a byte is sent.
    pub(super) fn check_binding(&self, bound: Option<&Binding>, server: &Server, lineage: &Lineage) -> Result<(), CliError> {
        if let Some(bound) = bound.filter(|bound| !server.is_of(bound, lineage)) {
            return Err(other_server(bound, server.provider.origin(), self.environment.as_ref()));
        }
        self.check_environment(bound, lineage)?;
        match &self.environment {
            Some(chosen) => chosen.check_account(bound, server),
            None => Ok(()),
        }
    }

    /// Refuses the state of another environment, and one that is another environment's too.
    pub(super) fn check_environment(&self, bound: Option<&Binding>, lineage: &Lineage) -> Result<(), CliError> {
        self.environment.as_ref().map_or(Ok(()), |chosen| chosen.check_own(bound, lineage))
    }

    /// Takes the state's lock, telling now and then that it waits.
    pub(super) fn hold(&self, verb: &str, timeout: Duration) -> Result<Hold, CliError> {
        self.check_disk()?;
        let me = Holder { pid: std::process::id(), verb: verb.to_owned(), since: Timestamp::now(), who: who() };
        let mut waits = 0_u32;
        let began = Instant::now();
        let mut waiting = |holder: &Holder| {
            if waits.is_multiple_of(10) {
                let left = timeout.saturating_sub(began.elapsed());
                self.console.note(format_args!("waiting for {holder}, {} more at the most", in_words(left)));
                self.emit(|| Some(Line::locked(&holder.to_string(), left)));
            }
            waits += 1;
        };
        Ok(Hold::acquire(&self.state_dir, &me, timeout, &mut waiting)?)
    }

    /// Refuses a file system whose locks do not hold, unless it was asked for; it is told then.
    fn check_disk(&self) -> Result<(), CliError> {
        match store::check_file_system(&self.state_dir) {
            Err(error) if self.is_any_disk_good => {
                self.console.warn(format_args!("{error}: see that nobody else writes to it"));
                Ok(())
            }
            checked => Ok(checked?),
        }
    }

    /// Opens the state for a command that needs one.
    pub(super) fn open(&self, verb: &str, timeout: Duration, lock: Option<&LockFile>) -> Result<FileStore, CliError> {
        // Looked at first, so that a mistyped `--state` does not make a directory.
        if !self.state_dir.exists() {
            return Err(witness::absent(self));
        }
        let hold = self.hold(verb, timeout)?;
        let mut store = FileStore::open(&self.state_dir, hold, lock)?;
        store.tidy(Timestamp::now());
        Ok(store)
    }

    /// The embedded emulator, or the server that the environment names.
    pub(super) async fn connect(&self, kind: ProviderKind, args: &ServerArgs) -> Result<Server, CliError> {
        match kind {
            ProviderKind::Emulator => self.embedded(args).await,
            ProviderKind::Chatapi => self.remote(args),
        }
    }

    /// The server that a state is bound to. Where none is named, the hint names the state's.
    pub(super) async fn connect_bound(&self, bound: Option<&Binding>, args: &ServerArgs) -> Result<Server, CliError> {
        match bound.filter(|bound| !bound.origin.is_emulator()) {
            Some(bound) if self.url()?.is_none() => {
                let url = typed_word(&format!("{}/", bound.origin));
                let export = format!("export CHATAPI_URL={url} (this state belongs to it)");
                Err(CliError::message(Exit::Error, "the server's address is not set").hint(export).hint(KEY_HINT))
            }
            _ => self.connect(kind_of(bound), args).await,
        }
    }

    fn remote(&self, args: &ServerArgs) -> Result<Server, CliError> {
        let url = self.url()?.ok_or_else(|| {
            CliError::message(Exit::Error, "the server's address is not set")
                .hint("export CHATAPI_URL=https://gateway.example/")
                .hint("to try without a server: `provider: {kind: emulator}` in the manifest")
        })?;
        let base =
            BaseUrl::parse(&url).map_err(|error| CliError::new(Exit::Error, &error).context("CHATAPI_URL is not usable"))?;
        let key = api_key()?;
        let provider =
            HttpProvider::new(base, key.clone(), limits(&args.timeouts)).map_err(|error| CliError::new(Exit::Error, &error))?;
        Ok(Server { provider: Arc::new(provider), key: Some(key), emulator: None, environment: self.environment_name() })
    }

    async fn embedded(&self, args: &ServerArgs) -> Result<Server, CliError> {
        let (data, link_after) = (Some(self.state_dir.join(EMULATOR)), Some(LINKED_AFTER));
        let config = EmulatorConfig { data, seed: draw_seed(), link_after, ..EmulatorConfig::default() };
        let emulator = Emulator::start(config).await.map_err(|error| CliError::new(Exit::Error, &error))?;
        self.console.note(format_args!("embedded emulator at {}: nothing here costs money", emulator.base_url()));
        let setup = |error: &dyn std::error::Error| CliError::new(Exit::Error, error);
        let base = BaseUrl::parse(&emulator.base_url()).map_err(|error| setup(&error))?;
        let key = ApiKey::new(&Secret::new("embedded-emulator".to_owned())).map_err(|error| setup(&error))?;
        let provider = HttpProvider::new(base, key, limits(&args.timeouts)).map_err(|error| setup(&error))?;
        let provider = provider.with_origin(Origin(Origin::EMULATOR.to_owned()));
        Ok(Server { provider: Arc::new(provider), key: None, emulator: Some(emulator), environment: self.environment_name() })
    }

    fn environment_name(&self) -> Option<String> {
        self.environment.as_ref().map(|chosen| chosen.name().to_owned())
    }

    /// What the journal says of this run.
    pub(super) fn run_info(&self, verb: &'static str) -> RunInfo {
        RunInfo { verb, who: who(), boot: boot_id(), up, keeps_what_is_synced: keeps_what_is_synced(&self.state_dir), plan: None }
    }
}

/// A path as it has to be typed in a shell.
pub(super) fn typed(path: &Path) -> String {
    typed_word(&path.to_string_lossy())
}

/// A word as it has to be typed in a shell, whoever has written it: a server's host, an address out of a file.
pub(super) fn typed_word(text: &str) -> String {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+=:,@".contains(&byte));
    if is_plain { text.to_owned() } else { format!("'{}'", escape(text).replace('\'', r"'\''")) }
}

/// The kind of provider that a state is bound to.
pub(super) fn kind_of(binding: Option<&Binding>) -> ProviderKind {
    match binding {
        Some(binding) if binding.origin.is_emulator() => ProviderKind::Emulator,
        _ => ProviderKind::Chatapi,
    }
}

/// Another server or account than the state's.
fn other_server(bound: &Binding, mine: &Origin, chosen: Option<&Chosen>) -> CliError {
    let other = CliError::message(
        Exit::Error,
        if bound.origin == *mine {
            format!("the state belongs to another account on {mine}: the API key differs")
        } else {
            format!("the state belongs to {}, not to {mine}", bound.origin)
        },
    );
    other
        .hint("nothing was sent")
        .hint(use_its("server and key", chosen))
        .hint("if it is the same account under another key or address: `chatapi state rebind`")
}

/// What a state that is another one's is to be used with. An environment says which state is its own.
fn use_its(what: &str, chosen: Option<&Chosen>) -> String {
    match chosen {
        Some(chosen) => format!("use the {what} of this state, or the environment that is meant: this is `{}`", chosen.name()),
        None => format!("use the {what} of this state, or another state: `--state DIR` (and `--lock-file PATH`)"),
    }
}

/// Refuses a state of another server than `provider` is, as far as that can be told without asking anybody.
pub(super) fn check_server(context: &Context, bound: Option<&Binding>, provider: ProviderKind) -> Result<(), CliError> {
    let Some(bound) = bound else { return Ok(()) };
    let here = match provider {
        ProviderKind::Emulator => Some(Origin(Origin::EMULATOR.to_owned())),
        ProviderKind::Chatapi => context.origin(),
    };
    let is_other = here.as_ref().map_or(bound.origin.is_emulator(), |here| *here != bound.origin);
    if !is_other {
        return Ok(());
    }
    let there = here.map_or_else(|| "a server by address".to_owned(), |here| here.to_string());
    Err(CliError::message(Exit::Error, format!("the state belongs to {}, not to {there}", bound.origin))
        .hint(use_its("server", context.environment.as_ref())))
}

/// When an absence from the list counts.
pub(super) fn settling(args: &ServerArgs) -> Settling {
    Settling { after: args.settle_after, ..Settling::default() }
}

pub(super) const fn limits(args: &TimeoutArgs) -> Limits {
    Limits { connect: args.connect_timeout, answer: args.timeout }
}

pub(super) fn draw_seed() -> u64 {
    ring::rand::generate::<[u8; 8]>(&ring::rand::SystemRandom::new()).map_or(0, |bytes| u64::from_le_bytes(bytes.expose()))
}

/// A new lineage.
pub(super) fn draw_lineage() -> Result<Lineage, CliError> {
    draw_bytes().map(Lineage::from_bytes)
}

pub(super) fn draw_bytes<T: ring::rand::RandomlyConstructable>() -> Result<T, CliError> {
    let bytes = ring::rand::generate::<T>(&ring::rand::SystemRandom::new());
    Ok(bytes.map_err(|_| CliError::message(Exit::Error, "the system gives no random numbers"))?.expose())
}

/// The key: from a file if one is named, else from the environment. Never from the command line.
fn api_key() -> Result<ApiKey, CliError> {
    let (from, secret) = match env::var_os("CHATAPI_API_KEY_FILE").filter(|path| !path.is_empty()) {
        Some(path) => ("CHATAPI_API_KEY_FILE", read_key_file(Path::new(&path))?),
        None => match env::var("CHATAPI_API_KEY") {
            Ok(key) => ("CHATAPI_API_KEY", Secret::new(key)),
            Err(env::VarError::NotUnicode(_)) => {
                return Err(CliError::message(Exit::Error, "CHATAPI_API_KEY is not UTF-8"));
            }
            Err(env::VarError::NotPresent) => {
                return Err(CliError::message(Exit::Error, "the API key is not set").hint(KEY_HINT));
            }
        },
    };
    ApiKey::new(&secret).map_err(|error| CliError::new(Exit::Error, &error).context(format!("{from} is not usable")))
}

fn read_key_file(path: &Path) -> Result<Secret, CliError> {
    use std::os::unix::fs::PermissionsExt;
    let fail = |error: &dyn std::error::Error| {
        CliError::new(Exit::Error, error).context("cannot read the file that CHATAPI_API_KEY_FILE names")
    };
    let metadata = fs::metadata(path).map_err(|error| fail(&error))?;
    if !metadata.is_file() {
        return Err(fail(&io::Error::other("it is not a file")));
    }
    // A link is followed: that is how secrets are mounted into containers. What counts is the file behind it.
    if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!("the file with the API key can be read by others; `chmod 600` closes it");
    }
    let file = fs::File::open(path).map_err(|error| fail(&error))?;
    read_secret(file).map_err(|error| fail(&error))
}

/// Reads a secret from a pipe or file; the last line feed is not part of it.
pub(super) fn read_secret(from: impl Read) -> io::Result<Secret> {
    let mut text = zeroize::Zeroizing::new(String::new());
    from.take(SECRET_MAX).read_to_string(&mut text)?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}
