//! What GitHub computes between `${{` and `}}`, as far as the recipe uses it. Anything else fails the test.

/// A value; what is not set is an empty text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Bool(bool),
}

/// Where names and functions come from.
pub(super) trait Scope {
    /// `github.event_name`, `steps.plan.outputs.changed`.
    fn name(&self, path: &str) -> String;
    /// `always()`.
    fn status(&self, function: &str) -> bool;
}

impl Value {
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Bool(value) => *value,
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Bool(value) => value.to_string(),
        }
    }
}

/// Whether a step or job with this condition runs: one that asks for no status wants success.
pub(super) fn holds(condition: Option<&str>, scope: &dyn Scope) -> bool {
    let condition = condition.unwrap_or("success()");
    let asks = ["always()", "success()", "failure()", "cancelled()"].iter().any(|function| condition.contains(function));
    (asks || scope.status("success")) && evaluate(condition, scope).is_true()
}

/// `text` with each `${{ … }}` replaced.
pub(super) fn interpolate(text: &str, scope: &dyn Scope) -> String {
    let mut pieces = text.split("${{");
    let mut out = pieces.next().unwrap().to_owned();
    for piece in pieces {
        let (inside, after) = piece.split_once("}}").expect("an expression ends");
        out += &evaluate(inside, scope).text();
        out += after;
    }
    out
}

pub(super) fn evaluate(text: &str, scope: &dyn Scope) -> Value {
    let mut parser = Parser { words: words(text), at: 0, scope };
    let value = parser.any();
    assert_eq!(parser.at, parser.words.len(), "an expression that the runner of the tests does not know: {text}");
    value
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let length = match first {
            '\'' => 2 + rest[1..].find('\'').expect("a text ends"),
            '&' | '|' | '=' => 2,
            '!' if rest.starts_with("!=") => 2,
            '!' | '(' | ')' => 1,
            _ => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
        };
        assert!(length > 0, "`{rest}` in {text}");
        words.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    words
}

struct Parser<'s> {
    words: Vec<String>,
    at: usize,
    scope: &'s dyn Scope,
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
            value = if value.is_true() { value } else { other };
        }
        value
    }

    fn all(&mut self) -> Value {
        let mut value = self.compared();
        while self.takes("&&") {
            let other = self.compared();
            value = if value.is_true() { other } else { value };
        }
        value
    }

    fn compared(&mut self) -> Value {
        let value = self.one();
        if self.takes("==") {
            return Value::Bool(value == self.one());
        }
        if self.takes("!=") {
            return Value::Bool(value != self.one());
        }
        value
    }

    fn one(&mut self) -> Value {
        if self.takes("!") {
            return Value::Bool(!self.one().is_true());
        }
        if self.takes("(") {
            let value = self.any();
            assert!(self.takes(")"), "a bracket is closed");
            return value;
        }
        let word = self.words.get(self.at).expect("a value").clone();
        self.at += 1;
        if let Some(text) = word.strip_prefix('\'') {
            return Value::Text(text.trim_end_matches('\'').to_owned());
        }
        if self.takes("(") {
            assert!(self.takes(")"), "`{word}` takes nothing");
            return Value::Bool(self.scope.status(&word));
        }
        Value::Text(self.scope.name(&word))
    }
}

struct Nothing;

impl Scope for Nothing {
    fn name(&self, path: &str) -> String {
        assert_eq!(path, "vars.X", "unknown");
        String::new()
    }

    fn status(&self, function: &str) -> bool {
        function == "success"
    }
}

#[test]
fn expressions_are_computed_as_the_forge_does() {
    for (text, expected) in [
        ("vars.X || '10'", "10"),
        ("'a' == 'a' && 'b' || 'c'", "b"),
        ("'a' == 'b' && 'b' || 'c'", "c"),
        ("!failure() && success()", "true"),
        ("'a' != 'a'", "false"),
        ("!(vars.X || 'a')", "false"),
    ] {
        assert_eq!(evaluate(text, &Nothing).text(), expected, "{text}");
    }
    assert_eq!(interpolate("a-${{ vars.X || 'b' }}-c", &Nothing), "a-b-c");
    assert!(holds(None, &Nothing) && !holds(Some("failure()"), &Nothing) && !holds(Some("vars.X"), &Nothing));
    for text in ["format('a')", "vars.X[0]", "github.x", "1 < 2", "'a' 'b'"] {
        let computed = std::panic::catch_unwind(|| evaluate(text, &Nothing));
        assert!(computed.is_err(), "{text} is not known, and was computed");
    }
}
