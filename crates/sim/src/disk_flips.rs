//! Every single bit of a small log, turned over one at a time: the log must say so, with the file,
//! or show exactly what it showed before.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tollgate_log::conformance::block_on;
use tollgate_log::{Append, Log, NewRecord, Partition, Record, SegmentLog};

use crate::disk::{Fault, Image, SimDisk};
use crate::disk_states::{DIR, Tier, options, read_all};

/// What the flips add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlipTotals {
    /// Bits that were turned over.
    pub flips: u64,
    /// Reported with the file that was changed.
    pub detected: u64,
    /// Not reported, and nothing that was shown had changed.
    pub harmless: u64,
    /// Something else was shown, or another file was blamed.
    pub undetected: u64,
    /// The first few undetected ones in words.
    pub problems: Vec<String>,
}

/// Flips every bit of a log that was closed, of one that was left, of a sealed one, and of a file
/// that was another segment before.
pub fn bit_flips(seed: u64, tier: Tier) -> FlipTotals {
    let mut totals = FlipTotals::default();
    let size = if tier == Tier::Short { 3 } else { 60 };
    for shape in [Shape::Closed, Shape::Left, Shape::Sealed, Shape::UsedAgain] {
        let image = make(seed, shape, size);
        match open_and_read(&image, seed) {
            Ok(expected) => {
                let files = files(&image, shape);
                flip_all((&image, files), seed, &expected, &mut totals);
            }
            Err(error) => {
                totals.undetected += 1;
                totals
                    .problems
                    .push(format!("{shape:?} before any flip: {error}"));
            }
        }
    }
    totals
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Closed,
    Left,
    Sealed,
    /// Left, with a file that was another segment before.
    UsedAgain,
}

/// A log of a few records in the given shape.
fn make(seed: u64, shape: Shape, size: usize) -> Image {
    let disk = SimDisk::new(Image::default(), Fault::None);
    let options = options(seed);
    let open = || {
        SegmentLog::open(Arc::new(disk.clone()), Path::new(DIR), options.clone())
            .map(|(log, _)| log)
            .ok()
    };
    let fill = |log: &SegmentLog| {
        for number in 0..3u16 {
            let facts = format!("facts {number} {}", "f".repeat(size));
            let personal = format!("personal {number}");
            let partition = if number == 2 {
                Partition::ALL
            } else {
                Partition(number)
            };
            let record = NewRecord {
                partition,
                facts: facts.as_bytes(),
                personal: personal.as_bytes(),
            };
            // A record that is not taken is missed by the comparison before the first flip.
            drop(log.appender().append(record).map(block_on));
        }
    };
    let Some(log) = open() else {
        return Image::default();
    };
    fill(&log);
    if shape == Shape::UsedAgain {
        use_again(&log, size);
    }
    if matches!(shape, Shape::Left | Shape::UsedAgain) {
        return disk.image();
    }
    drop(log);
    if shape == Shape::Sealed
        && let Some(log) = open()
    {
        drop(log.seal_finished());
        fill(&log);
        if let Some(last) = log
            .segments()
            .ok()
            .and_then(|segments| segments.last().copied())
        {
            // Writes the file that says what retention has left, with everything left but the
            // personal parts of the first segment.
            drop(log.expire_personal(last.first));
        }
    }
    disk.image()
}

/// Appends until a file is used again; leaves a small block before the bytes of its former life.
fn use_again(log: &SegmentLog, size: usize) {
    let large = "x".repeat(500);
    for number in 0..4 {
        if number == 3 {
            drop(log.seal_finished());
        }
        let record = NewRecord {
            partition: Partition(0),
            facts: large.as_bytes(),
            personal: large.as_bytes(),
        };
        drop(log.appender().append(record).map(block_on));
    }
    let small = "f".repeat(size);
    let record = NewRecord {
        partition: Partition(1),
        facts: small.as_bytes(),
        personal: b"personal",
    };
    drop(log.appender().append(record).map(block_on));
}

/// The files whose bits are flipped, with their lengths. Of a log of used files that is the last
/// live one: those before it are as in the other shapes.
fn files(image: &Image, shape: Shape) -> Vec<(PathBuf, usize)> {
    let files = image
        .contents()
        .map(|(path, content)| (path.to_owned(), content.len()));
    if shape == Shape::UsedAgain {
        let live = |(path, _): &(PathBuf, usize)| path.extension().is_some_and(|e| e == "live");
        return files.filter(live).last().into_iter().collect();
    }
    files.collect()
}

fn flip_all(
    (image, files): (&Image, Vec<(PathBuf, usize)>),
    seed: u64,
    expected: &[Record],
    totals: &mut FlipTotals,
) {
    for (path, len) in files {
        for place in 0..len * 8 {
            let mut flipped = image.clone();
            flipped.flip(&path, place / 8, (place % 8) as u8);
            totals.flips += 1;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            match open_and_read(&flipped, seed) {
                Ok(found) if found == expected => totals.harmless += 1,
                Err(error) if error.contains(&*name) => totals.detected += 1,
                other => {
                    totals.undetected += 1;
                    if totals.problems.len() < 5 {
                        let shown = other.map(|found| found.len());
                        let words =
                            format!("{name} byte {} bit {}: {shown:?}", place / 8, place % 8);
                        totals.problems.push(words);
                    }
                }
            }
        }
    }
}

fn open_and_read(image: &Image, seed: u64) -> Result<Vec<Record>, String> {
    let disk = SimDisk::new(image.clone(), Fault::None);
    let (log, _) = SegmentLog::open(Arc::new(disk), Path::new(DIR), options(!seed))
        .map_err(|error| error.to_string())?;
    read_all(&log)
}
