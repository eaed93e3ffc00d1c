//! Tells a block in which one bit has changed from one that was torn.
//!
//! In a segment of zeros a tear shows as zeros. In a file that was a segment before it leaves bytes
//! of the former life, which look like anything. But a block in which *one* bit was turned over
//! can be put right: then the checksums of block and records agree on it, which chance does not
//! bring about.

use crate::format::{HEADER_BYTES, Header, payload};
use crate::recover::{Identity, Mend, header_at};

/// CRC32C's polynomial, bits reversed: what the last bit of a message leaves in the checksum.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The block at the front of `rest` with its one wrong bit put right: its header and payload, and
/// the byte of it that has to change. `None` if it is whole, or if more than one bit is wrong.
pub(crate) fn mended(
    rest: &[u8],
    offset: usize,
    identity: Identity,
) -> Option<(Header, Vec<u8>, Mend)> {
    if let Some((header, _)) = header_at(rest, offset, identity) {
        let (payload, mend) = mended_payload(&header, rest)?;
        return Some((header, payload, mend));
    }
    let (header, mend) = mended_header(rest, offset, identity)?;
    Some((header, payload(&header, rest)?.to_vec(), mend))
}

fn mended_header(rest: &[u8], offset: usize, identity: Identity) -> Option<(Header, Mend)> {
    let head: [u8; HEADER_BYTES] = *rest.first_chunk()?;
    (0..HEADER_BYTES * 8).find_map(|bit| {
        let mut head = head;
        let mend = turn(&mut head, bit)?;
        let (header, _) = header_at(&head, offset, identity)?;
        Some((header, mend))
    })
}

fn mended_payload(header: &Header, rest: &[u8]) -> Option<(Vec<u8>, Mend)> {
    let end = HEADER_BYTES.checked_add(header.payload_bytes as usize)?;
    let payload = rest.get(HEADER_BYTES..end)?;
    let syndrome = crc32c::crc32c(payload) ^ header.payload_crc;
    let bit = turned_bit(syndrome, payload.len() * 8)?;
    let mut mended = payload.to_vec();
    let mut mend = turn(&mut mended, bit)?;
    mend.offset += HEADER_BYTES as u32;
    Some((mended, mend))
}

/// Which of so many bits, the first of the first byte being its lowest, changes a CRC like this.
fn turned_bit(syndrome: u32, bits: usize) -> Option<usize> {
    let mut register = POLYNOMIAL;
    for bit in (0..bits).rev() {
        if register == syndrome {
            return Some(bit);
        }
        register = register >> 1 ^ if register & 1 == 1 { POLYNOMIAL } else { 0 };
    }
    None
}

/// Turns a bit over; the byte that has become of it.
fn turn(bytes: &mut [u8], bit: usize) -> Option<Mend> {
    let byte = bytes.get_mut(bit / 8)?;
    *byte ^= 1 << (bit % 8);
    Some(Mend {
        offset: (bit / 8) as u32,
        value: *byte,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_turned_bit_is_found() {
        let message: Vec<u8> = (0..97u8).map(|byte| byte.wrapping_mul(37) ^ 0x5a).collect();
        let whole = crc32c::crc32c(&message);
        for bit in 0..message.len() * 8 {
            let mut turned = message.clone();
            turn(&mut turned, bit);
            let syndrome = crc32c::crc32c(&turned) ^ whole;
            assert_eq!(turned_bit(syndrome, message.len() * 8), Some(bit));
        }
        assert_eq!(turned_bit(0, message.len() * 8), None, "nothing was turned");
    }
}
