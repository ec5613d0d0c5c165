//! Files that a pull request names never show a secret: neither the API key, nor a secret key, nor what a state keeps.

use std::fs;
use std::os::unix::fs::symlink;

use crate::stage::{KEY, Project, Run, manifest};

/// A project whose key stands in a file.
fn project() -> Project {
    let project = Project::new("variables: {a: {type: text, default: x}}\ninstances:\n  - {name: 'n-{var.a}', type: whatsapp}\n");
    fs::create_dir(project.path("secret")).unwrap();
    project.write("secret/key", format!("{KEY}\n"));
    let file = project.path("secret/key");
    project.with("CHATAPI_URL", "http://127.0.0.1:9/").with("CHATAPI_API_KEY_FILE", file)
}

/// It fails, and nothing of the key is to be seen.
#[track_caller]
fn keeps_quiet(run: Run) -> Run {
    assert!(!run.stdout.contains(&KEY[..12]) && !run.stderr.contains(&KEY[..12]), "{run}");
    run.exits(1)
}

#[test]
fn p11_var_files_lie_beside_the_file_that_names_them() {
    let project = project();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("x.yaml"), "a: value-from-elsewhere\n").unwrap();
    symlink(outside.path().join("x.yaml"), project.path("link.yaml")).unwrap();
    symlink(outside.path(), project.path("folder")).unwrap();
    let up = format!("../{}/x.yaml", outside.path().file_name().unwrap().to_str().unwrap());
    for file in [outside.path().join("x.yaml").to_str().unwrap(), "link.yaml", "folder/x.yaml", &up] {
        project.write("chatapi.yaml", format!("environments: {{prod: {{var_files: ['{file}']}}}}\n"));
        let run = project.run("plan --env prod").exits(1).warns("lies outside of the directory").warns("--var-file");
        assert!(!run.stderr.contains("value-from") && !run.stdout.contains("value-from"), "{run}");
    }
    // What a person names on the command line may lie anywhere.
    project.write("chatapi.yaml", "environments: {prod: {var_files: [near.yaml]}}\n");
    project.write("near.yaml", "{}\n");
    let file = outside.path().join("x.yaml");
    let named =
        project.call(["plan", "--env", "prod", "--var-file"].map(Into::into).into_iter().chain([file.into_os_string()])).run();
    named.exits(0).prints("n-value-from-elsewhere").done();
    project.write("near.yaml", "a: near\n");
    project.run("plan --env prod").exits(0).prints("n-near").done();
}

#[test]
fn p11_the_file_of_a_key_is_read_as_nothing_else() {
    let project = project();
    project.run("key generate --output secret/identity").exits(0).done();
    let project = project.with("CHATAPI_IDENTITY_FILE", "secret/identity");
    let (key, whole) = ("secret/key", fs::canonicalize(project.path("secret/key")).unwrap());
    let vars = |file: &str| format!("environments: {{prod: {{var_files: ['{file}']}}}}\n");
    for name in [key, whole.to_str().unwrap(), "secret/identity"] {
        project.write("chatapi.yaml", vars(name));
        keeps_quiet(project.run("plan --env prod")).warns("nothing of it is shown").done_with(name);
        fs::remove_file(project.path("chatapi.yaml")).unwrap();
        for verb in ["plan", "validate", "apply", "drift"] {
            keeps_quiet(project.run(&format!("{verb} {name}"))).warns("nothing of it is shown").done_with(name);
        }
        keeps_quiet(project.run(&format!("plan --var-file {name}"))).warns("nothing of it is shown").done_with(name);
    }
    symlink("secret/key", project.path("link.yaml")).unwrap();
    keeps_quiet(project.run("plan link.yaml")).warns("nothing of it is shown").done_with("link.yaml");
    fs::hard_link(project.path("secret/key"), project.path("hard.yaml")).unwrap();
    keeps_quiet(project.run("plan .")).warns("nothing of it is shown").done_with("hard.yaml");
    symlink("secret/key", project.path("chatapi.yaml")).unwrap();
    for line in ["plan", "state list --env prod", "doctor", "status"] {
        keeps_quiet(project.run(line)).warns("nothing of it is shown").done_with("chatapi.yaml");
    }
    fs::remove_file(project.path("chatapi.yaml")).unwrap();
    let identity = project.call(["apply", "--identity", "secret/key", "link.yaml"]).without("CHATAPI_API_KEY_FILE").run();
    keeps_quiet(identity).warns("nothing of it is shown").done_with("link.yaml");
}

#[test]
fn p11_a_file_with_the_key_in_it_is_not_shown() {
    let project = project();
    for (name, text) in [
        ("bad.yaml", format!("instances: [{{nme: a, type: {KEY}}}]\n")),
        ("good.yaml", format!("instances: [{{name: a-{KEY}, type: whatsapp}}]\n")),
        ("broken.yaml", format!("x: [\n{KEY}\n")),
        ("bytes.yaml", format!("\u{0}{KEY}\n")),
    ] {
        project.write(name, &text);
        keeps_quiet(project.run(&format!("plan {name}"))).warns("the file holds the API key").done_with(name);
        let given = project.call(["plan", name]).without("CHATAPI_API_KEY_FILE").env("CHATAPI_API_KEY", KEY).run();
        keeps_quiet(given).warns("the file holds the API key").done_with(name);
        keeps_quiet(project.call(["plan", "-"]).input(text).run()).warns("the file holds the API key").done_with("<stdin>");
    }
    project.write("rows.csv", format!("store\n{KEY}\n"));
    project.write("rows.yaml", "instances: [{for_each: {file: rows.csv}, name: 'a-{store}', type: whatsapp}]\n");
    keeps_quiet(project.run("plan rows.yaml")).warns("the file holds the API key").done_with("rows.yaml");
    project.write("chatapi.yaml", format!("environments: {{prod: {{gateway: 'https://{KEY}/'}}}}\n"));
    keeps_quiet(project.run("plan --env prod")).warns("the file holds the API key").done_with("chatapi.yaml");
}

#[test]
fn p11_no_variable_carries_the_key() {
    let project = project();
    let value = format!("a={KEY}");
    keeps_quiet(project.call(["plan", "--var", &value]).run()).warns("holds the API key, and is not shown").done_with("--var");
    let set = project.call(["plan"]).env("CHATAPI_VAR_A", KEY).run();
    keeps_quiet(set).warns("CHATAPI_VAR_A holds the API key, and is not shown").done_with("say another value");
    project.write("vars.yaml", format!("a: {KEY}\n"));
    keeps_quiet(project.run("plan --var-file vars.yaml")).warns("the file holds the API key").done_with("vars.yaml");
    project.run("plan --var a=y").exits(0).prints("n-y").done();
}

#[test]
fn p11_no_template_is_a_secret() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.run("apply").exits(0).done();
    fs::create_dir(project.path("secret")).unwrap();
    project.write("secret/key", format!("{KEY}\n"));
    project.write("with.txt", format!("key={KEY}\n"));
    symlink("secret/key", project.path("link.txt")).unwrap();
    symlink("state/journal.jsonl", project.path("state.txt")).unwrap();
    for name in ["link.txt", "secret/key", "with.txt", "state.txt"] {
        let call = project.call(["output", "--format", "template", "--template", name]);
        let run = keeps_quiet(call.env("CHATAPI_API_KEY_FILE", "secret/key").run()).warns(&format!("{name} is no template"));
        assert!(run.stdout.is_empty(), "{run}");
    }
}

#[test]
fn p11_what_a_state_keeps_is_no_manifest_and_no_table() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.run("apply").exits(0).done();
    let token = project.token("a");
    symlink("state/journal.jsonl", project.path("rows.csv")).unwrap();
    symlink("state/journal.jsonl", project.path("journal.yaml")).unwrap();
    symlink("state", project.path("folder")).unwrap();
    project.write("rows.yaml", "instances: [{for_each: {file: rows.csv}, name: 'a-{x}', type: whatsapp}]\n");
    project.write("chatapi.yaml", "environments: {prod: {state: state, var_files: [folder/journal.jsonl]}}\n");
    for line in ["rows.yaml", "journal.yaml", "state/journal.jsonl", "folder/lock", "--env prod instances.yaml"] {
        let run = project.run(&format!("plan --state state {line}")).exits(1).warns("this file is a state's");
        assert!(!run.stdout.contains(&token) && !run.stderr.contains(&token), "{run}");
    }
    // A manifest may stand where a journal does.
    fs::remove_file(project.path("chatapi.yaml")).unwrap();
    project.write("state/more.yaml", "provider: {kind: emulator}\ninstances: [{name: a, type: whatsapp}]\n");
    project.run("plan state/more.yaml --lock-file chatapi.lock").exits(0).done();
}
