//! What is said about text that is no YAML, and about YAML that no manifest needs.

use std::borrow::Cow;

use serde_yaml::granit_parser::ErrorKind;

use super::NODES_MAX;
use super::document::DEPTH_MAX;
use super::secrets::first_forbidden_word;
use crate::diagnostic::{Diagnostic, Span};
use crate::secret::REDACTED;

/// Characters of a foreign text that are repeated in a message.
const REPEATED_MAX: usize = 40;

/// What to do about a placeholder outside of quotes.
pub(super) const QUOTE_IT: &str = "if a placeholder is meant, put the whole value in quotes, as in `name: \"shop-{n:03}\"`";

/// `text` for a message: its beginning, if it is long, and nothing behind a forbidden key, as in `{token:…}` without a space.
pub(super) fn shortened(text: &str) -> Cow<'_, str> {
    if let Some(end) = first_forbidden_word(text).filter(|end| *end < text.len().min(REPEATED_MAX)) {
        return Cow::Owned(format!("{}{REDACTED}", text.get(..end).unwrap_or_default()));
    }
    if let Some(at) = text.find(crate::seal::SECRET) {
        return Cow::Owned(format!("{}{REDACTED}", text.get(..at).unwrap_or_default()));
    }
    match text.char_indices().nth(REPEATED_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

// The names of anchors, aliases and tags are not repeated: a secret that starts with `&`, `*` or `!` reads as one.
pub(super) fn anchor(span: Span) -> Diagnostic {
    let help = "write the value out where it is needed; put it in quotes if it starts with `&`";
    Diagnostic::error("an anchor cannot stand in a manifest").at(span).help(help)
}

pub(super) fn alias(span: Span) -> Diagnostic {
    let help = "write the value out; put it in quotes if it starts with `*`";
    Diagnostic::error("an alias cannot stand in a manifest").at(span).help(help)
}

pub(super) fn tag(span: Span) -> Diagnostic {
    Diagnostic::error("a tag cannot stand in a manifest")
        .at(span)
        .help("remove it; put the value in quotes if it starts with `!`")
}

pub(super) fn merge_key(span: Span) -> Diagnostic {
    Diagnostic::error("a merge key `<<` cannot stand in a manifest").at(span).help("write the keys out where they are needed")
}

pub(super) fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(&format!("lists and mappings are nested more than {DEPTH_MAX} deep")).at(span)
}

pub(super) fn too_many(span: Span) -> Diagnostic {
    let summary = format!("more than {NODES_MAX} keys and values");
    Diagnostic::error(&summary).at(span).help("use several manifests, each with a state of its own")
}

/// Whether the engine has stopped at `offset` for braces in the middle of a value without quotes: at a `{` that stands behind a part
/// of a word, or at what stands right behind a `}`. Only braces that may hold a placeholder count.
pub(super) fn breaks_a_pattern(text: &str, offset: usize) -> bool {
    let Some((before, after)) = text.split_at_checked(offset) else { return false };
    let is_word = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    let is_slot = |inside: &str| !inside.is_empty() && inside.chars().all(|character| is_word(character) || character == ':');
    if let Some(inside) = after.strip_prefix('{') {
        return before.ends_with(is_word) && inside.split_once('}').is_some_and(|(slot, _)| is_slot(slot));
    }
    let slot = before.strip_suffix('}').and_then(|before| before.rsplit_once('{'));
    after.starts_with(is_word) && slot.is_some_and(|(_, slot)| is_slot(slot))
}

pub(super) fn unquoted(span: Span) -> Diagnostic {
    Diagnostic::error("a value with braces stands in quotes").at(span).help(QUOTE_IT)
}

/// What the engine refused.
pub(super) fn refused(kind: &ErrorKind, span: Span) -> Diagnostic {
    let (summary, help) = words(kind);
    let problem = Diagnostic::error(&summary).at(span);
    match help {
        Some(help) => problem.help(help),
        None => problem,
    }
}

fn words(kind: &ErrorKind) -> (Cow<'static, str>, Option<&'static str>) {
    match brackets(kind).or_else(|| indentation(kind)).or_else(|| values(kind)) {
        Some((summary, help)) => (Cow::Borrowed(summary), Some(help)),
        None => (Cow::Owned(format!("not valid YAML: {kind}")), None),
    }
}

fn brackets(kind: &ErrorKind) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        ErrorKind::UnclosedFlowCollection { open: '[' } => ("the list that opens here is never closed", "close it with `]`"),
        ErrorKind::UnclosedFlowCollection { .. } => ("the mapping that opens here is never closed", "close it with `}`"),
        ErrorKind::MisplacedFlowCollectionEnd => ("this bracket closes nothing", "remove it, or open it first"),
        ErrorKind::MismatchedFlowCollectionEnd { open: '[', .. } => ("a list is closed like a mapping", "close it with `]`"),
        ErrorKind::MismatchedFlowCollectionEnd { .. } => ("a mapping is closed like a list", "close it with `}`"),
        ErrorKind::ExpectedFlowMappingSeparator => ("a `,` or `}` is expected here", "separate the keys with commas"),
        ErrorKind::ExpectedFlowSequenceSeparator => ("a `,` or `]` is expected here", "separate the entries with commas"),
        ErrorKind::UnexpectedEofImplicitFlowMapping => ("an entry is missing here", "remove the comma"),
        _ => return None,
    })
}

/// Whether a tab was refused.
pub(super) fn is_tab(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::TabInPlainScalar
    )
}

fn indentation(kind: &ErrorKind) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        kind if is_tab(kind) => ("a tab cannot stand here", "indent with spaces"),
        ErrorKind::ExpectedBlockMappingKey => ("a key is expected here", "indent the keys of one mapping alike, as `key: value`"),
        ErrorKind::ExpectedBlockSequenceEntry => {
            ("an entry that starts with `- ` is expected here", "indent the entries of one list alike")
        }
        ErrorKind::InvalidIndentation => ("the indentation fits nothing above it", "indent what belongs together alike"),
        ErrorKind::MappingValueNotAllowed => {
            ("a second `: ` cannot stand here", "put the value in quotes, or check the indentation")
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("a `:` is missing behind this key", "write `key: value`, with a space behind the colon")
        }
        _ => return None,
    })
}

fn values(kind: &ErrorKind) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        ErrorKind::DirectiveDisallowed => ("a directive cannot stand in a manifest", "remove the line that starts with `%`"),
        ErrorKind::UndeclaredTagHandle => ("a tag cannot stand in a manifest", "put the value in quotes if it starts with `!`"),
        ErrorKind::UnclosedQuotedScalar => ("the quote that opens here is never closed", "close it on the same line"),
        ErrorKind::UnexpectedCharacter { .. } => ("no value can start with this character", "put the value in quotes"),
        ErrorKind::UnknownQuotedScalarEscape => ("no such escape", "write `\\\\` for a backslash, or use single quotes"),
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            ("nothing but a comment can follow a closing quote", "put the whole value in quotes")
        }
        ErrorKind::CommentNotSeparated => ("a space is missing before the comment", "write ` #`, or put the value in quotes"),
        _ => return None,
    })
}
