//! Where requests may go: an https address, or plain http to this very machine.

use std::net::IpAddr;

use reqwest::Url;

use crate::state::Origin;

/// The base address of a server: functions are appended to it. Ends in a slash; carries no credentials, query or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// Why an address is not accepted. Never quotes it: it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// Not an absolute URL.
    #[error("the server's address is not a URL such as https://gateway.example/")]
    Syntax,
    /// Neither http nor https.
    #[error("the server's address must begin with https://")]
    Scheme,
    /// Plain http to another machine.
    #[error("plain http would show the API key to the network: use https, or http only to 127.0.0.1, [::1] or localhost")]
    PlainText,
    /// User info in it.
    #[error("the server's address holds a user name or password; the API key goes into CHATAPI_API_KEY")]
    Credentials,
    /// A query or fragment in it.
    #[error("the server's address ends with its path: no `?` and no `#`")]
    Query,
}

impl BaseUrl {
    /// Checks `text`.
    pub fn parse(text: &str) -> Result<Self, BaseUrlError> {
        let text = text.trim();
        // A host of other characters is written in its ASCII form, `xn--…`: nobody mistakes that for another one. And the library
        // looks into nothing else in a host.
        if !is_plain_host(text) {
            return Err(BaseUrlError::Syntax);
        }
        // The library's debug assertions do not bear a capital beside the characters that it refuses in a host.
        Url::parse(&text.to_ascii_lowercase()).map_err(|_| BaseUrlError::Syntax)?;
        let mut url = Url::parse(text).map_err(|_| BaseUrlError::Syntax)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BaseUrlError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BaseUrlError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BaseUrlError::Query);
        }
        let path = format!("{}/", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let base = Self(url);
        if base.is_plain() && !base.is_loopback() { Err(BaseUrlError::PlainText) } else { Ok(base) }
    }

    /// Whether requests go over plain http.
    pub fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// Whether it is a host's root, so that its origin says all of it.
    pub fn is_bare(&self) -> bool {
        self.0.path() == "/"
    }

    fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || literal.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> Origin {
        Origin(self.0.origin().ascii_serialization())
    }

    /// The address of `function`.
    pub(super) fn function(&self, function: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{function}", self.0.path()));
        url
    }
}

/// Whether all is visible ASCII, and no host is hidden behind `%`.
fn is_plain_host(text: &str) -> bool {
    let authority = text.split_once(':').map_or("", |(_, rest)| rest.trim_start_matches(['/', '\\']));
    let authority = authority.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    text.bytes().all(|byte| byte.is_ascii_graphic()) && !authority.contains('%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t5_plain_http_goes_to_this_machine_only() {
        for good in
            ["https://gw.example", "https://gw.example:8443/api/", "http://127.0.0.1:1", "http://[::1]:1/", "http://localhost"]
        {
            assert!(BaseUrl::parse(good).is_ok(), "{good}");
        }
        for (bad, error) in [
            ("gw.example", BaseUrlError::Syntax),
            ("", BaseUrlError::Syntax),
            ("ftp://gw.example/", BaseUrlError::Scheme),
            ("http://gw.example/", BaseUrlError::PlainText),
            ("http://1.2.3.4/", BaseUrlError::PlainText),
            ("http://127.0.0.1.gw.example/", BaseUrlError::PlainText),
            ("http://localhost.gw.example/", BaseUrlError::PlainText),
            ("https://user:pass@gw.example/", BaseUrlError::Credentials),
            ("https://gw.example/?uid=key", BaseUrlError::Query),
            ("https://gw.example/#a", BaseUrlError::Query),
            // A host name that only looks like another.
            ("https://gw.ехample/", BaseUrlError::Syntax),
            ("https://GW.ехample/", BaseUrlError::Syntax),
            ("https://gw%2eexample%00/", BaseUrlError::Syntax),
            ("https://gw%4Eexample/", BaseUrlError::Syntax),
            ("https:\\\\gw%4Eexample\u{d6}/", BaseUrlError::Syntax),
            ("https://gw.example/\u{d6}", BaseUrlError::Syntax),
            ("https://gw.example/a b", BaseUrlError::Syntax),
        ] {
            assert_eq!(BaseUrl::parse(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn functions_are_joined_with_one_slash() {
        for base in ["https://gw.example/v1", "https://gw.example/v1/", "https://gw.example/v1//"] {
            assert_eq!(BaseUrl::parse(base).unwrap().function("newInstance").as_str(), "https://gw.example/v1/newInstance");
        }
        assert_eq!(BaseUrl::parse("https://GW.example/").unwrap().origin().0, "https://gw.example");
    }
}
