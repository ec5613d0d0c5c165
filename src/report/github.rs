//! What later steps of a job decide by, as pairs; and the form in which GitHub reads them from the file behind `GITHUB_OUTPUT`.

use super::account::Account;

/// The name and value of each number. What the run did not find out is not among them; no secret is.
pub fn pairs(account: &Account) -> Vec<(&'static str, String)> {
    let mut pairs = Vec::new();
    if let Some(counts) = account.counts {
        pairs.push(("changed", counts.is_changed.to_string()));
        pairs.push(("create_count", counts.create.to_string()));
        pairs.push(("delete_count", counts.delete.to_string()));
        pairs.push(("in_doubt_count", counts.in_doubt.to_string()));
        pairs.push(("refused_count", counts.refused.to_string()));
    }
    if let Some(hash) = &account.plan_hash {
        pairs.push(("plan_hash", hash.clone()));
    }
    pairs.push(("exit_code", account.exit_code.to_string()));
    pairs
}

/// `pairs` as blocks that end with `delimiter`. None: it stands in a value, and another one has to be drawn.
pub fn output_file(pairs: &[(&'static str, String)], delimiter: &str) -> Option<String> {
    let mut text = String::new();
    for (name, value) in pairs {
        if value.contains(delimiter) {
            return None;
        }
        text.extend([name, "<<", delimiter, "\n", value, "\n", delimiter, "\n"]);
    }
    Some(text)
}

/// `pairs` as a dotenv report: `CHATAPI_CHANGED=true`.
pub fn dotenv(pairs: &[(&'static str, String)]) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-' | '+' | '/' | '=');
    let line = |(name, value): &(&str, String)| {
        let value: String = value.chars().filter(is_plain).collect();
        format!("CHATAPI_{}={value}\n", name.to_ascii_uppercase())
    };
    pairs.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::account::Counts;

    #[test]
    fn a_delimiter_never_stands_in_a_value() {
        let counts = Some(Counts { is_changed: true, create: 3, delete: 0, in_doubt: 1, refused: 2 });
        let account = Account { counts, plan_hash: Some("sha256:end".to_owned()), exit_code: 3, ..Account::default() };
        let pairs = pairs(&account);
        assert_eq!(output_file(&pairs, "end"), None);
        let text = output_file(&pairs, "other").unwrap();
        assert!(text.starts_with("changed<<other\ntrue\nother\ncreate_count<<other\n3\nother\n"), "{text}");
        assert!(text.ends_with("plan_hash<<other\nsha256:end\nother\nexit_code<<other\n3\nother\n"), "{text}");
    }

    #[test]
    fn a_run_that_broke_off_tells_no_number_that_it_does_not_know() {
        let account = Account { exit_code: 8, ..Account::default() };
        assert_eq!(pairs(&account), [("exit_code", "8".to_owned())]);
        assert_eq!(dotenv(&pairs(&account)), "CHATAPI_EXIT_CODE=8\n");
    }

    #[test]
    fn nothing_in_a_dotenv_report_needs_quotes() {
        assert_eq!(dotenv(&[("plan_hash", "a b\nc='\"$(x)`\\#".to_owned())]), "CHATAPI_PLAN_HASH=abc=x\n");
    }
}
