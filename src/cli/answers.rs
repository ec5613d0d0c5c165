//! What answers guards, as flags that are typed: the ones that were given stand before those that are told, so that two hints never
//! undo each other.

use super::context::typed_word;
use super::gone::NAMES;
use crate::instance::{InstanceId, InstanceName};
use crate::plan::Replace;
use crate::saved::Consent;

/// Whom a hint is for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The program, as it has to be called again.
    pub(super) command: &'a str,
    /// The command that is told: `apply`, `plan again`.
    pub(super) with: &'a str,
    /// What was said already.
    pub(super) said: &'a Consent,
}

impl Asked<'_> {
    /// What was said, and `more` that was not, as flags; if there are too many, the first ones.
    pub(super) fn flags(&self, more: impl IntoIterator<Item = String>) -> String {
        let more: Vec<String> = more.into_iter().collect();
        let mut flags = said(self.said);
        // What is told of a name takes the place of what was said of it in other words: with another id, or with none.
        flags.retain(|flag| more.iter().all(|told| told == flag || without_value(told) != without_value(flag)));
        let before = flags.len();
        for flag in more {
            if !flags.contains(&flag) {
                flags.push(flag);
            }
        }
        let left = flags.len().saturating_sub(before + NAMES);
        flags.truncate(before + NAMES);
        let rest = if left > 0 { format!(", and {left} more") } else { String::new() };
        format!("`{}`{rest}", flags.join(" "))
    }
}

/// A flag and its name, without the id behind that.
fn without_value(flag: &str) -> &str {
    flag.split_once('=').map_or(flag, |(name, _)| name)
}

/// The flag that asks for a new one in the place of `id`: with the id it is exact, also where the name alone is spent.
pub(super) fn replacing(name: &InstanceName, id: Option<&InstanceId>) -> String {
    format!("--replace {}", Replace { name: name.clone(), id: id.cloned() })
}

/// What is said behind a command that is to be given again: with what it was told before.
pub(super) fn again(said_before: &Consent) -> String {
    let flags = said(said_before);
    if flags.is_empty() { String::new() } else { format!(" with `{}`", flags.join(" ")) }
}

/// What was said of single names, and of all.
fn said(consent: &Consent) -> Vec<String> {
    let of = |flag: &str, names: &[InstanceName]| names.iter().map(|name| format!("{flag} {name}")).collect::<Vec<_>>();
    let prune = consent.prune.then(|| "--prune".to_owned());
    let targets = consent.targets.iter().map(|target| format!("--target {}", typed_word(&target.to_string())));
    let replace = consent.replace.iter().map(|asked| format!("--replace {asked}"));
    let named = of("--recreate", &consent.recreate).into_iter().chain(replace);
    prune.into_iter().chain(targets).chain(of("--not-a-rename", &consent.not_a_rename)).chain(named).collect()
}
