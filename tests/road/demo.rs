//! README's first command.

use serde_json::Value;

use super::binary::run;

#[test]
fn the_demo_accounts_for_every_click() {
    let ended = run(&["demo", "--clicks", "3000", "--seed", "7", "--exit"]);
    assert_eq!(ended.code, 0, "{} {}", ended.told, ended.json);
    let json = &ended.json;
    let number = |name: &str| json[name].as_u64().unwrap();
    assert_eq!((number("sent"), number("differences")), (3_000, 0));
    let sum = |map: &Value| {
        map.as_object()
            .unwrap()
            .values()
            .filter_map(Value::as_u64)
            .sum::<u64>()
    };
    assert_eq!(number("receipts"), sum(&json["outcomes"]));
    assert_eq!(number("sent"), number("receipts") + sum(&json["refused"]));
    assert_eq!(
        number("gross") + json["outcomes"]["test"].as_u64().unwrap(),
        number("receipts")
    );
    assert_eq!(json["billed"], json["outcomes"]["billed"]);
    let without = |outcomes: &[&str]| -> u64 {
        let of = |outcome: &&str| json["outcomes"][outcome].as_u64().unwrap_or(0);
        outcomes.iter().map(of).sum()
    };
    let general = without(&["invalid_givt", "duplicate", "unauthorised"]);
    assert_eq!(number("gross"), number("net") + general);
    assert_eq!(
        number("net"),
        number("total_net") + without(&["invalid_sivt"])
    );
    assert_eq!(
        json["sides"],
        serde_json::json!(["report", "ledger", "recount"])
    );
    assert!(number("spend_micros") > 0);
    for outcome in [
        "billed",
        "duplicate",
        "expired",
        "free",
        "invalid_givt",
        "over_budget",
        "paused",
        "test",
        "unknown_campaign",
    ] {
        assert!(
            json["outcomes"][outcome].as_u64() > Some(0),
            "{outcome}: {json}"
        );
    }
    for reason in ["expired", "forged", "malformed", "prefetch", "unknown_link"] {
        assert!(
            json["refused"][reason].as_u64() > Some(0),
            "{reason}: {json}"
        );
    }
}
