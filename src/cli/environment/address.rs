//! Where the gateway of an environment is: by `CHATAPI_URL`, or by the file where the state is bound to that very gateway by the key.

use super::{Chosen, Gateway};
use crate::cli::context::{typed, typed_word};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::provider::{ApiKey, BaseUrl};
use crate::state::{Binding, KeyFingerprint, Lineage};
use crate::store::{self, Reading};
use crate::text::escape;

impl Chosen {
    /// What `CHATAPI_URL` says, if that is this environment's gateway.
    pub(in crate::cli) fn agreed(&self, said: Option<String>) -> Result<Option<String>, CliError> {
        let (Some(Gateway::Server(base, text)), Some(url)) = (&self.gateway, &said) else { return Ok(said) };
        if BaseUrl::parse(url).is_ok_and(|other| other != **base) {
            let message = format!("CHATAPI_URL is {}, and environment `{}` is on {text}", escape(url.trim()), self.name);
            return Err(CliError::message(Exit::Error, message)
                .hint("nothing was sent")
                .hint("choose the other environment, or unset it"));
        }
        Ok(said)
    }

    /// The address that the file says, if the state was bound to that by this very key. Nobody who does not have the key can make such
    /// a state. None where the file says no address.
    pub(in crate::cli) fn url(&self, key: &ApiKey) -> Result<Option<String>, CliError> {
        let Some(Gateway::Server(base, text)) = &self.gateway else { return Ok(None) };
        if base.is_bare() && self.is_bound_by(key, base) {
            return Ok(Some(text.clone()));
        }
        let bound = self.binding().map(|(bound, _)| bound);
        let is_early = bound.as_ref().and_then(|bound| bound.key.as_ref()).is_some_and(KeyFingerprint::is_early);
        // Whoever can change the file can change the state too: that it is the key which is wrong is not known.
        let is_of_another =
            base.is_bare() && bound.is_some_and(|bound| bound.key.is_some() && !is_early && bound.origin == base.origin());
        let why = "the state is not bound to this gateway by this key, so its address has to be told from outside";
        let mut refused = CliError::message(Exit::Error, why)
            .hint("nothing was sent: a file that comes with pull requests does not say where a key goes");
        if is_of_another {
            let name = &self.name;
            refused =
                refused.hint(format!("the state names this gateway, bound by another key: is the API key that of `{name}`?"));
        }
        let refused =
            refused.hint(format!("export CHATAPI_URL={} (as {} has it), if that is right", typed_word(text), typed(&self.file)));
        let once = "the state was bound before its fingerprint was of an address too: `chatapi state rebind`, with CHATAPI_URL, does that";
        Err(if is_early { refused.hint(once) } else { refused })
    }

    fn is_bound_by(&self, key: &ApiKey, base: &BaseUrl) -> bool {
        let origin = base.origin();
        let is_mine =
            |(bound, lineage): (Binding, _)| bound.key == Some(key.fingerprint(&lineage, &origin)) && bound.origin == origin;
        self.binding().is_some_and(is_mine)
    }

    /// What its state is bound to, and the lineage of that.
    fn binding(&self) -> Option<(Binding, Lineage)> {
        let Reading { state, .. } = store::read(&self.state(), None).ok()?;
        Some((state.binding?, state.lineage))
    }
}
