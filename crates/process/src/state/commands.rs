//! Money commands that have come, by their ids, so that a repeat is answered as the first was.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use tollgate_click::Millis;
use tollgate_click::codec::{DecodeError, Reader};
use tollgate_click::control::Money;

use super::kept::{Kept, kept};
use crate::effects::MoneyRefusal;

/// What came of each command.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Commands {
    known: BTreeMap<[u8; 16], Known>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Known {
    /// The later one of the clock and the time of the change.
    at: Millis,
    /// The head of SHA-256 over the command: the same id for something else is no repeat.
    digest: [u8; 16],
    refused: Option<MoneyRefusal>,
}

kept!(Commands { known });
kept!(Known {
    at,
    digest,
    refused
});

impl Commands {
    /// What came of this command before; none when it is new.
    pub(crate) fn answer(&self, money: &Money) -> Option<Result<(), MoneyRefusal>> {
        let known = self.known.get(&money.command)?;
        if known.digest != digest(money) {
            return Some(Err(MoneyRefusal::IdReused));
        }
        Some(known.refused.map_or(Ok(()), Err))
    }

    /// Takes note of what came of a new command.
    pub(crate) fn note(&mut self, at: Millis, money: &Money, accepted: Result<(), MoneyRefusal>) {
        let known = Known {
            at,
            digest: digest(money),
            refused: accepted.err(),
        };
        self.known.insert(money.command, known);
    }

    /// Drops the commands of which nothing was heard since that instant.
    pub(crate) fn forget_before(&mut self, instant: Millis) {
        self.known.retain(|_, known| known.at >= instant);
    }
}

fn digest(money: &Money) -> [u8; 16] {
    let mut bytes = Vec::new();
    money.encode(&mut bytes);
    let mut head = [0; 16];
    head.iter_mut()
        .zip(Sha256::digest(&bytes))
        .for_each(|(to, from)| *to = from);
    head
}

impl Kept for MoneyRefusal {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }

    fn take(reader: &mut Reader<'_>) -> Result<MoneyRefusal, DecodeError> {
        let code = reader.u8("refusal")?;
        let found = MoneyRefusal::ALL
            .into_iter()
            .find(|refusal| *refusal as u8 == code);
        found.ok_or(DecodeError::Invalid("refusal"))
    }
}
