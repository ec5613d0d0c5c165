//! `--env`: which environment of `chatapi.yaml` a command is about, and that it is not mixed up with another one.
//!
//! The file comes with pull requests. It may say where a gateway is, and a key goes there only if `CHATAPI_URL` says so too, or if the
//! state is bound to that very gateway already: whoever changes the file cannot send a key elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

mod account;
mod address;

use super::args::{Global, Verb};
use super::context::typed;
use super::error::CliError;
use super::exit::Exit;
use super::kept;
use super::reserved::real;
use crate::manifest::{Confidential, Environment, Environments, Loaded, Manifest, ProviderKind, Stdin, load_guarded, neighbour};
use crate::provider::BaseUrl;
use crate::state::Origin;

/// The file that declares environments.
pub(super) const FILE: &str = "chatapi.yaml";
/// The gateway that is played on this machine.
const EMULATOR: &str = "emulator";

/// The gateway of an environment.
#[derive(Debug)]
enum Gateway {
    Emulator,
    Server(Box<BaseUrl>, String),
}

/// The environment that was chosen.
#[derive(Debug)]
pub(super) struct Chosen {
    name: String,
    file: PathBuf,
    gateway: Option<Gateway>,
    own: Environment,
    /// The other ones with which it may not share an account: state directories and lock files.
    others: Vec<(String, PathBuf, PathBuf)>,
    /// Those of all other ones.
    neighbours: Vec<(String, PathBuf)>,
    /// Their lock files.
    locks: Vec<(String, PathBuf)>,
    /// The lock files and files of values of them all.
    files: Vec<PathBuf>,
}

/// The environment that the command line, the process's environment or the file's `default` names. None where there are none, and for
/// verbs that have nothing to do with a state.
pub(super) fn choose(global: &Global, verb: &Verb, confidential: &Confidential) -> Result<Option<Chosen>, CliError> {
    let path = global.environments.clone().or_else(|| beside(verb));
    if path.is_none() && has_state(verb) && (global.env.is_some() || global.state.is_none()) {
        check_spelling(verb)?;
    }
    let Some(path) = path.filter(|_| has_state(verb)) else {
        let message = |name| format!("there is no {FILE}, which would say what environment `{name}` is");
        return match &global.env {
            Some(name) if has_state(verb) => Err(CliError::message(Exit::Error, message(name))
                .hint(format!("{FILE} is looked for beside the first manifest, then here; `--environments FILE` names it"))),
            _ => Ok(None),
        };
    };
    if global.env.is_none() && global.state.is_some() {
        return Ok(None);
    }
    let Environments { default, mut all } = read(&path, confidential)?;
    let known = all.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let Some(name) = global.env.clone().or(default) else {
        if matches!(verb, Verb::Validate(_) | Verb::Show(_)) {
            return Ok(None);
        }
        let message = format!("which environment is meant is not said, and {} has {known}", typed(&path));
        return Err(CliError::message(Exit::Error, message)
            .hint("nothing was sent: each has a state of its own")
            .hint("`--env NAME` or CHATAPI_ENV says it; `default: NAME` in the file says it for everybody"));
    };
    let Some(own) = all.remove(&name) else {
        let message = format!("`{name}` is no environment of {}", typed(&path));
        return Err(CliError::message(Exit::Error, message).hint(format!("there are {known}")));
    };
    let chosen = Chosen::of(name, path, own, &all)?;
    chosen.check_apart(&all)?;
    match &global.state {
        Some(other) if *other != chosen.state() => {
            let (name, own) = (&chosen.name, typed(&chosen.state()));
            let message = format!("`{name}` has its state in {own}, and `--state` or CHATAPI_STATE names {}", typed(other));
            Err(CliError::message(Exit::Error, message).hint("say one of the two"))
        }
        _ => Ok(Some(chosen)),
    }
}

/// Whether a command is about a state, or about manifests that belong to one.
fn has_state(verb: &Verb) -> bool {
    match verb {
        Verb::Key(_) | Verb::Emulator(_) | Verb::Schema(_) | Verb::Completions(_) | Verb::Man(_) | Verb::Version => false,
        Verb::Plan(_)
        | Verb::Show(_)
        | Verb::Apply(_)
        | Verb::Validate(_)
        | Verb::Destroy(_)
        | Verb::Release(_)
        | Verb::Drift(_)
        | Verb::Import(_)
        | Verb::Status(_)
        | Verb::Qr(_)
        | Verb::State(_)
        | Verb::Doubts(_)
        | Verb::Resolve(_)
        | Verb::Token(_)
        | Verb::Output(_)
        | Verb::Init(_)
        | Verb::Doctor(_) => true,
    }
}

/// The first manifest that a command names.
fn manifest(verb: &Verb) -> Option<&Path> {
    let first = match verb {
        Verb::Plan(args) => args.manifests.files.first(),
        Verb::Apply(args) => args.manifests.files.first(),
        Verb::Validate(args) => args.manifests.files.first(),
        Verb::Drift(args) => args.files.first(),
        Verb::Doctor(args) => args.manifests.files.first(),
        Verb::Init(args) => Some(&args.file),
        _ => None,
    };
    first.map(PathBuf::as_path)
}

/// The file beside the manifests of a verb, else here.
fn beside(verb: &Verb) -> Option<PathBuf> {
    places(verb).find(|path| path.exists())
}

/// Where the file is looked for.
fn places(verb: &Verb) -> impl Iterator<Item = PathBuf> {
    let near = manifest(verb)
        .filter(|first| first.as_os_str() != "-")
        .map(|first| if first.is_dir() { first.join(FILE) } else { first.with_file_name(FILE) });
    near.into_iter().chain([PathBuf::from(FILE)])
}

/// Refuses what is nearly the file, and declares environments: none of them would be used.
fn check_spelling(verb: &Verb) -> Result<(), CliError> {
    let Some((meant, found)) = places(verb).find_map(|meant| {
        let found = neighbour(&meant).filter(|found| kept::declares_environments(found))?;
        Some((meant, found))
    }) else {
        return Ok(());
    };
    let (meant, found) = (typed(&meant), typed(&found));
    Err(CliError::message(Exit::Error, format!("{found} declares environments, and they are read from {FILE} only"))
        .hint("nothing was sent: none of its environments would be used, and another state would be begun")
        .hint(format!("`mv {found} {meant}`; or name it: `--environments {found}`")))
}

/// The environment that has such a state or lock file by the file at `path`, if there is one.
pub(super) fn owner(path: &Path, confidential: &Confidential, state: &Path, lock_file: &Path) -> Option<String> {
    let Environments { all, .. } = path.exists().then(|| read(path, confidential).ok())??;
    let is_its = |own: &Environment| {
        [real(&path.with_file_name("").join(&own.state)), real(&path.with_file_name("").join(&own.lock_file))]
    };
    let wanted = [real(state), real(lock_file)];
    all.into_iter().find(|(_, own)| is_its(own).iter().any(|path| wanted.contains(path))).map(|(name, _)| name)
}

fn read(path: &Path, confidential: &Confidential) -> Result<Environments, CliError> {
    let Loaded { sources, problems } = load_guarded(&[path.to_owned()], Stdin::Terminal, confidential);
    match sources.first() {
        Some(source) if problems.is_empty() => Ok(Environments::parse(source)?),
        _ => Err(problems.into()),
    }
}

impl Chosen {
    fn of(name: String, file: PathBuf, own: Environment, all: &BTreeMap<String, Environment>) -> Result<Self, CliError> {
        let near = |path: &Path| file.with_file_name("").join(path);
        // Either may say that they share an account.
        let is_apart = |other: &str, it: &Environment| {
            !own.same_account_as.iter().any(|o| o == other) && !it.same_account_as.contains(&name)
        };
        let others = all.iter().filter(|(other, it)| is_apart(other, it));
        let others = others.map(|(other, it)| (other.clone(), near(&it.state), near(&it.lock_file))).collect();
        let neighbours = all.iter().map(|(other, it)| (other.clone(), near(&it.state))).collect();
        let locks = all.iter().map(|(other, it)| (other.clone(), near(&it.lock_file))).collect();
        let every = all.values().chain([&own]);
        let files = every.flat_map(|it| it.var_files.iter().chain([&it.lock_file])).map(|path| near(path)).collect();
        let gateway = match own.gateway.as_deref() {
            None => None,
            Some(EMULATOR) => Some(Gateway::Emulator),
            Some(text) => {
                let base = BaseUrl::parse(text).map_err(|error| {
                    CliError::new(Exit::Error, &error)
                        .context(format!("the gateway of `{name}` in {} is not usable", typed(&file)))
                })?;
                Some(Gateway::Server(Box::new(base), text.to_owned()))
            }
        };
        Ok(Self { name, file, gateway, own, others, neighbours, locks, files })
    }

    /// Refuses a state or lock file that is another one's behind a symbolic link: their texts were compared when the file was read.
    fn check_apart(&self, all: &BTreeMap<String, Environment>) -> Result<(), CliError> {
        let (name, own, lock) = (&self.name, real(&self.state()), real(&self.lock_file()));
        for (other, it) in all {
            let state = real(&self.near(&it.state));
            let message = if own.starts_with(&state) || state.starts_with(&own) {
                format!("`{name}` keeps its state where `{other}` does")
            } else if lock == real(&self.near(&it.lock_file)) {
                format!("`{name}` has the lock file of `{other}`")
            } else {
                continue;
            };
            return Err(CliError::message(Exit::Error, format!("{message}, behind a symbolic link"))
                .hint("nothing was sent: both would be one")
                .hint(format!("give each its own in {}, without links to the other's", typed(&self.file))));
        }
        Ok(())
    }

    /// The other environments: name, state directory, and the program as it is called for them.
    pub(super) fn neighbours(&self) -> impl Iterator<Item = (&str, PathBuf, String)> {
        self.neighbours.iter().map(|(name, dir)| (name.as_str(), dir.clone(), format!("chatapi {}", self.words_of(name))))
    }

    /// The lock file of another environment.
    pub(super) fn lock_file_of(&self, other: &str) -> Option<PathBuf> {
        self.locks.iter().find(|(name, _)| name == other).map(|(_, path)| path.clone())
    }

    /// Whether the file says that it shares its account with `other`.
    pub(super) fn shares_with(&self, other: &str) -> bool {
        self.others.iter().all(|(apart, ..)| apart != other)
    }

    fn near(&self, path: &Path) -> PathBuf {
        self.home().join(path)
    }

    /// The directory of its file.
    pub(super) fn home(&self) -> PathBuf {
        self.file.with_file_name("")
    }

    /// The file that declares it, as it has to be typed.
    pub(super) fn file(&self) -> String {
        typed(&self.file)
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its state directory.
    pub(super) fn state(&self) -> PathBuf {
        self.near(&self.own.state)
    }

    /// Its lock file.
    pub(super) fn lock_file(&self) -> PathBuf {
        self.near(&self.own.lock_file)
    }

    /// Its files with values of variables.
    pub(super) fn var_files(&self) -> impl Iterator<Item = PathBuf> {
        self.own.var_files.iter().map(|file| self.near(file))
    }

    /// The file that declares it, and the lock files and files of values of all that it declares.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.iter().chain([&self.file])
    }

    /// The words of a command that mean it again.
    pub(super) fn words(&self) -> String {
        self.words_of(&self.name)
    }

    fn words_of(&self, name: &str) -> String {
        let file = if self.file == Path::new(FILE) { String::new() } else { format!(" --environments {}", typed(&self.file)) };
        format!("--env {name}{file}")
    }

    /// For people.
    pub(super) fn told(&self) -> String {
        let gateway = match &self.gateway {
            None => String::new(),
            Some(Gateway::Emulator) => ", on the emulator".to_owned(),
            Some(Gateway::Server(base, _)) => format!(", on {}", base.origin()),
        };
        format!("environment {}: state in {}{gateway}", self.name, typed(&self.state()))
    }

    /// The manifest as it is meant here. An environment can bring a manifest to the emulator, and none away from it: that would cost
    /// money which the manifest does not speak of.
    pub(super) fn placed(&self, mut manifest: Manifest) -> Result<Manifest, CliError> {
        match &self.gateway {
            Some(Gateway::Emulator) => manifest.provider = ProviderKind::Emulator,
            Some(Gateway::Server(base, _)) if manifest.provider == ProviderKind::Emulator => {
                let message =
                    format!("the manifest is for the emulator, and environment `{}` is on {}", self.name, base.origin());
                return Err(CliError::message(Exit::Error, message).hint("nothing was sent").hint(
                    "`provider: {kind: chatapi}` in the manifest goes with both: `gateway: emulator` brings it to the emulator",
                ));
            }
            _ => {}
        }
        Ok(manifest)
    }

    /// Whether its server is played on this machine.
    pub(super) const fn is_on_emulator(&self) -> bool {
        matches!(self.gateway, Some(Gateway::Emulator))
    }

    /// Where its server is, by the file.
    pub(super) fn origin(&self) -> Option<Origin> {
        match &self.gateway {
            Some(Gateway::Server(base, _)) => Some(base.origin()),
            _ => None,
        }
    }
}
