use super::super::shapes::{FINEST, Level, OF_DAY};
use super::*;
use crate::lake::columns::Value;

fn cell(table: &mut Table, minute: u32, publisher: u32, reason: &str) {
    table.push([
        Value::U32(1),
        Value::U64(10),
        Value::U32(minute),
        Value::U32(publisher),
        Value::U64(2),
        Value::U64(3),
        Value::Word("click"),
        Value::Word("DE"),
        Value::Word("mobile"),
        Value::Word("billed"),
        Value::Word(reason),
        Value::Word("EUR"),
        Value::U64(2),
        Value::I64(100),
    ]);
}

fn table() -> Table {
    let mut table = Table::new(&MINUTES);
    cell(&mut table, 125, 7, "head");
    cell(&mut table, 130, 7, "double_click");
    cell(&mut table, 130, 8, "head");
    cell(&mut table, 125, 7, "head");
    cell(&mut table, 125, 7, "double_click");
    table
}

#[test]
fn equal_cells_become_one_in_each_shape() {
    let sums = |level: &Level| {
        let sums = add_up(&table(), &level.shape).unwrap();
        let row = |row| {
            let number = |at: At| sums.u64(at as usize, row);
            let reason = sums.word(At::Reason as usize, row).to_owned();
            (
                number(At::Minute),
                number(At::Publisher),
                reason,
                number(At::Clicks),
            )
        };
        (0..sums.rows()).map(row).collect::<Vec<_>>()
    };
    let cell =
        |minute, publisher, reason: &str, clicks| (minute, publisher, reason.to_owned(), clicks);
    let minutes = [
        cell(125, 7, "double_click", 2),
        cell(125, 7, "head", 4),
        cell(130, 7, "double_click", 2),
        cell(130, 8, "head", 2),
    ];
    assert_eq!(sums(&FINEST), minutes);
    let hours = [
        cell(120, 7, "double_click", 4),
        cell(120, 7, "head", 4),
        cell(120, 8, "head", 2),
    ];
    assert_eq!(sums(&OF_DAY[3]), hours);
    assert_eq!(sums(&OF_DAY[2]), [cell(120, 0, "", 10)]);
}

#[test]
fn numbers_sort_like_columns_packed_or_not() {
    let least = Kinds {
        country: *b"BR",
        currency: *b"EUR",
        ..Kinds::default()
    };
    // One step in a column is less than any in a column before it.
    let steps: [fn(&mut Kinds, u64); KEYS] = [
        |kinds, step| kinds.currency = if step > 0 { *b"USD" } else { *b"EUR" },
        |kinds, step| kinds.reason = step.min(255) as u32,
        |kinds, step| kinds.outcome = step as u8,
        |kinds, step| kinds.agent_class = step as u8,
        |kinds, step| kinds.country = if step > 0 { *b"DE" } else { *b"BR" },
        |kinds, step| kinds.event = step as u8,
        |kinds, step| kinds.placement = step,
        |kinds, step| kinds.ad = step,
        |kinds, step| kinds.publisher = step as u32,
        |kinds, step| kinds.minute = step as u32,
        |kinds, step| kinds.campaign = step,
        |kinds, step| kinds.advertiser = step as u32,
    ];
    // Wide ids do not fit 128 bits and are compared column by column.
    for wide in [1, 200, u64::MAX] {
        let mut names = Names::new();
        names.reasons = (0..=255)
            .map(|number| format!("reason {number:03}"))
            .collect();
        let mut rising = vec![least];
        for (at, step) in steps.iter().enumerate() {
            let mut kinds = least;
            steps
                .iter()
                .take(at)
                .for_each(|finer| finer(&mut kinds, wide));
            step(&mut kinds, 0);
            rising.push(kinds);
            step(&mut kinds, wide);
            steps.iter().take(at).for_each(|finer| finer(&mut kinds, 0));
            rising.push(kinds);
        }
        rising.dedup();
        let frame = Frame::of(&names, [].iter());
        assert!(rising.iter().map(|kinds| frame.numbers(kinds)).is_sorted());
        let cells: Vec<Cell> = { rising.iter().rev() }
            .map(|kinds| Cell {
                kinds: *kinds,
                clicks: 1,
                charge: 1,
                visitor: None,
            })
            .collect();
        let joined = Sums::of(&names, cells.iter()).unwrap().cells();
        let kinds: Vec<Kinds> = joined.iter().map(|cell| cell.kinds).collect();
        assert_eq!(kinds, rising, "{wide}");
    }
}

#[test]
fn sums_that_leave_their_range_are_errors() {
    let cell = |clicks, charge| Cell {
        kinds: Kinds::default(),
        clicks,
        charge,
        visitor: None,
    };
    let names = Names::new();
    for cells in [
        [cell(u64::MAX, 0), cell(1, 0)],
        [cell(1, i64::MAX), cell(1, 1)],
    ] {
        let sums = Sums::of(&names, cells.iter());
        assert!(matches!(sums.err(), Some(LakeError::Overflow)));
    }
}

#[test]
fn the_order_of_arrival_leaves_no_trace() {
    let table = table();
    let turned: Vec<u32> = (0..table.rows() as u32).rev().collect();
    for Level { shape, .. } in OF_DAY.iter().chain([&FINEST]) {
        let one = add_up(&table, shape).unwrap();
        assert_eq!(add_up(&table.take(&turned), shape).unwrap(), one);
    }
}
