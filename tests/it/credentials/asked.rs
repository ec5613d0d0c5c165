//! What may be asked for, and what is said of what is not there.

use crate::stage::{Gateway, KEY, Project, is_free_of, manifest};

/// `a` is created, `b` in doubt, `c` refused.
fn mixed() -> (Gateway, Project) {
    let gateway = Gateway::start(&["create:nth=2=drop-after", "create:nth=3=refuse:no more"]);
    let project = Project::at(&gateway.url(), &["a", "b", "c"]);
    project.run("apply --parallelism 1").exits(3);
    (gateway, project)
}

#[test]
fn p11_without_reveal_no_format_has_a_token_and_each_says_that_there_is_one() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply").done();
    let tokens: Vec<String> = gateway.tokens().into_values().collect();
    for (format, mark) in [
        ("json", "\"has_token\": true,\n      \"token\": null"),
        ("yaml", "has_token: true\n    token: null"),
        ("dotenv", "# CHATAPI_A_TOKEN: not revealed"),
        ("shell", "# CHATAPI_A_TOKEN: not revealed"),
        ("docker-env", "# CHATAPI_A_TOKEN: not revealed"),
        ("k8s-secret", "# CHATAPI_A_TOKEN: not revealed"),
        ("github-env", "CHATAPI_A_ID<<"),
        ("template --template-text {{by_name.a.has_token}}", "True"),
    ] {
        let run = project.run(&format!("output --format {format} -vvv")).exits(0).prints(mark).warns("`--reveal` adds them");
        is_free_of(&tokens, &format!("{run}"), format);
        assert!(format == "github-env" || !run.stdout.contains("TOKEN=") && !run.stdout.contains("TOKEN<<"), "{run}");
    }
    assert!(project.run("output --quiet").exits(0).stderr.is_empty());
}

#[test]
fn one_name_has_its_own_values_and_no_others() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply").done();
    let (ids, tokens) = (project.ids(), gateway.tokens());
    let run = project.run("output b --reveal").exits(0);
    let document = run.json();
    assert_eq!(document["format_version"], "1.0");
    assert_eq!(document["instances"].as_object().unwrap().len(), 1);
    let one = &document["instances"]["b"];
    assert_eq!((&one["id"], &one["token"]), (&ids["b"].as_str().into(), &tokens[&ids["b"]].as_str().into()));
    assert_eq!((&one["name"], &one["type"], &one["has_token"]), (&"b".into(), &"whatsapp".into(), &true.into()));
    is_free_of(&[tokens[&ids["a"]].clone()], &format!("{run}"), "output b");
    assert_eq!(project.run("output b b --reveal").exits(0).stdout, run.stdout);
}

#[test]
fn p7_p8_what_is_in_doubt_is_left_out_with_exit_3_and_the_rest_is_written() {
    let (gateway, project) = mixed();
    for line in ["output --reveal", "output a b --reveal", "output --reveal --out written.json"] {
        let run = project.run(line).exits(3).warns("in doubt, and left out: b").warns("chatapi doubts");
        let text = if line.contains("--out") { project.read("written.json") } else { run.stdout };
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["instances"].as_object().unwrap().keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(document["instances"]["a"]["token"], gateway.tokens()[&project.ids()["a"]]);
    }
    project.run("output a").exits(0);
    let run = project.run("output b --format dotenv").exits(3);
    assert!(run.stdout.is_empty(), "{run}");
}

#[test]
fn every_name_is_looked_at_before_anything_is_written() {
    let (_gateway, project) = mixed();
    let run = project.run("output a nobody nothing --out written").exits(1);
    let run = run.warns("nothing is recorded under `nobody`; nothing is recorded under `nothing`").warns("chatapi state list");
    assert!(run.stdout.is_empty() && !project.path("written").exists(), "{run}");
    project.run("output a c").exits(1).warns("`c` was not created").warns("chatapi apply");
    project.run("release a").exits(0);
    project.run("output a").exits(1).warns("`a` was released").warns("release --undo a");
    let run = project.run("output").exits(3);
    assert_eq!(run.json()["instances"], serde_json::json!({}));
    project.run("output a/b").exits(1).warns("a name holds");
}

#[test]
fn p8_a_token_that_is_missing_is_told_with_exit_3() {
    let gateway = Gateway::start(&["create:nth=2=no-token"]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply --parallelism 1").exits(3);
    for line in ["output", "output --reveal", "output b"] {
        let run = project.run(line).exits(3).warns("the token is missing: b").warns("chatapi token set");
        assert_eq!(run.json()["instances"]["b"]["has_token"], false, "{run}");
    }
    project.run("output --reveal --format shell").exits(3).prints("# CHATAPI_B_TOKEN: missing").prints("CHATAPI_B_ID='");
    project.run("output a --reveal").exits(0);
    project.call(["token", "set", "b"]).input("GivenByHand").run().exits(0);
    project.run("output --reveal --format dotenv").exits(0).prints("CHATAPI_B_TOKEN='GivenByHand'");
}

#[test]
fn an_instance_without_an_address_has_no_variable_of_it() {
    let (_gateway, project) = mixed();
    let attempt = project.attempt("b");
    project.run(&format!("resolve b --attempt {attempt} --created 4711 --offline")).exits(0);
    let run = project.run("output b --format shell").exits(3).prints("# CHATAPI_B_API_URL: not known");
    assert!(!run.stdout.contains("API_URL="), "{run}");
    assert!(project.run("output b").exits(3).json()["instances"]["b"]["api_url"].is_null());
}

#[test]
fn twins_from_two_manifests_are_refused_by_both_names() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["eu-1"]);
    project.run("apply").done();
    project.declare("instances: [{name: eu.1, type: whatsapp_dev}]");
    project.run("apply").exits(0);
    let run = project.run("output --format dotenv --out written").exits(1).warns("`eu-1` and `eu.1` would both be written");
    assert!(run.stdout.is_empty() && !project.path("written").exists(), "{run}");
    project.run("output eu.1 --format dotenv").exits(0).prints("CHATAPI_EU_1_TYPE='whatsapp_dev'");
    project.run("output").exits(0);
}

#[test]
fn p11_sealed_tokens_are_revealed_with_the_secret_key_only() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &[]);
    let public = project.run("key generate --output key.txt").exits(0).stdout.trim_end().to_owned();
    project.run("key generate --output other.txt").exits(0);
    project.declare(&format!("seal_to: [{public}]\n{}", manifest("{kind: chatapi}", &["a", "b"])));
    project.run("apply").exits(0);
    let tokens: Vec<String> = gateway.tokens().into_values().collect();
    project.run("output --format shell").exits(0).prints("not revealed");
    for line in ["output --reveal --out written", "output --reveal --identity other.txt --out written"] {
        let run =
            project.run(line).exits(1).warns("cannot open the token of a, b; nothing was written or sent").warns("--identity");
        assert!(run.stdout.is_empty() && !project.path("written").exists(), "{run}");
        is_free_of(&tokens, &format!("{run}"), line);
    }
    let by_flag = project.run("output --reveal --format shell --identity key.txt").exits(0);
    let words = ["output", "--reveal", "--format", "shell"];
    let by_variable = project.call(words).env("CHATAPI_IDENTITY", project.read("key.txt")).run().exits(0);
    let by_command = project.call([&words[..], &["--identity-command", "cat key.txt"]].concat()).run().exits(0);
    let read = crate::properties::readers::shell(&by_flag.stdout);
    for (name, id) in project.ids() {
        let stem = format!("CHATAPI_{}", name.to_uppercase());
        assert_eq!(read[&format!("{stem}_TOKEN")], gateway.tokens()[&id]);
        assert_eq!(read[&format!("{stem}_ID")], id);
    }
    assert_eq!((&by_variable.stdout, &by_command.stdout), (&by_flag.stdout, &by_flag.stdout));
    is_free_of(&tokens, &by_flag.stderr, "stderr");
}

#[test]
fn the_format_is_this_verbs_own_and_what_is_set_for_all_verbs_means_json() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.run("apply").done();
    let json = project.run("output").exits(0).stdout;
    for line in ["output --format json", "output --json", "--json output", "--format json output", "--format text output"] {
        assert_eq!(project.run(line).exits(0).stdout, json, "{line}");
    }
    for value in ["text", "json"] {
        assert_eq!(project.call(["output"]).env("CHATAPI_FORMAT", value).run().exits(0).stdout, json);
        let run = project.call(["output", "--format", "dotenv"]).env("CHATAPI_FORMAT", value).run().exits(0);
        assert!(run.stdout.starts_with("CHATAPI_A_TYPE='whatsapp'\n"), "{run}");
    }
    project.run("output --format=shell").exits(0).prints("export CHATAPI_A_ID='");
    for line in [
        "output --format text",
        "output --format xml",
        "--format dotenv output",
        "plan --format dotenv",
        "state list --format yaml",
    ] {
        project.run(line).exits(1).warns("invalid value");
    }
}

#[test]
fn a_flag_that_would_be_ignored_is_an_error() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.run("apply").done();
    for line in [
        "output --prefix X_",
        "output --format yaml --prefix X_",
        "output --format shell --k8s-name x",
        "output --k8s-namespace x",
        "output --format dotenv --template-text x",
    ] {
        let run = project.run(line).exits(1).warns("means nothing to this `--format`");
        assert!(run.stdout.is_empty(), "{run}");
    }
    project.run("output --format shell --prefix 9X").exits(1).warns("a prefix has");
    project.run("output --format shell --prefix X_").exits(0).prints("export X_A_ID='");
    project.run("output --format k8s-secret --k8s-name A_B").exits(1).warns("a Secret's name has");
    project.run("output --format k8s-secret --k8s-namespace a.b").exits(1).warns("a namespace's name has");
    project.run("output --mask").exits(1).warns("--reveal");
}

#[test]
fn a_key_on_the_command_line_is_refused_here_too() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"])).with("CHATAPI_API_KEY", KEY);
    let run = project.call(["output", "--template-text", KEY]).run().exits(1).warns("holds a secret key");
    assert!(!run.stderr.contains(KEY), "{run}");
}
