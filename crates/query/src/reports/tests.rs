use proptest::prelude::*;
use tollgate_click::Millis;

use super::PARAMS;
use super::ask::Ask;
use crate::params::Params;

const NOW: Millis = Millis(1_764_000_030_000);

fn ask(query: &str) -> Result<Ask, crate::Problem> {
    Ask::parse(&Params::parse(query, PARAMS)?, NOW, None)
}

#[test]
fn a_question_without_words_is_the_last_day() {
    let ask = ask("").unwrap();
    assert_eq!(ask.to, Millis(1_764_000_060_000));
    assert_eq!(ask.from, Millis(1_764_000_060_000 - 86_400_000));
    assert_eq!(ask.columns.len(), 5);
}

#[test]
fn times_are_instants_or_days_in_utc() {
    let one = ask("from=2026-11-24&to=2026-11-25").unwrap();
    let other = ask("from=2026-11-24T01:00:00%2B01:00&to=2026-11-25T00:00:00Z").unwrap();
    assert_eq!(one, other);
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let many = format!("filter=campaign:{}", vec!["1"; 10_000].join(","));
    let chain = format!("filter=reason:{}", "a+OR+".repeat(3_000));
    assert!(ask(&chain).is_ok(), "a text like any other");
    for (query, at) in [
        ("metrics=gross,nothing", "metrics"),
        ("metrics=gross,gross", "metrics"),
        ("metrics=,", "metrics"),
        ("metrics=' OR 1=1--", "metrics"),
        ("dimensions=campaign;DROP", "dimensions"),
        ("dimensions=hour,hour", "dimensions"),
        ("from=2026-11-25&to=2026-11-24", "from, to"),
        ("from=2026-11-24&to=2026-11-24", "from, to"),
        ("from=2026-11-24T00:00:01Z&to=2026-11-25", "from, to"),
        ("from=2001-01-01&to=2026-01-01", "from, to"),
        (
            "from=2024-01-01&to=2026-01-01&dimensions=minute",
            "from, to",
        ),
        ("from=yesterday", "from"),
        ("from=2026-11-24T00:00:00", "from"),
        ("from=2026-11-24T00:00:00UTC%2B25", "from"),
        ("from=2026-11-24T00:00:00%2B26:00", "from"),
        ("from=2026-11-24T00:00:00Z[Europe/Berlin]", "from"),
        ("from=1969-12-31", "from"),
        ("from=2026-02-30", "from"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=9223372036854775808", "limit"),
        ("limit=100001", "limit"),
        ("format=xml", "format"),
        ("filter=campaign", "filter"),
        ("filter=campaigns:1", "filter"),
        ("filter=campaign:1 OR 1=1", "filter"),
        ("filter=campaign:-1", "filter"),
        ("filter=campaign:18446744073709551616", "filter"),
        ("filter=country:%00", "filter"),
        ("metrics=uniques,posted", "metrics"),
        ("order=gross", "query"),
        (&many, "filter"),
    ] {
        let problem = ask(query).expect_err(query);
        assert_eq!(problem.errors()[0].at, at, "{query}");
        assert!(problem.status().is_client_error());
    }
}

proptest! {
    #[test]
    fn no_question_makes_it_panic(
        metrics in "[a-z_,']{0,40}",
        dimensions in "\\PC{0,40}",
        from in "[0-9TZ:+. -]{0,30}",
        filter in "[a-z]{0,10}:?\\PC{0,30}",
    ) {
        let encode = |text: &str| {
            text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>()
        };
        let (dimensions, from, filter) = (encode(&dimensions), encode(&from), encode(&filter));
        let query = format!(
            "metrics={metrics}&dimensions={dimensions}&from={from}&filter={filter}"
        );
        if let Err(problem) = ask(&query) {
            prop_assert!(problem.status().is_client_error());
        }
    }
}
