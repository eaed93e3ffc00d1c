//! The ways in: HTTP/2, TLS, PROXY protocol, proxies that are trusted and peers that are not.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tollgate_click::Refusal;
use tollgate_collect::{EdgeOptions, ForwardedHeader, ListenerOptions, TlsFiles};
use tollgate_log::AppendError;

use crate::raw::Raw;
use crate::world::{World, get};

type Sender = hyper::client::conn::http2::SendRequest<Empty<Bytes>>;

fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    let builder = &mut tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(work)
}

async fn http2(address: SocketAddr) -> Sender {
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let handshake = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = handshake.handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(method: Method, path: &str) -> Request<Empty<Bytes>> {
    let uri = format!("http://edge{path}");
    Request::builder()
        .method(method)
        .uri(uri)
        .body(Empty::new())
        .unwrap()
}

fn header<'a>(answer: &'a Response<Incoming>, name: &str) -> Option<&'a str> {
    answer
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[test]
fn http2_by_prior_knowledge_gets_the_same_answers() {
    let world = World::start();
    on_runtime(async {
        let mut sender = http2(world.address()).await;
        let mut ask =
            async |method, path: String| sender.send_request(request(method, &path)).await.unwrap();
        let click = ask(Method::GET, format!("/c/{}", world.token())).await;
        assert_eq!(
            (click.version(), click.status().as_u16()),
            (Version::HTTP_2, 302)
        );
        assert!(header(&click, "click-id").is_some() && header(&click, "location").is_some());
        let head = ask(Method::HEAD, format!("/c/{}", world.token())).await;
        assert_eq!(head.status(), 302);
        let forged = ask(Method::GET, "/c/forged".to_owned()).await;
        assert_eq!(
            (forged.status().as_u16(), header(&forged, "location")),
            (403, None)
        );
        let post = ask(Method::POST, "/c/x".to_owned()).await;
        assert_eq!(
            (post.status().as_u16(), header(&post, "connection")),
            (405, None)
        );
        let pixel = ask(Method::GET, format!("/i/{}", world.token())).await;
        assert_eq!(pixel.status(), 200);
        assert_eq!(
            pixel.into_body().collect().await.unwrap().to_bytes().len(),
            43
        );
        let long = ask(Method::GET, format!("/c/{}", "x".repeat(8_190))).await;
        assert_eq!(long.status(), 414, "the limits of HTTP/1 hold here too");
        let mut many = request(Method::GET, "/c/x");
        for _ in 0..101 {
            many.headers_mut()
                .append("x", http::HeaderValue::from_static("y"));
        }
        assert_eq!(sender.send_request(many).await.unwrap().status(), 431);
        let ready = sender
            .send_request(request(Method::GET, "/readyz"))
            .await
            .unwrap();
        assert_eq!(ready.status(), 200);
    });
    let counters = world.settled();
    assert_eq!((counters.hits, counters.recorded()), (7, 3));
    assert!(world.log.durable()[1].click().head);
}

/// A frame of HTTP/2: length, type, flags, stream, payload.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// GET http://x/c/x, all literal or from the static table.
const HEADERS: &[u8] = b"\x82\x86\x04\x04/c/x\x01\x01x";

/// GET of that path, the path as a literal.
fn get_headers(path: &str) -> Vec<u8> {
    let length = match path.len() {
        short @ ..127 => vec![short as u8],
        long => vec![
            0x7F,
            ((long - 127) & 0x7F) as u8 | 0x80,
            ((long - 127) >> 7) as u8,
        ],
    };
    [b"\x82\x86\x04", &length[..], path.as_bytes(), b"\x01\x01x"].concat()
}

fn preface() -> Vec<u8> {
    [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &frame(4, 0, 0, &[]),
    ]
    .concat()
}

/// Whether the edge sends a GOAWAY, which ends the connection.
fn goes_away(mut raw: Raw) -> bool {
    let mut all = Vec::new();
    while raw.read_to_end_piece() {
        all.extend_from_slice(&raw.unread);
    }
    let mut rest = &all[..];
    while rest.len() >= 9 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        if rest[3] == 7 {
            return true;
        }
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    false
}

#[test]
fn a_stream_that_is_reset_is_counted_as_what_became_of_its_click() {
    for (outcome, recorded) in [
        (Ok(()), 1),
        (Err(AppendError::Indeterminate("io".into())), 0),
    ] {
        let world = World::start();
        world.log.set(crate::log::Mode::Hold);
        let mut raw = world.open();
        raw.send(preface());
        raw.send(frame(
            1,
            5,
            1,
            &get_headers(&format!("/c/{}", world.token())),
        ));
        world.when("the click is appended", || {
            (world.log.held() == 1).then_some(())
        });
        raw.send(frame(3, 0, 1, &8u32.to_be_bytes())); // RST_STREAM, CANCEL
        raw.send(frame(6, 0, 0, b"pingpong"));
        let answered = |raw: &Raw| raw.unread.windows(8).any(|eight| eight == b"pingpong");
        while !answered(&raw) {
            assert!(
                raw.read_to_end_piece(),
                "the reset has been read when the ping comes back"
            );
        }
        std::thread::sleep(std::time::Duration::from_millis(50)); // and its task has ended
        assert_eq!(
            (world.log.held(), world.edge().counters().pending()),
            (1, 1)
        );
        world.log.release(outcome);
        let counters = world.settled();
        assert_eq!((counters.hits, counters.recorded()), (1, recorded));
        assert_eq!(counters.refused_for(Refusal::Unrecorded), 1 - recorded);
    }
}

#[test]
fn floods_of_http2_frames_end_the_connection_and_nothing_else() {
    let world = World::start();
    let reset = |stream: u32| {
        [
            frame(1, 5, stream, HEADERS),
            frame(3, 0, stream, &8u32.to_be_bytes()),
        ]
        .concat()
    };
    let rapid_reset = (0..5_000u32)
        .map(|turn| reset(2 * turn + 1))
        .collect::<Vec<_>>()
        .concat();
    let endless_headers = [
        frame(1, 0, 1, HEADERS), // without END_HEADERS
        frame(9, 0, 1, &[b'\x00'; 1]).repeat(1),
        (0..5_000)
            .flat_map(|_| frame(9, 0, 1, &[0x10, 1, b'a', 1, b'b']))
            .collect(),
    ]
    .concat();
    let broken_hpack = frame(1, 5, 1, &[0xFF; 32]);
    let window_overflow = frame(8, 0, 0, &0x7FFF_FFFFu32.to_be_bytes());
    let oversized = frame(0, 0, 1, &vec![0; 20_000]);
    for (what, flood) in [
        ("rapid reset", rapid_reset),
        ("CONTINUATION", endless_headers),
        ("HPACK", broken_hpack),
        ("window", window_overflow),
        ("a frame over its size", oversized),
        ("a stream of the server", frame(1, 5, 2, HEADERS)),
    ] {
        let mut raw = world.open();
        raw.send(preface());
        raw.send(&flood);
        assert!(goes_away(raw), "{what}");
        assert_eq!(
            world.once(get(format!("/c/{}", world.token()))).status,
            302,
            "{what}"
        );
    }
    world.settled();
}

/// A certificate for `localhost`, made for this run.
fn certificate(name: &str) -> (TlsFiles, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let dir =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = |end: &str| dir.join(format!("{name}.{end}"));
    let files = TlsFiles {
        certificate: file("crt"),
        key: file("key"),
    };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (files, made.cert.der().clone())
}

fn tls_client(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    alpn: &[u8],
) -> Raw<StreamOwned<ClientConnection, std::net::TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    Raw::over(StreamOwned::new(client, Raw::open(address).socket))
}

fn with_tls(files: &TlsFiles) -> World {
    World::with(|options| options.listeners[0].tls = Some(files.clone()))
}

#[test]
fn tls_serves_http1_and_names_http2() {
    let (files, trusted) = certificate("serves");
    let world = with_tls(&files);
    let mut raw = tls_client(world.address(), &trusted, b"http/1.1");
    assert_eq!(raw.ask(get(format!("/c/{}", world.token()))).status, 302);
    assert_eq!(raw.socket.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(raw.ask("GET /c/x HTTP/1.1\nHost: x\n\n").status, 400);
    let mut raw = tls_client(world.address(), &trusted, b"h2");
    raw.send(preface());
    raw.send(frame(1, 5, 1, HEADERS));
    assert!(raw.read_to_end_piece(), "settings come back");
    assert_eq!(raw.socket.conn.alpn_protocol(), Some(&b"h2"[..]));
    world.when("the stream is counted", || {
        (world.edge().counters().hits == 3).then_some(())
    });
}

#[test]
fn cleartext_on_a_tls_port_is_no_hit() {
    let (files, _) = certificate("clear");
    let world = with_tls(&files);
    let mut raw = world.open();
    raw.send(get("/c/x"));
    while raw.read_to_end_piece() {}
    let counters = world.when("the handshake is counted", || {
        let counters = world.edge().counters();
        (counters.connections_bad_handshake == 1).then_some(counters)
    });
    assert_eq!(counters.hits, 0);
}

#[test]
fn certificates_are_changed_while_they_serve_and_bad_ones_are_not_taken() {
    let (files, old) = certificate("changes");
    let world = with_tls(&files);
    let serves = |trusted: &CertificateDer<'static>| {
        let mut raw = tls_client(world.address(), trusted, b"http/1.1");
        raw.socket.conn.complete_io(&mut raw.socket.sock).is_ok()
    };
    assert!(serves(&old));
    let (_, new) = certificate("changes"); // the same files
    assert!(serves(&old) && !serves(&new), "not before it is told");
    world.edge().reload_certificates().unwrap();
    assert!(serves(&new) && !serves(&old));
    std::fs::write(&files.certificate, "nonsense").unwrap();
    assert!(world.edge().reload_certificates().is_err());
    assert!(serves(&new), "the last good one stays");
}

fn proxied(options: &mut EdgeOptions) {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = ListenerOptions {
        proxy_protocol: true,
        ..ListenerOptions::plain(any_port)
    };
    options.listeners.push(listener);
    options.timeouts.first_byte = std::time::Duration::from_millis(300);
}

fn address_of_last(world: &World) -> Option<IpAddr> {
    world.log.last().person().address
}

#[test]
fn the_proxy_protocol_names_the_client_on_its_own_listener() {
    let world = World::with(proxied);
    let door = world.edge().addresses()[1];
    let v2_start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
    let v2 = [&v2_start[..], &[192, 0, 2, 9, 10, 0, 0, 1, 0, 80, 0, 80]].concat();
    let rows = [
        (
            b"PROXY TCP4 192.0.2.8 10.0.0.1 5 80\r\n".to_vec(),
            "192.0.2.8",
        ),
        (
            b"PROXY TCP6 2001:db8::8 ::1 5 80\r\n".to_vec(),
            "2001:db8::8",
        ),
        (v2, "192.0.2.9"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
    ];
    for (start, expected) in rows {
        let mut raw = Raw::open(door);
        raw.send([start, get(format!("/c/{}", world.token())).into_bytes()].concat());
        assert_eq!(raw.answer().status, 302);
        assert_eq!(address_of_last(&world), Some(expected.parse().unwrap()));
        assert_eq!(raw.ask(get(format!("/c/{}", world.token()))).status, 302);
        assert_eq!(
            address_of_last(&world),
            Some(expected.parse().unwrap()),
            "on each request"
        );
    }
    // A client behind the balancer has no say about its address, though the balancer is trusted.
    let mut raw = Raw::open(door);
    raw.send("PROXY TCP4 192.0.2.8 10.0.0.1 5 80\r\n");
    raw.send(format!(
        "GET /c/{} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 6.6.6.6\r\nX-Country: DE\r\n\r\n",
        world.token()
    ));
    assert_eq!(raw.answer().status, 302);
    assert_eq!(address_of_last(&world), Some("192.0.2.8".parse().unwrap()));
    assert_eq!(world.log.last().click().country.to_string(), "--");
}

#[test]
fn a_proxy_listener_takes_nothing_else_and_from_nobody_else() {
    let world = World::with(proxied);
    let door = world.edge().addresses()[1];
    for start in [
        "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "PROXY TCP4 x y 1 2\r\n",
        "PROXY TC",
        "",
    ] {
        let mut raw = Raw::open(door);
        raw.send(start);
        assert!(raw.is_ended(), "{start:?}");
    }
    let counters = world.when("the handshakes are counted", || {
        let counters = world.edge().counters();
        (counters.connections_bad_handshake == 4).then_some(counters)
    });
    assert_eq!(counters.hits, 0);
    let strangers = World::with(|options| {
        proxied(options);
        options.clients.trusted_proxies.clear();
    });
    let mut raw = Raw::open(strangers.edge().addresses()[1]);
    raw.send("PROXY TCP4 192.0.2.8 10.0.0.1 5 80\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(raw.is_ended());
}

#[test]
fn a_peer_that_is_not_trusted_speaks_for_itself_only() {
    let world = World::with(|options| options.clients.trusted_proxies.clear());
    let request = format!(
        "GET /c/{} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n\
         X-Country: DE\r\nX-Real-IP: 1.2.3.4\r\n\r\n",
        world.token()
    );
    assert_eq!(world.once(request).status, 302);
    assert_eq!(address_of_last(&world), Some([127, 0, 0, 1].into()));
    assert_eq!(world.log.last().click().country.to_string(), "--");
}

#[test]
fn rfc_7239_counts_when_it_is_chosen() {
    let world = World::with(|options| options.clients.forwarded = ForwardedHeader::Forwarded);
    let request = format!(
        "GET /c/{} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.2.3.4\r\n\
         Forwarded: for=192.0.2.5\r\n\r\n",
        world.token()
    );
    assert_eq!(world.once(request).status, 302);
    assert_eq!(address_of_last(&world), Some([192, 0, 2, 5].into()));
    assert_eq!(world.settled().refused_for(Refusal::Malformed), 0);
}
