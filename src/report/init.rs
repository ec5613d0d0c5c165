//! What `init` shows.

use std::path::Path;

use serde::Serialize;

use super::FORMAT_VERSION;
use crate::state::Lineage;
use crate::text::{counted, escape};

/// `init --format json`.
#[derive(Debug, Serialize)]
pub struct InitDocument {
    format_version: &'static str,
    message: String,
    state: InitState,
    manifest: InitFile,
    schema: Option<InitFile>,
}

/// The state of a project.
#[derive(Debug, Serialize)]
pub struct InitState {
    path: String,
    lineage: Lineage,
    names: usize,
}

/// A file of a project.
#[derive(Debug, Serialize)]
pub struct InitFile {
    path: String,
    is_new: bool,
}

impl InitState {
    /// In the directory `path`, of `lineage`, with so many names on record already.
    pub fn new(path: &Path, lineage: Lineage, names: usize) -> Self {
        Self { path: shown(path), lineage, names }
    }
}

impl InitFile {
    /// At `path`, written now; or there before, and left as it is.
    pub fn new(path: &Path, is_new: bool) -> Self {
        Self { path: shown(path), is_new }
    }
}

impl InitDocument {
    /// Of what there is now. No schema: none was wanted, or the manifest was there before.
    pub fn new(state: InitState, manifest: InitFile, schema: Option<InitFile>) -> Self {
        let mut document = Self { format_version: FORMAT_VERSION, message: String::new(), state, manifest, schema };
        document.message = document.lines().join("\n");
        document
    }

    /// The same for people, a line for each thing.
    pub fn lines(&self) -> Vec<String> {
        let InitState { path, lineage, names } = &self.state;
        let state = match names {
            0 => format!("State in {path} (lineage {lineage})."),
            _ => format!("The state in {path} records {}; it stays as it is.", counted(*names, "name", "names")),
        };
        let manifest = match &self.manifest {
            InitFile { path, is_new: true } => format!("Manifest in {path}."),
            InitFile { path, is_new: false } => format!("{path} is there already."),
        };
        let schema = self.schema.as_ref().filter(|schema| schema.is_new);
        let schema = schema.map(|schema| format!("Schema for editors in {}.", schema.path));
        [state, manifest].into_iter().chain(schema).collect()
    }
}

fn shown(path: &Path) -> String {
    escape(&path.to_string_lossy()).into_owned()
}
