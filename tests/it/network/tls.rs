//! https, with certificates made here. What is trusted comes from `SSL_CERT_FILE`, so the client is a child process.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tempfile::NamedTempFile;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::child::create_in_child;
use super::{GOOD, KEY, answer, runtime};
use crate::raw_server::{End, RawServer, Script, Seen, Take};

/// A certificate authority and the file that makes it trusted.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: NamedTempFile,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// The path for `SSL_CERT_FILE`.
    pub(super) fn path(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    /// A server's side for `name`, valid until the end of `year`.
    pub(super) fn server(&self, name: &str, year: i32) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
        self.signed(builder.unwrap().with_no_client_auth(), name, year)
    }

    /// The same for clients that have a certificate of their own, which ours have not.
    fn server_for_known_clients(&self, name: &str) -> ServerConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider())).build();
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
        self.signed(builder.unwrap().with_client_cert_verifier(verifier.unwrap()), name, 4_000)
    }

    fn signed(&self, builder: Unsigned, name: &str, year: i32) -> ServerConfig {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2_000, 1, 1), date_time_ymd(year, 12, 31));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        builder.with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into())).unwrap()
    }
}

/// A server's side whose certificate is yet to come.
type Unsigned = tokio_rustls::rustls::ConfigBuilder<ServerConfig, tokio_rustls::rustls::server::WantsServerCert>;

/// One create by a client that trusts `trusted`, against a server with this script and certificate.
fn against(script: Script, config: ServerConfig, trusted: &Authority) -> (String, Seen) {
    let runtime = runtime();
    let server = runtime.block_on(RawServer::tls(script, config));
    let url = format!("https://{}/", server.addr);
    let result = create_in_child(&url, &[("SSL_CERT_FILE", trusted.path())]);
    let seen = runtime.block_on(server.finish());
    assert!(seen.complete() <= usize::from(!result.starts_with("Unsent")), "{result}: {}", seen.complete());
    assert!(seen.connections.len() <= 1, "{result}");
    (result, seen)
}

fn good(end: End) -> Script {
    Script::new(answer(200, "", GOOD), end)
}

#[test]
fn p1_t5_a_certificate_that_does_not_verify_stops_the_run_and_nothing_is_sent() {
    let ours = Authority::new();
    let other = Authority::new();
    for (what, config, trusted) in [
        ("another authority", ours.server("127.0.0.1", 4_000), &other),
        ("another name", ours.server("other.example", 4_000), &ours),
        ("expired", ours.server("127.0.0.1", 2_020), &ours),
    ] {
        let (result, seen) = against(good(End::Fin), config, trusted);
        assert!(result.starts_with("Unsent Some(Stop)"), "{what}: {result}");
        assert_eq!(seen.text(), "", "{what}");
    }
}

#[test]
fn p1_a_trusted_server_creates() {
    let ours = Authority::new();
    let (result, seen) = against(good(End::Fin), ours.server("127.0.0.1", 4_000), &ours);
    assert!(result.starts_with("Created"), "{result}");
    assert_eq!((seen.complete(), seen.text().matches(KEY).count()), (1, 1));
}

#[test]
fn p1_an_encrypted_answer_that_is_cut_is_doubt() {
    let ours = Authority::new();
    let whole = answer(200, "", GOOD);
    for cut in [0, 1, 20, whole.len() - GOOD.len(), whole.len() - 30, whole.len() - 1] {
        for end in [End::Fin, End::Reset] {
            let (result, seen) = against(Script::new(&whole[..cut], end), ours.server("127.0.0.1", 4_000), &ours);
            assert!(result.starts_with("Doubt"), "{cut} {end:?}: {result}");
            assert_eq!(seen.complete(), 1, "{cut} {end:?}");
        }
    }
}

#[test]
fn p1_an_encrypted_request_that_is_read_in_part_is_doubt_or_provably_unsent() {
    let ours = Authority::new();
    for take in [Take::Nothing, Take::Bytes(100), Take::Head] {
        for end in [End::Fin, End::Reset] {
            let (result, _) = against(Script::silent(take, end), ours.server("127.0.0.1", 4_000), &ours);
            assert!(result.starts_with("Doubt") || result.starts_with("Unsent"), "{take:?} {end:?}: {result}");
        }
    }
}

/// With TLS 1.3 the refusal comes after the client believes the connection to stand.
#[test]
fn p1_a_server_that_asks_for_a_certificate_of_ours_creates_nothing() {
    let ours = Authority::new();
    let (result, seen) = against(good(End::Fin), ours.server_for_known_clients("127.0.0.1"), &ours);
    assert!(result.starts_with("Doubt") || result.starts_with("Unsent"), "{result}");
    assert_eq!(seen.text(), "");
}
