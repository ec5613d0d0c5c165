//! The gateway, emulated on loopback: the protocol of `docs/protocol.md` with strict answers, a ledger of what it really did, and
//! faults on demand.
//!
//! It uses nothing of the client's side but checked words and secrets, so that a client and its judge cannot share a
//! mistake. `world` is the gateway as a pure value, with `session` for what a single instance answers; `request` and `answer`
//! are its words, `ledger` its memory. `faults`, `latency` and `dice` say what goes wrong and when. `handler` puts them
//! together; `server` and `connection` are the sockets. An account key is never kept: an account is the hash of its key.

mod answer;
mod connection;
mod dice;
mod faults;
mod handler;
mod latency;
mod ledger;
mod request;
mod server;
mod session;
mod world;

pub use answer::{ApiResponse, ErrorStatus};
pub use faults::{Ending, Fault, FaultError, FaultPlan, FaultRule, Moment, Scope, When};
pub use handler::{Clock, SeenRequest};
pub use latency::{Latency, LatencyError, parse_latency};
pub use ledger::{LEDGER_FILE, Ledger, LedgerEntry, LedgerError, LedgerOp, read_ledger};
pub use request::{ApiRequest, Method, Operation};
pub use server::{Emulator, EmulatorConfig, EmulatorError};
pub use world::{Decision, Twist, World, account_hash};
