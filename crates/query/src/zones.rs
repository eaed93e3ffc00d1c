//! Time zones: a name becomes the offsets that the core reads from the campaign's record, since
//! the core asks no database.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use tollgate_click::Millis;
use tollgate_click::control::ZoneOffset;
use tollgate_click::limits::{ZONE_NAME_BYTES_MAX, ZONE_OFFSET_S_MAX, ZONE_OFFSETS_MAX};

/// How far ahead offsets are written down: two years.
const AHEAD_MS: i64 = 2 * 366 * 86_400_000;

/// What a zone may be, in words.
pub const ALLOWED: &str = "a name of the IANA time zone database such as Europe/Berlin, or UTC";

/// The offsets of a zone from `now` on; none for UTC.
///
/// # Errors
///
/// What is wrong with the name.
pub fn offsets(zone: &str, now: Millis) -> Result<Vec<ZoneOffset>, String> {
    if zone == "UTC" || zone.is_empty() {
        return Ok(Vec::new());
    }
    if zone.len() > ZONE_NAME_BYTES_MAX {
        return Err("it is too long".to_owned());
    }
    // The database that is compiled in: a host's own may differ, or be missing.
    let known = TimeZoneDatabase::bundled().get(zone);
    let known = known.map_err(|_| "no such time zone is known".to_owned())?;
    let start = instant(i64::try_from(now.0).unwrap_or(i64::MAX))?;
    let end = instant(start.as_millisecond().saturating_add(AHEAD_MS))?;
    let mut offsets = vec![at(&known, now, start)];
    for transition in known
        .following(start)
        .take_while(|one| one.timestamp() < end)
    {
        let ms = transition.timestamp().as_millisecond();
        let from = Millis(u64::try_from(ms).unwrap_or(0));
        offsets.push(at(&known, from, transition.timestamp()));
        if offsets.len() == ZONE_OFFSETS_MAX {
            break;
        }
    }
    // A transition that changes only the name of the zone's time changes no offset.
    offsets.dedup_by_key(|offset| offset.seconds);
    match offsets
        .iter()
        .all(|one| one.seconds.abs() <= ZONE_OFFSET_S_MAX)
    {
        true => Ok(offsets),
        false => Err("it lies too far from UTC".to_owned()),
    }
}

fn at(zone: &TimeZone, from: Millis, instant: Timestamp) -> ZoneOffset {
    ZoneOffset {
        from,
        seconds: zone.to_offset(instant).seconds(),
    }
}

fn instant(ms: i64) -> Result<Timestamp, String> {
    Timestamp::from_millisecond(ms).map_err(|_| "the time is out of range".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> Millis {
        let at: Timestamp = text.parse().unwrap();
        Millis(at.as_millisecond() as u64)
    }

    #[test]
    fn berlin_has_four_changes_in_two_years() {
        let offsets = offsets("Europe/Berlin", ms("2026-11-24T00:00:00Z")).unwrap();
        let expected = [
            ("2026-11-24T00:00:00Z", 3600),
            ("2027-03-28T01:00:00Z", 7200),
            ("2027-10-31T01:00:00Z", 3600),
            ("2028-03-26T01:00:00Z", 7200),
            ("2028-10-29T01:00:00Z", 3600),
        ];
        let expected = expected.map(|(from, seconds)| ZoneOffset {
            from: ms(from),
            seconds,
        });
        assert_eq!(offsets, expected);
    }

    #[test]
    fn every_zone_fits_a_record_and_nonsense_is_refused() {
        let now = ms("2026-11-24T00:00:00Z");
        let mut count = 0;
        for zone in TimeZoneDatabase::bundled().available() {
            let list = offsets(zone.as_str(), now).unwrap();
            assert!(list.len() <= ZONE_OFFSETS_MAX, "{zone:?}");
            assert!(
                list.is_sorted_by(|one, next| one.from < next.from),
                "{zone:?}"
            );
            count += 1;
        }
        assert!(count > 300, "{count} zones");
        assert_eq!(offsets("UTC", now), Ok(Vec::new()));
        assert_eq!(offsets("Asia/Kolkata", now).unwrap()[0].seconds, 19_800);
        for wrong in [
            "UTC+25",
            "Mars/Olympus",
            "../etc/passwd",
            "europe/berlin\0",
            &"x".repeat(99),
        ] {
            assert!(offsets(wrong, now).is_err(), "{wrong}");
        }
    }
}
