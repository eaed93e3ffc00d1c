use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const HOUR_MS: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR_MS;

fn budgets(daily: Option<i64>, total: Option<i64>, offsets: &[(u64, i32)]) -> Budgets {
    let offset = |(from, seconds): &(u64, i32)| ZoneOffset {
        from: Millis(*from),
        seconds: *seconds,
    };
    Budgets {
        daily: daily.map(Micros).into(),
        total: total.map(Micros).into(),
        offsets: offsets.iter().map(offset).collect::<Vec<_>>().into(),
    }
}

#[test]
fn a_day_begins_at_local_midnight() {
    let number =
        |offsets: &[(u64, i32)], at| budgets(None, None, offsets).day_of(Millis(at)).number;
    assert_eq!(number(&[], 0), 0);
    assert_eq!([number(&[], DAY - 1), number(&[], DAY)], [0, 1]);
    let berlin = [(0, 3600)];
    assert_eq!(number(&berlin, DAY - HOUR_MS - 1), 0);
    assert_eq!(number(&berlin, DAY - HOUR_MS), 1);
    let new_york = [(0, -5 * 3600)];
    assert_eq!(number(&new_york, 5 * HOUR_MS - 1), -1, "the evening before");
    assert_eq!(number(&new_york, 5 * HOUR_MS), 0);
    assert_eq!(
        number(&[], u64::MAX),
        (Millis::MAX.0 / DAY) as i32,
        "beyond 48 bits"
    );
}

#[test]
fn an_offset_holds_from_its_time_on_and_the_first_also_before() {
    let summer = 100 * DAY + HOUR_MS; // 01:00 UTC is 02:00, from then on 03:00
    let offsets = [(50 * DAY, 3600), (summer, 7200)];
    let number = |at| budgets(None, None, &offsets).day_of(Millis(at)).number;
    assert_eq!(number(DAY - HOUR_MS), 1, "long before the first");
    // The day of the change has 23 hours.
    assert_eq!(
        [number(100 * DAY - HOUR_MS - 1), number(100 * DAY - HOUR_MS)],
        [99, 100]
    );
    assert_eq!(
        [
            number(101 * DAY - 2 * HOUR_MS - 1),
            number(101 * DAY - 2 * HOUR_MS)
        ],
        [100, 101]
    );
}

#[test]
fn a_date_is_kept_until_no_zone_and_no_spool_can_bring_a_click_of_it() {
    let end = DAY + 18 * HOUR_MS + u64::from(SPOOL_LIMIT_S) * 1000;
    let mut spent = Spent::default();
    let free = budgets(None, None, &[]);
    spent.charge(free.charge(&spent, Millis(5), Micros(3)).unwrap());
    spent.charge(free.charge(&spent, Millis(DAY + 5), Micros(4)).unwrap());
    let day = |number| Day { number };
    spent.forget_over(Millis(end));
    assert_eq!(spent.in_day(day(0)), Micros(3));
    spent.forget_over(Millis(end + 1));
    assert_eq!(
        [spent.in_day(day(0)), spent.in_day(day(1))],
        [Micros(0), Micros(4)]
    );
    spent.forget_over(Millis(end + DAY + 1));
    assert_eq!(
        [spent.in_day(day(1)), spent.total()],
        [Micros(0), Micros(7)]
    );
}

proptest! {
    /// Charges in any order of days say what a plain map says, and never pass a budget.
    #[test]
    fn spend_is_what_a_plain_map_says(
        clicks in proptest::collection::vec((0..9u64, 0..40i64), 0..60),
        daily in proptest::option::of(0..100i64), total in proptest::option::of(0..400i64),
    ) {
        let budgets = budgets(daily, total, &[]);
        let mut spent = Spent::default();
        let mut plain: BTreeMap<u64, i64> = BTreeMap::new();
        for (day, price) in clicks {
            let (in_day, in_all) = (*plain.entry(day).or_default(), plain.values().sum::<i64>());
            let told = budgets.charge(&spent, Millis(day * DAY), Micros(price));
            if in_day + price > daily.unwrap_or(i64::MAX) {
                prop_assert!(matches!(told, Err(Exhausted::Daily)));
            } else if in_all + price > total.unwrap_or(i64::MAX) {
                prop_assert!(matches!(told, Err(Exhausted::Total)));
            } else {
                spent.charge(told.unwrap());
                *plain.entry(day).or_default() += price;
            }
            for (day, sum) in &plain {
                prop_assert_eq!(spent.in_day(Day { number: *day as i32 }), Micros(*sum));
            }
            prop_assert_eq!(spent.total(), Micros(plain.values().sum()));
        }
    }
}

#[test]
fn sums_that_no_number_holds_do_not_fit() {
    let free = budgets(None, None, &[]);
    let mut spent = Spent::default();
    spent.charge(free.charge(&spent, Millis(0), Micros(i64::MAX)).unwrap());
    assert!(free.charge(&spent, Millis(0), Micros(1)).is_err());
    assert!(matches!(
        free.charge(&spent, Millis(DAY), Micros(1)),
        Err(Exhausted::Total)
    ));
}
