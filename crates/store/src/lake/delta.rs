//! Parquet's `DELTA_BINARY_PACKED`, for numbers that are sorted or nearly so: only written here,
//! the library reads it.
//!
//! A header says 128 numbers a block, 4 parts a block, how many numbers there are and the first.
//! A block is the least difference, the width of each part, and of each part 32 differences less
//! the least, packed with the lowest bits first.

const BLOCK: usize = 128;
const PARTS: usize = 4;
const PART: usize = BLOCK / PARTS;

/// Appends numbers of 32 bits.
pub(crate) fn encode_short(numbers: &[i32], out: &mut Vec<u8>) {
    let first = numbers.first().copied().unwrap_or(0);
    let pairs = numbers.iter().zip(numbers.iter().skip(1));
    let differences = pairs.map(|(one, next)| i64::from(next.wrapping_sub(*one)));
    // What is added to the least must fit 32 bits again.
    let above = |difference: i64, least: i64| {
        u64::from((difference as i32).wrapping_sub(least as i32) as u32)
    };
    encode(first.into(), numbers.len(), differences, above, out);
}

/// Appends numbers of 64 bits.
pub(crate) fn encode_long(numbers: &[i64], out: &mut Vec<u8>) {
    let first = numbers.first().copied().unwrap_or(0);
    let pairs = numbers.iter().zip(numbers.iter().skip(1));
    let differences = pairs.map(|(one, next)| next.wrapping_sub(*one));
    let above = |difference: i64, least: i64| difference.wrapping_sub(least) as u64;
    encode(first, numbers.len(), differences, above, out);
}

fn encode(
    first: i64,
    count: usize,
    mut differences: impl Iterator<Item = i64>,
    above: impl Fn(i64, i64) -> u64,
    out: &mut Vec<u8>,
) {
    for number in [BLOCK as u64, PARTS as u64, count as u64, zigzag(first)] {
        put_varint(number, out);
    }
    let mut left = count.saturating_sub(1);
    let mut block = [0i64; BLOCK];
    while left > 0 {
        let taken = left.min(BLOCK);
        let filled = block.get_mut(..taken).unwrap_or_default();
        for (place, difference) in filled.iter_mut().zip(&mut differences) {
            *place = difference;
        }
        left -= taken;
        let least = filled.iter().copied().min().unwrap_or(0);
        put_varint(zigzag(least), out);
        let mut packed = [0u64; BLOCK];
        for (place, difference) in packed.iter_mut().zip(filled.iter()) {
            *place = above(*difference, least);
        }
        let parts = packed.as_chunks::<PART>().0;
        let widths: [u32; PARTS] = std::array::from_fn(|part| {
            let bits = parts
                .get(part)
                .map_or(0, |part| part.iter().fold(0, |all, one| all | one));
            u64::BITS - bits.leading_zeros()
        });
        out.extend(widths.map(|width| width as u8));
        for (part, width) in parts.iter().zip(widths) {
            pack(part, width, out);
        }
    }
}

/// Appends numbers of at most `width` bits: 32 of them fill whole words.
fn pack(numbers: &[u64; PART], width: u32, out: &mut Vec<u8>) {
    let (mut bits, mut held) = (0u128, 0);
    for number in numbers {
        bits |= u128::from(*number) << held;
        held += width;
        if held >= 32 {
            out.extend_from_slice(&(bits as u32).to_le_bytes());
            bits >>= 32;
            held -= 32;
        }
        if held >= 32 {
            out.extend_from_slice(&(bits as u32).to_le_bytes());
            bits >>= 32;
            held -= 32;
        }
    }
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
