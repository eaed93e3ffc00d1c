//! The state as bytes in one order, for its hash. Every list is preceded by its length, so two
//! states that differ have bytes that differ.

use sha2::{Digest, Sha256};
use tollgate_click::control::Scope;

use super::nonces::NonceHours;
use super::recent::RecentVisits;
use super::sessions::Sessions;
use super::{KeyStanding, State, Terms};
use crate::tally::{Counts, Tally};
use tollgate_click::Outcome;

/// SHA-256 over the whole state.
pub(super) fn of(state: &State) -> [u8; 32] {
    // A part that is added to the state does not compile here until it is hashed.
    let State {
        partition,
        version,
        ordinal,
        epoch,
        clock,
        changes,
        sessions,
        keys,
        campaigns,
        marks,
        clicked,
        shown,
        recent,
        counts,
    } = state;
    let mut hash = Hash(Sha256::new());
    hash.numbers([
        u64::from(partition.get()),
        *version as u64,
        ordinal.0,
        *epoch,
        clock.0,
    ]);
    hash.list(changes.iter(), |hash, (target, last)| {
        hash.numbers([
            u64::from(target.is_some()),
            target.map_or(0, |a| a.0.into()),
            *last,
        ]);
    });
    hash.sessions(sessions);
    hash.list(keys.iter(), |hash, (key, timeline)| {
        hash.number(key.0.into());
        hash.list(timeline.iter(), |hash, (at, standing)| {
            hash.number(at.0);
            hash.key(standing);
        });
    });
    hash.list(
        campaigns.iter(),
        |hash, ((advertiser, campaign), timeline)| {
            hash.numbers([advertiser.0.into(), campaign.0]);
            hash.list(timeline.iter(), |hash, (at, terms)| {
                hash.number(at.0);
                hash.terms(terms);
            });
        },
    );
    hash.list(marks.iter(), |hash, (edge, minute)| {
        hash.numbers([edge.get().into(), minute.0.into()]);
    });
    hash.nonces(clicked);
    hash.nonces(shown);
    hash.recent(recent);
    hash.counts(counts);
    hash.0.finalize().into()
}

struct Hash(Sha256);

impl Hash {
    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    fn numbers<const N: usize>(&mut self, numbers: [u64; N]) {
        numbers.into_iter().for_each(|number| self.number(number));
    }

    fn list<T>(&mut self, items: impl Iterator<Item = T>, mut each: impl FnMut(&mut Hash, T)) {
        let mut length: u64 = 0;
        for item in items {
            self.0.update([1]); // one more
            each(self, item);
            length += 1;
        }
        self.0.update([0]); // no more
        self.number(length);
    }

    fn sessions(&mut self, sessions: &Sessions) {
        self.list(sessions.iter(), |hash, (session, seen)| {
            hash.numbers([*session, seen.touched.0]);
            for ranges in [&seen.own, &seen.broadcast] {
                hash.list(ranges.iter(), |hash, (first, last)| {
                    hash.numbers([*first, *last])
                });
            }
        });
    }

    fn key(&mut self, standing: &KeyStanding) {
        self.number(u64::from(standing.revoked));
        match &standing.scope {
            Scope::All => self.number(0),
            Scope::Only(advertisers) => {
                self.number(1);
                self.list(advertisers.iter(), |hash, advertiser| {
                    hash.number(advertiser.0.into())
                });
            }
        }
    }

    fn terms(&mut self, terms: &Terms) {
        self.0.update(terms.currency.bytes());
        self.numbers([u64::from(terms.price.is_some()), u64::from(terms.paused)]);
        self.0
            .update(terms.price.map_or(0, |price| price.0).to_le_bytes());
    }

    fn nonces(&mut self, nonces: &NonceHours) {
        self.list(nonces.iter(), |hash, (hour, keys)| {
            hash.number(*hour);
            hash.list(keys.iter(), |hash, key| hash.0.update(key.to_le_bytes()));
        });
    }

    fn recent(&mut self, recent: &RecentVisits) {
        self.number(recent.young_since().0);
        for generation in recent.generations() {
            self.list(generation, |hash, ((link, visitor), at)| {
                hash.numbers([link.0, visitor.address, visitor.agent, at.0]);
            });
        }
    }

    fn counts(&mut self, counts: &Counts) {
        let Counts {
            clicks,
            impressions,
            ticks,
            marks,
            controls,
        } = counts;
        self.numbers([*ticks, *marks, *controls]);
        self.tally(clicks);
        self.tally(impressions);
    }

    fn tally(&mut self, tally: &Tally) {
        Outcome::ALL
            .into_iter()
            .for_each(|outcome| self.number(tally.of(outcome)));
        self.list(tally.spend().iter(), |hash, (currency, micros)| {
            hash.0.update(currency.bytes());
            hash.0.update(micros.to_le_bytes());
        });
    }
}
