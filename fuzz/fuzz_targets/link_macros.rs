//! Any query and any destination: no value changes the host or brings in what must not be sent.
//!
//! Input: a byte for the level, the query up to a line break, then the destination.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_click::{AdId, CampaignId, PlacementId, PublisherId};
use tollgate_link::macros::{LOCATION_BYTES_MAX, MacroValues};
use tollgate_link::{Extras, Schemes, destination, expand};
use url::Url;

fuzz_target!(|data: &[u8]| {
    let Some((level, rest)) = data.split_first() else {
        return;
    };
    let mut parts = rest.splitn(2, |byte| *byte == b'\n');
    let query = parts.next().unwrap_or_default();
    let text = std::str::from_utf8(parts.next().unwrap_or_default()).unwrap_or_default();
    let mut extras = Extras::new();
    let known = extras.read(query).is_ok();
    if !known || destination::check(text, Schemes::WEB).is_err() {
        return;
    }
    let values = MacroValues {
        click_id: "019b76da-a800-7007-8001-0123456789ab"
            .parse()
            .expect("an id"),
        campaign: CampaignId(1),
        ad: AdId(2),
        publisher: PublisherId(3),
        placement: PlacementId(4),
        subs: extras.subs(),
        platform: extras.platform(),
        lpurl: Some("https://land.example/?x=%20&y#z"),
    };
    let mut out = Vec::new();
    if expand(text, level % 3, &values, &mut out).is_err() {
        assert!(out.is_empty());
        return;
    }
    assert!(out.len() <= LOCATION_BYTES_MAX);
    assert!(out.iter().all(u8::is_ascii_graphic));
    let location = std::str::from_utf8(&out).expect("graphic ASCII is text");
    let lower = location.to_ascii_lowercase();
    assert!(!lower.contains("%0d") && !lower.contains("%0a") && !lower.contains("%00"));
    let host = |text: &str| {
        Url::parse(text)
            .expect("parses")
            .host_str()
            .map(str::to_owned)
    };
    assert_eq!(host(location), host(text));
});
