//! Numbered lines of a file that may be gzipped, too long in places, or cut off.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

/// Bytes of one line at most; a longer one is rejected.
const LINE_BYTES_MAX: usize = 1 << 20;
const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];

/// How a file's end is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CutOff {
    /// The compressed data stops early.
    Truncated,
    /// The compressed data is damaged from some point on.
    Damaged,
}

impl CutOff {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            CutOff::Truncated => "truncated",
            CutOff::Damaged => "damaged",
        }
    }
}

/// Opens a plain or gzipped file; its first bytes tell which.
pub fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    if file.fill_buf()?.starts_with(&GZIP_MAGIC) {
        Ok(Box::new(BufReader::new(MultiGzDecoder::new(file))))
    } else {
        Ok(Box::new(file))
    }
}

/// Lines with their numbers. Empty ones are counted and left out.
pub(super) struct Lines<R> {
    input: R,
    text: Vec<u8>,
    number: u64,
    cut_off: Option<CutOff>,
}

/// A line's number and its text, or why the text cannot be had.
pub(super) type Numbered<'a> = (u64, Result<&'a [u8], String>);

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Lines<R> {
        Lines {
            input,
            text: Vec::new(),
            number: 0,
            cut_off: None,
        }
    }

    /// How the end of the file was missing; known after the last line.
    pub(super) fn cut_off(&self) -> Option<CutOff> {
        self.cut_off
    }

    /// The next line that is not empty; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Numbered<'_>>> {
        loop {
            self.text.clear();
            let length = self.read_line()?;
            if length == 0 {
                return Ok(None);
            }
            self.number += 1;
            if length > LINE_BYTES_MAX {
                let reason = format!("it is longer than {LINE_BYTES_MAX} bytes");
                return Ok(Some((self.number, Err(reason))));
            }
            if !self.text.trim_ascii().is_empty() {
                break;
            }
        }
        Ok(Some((self.number, Ok(self.text.trim_ascii()))))
    }

    /// Reads to the end of a line and returns its length, 0 at the end of the file. Of a line
    /// that is too long only the length is kept.
    fn read_line(&mut self) -> io::Result<usize> {
        let mut length = 0;
        loop {
            let bytes = match self.input.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.cut_off = Some(cut_off(error)?);
                    return Ok(length);
                }
            };
            if bytes.is_empty() {
                return Ok(length);
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(bytes.len(), |end| end + 1);
            length += taken;
            if length <= LINE_BYTES_MAX {
                self.text.extend(bytes.iter().take(taken));
            }
            self.input.consume(taken);
            if end.is_some() {
                return Ok(length);
            }
        }
    }
}

/// What an error of the decoder says of the file; an error of the disk stays one.
fn cut_off(error: io::Error) -> io::Result<CutOff> {
    match error.kind() {
        ErrorKind::UnexpectedEof => Ok(CutOff::Truncated),
        ErrorKind::InvalidData | ErrorKind::InvalidInput => Ok(CutOff::Damaged),
        _ => Err(error),
    }
}
