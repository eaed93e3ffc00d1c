//! Configuration in two steps: what was [`written`] and where, then what it [means](self),
//! checked once and passed on as a value.
//!
//! `config/defaults.toml` is compiled in and is the only list of settings: names, types, defaults,
//! what is allowed, and the text of the reference page all come from it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use tollgate_click::EdgeId;
use tollgate_click::limits::{EXPIRY_MAX_S, SPOOL_LIMIT_S, WINDOW_MAX_S};
use tollgate_collect::ForwardedHeader;

pub(crate) mod reference;
mod value;
pub(crate) mod written;

use value::Field;
use written::Written;

/// A checked configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) node: Node,
    pub(crate) edge: EdgeSection,
    pub(crate) log: LogSection,
    pub(crate) link: LinkSection,
    pub(crate) api: SocketAddr,
    pub(crate) messages: Messages,
}

/// `[node]`.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) edge: EdgeId,
    pub(crate) partitions: u16,
}

/// `[edge]`; lists are in the order in which they are written.
#[derive(Clone, Debug)]
pub(crate) struct EdgeSection {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) proxy_listen: Vec<SocketAddr>,
    pub(crate) tls_listen: Vec<SocketAddr>,
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    pub(crate) threads: usize,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) forwarded_header: ForwardedHeader,
    pub(crate) country_header: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
}

/// `[edge.limits]`.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) connections_per_address: usize,
    pub(crate) h2_streams: u32,
    pub(crate) h2_resets: usize,
    pub(crate) batches: usize,
    pub(crate) event_age: Duration,
    pub(crate) quarantine_samples: usize,
}

/// `[edge.timeouts]`.
#[derive(Clone, Debug)]
pub(crate) struct Timeouts {
    pub(crate) first_byte: Duration,
    pub(crate) head: Duration,
    pub(crate) body: Duration,
    pub(crate) idle: Duration,
    pub(crate) write: Duration,
    pub(crate) drain_delay: Duration,
    pub(crate) drain: Duration,
}

/// `[log]`.
#[derive(Clone, Debug)]
pub(crate) struct LogSection {
    /// Whether a receipt waits for the disk.
    pub(crate) sync: bool,
    pub(crate) segment_bytes: u32,
    pub(crate) commit_interval: Duration,
    pub(crate) sync_interval: Duration,
    pub(crate) queue_bytes: usize,
    pub(crate) facts_retention: Duration,
    pub(crate) personal_retention: Duration,
}

/// `[link]`.
#[derive(Clone, Debug)]
pub(crate) struct LinkSection {
    pub(crate) window: Duration,
    pub(crate) window_max: Duration,
    pub(crate) expiry: Duration,
}

/// `[messages]`.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    pub(crate) level: tracing::Level,
    pub(crate) json: bool,
}

/// The configuration of a file (or none) and the environment.
///
/// # Errors
///
/// [`written::Wrong`]: one message with file, line, key, what is wrong, what is allowed.
pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Config> {
    let written = written::read(file, std::env::vars_os())?;
    Ok(mean(&written)?)
}

/// What was written, as checked values.
pub(crate) fn mean(written: &Written) -> Result<Config, written::Wrong> {
    let config = Config {
        node: node(written)?,
        edge: edge(written)?,
        log: log(written)?,
        link: link(written)?,
        api: written.field("api.listen").address()?,
        messages: messages(written)?,
    };
    check_ports(written, &config)?;
    check_retention(written, &config)?;
    Ok(config)
}

fn node(written: &Written) -> Result<Node, written::Wrong> {
    let edge = written.field("node.edge");
    let number: u16 = edge.integer(0, 16_383)?;
    Ok(Node {
        edge: EdgeId::new(number).map_err(|_| edge.not_allowed())?,
        partitions: written.field("node.partitions").integer(1, 4095)?,
    })
}

fn edge(written: &Written) -> Result<EdgeSection, written::Wrong> {
    let field = |name: &str| written.field(&format!("edge.{name}"));
    let header = field("country_header");
    Ok(EdgeSection {
        listen: field("listen").addresses()?,
        proxy_listen: field("proxy_listen").addresses()?,
        tls_listen: field("tls_listen").addresses()?,
        tls: tls(written)?,
        threads: field("threads").integer(0, 1024)?,
        trusted_proxies: field("trusted_proxies").networks()?,
        forwarded_header: field("forwarded_header").one_of(&[
            ("x-forwarded-for", ForwardedHeader::XForwardedFor),
            ("forwarded", ForwardedHeader::Forwarded),
            ("none", ForwardedHeader::None),
        ])?,
        country_header: header
            .optional_text()?
            .map(|name| header_name(&header, name))
            .transpose()?,
        limits: limits(written)?,
        timeouts: timeouts(written)?,
    })
}

fn header_name(field: &Field<'_>, name: String) -> Result<String, written::Wrong> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.len() <= 64 && name.bytes().all(token) {
        Ok(name.to_ascii_lowercase())
    } else {
        Err(field.not_allowed())
    }
}

/// Certificate and key come together, and with them at least one listener.
fn tls(written: &Written) -> Result<Option<(PathBuf, PathBuf)>, written::Wrong> {
    let listen = written.field("edge.tls_listen");
    let (certificate, key) = (
        written.field("edge.tls_certificate"),
        written.field("edge.tls_key"),
    );
    let wanted = !listen.addresses()?.is_empty();
    match (certificate.optional_text()?, key.optional_text()?) {
        (Some(certificate), Some(key)) => Ok(Some((certificate.into(), key.into()))),
        (None, None) if !wanted => Ok(None),
        (None, _) => {
            let blamed = if wanted { &listen } else { &key };
            Err(blamed.wrong("TLS needs edge.tls_certificate, which is not set"))
        }
        (_, None) => Err(certificate.wrong("a certificate needs edge.tls_key, which is not set")),
    }
}

fn limits(written: &Written) -> Result<Limits, written::Wrong> {
    let field = |name: &str| written.field(&format!("edge.limits.{name}"));
    Ok(Limits {
        connections: field("connections").integer(1, 1_000_000)?,
        connections_per_address: field("connections_per_address").integer(1, 1_000_000)?,
        h2_streams: field("h2_streams").integer(1, 10_000)?,
        h2_resets: field("h2_resets").integer(1, 10_000)?,
        batches: field("batches").integer(1, 1000)?,
        event_age: field("event_age").duration("1m", "36500d")?,
        quarantine_samples: field("quarantine_samples").integer(0, 10_000)?,
    })
}

fn timeouts(written: &Written) -> Result<Timeouts, written::Wrong> {
    let field = |name: &str| written.field(&format!("edge.timeouts.{name}"));
    Ok(Timeouts {
        first_byte: field("first_byte").duration("100ms", "1h")?,
        head: field("head").duration("100ms", "1h")?,
        body: field("body").duration("100ms", "1h")?,
        idle: field("idle").duration("100ms", "1h")?,
        write: field("write").duration("100ms", "1h")?,
        drain_delay: field("drain_delay").duration("0s", "1h")?,
        drain: field("drain").duration("100ms", "1h")?,
    })
}

fn log(written: &Written) -> Result<LogSection, written::Wrong> {
    let field = |name: &str| written.field(&format!("log.{name}"));
    Ok(LogSection {
        sync: field("durability").one_of(&[("sync", true), ("os", false)])?,
        segment_bytes: field("segment").bytes("16MiB", "1GiB")?,
        commit_interval: field("commit_interval").duration("0ms", "1s")?,
        sync_interval: field("sync_interval").duration("1ms", "1m")?,
        queue_bytes: field("queue").bytes("16MiB", "4GiB")?,
        facts_retention: field("facts_retention").duration("8d", "4000d")?,
        personal_retention: field("personal_retention").duration("1h", "4000d")?,
    })
}

fn link(written: &Written) -> Result<LinkSection, written::Wrong> {
    let field = |name: &str| written.field(&format!("link.{name}"));
    Ok(LinkSection {
        window: field("window").duration("1s", "30d")?,
        window_max: field("window_max").duration("1s", "30d")?,
        expiry: field("expiry").duration("1s", "400d")?,
    })
}

fn messages(written: &Written) -> Result<Messages, written::Wrong> {
    let levels = [
        ("error", tracing::Level::ERROR),
        ("warn", tracing::Level::WARN),
        ("info", tracing::Level::INFO),
        ("debug", tracing::Level::DEBUG),
    ];
    Ok(Messages {
        level: written.field("messages.level").one_of(&levels)?,
        json: written
            .field("messages.format")
            .one_of(&[("text", false), ("json", true)])?,
    })
}

/// No two listeners may ask for one port; port 0 asks for any.
fn check_ports(written: &Written, config: &Config) -> Result<(), written::Wrong> {
    let edge = &config.edge;
    let named = |name: &'static str, list: &[SocketAddr]| {
        list.iter()
            .map(|address| (name, *address))
            .collect::<Vec<_>>()
    };
    let all = [
        named("edge.listen", &edge.listen),
        named("edge.proxy_listen", &edge.proxy_listen),
        named("edge.tls_listen", &edge.tls_listen),
        named("api.listen", &[config.api]),
    ]
    .concat();
    if all.len() == 1 {
        return Err(written
            .field("edge.listen")
            .wrong("the edge listens nowhere"));
    }
    for (index, (name, address)) in all.iter().enumerate() {
        let clash = all
            .iter()
            .take(index)
            .find(|(_, earlier)| clashes(*address, *earlier));
        if let Some((other, earlier)) = clash {
            let what = format!("{address} clashes with {other} = {earlier}");
            return Err(written.field(name).wrong(&what));
        }
    }
    Ok(())
}

fn clashes(one: SocketAddr, other: SocketAddr) -> bool {
    let same_port = one.port() == other.port() && one.port() != 0;
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    same_port && (everywhere || one.ip() == other.ip())
}

/// What must be remembered is kept: a click must still meet the nonces of its window.
fn check_retention(written: &Written, config: &Config) -> Result<(), written::Wrong> {
    let (link, log) = (&config.link, &config.log);
    let spool = Duration::from_secs(SPOOL_LIMIT_S.into());
    let refuse = |name: &str, what: String| Err(written.field(name).wrong(&what));
    if link.window > link.window_max {
        return refuse(
            "link.window",
            "it is longer than link.window_max".to_owned(),
        );
    }
    if link.window_max + spool > log.facts_retention {
        let what = format!(
            "with the 7 days of a spool it is longer than log.facts_retention ({}): duplicates \
             would bill",
            value::spell_duration(log.facts_retention)
        );
        return refuse("link.window_max", what);
    }
    if link.expiry < link.window {
        return refuse("link.expiry", "it is shorter than link.window".to_owned());
    }
    if link.expiry > log.facts_retention {
        let kept = value::spell_duration(log.facts_retention);
        return refuse(
            "link.expiry",
            format!("it is longer than log.facts_retention ({kept})"),
        );
    }
    if log.personal_retention > log.facts_retention {
        let what = "it is longer than log.facts_retention".to_owned();
        return refuse("log.personal_retention", what);
    }
    Ok(())
}

const _: () = assert!(WINDOW_MAX_S == 30 * 86_400 && EXPIRY_MAX_S == 400 * 86_400);

#[cfg(test)]
mod tests;
