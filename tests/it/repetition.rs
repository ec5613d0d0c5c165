//! Many instances by few lines: names that are made, and what becomes of them when something is taken out.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

use chatapi::diagnostic::{Colour, Diagnostics};
use chatapi::instance::{InstanceName, InstanceType};
use chatapi::manifest::{Declaration, Given, Manifest, Source};

use crate::stage::Project;

fn parse(text: &str) -> Result<Manifest, Diagnostics> {
    Manifest::parse(&[Source::new("a.yaml", text)])
}

fn good(text: &str) -> Manifest {
    parse(text).unwrap_or_else(|problems| panic!("{text}\n{}", problems.render(Colour::Plain)))
}

fn names(manifest: &Manifest) -> Vec<&str> {
    manifest.declarations().iter().map(|declaration| declaration.name.as_str()).collect()
}

fn get<'m>(manifest: &'m Manifest, name: &str) -> &'m Declaration {
    manifest.get(&InstanceName::parse(name).unwrap()).unwrap_or_else(|| panic!("{name}"))
}

/// The summaries of what is wrong, each with its file and place.
fn wrong(outcome: Result<Manifest, Diagnostics>) -> Vec<String> {
    let problems = outcome.expect_err("it is accepted");
    let told = |problem: &chatapi::diagnostic::Diagnostic| {
        let place = problem.span().map_or(String::new(), |span| format!("{}:{}", span.start.line, span.start.column));
        format!("{}:{place}: {}", problem.file().map_or("", |file| file), problem.summary())
    };
    problems.iter().map(told).collect()
}

/// With `stores.csv` beside it.
fn with_csv(rows: &[u8]) -> Result<Manifest, Diagnostics> {
    let text = "instances:\n  - name: store-{city}\n    type: whatsapp\n    labels: {note: \"{note}\"}\n    for_each: {file: stores.csv}\n";
    Manifest::parse(&[Source::new("a.yaml", text).with_file("stores.csv", rows)])
}

fn with_json(rows: &str) -> Result<Manifest, Diagnostics> {
    let text = "instances:\n  - name: store-{key}\n    type: whatsapp\n    for_each: {file: s.json}\n";
    Manifest::parse(&[Source::new("a.yaml", text).with_file("s.json", rows)])
}

#[test]
fn three_lines_are_a_thousand_instances_and_one_taken_out_touches_one() {
    let text = "instances:\n  - name: shop-{n:04}\n    type: whatsapp\n    count: 1000\n";
    let all = good(text);
    assert_eq!(all.declarations().len(), 1000);
    assert_eq!((names(&all)[0], names(&all)[999]), ("shop-0001", "shop-1000"));
    assert!(all.declarations().iter().all(|declared| declared.place.to_string() == "a.yaml:2:11"));
    let without = good(&format!("{text}    except: [500]\n"));
    let (all, without): (BTreeSet<_>, BTreeSet<_>) = (names(&all).into_iter().collect(), names(&without).into_iter().collect());
    assert_eq!(all.difference(&without).collect::<Vec<_>>(), [&"shop-0500"]);
    assert!(without.is_subset(&all));
}

#[test]
fn what_is_taken_out_of_the_middle_of_a_list_or_a_file_changes_one_name() {
    let list = |items: &[&str]| {
        let text = format!("instances:\n  - {{name: \"b-{{key}}\", type: whatsapp, for_each: [{}]}}\n", items.join(", "));
        names(&good(&text)).iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(&["one", "two", "three"]), ["b-one", "b-three", "b-two"]);
    assert_eq!(list(&["one", "three"]), ["b-one", "b-three"]);
    let csv = |rows: &str| names(&with_csv(rows.as_bytes()).unwrap()).iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(csv("city,note\nrome,1\noslo,2\nbern,3\n"), ["store-bern", "store-oslo", "store-rome"]);
    assert_eq!(csv("city,note\nrome,1\nbern,3\n"), ["store-bern", "store-rome"]);
}

#[test]
fn every_form_of_for_each_is_read() {
    let inline = "instances:\n  - name: desk-{key}\n    type: \"{type}\"\n    owner: \"{floor}@example\"\n    for_each:\n      \
                  berlin: {type: whatsapp_dev, floor: \"3\"}\n      paris: {type: whatsapp, floor: ground}\n";
    let manifest = good(inline);
    assert_eq!(get(&manifest, "desk-berlin").kind, InstanceType::WhatsAppDev);
    assert_eq!(get(&manifest, "desk-berlin").owner.as_deref(), Some("3@example"));
    assert_eq!(get(&manifest, "desk-paris").kind, InstanceType::WhatsApp);
    for (rows, expected, why) in [
        ("[\"a\", \"b\"]", &["store-a", "store-b"][..], "a list of texts"),
        ("{\"a\": {}, \"b\": null}", &["store-a", "store-b"], "an object"),
        ("[1, true]", &["store-1", "store-true"], "what JSON calls a number is one"),
        ("{\"a\": {\"city\": 3, \"open\": false, \"x\": null}}", &["store-a"], "fields of every kind"),
        ("[\n\t\"a\",\r\n\t\t\"\\u0062\"\n]\n", &["store-a", "store-b"], "indented with tabs, and escaped"),
        ("[]", &[], "an empty list"),
    ] {
        let outcome = with_json(rows);
        let manifest = outcome.unwrap_or_else(|problems| panic!("{why}: {}", problems.render(Colour::Plain)));
        assert_eq!(names(&manifest), expected, "{why}");
    }
    let text = "instances:\n  - {name: \"s-{city}\", type: whatsapp, for_each: {file: s.json}}\n";
    let objects = Source::new("a.yaml", text).with_file("s.json", "[{\"city\": \"bern\"}, {\"city\": \"rome\", \"x\": 1.50}]");
    assert_eq!(names(&Manifest::parse(&[objects]).unwrap()), ["s-bern", "s-rome"], "a list of objects");
}

#[test]
fn defaults_hold_for_their_file_and_entries_go_before_them() {
    let first = "defaults: {type: whatsapp, labels: {team: retail, tier: silver}, owner: shops, protect: true}\ninstances:\n  \
                 - name: a\n  - {name: b, type: whatsapp_dev, labels: {tier: gold}, owner: ops, protect: false}\n";
    let second = "instances: [{name: c, type: whatsapp}]\n";
    let manifest = Manifest::parse(&[Source::new("a.yaml", first), Source::new("b.yaml", second)]).unwrap();
    let told = |name| {
        let Declaration { kind, labels, owner, is_protected, .. } = get(&manifest, name);
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        (kind.as_str(), labels.join(" "), owner.clone().unwrap_or_default(), *is_protected)
    };
    assert_eq!(told("a"), ("whatsapp", "team=retail tier=silver".to_owned(), "shops".to_owned(), true));
    assert_eq!(told("b"), ("whatsapp_dev", "team=retail tier=gold".to_owned(), "ops".to_owned(), false));
    assert_eq!(told("c"), ("whatsapp", String::new(), String::new(), false));
}

/// P13: the bound is a bound, and what is beyond it is seen before it is made.
#[test]
fn p13_a_million_instances_are_the_bound() {
    let count = |count: u64| format!("instances:\n  - {{name: \"n{{n}}\", type: whatsapp, labels: {{a: b}}, count: {count}}}\n");
    assert_eq!(good(&count(1_000_000)).declarations().len(), 1_000_000);
    let place = "a.yaml:2:59: a number from 0 to 1000000 is expected, and this is";
    assert_eq!(wrong(parse(&count(1_000_001))), [format!("{place} `1000001`")]);
    assert_eq!(wrong(parse(&count(u64::MAX))), [format!("{place} `18446744073709551615`")]);
    let two = format!("{}  - {{name: \"m{{n}}\", type: whatsapp, count: 2}}\n", count(999_999));
    assert_eq!(wrong(parse(&two)), ["a.yaml:3:12: more than 1000000 instances in all"]);
    let rows = format!("city,note\n{}", "x,\n".repeat(1_000_001));
    assert_eq!(wrong(with_csv(rows.as_bytes())), ["stores.csv:1000002:1: more than 1000000 instances in all"]);
    let heavy = format!(
        "instances:\n  - {{name: \"n{{n}}\", type: whatsapp, labels: {{a: \"{{n}}{}\"}}, count: 1000000}}\n",
        "x".repeat(240)
    );
    assert_eq!(wrong(parse(&heavy)), ["a.yaml:2:12: labels and owners take more than 512 MiB"]);
}

#[test]
fn hostile_values_of_csv_are_texts_or_errors_in_their_place() {
    let note = |rows: &[u8]| get(&with_csv(rows).unwrap(), "store-rome").labels["note"].clone();
    for (rows, expected, why) in [
        (&b"city,note\nrome,\"a, b\"\n"[..], "a, b", "a comma in quotes"),
        (b"city,note\r\nrome,\"say \"\"hi\"\"\"\r\n", "say \"hi\"", "quotes in quotes"),
        (b"\xef\xbb\xbfcity,note\nrome,x\n", "x", "a byte order mark"),
        (b"city,note\nrome,=1+1\n", "=1+1", "a formula is a text"),
        (b"city,note\nrome,{city}{{\n", "{city}{{", "a value is no pattern"),
        (b"city,note,\n\nrome,,\n", "", "an empty value, an empty line, a column without a name"),
    ] {
        assert_eq!(note(rows), expected, "{why}");
    }
    let long = format!("city,note\nrome,{}\n", "x".repeat(10 << 20));
    for (rows, problem, why) in [
        (&b"city,note\nrome,\"a\nb\"\n"[..], "stores.csv:2:1: a value goes on in the next line", "a line break"),
        (b"city,note\nrome,x\n\"bern,x\noslo,x\n", "stores.csv:3:1: a value goes on in the next line", "a quote left open"),
        (b"city,note\nrome\0,x\n", "stores.csv:2:5: the control character U+0000 cannot stand in a manifest", "NUL"),
        (b"city,note\nrome,\x1b[31m\n", "stores.csv:2:6: the control character U+001B cannot stand in a manifest", "an escape"),
        (b"city,note\nro\xffme,x\n", "stores.csv:2:3: a manifest is UTF-8 text, and the byte 0xFF is none here", "not UTF-8"),
        (
            b"city,note\n\n=cmd,x\n../x,y\n,z\n",
            "stores.csv:4:1: a name holds letters, digits, `.`, `_` and `-`, not `/`",
            "a path",
        ),
        (b"city,note\nrome,a,b\n", "stores.csv:2:1: this row has 3 values, and the header names 2 columns", "a value too many"),
        (b"city,note\nrome\n", "stores.csv:2:1: this row has 1 value, and the header names 2 columns", "a value too few"),
        (b"city,note,city\nrome,a,b\n", "stores.csv:1:1: two columns have the name `city`", "a column twice"),
        (b"city;note\nrome;a\n", "stores.csv:1:1: the columns are not separated by commas", "semicolons"),
        (b"", "stores.csv:1:1: the file has no header", "nothing"),
        (b"town,note\nrome,a\n", "a.yaml:2:11: there is no `{city}` here", "a column that is not there"),
        (b"city,note\nrome,x\nRome,y\n", "stores.csv:3:1: the names `store-rome` and `store-Rome` are twins", "twins"),
        (b"city,note\nrome,x\nrome,y\n", "stores.csv:3:1: duplicate name `store-rome`", "a row twice"),
        (
            long.as_bytes(),
            "stores.csv:2:1: the value of a label has at most 256 bytes, this one has 10485760",
            "10 MB in a field",
        ),
    ] {
        let found = wrong(with_csv(rows));
        assert!(found.iter().any(|one| one == problem), "{why}: {found:?}");
    }
}

#[test]
fn json_that_is_wrong_is_told_in_its_place() {
    for (rows, problem) in [
        ("[\"a\",]", "s.json:1:6: not valid JSON: expected value"),
        ("- a\n", "s.json:1:2: not valid JSON: invalid number"),
        ("[[\"a\"]]", "s.json:1:2: a text is expected, and this is a list"),
        ("[null]", "s.json:1:2: a text is expected, and this is null"),
        ("{\"a\": {}, \"a\": {}}", "s.json:1:11: duplicate key `a`"),
        ("3", "s.json:1:1: a list or a mapping is expected, and this is a number"),
        ("{\"a\": {\"f\": {}}}", "s.json:1:13: a text is expected, and this is a mapping"),
        ("[\"a/b\"]", "s.json:1:2: a name holds letters, digits, `.`, `_` and `-`, not `/`"),
    ] {
        let found = wrong(with_json(rows));
        assert!(found.iter().any(|one| one == problem), "{rows}: {found:?}");
    }
}

#[test]
fn all_that_is_wrong_with_a_file_comes_in_one_run() {
    let found = wrong(with_csv(b"city,note\nrome\nzu rich,a\nbern,b\nBERN,c\n"));
    let places: Vec<_> = found.iter().map(|one| one.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["stores.csv:2:1", "stores.csv:3:1", "stores.csv:5:1"], "{found:?}");
}

/// P11: what a column of secrets holds is not shown.
#[test]
fn p11_a_column_that_may_hold_secrets_is_refused_and_nothing_is_shown() {
    for name in ["token", "API Key", "password", "url"] {
        let problems = with_csv(format!("city,{name},note\nrome,SENTINEL,x\n,SENTINEL\n").as_bytes()).unwrap_err();
        let shown = problems.render(Colour::Plain);
        assert!(shown.contains(&format!("the column `{name}` cannot stand in a manifest")), "{shown}");
        assert!(!shown.contains("SENTINEL"), "{shown}");
    }
    let shown = with_json("{\"a\": {\"token\": \"SENTINEL\"}}").unwrap_err().render(Colour::Plain);
    assert!(shown.contains("`token` cannot stand in a manifest") && !shown.contains("SENTINEL"), "{shown}");
}

#[test]
fn a_file_beside_the_manifest_is_read_and_no_other() {
    let project = Project::new("");
    project.write("outside.csv", "city\nrome\n");
    std::fs::create_dir_all(project.path("team/data")).unwrap();
    project.write("team/data/stores.csv", "city\nrome\nbern\n");
    symlink("../outside.csv", project.path("team/out.csv")).unwrap();
    symlink("..", project.path("team/up")).unwrap();
    symlink("data/stores.csv", project.path("team/in.csv")).unwrap();
    std::fs::create_dir_all(project.path("team/dir.csv")).unwrap();
    let absolute = project.path("outside.csv").display().to_string();
    let validate = |file: &str| {
        let entry = format!("instances:\n  - {{name: \"s-{{city}}\", type: whatsapp, for_each: {{file: \"{file}\"}}}}\n");
        project.write("team/i.yaml", entry);
        project.run("validate team/i.yaml")
    };
    validate("data/stores.csv").exits(0).prints("2 instances");
    validate("in.csv").exits(0).prints("2 instances");
    for (file, problem) in [
        ("../outside.csv", "does not stand beside the manifest"),
        (absolute.as_str(), "does not stand beside the manifest"),
        ("./data/../../outside.csv", "does not stand beside the manifest"),
        ("out.csv", "leads out of the manifest's directory by a link"),
        ("up/outside.csv", "leads out of the manifest's directory by a link"),
        ("none.csv", "there is no such file beside the manifest"),
        ("dir.csv", "it is not a regular file"),
        ("i.yaml", "neither CSV nor JSON"),
        ("", "a mapping of fields is expected"),
    ] {
        validate(file).exits(1).warns(problem).warns("team/i.yaml:2:");
    }
    project.write("team/data/stores.csv", "city\nro me\n");
    validate("data/stores.csv")
        .exits(1)
        .warns("team/data/stores.csv:2:1")
        .warns("2 | ro me")
        .warns("declared at team/i.yaml:2:12");
    std::fs::File::create(project.path("team/data/stores.csv")).unwrap().set_len(33 << 20).unwrap();
    validate("data/stores.csv").exits(1).warns("the file is longer than 32 MiB");
}

const VARIED: &str = "provider: {kind: emulator}\nvariables:\n  region: {type: text, default: eu}\n  shops: {type: number}\n  keep: {type: boolean, default: false}\ninstances:\n  \
    - name: shop-{var.region}-{n}\n    type: whatsapp\n    protect: \"{var.keep}\"\n    count: \"{var.shops}\"\n";

#[test]
fn variables_come_from_flags_then_files_then_the_environment_then_their_default() {
    let project = Project::new(VARIED).with("CHATAPI_VAR_SHOPS", "1").with("CHATAPI_VAR_OTHER", "x");
    project.write("two.yaml", "shops: 2\nregion: us\n");
    let names = |line: &str| {
        let plan = project.run(format!("plan --format json {line} instances.yaml").replace("  ", " ").as_str()).exits(0).json();
        let changes = plan["changes"].as_array().unwrap().clone();
        changes.iter().map(|change| change["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(""), "shop-eu-1");
    assert_eq!(names("--var-file two.yaml"), "shop-us-1 shop-us-2");
    assert_eq!(names("--var shops=3 --var-file two.yaml --var region=fr"), "shop-fr-1 shop-fr-2 shop-fr-3");
    for (line, problem) in [
        ("--var shop=3", "`--var shop` is no variable of the manifest"),
        ("--var shops=3 --var shops=4", "`--var shops` is given twice"),
        ("--var shops=03", "a number is expected from `--var shops`"),
        ("--var shops=99999999999999999999", "a number is expected from `--var shops`"),
        ("--var shops=-1", "a count is a number from 0 to 1000000, and `shops` is another one"),
        ("--var keep=yes", "a boolean is expected from `--var keep`"),
        ("--var shops", "write NAME=VALUE"),
        ("--var-file none.yaml", "no such file"),
    ] {
        project.run(&format!("validate {line} instances.yaml")).exits(1).warns(problem);
    }
    for (content, problem) in [
        ("shops: \"2\"\n", "bad.yaml:1:8"),
        ("shop: 2\n", "did you mean `shops`?"),
        ("region: 12\n", "write it in quotes: \"12\""),
        ("keep: yes\n", "`true` or `false` is expected"),
        ("[]\n", "a mapping of variables to values is expected"),
        ("api_key: SENTINEL\n", "`api_key` cannot stand in a manifest"),
    ] {
        project.write("bad.yaml", content);
        let run = project.run("validate --var-file bad.yaml instances.yaml").exits(1).warns(problem);
        assert!(!run.stderr.contains("SENTINEL"), "{}", run.stderr);
    }
    project.write("one.yaml", "shops: 2\n");
    project.run("validate --var-file one.yaml --var-file two.yaml instances.yaml").exits(1).warns("stands in two of the files");
}

#[test]
fn a_saved_plan_keeps_the_values_and_takes_no_others() {
    let project = Project::new(VARIED);
    project.run("init --yes").done();
    project.run("plan --out p.json --var shops=2 --var keep=true instances.yaml").done();
    project.run("apply p.json --var shops=3").exits(1).warns("`--var` does not go with a saved plan");
    // The environment says something else now, and the plan is what was reviewed.
    project.call(["apply", "p.json"]).env("CHATAPI_VAR_SHOPS", "7").run().exits(0);
    assert_eq!(project.ids().into_keys().collect::<Vec<_>>(), ["shop-eu-1", "shop-eu-2"]);
    let saved: serde_json::Value = serde_json::from_str(&project.read("p.json")).unwrap();
    assert_eq!(saved["manifest"]["variables"], serde_json::json!({"keep": "true", "region": "eu", "shops": "2"}));
    assert_eq!(saved["manifest"]["instances"][0]["protect"], true);
}

#[test]
fn a_saved_plan_is_stale_once_a_row_or_a_label_has_changed() {
    let text = "provider: {kind: emulator}\ninstances:\n  - {name: \"s-{city}\", type: whatsapp, labels: {o: \"{o}\"}, for_each: {file: s.csv}}\n";
    let project = Project::new(text);
    project.run("init --yes").done();
    project.write("s.csv", "city,o\nrome,a\nbern,b\n");
    project.run("plan --out p.json instances.yaml").done();
    for rows in ["city,o\nrome,a\n", "city,o\nrome,a\nbern,c\n", "city,o\nrome\n"] {
        project.write("s.csv", rows);
        project.run("apply p.json").exits(7).warns("the manifest has changed since the plan was made");
    }
    project.write("s.csv", "o,city\nb,bern\na,rome\n");
    project.run("apply p.json").exits(0);
    assert_eq!(project.ids().into_keys().collect::<Vec<_>>(), ["s-bern", "s-rome"], "another order is the same");
}

/// P1, P9: what is taken out of the middle touches one instance, on the server too.
#[test]
fn a_thousand_instances_less_one_are_nothing_to_create() {
    let text = "provider: {kind: emulator}\ninstances:\n  - {name: \"shop-{n:04}\", type: whatsapp, count: 1000}\n";
    let project = Project::new(text);
    project.run("apply --parallelism 16 instances.yaml").exits(0);
    let ids = project.ids();
    assert_eq!(ids.len(), 1000);
    project.declare(&text.replace("count: 1000", "count: 1000, except: [500]"));
    let plan = project.run("plan --format json instances.yaml").exits(0).json();
    assert_eq!((&plan["summary"]["create"], &plan["summary"]["unchanged"]), (&0.into(), &999.into()));
    assert_eq!(plan["summary"]["orphaned"], 1);
    project.run("apply instances.yaml").exits(0);
    assert_eq!(project.ids(), ids, "nobody has another id");
}

#[test]
fn variables_of_all_files_are_one_and_values_stay_typed() {
    let given = Given { flags: vec![("region".to_owned(), "eu".to_owned())], ..Given::default() };
    let declares = Source::new("a.yaml", "variables: {region: {type: text}}\ninstances: []\n");
    let uses = Source::new("b.yaml", "instances: [{name: \"s-{var.region}\", type: whatsapp}]\n");
    let both = Manifest::parse_with(&[declares.clone(), uses], &given).unwrap();
    assert_eq!((names(&both), both.variables["region"].as_str()), (vec!["s-eu"], "eu"));
    let other = Source::new("b.yaml", "variables: {region: {type: number}}\ninstances: []\n");
    let found = wrong(Manifest::parse_with(&[declares, other], &given));
    assert_eq!(found, ["b.yaml:1:13: the variable `region` differs from the one in another file"]);
}
