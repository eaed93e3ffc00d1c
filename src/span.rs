//! Times on the command line: a whole number and a unit.

use std::time::Duration;

/// Reads `500ms`, `10s`, `15m`, `24h` or `30d`. A number without a unit is refused: nobody can
/// tell what it was meant to be.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let units = [
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    let parts = text.split_at_checked(digits).unwrap_or_default();
    let each = units.iter().find(|(unit, _)| *unit == parts.1);
    let number = parts.0.parse::<u64>().ok();
    number
        .zip(each)
        .and_then(|(number, (_, each))| number.checked_mul(*each))
        .map(Duration::from_millis)
        .ok_or_else(|| "a time is a whole number and ms, s, m, h or d, such as 24h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(parse("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        for wrong in [
            "24",
            "h",
            "",
            "1.5h",
            "-1s",
            "1 h",
            "1H",
            "1w",
            "99999999999999999999s",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
