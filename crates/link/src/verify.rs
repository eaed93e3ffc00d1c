//! Opening: a token becomes a link, or is refused for a reason that its sender never learns.

use thiserror::Error;
use tollgate_click::codec::DecodeError;
use tollgate_click::{Millis, Refusal};

use crate::destination::{self, DestinationError};
use crate::keyring::{Keyring, TrustedKey};
use crate::mac::TAG_BYTES;
use crate::sign::{Limit, check_limits};
use crate::token::{self, ClickLink, TokenBuf};

/// An authentic link that has not expired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verified<'b> {
    /// What was signed.
    pub link: ClickLink<'b>,
    /// A test link, or any link of a test key.
    pub test: bool,
}

/// Why a token is not opened. The reasons are for counters, logs and `link verify`; the answer
/// to the client tells only expired ones from the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum VerifyError {
    /// The text is no token.
    #[error("not a token: {0}")]
    Malformed(#[from] Malformed),
    /// No key of ours vouches for it.
    #[error("not authentic: {0}")]
    Forged(#[from] Forged),
    /// Authentic, and past its hard expiry.
    #[error("past its hard expiry")]
    Expired,
}

/// How a text fails to be a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Malformed {
    /// Not base64url without padding in its one spelling, or longer than any token.
    #[error("not base64url without padding")]
    Text,
    /// The bytes are no body in its one encoding.
    #[error("{0}")]
    Body(#[from] DecodeError),
}

/// How a well-formed token fails to be authentic.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Forged {
    /// No key of that number.
    #[error("unknown key")]
    UnknownKey,
    /// The tag is not the key's over these bytes.
    #[error("the tag does not fit the bytes")]
    Tag,
    /// The key was revoked before the click.
    #[error("the key is revoked")]
    Revoked,
    /// The key is not valid yet.
    #[error("the key is not valid yet")]
    NotYetValid,
    /// The key is no longer valid.
    #[error("the key is no longer valid")]
    NoLongerValid,
    /// The key may not sign for this advertiser.
    #[error("the key may not sign for this advertiser")]
    Scope,
    /// The key signed a value that no link may have.
    #[error("{0}")]
    Limit(#[from] Limit),
    /// The key signed a destination that no link may have.
    #[error("destination: {0}")]
    Destination(DestinationError),
}

impl VerifyError {
    /// The reason's name in counters and files.
    pub fn name(self) -> &'static str {
        match self {
            VerifyError::Malformed(_) => "malformed",
            VerifyError::Expired => "expired",
            VerifyError::Forged(forged) => match forged {
                Forged::UnknownKey => "unknown_key",
                Forged::Tag => "tag",
                Forged::Revoked => "revoked",
                Forged::NotYetValid => "not_yet_valid",
                Forged::NoLongerValid => "no_longer_valid",
                Forged::Scope => "scope",
                Forged::Limit(_) => "limit",
                Forged::Destination(_) => "destination",
            },
        }
    }

    /// Under which reason the edge counts it, and so what it answers: 410 when expired, else
    /// the one 403 that tells a forger nothing.
    pub fn refusal(self) -> Refusal {
        match self {
            VerifyError::Expired => Refusal::Expired,
            VerifyError::Malformed(_) | VerifyError::Forged(_) => Refusal::Forged,
        }
    }
}

impl Keyring {
    /// Opens `token` for a click received at `now`. Until the tag has been checked nothing but
    /// the key's number is read from the bytes. Allocates nothing.
    pub fn verify<'b>(
        &self,
        token: &str,
        now: Millis,
        buf: &'b mut TokenBuf,
    ) -> Result<Verified<'b>, VerifyError> {
        let bytes = buf.fill(token).ok_or(Malformed::Text)?;
        let (body, tag) = bytes
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(Malformed::Text)?;
        let key_id = token::key_of(body).map_err(Malformed::Body)?;
        let trusted = self.find(key_id).ok_or(Forged::UnknownKey)?;
        if !trusted.secret.accepts(body, tag) {
            return Err(Forged::Tag.into());
        }
        trusted.check_valid(now)?;
        let link = ClickLink::decode(body).map_err(Malformed::Body)?;
        if !trusted.key.scope.covers(link.advertiser) {
            return Err(Forged::Scope.into());
        }
        check_limits(&link).map_err(Forged::Limit)?;
        self.check_destinations(&link)
            .map_err(Forged::Destination)?;
        if now > link.expires_at {
            return Err(VerifyError::Expired);
        }
        let test = link.test || trusted.key.test;
        Ok(Verified { link, test })
    }

    fn check_destinations(&self, link: &ClickLink<'_>) -> Result<(), DestinationError> {
        let schemes = self.schemes_of(link.advertiser);
        destination::recheck(link.destination, schemes)?;
        link.lpurl
            .map_or(Ok(()), |lpurl| destination::recheck(lpurl, schemes))
    }
}

impl TrustedKey {
    fn check_valid(&self, now: Millis) -> Result<(), Forged> {
        if self.revoked_at.is_some_and(|at| now >= at) {
            Err(Forged::Revoked)
        } else if now < self.key.not_before {
            Err(Forged::NotYetValid)
        } else if now > self.key.not_after {
            Err(Forged::NoLongerValid)
        } else {
            Ok(())
        }
    }
}
