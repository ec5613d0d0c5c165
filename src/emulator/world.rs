//! The gateway itself as a value: accounts, their instances, and what each request does to them.
//!
//! Pure: time comes as an argument, tokens are a function of the seed and the id, and there is no I/O. A create or a
//! delete takes effect in two steps, so that a caller can make it durable between them: [`World::decide`] says what would
//! happen, [`World::absorb`] makes it so. The same `absorb` rebuilds a world from its ledger.
//!
//! It never learns an account key: an account is the SHA-256 of its key. Settings and webhooks of an instance are not in
//! the ledger and are forgotten with the process.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use ring::digest;
use serde_json::Value;

use super::answer::{ApiResponse, Complaint, CreateResult, ErrorStatus, ListItem, NewInstance, ResultBody};
use super::ledger::{LedgerEntry, LedgerOp};
use super::request::{ApiRequest, Operation, Parameters, Route};
use super::session::{self, Phone};
use crate::instance::{ApiUrl, InstanceId, InstanceType};
use crate::secret::Secret;

/// The id of the first instance.
const FIRST_ID: u64 = 100_001;
/// How long a new instance is paid for: 30 days.
const PAID_FOR_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// The emulated gateway's whole knowledge.
#[derive(Debug, Clone)]
pub struct World {
    seed: u64,
    base_url: String,
    error_status: ErrorStatus,
    next_id: u64,
    seq: u64,
    instances: BTreeMap<u64, Held>,
    phone: Phone,
}

/// One live instance.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) account: String,
    pub(super) kind: InstanceType,
    pub(super) api_url: ApiUrl,
    pub(super) token: Secret,
    pub(super) created_ms: i64,
    pub(super) settings: BTreeMap<String, Value>,
    /// What its code says.
    pub(super) code: String,
    pub(super) is_linked: bool,
    /// How often it was asked for its status since it was unlinked.
    pub(super) asked: u64,
}

impl Held {
    pub(super) fn paid_till(&self) -> i64 {
        self.created_ms.saturating_add(PAID_FOR_MS)
    }
}

/// How one answer departs from the truth, by order of a fault. The default departs in nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Twist {
    /// The truth.
    #[default]
    None,
    /// A create answers without its token.
    NoToken,
    /// A create makes nothing and answers `exists`, with the account's oldest instance of that type if it has one.
    Exists,
    /// A listing shows nothing.
    EmptyList,
    /// A listing leaves out what is younger than so many milliseconds.
    Lag(i64),
}

/// A request and all that its answer depends on besides the world.
#[derive(Clone, Copy)]
struct Call<'a> {
    request: &'a ApiRequest,
    twist: Twist,
    now_ms: i64,
}

/// What a request would do.
#[derive(Debug, Clone)]
#[must_use]
pub struct Decision {
    /// The answer, valid once `entry` is absorbed.
    pub response: ApiResponse,
    /// What is to be written down and then given to [`World::absorb`].
    pub entry: Option<LedgerEntry>,
}

impl Decision {
    fn answer(response: ApiResponse) -> Self {
        Self { response, entry: None }
    }
}

impl World {
    /// An empty gateway. The same seed gives the same tokens.
    pub fn new(seed: u64) -> Self {
        let base_url = "http://127.0.0.1/".to_owned();
        Self {
            seed,
            base_url,
            error_status: ErrorStatus::Ok,
            next_id: FIRST_ID,
            seq: 0,
            instances: BTreeMap::new(),
            phone: Phone::default(),
        }
    }

    /// New instances get addresses under `base_url`; those of existing ones stay as they were created.
    #[must_use]
    pub fn with_base_url(mut self, base_url: &str) -> Self {
        base_url.trim_end_matches('/').clone_into(&mut self.base_url);
        self.base_url.push('/');
        self
    }

    /// Sets which HTTP status errors carry.
    #[must_use]
    pub fn with_error_status(mut self, error_status: ErrorStatus) -> Self {
        self.error_status = error_status;
        self
    }

    /// An instance finds itself linked at its `link_after`th question for its status; none: only when it is told. Codes come as texts,
    /// or as pictures.
    #[must_use]
    pub fn with_phones(mut self, link_after: Option<u64>, is_pictured: bool) -> Self {
        self.phone = Phone { link_after, is_pictured };
        self
    }

    /// Decides and absorbs in one step, for callers without a ledger. `now_ms` is Unix time.
    pub fn handle(&mut self, request: &ApiRequest, now_ms: i64) -> (ApiResponse, Option<LedgerEntry>) {
        let Decision { response, entry } = self.decide(request, Twist::None, now_ms);
        if let Some(entry) = &entry {
            self.absorb(entry);
        }
        (response, entry)
    }

    /// What `request` does. Settings and webhooks change at once; instances come and go with [`World::absorb`] only.
    pub fn decide(&mut self, request: &ApiRequest, twist: Twist, now_ms: i64) -> Decision {
        let decided = match request.route() {
            None => Err(Complaint::UnknownFunction),
            Some(Route::Account(operation)) => self.account(operation, Call { request, twist, now_ms }),
            Some(Route::Instance { id, method }) => self.instance(id, method, request, now_ms),
        };
        decided.unwrap_or_else(|complaint| Decision::answer(complaint.response(self.error_status)))
    }

    /// Takes over what a ledger entry says. An entry that deletes what is not there changes nothing.
    pub fn absorb(&mut self, entry: &LedgerEntry) {
        self.seq = self.seq.max(entry.seq);
        let Ok(id) = entry.id.as_str().parse::<u64>() else { return };
        self.next_id = self.next_id.max(id.saturating_add(1));
        match (entry.op, &entry.token) {
            (LedgerOp::Created, Some(token)) => {
                let held = Held {
                    account: entry.account.clone(),
                    kind: entry.kind,
                    api_url: entry.api_url.clone(),
                    token: token.clone(),
                    created_ms: entry.at.as_millisecond(),
                    settings: session::first_settings(),
                    code: format!("2@{}", new_token(!self.seed, id)),
                    is_linked: false,
                    asked: 0,
                };
                self.instances.insert(id, held);
            }
            _ => drop(self.instances.remove(&id)),
        }
    }

    fn account(&self, operation: Operation, call: Call<'_>) -> Result<Decision, Complaint> {
        let parameters = call.request.parameters()?;
        let account = account_hash(&parameters.text("uid").ok_or(Complaint::NoKey)?);
        match operation {
            Operation::List => Ok(Decision::answer(self.list(&account, call.twist, call.now_ms))),
            Operation::Delete => self.delete(&account, &parameters, call),
            Operation::Create => {
                let text = parameters.text("type").ok_or(Complaint::NoType)?;
                let kind = InstanceType::from_wire(&text).ok_or(Complaint::UnknownType)?;
                if call.twist == Twist::Exists { Ok(self.exists(&account, kind)) } else { self.create(account, kind, call) }
            }
        }
    }

    fn create(&self, account: String, kind: InstanceType, call: Call<'_>) -> Result<Decision, Complaint> {
        let id = self.next_id.to_string();
        let api_url = ApiUrl::parse(&format!("{}instance{id}/", self.base_url)).map_err(|_| Complaint::UnknownFunction)?;
        let token = new_token(self.seed, self.next_id);
        let shown = (call.twist != Twist::NoToken).then_some(token.as_str());
        let instance = NewInstance { id: id.clone(), api_url: api_url.as_str(), token: shown };
        let response = created("created", Some(instance));
        let (settings, token, created_ms) = (BTreeMap::new(), Secret::new(token), call.now_ms);
        let held = Held { account, kind, api_url, token, created_ms, settings, code: String::new(), is_linked: false, asked: 0 };
        Ok(Decision { response, entry: self.entry(LedgerOp::Created, &id, &held, call) })
    }

    fn exists(&self, account: &str, kind: InstanceType) -> Decision {
        let oldest = self.instances.iter().find(|(_, held)| held.account == account && held.kind == kind);
        let instance = oldest.map(|(id, held)| NewInstance { id: id.to_string(), api_url: held.api_url.as_str(), token: None });
        Decision::answer(created("exists", instance))
    }

    fn list(&self, account: &str, twist: Twist, now_ms: i64) -> ApiResponse {
        let hidden_after = match twist {
            Twist::EmptyList => i64::MIN,
            Twist::Lag(lag) => now_ms.saturating_sub(lag),
            _ => i64::MAX,
        };
        let visible = self.instances.iter().filter(|(_, held)| held.account == account && held.created_ms <= hidden_after);
        let items: Vec<ListItem<'_>> = visible
            .map(|(id, held)| ListItem {
                id: id.to_string(),
                name: "",
                kind: held.kind.as_str(),
                api_url: held.api_url.as_str(),
                stopped: held.paid_till() <= now_ms,
                paid_till: held.paid_till(),
                payments_count: 1,
            })
            .collect();
        ApiResponse::success(&ResultBody { result: items })
    }

    fn delete(&self, account: &str, parameters: &Parameters, call: Call<'_>) -> Result<Decision, Complaint> {
        let id = parameters.text("instanceId").ok_or(Complaint::NoId)?;
        let number: u64 = id.parse().map_err(|_| Complaint::UnknownInstance)?;
        let held = self.instances.get(&number).filter(|held| held.account == account).ok_or(Complaint::UnknownInstance)?;
        let response = ApiResponse::success(&ResultBody { result: "deleted" });
        Ok(Decision { response, entry: self.entry(LedgerOp::Deleted, &number.to_string(), held, call) })
    }

    fn instance(&mut self, id: u64, method: &str, request: &ApiRequest, now_ms: i64) -> Result<Decision, Complaint> {
        let held = self.instances.get_mut(&id).ok_or(Complaint::UnknownFunction)?;
        session::answer(held, method, request, (self.phone, now_ms)).map(Decision::answer)
    }

    fn entry(&self, op: LedgerOp, id: &str, held: &Held, call: Call<'_>) -> Option<LedgerEntry> {
        Some(LedgerEntry {
            seq: self.seq.saturating_add(1),
            at: Timestamp::from_millisecond(call.now_ms).unwrap_or(Timestamp::UNIX_EPOCH),
            op,
            id: InstanceId::parse(id).ok()?,
            kind: held.kind,
            account: held.account.clone(),
            api_url: held.api_url.clone(),
            token: (op == LedgerOp::Created).then(|| held.token.clone()),
            request_id: call.request.request_id.clone(),
        })
    }
}

fn created(status: &str, instance: Option<NewInstance<'_>>) -> ApiResponse {
    ApiResponse::success(&ResultBody { result: CreateResult { status, instance } })
}

/// The SHA-256 of an account key, in hexadecimal: how an account is known everywhere but on the wire.
pub fn account_hash(key: &str) -> String {
    digest::digest(&digest::SHA256, key.as_bytes()).as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// 16 of `[a-z0-9]`: the SHA-256 of seed and id, two bytes for each character, so that one token tells nothing of the next.
fn new_token(seed: u64, id: u64) -> String {
    let hash = digest::digest(&digest::SHA256, format!("token {seed} {id}").as_bytes());
    hash.as_ref().chunks(2).map(|pair| character(pair.iter().fold(0, |sum, byte| sum * 256 + u32::from(*byte)))).collect()
}

fn character(number: u32) -> char {
    char::from_digit(number % 36, 36).unwrap_or('0')
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
