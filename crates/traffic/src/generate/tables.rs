//! How often each case, manner and repeat comes up.

use tollgate_click::Refusal;

/// What a link is worth.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Case {
    /// A signed link in its window, on a popular campaign.
    Valid,
    /// A registered link.
    Registered,
    /// Not authentic.
    Fake(Fake),
    /// Signed, and past its hard expiry.
    HardExpired,
    /// Signed, and past its billing window.
    WindowOver,
    /// A campaign that nobody has.
    UnknownCampaign,
    /// A campaign of another advertiser.
    ForeignCampaign,
    /// The paused campaign.
    Paused,
    /// Signed by a test key.
    TestKey,
    /// Signed with the test flag.
    TestFlag,
    /// A registered test link.
    TestLink,
    /// A registered link past its expiry.
    ExpiredLink,
    /// A slug that nobody has.
    UnknownSlug,
    /// No click at all: a method or form that the edge does not take.
    Malformed,
}

/// How a token fails to be authentic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fake {
    /// One bit of it was turned.
    Mutated,
    /// Its end is missing.
    Truncated,
    /// Padding was added.
    Padded,
    /// Not base64url at all.
    Gibberish,
    /// Signed with another secret under a live key's number.
    WrongSecret,
    /// Signed by a key that is not in the key file.
    UnknownKey,
    /// Signed by a revoked key.
    RevokedKey,
    /// Signed by a key past its time.
    LapsedKey,
    /// Signed by a key that may not sign for this advertiser.
    ForeignAdvertiser,
}

/// Who asks, and how.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Manner {
    /// A person with a browser.
    Person,
    /// `HEAD` instead of `GET`.
    Head,
    /// A robot that says so.
    Robot,
    /// A library or command line tool.
    Library,
    /// A browser that fetches ahead of the click.
    Prefetch,
}

/// How an earlier click's link comes up again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Repeat {
    /// The same visitor at once, on several connections.
    Double,
    /// The same visitor later.
    Retry,
    /// A link scanner, before or after the reader.
    Scan,
}

/// Per mille.
const CASES: [(Case, u64); 22] = [
    (Case::Valid, 705),
    (Case::Registered, 120),
    (Case::Fake(Fake::Mutated), 20),
    (Case::Fake(Fake::Truncated), 5),
    (Case::Fake(Fake::Padded), 5),
    (Case::Fake(Fake::Gibberish), 5),
    (Case::Fake(Fake::WrongSecret), 10),
    (Case::Fake(Fake::UnknownKey), 5),
    (Case::Fake(Fake::RevokedKey), 5),
    (Case::Fake(Fake::LapsedKey), 5),
    (Case::Fake(Fake::ForeignAdvertiser), 5),
    (Case::HardExpired, 15),
    (Case::WindowOver, 25),
    (Case::UnknownCampaign, 15),
    (Case::ForeignCampaign, 5),
    (Case::Paused, 10),
    (Case::TestKey, 10),
    (Case::TestFlag, 5),
    (Case::TestLink, 5),
    (Case::ExpiredLink, 5),
    (Case::UnknownSlug, 5),
    (Case::Malformed, 10),
];

/// Per mille. Peers see 10 to 30% scanners on mail links and about 1% declared robots elsewhere.
const MANNERS: [(Manner, u64); 5] = [
    (Manner::Person, 940),
    (Manner::Head, 10),
    (Manner::Robot, 25),
    (Manner::Library, 10),
    (Manner::Prefetch, 15),
];

/// Per mille, with the largest distance in clicks; what is left is no repeat.
const REPEATS: [(Repeat, u64, u64); 3] = [
    (Repeat::Double, 40, 3),
    (Repeat::Retry, 20, 800),
    (Repeat::Scan, 15, 200),
];

const _: () = {
    let (mut sum, mut index) = (0, 0);
    while index < CASES.len() {
        #[allow(clippy::indexing_slicing, reason = "checked when compiled")]
        let (_, weight) = CASES[index];
        sum += weight;
        index += 1;
    }
    assert!(sum == 1000);
};

impl Case {
    pub(super) fn of_dice(bits: u64) -> Case {
        pick(&CASES, bits).unwrap_or(Case::Valid)
    }

    /// Whether the link is a registered one.
    pub fn is_registered(self) -> bool {
        matches!(
            self,
            Case::Registered | Case::TestLink | Case::ExpiredLink | Case::UnknownSlug
        )
    }

    /// Status and reason with which the edge must refuse such a link, whoever asks.
    pub fn refusal(self) -> Option<(u16, Refusal)> {
        match self {
            Case::Fake(_) => Some((403, Refusal::Forged)),
            Case::HardExpired | Case::ExpiredLink => Some((410, Refusal::Expired)),
            Case::UnknownSlug => Some((404, Refusal::UnknownLink)),
            Case::Malformed => Some((405, Refusal::Malformed)),
            _ => None,
        }
    }
}

impl Manner {
    pub(super) fn of_dice(bits: u64) -> Manner {
        pick(&MANNERS, bits).unwrap_or(Manner::Person)
    }

    /// Whether such a click is general invalid traffic.
    pub fn is_invalid(self) -> bool {
        matches!(self, Manner::Head | Manner::Robot | Manner::Library)
    }
}

impl Repeat {
    /// The repeat and its distance; none for a new link.
    pub(super) fn of_dice(bits: u64) -> Option<(Repeat, u64)> {
        let weighted = REPEATS.map(|(repeat, weight, farthest)| ((repeat, farthest), weight));
        let (repeat, farthest) = pick(&weighted, bits)?;
        let distance = (bits >> 32).checked_rem(farthest)? + 1;
        Some((repeat, distance))
    }
}

/// The item in whose share of a thousand `bits` fall.
fn pick<T: Copy>(weighted: &[(T, u64)], bits: u64) -> Option<T> {
    let mut rest = bits % 1000;
    for (item, weight) in weighted {
        match rest.checked_sub(*weight) {
            Some(less) => rest = less,
            None => return Some(*item),
        }
    }
    None
}

/// Chooses 1..=n, number k with a weight of 1/k: few campaigns get most clicks.
#[derive(Clone, Debug)]
pub(super) struct Zipf {
    /// Weights summed up.
    sums: Vec<u64>,
}

impl Zipf {
    pub(super) fn new(count: u64) -> Zipf {
        let weights = (1..=count).map(|k| (1 << 40) / k);
        let sums = weights.scan(0u64, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Zipf {
            sums: sums.collect(),
        }
    }

    pub(super) fn pick(&self, bits: u64) -> u64 {
        let total = self.sums.last().copied().unwrap_or(1);
        let point = bits.checked_rem(total).unwrap_or_default();
        self.sums.partition_point(|sum| *sum <= point) as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_sixty_gets_a_fifth() {
        let zipf = Zipf::new(60);
        let dice = crate::dice::Dice::new(5);
        let picks: Vec<u64> = (0..10_000).map(|i| zipf.pick(dice.roll(i))).collect();
        assert!(picks.iter().all(|pick| (1..=60).contains(pick)));
        let first = picks.iter().filter(|pick| **pick == 1).count();
        assert!((1900..2400).contains(&first), "{first}"); // 1 / H(60) = 0.2137
    }

    #[test]
    fn every_case_and_manner_comes_up() {
        let cases: std::collections::BTreeSet<Case> = (0..1000).map(Case::of_dice).collect();
        assert_eq!(cases.len(), CASES.len());
        let manners: std::collections::BTreeSet<Manner> = (0..1000).map(Manner::of_dice).collect();
        assert_eq!(manners.len(), MANNERS.len());
        let repeats = (0..1000).filter(|bits| Repeat::of_dice(*bits).is_some());
        assert_eq!(repeats.count(), 75);
    }
}
