//! What an account holds and a state does not know: as entries of a manifest, with names that can be used as they stand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use super::FORMAT_VERSION;
use crate::instance::{ApiUrl, InstanceId, InstanceName, InstanceType, NAME_MAX};
use crate::listing::{ListedInstance, Listing};
use crate::manifest::{Manifest, is_text};
use crate::plan::doubt_of;
use crate::state::{AttemptId, Phase, Record, State};
use crate::text::{counted, escape};

/// `import --discover --format json`.
#[derive(Debug, Default, Serialize)]
pub struct Discovery {
    format_version: &'static str,
    /// What can be taken in, by id.
    instances: Vec<FoundData>,
    /// What a doubt may have created.
    doubtful: Vec<DoubtfulData>,
    /// What is of a type that cannot be declared.
    other_types: Vec<OtherTypeData>,
    /// What other environments have or may have, each with what is said of that.
    #[serde(skip)]
    elsewhere: Vec<(InstanceId, String)>,
    /// What the state knows and does not manage.
    #[serde(skip)]
    let_go: Vec<(InstanceId, LetGo)>,
}

/// An instance with the name that is proposed.
#[derive(Debug, Serialize)]
struct FoundData {
    name: InstanceName,
    id: InstanceId,
    #[serde(rename = "type")]
    kind: InstanceType,
    api_url: Option<ApiUrl>,
}

/// An instance that a doubt may have created.
#[derive(Debug, Serialize)]
struct DoubtfulData {
    id: InstanceId,
    /// The name in doubt.
    name: InstanceName,
    attempt: AttemptId,
}

/// An instance of another type.
#[derive(Debug, Serialize)]
struct OtherTypeData {
    id: InstanceId,
    #[serde(rename = "type")]
    kind: String,
}

/// How an instance that a state knows came to be managed no longer; by its name.
#[derive(Debug)]
enum LetGo {
    Released(InstanceName),
    Deleted(InstanceName),
}

/// What `state` knows and does not manage.
fn let_go(state: &State) -> BTreeMap<&InstanceId, LetGo> {
    let former = state.former().filter(|(former, _)| !state.known_ids().contains_key(&former.id));
    let former = former.map(|(former, record)| (&former.id, LetGo::Deleted(record.name.clone())));
    let of_record = |record: &Record| match &record.phase {
        Phase::Released(_) => Some(LetGo::Released(record.name.clone())),
        Phase::Retired { .. } => Some(LetGo::Deleted(record.name.clone())),
        _ => None,
    };
    former.chain(state.records().values().filter_map(|record| Some((record.id()?, of_record(record)?)))).collect()
}

impl Discovery {
    /// What `listing` shows and `state` does not know, and `manifest` does not import already; its names are taken. What is
    /// `elsewhere` belongs to other environments, or may: in words.
    pub fn of(
        listing: &Listing,
        state: Option<&State>,
        manifest: Option<&Manifest>,
        elsewhere: &BTreeMap<InstanceId, String>,
    ) -> Self {
        let mut taken: BTreeSet<String> = BTreeSet::new();
        taken.extend(state.into_iter().flat_map(|state| state.records().keys()).map(InstanceName::twin_key));
        taken.extend(manifest.into_iter().flat_map(Manifest::declarations).map(|declared| declared.name.twin_key()));
        let imports = manifest.into_iter().flat_map(|manifest| &manifest.settlements.imports);
        let said: BTreeSet<&InstanceId> = imports.map(|import| &import.id).collect();
        let mut let_go = state.map(let_go).unwrap_or_default();
        let is_ours = |id: &InstanceId| state.is_some_and(|state| state.known_ids().contains_key(id));
        let mut listed: Vec<&ListedInstance> = listing.instances.iter().filter(|it| !said.contains(&it.id)).collect();
        listed.sort_by(|one, other| one.id.cmp(&other.id));
        let mut found = Self { format_version: FORMAT_VERSION, ..Self::default() };
        for ListedInstance { id, name, type_text, kind, api_url, .. } in listed {
            let how = let_go.remove(id);
            if how.is_none() && is_ours(id) {
                continue;
            }
            if let Some(why) = elsewhere.get(id) {
                found.elsewhere.push((id.clone(), why.clone()));
                continue;
            }
            if let Some(how) = how {
                found.let_go.push((id.clone(), how));
                continue;
            }
            if let Some((name, attempt)) = state.and_then(|state| doubt_of(state, id)) {
                found.doubtful.push(DoubtfulData { id: id.clone(), name: name.clone(), attempt: attempt.clone() });
                continue;
            }
            let Some(kind) = *kind else {
                found.other_types.push(OtherTypeData { id: id.clone(), kind: escape(type_text).into_owned() });
                continue;
            };
            if let Some(name) = free(name, id, &mut taken) {
                found.instances.push(FoundData { name, id: id.clone(), kind, api_url: api_url.clone() });
            }
        }
        found
    }

    /// How many can be taken in.
    pub fn count(&self) -> usize {
        self.instances.len()
    }

    /// As a manifest: it is valid alone and beside others. `command`: the program as it has to be called.
    pub fn yaml(&self, command: &str) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = self.write(&mut text, command);
        text
    }

    fn write(&self, text: &mut String, command: &str) -> std::fmt::Result {
        match self.instances.len() {
            0 => writeln!(text, "# The account has nothing that can be taken in.")?,
            count => {
                let found = counted(count, "instance", "instances");
                writeln!(text, "# {found} of the account that can be taken in; the names are proposals.")?;
            }
        }
        for DoubtfulData { id, name, attempt } in &self.doubtful {
            writeln!(text, "# {id} is left out: attempt {attempt} of {name} is in doubt and may have created it.")?;
            writeln!(text, "#   {command} resolve {name} --attempt {attempt} --created {id}")?;
        }
        for OtherTypeData { id, kind } in &self.other_types {
            writeln!(text, "# {id} is left out: its type, {kind}, is not known here.")?;
        }
        for (id, why) in &self.elsewhere {
            writeln!(text, "# {id} is left out: {why}.")?;
        }
        for (id, how) in &self.let_go {
            match how {
                LetGo::Released(name) => {
                    writeln!(text, "# {id} is left out: it was released as {name}. To manage it again:")?;
                    writeln!(text, "#   {command} release --undo {name}")?;
                }
                LetGo::Deleted(name) => {
                    writeln!(text, "# {id} is left out: it was {name}, and is recorded as deleted. If it stays listed:")?;
                    writeln!(text, "#   {command} import NAME --id {id}")?;
                }
            }
        }
        if self.instances.is_empty() {
            return text.write_str("instances: []\n");
        }
        writeln!(text, "instances:")?;
        for FoundData { name, kind, .. } in &self.instances {
            writeln!(text, "  - {{name: {}, type: {kind}}}", quoted(name))?;
        }
        writeln!(text, "import:")?;
        for FoundData { name, id, kind, .. } in &self.instances {
            writeln!(text, "  - {{name: {}, id: \"{id}\", type: {kind}}}", quoted(name))?;
        }
        Ok(())
    }
}

/// As it stands in YAML.
fn quoted(name: &InstanceName) -> String {
    if is_text(name.as_str()) { name.to_string() } else { format!("\"{name}\"") }
}

/// A name made of the server's, or of the id, that neither a name nor its twin has yet.
fn free(label: &str, id: &InstanceId, taken: &mut BTreeSet<String>) -> Option<InstanceName> {
    let base = plain(label);
    let first = InstanceName::parse(&base).ok();
    let with_id = |base: &str| {
        let room = NAME_MAX.saturating_sub(id.as_str().len() + 1);
        let cut = base.get(..room.min(base.len())).unwrap_or_default().trim_end_matches(['.', '-', '_']);
        InstanceName::parse(&format!("{cut}-{id}")).ok()
    };
    let others = (0..).map_while(|number: u32| match number {
        0 => Some(with_id(&base)),
        1 => Some(with_id("instance")),
        2..=9 => Some(with_id(&format!("instance-{number}"))),
        _ => None,
    });
    let name = std::iter::once(first).chain(others).flatten().find(|name| !taken.contains(&name.twin_key()))?;
    taken.insert(name.twin_key());
    Some(name)
}

/// The letters of a label that a name may have; what stands between them is one `-`.
fn plain(label: &str) -> String {
    let mut plain = String::new();
    for character in label.chars().take(4 * NAME_MAX) {
        let is_plain = character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
        let character = if is_plain { character } else { '-' };
        if character != '-' || !plain.ends_with('-') {
            plain.push(character);
        }
    }
    let trimmed = plain.trim_matches(['.', '-', '_']);
    trimmed.get(..NAME_MAX.min(trimmed.len())).unwrap_or_default().trim_end_matches(['.', '-', '_']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Source;

    fn listed(id: &str, label: &str) -> ListedInstance {
        let bare = ListedInstance::bare(InstanceId::parse(id).unwrap(), InstanceType::WhatsApp);
        ListedInstance { name: label.to_owned(), ..bare }
    }

    #[test]
    fn names_follow_the_grammar_and_are_nobodys() {
        let manifest = Manifest::parse(&[Source::new("m.yaml", "instances: [{name: Sales, type: whatsapp}]")]).unwrap();
        let labels = [
            ("1", "Old desk"),
            ("2", "old_desk"),
            ("3", ""),
            ("4", "sales"),
            ("5", "nul"),
            ("6", "../../etc/passwd"),
            ("7", "2027"),
            ("8", "Büro, 3. Stock"),
            ("9", "\u{202e}evil\n- {name: x}"),
            ("10", "no"),
            ("11", &"x".repeat(200)),
            ("12", &"x".repeat(200)),
        ];
        let instances = labels.iter().map(|(id, label)| listed(id, label)).collect();
        let found = Discovery::of(&Listing { instances, odd_items: 0 }, None, Some(&manifest), &BTreeMap::new());
        let names: Vec<_> = found.instances.iter().map(|found| format!("{} {}", found.id, found.name)).collect();
        let (long, longer) = (format!("11 {}", "x".repeat(63)), format!("12 {}-12", "x".repeat(60)));
        let expected = [
            "1 Old-desk",
            "10 no",
            long.as_str(),
            longer.as_str(),
            "2 old_desk-2",
            "3 instance-3",
            "4 sales-4",
            "5 nul-5",
            "6 etc-passwd",
            "7 2027",
            "8 B-ro-3.-Stock",
            "9 evil-name-x",
        ];
        assert_eq!(names, expected);
        let yaml = found.yaml("chatapi");
        let read =
            Manifest::parse(&[Source::new("d.yaml", yaml.clone())]).unwrap_or_else(|problems| panic!("{yaml}{problems:?}"));
        assert_eq!((read.declarations().len(), read.settlements.imports.len()), (12, 12));
        let again =
            Discovery::of(&Listing { instances: vec![listed("1", "x")], odd_items: 0 }, None, Some(&read), &BTreeMap::new());
        assert!(again.count() == 0, "what is imported already is not proposed again");
        assert!(again.yaml("chatapi").ends_with("instances: []\n"));
    }
}
