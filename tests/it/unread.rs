//! Readers that are there and take nothing: they hold up no run that has sent something, and no state (P1, P8).

use std::fs::File;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, fcntl_getfl, fcntl_setfl, mkfifoat, open};
use serde_json::Value;

use crate::stage::{Call, Gateway, OtherGateway, Project, eventually};

/// Writes into the pipe until it takes no more.
fn fill(mut pipe: impl std::io::Write) {
    for size in [4_096, 1] {
        let end = loop {
            if let Err(error) = pipe.write_all(&vec![b' '; size]) {
                break error;
            }
        };
        assert_eq!(end.kind(), ErrorKind::WouldBlock);
    }
}

/// A pipe that is full.
fn stuck() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    fill(&writer);
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

/// A named pipe, and its reader.
fn named(path: &Path) -> File {
    mkfifoat(CWD, path, Mode::from_raw_mode(0o600)).unwrap();
    File::from(open(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap())
}

#[test]
fn p1_p8_a_standard_output_that_nobody_reads_ends_an_apply_neither_early_nor_never() {
    let gateway = Gateway::start(&[]);
    let names: Vec<String> = (0..30).map(|number| format!("customer-support-{number:02}")).collect();
    let project = Project::at(&gateway.url(), &names.iter().map(String::as_str).collect::<Vec<_>>());
    let (mut reader, writer) = stuck();
    // Room for the first lines, and not for all.
    reader.read_exact(&mut [0; 4_096]).unwrap();
    let words = ["apply", "--events", "--parallelism", "1", "--json-into", "out.json"];
    let run = project.call(words).stdout_to(OwnedFd::from(writer)).run().exits(4);
    let run = run.warns("cannot write the result to standard output").warns("its reader takes nothing");
    assert_eq!((gateway.creates(), project.ids().len()), (30, 30), "{run}");
    let document: Value = serde_json::from_str(&project.read("out.json")).unwrap();
    assert_eq!(document["summary"]["created"], 30);
    project.run("apply").exits(0).prints("30 instances exist as declared").done();
}

/// What CI systems do to a job that is cancelled: those in flight are recorded, although nobody reads what is told of them.
#[test]
fn p3_p10_a_signal_is_obeyed_while_nobody_reads() {
    let (server, _) = OtherGateway::healthy(true);
    let names: Vec<String> = (0..12).map(|number| format!("n{number:02}")).collect();
    let project = Project::at(&server.url(), &names.iter().map(String::as_str).collect::<Vec<_>>());
    let (_reader, writer) = stuck();
    server.hold();
    let call = project.call(["apply", "--parallelism", "4"]);
    let apply = call.stdout_to(OwnedFd::from(writer)).start();
    server.sees_creates(4);
    apply.signal(rustix::process::Signal::TERM);
    server.release();
    let _ = apply.wait().exits(143);
    assert_eq!((server.creates(), project.ids().len()), (4, 4));
}

/// What is said there is lost, and nothing else.
#[test]
fn p1_a_standard_error_that_nobody_reads_holds_up_nothing() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    let path = project.path("pipe");
    let _reader = named(&path);
    fill(File::from(open(&path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).unwrap()));
    let words = ["-c", "exec \"$0\" apply --write-outputs json=all.json 2> pipe", env!("CARGO_BIN_EXE_chatapi")];
    let run = Call::of("bash", project.dir().to_owned(), words).envs(project.env()).run();
    run.exits(0).prints("Apply: 2 created").done();
    assert_eq!((gateway.creates(), project.read("all.json").matches("\"token\"").count()), (2, 2));
}

#[test]
fn p1_p8_a_pipe_that_nobody_reads_is_told_when_all_is_done() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    let path = project.path("pipe");
    let _reader = named(&path);
    fill(File::from(open(&path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).unwrap()));
    let run = project.run("apply --json-into pipe --markdown-into out.md").exits(4).prints("Apply: 1 created");
    let _ = run.warns("cannot write the report pipe").warns("its reader takes nothing");
    assert!(project.read("out.md").contains("1 created"));
    assert_eq!(gateway.creates(), 1);
}

#[test]
fn a_pipe_gets_its_report_if_its_reader_is_there_and_stops_the_run_if_not() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    let mut reader = named(&project.path("pipe"));
    mkfifoat(CWD, project.path("lonely"), Mode::from_raw_mode(0o600)).unwrap();
    for kind in ["json", "markdown", "junit", "gitlab", "dotenv"] {
        let run = project.run(&format!("apply --{kind}-into lonely")).exits(1).warns("cannot write the report lonely");
        let _ = run.warns("nobody reads that pipe: start its reader first").warns("nothing was sent");
    }
    assert_eq!(gateway.requests(), 0);
    project.run("apply --json-into pipe").exits(0).prints("1 created").done();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["summary"]["created"], 1);
    assert_eq!(gateway.creates(), 1);
}

/// A reader that takes its time, but takes, gets all of it.
#[test]
fn a_slow_reader_gets_every_byte() {
    let names: Vec<String> = (0..600).map(|number| format!("customer-support-{number:04}")).collect();
    let project =
        Project::new(&crate::stage::manifest("{kind: emulator}", &names.iter().map(String::as_str).collect::<Vec<_>>()));
    let (mut reader, writer) = std::io::pipe().unwrap();
    let plan = project.call(["plan", "--json-into", "/dev/stdout"]).stdout_to(OwnedFd::from(writer)).start();
    let mut text = Vec::new();
    let mut buffer = [0; 100];
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        text.extend_from_slice(&buffer[..count]);
    }
    plan.wait().exits(0).done();
    let text = String::from_utf8(text).unwrap();
    let document = text.find("\n{").map(|at| &text[at..]).unwrap();
    assert!(document.len() > 70_000, "{}", document.len());
    assert_eq!(serde_json::from_str::<Value>(document).unwrap()["summary"]["create"], 600);
}

/// What a verb has done stands in the state and in the lock file, and the state is free, before anybody has to read of it.
#[test]
fn p8_what_changes_a_state_lets_it_go_before_it_tells_of_it() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply --write-outputs json=out.json").exits(0);
    let lines =
        [("state mv a z", "state mv", "\"z\""), ("release z", "release", "\"released\""), ("output --retry", "output", "")];
    for (line, verb, locked) in lines {
        let (reader, writer) = stuck();
        let running = project.call(line.split(' ')).stdout_to(OwnedFd::from(writer)).start();
        eventually("its lock", || project.read("state/lock").contains(&format!("\"{verb}\"")));
        eventually("the lock file", || project.read("chatapi.lock").contains(locked));
        project.run("state compact --lock-timeout 60s").exits(0);
        drop(reader);
        running.wait().exits(0).done();
    }
}
