//! `docs/manifest.md`: each manifest on it is valid, or gives the error that is shown below it.

use super::{read, with_blocks};
use crate::stage::{Project, Run, kept};

#[test]
fn every_manifest_on_the_page_is_what_the_page_says_of_it() {
    let project = Project::new("");
    let (mut valid, mut invalid) = (0, 0);
    let mut last: Option<Run> = None;
    let mut is_good = |run: Option<Run>| {
        if let Some(run) = run {
            run.done();
            valid += 1;
        }
    };
    let page = with_blocks(&read("docs/manifest.md"), |block| match block.words.as_str() {
        "yaml" => {
            project.declare(&block.text);
            is_good(last.replace(project.run("validate")));
            None
        }
        "text" => {
            invalid += 1;
            let run = last.take().expect("an error stands below its manifest").exits(1);
            Some(run.stderr)
        }
        _ => None,
    });
    is_good(last);
    assert!(valid >= 5 && invalid >= 8, "{valid} {invalid}");
    kept("docs/manifest.md", &page);
}

/// What the page calls by name is what there is.
#[test]
fn every_key_has_its_place_on_the_page() {
    let schema = chatapi::manifest::schema();
    let page = read("docs/manifest.md");
    let titles: Vec<String> = super::sections(&page).into_iter().map(|section| section.title).collect();
    for key in schema["properties"].as_object().unwrap().keys() {
        assert!(titles.contains(key), "{key} has no heading");
    }
    for place in ["/properties/instances/items/properties", "/properties/provider/properties", "/properties/prices/properties"] {
        let keys = schema.pointer(place).unwrap_or_else(|| panic!("{place}")).as_object().unwrap();
        for key in keys.keys() {
            assert!(titles.contains(key) || page.contains(&format!("`{key}`")), "{key} is not on the page");
        }
    }
}
