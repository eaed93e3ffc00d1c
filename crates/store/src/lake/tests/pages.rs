//! Columns of every kind over several pages and row groups, read whole, in parts and by another
//! reader.

use parquet::file::reader::{FileReader, SerializedFileReader};

use super::local;
use super::sample::Dice;
use crate::lake::columns::{Coding, Field, Kind, Schema, Table, Value};
use crate::lake::decode::SealedFile;
use crate::lake::encode::{encode, keys};
use crate::lake::pages::PAGE_ROWS_MAX;

const fn field(name: &'static str, kind: Kind, coding: Coding, optional: bool) -> Field {
    Field {
        name,
        kind,
        coding,
        optional,
    }
}

static EVERY_KIND: Schema = Schema {
    name: "every_kind",
    version: 1,
    group_rows: PAGE_ROWS_MAX * 2 + 100,
    fields: &[
        field("few", Kind::U32, Coding::Dictionary, false),
        field("same", Kind::U64, Coding::Dictionary, false),
        field("noise", Kind::U64, Coding::Dictionary, true),
        field("none", Kind::I64, Coding::Dictionary, true),
        field("money", Kind::I64, Coding::Dictionary, true),
        field("short", Kind::U32, Coding::Plain, true),
        field("at", Kind::Time, Coding::Delta, false),
        field("flag", Kind::Flag, Coding::Plain, false),
        field("id", Kind::Uuid, Coding::SplitBloom, false),
        field("nonce", Kind::Uuid, Coding::Split, true),
        field("salt", Kind::Bytes16, Coding::Plain, true),
        field("word", Kind::Word, Coding::Dictionary, false),
        field("often", Kind::Bytes, Coding::Dictionary, true),
        field("each", Kind::Bytes, Coding::Plain, false),
    ],
};

fn table(rows: usize) -> Table {
    let mut dice = Dice(41);
    let mut table = Table::new(&EVERY_KIND);
    for row in 0..rows as u64 {
        let sixteen = u128::from(dice.roll()) << 64 | u128::from(dice.roll());
        let or_none = |dice: &mut Dice, value| if dice.one_in(4) { Value::None } else { value };
        let noise = Value::U64(dice.roll());
        let money = Value::I64(dice.below(9) as i64 - 4);
        let word = format!("word {}", dice.below(40));
        let often = format!("often {}", dice.below(30_000));
        let each = dice.roll().to_le_bytes();
        table.push([
            Value::U32(u32::MAX - dice.below(5) as u32),
            Value::U64(7),
            or_none(&mut dice, noise),
            Value::None,
            or_none(&mut dice, money),
            or_none(&mut dice, Value::U32(row as u32)),
            Value::U64(1_000_000 + row * 3),
            Value::Flag(dice.one_in(3)),
            Value::Bytes16(sixteen.to_be_bytes()),
            or_none(&mut dice, Value::Bytes16(sixteen.to_le_bytes())),
            or_none(&mut dice, Value::Bytes16(sixteen.to_le_bytes())),
            Value::Word(&word),
            or_none(&mut dice, Value::Bytes(often.as_bytes())),
            Value::Bytes(&each[..(row % 9) as usize]),
        ]);
    }
    table
}

#[test]
fn columns_of_every_kind_come_back_whole_and_in_parts() {
    for rows in [1, 100, PAGE_ROWS_MAX * 3] {
        let dir = tempfile::tempdir().unwrap();
        let objects = local(dir.path());
        let table = table(rows);
        let more = [
            (keys::PARTITION, "3".to_owned()),
            (keys::FIRST, "1".to_owned()),
            (keys::LAST, "9".to_owned()),
        ];
        let bytes = encode(&EVERY_KIND, &table, &more).unwrap().bytes;
        objects.put_new("file", &bytes).unwrap();
        let file = SealedFile::open(&*objects, "file", &EVERY_KIND).unwrap();
        assert_eq!(file.verified(&*objects).unwrap(), table);
        // Parts that begin and end in a page, at its ends, and in another one.
        let page = PAGE_ROWS_MAX;
        for part in [
            0..1,
            5..90,
            page - 1..page + 1,
            page..page * 2,
            page * 2 + 99..page * 2 + 100,
        ] {
            let wanted: Vec<u32> = part.clone().map(|row| row as u32).collect();
            if part.end <= file.group_rows(0) {
                let found = file.part_table(&*objects, 0, part.clone()).unwrap();
                assert_eq!(found, table.take(&wanted), "{part:?} of {rows}");
            }
        }
        // Statistics hold for what is there, and lie in the order of the kind.
        for group in 0..file.groups() {
            assert_eq!(file.bounds(group, 1), Some((7, 7)));
            assert_eq!(file.bounds(group, 3), None);
            let (low, high) = file.bounds(group, 0).unwrap();
            assert!(low <= high && high == u64::from(u32::MAX), "{low} {high}");
        }
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let read = reader.get_row_iter(None).unwrap().map(Result::unwrap);
        let mut count = 0;
        for (row, other) in read.enumerate() {
            let text = other.to_string();
            assert!(
                text.contains(&format!("word: \"{}\"", table.word(11, row))),
                "{text}"
            );
            assert!(
                text.contains(&format!("few: {}", table.u64(0, row))),
                "{text}"
            );
            let money = match table.has(4, row) {
                true => format!("money: {},", table.u64(4, row) as i64),
                false => "money: null".to_owned(),
            };
            assert!(text.contains(&money), "{money} in {text}");
            count += 1;
        }
        assert_eq!(count, rows);
    }
}
