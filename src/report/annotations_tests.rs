//! What a forge reads, and what it does not take for more than one command.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::diagnostic::Position;
use crate::instance::InstanceType;
use crate::report::account::{Case, Notice};

fn lines(account: &Account, forge: Forge, base: &Base) -> Vec<String> {
    annotations(account, forge, base).iter().map(ToString::to_string).collect()
}

fn name(text: &str) -> InstanceName {
    InstanceName::parse(text).unwrap()
}

fn failed(count: usize, detail: &str) -> Account {
    let case = |number: usize| Case {
        name: name(&format!("n{number:03}")),
        kind: InstanceType::WhatsApp,
        standing: Standing::Failed,
        word: "refused",
        detail: detail.to_owned(),
    };
    let cases: Vec<Case> = (0..count).map(case).collect();
    let place = |number: usize| Place {
        file: Arc::from("a:b,c%.yaml"),
        position: Position { line: u32::try_from(number).unwrap() + 3, column: 11, byte: 0 },
    };
    let places: BTreeMap<_, _> = cases.iter().enumerate().map(|(number, case)| (case.name.clone(), place(number))).collect();
    Account { cases, places, ..Account::default() }
}

#[test]
fn a_name_is_annotated_on_its_line_and_foreign_text_ends_nothing() {
    let account = failed(1, "100%\n::error::x ##vso[task.x]y;z");
    assert_eq!(
        lines(&account, Forge::GitHub, &Base { root: String::new(), below: "infra/".to_owned() }),
        [concat!(
            "::error file=infra/a%3Ab%2Cc%25.yaml,line=3,col=11,title=chatapi::",
            r"n000 refused: 100%25\n::error::x ##vso\u{5b}task.x]y;z"
        )]
    );
    assert_eq!(
        lines(&account, Forge::Azure, &Base::default()),
        [concat!(
            "##vso[task.logissue type=error;sourcepath=a:b,c%AZP25.yaml;linenumber=3;columnnumber=11]",
            r"n000 refused: 100%AZP25\n::error::x ##vso\u{5b%7Dtask.x%5Dy%3Bz"
        )
        .replace("%7D", "}")]
    );
}

#[test]
fn ten_of_a_kind_at_the_most_and_the_last_one_counts_the_rest() {
    for (count, shown) in [(0, 0), (1, 1), (10, 10), (11, 10), (500, 10)] {
        let lines = lines(&failed(count, "no"), Forge::GitHub, &Base::default());
        assert_eq!(lines.len(), shown, "{count}");
        if count > 10 {
            assert_eq!(lines[9], format!("::error title=chatapi::{} more, told in the log", count - 9));
        }
    }
    let mut account = failed(500, "no");
    account.notices.push(Notice::error("the guard").hint("say so"));
    account.notices.push(Notice::warning("look at it").about(&name("n000")));
    let lines = lines(&account, Forge::GitHub, &Base::default());
    assert_eq!((lines.len(), lines[0].as_str()), (11, "::error title=chatapi::the guard (say so)"));
    assert!(lines[10].starts_with("::warning file=") && lines[10].ends_with("::look at it"), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("n000 refused")), "a name is not told twice: {lines:?}");
}

#[test]
fn problems_that_were_not_kept_are_counted() {
    let account = Account { problem_count: 1_500, ..Account::default() };
    assert_eq!(lines(&account, Forge::GitHub, &Base::default()), ["::error title=chatapi::1500 more, told in the log"]);
}

#[test]
fn a_file_is_named_from_the_repositorys_root() {
    let base = Base { root: "/srv/repo/".to_owned(), below: "infra/eu/".to_owned() };
    for (file, path) in [
        ("a.yaml", "infra/eu/a.yaml"),
        ("./a.yaml", "infra/eu/a.yaml"),
        ("/srv/repo/x/a.yaml", "x/a.yaml"),
        ("/elsewhere/a.yaml", "/elsewhere/a.yaml"),
    ] {
        assert_eq!(base.path(file), path);
    }
    assert_eq!(Base::default().path("/abs/a.yaml"), "/abs/a.yaml");
}
