//! Pseudonyms: SipHash-2-4 under a secret key, so that equal inputs can be counted and no input
//! can be told from its number.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;
use tollgate_click::limits::SUB_IDS;
use tollgate_click::{Millis, Pseudonyms};

use crate::options::{PseudonymKey, PseudonymKeys};

/// What is hashed goes in front, so that an agent never equals a sub-id of the same bytes.
const ADDRESS: u8 = 1;
const NETWORK: u8 = 2;
const AGENT: u8 = 3;
const SUBS: [u8; SUB_IDS] = [16, 17, 18, 19, 20];

/// The stand-ins of one click under the key in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StandIns {
    /// Of address, network and agent.
    pub current: Pseudonyms,
    /// The same under the previous key, while it rides along.
    pub previous: Option<Pseudonyms>,
    /// Of the sub-ids.
    pub subs: [Option<u64>; SUB_IDS],
}

/// The pseudonyms of one visitor.
pub fn stand_ins(
    keys: &PseudonymKeys,
    received_at: Millis,
    address: Option<IpAddr>,
    agent: &[u8],
    subs: [Option<&[u8]>; SUB_IDS],
) -> StandIns {
    let rides = keys
        .previous
        .as_ref()
        .filter(|(_, until)| received_at <= *until);
    let mut numbers = [None; SUB_IDS];
    for ((number, sub), kind) in numbers.iter_mut().zip(subs).zip(SUBS) {
        *number = sub.map(|bytes| hash(&keys.current, kind, bytes));
    }
    StandIns {
        current: triple(&keys.current, address, agent),
        previous: rides.map(|(key, _)| triple(key, address, agent)),
        subs: numbers,
    }
}

fn triple(key: &PseudonymKey, address: Option<IpAddr>, agent: &[u8]) -> Pseudonyms {
    let (whole, network) = match address.map(|address| address.to_canonical()) {
        None => (0, 0),
        Some(IpAddr::V4(v4)) => {
            let octets = v4.octets();
            let [a, b, c, _] = octets;
            (hash(key, ADDRESS, &octets), hash(key, NETWORK, &[a, b, c]))
        }
        Some(IpAddr::V6(v6)) => {
            let octets = v6.octets();
            let network = octets
                .first_chunk::<6>()
                .map_or(0, |net| hash(key, NETWORK, net));
            (hash(key, ADDRESS, &octets), network)
        }
    };
    Pseudonyms {
        address: whole,
        network,
        agent: hash(key, AGENT, agent),
    }
}

fn hash(key: &PseudonymKey, kind: u8, bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(&key.secret);
    hasher.write_u8(kind);
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_click::PseudonymKeyId;

    fn keys(previous_until: Option<u64>) -> PseudonymKeys {
        let key = |id, byte| PseudonymKey {
            id: PseudonymKeyId(id),
            secret: [byte; 16],
        };
        PseudonymKeys {
            current: key(2, 2),
            previous: previous_until.map(|until| (key(1, 1), Millis(until))),
        }
    }

    fn of(address: &str) -> Pseudonyms {
        let address = Some(address.parse().unwrap());
        stand_ins(&keys(None), Millis(0), address, b"agent", [None; SUB_IDS]).current
    }

    #[test]
    fn networks_are_a_24_and_a_48() {
        assert_eq!(of("192.0.2.1").network, of("192.0.2.254").network);
        assert_ne!(of("192.0.2.1").network, of("192.0.3.1").network);
        assert_ne!(of("192.0.2.1").address, of("192.0.2.254").address);
        assert_eq!(of("2001:db8:1::1").network, of("2001:db8:1:ffff::").network);
        assert_ne!(of("2001:db8:1::1").network, of("2001:db8:2::1").network);
        assert_eq!(
            of("::ffff:192.0.2.1"),
            of("192.0.2.1"),
            "one client, one pseudonym"
        );
    }

    #[test]
    fn the_previous_key_rides_along_until_its_time() {
        let at = |now| stand_ins(&keys(Some(10)), Millis(now), None, b"a", [None; SUB_IDS]);
        let before_rotation = {
            let mut old = keys(Some(0));
            old.current = old.previous.unwrap().0;
            old.previous = None;
            stand_ins(&old, Millis(0), None, b"a", [None; SUB_IDS]).current
        };
        assert_eq!(at(10).previous, Some(before_rotation));
        assert_eq!(at(11).previous, None);
        assert_ne!(at(10).current.agent, before_rotation.agent);
    }

    #[test]
    fn kinds_and_sub_ids_do_not_mix() {
        let subs = [Some(&b"agent"[..]), Some(b"agent"), None, None, None];
        let made = stand_ins(&keys(None), Millis(0), None, b"agent", subs);
        assert_ne!(made.subs[0], made.subs[1]);
        assert_ne!(made.subs[0], Some(made.current.agent));
        assert_eq!(made.subs[2], None);
    }
}
