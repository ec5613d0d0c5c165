//! Whom the program talks to: the configured origin, and nobody else; looking talks to nobody (T1, T6, T7, T27, T31).

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;

use crate::stage::{Call, Gateway, OtherGateway, Project, Reply, Run, manifest};

/// Listens, and says whether anybody came.
struct Trap(TcpListener);

impl Trap {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn url(&self) -> String {
        format!("http://{}/", self.0.local_addr().unwrap())
    }

    #[track_caller]
    fn is_untouched(&self, what: &str) {
        let accepted = self.0.accept().map(|(_, from)| from).map_err(|error| error.kind());
        assert_eq!(accepted, Err(ErrorKind::WouldBlock), "{what}: somebody connected");
    }
}

/// Runs `line` and gives its calls to the network, as strace sees them; none: it is not there, or may not.
fn traced(project: &Project, line: &str) -> Option<(Run, String)> {
    let strace = Path::new("/usr/bin/strace");
    let may = strace.exists()
        && Call::of("/usr/bin/strace", project.dir().to_owned(), ["-o", "probe", "/bin/true"]).run().code == 0
        // It is not dumpable: only root sees what it passes to the system.
        && super::is_root();
    if !may {
        eprintln!("skipped: strace as root is needed to see every connection");
        return None;
    }
    let words = ["-f", "-qq", "-s", "200", "-e", "trace=network", "-o", "trace", env!("CARGO_BIN_EXE_chatapi")];
    let run = Call::of("/usr/bin/strace", project.dir().to_owned(), words.into_iter().chain(line.split(' '))).envs(project.env());
    let run = run.run();
    Some((run, project.read("trace")))
}

#[test]
fn t6_t7_t31_only_the_configured_origin_is_contacted() {
    let trap = Trap::new();
    let (there, again) = (trap.url(), trap.url());
    let server = OtherGateway::start(move |asked| {
        let id = 70 + asked.body.len();
        let instance = format!(r#"{{"id":{id},"apiUrl":"{there}instance{id}/","token":"Token0123456789"}}"#);
        let body = match asked.function() {
            "newInstance" => format!(r#"{{"result":{{"status":"created","instance":{instance}}}}}"#),
            _ => format!(r#"{{"result":[{{"id":7,"type":"whatsapp","name":"{there}","apiUrl":"{there}"}}]}}"#),
        };
        Reply::new(200, body).to(&again)
    });
    let mut project = Project::at(&server.url(), &["a"]);
    for proxy in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        project = project.with(proxy, trap.url());
    }
    project.run("apply").done();
    assert_eq!(
        project.run("state list --format json").exits(0).json()[0]["api_url"],
        format!("{}instance{}/", trap.url(), 70 + { server.asked().iter().find(|asked| asked.is_create()).unwrap().body.len() })
    );
    for line in ["plan", "state show a", "doubts --refresh", "token get a", "apply", "version", "validate"] {
        project.run(line).done();
    }
    trap.is_untouched("apply and all that looks");
    project.declare(&manifest("{kind: chatapi}", &["a", "b"]));
    let Some((run, trace)) = traced(&project, "apply --allow-unknown all") else { return };
    // The second answer has the first one's id.
    assert_ne!(run.code, 1, "{run}");
    let port = server.url().rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
    let connects: Vec<&str> = trace.lines().filter(|line| line.contains("connect(")).collect();
    let is_ours = |line: &&str| line.contains(&format!("htons({port})")) && line.contains("127.0.0.1");
    assert!(!connects.is_empty() && connects.iter().all(is_ours), "{connects:#?}");
    let is_bound = |line: &str| line.contains("bind(") || line.contains("listen(") || line.contains("SOCK_DGRAM");
    assert!(!trace.lines().any(is_bound), "{trace}");
    trap.is_untouched("a traced apply");
}

#[test]
fn t27_looking_opens_no_socket() {
    let gateway = Gateway::start(&["create:nth=2=drop-after"]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    project.run("apply --parallelism 1").exits(3);
    let trap = Trap::new();
    let looking = [
        ("plan", 3),
        ("plan --detailed-exitcode --format json", 3),
        ("validate", 0),
        ("state list", 0),
        ("state show", 0),
        ("doubts", 3),
        ("token get a", 0),
        ("version", 0),
        ("--help", 0),
    ];
    let project = project.with("CHATAPI_URL", trap.url());
    for (line, code) in looking {
        project.run(line).exits(code);
        project.call(line.split(' ')).env("CHATAPI_URL", "http://127.0.0.1:1/").run().exits(code);
        project.call(line.split(' ')).without("CHATAPI_URL").without("CHATAPI_API_KEY").run().exits(code);
        trap.is_untouched(line);
        if let Some((run, trace)) = traced(&project, line) {
            run.exits(code);
            // A pair of sockets without a name wakes the thread that waits for signals.
            let is_network = |call: &str| ["socket(", "connect(", "bind("].iter().any(|name| call.contains(name));
            assert!(!trace.lines().any(is_network), "{line}: {trace}");
        }
    }
}

#[test]
fn t1_no_manifest_says_where_the_key_goes() {
    let (gateway, trap) = (Gateway::start(&[]), Trap::new());
    let project = Project::at(&gateway.url(), &["a"]);
    for key in ["url", "endpoint", "base_url", "api_url", "host", "server", "proxy", "api_key", "apiKey", "uid"] {
        let at = trap.url();
        for text in [
            format!("provider: {{kind: chatapi, {key}: '{at}'}}\ninstances: [{{name: a, type: whatsapp}}]\n"),
            format!("{key}: '{at}'\ninstances: [{{name: a, type: whatsapp}}]\n"),
            format!("instances: [{{name: a, type: whatsapp, {key}: '{at}'}}]\n"),
            format!("provider: '{at}'\ninstances: [{{name: a, type: whatsapp}}]\n"),
        ] {
            project.declare(&text);
            project.run("apply").exits(1).warns("instances.yaml");
        }
    }
    trap.is_untouched("a manifest");
    assert_eq!(gateway.requests(), 0);
}
