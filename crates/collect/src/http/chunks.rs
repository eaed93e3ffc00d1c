//! A chunked body, followed byte by byte: sizes are hexadecimal digits and nothing else, lines end
//! in CR LF, there are no extensions and no trailers.

use super::head::Fault;

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Chunks {
    /// In the digits of a size; how many there were.
    Size { size: u64, digits: u8 },
    /// At the LF after a size.
    SizeEnd { size: u64 },
    /// In the data of a chunk.
    Data { left: u64 },
    /// At the CR LF after the data, or at the very end (`last`).
    End { last: bool, lf: bool },
    /// Behind the body.
    Done,
}

/// Hexadecimal digits of a size: 16 MiB - 1 is above every limit on bodies.
const DIGITS_MAX: u8 = 6;

impl Chunks {
    /// Before the first byte.
    pub(crate) const START: Chunks = Chunks::Size { size: 0, digits: 0 };

    /// Follows `bytes`; how many of them belong to the body.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut rest = bytes;
        while *self != Chunks::Done {
            if let Chunks::Data { left } = *self {
                let taken = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                rest = rest.get(taken..).unwrap_or_default();
                let left = left - taken as u64;
                *self = match left {
                    0 => Chunks::End {
                        last: false,
                        lf: false,
                    },
                    left => Chunks::Data { left },
                };
            }
            let Some((byte, after)) = rest.split_first() else {
                break;
            };
            rest = after;
            *self = self.step(*byte)?;
        }
        Ok(bytes.len() - rest.len())
    }

    fn step(self, byte: u8) -> Result<Chunks, Fault> {
        match (self, byte) {
            (Chunks::Size { size, digits: 1.. }, b'\r') => Ok(Chunks::SizeEnd { size }),
            (Chunks::Size { size, digits }, byte) if digits < DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16).ok_or(Fault::Malformed)?;
                Ok(Chunks::Size {
                    size: (size << 4) | u64::from(digit),
                    digits: digits + 1,
                })
            }
            (Chunks::SizeEnd { size: 0 }, b'\n') => Ok(Chunks::End {
                last: true,
                lf: false,
            }),
            (Chunks::SizeEnd { size: left }, b'\n') => Ok(Chunks::Data { left }),
            (Chunks::End { last, lf: false }, b'\r') => Ok(Chunks::End { last, lf: true }),
            (
                Chunks::End {
                    last: true,
                    lf: true,
                },
                b'\n',
            ) => Ok(Chunks::Done),
            (
                Chunks::End {
                    last: false,
                    lf: true,
                },
                b'\n',
            ) => Ok(Chunks::START),
            _ => Err(Fault::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(body: &[u8]) -> Result<(usize, Chunks), Fault> {
        let mut chunks = Chunks::START;
        chunks.follow(body).map(|taken| (taken, chunks))
    }

    #[test]
    fn bodies_end_where_they_end() {
        assert_eq!(whole(b"5\r\nhello\r\n0\r\n\r\nGET"), Ok((15, Chunks::Done)));
        assert_eq!(
            whole(b"00a\r\n0123456789\r\n0\r\n\r\n"),
            Ok((22, Chunks::Done))
        );
        assert_eq!(whole(b"5\r\nhel"), Ok((6, Chunks::Data { left: 2 })));
        let body = b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        for cut in 0..body.len() {
            let (first, second) = body.split_at(cut);
            let mut chunks = Chunks::START;
            assert_eq!(chunks.follow(first), Ok(first.len()));
            assert_eq!(chunks.follow(second), Ok(second.len()), "cut at {cut}");
            assert_eq!(chunks, Chunks::Done);
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for body in [
            &b"5;ext=1\r\nhello\r\n0\r\n\r\n"[..],
            b"5\nhello\r\n",
            b"5 \r\nhello\r\n",
            b"\r\n",
            b"0x5\r\nhello\r\n",
            b"+5\r\nhello\r\n",
            b"-1\r\n",
            b"fffffff\r\n",
            b"ffffffffffffffff1\r\n",
            b"5\r\nhelloo\r\n",
            b"5\r\nhello\n",
            b"0\r\nTrailer: x\r\n\r\n",
            b"0\r\n\n",
        ] {
            assert_eq!(
                whole(body),
                Err(Fault::Malformed),
                "{}",
                body.escape_ascii()
            );
        }
    }
}
