//! `chatapi completions`: each shell's script, read by that shell where it is installed.

use std::process::Command;

use crate::stage::{Call, Project, manifest};

/// The verbs that the help shows.
fn verbs() -> Vec<String> {
    let help = Project::new("").run("--help").exits(0).stdout;
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let verbs: Vec<_> = names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    assert!(verbs.len() >= 14 && verbs.contains(&"apply".to_owned()), "{verbs:?}");
    verbs
}

fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

#[test]
fn bash_completes_verbs_and_flags() {
    let project = Project::new("");
    project.write("completions", project.run("completions bash").exits(0).stdout);
    let complete = |words: &[&str]| {
        let (last, before) = (words.last().unwrap(), words[words.len() - 2]);
        let typed = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let script = format!(
            "source completions; complete -p chatapi >&2; COMP_WORDS=({typed}); COMP_CWORD={}; _chatapi chatapi '{last}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.len() - 1
        );
        let run = Call::of("bash", project.dir().to_owned(), ["--noprofile", "--norc", "-c", &script]).run().exits(0);
        assert!(run.stderr.contains("-F _chatapi"), "{run}");
        run.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let offered = complete(&["chatapi", ""]);
    for verb in verbs() {
        assert!(offered.contains(&verb), "{verb}: {offered:?}");
    }
    assert_eq!(complete(&["chatapi", "doc"]), ["doctor"]);
    assert!(complete(&["chatapi", "state", ""]).contains(&"rebuild".to_owned()));
    assert_eq!(complete(&["chatapi", "plan", "--detailed"]), ["--detailed-exitcode"]);
    assert_eq!(complete(&["chatapi", "--format", "j"]), ["json"]);
}

#[test]
fn bash_completes_the_names_that_the_state_records() {
    let project = Project::new(&manifest("{kind: emulator}", &["sandbox", "support-eu", "support-us"]));
    project.run("apply").done();
    project.run("state list --names").exits(0).prints("sandbox\nsupport-eu\nsupport-us\n").done();
    project.write("completions", project.run("completions bash").exits(0).stdout);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_chatapi"), project.path("chatapi")).unwrap();
    let complete = |line: &str| {
        let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
        let (last, before) = (words.last().unwrap(), &words[words.len() - 2]);
        let script = format!(
            "source completions; COMP_WORDS=({}); COMP_CWORD={}; _chatapi_recorded chatapi {last} {before}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words.len() - 1
        );
        let call = Call::of("bash", project.dir().to_owned(), ["--noprofile", "--norc", "-c", &script]);
        let path = format!("{}:/usr/bin:/bin", project.dir().display());
        call.env("PATH", path).run().exits(0).stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    for line in ["state show sup", "token get sup", "output --reveal sandbox sup", "resolve sup", "--state state release sup"] {
        assert_eq!(complete(&format!("chatapi {line}")), ["support-eu", "support-us"], "{line}");
    }
    assert_eq!(complete("chatapi state mv "), ["sandbox", "support-eu", "support-us"]);
    assert_eq!(complete("chatapi --state elsewhere state show sup"), [""; 1]);
    assert!(complete("chatapi state show --for").contains(&"--format".to_owned()));
    assert!(complete("chatapi sta").contains(&"state".to_owned()));
}

#[test]
fn zsh_and_fish_ask_for_the_names_where_a_command_takes_one() {
    let project = Project::new("");
    let zsh = project.run("completions zsh").exits(0).stdout;
    assert_eq!(zsh.matches(":_chatapi_recorded'").count(), 13, "{zsh}");
    assert!(zsh.starts_with("#compdef chatapi\n") && zsh.contains("':to -- The name it gets:_default'"), "{zsh}");
    let fish = project.run("completions fish").exits(0).stdout;
    assert_eq!(fish.matches("(chatapi state list --names 2>/dev/null)").count(), 13, "{fish}");
}

#[test]
fn every_shell_has_a_script_with_every_verb() {
    let project = Project::new("");
    for (shell, check) in
        [("bash", &["bash", "-n"][..]), ("zsh", &["zsh", "-n"]), ("fish", &["fish", "--no-execute"]), ("powershell", &[])]
    {
        let run = project.run(&format!("completions {shell}")).exits(0);
        assert!(run.stderr.is_empty(), "{run}");
        for verb in verbs() {
            assert!(run.stdout.contains(&verb), "{shell} does not know {verb}");
        }
        project.write("script", &run.stdout);
        match check {
            [program, flag] if is_installed(program) => {
                Call::of(program, project.dir().to_owned(), [*flag, "script"]).run().done();
            }
            _ => eprintln!("skipped: {shell} is not installed"),
        }
    }
    project.run("completions elvish").exits(1).warns("powershell");
    project.run("completions pwsh").exits(0).prints("Register-ArgumentCompleter");
}
