//! Instances that are asked for themselves: whose tokens are opened, and at which addresses. Nothing here prints a token.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::args::{IdentityArgs, ReachArgs, ServerArgs, WitnessArg};
use super::context::{Context, Server, limits, typed_word};
use super::error::CliError;
use super::identity::identities;
use super::{output, witness};
use crate::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};
use crate::provider::{BaseUrl, InstanceStatus, Instances, StatusError};
use crate::report::credentials::{Credential, Token};
use crate::seal::Identity;
use crate::secret::Secret;
use crate::state::{Origin, State};

/// The scheme of a host that is named without one.
const HTTPS: &str = "https://";
/// Why an address of this machine is not asked.
const INWARD: &str = "it is not https, as the account's server is";

/// An instance that exists, and what is needed to ask it.
pub(super) struct Asked {
    pub(super) name: InstanceName,
    pub(super) kind: InstanceType,
    pub(super) id: InstanceId,
    target: Result<(ApiUrl, Secret), Silence>,
}

/// Why an instance has not said anything.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Silence {
    /// Nobody has its token.
    #[error("its token is missing: `chatapi token set NAME < FILE` gives it one")]
    NoToken,
    /// Nobody knows its address.
    #[error("its address is not known: no answer has told it; `chatapi token set NAME --replace --api-url URL` does")]
    NoAddress,
    /// Its address is on a host that no answer of ours has named.
    #[error(
        "no answer to a create has told its address, which is on another host than the account's server: no token goes there unless \
         `--trust-host {}` says so", typed_word(.0)
    )]
    Foreign(String),
    /// It was asked.
    #[error(transparent)]
    Failed(StatusError),
}

impl Silence {
    /// Its word in documents.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::NoToken => "token_missing",
            Self::NoAddress => "no_address",
            Self::Foreign(_) => "bad_address",
            Self::Failed(error) => error.as_str(),
        }
    }
}

/// Everything that is asked.
pub(super) struct Field {
    pub(super) asked: Vec<Asked>,
    /// Names whose create is not concluded: nobody knows whether there is anything to ask.
    pub(super) open: Vec<InstanceName>,
    pub(super) state: State,
    link: Arc<Link>,
}

/// What stays the same while a state changes.
struct Link {
    keys: Vec<Identity>,
    trusted: Vec<Origin>,
    instances: Instances,
    /// The embedded emulator, where it is that which plays the instances.
    server: Option<Server>,
}

impl Field {
    /// Opens the tokens of `names`, or of everything that exists. Inside a runtime.
    pub(super) async fn open(
        context: &Context,
        names: &[InstanceName],
        (identity, lock_file, reach): (&IdentityArgs, &WitnessArg, &ReachArgs),
    ) -> Result<Self, CliError> {
        let state = witness::read(context, lock_file)?.state;
        let keys = identities(identity)?;
        let found = output::revealed(context, &state, names, &keys)?;
        let bound = state.binding.as_ref().filter(|bound| bound.origin.is_emulator());
        let server = match bound {
            Some(bound) => Some(context.connect_bound(Some(bound), &server_args(reach)).await?),
            None => None,
        };
        let instances = Instances::new(limits(&reach.timeouts));
        let link = Link { keys, trusted: reach.trust_host.clone(), instances, server };
        Ok(Self::of(state, found, Arc::new(link)))
    }

    /// The same, as the state is now.
    pub(super) fn anew(&self, context: &Context, names: &[InstanceName], lock_file: &WitnessArg) -> Result<Self, CliError> {
        let state = witness::read(context, lock_file)?.state;
        let found = output::revealed(context, &state, names, &self.link.keys)?;
        Ok(Self::of(state, found, Arc::clone(&self.link)))
    }

    fn of(state: State, (credentials, open): (Vec<Credential>, Vec<InstanceName>), link: Arc<Link>) -> Self {
        let base = link.server.as_ref().and_then(Server::embedded_at);
        let is_here = state.binding.as_ref().is_some_and(|bound| bound.origin.is_emulator() || is_plain(&bound.origin.0));
        let asked = credentials.into_iter().map(|credential| {
            let foreign = foreign(&credential, &state, &link.trusted).filter(|_| base.is_none());
            Asked::new(credential, base.as_deref(), is_here).unless(foreign)
        });
        let asked = asked.collect();
        Self { asked, open, state, link }
    }

    /// Asks one of them.
    pub(super) async fn ask(&self, asked: &Asked) -> Result<InstanceStatus, Silence> {
        let (api_url, token) = asked.target.as_ref().map_err(Clone::clone)?;
        self.link.instances.status(api_url, token).await.map_err(Silence::Failed)
    }

    /// Asks all of them, some at a time; in their order.
    pub(super) async fn ask_all(self: &Arc<Self>, parallelism: usize) -> Vec<Result<InstanceStatus, Silence>> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..parallelism.min(self.asked.len()) {
            let (field, next) = (Arc::clone(self), Arc::clone(&next));
            workers.spawn(async move {
                let mut answers = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(asked) = field.asked.get(index) else { return answers };
                    answers.push((index, field.ask(asked).await));
                }
            });
        }
        let mut answers: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
        answers.sort_by_key(|(index, _)| *index);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }
}

impl Asked {
    /// `is_here`: the account's server is on this machine, so that its instances may be, too. Another server has no business here: an
    /// address of this machine in its answer would make us ask what it cannot reach itself.
    fn new(credential: Credential, base: Option<&str>, is_here: bool) -> Self {
        let Credential { name, kind, id, api_url, token } = credential;
        let api_url = api_url.and_then(|api_url| base.map_or(Some(api_url.clone()), |base| moved(&api_url, base)));
        let target = match (api_url, token) {
            (_, Token::Missing | Token::Hidden) => Err(Silence::NoToken),
            (None, _) => Err(Silence::NoAddress),
            (Some(api_url), _) if is_plain(api_url.as_str()) && !is_here => Err(Silence::Failed(StatusError::Address(INWARD))),
            (Some(api_url), Token::Revealed(token)) => Ok((api_url, token)),
        };
        Self { name, kind, id, target }
    }

    /// Not asked at a host that nobody here has named.
    fn unless(self, foreign: Option<Silence>) -> Self {
        let target = self.target.and_then(|target| foreign.map_or(Ok(target), Err));
        Self { target, ..self }
    }
}

/// Why no token goes to an address that came from a list: its host is neither the account's server nor one that an operator has
/// named. Whoever writes the list could collect tokens else.
fn foreign(credential: &Credential, state: &State, trusted: &[Origin]) -> Option<Silence> {
    let is_listed = state.record(&credential.name)?.instance()?.is_address_listed;
    let origin = BaseUrl::parse(credential.api_url.as_ref()?.as_str()).ok()?.origin();
    let is_own = state.binding.as_ref().is_some_and(|bound| bound.origin == origin);
    let host = origin.0.strip_prefix(HTTPS).unwrap_or(&origin.0).to_owned();
    (is_listed && !is_own && !trusted.contains(&origin)).then_some(Silence::Foreign(host))
}

fn is_plain(address: &str) -> bool {
    address.starts_with("http:")
}

/// The same path where the embedded emulator listens this time: its port is another one in each run.
fn moved(api_url: &ApiUrl, base: &str) -> Option<ApiUrl> {
    let (_, rest) = api_url.as_str().split_once("://")?;
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    ApiUrl::parse(&format!("{}/{path}", base.trim_end_matches('/'))).ok()
}

fn server_args(reach: &ReachArgs) -> ServerArgs {
    ServerArgs { timeouts: reach.timeouts, settle_after: Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p11_t7_a_server_elsewhere_has_nothing_asked_of_this_machine() {
        let of = |api_url: &str, base: Option<&str>, is_here| {
            let token = Token::Revealed(Secret::new("tokentokentoken1".to_owned()));
            let (name, id) = (InstanceName::parse("a").unwrap(), InstanceId::parse("1").unwrap());
            let api_url = Some(ApiUrl::parse(api_url).unwrap());
            let asked = Asked::new(Credential { name, kind: InstanceType::WhatsApp, id, api_url, token }, base, is_here);
            asked.target.map_or_else(|silence| silence.as_str().to_owned(), |(api_url, _)| api_url.to_string())
        };
        assert_eq!(of("http://127.0.0.1:9/i1/", None, false), "bad_address");
        assert_eq!(of("http://127.0.0.1:9/i1/", None, true), "http://127.0.0.1:9/i1/");
        assert_eq!(of("https://eu1.example/i1/", None, false), "https://eu1.example/i1/");
        assert_eq!(of("http://127.0.0.1:9/i1/", Some("http://127.0.0.1:10/"), true), "http://127.0.0.1:10/i1/");
    }
}
