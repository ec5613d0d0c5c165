//! Names and types of instances: what would be a path, an escape, a command, or something else than text.

use super::BadInput;

/// Why, the value as it stands in the file, a part of the problem.
type Row = (&'static str, &'static str, &'static str);

/// What YAML readers disagree about, or take for something else than text.
const NO_TEXT: &[Row] = &[
    ("nothing", "", "null"),
    ("null", "null", "null"),
    ("a tilde", "~", "null"),
    ("Null", "Null", "null"),
    ("true", "true", "a boolean"),
    ("FALSE", "FALSE", "a boolean"),
    ("Norway", "no", "a boolean"),
    ("yes", "Yes", "a boolean"),
    ("on", "on", "a boolean"),
    ("off", "OFF", "a boolean"),
    ("y", "y", "a boolean"),
    ("a number", "7", "a number"),
    ("a telephone number", "79001234567", "a number"),
    ("a leading zero", "012", "a number"),
    ("octal", "0o17", "a number"),
    ("hexadecimal", "0x1F", "a number"),
    ("binary", "0b101", "a number"),
    ("with underscores", "1_000", "a number"),
    ("a float", "1.10", "a number"),
    ("an exponent", "1e3", "a number"),
    ("infinity", ".inf", "a number"),
    ("not a number", ".NaN", "a number"),
    ("a negative number", "-1", "a number"),
    ("a date", "2026-11-22", "a date"),
    ("a time", "2026-11-22T10:00:00Z", "a date"),
    ("to base 60", "12:30", "base 60"),
];

/// Names that would be paths or devices.
const PATHS: &[Row] = &[
    ("empty", "\"\"", "cannot be empty"),
    ("this directory", "\".\"", "starts with a letter"),
    ("the directory above", "..", "starts with a letter"),
    ("a way up", "../x", "starts with a letter"),
    ("an absolute path", "/abs", "starts with a letter"),
    ("a path", "a/b", "not `/`"),
    ("a Windows path", "a\\b", "not `\\\\`"),
    ("a drive", "C:x", "not `:`"),
    ("a device", "CON", "reserved"),
    ("a device in lower case", "nul", "reserved"),
    ("a device with an extension", "NUL.txt", "reserved"),
    ("a numbered device", "com1", "reserved"),
    ("a trailing dot", "a.", "end with `.`"),
    ("a trailing space", "'a '", "not ` `"),
    ("a leading space", "' a'", "starts with a letter"),
    ("a space within", "a b", "not ` `"),
    ("64 characters", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "at most 63"),
    ("an option", "-rf", "starts with a letter"),
    ("a long option", "\"--state\"", "starts with a letter"),
    ("a hidden file", ".a", "starts with a letter"),
    ("a home directory", "\"~/x\"", "starts with a letter"),
    ("a glob", "a*", "not `*`"),
    ("a question mark", "a?", "not `?`"),
    ("a variable", "$HOME", "starts with a letter"),
    ("an address", "https://h/x", "not `:`"),
    ("an encoded slash", "a%2fb", "not `%`"),
];

/// Names that would be escapes, commands, formulas, or look like another name.
const TEXTS: &[Row] = &[
    ("a newline", "\"a\\nb\"", "not `\\n`"),
    ("a newline at the end", "\"a\\n\"", "not `\\n`"),
    ("a carriage return", "\"a\\rb\"", "not `\\r`"),
    ("a tab", "\"a\\tb\"", "not `\\t`"),
    ("NUL", "\"a\\0b\"", "not `\\u{0}`"),
    ("an escape", "\"a\\e[31m\"", "not `\\u{1b}`"),
    ("a bell", "\"a\\ab\"", "not `\\u{7}`"),
    ("C1", "\"a\\x9bb\"", "not `\\u{9b}`"),
    ("right-to-left override", "\"a\\u202eb\"", "not `\\u{202e}`"),
    ("a zero width space", "a\u{200b}b", "not `\\u{200b}`"),
    ("a zero width joiner", "a\u{200d}b", "not `\\u{200d}`"),
    ("a soft hyphen", "a\u{ad}b", "not `\\u{ad}`"),
    ("a line separator", "\"a\\Lb\"", "not `\\u{2028}`"),
    ("a no-break space", "a\u{a0}b", "not `\\u{a0}`"),
    ("a composed letter", "caf\u{e9}", "not `\\u{e9}`"),
    ("a decomposed letter", "cafe\u{301}", "not `\\u{301}`"),
    ("a homoglyph", "supp\u{43e}rt", "not `\\u{43e}`"),
    ("a full-width letter", "\u{ff41}", "not with `\\u{ff41}`"),
    ("an emoji", "\u{1f600}", "not with `\\u{1f600}`"),
    ("a formula", "=cmd", "starts with a letter"),
    ("a formula by a plus", "+cmd", "starts with a letter"),
    ("a formula by an at", "'@cmd'", "starts with a letter"),
    ("a GitHub command", "::add-mask::x", "starts with a letter"),
    ("an Azure command", "'##vso[task.complete]'", "starts with a letter"),
    ("a TeamCity command", "'##teamcity[x]'", "starts with a letter"),
    ("a quote", "a\"b", "not `\\\"`"),
    ("a command substitution", "a$(id)", "not `$`"),
    ("a semicolon", "a;id", "not `;`"),
    ("HTML", "<b>", "starts with a letter"),
    ("a Markdown table", "a|b", "not `|`"),
];

/// Types of instances.
const TYPES: &[Row] = &[
    ("nothing", "", "null"),
    ("empty", "\"\"", "unknown type"),
    ("a letter missing", "watsapp", "unknown type `watsapp`"),
    ("upper case", "WHATSAPP", "unknown type `WHATSAPP`"),
    ("a hyphen", "whatsapp-dev", "unknown type `whatsapp-dev`"),
    ("another product", "telegram", "unknown type `telegram`"),
    ("a trailing space", "'whatsapp '", "unknown type `whatsapp `"),
    ("a newline", "\"whatsapp\\n\"", "unknown type `whatsapp\\n`"),
    ("a boolean", "yes", "a boolean"),
    ("a number", "1", "a number"),
    ("null", "null", "null"),
    ("a date", "2026-11-22", "a date"),
    ("a zero width space", "whats\u{200b}app", "unknown type `whats\\u{200b}app`"),
    ("a homoglyph", "wh\u{430}tsapp", "unknown type"),
    ("a mixed spelling", "Whatsapp_Dev", "unknown type `Whatsapp_Dev`"),
    ("two types", "whatsapp,whatsapp_dev", "unknown type"),
];

/// All rows of this file, one instance each.
pub(super) fn all() -> Vec<BadInput> {
    let name = |value: &str| format!("instances:\n  - name: {value}\n    type: whatsapp\n");
    let kind = |value: &str| format!("instances:\n  - name: a\n    type: {value}\n");
    let rows = |category, rows: &[Row], place, file: &dyn Fn(&str) -> String| -> Vec<BadInput> {
        let bad = |(why, value, problem): &Row| BadInput {
            category,
            why,
            bytes: file(value).into_bytes(),
            // Where nothing stands, the key is the place.
            place: if !value.is_empty() {
                place
            } else if place == "2:11" {
                "2:5"
            } else {
                "3:5"
            },
            problem,
            count: 1,
        };
        rows.iter().map(bad).collect()
    };
    let mut all = rows("types", NO_TEXT, "2:11", &name);
    all.extend(rows("names: path", PATHS, "2:11", &name));
    all.extend(rows("names: text", TEXTS, "2:11", &name));
    all.extend(rows("instance types", TYPES, "3:11", &kind));
    let long = |category, why, value: String, place, problem: &'static str| BadInput {
        category,
        why,
        bytes: value.into_bytes(),
        place,
        problem,
        count: 1,
    };
    all.push(long("names: path", "256 bytes", name(&"x".repeat(256)), "2:11", "at most 63"));
    all.push(long("names: text", "a megabyte", name(&"x".repeat(1 << 20)), "2:11", "at most 63"));
    all.push(long("instance types", "a megabyte", kind(&"x".repeat(1 << 20)), "3:11", "unknown type `xxxx"));
    all
}
