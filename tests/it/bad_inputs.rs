//! Manifests that must be refused, each with the place and the words of the refusal.
//!
//! One table for whoever reads manifests: the library's tests and those of the binary walk the same rows.

mod bombs;
mod names;
mod repetition;
mod settled;
mod shapes;
mod syntax;

/// A manifest that must be refused.
#[derive(Debug, Clone)]
pub(crate) struct BadInput {
    /// The kind of mistake.
    pub(crate) category: &'static str,
    /// What this row shows.
    pub(crate) why: &'static str,
    /// The file.
    pub(crate) bytes: Vec<u8>,
    /// `line:column` of the problem; empty where the file as a whole is the problem.
    pub(crate) place: &'static str,
    /// A part of the problem's summary.
    pub(crate) problem: &'static str,
    /// How many problems there are in all: one mistake is one problem.
    pub(crate) count: usize,
}

/// A row whose bytes are written out: why, bytes, place, problem, count.
type Row = (&'static str, &'static [u8], &'static str, &'static str, usize);

/// All of them.
pub(crate) fn all() -> Vec<BadInput> {
    let written = [
        ("encoding", syntax::ENCODING),
        ("syntax", syntax::SYNTAX),
        ("aliases and bombs", bombs::ALIASES),
        ("tags and includes", syntax::TAGS),
        ("duplicate keys and names", shapes::DUPLICATES),
        ("types", shapes::TYPES),
        ("unknown and misspelt keys", shapes::KEYS),
        ("keys that never stand in a manifest", shapes::FORBIDDEN),
        ("patterns", repetition::PATTERNS),
        ("counts and lists", repetition::COUNTS),
        ("attributes and variables", repetition::ATTRIBUTES),
        ("what is settled, alone", settled::SHAPES),
        ("what is settled, together", settled::TOGETHER),
    ];
    let mut inputs: Vec<BadInput> = Vec::new();
    for (category, rows) in written {
        inputs.extend(rows.iter().map(|(why, bytes, place, problem, count)| BadInput {
            category,
            why,
            bytes: bytes.to_vec(),
            place,
            problem,
            count: *count,
        }));
    }
    inputs.extend(bombs::all());
    inputs.extend(names::all());
    inputs
}
