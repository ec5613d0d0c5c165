//! `.gitlab-ci.yml` as one piece: files of the same repository that it includes, `!reference`, and what jobs extend.

use serde_json::{Map, Value};

use super::yaml::{self, at, texts};

/// How a reference is marked once tags are gone.
const MARK: &str = "!reference";
/// Most files that are included.
const FILES_MAX: usize = 50;
/// How far references, includes and `extends` are followed; GitLab's own limits are lower.
const DEPTH_MAX: usize = 12;
/// Most that references and bases may add to what was read, in bytes or so.
const ADDED_MAX: usize = 8 << 20;

/// What was read.
#[derive(Debug)]
pub(super) struct File {
    entries: Map<String, Value>,
    /// How much references and bases may still add.
    room: usize,
    /// What was not followed, as it is written.
    pub(super) unfollowed: Vec<String>,
}

/// The texts of other files of the repository, by their path in it.
pub(super) type Include<'i> = &'i dyn Fn(&str) -> Option<String>;

impl File {
    /// Reads `text` and what it includes; nothing if it is no mapping.
    pub(super) fn read(text: &str, include: Include<'_>) -> Option<Self> {
        let mut file = Self { entries: Map::new(), room: ADDED_MAX, unfollowed: Vec::new() };
        let (mut left, entries) = (FILES_MAX, file.parsed(text)?);
        file.entries = file.with_included(entries, include, &mut left, 0);
        let root = file.entries.clone();
        let entries = std::mem::take(&mut file.entries);
        file.entries = entries.into_iter().map(|(name, value)| (name, file.resolved(value, &root, 0))).collect();
        file.unfollowed.sort();
        file.unfollowed.dedup();
        Some(file)
    }

    /// What stands at the top under `key`.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.entries.iter()
    }

    /// The text without tags, for the engine drops them; the first of two documents is a header.
    fn parsed(&mut self, text: &str) -> Option<Map<String, Value>> {
        let marked = text.replace("!reference [", "[\"!reference\", ");
        let documents = yaml::documents(&marked).or_else(|| yaml::documents(text))?;
        let is_told = |line: &str| line.replace("[\"!reference\"", "").split('#').next().is_some_and(|code| code.contains(MARK));
        if marked.lines().any(is_told) {
            self.unfollowed.push(MARK.to_owned());
        }
        match documents.into_iter().next_back()? {
            Value::Object(entries) => Some(entries),
            _ => None,
        }
    }

    fn with_included(
        &mut self,
        entries: Map<String, Value>,
        include: Include<'_>,
        left: &mut usize,
        depth: usize,
    ) -> Map<String, Value> {
        let list = match entries.get("include") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items.clone(),
            Some(other) => vec![other.clone()],
        };
        let mut whole = Value::Object(Map::new());
        for one in list {
            let path = one.as_str().or_else(|| at(&one, &["local"])?.as_str());
            let local = path.filter(|path| !path.contains("://") && !path.contains(['*', '$']) && *left > 0 && depth < DEPTH_MAX);
            let text = local.and_then(|path| include(path.trim_start_matches('/')));
            *left = left.saturating_sub(1);
            match text.and_then(|text| self.parsed(&text)) {
                Some(inner) => {
                    let inner = self.with_included(inner, include, left, depth + 1);
                    merge(&mut whole, Value::Object(inner));
                }
                None => self.unfollowed.push(format!("include: {}", named(&one))),
            }
        }
        merge(&mut whole, Value::Object(entries));
        if let Value::Object(entries) = whole { entries } else { Map::new() }
    }

    /// Whether there is room for another copy of `value`, which is taken then.
    fn has_room(&mut self, value: &Value, depth: usize) -> bool {
        let rest = self.room.checked_sub(size(value)).filter(|_| depth < DEPTH_MAX);
        self.room = rest.unwrap_or(self.room);
        rest.is_some()
    }

    /// `value` with each reference replaced by what it names.
    fn resolved(&mut self, value: Value, root: &Map<String, Value>, depth: usize) -> Value {
        match value {
            Value::Array(items) => {
                let Some(path) = reference(&items) else {
                    return Value::Array(items.into_iter().map(|item| self.resolved(item, root, depth)).collect());
                };
                let target = path.split_first().and_then(|(first, rest)| at(root.get(*first)?, rest));
                if let Some(target) = target.filter(|target| self.has_room(target, depth)) {
                    self.resolved(target.clone(), root, depth + 1)
                } else {
                    self.unfollowed.push(format!("{MARK} [{}]", path.join(", ")));
                    Value::Null
                }
            }
            Value::Object(members) => {
                Value::Object(members.into_iter().map(|(key, value)| (key, self.resolved(value, root, depth))).collect())
            }
            other => other,
        }
    }

    /// `job` with what it extends below it.
    pub(super) fn extended(&mut self, job: &Value) -> Value {
        self.with_bases(job, 0)
    }

    fn with_bases(&mut self, job: &Value, depth: usize) -> Value {
        let mut whole = Value::Object(Map::new());
        for name in at(job, &["extends"]).map(texts).unwrap_or_default() {
            let base = self.entries.get(name).cloned();
            if let Some(base) = base.filter(|base| self.has_room(base, depth)) {
                let base = self.with_bases(&base, depth + 1);
                merge(&mut whole, base);
            } else {
                self.unfollowed.push(format!("extends: {name}"));
            }
        }
        merge(&mut whole, job.clone());
        whole
    }
}

/// About how many bytes a value takes.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.iter().map(|(key, value)| key.len() + size(value)).sum(),
        _ => 0,
    }
}

/// The path of a reference.
fn reference(items: &[Value]) -> Option<Vec<&str>> {
    let (first, rest) = items.split_first()?;
    (first.as_str() == Some(MARK)).then(|| rest.iter().filter_map(Value::as_str).collect())
}

/// What an include that is not read names.
fn named(include: &Value) -> String {
    let kinds = ["local", "remote", "template", "project", "component", "artifact"];
    let kind = kinds.iter().find_map(|kind| Some(format!("{kind} {}", at(include, &[kind])?.as_str()?)));
    include.as_str().map(str::to_owned).or(kind).unwrap_or_else(|| "of a kind that is not known here".to_owned())
}

/// Lays `over` on `under`: mappings are mixed, all else is replaced.
fn merge(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                match under.get_mut(&key) {
                    Some(there) => merge(there, value),
                    None => {
                        under.insert(key, value);
                    }
                }
            }
        }
        (under, over) => *under = over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> File {
        let include = |path: &str| (path == "ci/a.yml").then(|| ".a: {script: [one, two], image: x}\nb: {tags: [c]}".to_owned());
        File::read(text, &include).unwrap()
    }

    #[test]
    fn references_includes_and_bases_are_put_in_their_places() {
        let mut file =
            read("include: /ci/a.yml\nb: {extends: .a, script: [!reference [.a, script], three], image: !reference [.a, image]}");
        let job = file.get("b").unwrap().clone();
        assert_eq!(texts(at(&job, &["script"]).unwrap()), ["one", "two", "three"]);
        let job = file.extended(&job);
        assert_eq!((&job["image"], &job["tags"]), (&Value::from("x"), &serde_json::json!(["c"])));
        assert!(file.unfollowed.is_empty(), "{:?}", file.unfollowed);
    }

    #[test]
    fn what_is_not_followed_is_told() {
        for (text, expected) in [
            ("include: {template: x.yml}", "include: template x.yml"),
            ("include: [{project: p, file: f}]", "include: project p"),
            ("include: https://h.example/x.yml", "include: https://h.example/x.yml"),
            ("include: no.yml", "include: no.yml"),
            ("include: ci/*.yml", "include: ci/*.yml"),
            ("a: {script: [!reference [.no, script]]}", "!reference [.no, script]"),
            ("a: {script: [!reference [a, script]]}", "!reference [a, script]"),
            ("a:\n  script:\n    - !reference\n      - .a\n", "!reference"),
        ] {
            assert_eq!(read(text).unfollowed, [expected], "{text}");
        }
        assert!(read("a: {script: [x]} # !reference").unfollowed.is_empty());
        let mut file = read("a: {extends: [.no, a]}");
        let job = file.get("a").unwrap().clone();
        file.extended(&job);
        assert!(file.unfollowed.contains(&"extends: .no".to_owned()));
    }
}
