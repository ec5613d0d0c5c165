//! A second server of the protocol, written from its description alone and sharing no line with the emulator: other spellings of
//! the same answers, answers that no healthy server gives, and creates that wait until the test lets them go.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use super::eventually;

/// A complete request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: String,
}

impl Asked {
    /// The function's name.
    pub(crate) fn function(&self) -> &str {
        let path = self.target.split('?').next().unwrap();
        path.rsplit('/').next().unwrap()
    }

    pub(crate) fn is_create(&self) -> bool {
        self.function() == "newInstance"
    }

    /// The whole of it, as a server that debugs would repeat it.
    pub(crate) fn echo(&self) -> String {
        format!("{} {} {}", self.method, self.target, self.body)
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    body: String,
    location: Option<String>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), location: None }
    }

    /// It points elsewhere.
    pub(crate) fn to(self, location: &str) -> Self {
        Self { location: Some(location.to_owned()), ..self }
    }
}

/// An instance that it made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) id: u64,
    pub(crate) token: String,
}

type Answer = dyn Fn(&Asked) -> Reply + Send + Sync;

/// The server.
pub(crate) struct OtherGateway {
    addr: SocketAddr,
    core: Arc<Core>,
}

struct Core {
    answer: Box<Answer>,
    asked: Mutex<Vec<Asked>>,
    is_held: Mutex<bool>,
    released: Condvar,
    is_over: AtomicBool,
}

impl OtherGateway {
    /// Answers as it is told to.
    pub(crate) fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let core = Arc::new(Core {
            answer: Box::new(answer),
            asked: Mutex::default(),
            is_held: Mutex::new(false),
            released: Condvar::new(),
            is_over: AtomicBool::new(false),
        });
        let serving = Arc::clone(&core);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.is_over.load(Ordering::SeqCst) {
                    break;
                }
                let core = Arc::clone(&serving);
                std::thread::spawn(move || core.converse(&stream.unwrap()));
            }
        });
        Self { addr, core }
    }

    /// Healthy, in spellings that the emulator does not use: ids are numbers, the result says `CREATED`, a null error stands
    /// beside it, there are members that nobody knows; and there is no listing at all, or one keyed by id.
    pub(crate) fn healthy(has_list: bool) -> (Self, Arc<Mutex<Vec<Made>>>) {
        let made = Arc::new(Mutex::new(Vec::new()));
        let memory = Arc::clone(&made);
        let server = Self::start(move |asked| match asked.function() {
            "newInstance" if asked.method == "POST" => create(&mut memory.lock().unwrap()),
            "listInstances" if has_list => list(&memory.lock().unwrap()),
            _ => Reply::new(404, "<h1>nothing here</h1>"),
        });
        (server, made)
    }

    /// With a path, and without the slash at its end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/api", self.addr)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.core.asked.lock().unwrap().clone()
    }

    pub(crate) fn creates(&self) -> usize {
        self.asked().iter().filter(|asked| asked.is_create()).count()
    }

    /// From now on creates are received, and not acted on until [`OtherGateway::release`].
    pub(crate) fn hold(&self) {
        *self.core.is_held.lock().unwrap() = true;
    }

    pub(crate) fn release(&self) {
        *self.core.is_held.lock().unwrap() = false;
        self.core.released.notify_all();
    }

    pub(crate) fn sees_creates(&self, count: usize) {
        eventually("so many creates", || self.creates() >= count);
    }
}

impl Drop for OtherGateway {
    fn drop(&mut self) {
        self.core.is_over.store(true, Ordering::SeqCst);
        self.release();
        // Wakes the accept loop, which then ends.
        let _ = TcpStream::connect(self.addr);
    }
}

impl Core {
    fn converse(&self, stream: &TcpStream) {
        let Some(asked) = read(stream) else { return };
        let is_create = asked.is_create();
        self.asked.lock().unwrap().push(asked.clone());
        if is_create {
            let held = self.is_held.lock().unwrap();
            drop(self.released.wait_while(held, |is_held| *is_held).unwrap());
        }
        let Reply { status, body, location } = (self.answer)(&asked);
        let location = location.map(|location| format!("Location: {location}\r\n")).unwrap_or_default();
        let head = format!("HTTP/1.1 {status} Whatever\r\nContent-Type: text/json\r\nContent-Length: {}\r\n", body.len());
        // A client that has gone is the test's business, not the server's.
        let _ = (&mut &*stream).write_all(format!("{head}{location}Connection: close\r\n\r\n{body}").as_bytes());
    }
}

/// A complete request; none: the client went away before its end.
fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).ok()? == 0 {
            return None;
        }
        match header.trim_end().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse().ok()?,
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { method, target, body: String::from_utf8(body).ok()? })
}

fn create(made: &mut Vec<Made>) -> Reply {
    let id = 70_001 + made.len() as u64;
    let token = format!("Tk-{id}.other~spelling");
    made.push(Made { id, token: token.clone() });
    let instance =
        format!(r#"{{ "token": "{token}", "id": {id}, "apiUrl": "https://eu.other.example/i/{id}", "region": null }}"#);
    Reply::new(
        201,
        format!("\n{{ \"error\": null, \"result\": {{ \"instance\": {instance}, \"status\": \"CREATED\" }}, \"took\": 1.5 }}\n"),
    )
}

fn list(made: &[Made]) -> Reply {
    let items: Vec<String> =
        made.iter().map(|made| format!(r#""{}": {{"type": "whatsapp", "paidTill": "0", "stopped": 0}}"#, made.id)).collect();
    Reply::new(200, format!(r#"{{"result": {{{}}}}}"#, items.join(", ")))
}
