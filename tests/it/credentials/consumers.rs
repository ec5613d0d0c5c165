//! The real readers: shells, python-dotenv, node's dotenv and its YAML.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use chatapi::report::credentials::{Grammar, Prefix, SecretPlace, Shape, render};
use serde_json::Value;

use super::formats::{accepted, expected, secret};
use super::values::{MEANT_OTHERWISE, all, credential, tokens};
use crate::properties::readers::Variables;
use crate::stage::{Call, Project, Run, manifest};

/// A program with what it needs of this machine's environment.
fn program(name: &str, directory: &Path, words: &[&str]) -> Call {
    let call = Call::of(name, directory.to_owned(), words);
    ["PATH", "HOME"].into_iter().fold(call, |call, variable| match std::env::var_os(variable) {
        Some(value) => call.env(variable, value),
        None => call,
    })
}

/// Seen also where the output of tests that pass is not shown.
fn tell(what: &str) {
    std::io::stderr().write_all(format!("NOT TESTED: {what}\n").as_bytes()).unwrap();
}

/// Whether `name` can be started here. If not, it is said: what is not asked proves nothing.
fn has(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&paths).any(|path| path.join(name).is_file());
    if !is_there {
        tell(&format!("{name} is not installed here, and did not read what is written for it"));
    }
    is_there
}

/// Where `.ci/run` has put the packages of `kind`.
fn packages(kind: &str) -> Option<PathBuf> {
    let place = std::env::var_os("CHATAPI_TEST_CONSUMERS").map(|place| PathBuf::from(place).join(kind));
    let found = place.filter(|place| place.is_dir());
    if found.is_none() {
        tell(&format!("CHATAPI_TEST_CONSUMERS names no directory with {kind}; see .ci/run"));
    }
    found
}

/// The variables of an environment as `env -0` prints it.
fn environment(run: &Run) -> Variables {
    let pairs = run.stdout.split_terminator('\0').map(|pair| pair.split_once('=').unwrap());
    pairs.filter(|(name, _)| name.starts_with("CHATAPI_")).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[track_caller]
fn is_same(got: &Variables, expected: &Variables, what: &str) {
    let wrong: Vec<_> = expected.iter().filter(|(name, value)| got.get(*name) != Some(value)).take(3).collect();
    assert!(wrong.is_empty(), "{what}: {wrong:?}, not {:?}", wrong.iter().map(|(name, _)| got.get(*name)).collect::<Vec<_>>());
    let more: Vec<_> = got.iter().filter(|(name, _)| !expected.contains_key(*name)).take(3).collect();
    assert!(more.is_empty(), "{what}: {more:?}");
}

#[test]
fn shells_read_every_value_by_eval_and_from_a_file() {
    let place = tempfile::tempdir().unwrap();
    for values in [all(400), tokens(400)] {
        let (text, expected, _) = accepted(Grammar::Shell, &values);
        fs::write(place.path().join("file.sh"), text).unwrap();
        for shell in ["bash", "dash", "sh"].into_iter().filter(|shell| has(shell)) {
            for script in [". ./file.sh; env -0", "eval \"$(cat file.sh)\"; env -0", "set -eu; . ./file.sh; env -0"] {
                let run = program(shell, place.path(), &["-c", script]).run().exits(0);
                assert!(run.stderr.is_empty(), "{run}");
                is_same(&environment(&run), &expected, &format!("{shell}: {script}"));
            }
        }
    }
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["file.sh"], "a value was run");
}

#[test]
fn a_shell_evals_the_binary_itself() {
    let project = Project::new(&manifest("{kind: emulator}", &["support-eu"]));
    project.run("apply").done();
    let token = "it's\"$(touch${IFS}pwned)`touch${IFS}pwned`\\#;&|<>*!";
    project.call(["token", "set", "support-eu", "--replace"]).input(token).run().exits(0);
    let script = format!(
        "eval \"$({} output support-eu --reveal --format shell)\" && printf %s \"$CHATAPI_SUPPORT_EU_TOKEN\"",
        env!("CARGO_BIN_EXE_chatapi")
    );
    for shell in ["bash", "dash"].into_iter().filter(|shell| has(shell)) {
        let run = program(shell, project.dir(), &["-c", &script]).run().exits(0);
        assert_eq!(run.stdout, token, "{shell}");
    }
    assert!(!project.path("pwned").exists());
}

/// The variables that a program prints as one JSON object.
fn printed(run: &Run) -> Variables {
    let Value::Object(members) = run.json() else { panic!("{run}") };
    members.into_iter().map(|(name, value)| (name, value.as_str().unwrap().to_owned())).collect()
}

#[test]
fn python_dotenv_and_nodes_dotenv_read_every_value_alike() {
    let place = tempfile::tempdir().unwrap();
    let (python, node) = (packages("python"), packages("node_modules"));
    let ask_python = "import json, dotenv; print(json.dumps(dotenv.dotenv_values('.env')))";
    let ask_node = "const text = require('fs').readFileSync('.env', 'utf8');\n\
         console.log(JSON.stringify(require('dotenv').parse(text, { fast: process.argv[1] === 'fast' })))";
    for values in [all(3_000), tokens(3_000)] {
        let (text, expected, _) = accepted(Grammar::Dotenv, &values);
        fs::write(place.path().join(".env"), text).unwrap();
        if let Some(packages) = python.as_ref().filter(|_| has("python3")) {
            let run = program("python3", place.path(), &["-c", ask_python]).env("PYTHONPATH", packages).run().exits(0);
            is_same(&printed(&run), &expected, "python-dotenv");
        }
        if let Some(packages) = node.as_ref().filter(|_| has("node")) {
            for reader in ["slow", "fast"] {
                let run = program("node", place.path(), &["-e", ask_node, reader]).env("NODE_PATH", packages).run().exits(0);
                is_same(&printed(&run), &expected, &format!("node's dotenv, {reader}"));
            }
        }
    }
}

#[test]
fn yaml_is_the_same_to_readers_of_both_versions() {
    let place = tempfile::tempdir().unwrap();
    let values = [all(500), tokens(500), MEANT_OTHERWISE.map(str::to_owned).to_vec()].concat();
    let numbered = values.iter().enumerate();
    let credentials: Vec<_> = numbered.map(|(number, value)| credential(&format!("v{number}"), value)).collect();
    let shapes = [Shape::Yaml, Shape::KubernetesSecret(SecretPlace::new("a", None).unwrap(), Prefix::default())];
    let texts = shapes.map(|shape| render(&credentials, &shape).unwrap().expose().to_owned());
    for (name, text) in ["plain.yaml", "secret.yaml"].into_iter().zip(&texts) {
        fs::write(place.path().join(name), text).unwrap();
    }
    let expected = expected(&credentials, &values);
    is_same(&secret(&texts[1]).1, &expected, "the engine of the manifests");
    let Some(packages) = packages("node_modules").filter(|_| has("node")) else { return };
    let ask = "const [version, file] = process.argv.slice(1);\n\
         const read = require('yaml').parse(require('fs').readFileSync(file, 'utf8'), { version });\n\
         const pairs = read.data ? Object.entries(read.data).map(([k, v]) => [k, Buffer.from(v, 'base64').toString()])\n\
           : Object.entries(read.instances).map(([k, v]) => ['CHATAPI_' + k.toUpperCase() + '_TOKEN', v.token]);\n\
         console.log(JSON.stringify(Object.fromEntries(pairs)))";
    for version in ["1.1", "1.2"] {
        for file in ["plain.yaml", "secret.yaml"] {
            let call = program("node", place.path(), &["-e", ask, version, file]).env("NODE_PATH", &packages);
            let all = file == "secret.yaml";
            let wanted = expected.iter().filter(|(name, _)| all || name.ends_with("_TOKEN"));
            let wanted = wanted.map(|(name, value)| (name.clone(), value.clone())).collect();
            is_same(&printed(&call.run().exits(0)), &wanted, &format!("YAML {version}, {file}"));
        }
    }
}
