use tollgate_click::{AdvertiserId, Millis, Nonce, PartitionId};

use super::*;
use crate::ApplyVersion;

const HOUR: u64 = 3_600_000;

/// A state with nonces in all places: clicked and shown, young and old.
fn state() -> State {
    let mut state = State::new(PartitionId::new(3).unwrap(), ApplyVersion::V1);
    for number in 0..5_000u64 {
        let nonce = |hour: u64| Nonce::new(Millis(hour * HOUR + number), u128::from(number) << 40);
        assert!(state.clicked.use_up(AdvertiserId(7), nonce(100)));
        assert!(
            state
                .clicked
                .use_up(AdvertiserId(7), nonce(101 + number % 2))
        );
        assert!(state.shown.use_up(AdvertiserId(8), nonce(100 + number % 3)));
    }
    state.clicked.retire_ended_before(Millis(101 * HOUR));
    state
}

fn stored(state: &State) -> BTreeMap<String, Vec<u8>> {
    let bytes = |part: Part| match part.bytes {
        PartBytes::New(bytes) => (part.name, bytes),
        PartBytes::Stored => panic!("nothing was released"),
    };
    state.parts().map(bytes).collect()
}

#[test]
fn a_state_comes_back_from_its_parts() {
    let state = state();
    let parts = stored(&state);
    let names: Vec<_> = parts.keys().map(|name| name.split('-').count()).collect();
    assert_eq!(names, [2, 2, 4, 1], "two chunks, a run, the state");
    let again = State::from_parts(parts).unwrap();
    assert_eq!(again, state);
    assert_eq!(again.hash(), state.hash());
    assert_eq!(stored(&again), stored(&state));
}

#[test]
fn a_name_carries_the_hash_of_the_bytes() {
    for part in state().parts() {
        let PartBytes::New(bytes) = part.bytes else {
            panic!("nothing was released")
        };
        assert_eq!(
            part.hash,
            <[u8; 32]>::from(Sha256::digest(&bytes)),
            "{}",
            part.name
        );
        let hex: String = part.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(
            part.name == STATE || part.name.ends_with(&hex),
            "{}",
            part.name
        );
    }
}

#[test]
fn a_released_part_is_not_told_again_and_changes_no_hash() {
    let mut state = state();
    let (parts, hash) = (stored(&state), state.hash());
    let run = parts
        .keys()
        .find(|name| name.starts_with("nonces-old-"))
        .unwrap();
    assert!(state.release(run));
    assert_eq!(state.hash(), hash);
    let told: Vec<_> = state
        .parts()
        .filter(|part| part.bytes == PartBytes::Stored)
        .collect();
    assert_eq!(told.len(), 1);
    assert_eq!(&told[0].name, run);
    assert_eq!(State::from_parts(parts).unwrap(), state);
}

/// Cuts and flips in each part, at all places of small ones and many of large ones.
#[test]
fn whatever_is_altered_is_refused_by_name() {
    let whole = stored(&state());
    for (name, bytes) in &whole {
        let step = (bytes.len() / 150).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            for altered in [flipped, bytes[..at].to_vec(), [bytes, &bytes[..1]].concat()] {
                let mut parts = whole.clone();
                parts.insert(name.clone(), altered);
                let error = State::from_parts(parts).unwrap_err();
                assert_eq!((&error.part, error.why), (name, BadPart::Hash), "at {at}");
            }
        }
        let mut parts = whole.clone();
        parts.remove(name);
        let error = State::from_parts(parts.clone()).unwrap_err();
        assert_eq!((&error.part, error.why), (name, BadPart::Missing));
    }
    let mut parts = whole.clone();
    parts.insert("nonces-00".to_owned(), Vec::new());
    let error = State::from_parts(parts).unwrap_err();
    assert_eq!(
        error.to_string(),
        "snapshot part nonces-00, byte 0: the part belongs to no state given here"
    );
}

/// The parts of two states do not mix, and a sum that was made anew does not hide an alteration.
#[test]
fn parts_of_another_state_are_refused() {
    let one = state();
    let mut other = state();
    other
        .clicked
        .use_up(AdvertiserId(9), Nonce::new(Millis(101 * HOUR), 1));
    let mut parts = stored(&one);
    parts.insert(STATE.to_owned(), stored(&other)[STATE].clone());
    assert_eq!(State::from_parts(parts).unwrap_err().why, BadPart::Missing);
}

#[test]
fn bytes_with_a_good_sum_are_read_with_care() {
    let whole = stored(&State::new(PartitionId::new(3).unwrap(), ApplyVersion::V1));
    let body = whole[STATE].split_last_chunk::<32>().unwrap().0;
    let summed = |body: &[u8]| {
        let bytes = [body, &Sha256::digest(body)].concat();
        State::from_parts([(STATE.to_owned(), bytes)])
    };
    assert!(summed(body).is_ok());
    for at in 0..body.len() {
        assert!(summed(&body[..at]).is_err(), "cut at {at}");
        for value in [0, 1, 2, 0x7F, 0x80, 0xFF] {
            let mut changed = body.to_vec();
            changed[at] = value;
            // Another value may stand there; it then comes back as it was written.
            if let Ok(state) = summed(&changed) {
                assert_eq!(stored(&state)[STATE][..body.len()], changed, "at {at}");
            }
        }
    }
    let newer = [&body[..8], &9u32.to_le_bytes(), &body[12..]].concat();
    assert_eq!(
        summed(&newer).unwrap_err().to_string(),
        "snapshot part state, byte 12: version 9 is not read by this version (it reads 1)"
    );
    let longer = [body, &[0]].concat();
    let error = summed(&longer).unwrap_err();
    assert_eq!(error.why, BadPart::Field(DecodeError::Trailing(1)));
    assert_eq!(error.offset, body.len());
}
