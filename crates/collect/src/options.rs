//! What an edge is told at its start: checked values only, their meaning settled elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use tollgate_click::facts::Ack;
use tollgate_click::{EdgeId, Millis, PseudonymKeyId};

/// Everything an edge is told.
#[derive(Clone, Debug)]
pub struct EdgeOptions {
    /// This edge's number; two edges of one deployment must not share it.
    pub edge: EdgeId,
    /// Data partitions of the log.
    pub partitions: u16,
    /// What an answer waits for: stamped on records, done by the log.
    pub ack: Ack,
    /// Threads that serve requests, at least 1.
    pub threads: usize,
    /// Where to listen.
    pub listeners: Vec<ListenerOptions>,
    /// Whom to believe about addresses.
    pub clients: ClientOptions,
    /// The secrets of pseudonyms.
    pub pseudonyms: PseudonymKeys,
    /// How much is allowed.
    pub limits: Limits,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// One socket to listen on.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Certificate and key; none means cleartext.
    pub tls: Option<TlsFiles>,
    /// Each connection starts with a PROXY protocol header (v1 or v2), and only trusted proxies
    /// may connect. Without it such a header is a malformed request.
    pub proxy_protocol: bool,
}

/// A certificate chain and its key, both PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Whom to believe about the address and country of a client.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Proxies of ours. Headers from anyone else are ignored.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which they name the client.
    pub forwarded: ForwardedHeader,
    /// The header in which they name its country as two letters; lower case. None: no country.
    pub country_header: Option<String>,
}

/// The header in which a trusted proxy names the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ForwardedHeader {
    /// None: the peer is the client.
    None,
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded`, RFC 7239.
    Forwarded,
}

/// The secrets of pseudonyms. After a rotation the previous one rides along until the longest rule
/// window is over.
#[derive(Clone, Debug)]
pub struct PseudonymKeys {
    /// In use.
    pub current: PseudonymKey,
    /// The one before, with the instant (`received_at`) up to which it rides along.
    pub previous: Option<(PseudonymKey, Millis)>,
}

/// One secret of pseudonyms.
#[derive(Clone)]
pub struct PseudonymKey {
    /// Its number, which stands in each record.
    pub id: PseudonymKeyId,
    /// The key of SipHash-2-4.
    pub secret: [u8; 16],
}

impl std::fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PseudonymKey({}, secret hidden)", self.id)
    }
}

/// How much is allowed. What goes beyond is refused, closed or cut as stated.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections in total; more are closed at once.
    pub connections_max: usize,
    /// Open connections of one address (IPv6: of one /64), trusted proxies excepted; more are
    /// closed at once.
    pub connections_per_ip_max: usize,
    /// Concurrent streams of one HTTP/2 connection; more are refused.
    pub h2_streams_max: u32,
    /// Streams of one HTTP/2 connection that were reset before they were answered; more closes
    /// the connection (rapid reset).
    pub h2_resets_max: usize,
    /// Batches that one thread works on at a time; more get 503.
    pub batches_max: usize,
    /// How old an event in a batch may be; older ones are `late`.
    pub event_age_ms_max: u64,
    /// The longest billing window, in seconds: a link that was signed with a longer one is
    /// recorded with this one, so that nothing bills when its nonce may be forgotten.
    pub window_s_max: u32,
    /// Refused requests of which each thread keeps a sample.
    pub quarantine_samples: usize,
}

/// How long things may take.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// From a new connection to its first byte; with TLS or PROXY protocol, to the end of the
    /// handshake.
    pub first_byte: Duration,
    /// From the first byte of a request's head to its last; then 408.
    pub head: Duration,
    /// From the end of the head to the end of the body; then 408.
    pub body: Duration,
    /// Between requests of one connection; then it is closed.
    pub idle: Duration,
    /// How long a client may leave an answer unread.
    pub write: Duration,
    /// Between saying "not ready" and closing the listeners.
    pub drain_delay: Duration,
}

impl EdgeOptions {
    /// Defaults for one cleartext listener: loopback is the only trusted proxy.
    pub fn new(edge: EdgeId, address: SocketAddr, pseudonyms: PseudonymKeys) -> EdgeOptions {
        EdgeOptions {
            edge,
            partitions: 16,
            ack: Ack::Local,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            listeners: vec![ListenerOptions::plain(address)],
            clients: ClientOptions::default(),
            pseudonyms,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl ListenerOptions {
    /// A cleartext listener.
    pub fn plain(address: SocketAddr) -> ListenerOptions {
        ListenerOptions {
            address,
            tls: None,
            proxy_protocol: false,
        }
    }
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        let loopback = [
            IpAddr::from([127, 0, 0, 1]),
            IpAddr::from(1u128.to_be_bytes()),
        ];
        let nets = loopback.into_iter().zip([8, 128]);
        ClientOptions {
            trusted_proxies: nets
                .filter_map(|(ip, bits)| IpNet::new(ip, bits).ok())
                .collect(),
            forwarded: ForwardedHeader::XForwardedFor,
            country_header: Some("x-country".to_owned()),
        }
    }
}

impl ClientOptions {
    /// Whether that address is a proxy of ours.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies
            .iter()
            .any(|net| net.contains(&address))
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 20_000,
            connections_per_ip_max: 512,
            h2_streams_max: 100,
            h2_resets_max: 20,
            batches_max: 4,
            event_age_ms_max: 400 * 24 * 3600 * 1000,
            window_s_max: tollgate_click::limits::WINDOW_MAX_S,
            quarantine_samples: 64,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            first_byte: Duration::from_secs(10),
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
            drain_delay: Duration::ZERO,
        }
    }
}
