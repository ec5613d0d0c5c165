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
use crate::instance::{ApiUrl, InstanceId, InstanceName};
use crate::provider::{BaseUrl, BaseUrlError};
use crate::report::in_words;
use crate::seal::{Identity, OpenError};
use crate::secret::Secret;
use crate::state::{Entry, Event, Instance, Phase, Record, Serial, State};
use crate::store::{self, StateStore};
use crate::text::counted;

/// What is brought for one instance.
pub(super) struct Brought {
    /// Where it stands in a file; none: it was typed.
    pub(super) place: Option<String>,
    pub(super) name: InstanceName,
    /// The instance that it is said to be of.
    pub(super) id: Option<InstanceId>,
    pub(super) token: Secret,
    pub(super) api_url: Option<ApiUrl>,
}

pub(super) fn run(context: &Context, args: &TokenSetArgs) -> Result<Exit, CliError> {
    let brought = match (&args.name, &args.from) {
        (Some(name), _) => {
            vec![Brought { place: None, name: name.clone(), id: None, token: from_stdin()?, api_url: args.api_url.clone() }]
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
    let changes = kept.changes(state, &new);
    let shared = shared_addresses(state, &new);
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
    for change in changes {
        context.console.note(change);
    }
    for warning in shared {
        context.console.warn(warning);
    }
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

/// Refuses an address that names another instance on record: it came from a file of before that one was replaced, or of another row.
fn check_address(state: &State, instance: &Instance, one: &Brought) -> Result<(), CliError> {
    let address = one.api_url.as_ref().filter(|brought| instance.api_url.as_ref() != Some(brought));
    let Some(address) = address.filter(|address| !address.as_str().contains(instance.id.as_str())) else { return Ok(()) };
    // Neither a port, nor what is as short as the version of an API.
    let parts = || address.as_str().split('/').enumerate();
    let parts = || parts().map(|(at, part)| if at == 2 { part.split(':').next().unwrap_or_default() } else { part });
    let words = parts().flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric()));
    let numbers = parts().flat_map(|part| part.split(|c: char| !c.is_ascii_digit()));
    let ids = words.chain(numbers).filter(|word| word.len() > 2).filter_map(|word| InstanceId::parse(word).ok());
    let owner = |id: &InstanceId| state.known_ids().get(id).or_else(|| state.former_owner(id)).cloned();
    match ids.into_iter().find_map(|id| Some((owner(&id)?, id))) {
        Some((owner, id)) => {
            let name = &one.name;
            let was = if owner == *name { "an earlier one of that name".to_owned() } else { format!("`{owner}`") };
            let message = format!("the address for `{name}` is of {id}, which is {was}, and `{name}` is {}", instance.id);
            let other = format!("the token beside it is of {id} too: take `{name}` out of the file");
            Err(CliError::message(Exit::Error, message).hint("nothing was written").hint(other))
        }
        None => Ok(()),
    }
}

impl Kept {
    fn of(context: &Context, args: &TokenSetArgs, state: &State, brought: &[Brought]) -> Result<Self, CliError> {
        let holder = |one: &Brought| Some(state.record(&one.name)?.instance()?.token.as_ref()?.entry);
        let serials: BTreeSet<Serial> = brought.iter().filter_map(holder).collect();
        let entries = if serials.is_empty() { BTreeMap::new() } else { store::read_entries(&context.state_dir, &serials)? };
        let mut kept = Self { entries, keys: Vec::new(), is_replacing: args.replace, count: brought.len() };
        let is_compared = |one: &Brought| {
            let instance = state.record(&one.name).and_then(Record::instance);
            instance.is_some_and(|instance| instance.token.is_some() && !kept.gives_way(instance, one))
        };
        if brought.iter().any(is_compared) {
            kept.keys = identities(&args.identity)?;
        }
        Ok(kept)
    }

    /// How many of those that were brought are not among the `new` ones.
    fn same(&self, new: &[Brought]) -> usize {
        self.count.saturating_sub(new.len())
    }

    /// Whether the answer to the create of `instance` has brought its token. It is shown once: nobody else may have it.
    fn is_of_create(&self, instance: &Instance) -> bool {
        let entry = instance.token.as_ref().and_then(|at| self.entries.get(&at.entry));
        entry.is_some_and(|entry| matches!(entry.event, Event::Received { .. } | Event::Created { token: Some(_), .. }))
    }

    /// Whether the token of `instance` is replaced by that of `one` without a look at it. A file of many may be older than the instance.
    fn gives_way(&self, instance: &Instance, one: &Brought) -> bool {
        self.is_replacing && (one.place.is_none() || !self.is_of_create(instance))
    }

    /// Whether `one` brings what is not on record; an error if it may not.
    fn lacks(&self, state: &State, one: &Brought) -> Result<bool, CliError> {
        let name = &one.name;
        let record = record(state, name).map_err(|error| match one.place {
            // What stands in a name's place may be a token: it is not repeated.
            Some(_) => {
                CliError::message(Exit::Error, "nothing is recorded under the name that stands there").hint("nothing was written")
            }
            None => error.hint("the token itself is read from standard input: `chatapi token set NAME < FILE`"),
        })?;
        let instance = record.instance().ok_or_else(|| without_instance(record, one))?;
        self.check_instance(instance, one)?;
        check_address(state, instance, one)?;
        if instance.token.is_none() || self.gives_way(instance, one) {
            return Ok(true);
        }
        let refused = |message: String| {
            let refused = CliError::message(Exit::Error, message).hint("nothing was written");
            let brought = format!("the answer to the create of `{name}` has brought it, and it is shown once");
            match (self.is_of_create(instance), &one.place) {
                (false, _) => refused.hint("`--replace` puts another in its place"),
                (true, None) => refused.hint(format!("{brought}; `--replace` puts another in its place")),
                (true, Some(_)) => refused
                    .hint(format!("{brought}: take `{name}` out of the file"))
                    .hint(format!("if it has another one since: `chatapi token set {name} --replace < FILE`")),
            }
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

    /// Refuses what is of another instance, or would take the place of an address that is known.
    fn check_instance(&self, instance: &Instance, one: &Brought) -> Result<(), CliError> {
        let name = &one.name;
        let refused = |message: String| CliError::message(Exit::Error, message).hint("nothing was written");
        if one.id.as_ref().is_some_and(|id| *id != instance.id) {
            let message = format!("it is of another id, and `{name}` is {}", instance.id);
            return Err(refused(message).hint(format!("another instance had that name: take `{name}` out of the file")));
        }
        let Some(brought) = one.api_url.as_ref().filter(|brought| instance.api_url.as_ref() != Some(brought)) else {
            return Ok(());
        };
        match &instance.api_url {
            Some(told) if !instance.is_address_listed => {
                let message = format!("the answer to the create of `{name}` has told its address, {told}: no other is taken");
                let names_it = |address: &ApiUrl| address.as_str().contains(instance.id.as_str());
                Err(refused(message).hint(match &one.place {
                    Some(_) if names_it(told) && !names_it(brought) => {
                        format!(
                            "the other one is not that of {}, but of an older instance: take `{name}` out of the file",
                            instance.id
                        )
                    }
                    Some(_) if instance.token.is_some() => format!("its token is kept: take `{name}` out of the file"),
                    _ => "leave the address out".to_owned(),
                }))
            }
            _ if BaseUrl::parse(brought.as_str()) == Err(BaseUrlError::PlainText) => {
                let message = format!("the address for `{name}` is plain http to another machine: no token is ever sent there");
                Err(refused(message).hint("https, or http to this very machine"))
            }
            Some(known) if !self.is_replacing => {
                let message = format!("the address of `{name}` is known, {known}, and this is another one");
                Err(refused(message).hint("the token goes where the address says; `--replace` puts another in its place"))
            }
            _ => Ok(()),
        }
    }

    /// What the `new` ones take the place of, where that is to be said.
    fn changes(&self, state: &State, new: &[Brought]) -> Vec<String> {
        let mut told = Vec::new();
        for one in new {
            let Some(instance) = state.record(&one.name).and_then(Record::instance) else { continue };
            if self.gives_way(instance, one) && self.is_of_create(instance) {
                told.push(format!("the one that the answer to the create of `{}` had brought is given out no more", one.name));
            }
            if let (Some(before), Some(now)) = (&instance.api_url, &one.api_url)
                && before != now
            {
                told.push(format!("the address of `{}` was {before}, and is {now} now", one.name));
            }
        }
        told
    }
}

/// There is no instance that could have a token.
fn without_instance(record: &Record, one: &Brought) -> CliError {
    let name = &one.name;
    let message = format!("`{name}` is {}: there is nothing to set a token for", in_words(record.status()));
    let refused = CliError::message(Exit::Error, message);
    match record.phase {
        Phase::Intent(_) | Phase::InDoubt(..) | Phase::Received(..) => refused.hint("`chatapi doubts` shows what is in doubt"),
        Phase::Released(_) => refused.hint(format!("`chatapi release --undo {name}` first; it is declared again then")),
        _ if one.place.is_some() => refused.hint(format!("nothing was written; take `{name}` out of the file")),
        _ => refused.hint(format!("`chatapi state show {name}` tells more")),
    }
}

/// Addresses among those of the `new` ones that several instances have: the token of each would be sent there.
fn shared_addresses(state: &State, new: &[Brought]) -> Vec<String> {
    let brought: BTreeMap<&InstanceName, &ApiUrl> =
        new.iter().filter_map(|one| Some((&one.name, one.api_url.as_ref()?))).collect();
    let known = state.records().values().filter(|record| !brought.contains_key(&record.name));
    let known = known.filter_map(|record| Some((&record.name, record.instance()?.api_url.as_ref()?)));
    let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, address) in brought.iter().map(|(name, address)| (*name, *address)).chain(known) {
        names.entry(address.as_str()).or_default().push(format!("`{name}`"));
    }
    let new: BTreeSet<&str> = brought.values().map(|address| address.as_str()).collect();
    let shared = names.into_iter().filter(|(address, names)| names.len() > 1 && new.contains(address));
    shared.map(|(address, names)| format!("one address, {address}, is that of several: {}", names.join(", "))).collect()
}
