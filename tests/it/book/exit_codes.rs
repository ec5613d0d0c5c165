//! The README, `docs/exit-codes.md` and the manual page tell of the same exit codes, in the same words.

use super::read;
use crate::stage::Project;

/// The rows of the table that begins with `code`: the code, and the cells behind it.
fn rows(page: &str) -> Vec<Vec<String>> {
    let table = read(page)
        .lines()
        .skip_while(|line| !line.starts_with("| code |"))
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect::<Vec<Vec<String>>>();
    table.into_iter().skip(2).collect()
}

#[test]
fn the_page_and_the_readme_say_the_same() {
    let (page, readme) = (rows("docs/exit-codes.md"), rows("README.md"));
    assert!(readme.len() >= 10, "{readme:?}");
    assert_eq!(page.iter().map(|row| &row[..2]).collect::<Vec<_>>(), readme.iter().map(|row| &row[..2]).collect::<Vec<_>>());
    assert!(page.iter().all(|row| row.len() == 3), "each says what a pipeline does then");
}

#[test]
fn the_manual_page_knows_each_of_them() {
    let manual = Project::new("").run("man").exits(0).stdout;
    let codes: Vec<String> = rows("docs/exit-codes.md").iter().flat_map(|row| row[0].split(", ")).map(str::to_owned).collect();
    for code in &codes {
        assert!(manual.contains(&format!("\\fB{code}\\fR\n")), "{code}");
    }
    let known = manual.split(".SH \"EXIT STATUS\"").nth(1).unwrap().split(".SH").next().unwrap();
    assert_eq!(known.matches(".TP").count(), codes.len(), "{known}");
}
