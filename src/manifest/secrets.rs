//! Keys whose values never stand in a manifest: where the server is, and what opens it.
//!
//! A pull request must not be able to send the key elsewhere, and a secret that somebody pasted must not be shown again in an
//! error: `hidden_stretches` finds what to leave out of the lines that are shown.

use std::ops::Range;

/// Endings of keys that name the server. Keys are compared in lower case, letters and digits only.
const ENDPOINTS: [&str; 8] = ["url", "uri", "host", "hostname", "endpoint", "server", "origin", "proxy"];
/// Endings of keys that name a secret.
const SECRETS: [&str; 11] =
    ["key", "token", "uid", "secret", "password", "passwd", "auth", "authorization", "bearer", "credential", "credentials"];

/// What a forbidden key is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forbidden {
    /// Where requests go.
    Endpoint,
    /// What authorises them.
    Secret,
}

impl Forbidden {
    /// Whether `key` is one.
    pub(super) fn of(key: &str) -> Option<Self> {
        // The keys of every instance, of which there may be very many.
        if matches!(key, "name" | "type") {
            return None;
        }
        let plain: String = key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        let ends = |words: &[&str]| words.iter().any(|word| plain.ends_with(word));
        if ends(&SECRETS) {
            Some(Self::Secret)
        } else if ends(&ENDPOINTS) {
            Some(Self::Endpoint)
        } else {
            None
        }
    }

    /// What is wrong with it, behind the key.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Endpoint => "cannot stand in a manifest: where requests go is set outside of it",
            Self::Secret => "cannot stand in a manifest: a secret is never read from it",
        }
    }

    /// What to do.
    pub(super) fn help(self) -> &'static str {
        match self {
            Self::Endpoint => "remove it and set the environment variable CHATAPI_URL",
            Self::Secret => {
                "remove it and set the environment variable CHATAPI_API_KEY; if the value was ever shared, replace it at the server"
            }
        }
    }
}

/// How far to look for the ends of a line, and for lines that it may belong to, in bytes.
const HORIZON: usize = 8192;

/// `ranges`, sorted and without overlaps.
pub(super) fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    ranges.dedup_by(|next, kept| {
        let overlaps = next.start <= kept.end;
        if overlaps {
            kept.end = kept.end.max(next.end);
        }
        overlaps
    });
    ranges
}

/// What must be left out of the line around `byte`.
///
/// `values` are the [`merged`] stretches of forbidden values, when the document was read to its end. Without them the line is
/// judged by its look: a file that is no YAML may hold a secret too.
pub(super) fn hidden_stretches(text: &str, byte: usize, values: Option<&[Range<usize>]>) -> Vec<Range<usize>> {
    let byte = text.floor_char_boundary(byte.min(text.len()));
    let near = text.ceil_char_boundary(byte.saturating_sub(HORIZON))..text.floor_char_boundary(byte.saturating_add(HORIZON));
    let is_break = |c| matches!(c, '\n' | '\r');
    let before = text.get(near.start..byte).unwrap_or_default();
    let after = text.get(byte..near.end).unwrap_or_default();
    let start = before.rfind(is_break).map_or(near.start, |found| near.start + found + 1);
    let end = after.find(is_break).map_or(near.end, |found| byte + found);
    let line = text.get(start..end).unwrap_or_default();
    let value = if values.is_some() { first_forbidden(line) } else { first_forbidden_word(line) };
    let mut hidden: Vec<_> = value.map(|offset| start + offset..end).into_iter().collect();
    hidden.extend(secret_keys(line).map(|key| start + key.start..start + key.end));
    if let Some(values) = values {
        let from = values.partition_point(|value| value.end <= start);
        hidden.extend(values.iter().skip(from).take_while(|value| value.start < end).cloned());
    } else if start == near.start && start > 0 || continues_forbidden(text.get(near.start..start).unwrap_or_default(), line) {
        hidden.push(start..end);
    }
    merged(hidden)
}

/// Where in `line` texts stand that look like a secret key of ours, under whatever key.
fn secret_keys(line: &str) -> impl Iterator<Item = Range<usize>> {
    line.match_indices(crate::seal::SECRET).map(|(at, _)| {
        let length = line.get(at..).and_then(|key| key.find(|c| !is_word(c))).unwrap_or(line.len() - at);
        at..at + length
    })
}

/// Where in `line` the value of the first forbidden key begins.
fn first_forbidden(line: &str) -> Option<usize> {
    line.match_indices([':', '=']).find_map(|(at, _)| {
        let before = line.get(..at)?.trim_end_matches([' ', '\t', '"', '\'']);
        let word = before.rsplit(|c| !is_word(c)).next()?;
        Forbidden::of(word).map(|_| at + 1)
    })
}

/// Where in `line` the first word that is a forbidden key ends, with a colon behind it or not.
pub(super) fn first_forbidden_word(line: &str) -> Option<usize> {
    let mut from = 0;
    line.split_inclusive(|c| !is_word(c)).find_map(|piece| {
        let word = piece.trim_end_matches(|c| !is_word(c));
        let end = from + word.len();
        from += piece.len();
        Forbidden::of(word).map(|_| end)
    })
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.')
}

/// Whether `line` may belong to the value of a forbidden key in `above`: it is indented below one, or stands behind a value
/// that was left empty or open.
fn continues_forbidden(above: &str, line: &str) -> bool {
    let mut indent = indent_of(line);
    for (distance, upper) in above.split(['\n', '\r']).rev().filter(|upper| !upper.trim().is_empty()).enumerate() {
        let upper_indent = indent_of(upper);
        let value = first_forbidden(upper).map(|at| upper.get(at..).unwrap_or_default().trim());
        match value {
            Some(value) if upper_indent < indent || is_open(value) || value.is_empty() && distance == 0 => return true,
            _ => indent = indent.min(upper_indent),
        }
    }
    false
}

/// Whether `value` goes on behind its line: a block of text, or a quote that is not closed.
fn is_open(value: &str) -> bool {
    let closes =
        |quote: char| value.strip_prefix(quote).is_some_and(|rest| rest.trim_end_matches([',', '}', ']', ' ']).ends_with(quote));
    value.starts_with(['|', '>', '[', '{']) || value.starts_with(['"', '\'']) && !closes('"') && !closes('\'')
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t']).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t1_keys_of_endpoints_and_secrets_are_known_in_every_spelling() {
        for key in ["key", "apiKey", "api_key", "API-KEY", "token", "access_token", "uid", "Authorization", "CHATAPI_API_KEY"] {
            assert_eq!(Forbidden::of(key), Some(Forbidden::Secret), "{key}");
        }
        for key in ["url", "apiUrl", "base_url", "endpoint", "host", "CHATAPI_URL", "api.endpoint", "https_proxy"] {
            assert_eq!(Forbidden::of(key), Some(Forbidden::Endpoint), "{key}");
        }
        for key in ["version", "provider", "instances", "name", "type", "kind", "exclusive", "tpye", "<<", ""] {
            assert_eq!(Forbidden::of(key), None, "{key}");
        }
    }

    #[test]
    fn p11_a_secret_is_hidden_even_where_the_file_is_no_yaml() {
        for (text, at, shown, why) in [
            ("token: abc\n", 0, "token", "behind the key"),
            ("api_key abc\n", 0, "api_key", "behind a key without a colon"),
            ("x: {tpye: a, token: abc}", 4, "x: {tpye: a, token", "in one line with another problem"),
            ("\"api_key\" : 'abc", 0, "\"api_key", "in quotes, and not closed"),
            ("name: https://h/?uid=abc", 0, "name: https://h/?uid", "in an address"),
            ("key: |\n  abc\n  def\n", 12, "", "below a forbidden key"),
            ("key:\n  a:\n\n    b: c", 15, "", "far below a forbidden key"),
            ("  key:\nabc", 8, "", "behind a forbidden key, whatever the indentation"),
            ("  key: 'a\nb\nabc", 12, "", "in a quote that is not closed"),
            ("key: a\nname: b", 9, "name: b", "beside a forbidden key"),
            ("name: a:b", 3, "name: a:b", "nothing to hide"),
        ] {
            let hidden = hidden_stretches(text, at, None);
            let start = text[..at].rfind('\n').map_or(0, |found| found + 1);
            let end = text[at..].find('\n').map_or(text.len(), |found| at + found);
            let visible: String = (start..end).filter(|b| !hidden.iter().any(|h| h.contains(b))).map(|b| &text[b..=b]).collect();
            assert_eq!(visible, shown, "{why}");
        }
        let long = format!("token: {}", "x".repeat(100_000));
        assert_eq!(hidden_stretches(&long, 50_000, None).len(), 1, "a line that begins out of sight is not shown");
    }

    #[test]
    fn p11_hidden_values_that_overlap_are_one() {
        assert_eq!(merged(vec![50..60, 0..100, 100..110, 120..121]), [0..110, 120..121]);
        let values = merged(vec![8..9, 2..4, 20..30]);
        assert_eq!(hidden_stretches("a: b\nc: d e f\ng", 6, Some(&values)), std::slice::from_ref(&(8..9)));
    }
}
