//! What GitHub computes between `${{` and `}}`, as far as the runs of a job differ in it. What is not understood is unknown, and
//! never taken for a value.

use serde_json::Value as Json;

/// One run that may be: two of one kind differ by their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// What set it off; none: the workflow that calls this one knows.
    pub(super) event: Option<String>,
    /// `refs/heads/…`.
    pub(super) reference: Option<String>,
    pub(super) number: u8,
    pub(super) workflow: String,
    pub(super) job: String,
}

/// What an expression comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Text(String),
    /// The same in every run; nobody knows here what.
    Steady(String),
    Unknown,
}

impl Value {
    /// Whether a condition holds; none: nobody knows.
    pub(super) fn truth(&self) -> Option<bool> {
        match self {
            Self::Null => Some(false),
            Self::Bool(value) => Some(*value),
            Self::Text(text) => Some(!text.is_empty()),
            Self::Steady(_) | Self::Unknown => None,
        }
    }
}

/// Whether a job or step with this condition is run.
pub(super) fn holds(condition: &Json, run: &Run) -> Option<bool> {
    match condition {
        Json::Bool(value) => Some(*value),
        Json::String(text) => {
            let text = text.trim();
            let inside = text.strip_prefix("${{").and_then(|text| text.strip_suffix("}}")).unwrap_or(text);
            evaluate(inside, run).truth()
        }
        _ => None,
    }
}

/// `text` with each `${{ … }}` replaced; a text that is one expression is its value.
pub(super) fn interpolated(text: &str, run: &Run) -> Value {
    let (mut out, mut rest, mut is_steady) = (String::new(), text, false);
    while let Some((before, behind)) = rest.split_once("${{") {
        let Some((inside, after)) = behind.split_once("}}") else { return Value::Unknown };
        out.push_str(before);
        match evaluate(inside, run) {
            Value::Unknown => return Value::Unknown,
            Value::Null => {}
            value @ Value::Bool(_) if text.trim().starts_with("${{") && after.trim().is_empty() => return value,
            Value::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            Value::Text(value) => out.push_str(&value),
            Value::Steady(value) => {
                is_steady = true;
                out.push_str(&value);
            }
        }
        rest = after;
    }
    out.push_str(rest);
    if is_steady { Value::Steady(out) } else { Value::Text(out) }
}

fn evaluate(text: &str, run: &Run) -> Value {
    let Some(words) = words(text) else { return Value::Unknown };
    let mut parser = Parser { words, at: 0, run, depth: 0 };
    let value = parser.any();
    if parser.at == parser.words.len() { value } else { Value::Unknown }
}

/// None: it has something that is not known here.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '*');
        let length = match first {
            '\'' => 2 + rest.get(1..)?.find('\'')?,
            '&' | '|' | '=' => 2,
            '!' if rest.starts_with("!=") => 2,
            '!' | '(' | ')' | ',' => 1,
            _ => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
        };
        let word = rest.get(..length).filter(|word| !word.is_empty())?;
        words.push(word.to_owned());
        rest = rest.get(length..)?.trim_start();
    }
    Some(words)
}

/// Deepest nesting of brackets and negations that is read.
const DEPTH_MAX: usize = 30;

struct Parser<'r> {
    words: Vec<String>,
    at: usize,
    run: &'r Run,
    depth: usize,
}

impl Parser<'_> {
    fn takes(&mut self, word: &str) -> bool {
        let is_next = self.words.get(self.at).is_some_and(|next| next == word);
        self.at += usize::from(is_next);
        is_next
    }

    fn any(&mut self) -> Value {
        let mut value = self.all();
        while self.takes("||") {
            let other = self.all();
            value = match (value.truth(), value, other) {
                (Some(true), value, _) => value,
                (Some(false), _, other) | (None, _, other @ Value::Bool(true)) => other,
                (None, value, other) => both(value, "||", other),
            };
        }
        value
    }

    fn all(&mut self) -> Value {
        let mut value = self.compared();
        while self.takes("&&") {
            let other = self.compared();
            value = match (value.truth(), value, other) {
                (Some(false), value, _) => value,
                (Some(true), _, other) => other,
                (None, _, other) if other.truth() == Some(false) => other,
                (None, value, other) => both(value, "&&", other),
            };
        }
        value
    }

    fn compared(&mut self) -> Value {
        let value = self.one();
        let is_wanted = if self.takes("==") {
            true
        } else if self.takes("!=") {
            false
        } else {
            return value;
        };
        let other = self.one();
        match (&value, &other) {
            (Value::Text(one), Value::Text(other)) => Value::Bool(one.eq_ignore_ascii_case(other) == is_wanted),
            (Value::Null, Value::Text(text)) | (Value::Text(text), Value::Null) => Value::Bool(text.is_empty() == is_wanted),
            (Value::Bool(one), Value::Bool(other)) => Value::Bool((one == other) == is_wanted),
            (Value::Null, Value::Null) => Value::Bool(is_wanted),
            _ => both(value, if is_wanted { "==" } else { "!=" }, other),
        }
    }

    fn one(&mut self) -> Value {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Value::Unknown;
        }
        let value = self.bare();
        self.depth -= 1;
        value
    }

    fn bare(&mut self) -> Value {
        if self.takes("!") {
            let value = self.one();
            return value.truth().map_or_else(|| both(Value::Text(String::new()), "!", value), |truth| Value::Bool(!truth));
        }
        if self.takes("(") {
            let value = self.any();
            return if self.takes(")") { value } else { Value::Unknown };
        }
        let Some(word) = self.words.get(self.at).cloned() else { return Value::Unknown };
        self.at += 1;
        if let Some(text) = word.strip_prefix('\'') {
            return Value::Text(text.trim_end_matches('\'').to_owned());
        }
        if self.takes("(") { self.call(&word) } else { name(&word, self.run) }
    }

    fn call(&mut self, function: &str) -> Value {
        let mut given = Vec::new();
        while !self.takes(")") {
            if self.at >= self.words.len() {
                return Value::Unknown;
            }
            given.push(self.any());
            self.takes(",");
            if given.len() > DEPTH_MAX {
                return Value::Unknown;
            }
        }
        let lower = |text: &String| text.to_ascii_lowercase();
        match (function.to_ascii_lowercase().as_str(), given.as_slice()) {
            ("always", []) => Value::Bool(true),
            ("startswith", [Value::Text(text), Value::Text(part)]) => Value::Bool(lower(text).starts_with(&lower(part))),
            ("endswith", [Value::Text(text), Value::Text(part)]) => Value::Bool(lower(text).ends_with(&lower(part))),
            ("contains", [Value::Text(text), Value::Text(part)]) => Value::Bool(lower(text).contains(&lower(part))),
            _ => Value::Unknown,
        }
    }
}

/// What two come to if one is not known: as steady as they are.
fn both(one: Value, operator: &str, other: Value) -> Value {
    let text = |value: Value| match value {
        Value::Null => Some(String::new()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Text(text) | Value::Steady(text) => Some(text),
        Value::Unknown => None,
    };
    match (text(one), text(other)) {
        (Some(one), Some(other)) => Value::Steady(format!("({one} {operator} {other})")),
        _ => Value::Unknown,
    }
}

fn name(path: &str, run: &Run) -> Value {
    let known = |text: &Option<String>| text.clone().map_or(Value::Unknown, Value::Text);
    let of_run = || Value::Text(format!("<{path} {}>", run.number));
    let is_request = run.event.as_deref().map(|event| event.starts_with("pull_request"));
    match path.to_ascii_lowercase().as_str() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        "github.event_name" => known(&run.event),
        "github.ref" => known(&run.reference),
        "github.ref_name" => known(&run.reference.as_deref().map(short)),
        "github.workflow" => Value::Text(run.workflow.clone()),
        "github.job" => Value::Text(run.job.clone()),
        "github.run_id"
        | "github.run_number"
        | "github.run_attempt"
        | "github.sha"
        | "github.actor"
        | "github.triggering_actor"
        | "github.event.after"
        | "github.event.before"
        | "github.event.head_commit.id" => of_run(),
        "github.head_ref" | "github.base_ref" => match is_request {
            Some(true) => of_run(),
            Some(false) => Value::Text(String::new()),
            None => Value::Unknown,
        },
        path if path.starts_with("github.event.pull_request.") || path == "github.event.number" => match is_request {
            Some(true) => of_run(),
            Some(false) => Value::Null,
            None => Value::Unknown,
        },
        path if path.starts_with("github.repository")
            || path.starts_with("github.event.repository.")
            || path.starts_with("vars.")
            || matches!(path, "github.server_url" | "github.api_url") =>
        {
            Value::Steady(format!("<{path}>"))
        }
        path if path.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => Value::Text(path.to_owned()),
        _ => Value::Unknown,
    }
}

/// `main` of `refs/heads/main`.
fn short(reference: &str) -> String {
    let rest = ["refs/heads/", "refs/tags/", "refs/pull/"].into_iter().find_map(|start| reference.strip_prefix(start));
    rest.unwrap_or(reference).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(event: &str, reference: &str) -> Run {
        Run {
            event: Some(event.to_owned()),
            reference: Some(reference.to_owned()),
            number: 1,
            workflow: "w".to_owned(),
            job: "j".to_owned(),
        }
    }

    #[test]
    fn what_is_known_is_computed_and_the_rest_is_unknown() {
        let push = run("push", "refs/heads/main");
        for (text, expected) in [
            ("github.event_name == 'pull_request'", Some(false)),
            ("github.ref == 'refs/heads/MAIN' && github.ref_name == 'main'", Some(true)),
            ("!(github.event_name == 'push')", Some(false)),
            ("needs.plan.outputs.changed == 'true' && github.event_name == 'push'", None),
            ("needs.plan.outputs.changed == 'true' && github.event_name == 'schedule'", Some(false)),
            ("always() && startsWith(github.ref, 'refs/tags/')", Some(false)),
            ("contains(github.ref, 'main') || inputs.x", Some(true)),
            ("vars.X == 'y'", None),
            ("github.event.pull_request.number", Some(false)),
            ("github['ref']", None),
            ("github.ref ==", None),
            ("'", None),
            ("", None),
            (&"!".repeat(100_000), None),
            (&"(".repeat(100_000), None),
        ] {
            assert_eq!(evaluate(text, &push).truth(), expected, "{}", &text[..text.len().min(80)]);
        }
    }

    #[test]
    fn texts_are_steady_unknown_or_of_one_run() {
        let push = run("push", "refs/heads/main");
        let group = "chatapi-${{ github.event_name == 'pull_request' && github.ref || 'apply' }}";
        assert_eq!(interpolated(group, &push), Value::Text("chatapi-apply".to_owned()));
        assert_eq!(interpolated("x-${{ vars.A }}", &push), Value::Steady("x-<vars.a>".to_owned()));
        assert_eq!(interpolated("x-${{ inputs.a }}", &push), Value::Unknown);
        assert_eq!(interpolated("x-${{ a", &push), Value::Unknown);
        assert_eq!(interpolated("${{ false }}", &push), Value::Bool(false));
        let later = Run { number: 2, ..push.clone() };
        assert_ne!(interpolated("${{ github.run_id }}", &push), interpolated("${{ github.run_id }}", &later));
    }
}
