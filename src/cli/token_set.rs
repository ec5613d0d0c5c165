//! `chatapi token set`: tokens, and addresses, that an operator brings. What is on record already is not written a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;

use super::args::TokenSetArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::identity::{TokenError, identities, token_in};
use super::state::record;
use super::token::{from_stdin, keep};
use super::{sealing, token_file, witness};
use crate::instance::{ApiUrl, InstanceName};
use crate::report::in_words;
use crate::seal::{Identity, OpenError};
use crate::secret::Secret;
use crate::state::{Entry, Event, Instance, Serial, State};
use crate::store::{self, StateStore};
use crate::text::counted;

/// What is brought for one instance.
pub(super) struct Brought {
    /// Where it stands in a file; none: it was typed.
    pub(super) place: Option<String>,
    pub(super) name: InstanceName,
    pub(super) token: Secret,
    pub(super) api_url: Option<ApiUrl>,
}

pub(super) fn run(context: &Context, args: &TokenSetArgs) -> Result<Exit, CliError> {
    let brought = match (&args.name, &args.from) {
        (Some(name), _) => {
            vec![Brought { place: None, name: name.clone(), token: from_stdin()?, api_url: args.api_url.clone() }]
        }
        (None, from) => token_file::read(from.as_deref().unwrap_or(Path::new("-")))?,
    };
    let (mut store, witness) = witness::open(context, "token set", args.lock.lock_timeout, &args.lock_file)?;
    let state = store.state();
    let kept = Kept::of(context, args, state, &brought)?;
    let mut new = Vec::new();
    for one in brought {
        let placed = |error: CliError| match &one.place {
            Some(place) => error.context(format!("{place} is not taken")),
            None => error,
        };
        if kept.lacks(state, &one).map_err(placed)? {
            new.push(one);
        }
    }
    let message = told(args.name.as_ref(), new.len(), kept.same(&new));
    if new.is_empty() {
        Box::new(store).close()?;
        context.done(message)?;
        return Ok(Exit::Done);
    }
    let pin = sealing::for_token(context, state, &witness)?;
    let seal = |Brought { name, token, api_url, .. }| {
        let token = keep(state, pin.as_ref(), &name, token)?;
        Ok::<_, CliError>(Event::TokenSet { name, token, api_url })
    };
    let events = new.into_iter().map(seal).collect::<Result<Vec<_>, _>>()?;
    store.append(context.run_info("token set").event(), Timestamp::now())?;
    if let Some(to) = pin {
        store.append(Event::Recipients { to }, Timestamp::now())?;
    }
    for event in events {
        store.append(event, Timestamp::now())?;
    }
    store.sync()?;
    let closed = witness.close(store);
    context.done(message)?;
    closed.tell(context)
}

fn told(name: Option<&InstanceName>, new: usize, same: usize) -> String {
    let all = |count| match count {
        1 => "The token of 1 instance is kept".to_owned(),
        _ => format!("The tokens of {count} instances are kept"),
    };
    match (name, new, same) {
        (Some(name), 0, _) => format!("The token of `{name}` is kept already: it is the same."),
        (Some(name), ..) => format!("The token of `{name}` is kept."),
        (None, 0, 1) => format!("{} already: it is the same.", all(1)),
        (None, 0, same) => format!("{} already: they are the same.", all(same)),
        (None, new, 0) => format!("{}.", all(new)),
        (None, new, same) => format!("{}; {} already.", all(new), counted(same, "other was kept", "others were kept")),
    }
}

/// How tokens that `count` instances lack are set.
pub(super) fn missing(command: &str, count: usize) -> String {
    if count == 1 {
        return format!("`{command} token set NAME < FILE` sets its token");
    }
    format!("`{command} token set --from FILE` sets their tokens: `name,token` in each line")
}

/// What is on record of the instances for which something is brought.
struct Kept {
    entries: BTreeMap<Serial, Entry>,
    keys: Vec<Identity>,
    /// One token takes the place of another, without a look at that.
    is_replacing: bool,
    /// How many are brought.
    count: usize,
}

impl Kept {
    fn of(context: &Context, args: &TokenSetArgs, state: &State, brought: &[Brought]) -> Result<Self, CliError> {
        let holder = |one: &Brought| Some(state.record(&one.name)?.instance()?.token.as_ref()?.entry);
        let serials: BTreeSet<Serial> = brought.iter().filter(|_| !args.replace).filter_map(holder).collect();
        let (entries, keys) = if serials.is_empty() {
            (BTreeMap::new(), Vec::new())
        } else {
            (store::read_entries(&context.state_dir, &serials)?, identities(&args.identity)?)
        };
        Ok(Self { entries, keys, is_replacing: args.replace, count: brought.len() })
    }

    /// How many of those that were brought are not among the `new` ones.
    fn same(&self, new: &[Brought]) -> usize {
        self.count.saturating_sub(new.len())
    }

    /// Whether `one` brings what is not on record; an error if it may not.
    fn lacks(&self, state: &State, one: &Brought) -> Result<bool, CliError> {
        let name = &one.name;
        let record = record(state, name).map_err(|error| match one.place {
            Some(_) => error.hint("nothing was written"),
            None => error.hint("the token itself is read from standard input: `chatapi token set NAME < FILE`"),
        })?;
        let Some(instance) = record.instance() else {
            let message = format!("`{name}` is {}: there is nothing to set a token for", in_words(record.status()));
            return Err(CliError::message(Exit::Error, message).hint("`chatapi doubts` shows what is in doubt"));
        };
        check_address(name, instance, one.api_url.as_ref())?;
        if instance.token.is_none() || self.is_replacing {
            return Ok(true);
        }
        let refused = |message: String| {
            CliError::message(Exit::Error, message).hint("nothing was written; `--replace` puts another in its place")
        };
        match self.is_same(state, instance, &one.token) {
            Ok(true) => Ok(one.api_url.is_some() && one.api_url != instance.api_url),
            Ok(false) => Err(refused(format!("the token of `{name}` is kept already, and it is another one"))),
            Err(TokenError::Sealed(OpenError::NotForUs(_))) => {
                let message = format!("the token of `{name}` is kept already, sealed: whether it is this one cannot be told");
                Err(refused(message)
                    .hint("the secret key tells: `--identity FILE`, `--identity-command COMMAND`, or CHATAPI_IDENTITY"))
            }
            Err(error) => Err(refused(format!("the token of `{name}` is kept already, and cannot be read: {error}"))),
        }
    }

    fn is_same(&self, state: &State, instance: &Instance, token: &Secret) -> Result<bool, TokenError> {
        let at = instance.token.as_ref().ok_or(TokenError::Absent)?;
        let entry = self.entries.get(&at.entry).ok_or(TokenError::Absent)?;
        Ok(token_in(entry, at, &state.lineage, &self.keys)?.expose() == token.expose())
    }
}

/// Refuses an address where the create has told one: that is the instance's.
fn check_address(name: &InstanceName, instance: &Instance, api_url: Option<&ApiUrl>) -> Result<(), CliError> {
    match (instance.api_url.as_ref().filter(|_| !instance.is_address_listed), api_url) {
        (Some(told), Some(typed)) if told != typed => {
            let message = format!("the answer to the create of `{name}` has told its address, {told}: no other is taken");
            Err(CliError::message(Exit::Error, message).hint("leave the address out; nothing was written"))
        }
        _ => Ok(()),
    }
}
