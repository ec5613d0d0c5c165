//! The manifest: which instances are wanted, read from YAML.
//!
//! [`Manifest::parse`] is pure and finds every problem of every file in one go; a [`Manifest`] that exists is right. It cannot
//! say where requests go or what authorises them: such keys are refused, and their values are never shown. Only [`load`] and
//! [`Manifest::read`] touch files.
//!
//! One text goes through `encoding` (bytes to text), `document` (text to a tree with places), `validate` (tree to
//! declarations) and `names` (declarations of all files to one manifest). Work and memory are bounded by [`FILE_MAX`],
//! [`TOTAL_MAX`], [`NODES_MAX`] and [`DEPTH_MAX`].

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Diagnostics, Place, Span};
use crate::instance::{InstanceName, InstanceType};
use crate::price::Prices;
use crate::seal::Recipients;

mod document;
mod encoding;
mod names;
mod prices;
mod report;
mod scalar;
mod schema;
mod sealing;
mod secrets;
mod source;
mod syntax;
mod validate;

pub use document::DEPTH_MAX;
pub use schema::schema;
pub(crate) use source::neighbour;
pub use source::{Loaded, Source, Stdin, load};

use names::Candidate;
use report::{Report, View};
use validate::{Content, Settings};

/// The version of the format that this program reads.
pub const VERSION: u32 = 1;
/// Longest accepted file, in bytes: room for 100,000 instances with a comment each.
pub const FILE_MAX: usize = 32 << 20;
/// Most bytes of all files together.
pub const TOTAL_MAX: usize = 64 << 20;
/// Most keys, values, lists and mappings of all files together; an instance takes five.
pub const NODES_MAX: usize = 1_000_000;

/// Who provides the instances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// The paid service, under the address that the environment gives.
    #[default]
    Chatapi,
    /// The embedded emulator: nothing there costs money.
    Emulator,
}

impl ProviderKind {
    /// Every kind, in the order of their text.
    pub const ALL: [Self; 2] = [Self::Chatapi, Self::Emulator];

    /// The text in a manifest and in every output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chatapi => "chatapi",
            Self::Emulator => "emulator",
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One instance that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Our name of it.
    pub name: InstanceName,
    /// What it is to be.
    pub kind: InstanceType,
    /// Where its name stands.
    pub place: Place,
}

/// Everything that is wanted, from all files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Who provides the instances.
    pub provider: ProviderKind,
    /// Whether the operator says that nobody else creates instances on this account.
    pub exclusive: bool,
    /// What an instance costs a month, where it says so.
    pub prices: Option<Prices>,
    /// The public keys that secrets are sealed to, where it names any.
    pub seal_to: Option<Recipients>,
    declarations: Vec<Declaration>,
}

impl Manifest {
    /// Reads all `sources` as one manifest, or says all that is wrong with them.
    ///
    /// Each file needs `instances`. Several files may say `provider` if they say the same; files that leave it out agree with
    /// any. Pure: the same bytes always give the same answer.
    pub fn parse(sources: &[Source]) -> Result<Self, Diagnostics> {
        let mut problems = Diagnostics::new();
        let mut limits = Limits { nodes: NODES_MAX, bytes: TOTAL_MAX };
        let mut gathered = Gathered::default();
        let mut views = Vec::with_capacity(sources.len());
        for (order, source) in sources.iter().enumerate() {
            let mut report = Report::new(source.label(), order, &mut problems);
            let text = read_file(source, &mut limits, &mut report, &mut gathered);
            views.push(report.into_view(text));
        }
        if sources.is_empty() {
            problems.push(Diagnostic::error("no manifest was given").help("name a file, a directory, or `-` for standard input"));
        }
        Self::finish(gathered, problems, &views)
    }

    /// [`load`] and [`Manifest::parse`]: the problems of files that cannot be read come with those of the others.
    pub fn read(paths: &[PathBuf], stdin: Stdin<'_>) -> Result<Self, Diagnostics> {
        let Loaded { sources, mut problems } = load(paths, stdin);
        if problems.is_empty() {
            return Self::parse(&sources);
        }
        if let (false, Err(others)) = (sources.is_empty(), Self::parse(&sources)) {
            problems.append(others);
        }
        Err(problems)
    }

    fn finish(gathered: Gathered, mut problems: Diagnostics, views: &[View<'_>]) -> Result<Self, Diagnostics> {
        let Gathered { provider, prices, seal_to, candidates } = gathered;
        let declarations = names::unique(candidates, &mut problems);
        if problems.is_empty() {
            let Settings { kind, exclusive } = provider.map(|(settings, _)| settings).unwrap_or_default();
            let (prices, seal_to) = (prices.map(|(prices, _)| prices), seal_to.map(|(recipients, _)| recipients));
            return Ok(Self { provider: kind, exclusive, prices, seal_to, declarations });
        }
        problems.sort();
        report::show(&mut problems, views);
        Err(problems)
    }

    /// From parts that were a manifest before.
    pub(crate) fn assembled(
        provider: ProviderKind,
        exclusive: bool,
        (prices, seal_to): (Option<Prices>, Option<Recipients>),
        mut declarations: Vec<Declaration>,
    ) -> Self {
        declarations.sort_by(|one, other| one.name.cmp(&other.name));
        Self { provider, exclusive, prices, seal_to, declarations }
    }

    /// The declarations, sorted by name.
    pub fn declarations(&self) -> &[Declaration] {
        &self.declarations
    }

    /// The declaration of `name`.
    pub fn get(&self, name: &InstanceName) -> Option<&Declaration> {
        let found = self.declarations.binary_search_by(|declaration| declaration.name.cmp(name)).ok()?;
        self.declarations.get(found)
    }
}

/// What is left of the limits for all files together.
struct Limits {
    nodes: usize,
    bytes: usize,
}

/// What the files said so far; each candidate with the rank of its file.
#[derive(Default)]
struct Gathered {
    provider: Option<(Settings, Place)>,
    prices: Option<(Prices, Place)>,
    seal_to: Option<(Recipients, Place)>,
    candidates: Vec<(usize, Candidate)>,
}

/// Reads one file into `gathered`; the text comes back if it can be shown.
fn read_file<'a>(source: &'a Source, limits: &mut Limits, report: &mut Report<'_>, gathered: &mut Gathered) -> Option<&'a str> {
    let Some(left) = limits.bytes.checked_sub(source.bytes().len()).filter(|_| source.bytes().len() <= FILE_MAX) else {
        report.push(source::too_long(source.bytes().len() > FILE_MAX));
        return None;
    };
    limits.bytes = left;
    let text = match encoding::decode(source.bytes()) {
        Ok(text) => text,
        Err(problem) => {
            report.push(*problem);
            return std::str::from_utf8(source.bytes()).ok().filter(|text| !text.contains('\0'));
        }
    };
    if let Some(root) = document::read(text, &mut limits.nodes, report) {
        let content = validate::content(&root, report);
        gather(content, report, gathered);
    }
    Some(text.whole)
}

fn gather(content: Content, report: &mut Report<'_>, gathered: &mut Gathered) {
    gathered.candidates.extend(content.candidates.into_iter().map(|candidate| (report.order(), candidate)));
    agree("provider", &mut gathered.provider, content.provider, report);
    agree("prices", &mut gathered.prices, content.prices, report);
    agree("seal_to", &mut gathered.seal_to, content.seal_to, report);
}

/// What several files may say if they say the same.
fn agree<T: PartialEq>(key: &str, known: &mut Option<(T, Place)>, said: Option<(T, Span)>, report: &mut Report<'_>) {
    let Some((value, span)) = said else { return };
    match known {
        None => *known = Some((value, report.place(span.start))),
        Some((first, place)) if *first != value => {
            let differs = Diagnostic::error(&format!("`{key}` differs from the one in another file")).at(span);
            report.push(differs.related("first said", place.clone()).help("say it in one file only"));
        }
        Some(_) => {}
    }
}
