//! The edge of a node: its options out of the configuration, and the log as it sees it.

use std::sync::Arc;
use std::time::Duration;

use tollgate_click::facts::Ack;
use tollgate_collect::{
    ClientOptions, Clock, Edge, EdgeOptions, Limits, ListenerOptions, LogHandle, RunningEdge,
    Timeouts, TlsFiles, Wiring,
};
use tollgate_log::{Health, Log, SegmentLog};

use crate::config::Config;
use crate::data_dir::DataDir;

/// Starts the edge over a log.
pub(super) fn start(
    config: &Config,
    dir: &DataDir,
    log: &Arc<SegmentLog>,
    wiring: Arc<Wiring>,
    clock: Clock,
) -> anyhow::Result<RunningEdge> {
    let (appenders, health) = (log.clone(), log.clone());
    let handle = LogHandle::new(move || appenders.appender(), move || log_fault(&health));
    Ok(Edge::start(
        edge_options(config, dir)?,
        wiring,
        handle,
        clock,
    )?)
}

/// Why the log takes nothing at present.
pub(super) fn log_fault(log: &SegmentLog) -> Result<(), String> {
    match log.health() {
        Health::Writable => Ok(()),
        Health::Full => Err("the disk is full".to_owned()),
        Health::Fenced(why) => Err(format!("it cannot write: {why}")),
        Health::Closed => Err("it is closed".to_owned()),
    }
}

fn edge_options(config: &Config, dir: &DataDir) -> anyhow::Result<EdgeOptions> {
    let edge = &config.edge;
    let tls = edge.tls.as_ref();
    let files = tls.map(|(certificate, key)| TlsFiles {
        certificate: certificate.clone(),
        key: key.clone(),
    });
    let plain = edge
        .listen
        .iter()
        .map(|address| ListenerOptions::plain(*address));
    let proxy = edge.proxy_listen.iter().map(|address| ListenerOptions {
        proxy_protocol: true,
        ..ListenerOptions::plain(*address)
    });
    let secure = edge.tls_listen.iter().map(|address| ListenerOptions {
        tls: files.clone(),
        ..ListenerOptions::plain(*address)
    });
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(EdgeOptions {
        edge: config.node.edge,
        partitions: config.node.partitions,
        ack: if config.log.sync { Ack::Local } else { Ack::Os },
        threads: if edge.threads == 0 {
            processors
        } else {
            edge.threads
        },
        listeners: plain.chain(proxy).chain(secure).collect(),
        clients: ClientOptions {
            trusted_proxies: edge.trusted_proxies.clone(),
            forwarded: edge.forwarded_header,
            country_header: edge.country_header.clone(),
        },
        pseudonyms: dir.pseudonyms()?,
        limits: Limits {
            connections_max: edge.limits.connections,
            connections_per_ip_max: edge.limits.connections_per_address,
            h2_streams_max: edge.limits.h2_streams,
            h2_resets_max: edge.limits.h2_resets,
            batches_max: edge.limits.batches,
            event_age_ms_max: millis(edge.limits.event_age),
            quarantine_samples: edge.limits.quarantine_samples,
            window_s_max: u32::try_from(config.link.window_max.as_secs())
                .unwrap_or(tollgate_click::limits::WINDOW_MAX_S),
        },
        timeouts: Timeouts {
            first_byte: edge.timeouts.first_byte,
            head: edge.timeouts.head,
            body: edge.timeouts.body,
            idle: edge.timeouts.idle,
            write: edge.timeouts.write,
            drain_delay: edge.timeouts.drain_delay,
        },
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
