//! `chatapi` creates chat-gateway instances that people declare in YAML: each once, and no token is lost.
//!
//! Creating is not idempotent and costs money, the server knows none of our names, and it shows an instance's token once. So the
//! whole crate is arranged around one sequence, which [`apply`] carries out and [`store`] remembers:
//!
//! ```text
//! intent (durable) -> connect -> sent (durable) -> the request is let go -> received (durable) -> judged -> created
//!    |                  |                              |                        |
//!    proven unsent ---- retry                          in doubt: held           a crash here loses nothing: it is
//!                                                      until evidence           finished from the journal, offline
//! ```
//!
//! What follows from it: a request never leaves before the disk knows that it may have; an answer is on the disk
//! before it is judged; and what nobody can know is called [in doubt](state::Phase::InDoubt), holds that one name, and is
//! settled by evidence or by an operator, never by a guess.
//!
//! # Using it as a library
//!
//! [`Client`] and [`blocking::Client`] are the operations of the protocol, without any record keeping:
//!
//! ```no_run
//! use chatapi::Client;
//! use chatapi::client::CreateError;
//! use chatapi::instance::InstanceType;
//! use chatapi::secret::Secret;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("https://gateway.example/", Secret::new(std::env::var("CHATAPI_API_KEY").unwrap())).build()?;
//! match client.create_instance(InstanceType::WhatsAppDev).await {
//!     Ok(result) => println!("{result}"), // The token is redacted; `instance_parameters.token` has it.
//!     Err(CreateError::NotSent(why) | CreateError::Refused(why)) => println!("nothing was created: {why}"),
//!     Err(CreateError::InDoubt(why)) => println!("a paid instance may exist: {why}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The house
//!
//! A module uses only modules above it in this table; a test reads the sources and fails on an arrow that runs the other way.
//!
//! | module | what it is |
//! |---|---|
//! | [`text`], [`secret`], [`instance`] | checked words: names, types, ids, addresses; texts that cannot be printed or do harm |
//! | [`failpoint`] | where a test makes the program die; nothing at all in a release |
//! | [`seal`] | secrets encrypted to public keys |
//! | [`diagnostic`], [`listing`], [`price`], [`state`] | problems with places; what a server lists; amounts of money; the state, its events and transitions |
//! | [`manifest`] | YAML to declarations |
//! | [`plan`] | declarations and state to changes; what a list proves about a doubt |
//! | [`saved`] | a plan that was reviewed, as a file |
//! | [`doctor`] | what is wrong with a set-up: the state's place, who can read it, and the pipelines that use it |
//! | [`store`], [`provider`] | the rim: journal, index, lock; HTTP, and what an answer proves |
//! | [`client`], [`apply`], [`emulator`] | the drivers: the library's face; the applier; the server, played on this machine |
//! | [`report`] | what a command shows, as data |
//! | [`cli`] | the command line |
//!
//! Pure, that is without files, network, clock, chance or tasks: everything above the rim (but `manifest::source` and
//! `manifest::beside`, which read the files), and of the rim `provider::wire`, `provider::certainty` and `store::journal`'s encoding.
//!
//! One folder names the HTTP client (`provider`), one file sled (`store::sled`), one standard output (`cli::console`).
//!
//! # The files
//!
//! | file | what | who may lose it |
//! |---|---|---|
//! | `state/journal.jsonl` | the truth: events, chained by hash, synced by us | nobody: tokens are only here |
//! | `state/history/` | earlier journals without their secrets, after a compaction | whoever does not look back |
//! | `state/index/` | sled: what plan and the queries read; no secret | anybody: it is rebuilt |
//! | `state/outputs.json` | which outputs an apply has promised and delivered | anybody: the next apply delivers again |
//! | `state/lock` | held by the writer, says who | anybody |
//! | `state/emulator/` | what the embedded emulator created | whoever only tries things out |
//! | `chatapi.schema.json` | beside the manifest, for editors | anybody: `chatapi schema` writes it anew |
//! | `chatapi.lock` | beside the manifest, committed: tells a lost state from a first run | version control brings it back |
//! | `chatapi.lock.before-rebuild` | beside it after a `state rebuild`: the lost state's, no secret | whoever does not expect that state back |
//!
//! # Words
//!
//! *manifest*, its *declarations*; a *name* (ours), an *id* (theirs); the *state* and its *records*, of one *lineage*, at a
//! *serial*; a *plan* of *changes*, each with an *action* and a *reason*; a *provider*; an *attempt*, its *intent* and its *fence*
//! (what was listed just before); an *outcome*; *in doubt*; to *resolve*; to *adopt*; a *guard* that stops a run before it sends.

pub mod apply;
pub mod cli;
pub mod client;
pub mod diagnostic;
pub mod doctor;
pub mod emulator;
pub mod failpoint;
pub mod instance;
pub mod listing;
pub mod manifest;
pub mod plan;
pub mod price;
pub mod provider;
pub mod report;
pub mod saved;
pub mod seal;
pub mod secret;
pub mod state;
pub mod store;
pub mod text;

pub use client::{Client, blocking};

/// Compiles the README's program.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
