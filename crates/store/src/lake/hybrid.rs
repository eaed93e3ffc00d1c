//! Parquet's hybrid of runs and packed bits, for small numbers: dictionary indices and whether a
//! row has a value.
//!
//! A run is a varint `2 × length` and the value in whole bytes. Packed numbers are a varint
//! `2 × groups + 1` and groups of eight numbers of `width` bits, lowest bits first.

/// Bits that hold numbers up to `max`.
pub(crate) fn width_of(max: u32) -> u8 {
    (u32::BITS - max.leading_zeros()) as u8
}

/// Appends numbers of at most `width` bits.
pub(crate) fn encode(numbers: &[u32], width: u8, out: &mut Vec<u8>) {
    let mut packed_from = 0; // numbers from here on are not written yet
    let mut at = 0;
    while let Some(number) = numbers.get(at) {
        let rest = numbers.get(at..).unwrap_or_default();
        let run = rest.iter().take_while(|other| *other == number).count();
        // Packed numbers come in eights: the run gives what is missing.
        let lent = (packed_from..at).len().next_multiple_of(8) - (at - packed_from);
        if run >= lent + 8 {
            pack(
                numbers.get(packed_from..at + lent).unwrap_or_default(),
                width,
                out,
            );
            put_varint(((run - lent) as u64) << 1, out);
            let bytes = number.to_le_bytes();
            out.extend(bytes.iter().take(usize::from(width).div_ceil(8)));
            packed_from = at + run;
        }
        at += run;
    }
    pack(numbers.get(packed_from..).unwrap_or_default(), width, out);
}

/// Appends the next `count` numbers of `width` bits; none when the bytes end before.
pub(crate) fn decode(mut bytes: &[u8], width: u8, count: usize, out: &mut Vec<u32>) -> Option<()> {
    let end = out.len() + count;
    let value_bytes = usize::from(width).div_ceil(8);
    while out.len() < end {
        let left = end - out.len();
        let header = take_varint(&mut bytes)?;
        let length = usize::try_from(header >> 1).ok()?;
        if header & 1 == 0 {
            let (value, rest) = bytes.split_at_checked(value_bytes)?;
            bytes = rest;
            let mut number = [0; 4];
            number.get_mut(..value.len())?.copy_from_slice(value);
            out.resize(out.len() + length.min(left), u32::from_le_bytes(number));
            if length == 0 {
                return None; // damage would go on for ever
            }
        } else {
            let packed = length.checked_mul(usize::from(width))?;
            let (packed, rest) = bytes.split_at_checked(packed)?;
            bytes = rest;
            unpack(packed, width, length.checked_mul(8)?.min(left), out);
        }
    }
    Some(())
}

fn pack(numbers: &[u32], width: u8, out: &mut Vec<u8>) {
    if numbers.is_empty() {
        return;
    }
    let groups = numbers.len().div_ceil(8);
    put_varint((groups as u64) << 1 | 1, out);
    let end = out.len() + groups * usize::from(width);
    let (mut bits, mut held) = (0u64, 0);
    for number in numbers {
        bits |= u64::from(*number) << held;
        held += width;
        if held >= 32 {
            out.extend_from_slice(&(bits as u32).to_le_bytes());
            bits >>= 32;
            held -= 32;
        }
    }
    out.extend(
        bits.to_le_bytes()
            .iter()
            .take(usize::from(held).div_ceil(8)),
    );
    out.resize(end, 0);
}

fn unpack(packed: &[u8], width: u8, count: usize, out: &mut Vec<u32>) {
    let mask = (1u64 << width) - 1;
    let width = usize::from(width);
    let end = out.len() + count;
    out.reserve(count.next_multiple_of(8));
    if width == 0 || width > 16 {
        out.extend((0..count).map(|index| {
            let bit = index * width;
            let tail = packed.get(bit / 8..).unwrap_or_default();
            (word(tail) as u64 >> (bit % 8) & mask) as u32
        }));
        return;
    }
    // Eight numbers are as many bytes as one number has bits: at most 16.
    for eight in packed.chunks_exact(width) {
        let word = word(eight);
        let numbers: [u32; 8] = if width <= 8 {
            let word = word as u64; // twice as fast to shift
            std::array::from_fn(|at| (word >> (at * width) & mask) as u32)
        } else {
            std::array::from_fn(|at| ((word >> (at * width)) as u64 & mask) as u32)
        };
        out.extend_from_slice(&numbers);
    }
    out.truncate(end);
}

/// The first sixteen bytes as a number; zeros where there are none.
fn word(bytes: &[u8]) -> u128 {
    let mut sixteen = [0; 16];
    for (place, byte) in sixteen.iter_mut().zip(bytes) {
        *place = *byte;
    }
    u128::from_le_bytes(sixteen)
}

fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7F) << shift;
        if *first < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::tests::sample::Dice;

    fn there_and_back(numbers: &[u32], width: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(numbers, width, &mut bytes);
        let mut back = Vec::new();
        decode(&bytes, width, numbers.len(), &mut back).unwrap();
        assert_eq!(back, numbers, "width {width}");
        bytes
    }

    #[test]
    fn numbers_come_back_in_runs_and_packed() {
        let mut dice = Dice(31);
        for width in 0..=32 {
            let mask = ((1u64 << width) - 1) as u32;
            for _ in 0..20 {
                let mut numbers = Vec::new();
                for _ in 0..dice.below(30) {
                    let number = dice.roll() as u32 & mask;
                    let count = if dice.one_in(3) { dice.below(40) } else { 1 };
                    numbers.resize(numbers.len() + count as usize, number);
                }
                there_and_back(&numbers, width);
            }
        }
    }

    #[test]
    fn bytes_are_as_the_format_says() {
        // The example of the format's specification: 0 to 7 in three bits.
        let packed = [3, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        assert_eq!(there_and_back(&[0, 1, 2, 3, 4, 5, 6, 7], 3), packed);
        assert_eq!(there_and_back(&[4; 100], 3), [200, 1, 4]);
        assert_eq!(there_and_back(&[0; 9], 0), [18]);
    }

    #[test]
    fn cut_off_bytes_are_nothing() {
        let mut bytes = Vec::new();
        encode(
            &[1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 9],
            7,
            &mut bytes,
        );
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end], 7, 18, &mut Vec::new()), None, "{end}");
        }
        assert_eq!(decode(&[0, 0, 0, 0], 7, 1, &mut Vec::new()), None);
        assert_eq!(decode(&[0xFF; 12], 7, 1, &mut Vec::new()), None);
    }
}
