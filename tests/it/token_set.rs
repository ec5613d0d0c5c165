//! `token set`: what is on record already is no error, what is wrong is told with its place, and an address comes with its token.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;

use crate::stage::{Gateway, Project, Run, is_free_of};

const TOKEN: &str = "Token0that0the0operator0brings";

/// Instances that were created, with tokens in the clear.
fn created(names: &[&str]) -> (Gateway, Project) {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), names);
    project.run("apply").exits(0).done();
    (gateway, project)
}

fn set(project: &Project, name: &str, token: &str) -> Run {
    project.call(["token", "set", name]).input(token).run()
}

fn set_all(project: &Project, rows: &str) -> Run {
    project.write("tokens.csv", rows);
    set_permissions(project.path("tokens.csv"), Permissions::from_mode(0o600)).unwrap();
    project.run("token set --from tokens.csv")
}

#[test]
fn the_token_that_is_kept_already_is_set_again_by_nothing() {
    let (_gateway, project) = created(&["a", "b"]);
    let (a, b) = (project.token("a"), project.token("b"));
    let before = project.read("state/journal.jsonl");
    set(&project, "a", &a).exits(0).prints("The token of `a` is kept already: it is the same.").done();
    set_all(&project, &format!("a,{a}\nb,{b}\n")).exits(0).prints("of 2 instances are kept already: they are the same").done();
    let both = set_all(&project, &format!("a,{a}\n")).exits(0);
    both.prints("The token of 1 instance is kept already: it is the same.").done();
    let other = set(&project, "a", TOKEN).exits(1).warns("the token of `a` is kept already, and it is another one");
    other.warns("has brought it, and it is shown once").done_with("`--replace` puts another in its place");
    set_all(&project, &format!("a,{a}\nb,{TOKEN}\n")).exits(1).warns("line 2 of tokens.csv is not taken").done_with("`b`");
    assert_eq!(project.read("state/journal.jsonl"), before);
    let run = project.call(["token", "set", "b", "--replace"]).input(TOKEN).run().exits(0);
    run.done_with("the one that the answer to the create of `b` had brought is given out no more");
    assert_eq!(project.token("b"), TOKEN);
    let again = project.call(["token", "set", "b", "--replace"]).input(b.as_str()).run().exits(0);
    assert!(!again.stderr.contains("given out no more"), "{again}");
}

/// What is sealed is compared by whoever has the key, and by nobody else.
#[test]
fn p11_a_sealed_token_is_told_to_be_the_same_by_its_key_only() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    let public = project.run("key generate --output key.txt").exits(0).stdout;
    project.declare(&format!("seal_to: [{}]\n{}", public.trim_end(), project.read("instances.yaml")));
    project.run("apply").exits(0).done();
    let token = project.run("token get a --identity key.txt").exits(0).stdout;
    let before = project.read("state/journal.jsonl");
    let untold = set(&project, "a", &token).exits(1).warns("sealed: whether it is this one cannot be told");
    untold.warns("--identity FILE").done_with("--replace");
    let with_key = |text: &str| project.call(["token", "set", "a", "--identity", "key.txt"]).input(text).run();
    let same = with_key(&token).exits(0).prints("it is the same");
    is_free_of(&[token.trim().to_owned()], &format!("{}{}", same.stdout, same.stderr), "token set");
    with_key(TOKEN).exits(1).done_with("it is another one");
    assert_eq!(project.read("state/journal.jsonl"), before);
}

#[test]
fn p11_a_wrong_row_is_told_with_its_place_and_without_its_token() {
    let (_gateway, project) = created(&["a"]);
    let unknown = format!("name,token\na,{}\nzz,{TOKEN}\n", project.token("a"));
    let run = set_all(&project, &unknown).exits(1).warns("line 3 of tokens.csv is not taken");
    assert!(!run.stderr.contains("read from standard input"), "{run}");
    run.warns("nothing is recorded under the name that stands there").done_with("nothing was written");
    let piped = |text: &str| project.call(["token", "set", "--from", "-"]).input(text).run().exits(1);
    let run = piped(&unknown).warns("line 3 of standard input is not taken");
    assert!(!run.stderr.contains("the token itself is read"), "{run}");
    run.done_with("nothing is recorded under the name that stands there");
    // Columns the other way round: a token stands in a name's place.
    let run = piped(&format!("{TOKEN},a\n"));
    is_free_of(&[TOKEN.to_owned()], &format!("{}{}", run.stdout, run.stderr), "a name's place");
    piped(&format!("[{{\"name\": \"zz\", \"token\": \"{TOKEN}\"}}]")).done_with("item 1 of standard input is not taken");
    for (row, why) in [
        (format!("a,{TOKEN},{TOKEN}"), "line 1 of standard input is not taken: it has an address that is none"),
        (
            format!("a,{TOKEN},https://h.example/i/?token={TOKEN}"),
            "line 1 of standard input is not taken: it has an address that is none",
        ),
        (format!("a,{TOKEN},https://h.example/,x"), "line 1 of standard input is not taken: it is no name and no token"),
    ] {
        let run = piped(&row);
        is_free_of(&[TOKEN.to_owned()], &format!("{}{}", run.stdout, run.stderr), why);
        run.done_with(why);
    }
}

/// After a rebuild: one file brings what no lock file has. An address that a person has typed is his word, and no list's.
#[test]
fn p11_addresses_that_a_rebuild_lacks_come_with_the_tokens() {
    let (gateway, project) = created(&["a", "b", "c"]);
    let tokens: Vec<String> = ["a", "b", "c"].map(|name| project.token(name)).into();
    let shown = project.run("state list --format json").exits(0).json();
    let address = |at: usize| shown[at]["api_url"].as_str().unwrap().to_owned();
    std::fs::remove_dir_all(project.state()).unwrap();
    let rebuilt = project.run("state rebuild --from-lock chatapi.lock").exits(0);
    rebuilt
        .warns("where the address of an instance is missing, it comes with its token")
        .done_with("`chatapi token set --from FILE` sets their tokens");
    let rows: Vec<_> = (0..3).map(|at| format!("{},{},{}\n", ["a", "b", "c"][at], tokens[at], address(at))).collect();
    // Without the address first: it is added though the token is kept by then.
    set_all(&project, &format!("a,{}\nb,{},\n", tokens[0], tokens[1])).exits(0).prints("of 2 instances are kept.").done();
    let asked = project.run("status").exits(3);
    asked.done_with("`chatapi token set --from FILE` brings the addresses of many");
    set_all(&project, &format!("name,token,api_url\n{}", rows.concat())).exits(0).prints("of 3 instances are kept.").done();
    assert_eq!(project.run("state list --format json").exits(0).json()[2]["api_url"], address(2));
    set_all(&project, &rows.concat()).exits(0).prints("they are the same").done();
    let items = format!("[{{\"name\": \"a\", \"token\": \"{}\", \"api_url\": \"https://other.example/a/\"}}]", tokens[0]);
    let from = |more: &[&str]| {
        let words: Vec<&str> = ["token", "set", "--from", "-"].iter().chain(more).copied().collect();
        project.call(words).input(items.as_str()).run()
    };
    let run = from(&[]).exits(1).warns(&format!("the address of `a` is known, {}, and this is another one", address(0)));
    run.warns("nothing was written").done_with("`--replace` puts another in its place");
    let changed = format!("the address of `a` was {}, and is https://other.example/a/ now", address(0));
    from(&["--replace"]).exits(0).done_with(&changed);
    let both = format!("b,{},https://other.example/a/\n", tokens[1]);
    project.write("tokens.csv", &both);
    let shared = project.run("token set --from tokens.csv --replace").exits(0);
    shared.done_with("one address, https://other.example/a/, is that of several: `b`, `a`");
    for more in [&[][..], &["--replace"]] {
        let words: Vec<&str> = ["token", "set", "--from", "-"].iter().chain(more).copied().collect();
        let plain = project.call(words).input(format!("c,{},http://other.example/c/\n", tokens[2])).run().exits(1);
        plain.done_with("plain http to another machine: no token is ever sent there");
    }
    // Typed or listed: a token goes there only if a person says so.
    project.run("status a").done_with("--trust-host other.example");
    assert_eq!(gateway.creates(), 3);
}

/// No other address takes the place of the one that the create has told.
#[test]
fn p11_an_address_that_a_create_has_told_is_not_replaced_by_a_file() {
    let (_gateway, project) = created(&["a"]);
    let row = format!("a,{},https://other.example/a/\n", project.token("a"));
    let run = set_all(&project, &row).exits(1).warns("line 1 of tokens.csv is not taken");
    let run = run.warns("the answer to the create of `a` has told its address").warns("take `a` out of the file");
    run.done_with("nothing was written");
}

/// A backup that is older than what was created since: the new tokens exist nowhere else.
#[test]
fn p3_a_file_does_not_replace_what_a_create_has_brought() {
    let (_gateway, project) = created(&["a", "b"]);
    let (token, before) = (project.token("b"), project.read("state/journal.jsonl"));
    project.call(["token", "set", "a", "--replace"]).input(TOKEN).run().exits(0).done();
    for more in ["", " --replace"] {
        project.write("tokens.csv", format!("a,{TOKEN}\nb,{TOKEN}2\n"));
        set_permissions(project.path("tokens.csv"), Permissions::from_mode(0o600)).unwrap();
        let run = project.run(&format!("token set --from tokens.csv{more}")).exits(1);
        let run = run.warns("line 2 of tokens.csv is not taken").warns("it is shown once: take `b` out of the file");
        run.done_with("`chatapi token set b --replace < FILE`");
    }
    project.run("state compact").exits(0).done();
    let run = project.run("token set --from tokens.csv --replace").exits(1);
    run.done_with("it is shown once: take `b` out of the file");
    assert!(project.token("b") == token && before != project.read("state/journal.jsonl"));
}

/// What `output` gives is the backup that is at hand.
#[test]
fn p3_what_the_program_itself_gave_is_taken_and_held_against_the_ids() {
    let (gateway, project) = created(&["a", "b"]);
    let (a, b) = (project.token("a"), project.token("b"));
    project.run("output --reveal --format json --out tok.json").exits(0).done();
    let set = || project.run("token set --from tok.json");
    set().exits(0).prints("of 2 instances are kept already: they are the same").done();
    std::fs::remove_dir_all(project.state()).unwrap();
    project.run("state rebuild --from-lock chatapi.lock").exits(0).done();
    set().exits(0).prints("The tokens of 2 instances are kept.").done();
    assert_eq!((project.token("a"), project.token("b")), (a, b.clone()));
    // Another instance has the name since.
    project.run("apply --replace a --yes --max-deletes 1").exits(0).done();
    let run = project.run("token set --from tok.json --replace").exits(1).warns("item 1 of tok.json is not taken");
    let run = run.warns(&format!("and `a` is {}", project.ids()["a"])).warns("take `a` out of the file");
    is_free_of(&[b], &run.stderr, "the hint");
    run.done_with("nothing was written");
    assert_eq!(gateway.creates(), 3);
    let without = project.run("output").exits(0).stdout;
    let piped = |text: &str| project.call(["token", "set", "--from", "-"]).input(text).run().exits(1);
    piped(&without).warns("`chatapi output --reveal --format json`").done_with("there are no tokens in standard input");
    piped("{\"a\": 1}").done_with("standard input is JSON of another shape, at line 1");
    piped("{\"a\": ").done_with("standard input cannot be read as JSON, at line 1");
}

/// What was deleted is in no doubt.
#[test]
fn what_is_deleted_is_taken_out_of_the_file() {
    let (_gateway, project) = created(&["a", "b"]);
    let (a, b) = (project.token("a"), project.token("b"));
    project.run("destroy b --yes --max-deletes 1").exits(0).done();
    let run = set_all(&project, &format!("a,{a}\nb,{b}\n")).exits(1).warns("there is nothing to set a token for");
    assert!(!run.stderr.contains("doubt"), "{run}");
    run.done_with("nothing was written; take `b` out of the file");
    set(&project, "b", &b).exits(1).done_with("`chatapi state show b` tells more");
}

/// A file from before a replacement has the old one's token and address under the new one's name.
#[test]
fn p11_an_address_that_names_another_instance_is_refused_with_its_token() {
    let (gateway, project) = created(&["a", "b"]);
    let old = project.ids()["a"].clone();
    let shown = project.run("state list --format json").exits(0).json();
    let address = shown[0]["api_url"].as_str().unwrap().to_owned();
    let row = format!("a,{},{address}\n", gateway.tokens()[&old]);
    project.run("apply --replace a").exits(0).done_or_doubtful();
    std::fs::remove_dir_all(project.state()).unwrap();
    project.run("state rebuild --from lock").exits(0).done_or_doubtful();
    let run = set_all(&project, &row).exits(1).warns(&format!("is of {old}, which is `a.{old}`"));
    let run = run.warns("nothing was written");
    is_free_of(&[gateway.tokens()[&old].clone()], &run.stderr, "the refusal");
    run.done_with("take `a` out of the file");
    project.run("token get a").exits(3).done_or_doubtful();
    // Where it is.
    set_all(&project, &row.replacen("a,", &format!("a.{old},"), 1)).exits(0).done();
    assert_eq!(project.token(&format!("a.{old}")), gateway.tokens()[&old]);
}

/// An address is kept in the clear and told: no token may stand in it, in whatever spelling, be it another row's.
#[test]
fn p11_an_address_with_a_token_in_it_is_none() {
    let (_gateway, project) = created(&["a", "b"]);
    std::fs::remove_dir_all(project.state()).unwrap();
    project.run("state rebuild --from-lock chatapi.lock").exits(0).done();
    let before = project.read("state/journal.jsonl");
    let other = "Other/token+of%the=second~row";
    let spelt = |text: &str, is_lower: bool| -> String {
        let byte = |byte: u8| if is_lower { format!("%{byte:02x}") } else { format!("%{byte:02X}") };
        text.bytes().map(byte).collect()
    };
    for address in [
        format!("https://h.example/{TOKEN}/"),
        format!("https://{TOKEN}.h.example/i/"),
        format!("https://{}.h.example/i/", TOKEN.to_lowercase()),
        format!("https://h.example/i%2F{}/", spelt(TOKEN, true)),
        format!("https://h.example/T{}", spelt(&TOKEN[1..], false)),
        format!("https://h.example/{other}/i"),
        format!("https://h.example/{}/i", spelt(other, false)),
    ] {
        let rows = format!("a,{TOKEN},{address}\nb,{other}\n");
        let run =
            set_all(&project, &rows).exits(1).warns("line 1 of tokens.csv is not taken: it has an address with a token in it");
        is_free_of(&[TOKEN.to_owned(), other.to_owned(), address], &format!("{}{}", run.stdout, run.stderr), "the refusal");
        run.done_with("nothing was written");
    }
    assert_eq!(project.read("state/journal.jsonl"), before);
    // What only looks like one is none.
    set_all(&project, &format!("a,{TOKEN},https://h.example/i/{}/%zz%4\nb,{other}\n", &TOKEN[1..])).exits(0).done();
}

/// Each instance has a token of its own: the same for two is a slip of the file.
#[test]
fn p3_one_token_for_two_names_is_taken_for_neither() {
    let (_gateway, project) = created(&["a", "b", "c"]);
    std::fs::remove_dir_all(project.state()).unwrap();
    project.run("state rebuild --from-lock chatapi.lock").exits(0).done();
    let before = project.read("state/journal.jsonl");
    let rows = format!("name,token\na,{TOKEN}\nb,{TOKEN}b\nc,{TOKEN}\n");
    let run = set_all(&project, &rows)
        .exits(1)
        .warns("line 4 of tokens.csv is not taken: it has the token of line 2 of tokens.csv too");
    is_free_of(&[TOKEN.to_owned()], &format!("{}{}", run.stdout, run.stderr), "the refusal");
    run.done_with("nothing was written");
    let piped = project.call(["token", "set", "--from", "-"]).input(format!("{{\"a\": \"{TOKEN}\", \"b\": \"{TOKEN}\"}}"));
    piped.run().exits(1).done_with("item 2 of standard input is not taken: it has the token of item 1 of standard input too");
    assert_eq!(project.read("state/journal.jsonl"), before);
    set_all(&project, &format!("a,{TOKEN}a\nb,{TOKEN}b\nc,{TOKEN}c\n")).exits(0).prints("of 3 instances are kept.").done();
}
