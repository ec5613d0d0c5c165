//! `qr`: the code that links a phone is one that a phone can read, is kept from others, and is waited for.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use rqrr::PreparedImage;
use rustix::process::Signal;
use serde_json::Value;

use crate::stage::{Gateway, OtherGateway, Project, Reply, Terminal, is_free_of, manifest};

/// What a reader that we did not write makes of a picture whose pixel at a place is dark.
fn read(width: usize, height: usize, is_dark: impl Fn(usize, usize) -> bool) -> String {
    let mut image = PreparedImage::prepare_from_greyscale(width, height, |x, y| if is_dark(x, y) { 0 } else { 255 });
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1, "one code");
    grids[0].decode().unwrap().1
}

/// The code in what a terminal shows.
fn in_terminal(text: &str) -> String {
    let rows: Vec<Vec<char>> = text.lines().filter(|line| line.contains('█')).map(|line| line.chars().collect()).collect();
    let (width, scale) = (rows[0].len(), 4);
    let is_dark = |x: usize, y: usize| {
        let glyph = rows[y / scale / 2][x / scale];
        match y / scale % 2 {
            0 => matches!(glyph, '▄' | ' '),
            _ => matches!(glyph, '▀' | ' '),
        }
    };
    read(width * scale, rows.len() * 2 * scale, is_dark)
}

/// The code in a PNG.
fn in_png(bytes: &[u8]) -> String {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let (width, height) = (usize::try_from(info.width).unwrap(), usize::try_from(info.height).unwrap());
    read(width, height, |x, y| pixels[y * width + x] < 128)
}

/// The code in an SVG of ours: a square of one for each dark module.
fn in_svg(text: &str) -> String {
    let document = roxmltree::Document::parse(text).unwrap();
    let side: usize = document.root_element().attribute("viewBox").unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    let path = document.descendants().find_map(|node| node.attribute("d")).unwrap().to_owned();
    let squares: Vec<(usize, usize)> = path
        .split('M')
        .skip(1)
        .map(|square| square.strip_suffix("h1v1h-1z").unwrap().split_once(' ').unwrap())
        .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
        .collect();
    read(side * 4, side * 4, |x, y| squares.contains(&(x / 4, y / 4)))
}

/// What the instance `id` gives as its code.
fn code(gateway: &Gateway, id: &str) -> String {
    let status: Value = serde_json::from_str(&gateway.instance(id, "status")).unwrap();
    status["qrCode"].as_str().unwrap().to_owned()
}

fn project(gateway: &Gateway) -> (Project, String) {
    let project = Project::at(&gateway.url(), &["a"]);
    project.run("apply").exits(0).done();
    let id = project.ids()["a"].clone();
    (project, id)
}

#[test]
fn every_form_is_read_as_what_the_server_gave() {
    let gateway = Gateway::start(&[]);
    let (project, id) = project(&gateway);
    let code = code(&gateway, &id);
    let before = project.copy_of_state();
    let run = project.run("qr a --no-wait --print").exits(0);
    assert_eq!(in_terminal(&run.stdout), code);
    let said = project.run("qr a --no-wait --json --png code.png").exits(0).stdout;
    assert!(said.contains("\"message\": \"the code of `a` is written.\""), "{said}");
    let run = project.run("qr a --no-wait --png code.png --svg code.svg").exits(0).warns("wrote code.png");
    assert!(run.stdout.is_empty(), "{run}");
    assert_eq!(in_png(&std::fs::read(project.path("code.png")).unwrap()), code);
    assert_eq!(in_svg(&project.read("code.svg")), code);
    for file in ["code.png", "code.svg"] {
        assert_eq!(project.path(file).metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    is_free_of(&[code, gateway.tokens()[&id].clone()], &run.to_string(), "qr");
    assert_eq!(project.copy_of_state(), before, "looking writes nothing");
}

#[test]
fn p11_it_is_not_printed_where_no_terminal_is_unless_that_is_asked_for() {
    let gateway = Gateway::start(&[]);
    let (project, id) = project(&gateway);
    for line in ["qr a", "qr a --no-wait", "qr a --format json"] {
        let run = project.run(line).exits(1).warns("not printed where no terminal is").warns("`--png FILE`");
        assert!(run.stdout.is_empty(), "{run}");
    }
    // What is wrong whatever is typed besides comes first.
    let nobodys = project.run("qr nobody").exits(1).warns("nothing is recorded under `nobody`");
    assert!(!nobodys.stderr.contains("no terminal is"), "{nobodys}");
    project.run("qr a --format json --print").exits(1).done_with("does not go with JSON");
    for (line, why) in [
        ("qr a --png state/x.png", "state's directory"),
        ("qr a --svg chatapi.lock", "a lock file's name"),
        ("qr a --png x --svg x", "name the same file"),
        ("qr a --png no/such/dir/x.png --no-wait", "cannot write no/such/dir/x.png"),
    ] {
        project.run(line).exits(1).done_with(why);
    }
    assert!(gateway.instance(&id, "status").contains("got qr code"));
}

#[test]
fn it_waits_until_a_phone_is_linked() {
    let gateway = Gateway::start(&[]);
    let (project, id) = project(&gateway);
    let waiting = project.call("qr a --png code.png --interval 100ms".split(' ')).start();
    waiting.says("waiting for that");
    gateway.instance(&id, "emulatorLink");
    waiting.wait().exits(0).prints("`a` is linked to a phone.").done();
    project.run("qr a --svg code.svg").exits(0).prints("`a` is linked to a phone already.").done();
    assert!(!project.path("code.svg").exists(), "there is no code any more");
    gateway.instance(&id, "logout");
    let run = project.run("qr a --png code.png --interval 100ms --wait-for 300ms").exits(3);
    run.warns("`a` was not linked in time").done_with("`--wait-for 30m` waits longer");
    let waiting = project.call("qr a --png code.png --interval 100ms".split(' ')).start();
    waiting.says("waiting for that");
    waiting.signal(Signal::INT);
    let run = waiting.wait();
    assert_eq!(run.code, 130, "{run}");
    let counting = Gateway::with_phones(Some(3), false);
    let project = Project::at(&counting.url(), &["a"]);
    project.run("apply").exits(0).done();
    project.run("qr a --print --interval 100ms").exits(0).prints("is linked to a phone.").done();
}

/// A picture of the server's is written as it is, and its squares are read for the other forms.
#[test]
fn a_code_that_comes_as_a_picture_is_shown_in_every_form_too() {
    let gateway = Gateway::start(&[]);
    let (drawing, id) = project(&gateway);
    let code = code(&gateway, &id);
    drawing.run("qr a --no-wait --png code.png").exits(0).done();
    let png = std::fs::read(drawing.path("code.png")).unwrap();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &png);
    for prefix in ["data:image/png;base64,", ""] {
        let answer = format!(r#"{{"accountStatus":"got qr code","qrCode":"{prefix}{encoded}"}}"#);
        let (_server, project) = answering(move |_| answer.clone());
        project.run("qr a --no-wait --png came.png").exits(0).done();
        assert_eq!(std::fs::read(project.path("came.png")).unwrap(), png);
        assert_eq!(in_terminal(&project.run("qr a --no-wait --print").exits(0).stdout), code);
        project.run("qr a --no-wait --svg came.svg").exits(0).done();
        assert_eq!(in_svg(&project.read("came.svg")), code);
    }
    let pictured = Gateway::with_phones(None, true);
    let project = Project::at(&pictured.url(), &["a"]);
    project.run("apply").exits(0).done();
    project.run("qr a --no-wait --png dot.png").exits(0).done();
    project.run("qr a --no-wait --print").exits(1).warns("its squares cannot be told").done_with("`--png FILE`");
    let (_server, project) = answering(|_| r#"{"accountStatus":"got qr code","qrCode":"data:image/gif;base64,AAAA"}"#.to_owned());
    project.run("qr a --no-wait --png x.png").exits(1).done_with("no whole PNG");
    assert!(!project.path("x.png").exists());
}

/// A server with one instance, whose answer to its nth question for the status is that.
fn answering(status: impl Fn(usize) -> String + Send + Sync + 'static) -> (OtherGateway, Project) {
    let own = Arc::new(Mutex::new(String::new()));
    let (address, asked) = (Arc::clone(&own), Mutex::new(0));
    let server = OtherGateway::start(move |call| match call.function() {
        "newInstance" => {
            let base = address.lock().unwrap().clone();
            let instance = format!(r#"{{"id":"1","apiUrl":"{base}/i1","token":"tokentokentoken1"}}"#);
            Reply::new(200, format!(r#"{{"result":{{"status":"created","instance":{instance}}}}}"#))
        }
        "status" => {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            Reply::new(200, status(*asked))
        }
        _ => Reply::new(200, r#"{"result":[]}"#),
    });
    *own.lock().unwrap() = server.url();
    let project = Project::at(&server.url(), &["a"]);
    project.run("apply").exits(0).done();
    (server, project)
}

#[test]
fn codes_that_change_words_in_between_and_instances_without_one() {
    let (_server, project) = answering(|number| {
        let words =
            [r#""loading""#, r#""got qr code","qrCode":"2@one""#, r#""got qr code","qrCode":"2@two""#, r#""authenticated""#];
        format!(r#"{{"accountStatus":{}}}"#, words[(number - 1).min(3)])
    });
    let run =
        project.run("qr a --print --interval 100ms").exits(0).warns("says `loading`, and shows no code yet").warns("a new code");
    let lines: Vec<&str> = run.stdout.lines().filter(|line| line.contains('█')).collect();
    let (first, second) = lines.split_at(lines.len() / 2);
    assert_eq!([in_terminal(&first.join("\n")), in_terminal(&second.join("\n"))], ["2@one", "2@two"]);
    for (answer, code, why) in [
        (r#"{"accountStatus":"not_paid"}"#, 3, "is not paid for"),
        (r#"{"accountStatus":"loading"}"#, 3, "shows no code now"),
        (r#"{"error":"no such instance"}"#, 1, "`a` cannot be asked: it refuses: no such instance"),
        (r#"{"accountStatus":"got qr code","qrCode":"TEXT"}"#, 1, "too long"),
    ] {
        let answer = answer.replace("TEXT", &"x".repeat(5_000));
        let (_server, project) = answering(move |_| answer.clone());
        project.run("qr a --no-wait --print").exits(code).done_with(why);
    }
    let gateway = Gateway::start(&["create:nth=1=no-token", "create:nth=2=drop-after"]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply --parallelism 1").exits(3).done_or_doubtful();
    project.run("qr a --print").exits(3).done_with("`chatapi token set a < FILE`");
    project.run("qr b --print").exits(3).done_with("not concluded");
    project.run("qr c --print").exits(1).done_with("nothing is recorded under `c`");
}

/// Runs `line` with its standard output at a terminal of so many columns; gives what that shows.
fn at_terminal(project: &Project, line: &str, columns: u16) -> (i32, String) {
    let (screen, terminal) = Terminal::open(columns);
    let run = project.call(line.split(' ')).env("TERM", "xterm-256color").stdout_to(terminal).coloured().run();
    (run.code, format!("{}{}", screen.end(), run.stderr))
}

#[test]
fn a_terminal_shows_it_black_on_white_and_is_not_overfilled() {
    let gateway = Gateway::start(&[]);
    let (project, id) = project(&gateway);
    let code = code(&gateway, &id);
    let (exit, shown) = at_terminal(&project, "qr a --no-wait", 80);
    assert_eq!(exit, 0, "{shown}");
    assert!(shown.contains("\u{1b}[38;5;231m\u{1b}[48;5;16m"), "{shown:?}");
    let plain = anstream::adapter::strip_str(&shown).to_string();
    assert_eq!(in_terminal(&plain), code);
    let (exit, shown) = at_terminal(&project, "qr a --no-wait", 20);
    assert!(exit == 1 && shown.contains("and the terminal has 20") && !shown.contains('█'), "{shown}");
    let (exit, shown) = at_terminal(&project, "qr a --no-wait --png code.png", 80);
    assert!(exit == 0 && !shown.contains('█'), "it goes to the file alone: {shown}");
}

#[test]
fn the_embedded_emulator_plays_a_phone_that_scans() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.run("apply").exits(0).done();
    project.run("qr a --print --interval 100ms").exits(0).prints("█").prints("`a` is linked to a phone.").done();
}
