//! An account whose server does what a test says: what becomes of each create, and what its lists leave out.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Asked, OtherGateway, Reply};

/// What becomes of a create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Create {
    /// It is made, and the answer says so.
    Made,
    /// It is made, and the answer says nothing.
    Lost,
    /// Nothing is made, and the answer says nothing.
    Nothing,
    /// The answer says that nothing was made.
    Refused,
}

#[derive(Debug, Default)]
struct World {
    made: Vec<(u64, String)>,
    creates: usize,
    next: VecDeque<Create>,
    /// What lists leave out, one after the other; the last one stays.
    hidden: VecDeque<BTreeSet<u64>>,
}

/// The server, and what it is told.
pub(crate) struct Account {
    server: OtherGateway,
    world: Arc<Mutex<World>>,
}

impl Account {
    pub(crate) fn start() -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let memory = Arc::clone(&world);
        let server = OtherGateway::start(move |asked| {
            let mut world = memory.lock().unwrap_or_else(PoisonError::into_inner);
            match asked.function() {
                "newInstance" => world.create(asked),
                "listInstances" => world.list(),
                // It lists what was deleted for ever.
                "deleteInstance" => Reply::new(200, r#"{"result":"deleted"}"#),
                _ => Reply::new(404, "nothing here"),
            }
        });
        Self { server, world }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// What becomes of the next creates; of those after them: they are made.
    pub(crate) fn next(&self, creates: &[Create]) {
        self.world().next = creates.iter().copied().collect();
    }

    /// What the next lists leave out, each in its turn; from the last one on always that.
    pub(crate) fn hide(&self, lists: &[&[&str]]) {
        let ids = |ids: &&[&str]| ids.iter().map(|id| id.parse().unwrap()).collect();
        self.world().hidden = lists.iter().map(ids).collect();
    }

    /// Somebody else makes one of that type; its id.
    pub(crate) fn foreign(&self, kind: &str) -> String {
        self.world().make(kind).to_string()
    }

    /// Complete requests to create.
    pub(crate) fn creates(&self) -> usize {
        self.world().creates
    }

    /// Requests to delete.
    pub(crate) fn deletes(&self) -> usize {
        self.server.asked().iter().filter(|asked| asked.function() == "deleteInstance").count()
    }

    /// Every id, in the order of their making.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.world().made.iter().map(|(id, _)| id.to_string()).collect()
    }

    /// The newest id.
    pub(crate) fn newest(&self) -> String {
        self.ids().pop().unwrap()
    }
}

impl World {
    fn make(&mut self, kind: &str) -> u64 {
        let id = 80_001 + self.made.len() as u64;
        self.made.push((id, kind.to_owned()));
        id
    }

    fn create(&mut self, asked: &Asked) -> Reply {
        self.creates += 1;
        let is_dev = asked.echo().to_lowercase().contains("whatsappdev") || asked.echo().contains("whatsapp_dev");
        let kind = if is_dev { "whatsapp_dev" } else { "whatsapp" };
        match self.next.pop_front().unwrap_or(Create::Made) {
            Create::Made => {
                let id = self.make(kind);
                let instance = format!(r#"{{"id":"{id}","apiUrl":"https://h.example/{id}/","token":"tok0of0instance0{id}"}}"#);
                Reply::new(200, format!(r#"{{"result":{{"status":"created","instance":{instance}}}}}"#))
            }
            Create::Lost => {
                self.make(kind);
                Reply::new(500, "lost")
            }
            Create::Nothing => Reply::new(500, "nothing"),
            Create::Refused => Reply::new(200, r#"{"error":"no money"}"#),
        }
    }

    fn list(&mut self) -> Reply {
        let hidden = if self.hidden.len() > 1 { self.hidden.pop_front() } else { self.hidden.front().cloned() };
        let hidden = hidden.unwrap_or_default();
        let mut items = String::new();
        for (id, kind) in self.made.iter().filter(|(id, _)| !hidden.contains(id)) {
            let comma = if items.is_empty() { "" } else { "," };
            write!(items, r#"{comma}{{"id":"{id}","name":"","type":"{kind}","apiUrl":"https://h.example/{id}/"}}"#).unwrap();
        }
        Reply::new(200, format!(r#"{{"result":[{items}]}}"#))
    }
}
