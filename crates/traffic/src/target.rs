//! Where requests are sent.

use std::net::{SocketAddr, ToSocketAddrs};

use thiserror::Error;

/// An edge that speaks plain HTTP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Where to connect.
    pub address: SocketAddr,
    /// What stands in the `Host` header.
    pub host: String,
}

/// Text that names no target.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TargetError {
    /// Not of the form.
    #[error("a target is http://HOST:PORT, such as http://127.0.0.1:8080")]
    Form,
    /// The host has no address.
    #[error("{host} has no address: {reason}")]
    NoAddress {
        /// The host and port.
        host: String,
        /// What the resolver says.
        reason: String,
    },
}

impl Target {
    /// Reads `http://HOST[:PORT]`; a host name is looked up. The first address counts.
    pub fn parse(url: &str) -> Result<Target, TargetError> {
        let rest = url.strip_prefix("http://").ok_or(TargetError::Form)?;
        let host = rest.strip_suffix('/').unwrap_or(rest);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(plain) {
            return Err(TargetError::Form);
        }
        let has_port = match host.rsplit_once(':') {
            Some((_, port)) => !port.ends_with(']'),
            None => false,
        };
        let with_port = if has_port {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        let no_address = |reason: String| TargetError::NoAddress {
            host: with_port.clone(),
            reason,
        };
        let mut addresses = with_port
            .to_socket_addrs()
            .map_err(|error| no_address(error.to_string()))?;
        let address = addresses.next();
        Ok(Target {
            address: address.ok_or_else(|| no_address("none found".to_owned()))?,
            host: host.to_owned(),
        })
    }

    /// Whether the target is this machine. Load on any other needs its owner's word.
    pub fn is_loopback(&self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_plain_http_address() {
        let target = Target::parse("http://127.0.0.1:8080/").unwrap();
        assert_eq!(target.address, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(target.host, "127.0.0.1:8080");
        assert!(target.is_loopback());
        let target = Target::parse("http://[::1]").unwrap();
        assert_eq!(target.address, "[::1]:80".parse().unwrap());
        assert!(
            Target::parse("http://[::ffff:127.0.0.1]:1")
                .unwrap()
                .is_loopback()
        );
        assert!(!Target::parse("http://192.0.2.1:80").unwrap().is_loopback());
        for wrong in [
            "127.0.0.1:8080",
            "https://127.0.0.1",
            "http://",
            "http://a b",
            "http://127.0.0.1:8080/c/",
            "http://user@127.0.0.1",
        ] {
            assert_eq!(Target::parse(wrong), Err(TargetError::Form), "{wrong}");
        }
        let port = Target::parse("http://127.0.0.1:99999");
        assert!(matches!(port, Err(TargetError::NoAddress { .. })));
    }
}
