//! Proxies, which come from the environment: an https server is reached through a tunnel, plain http through none.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::child::create_in_child;
use super::tls::Authority;
use super::{GOOD, KEY, answer, runtime};
use crate::raw_server::{End, RawServer, Script, Take};
use crate::stage::BOUND;

/// The server's name, which nobody but the proxy resolves.
const TARGET: &str = "https://gateway.example/";

/// One tunnel from `listener` to `target`: everything that the client said, from its first byte on.
async fn tunnel(listener: TcpListener, target: std::net::SocketAddr) -> Vec<u8> {
    let (mut client, _) = listener.accept().await.unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"\r\n\r\n") {
        said.push(client.read_u8().await.unwrap());
    }
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    let mut server = TcpStream::connect(target).await.unwrap();
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let forth = async {
        let mut buffer = [0; 4_096];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            said.extend_from_slice(&buffer[..count]);
            if to_server.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
        let _ = to_server.shutdown().await;
    };
    let back = async {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    timeout(BOUND, async { tokio::join!(forth, back) }).await.expect("both sides end the tunnel");
    said
}

#[test]
fn p11_a_proxy_sees_where_to_and_nothing_else() {
    let ours = Authority::new();
    let runtime = runtime();
    let (server, proxy, tunnel) = runtime.block_on(async {
        let script = Script::new(answer(200, "", GOOD), End::Fin);
        let server = RawServer::tls(script, ours.server("gateway.example", 4_000)).await;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let tunnel = tokio::spawn(tunnel(listener, server.addr));
        (server, proxy, tunnel)
    });
    let result = create_in_child(TARGET, &[("HTTPS_PROXY", &proxy), ("SSL_CERT_FILE", ours.path())]);
    assert!(result.starts_with("Created"), "{result}");
    let said = String::from_utf8_lossy(&runtime.block_on(tunnel).unwrap()).into_owned();
    let (head, rest) = said.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("CONNECT gateway.example:443 HTTP/1.1\r\n"), "{head}");
    for secret in [KEY, "newInstance", "uid", "x-request-id", "a-"] {
        assert!(!head.contains(secret) && !rest.contains(KEY), "{head}");
    }
    assert!(rest.starts_with('\u{16}'), "what follows is a handshake");
    assert_eq!(runtime.block_on(server.finish()).complete(), 1);
}

#[test]
fn p1_a_proxy_that_opens_no_tunnel_sends_nothing() {
    let ours = Authority::new();
    let runtime = runtime();
    let answers: [(&str, &[u8], End); 6] = [
        ("407", b"HTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", End::Fin),
        ("502", b"HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n", End::Fin),
        ("a redirect", b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:9/\r\n\r\n", End::Fin),
        ("no HTTP", b"hello\r\n\r\n", End::Fin),
        ("the end", b"", End::Fin),
        ("a reset", b"", End::Reset),
    ];
    for (what, said, end) in answers {
        let proxy = runtime.block_on(RawServer::start(Script { take: Take::Head, ..Script::new(said, end) }));
        let result = create_in_child(TARGET, &[("HTTPS_PROXY", &proxy.url()), ("SSL_CERT_FILE", ours.path())]);
        assert!(result.starts_with("Unsent"), "{what}: {result}");
        let seen = runtime.block_on(proxy.finish());
        assert_eq!(seen.connections.len(), 1, "{what}");
        assert!(seen.text().starts_with("CONNECT gateway.example:443 ") && !seen.text().contains(KEY), "{what}");
    }
}

#[test]
fn p11_plain_http_to_this_machine_goes_through_no_proxy() {
    let runtime = runtime();
    let proxy = runtime.block_on(RawServer::start(Script::new(answer(200, "", GOOD), End::Fin)));
    let server = runtime.block_on(RawServer::start(Script::new(answer(200, "", GOOD), End::Fin)));
    let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let address = proxy.url();
    let result = create_in_child(&server.url(), &names.map(|name| (name, address.as_str())));
    assert!(result.starts_with("Created"), "{result}");
    assert_eq!(runtime.block_on(proxy.finish()).connections.len(), 0, "the proxy heard something");
    assert_eq!(runtime.block_on(server.finish()).complete(), 1);
}
