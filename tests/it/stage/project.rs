//! A project as a user has it: a manifest, a state and a lock file in a directory, and an environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::{Call, Run, hex};

/// The key of every run against a server by address.
pub(crate) const KEY: &str = "Key0for0the0tests0of0the0cli";

/// A manifest with `names`, all of one type.
pub(crate) fn manifest(provider: &str, names: &[&str]) -> String {
    let mut text = format!("provider: {provider}\ninstances:{}\n", if names.is_empty() { " []" } else { "" });
    let item = |name: &&str| ["  - {name: ", name, ", type: whatsapp}\n"].concat();
    text.extend(names.iter().map(item));
    text
}

/// The directory and the environment.
pub(crate) struct Project {
    place: TempDir,
    env: Vec<(OsString, OsString)>,
}

impl Project {
    /// With `manifest` as `instances.yaml`.
    pub(crate) fn new(manifest: &str) -> Self {
        let project = Self { place: tempfile::tempdir().unwrap(), env: Vec::new() };
        project.declare(manifest);
        project
    }

    /// `names` of a server at `url`.
    pub(crate) fn at(url: &str, names: &[&str]) -> Self {
        Self::new(&manifest("{kind: chatapi}", names)).with("CHATAPI_URL", url).with("CHATAPI_API_KEY", KEY)
    }

    /// Every run has this in its environment.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    pub(crate) fn dir(&self) -> &Path {
        self.place.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.path("chatapi.lock")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Puts another manifest in the place of the old one.
    pub(crate) fn declare(&self, manifest: &str) {
        self.write("instances.yaml", manifest);
    }

    /// From now on this is the environment `dev`, and `prod` has an instance of its own on the same account.
    pub(crate) fn with_neighbour(&self) {
        let environments = "dev: {state: state, lock_file: chatapi.lock}, prod: {state: prod-state, same_account_as: [dev]}";
        self.write("chatapi.yaml", format!("default: dev\nenvironments: {{{environments}}}\n"));
        self.write("prod.yaml", manifest("{kind: chatapi}", &["theirs"]));
        self.run("apply --env prod --allow-unknown all prod.yaml").done();
    }

    /// A call in this project.
    pub(crate) fn call(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Call {
        Call::new(self.dir().to_owned(), args).envs(&self.env)
    }

    /// The environment, for a program around the binary.
    pub(crate) fn env(&self) -> &[(OsString, OsString)] {
        &self.env
    }

    /// Runs the words of `line`.
    #[must_use = "look at what came out"]
    pub(crate) fn run(&self, line: &str) -> Run {
        self.call(line.split(' ')).run()
    }

    /// The id of each recorded name.
    pub(crate) fn ids(&self) -> BTreeMap<String, String> {
        let listed = self.run("state list --format json").exits(0).json();
        let text = |item: &Value, key: &str| item[key].as_str().map(str::to_owned);
        let items = listed.as_array().unwrap().iter();
        items.filter_map(|item| Some((text(item, "name")?, text(item, "id")?))).collect()
    }

    /// What `token get` prints.
    pub(crate) fn token(&self, name: &str) -> String {
        let run = self.run(&format!("token get {name}")).exits(0);
        run.stdout.strip_suffix('\n').unwrap().to_owned()
    }

    /// The open attempt of `name`.
    pub(crate) fn attempt(&self, name: &str) -> String {
        let shown = self.run(&format!("state show {name} --format json")).exits(0).json();
        shown["attempt"].as_str().unwrap_or_else(|| panic!("no open attempt: {shown}")).to_owned()
    }

    /// Every file below `directory`, with its bytes.
    pub(crate) fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files.extend(Self::files(&path));
            } else {
                files.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
        files
    }

    /// A copy of the state as it is now.
    pub(crate) fn copy_of_state(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        Self::files(&self.state())
    }

    /// Puts a copy in the place of the state.
    pub(crate) fn restore(&self, copy: &BTreeMap<PathBuf, Vec<u8>>) {
        fs::remove_dir_all(self.state()).unwrap();
        for (path, bytes) in copy {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        // Whatever this process's umask is: a state that a group may write to is refused.
        for directory in copy.keys().filter_map(|path| path.parent()) {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
        }
    }
}

/// `journal` with the hashes that its lines should have: SHA-256 of the hash before and of the line without its own.
pub(crate) fn rechained(journal: &str) -> String {
    let mut before = vec![0; 32];
    let mut chained = String::new();
    for line in journal.lines() {
        let (payload, _) = line.split_once(",\"hash\":\"").unwrap();
        before.extend_from_slice(payload.as_bytes());
        before = ring::digest::digest(&ring::digest::SHA256, &before).as_ref().to_vec();
        chained.extend([payload, ",\"hash\":\"", &hex("", &before), "\"}\n"]);
    }
    chained
}
