//! Lists of files, as text with a checksum: a partition's catalog and the manifests of its units.
//!
//! ```text
//! tollgate-files 1
//! through 1999
//! file clicks 494541 1000 1999 874 1780435200000 1780435259999
//! end 5f3c81aa
//! ```
//!
//! A file's line has table, unit, first and last ordinal, rows, and the least and greatest of
//! what its table is looked up by. The last line is the CRC32C of all before it.

use std::io;

use tollgate_click::Ordinal;

use super::decode::reading;
use super::errors::LakeError;
use super::objects::Objects;
use super::places::{Plan, Unit};

const VERSION: u32 = 1;

/// How far something is written, and in which files.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Listing {
    /// The last ordinal that is accounted for.
    pub(crate) through: Ordinal,
    /// The files, sorted.
    pub(crate) files: Vec<Listed>,
}

/// A file in a list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Listed {
    /// Index of its schema in the plan.
    pub(crate) table: usize,
    /// Where it stands.
    pub(crate) unit: Unit,
    /// The ordinals that it speaks for.
    pub(crate) first: Ordinal,
    pub(crate) last: Ordinal,
    /// Its rows.
    pub(crate) rows: u64,
    /// Least and greatest of what the table is looked up by.
    pub(crate) low: u64,
    pub(crate) high: u64,
}

impl Listing {
    /// Reads a list; none when there is no such file.
    pub(crate) fn load(
        objects: &dyn Objects,
        plan: &Plan,
        name: &str,
    ) -> Result<Option<Listing>, LakeError> {
        let size = match objects.size(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            size => size.map_err(|error| reading(name, error))?,
        };
        let bytes = objects
            .read(name, 0..size)
            .map_err(|error| reading(name, error))?;
        parse(plan, name, &bytes).map(Some)
    }

    /// Writes the list in the place of the one of that name.
    pub(crate) fn save(
        &mut self,
        objects: &dyn Objects,
        plan: &Plan,
        name: &str,
    ) -> Result<(), LakeError> {
        self.files.sort_unstable();
        let text = self.to_text(plan);
        let put = objects.put(name, text.as_bytes());
        put.map_err(|error| LakeError::io(name, error))
    }

    fn to_text(&self, plan: &Plan) -> String {
        let mut text = format!("tollgate-files {VERSION}\nthrough {}\n", self.through);
        for file in &self.files {
            let table = plan.tables.get(file.table).map_or("", |schema| schema.name);
            let Listed {
                unit: Unit(unit),
                first,
                last,
                rows,
                low,
                high,
                ..
            } = file;
            text.push_str(&format!(
                "file {table} {unit} {first} {last} {rows} {low} {high}\n"
            ));
        }
        let sum = crc32c::crc32c(text.as_bytes());
        text.push_str(&format!("end {sum:08x}\n"));
        text
    }
}

fn parse(plan: &Plan, name: &str, bytes: &[u8]) -> Result<Listing, LakeError> {
    let corrupt = |what: &str| LakeError::corrupt(name, what);
    let text = std::str::from_utf8(bytes).map_err(|_| corrupt("it is no text"))?;
    let (body, end) = text
        .rsplit_once("end ")
        .ok_or_else(|| corrupt("it has no end"))?;
    if end != format!("{:08x}\n", crc32c::crc32c(body.as_bytes())) {
        return Err(corrupt("its checksum does not fit"));
    }
    let mut lines = body.lines();
    let head = lines
        .next()
        .and_then(|line| line.strip_prefix("tollgate-files "));
    match head.and_then(|version| version.parse::<u32>().ok()) {
        Some(VERSION) => {}
        Some(version) if version > VERSION => {
            let name = name.to_owned();
            return Err(LakeError::NewerCode { name, version });
        }
        _ => return Err(corrupt("it is no list of files")),
    }
    let through = lines.next().and_then(|line| line.strip_prefix("through "));
    let through = through.and_then(|number| number.parse().ok());
    let through = Ordinal(through.ok_or_else(|| corrupt("it does not say how far it goes"))?);
    let files = lines.map(|line| parse_file(plan, line).ok_or_else(|| corrupt("a line is broken")));
    Ok(Listing {
        through,
        files: files.collect::<Result<_, _>>()?,
    })
}

fn parse_file(plan: &Plan, line: &str) -> Option<Listed> {
    let mut words = line.strip_prefix("file ")?.split(' ');
    let table = words.next()?;
    let table = plan.tables.iter().position(|schema| schema.name == table)?;
    let mut number = || words.next()?.parse::<u64>().ok();
    let file = Listed {
        table,
        unit: Unit(u32::try_from(number()?).ok()?),
        first: Ordinal(number()?),
        last: Ordinal(number()?),
        rows: number()?,
        low: number()?,
        high: number()?,
    };
    words.next().is_none().then_some(file)
}
