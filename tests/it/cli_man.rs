//! `chatapi man`: a page for each command, with all that the help does not say.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::stage::{Call, Project};

/// The commands, as clap's help names them, below `verb`.
fn commands(project: &Project, verb: &str, into: &mut Vec<String>) {
    into.push(format!("chatapi {verb}").trim().replace(' ', "-"));
    let line = format!("{verb} --help");
    let help = project.run(line.trim()).exits(0).stdout;
    let Some((_, listed)) = help.split_once("Commands:\n") else { return };
    let names = listed.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        commands(project, format!("{verb} {name}").trim(), into);
    }
}

#[test]
fn every_command_has_a_page_with_all_its_sections() {
    let project = Project::new("");
    let run = project.run("man --out pages/man1").exits(0);
    let mut expected = Vec::new();
    commands(&project, "", &mut expected);
    run.prints(&format!("{} pages in pages/man1.", expected.len()));
    let pages: Vec<_> = Project::files(&project.path("pages/man1")).into_iter().collect();
    let names: Vec<_> = pages.iter().map(|(path, _)| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>(), expected.iter().collect());
    for (path, bytes) in pages {
        let (name, page) = (path.file_stem().unwrap().to_str().unwrap(), String::from_utf8(bytes).unwrap());
        let title = format!(".TH {name} 1");
        for part in [
            title.as_str(),
            ".SH NAME\n",
            ".SH SYNOPSIS\n",
            ".SH DESCRIPTION\n",
            ".SH \"EXIT STATUS\"\n",
            ".SH ENVIRONMENT\n",
            ".SH FILES\n",
            "\\fBCHATAPI_URL\\fR\n",
        ] {
            assert_eq!(page.matches(part).count(), 1, "{part} in {name}");
        }
        assert!(page.is_ascii(), "{name}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644, "{name}");
        rendered(&project, &path, name);
    }
    project.run("man --out pages/man1").exits(0);
}

/// As a reader sees it, where groff is installed: no warnings, and its name in it.
fn rendered(project: &Project, path: &std::path::Path, name: &str) {
    if Command::new("groff").arg("--version").output().is_err() {
        eprintln!("skipped: groff is not installed");
        return;
    }
    let words = ["-man".as_ref(), "-Tutf8".as_ref(), "-ww".as_ref(), path.as_os_str()];
    let path_of_tools = std::env::var_os("PATH").unwrap_or_default();
    let run = Call::of("groff", project.dir().to_owned(), words).env("PATH", path_of_tools).coloured().run().exits(0);
    assert!(run.stderr.is_empty(), "{run}");
    assert!(run.stdout.contains(name), "{name} is not in its page");
}

#[test]
fn the_synopsis_names_what_has_to_be_said_and_no_flag_that_need_not_be() {
    let project = Project::new("");
    project.run("man --out pages").exits(0).done();
    let synopsis = |name: &str| {
        let page = project.read(&format!("pages/{name}.1"));
        page.split_once(".SH SYNOPSIS\n").unwrap().1.lines().next().unwrap().to_owned()
    };
    assert_eq!(synopsis("chatapi-apply"), r"\fBchatapi apply\fR [\fIOPTIONS\fR] [\fIFILE\fR]...");
    assert_eq!(
        synopsis("chatapi-resolve"),
        r"\fBchatapi resolve\fR [\fIOPTIONS\fR] \fB\-\-attempt\fR <\fIATTEMPT\fR> <\fB\-\-created\fR <\fIID\fR>|\fB\-\-not\-created\fR> <\fINAME\fR>"
    );
    assert_eq!(synopsis("chatapi-state-mv"), r"\fBchatapi state mv\fR [\fIOPTIONS\fR] <\fIFROM\fR> <\fITO\fR>");
}

#[test]
fn alone_it_prints_the_first_page() {
    let project = Project::new("");
    project.run("man --out pages").exits(0).done();
    let printed = project.run("man").exits(0).stdout;
    assert_eq!(printed, fs::read_to_string(project.path("pages/chatapi.1")).unwrap());
    project.write("file", "");
    project.run("man --out file/below").exits(1).warns("cannot write the manual pages to file/below");
}

#[test]
fn its_exit_codes_are_those_of_the_readme() {
    let page = Project::new("").run("man").exits(0).stdout;
    let readme = fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let codes = readme.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse::<u8>().ok());
    let codes: Vec<u8> = codes.collect();
    assert!(codes.len() >= 8, "{codes:?}");
    for code in codes {
        assert!(page.contains(&format!("\\fB{code}\\fR\n")), "{code}");
    }
}
