//! F8: where requests may go.

use std::net::IpAddr;

use chatapi::instance::ApiUrl;
use chatapi::provider::BaseUrl;
use reqwest::Url;

/// An address is accepted if and only if the policy, applied to what the URL library reads in it, allows it; its origin is the
/// library's, and stays the same when it is read again. Of visible ASCII only, and with no `%` in its host.
pub(super) fn f8_url(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if cfg!(debug_assertions) && text.to_ascii_lowercase().contains("xn--") {
        // A debug assertion of the library fails on some such hosts; a release has none.
        return;
    }
    let base = BaseUrl::parse(&text);
    let url = read(text.trim());
    assert_eq!(base.is_ok(), url.as_ref().is_some_and(is_allowed), "{text:?}: {base:?}");
    if let (Ok(base), Some(url)) = (base, url) {
        let origin = base.origin();
        assert_eq!(origin.0, url.origin().ascii_serialization(), "{text:?}");
        assert!(origin.0.contains(url.host_str().unwrap()) && origin.0.is_ascii(), "{origin}");
        assert_eq!(base.is_plain(), url.scheme() == "http");
        let again = BaseUrl::parse(&origin.0).unwrap();
        assert_eq!((again.origin(), again.is_plain()), (origin, base.is_plain()));
    }
    if let Ok(address) = ApiUrl::parse(&text) {
        let is_plain_text = address.as_str().bytes().all(|byte| byte.is_ascii_graphic());
        let has_user = read(address.as_str()).is_some_and(|url| !url.username().is_empty() || url.password().is_some());
        assert!(is_plain_text && !has_user, "{address}");
        assert!(address.join("status").ends_with("/status"));
    }
}

/// What the URL library reads, of a text whose host is plain.
fn read(text: &str) -> Option<Url> {
    let is_slash = |byte: &u8| matches!(byte, b'/' | b'\\');
    let after_scheme = text.bytes().skip_while(|byte| *byte != b':').skip(1).skip_while(is_slash);
    let mut host = after_scheme.take_while(|byte| !is_slash(byte) && !matches!(byte, b'?' | b'#'));
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) || host.any(|byte| byte == b'%') {
        return None;
    }
    // In lower case first: `BaseUrl::parse` says why.
    Url::parse(&text.to_ascii_lowercase()).and_then(|_| Url::parse(text)).ok()
}

/// The policy: https, or http to this machine; nothing in it but a place.
fn is_allowed(url: &Url) -> bool {
    let is_here = match url.domain() {
        Some(domain) => domain == "localhost",
        None => address(url).is_some_and(|address| address.is_loopback()),
    };
    let is_place_only =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    is_place_only && (url.scheme() == "https" || (url.scheme() == "http" && is_here))
}

/// The address of a host that is no domain.
fn address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}
