//! Readers of each format, written from its description, sharing nothing with what writes it.

use std::collections::BTreeMap;

/// Variables in the order in which they stand does not matter: a later one wins.
pub(crate) type Variables = BTreeMap<String, String>;

/// A POSIX shell, as far as words in single quotes and `\'` between them go. Anything else is no word of ours.
pub(crate) fn shell(text: &str) -> Variables {
    let mut variables = Variables::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(comment) = rest.strip_prefix('#') {
            rest = comment.split_once('\n').unwrap().1;
            continue;
        }
        let (name, mut value) = rest.strip_prefix("export ").expect("an export").split_once('=').unwrap();
        let mut word = String::new();
        rest = loop {
            if let Some(quoted) = value.strip_prefix('\'') {
                let (inside, after) = quoted.split_once('\'').expect("a quote that ends");
                word.push_str(inside);
                value = after;
            } else if let Some(after) = value.strip_prefix("\\'") {
                word.push('\'');
                value = after;
            } else {
                break value.strip_prefix('\n').unwrap_or_else(|| panic!("a word that goes on: {value:?}"));
            }
        };
        variables.insert(name.to_owned(), word);
    }
    variables
}

/// `docker run --env-file`: lines as Go's scanner gives them, leading white space gone, nothing else touched.
pub(crate) fn docker(text: &str) -> Variables {
    let lines = text.split_terminator('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let mut variables = Variables::new();
    for line in lines {
        assert!(line.len() < 64 * 1_024, "token too long");
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // A name alone takes its value from docker's own environment.
        let (name, value) = line.split_once('=').expect("a value");
        assert!(!name.contains(char::is_whitespace), "variable '{name}' contains whitespaces");
        variables.insert(name.to_owned(), value.to_owned());
    }
    variables
}

/// GitHub's runner reading `$GITHUB_ENV`.
pub(crate) fn github(text: &str) -> Variables {
    let mut variables = Variables::new();
    let mut lines = text.strip_suffix('\n').map(|text| text.split('\n')).into_iter().flatten();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let (equals, block) = (line.find('='), line.find("<<"));
        match (equals, block) {
            (Some(equals), block) if block.is_none_or(|block| equals < block) => {
                variables.insert(line[..equals].to_owned(), line[equals + 1..].to_owned());
            }
            (_, Some(block)) => {
                let delimiter = &line[block + 2..];
                let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
                variables.insert(line[..block].to_owned(), inside.join("\n"));
            }
            _ => panic!("Invalid format '{line}'"),
        }
    }
    variables
}

/// Where a line of a dotenv file's value begins: behind `NAME=`. None: a comment or nothing.
fn assignment(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then_some((name, value))
}

/// python-dotenv: quotes with escapes inside, then `${…}` is replaced.
pub(crate) fn python_dotenv(text: &str) -> Variables {
    let mut variables = Variables::new();
    let mut rest = text;
    while let Some((line, after)) = rest.split_once('\n') {
        if line.is_empty() || line.starts_with('#') {
            rest = after;
            continue;
        }
        let (name, value) = assignment(rest).expect("an assignment");
        let (value, after) = if let Some(quote @ ('\'' | '"')) = value.chars().next() {
            python_quoted(&value[1..], quote)
        } else {
            let (line, after) = value.split_once('\n').unwrap();
            let comment = line.find('#').filter(|at| line[..*at].ends_with(char::is_whitespace));
            (comment.map_or(line, |at| &line[..at]).trim_end().to_owned(), after)
        };
        assert!(!value.contains("${"), "it would be replaced: {value}");
        variables.insert(name.to_owned(), value);
        rest = after;
    }
    variables
}

/// The value, and what stands behind its line.
fn python_quoted(text: &str, quote: char) -> (String, &str) {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    while let Some((at, character)) = characters.next() {
        if character == quote {
            let after = text[at + 1..].strip_prefix('\n').expect("nothing behind the quote");
            return (value, after);
        }
        if character != '\\' {
            value.push(character);
            continue;
        }
        match (characters.next().expect("a character").1, quote) {
            (escaped @ ('\\' | '\''), _) | (escaped @ '"', '"') => value.push(escaped),
            ('n', '"') => value.push('\n'),
            ('a' | 'b' | 'f' | 'r' | 't' | 'v', '"') => panic!("an escape that is not ours"),
            (other, _) => value.extend(['\\', other]),
        }
    }
    panic!("a quote that does not end");
}

/// node's dotenv: line ends made one, quotes without escapes but for `\n` in double ones, a `#` ends what is not quoted.
pub(crate) fn node_dotenv(text: &str) -> Variables {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut variables = Variables::new();
    let mut rest = text.as_str();
    while let Some((line, after)) = rest.split_once('\n') {
        let Some((name, value)) = assignment(rest).filter(|_| !line.starts_with('#')) else {
            rest = after;
            continue;
        };
        let quote = value.chars().next().filter(|first| "'\"`".contains(*first));
        let end = quote.and_then(|quote| node_end(value, quote)).unwrap_or_else(|| value.find(['#', '\n']).unwrap());
        let raw = value[..end].trim();
        let inside = quote.and_then(|quote| raw.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(raw);
        let is_double = raw.starts_with('"');
        let value_read = if is_double { inside.replace("\\n", "\n").replace("\\r", "\r") } else { inside.to_owned() };
        variables.insert(name.to_owned(), value_read);
        rest = value[end..].split_once('\n').unwrap().1;
    }
    variables
}

/// The end of a value in quotes: the last quote up to the first that has no backslash before it, behind which the line is done.
fn node_end(value: &str, quote: char) -> Option<usize> {
    let mut ends = Vec::new();
    let mut before = ' ';
    for (at, character) in value.char_indices().skip(1) {
        if character == quote {
            ends.push(at + 1);
            if before != '\\' {
                break;
            }
        }
        before = character;
    }
    let is_done = |end: &usize| {
        let line = value[*end..].trim_start_matches([' ', '\t']);
        line.starts_with(['\n', '#'])
    };
    ends.into_iter().rev().find(is_done)
}
