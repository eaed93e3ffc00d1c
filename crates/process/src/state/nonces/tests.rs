use std::collections::BTreeSet;

use proptest::prelude::*;
use tollgate_click::codec::Reader;

use super::*;

const DAY: u64 = 24 * HOUR_MS;

#[test]
fn a_nonce_is_used_once_an_advertiser() {
    let mut used = NonceHours::default();
    let nonce = Nonce::new(Millis(DAY + 5), 42);
    assert!(used.use_up(AdvertiserId(1), nonce));
    assert!(!used.use_up(AdvertiserId(1), nonce));
    assert!(used.use_up(AdvertiserId(2), nonce));
    assert!(used.use_up(AdvertiserId(1), Nonce::new(Millis(DAY + 6), 42)));
    assert!(used.use_up(AdvertiserId(1), Nonce::new(Millis(DAY + HOUR_MS + 5), 42)));
}

#[test]
fn an_hour_is_dropped_when_it_has_ended_and_not_before() {
    let mut used = NonceHours::default();
    let nonce = Nonce::new(Millis(DAY + HOUR_MS - 1), 7);
    assert!(used.use_up(AdvertiserId(1), nonce));
    used.forget_ended_before(Millis(DAY + HOUR_MS - 1));
    assert!(!used.use_up(AdvertiserId(1), nonce), "the hour still runs");
    used.forget_ended_before(Millis(DAY + HOUR_MS));
    assert!(used.use_up(AdvertiserId(1), nonce), "the hour has ended");
}

#[test]
fn no_two_nonces_share_a_key() {
    let all_random = (1u128 << 74) - 1;
    let last = Nonce::new(Millis(HOUR_MS - 1), all_random);
    let (hour, key) = placed(AdvertiserId(u32::MAX), last);
    assert_eq!(hour, 0);
    assert_eq!(key >> 96, u128::from(u32::MAX));
    assert_eq!((key >> 74) & ((1 << 22) - 1), u128::from(HOUR_MS - 1));
    assert_eq!(key & all_random, all_random);
}

/// The worker's side: parts on a shelf, from which it answers.
#[derive(Default)]
struct Shelf(BTreeMap<String, Vec<u8>>);

impl Shelf {
    fn store(&mut self, nonces: &NonceHours) {
        for (piece, _) in nonces.pieces() {
            if let Some(bytes) = piece.bytes {
                self.0.insert(piece.name, bytes);
            }
        }
    }

    fn answer(&self, nonces: &mut NonceHours, advertiser: AdvertiserId, nonce: Nonce) {
        for place in nonces.unanswered(advertiser, nonce) {
            let (part, offset) = nonces.located(place).unwrap();
            let bytes = &self.0[&part][offset as usize..][..16];
            nonces.answer(place, u128::from_le_bytes(bytes.try_into().unwrap()));
        }
        assert!(nonces.unanswered(advertiser, nonce).is_empty());
    }
}

/// Nonces that spread evenly over `hours`, always the same.
fn nonce(number: u64, hours: u64) -> Nonce {
    let random = u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    Nonce::new(
        Millis(DAY + number * 7919 % (hours * HOUR_MS)),
        random >> 50,
    )
}

#[derive(Clone, Debug)]
enum Step {
    Use { from: u64, count: u64 },
    Retire(u64),
    Release,
    Restore,
    Forget(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..30_000u64, 1..6_000u64).prop_map(|(from, count)| Step::Use { from, count }),
        3 => (0..4u64).prop_map(Step::Retire),
        1 => Just(Step::Release),
        1 => Just(Step::Restore),
        1 => (0..3u64).prop_map(Step::Forget),
    ]
}

fn restored(nonces: &NonceHours, shelf: &Shelf) -> NonceHours {
    let mut again = NonceHours::default();
    for (piece, noted) in nonces.pieces() {
        let bytes = piece.bytes.unwrap_or_else(|| shelf.0[&piece.name].clone());
        let mut reader = Reader::new(&bytes);
        match noted.runs.is_empty() {
            true => again.take_chunk(&mut reader).unwrap(),
            false => again.take_run(&mut reader).unwrap(),
        }
    }
    again
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Against a plain set, whatever is retired, released, restored or dropped in between.
    #[test]
    fn hours_are_a_set(steps in prop::collection::vec(step(), 1..20)) {
        let (mut nonces, mut plain) = (NonceHours::default(), BTreeSet::new());
        let mut shelf = Shelf::default();
        for step in steps {
            match step {
                Step::Use { from, count } => for number in from..from + count {
                    let (advertiser, nonce) = (AdvertiserId(number as u32 % 3), nonce(number, 3));
                    shelf.answer(&mut nonces, advertiser, nonce);
                    let new = plain.insert(placed(advertiser, nonce));
                    prop_assert_eq!(nonces.use_up(advertiser, nonce), new);
                },
                Step::Retire(hours) => nonces.retire_ended_before(Millis(DAY + hours * HOUR_MS)),
                Step::Release => {
                    shelf.store(&nonces);
                    let names: Vec<_> = nonces.pieces().map(|(piece, _)| piece.name).collect();
                    for name in names.iter().filter(|name| name.starts_with("nonces-old-")) {
                        prop_assert!(nonces.release(name));
                    }
                    prop_assert!(nonces.olds().all(|old| old.keys.is_none()));
                }
                Step::Restore => {
                    let again = restored(&nonces, &shelf);
                    prop_assert!(again == nonces);
                    nonces = again;
                }
                Step::Forget(hours) => {
                    let first = DAY / HOUR_MS + hours;
                    nonces.forget_ended_before(Millis(first * HOUR_MS));
                    plain.retain(|(hour, _)| *hour >= first);
                }
            }
            prop_assert_eq!(nonces.len(), plain.len());
        }
    }
}

#[test]
fn a_released_hour_takes_little_more_than_two_bytes_a_nonce() {
    let mut nonces = NonceHours::default();
    (0..100_000).for_each(|number| assert!(nonces.use_up(AdvertiserId(1), nonce(number, 1))));
    let young = nonces.memory_bytes();
    nonces.retire_ended_before(Millis(DAY + HOUR_MS));
    assert!(young <= 40 * 100_000, "{young}");
    let names: Vec<_> = nonces.pieces().map(|(piece, _)| piece.name).collect();
    assert_eq!(names.len(), 1, "nothing is young any more");
    assert!(nonces.release(&names[0]) && !nonces.release("nonces-old-1-00"));
    let old = nonces.memory_bytes();
    assert!(old <= 225 * 1_000, "{old}");
    // Of the nonces that are not there, only one in 2,000 is looked up in the part.
    let asked: usize = (100_000..200_000)
        .map(|number| nonces.unanswered(AdvertiserId(1), nonce(number, 1)).len())
        .sum();
    assert!(asked < 200, "{asked}");
}

#[test]
fn a_run_comes_when_it_is_worth_a_file() {
    let mut nonces = NonceHours::default();
    let mut runs = |from: u64, to: u64| {
        (from..to).for_each(|number| {
            nonces.use_up(AdvertiserId(1), nonce(number, 1));
        });
        let before = nonces.olds().count();
        nonces.retire_ended_before(Millis(DAY + HOUR_MS - 1));
        assert_eq!(nonces.olds().count(), before, "the hour still runs");
        nonces.retire_ended_before(Millis(DAY + HOUR_MS));
        nonces.olds().map(|old| old.run.len()).collect::<Vec<_>>()
    };
    assert_eq!(runs(0, 4_095), Vec::<usize>::new());
    assert_eq!(runs(4_095, 80_000), [80_000]);
    assert_eq!(runs(80_000, 89_999), [80_000], "less than an eighth");
    assert_eq!(runs(89_999, 90_000), [80_000, 10_000]);
}
