//! Decompression with a cap on what comes out: a bomb is given up as soon as it passes the cap,
//! not after it has filled the memory.

use std::io::Read;

use flate2::read::MultiGzDecoder;

/// A content coding that a batch may have; one at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// Why a body does not come out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum InflateError {
    /// Not data of that coding, or cut off.
    Damaged,
    /// More than the cap.
    TooLarge,
}

/// Largest window that a zstd frame may ask memory for: 8 MiB, what its command line uses up to
/// level 19 and what RFC 8878 asks decoders to take.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// The body as it was written, at most `bytes_max` of it.
pub(crate) fn inflate(
    body: &[u8],
    coding: Coding,
    bytes_max: usize,
) -> Result<Vec<u8>, InflateError> {
    let mut plain = Vec::new();
    let cap = bytes_max as u64 + 1;
    let read = match coding {
        Coding::Identity => body.take(cap).read_to_end(&mut plain),
        Coding::Gzip => MultiGzDecoder::new(body).take(cap).read_to_end(&mut plain),
        Coding::Zstd => zstd::stream::read::Decoder::with_buffer(body).and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            decoder.take(cap).read_to_end(&mut plain)
        }),
    };
    if plain.len() > bytes_max {
        return Err(InflateError::TooLarge);
    }
    read.map(|_| plain).map_err(|_| InflateError::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn what_went_in_comes_out() {
        let text = b"{\"type\":\"click\"}\n".repeat(100);
        let zstd = zstd::encode_all(&text[..], 19).unwrap();
        assert_eq!(inflate(&text, Coding::Identity, 1 << 20), Ok(text.clone()));
        assert_eq!(
            inflate(&gzip(&text), Coding::Gzip, 1 << 20),
            Ok(text.clone())
        );
        assert_eq!(inflate(&zstd, Coding::Zstd, 1 << 20), Ok(text.clone()));
        assert_eq!(
            inflate(&text, Coding::Identity, text.len() - 1),
            Err(InflateError::TooLarge)
        );
    }

    #[test]
    fn bombs_end_at_the_cap() {
        let zeros = vec![0; 64 << 20];
        let packed = [
            (gzip(&zeros), Coding::Gzip),
            (zstd::encode_all(&zeros[..], 3).unwrap(), Coding::Zstd),
        ];
        for (bomb, coding) in packed {
            assert!(bomb.len() < 80 << 10, "{} bytes", bomb.len());
            assert_eq!(inflate(&bomb, coding, 1 << 20), Err(InflateError::TooLarge));
        }
    }

    #[test]
    fn damage_is_told() {
        let packed = gzip(b"hello");
        for (bytes, coding) in [
            (&packed[..packed.len() - 1], Coding::Gzip),
            (b"hello", Coding::Gzip),
            (b"hello", Coding::Zstd),
            (b"", Coding::Gzip),
        ] {
            assert_eq!(
                inflate(bytes, coding, 1 << 20),
                Err(InflateError::Damaged),
                "{coding:?}"
            );
        }
    }
}
