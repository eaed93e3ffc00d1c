use super::*;
use crate::destination::{Schemes, recheck};
use proptest::prelude::*;
use tollgate_click::{AdvertiserId, KeyId, Millis, Nonce};

fn values() -> MacroValues<'static> {
    let mut platform = [None; PLATFORM_CLICK_IDS.len()];
    platform[0] = Some(&b"Cj0-_K"[..]);
    MacroValues {
        click_id: "0197f0a0-0000-7007-8001-0123456789ab".parse().unwrap(),
        campaign: CampaignId(42),
        ad: AdId(0),
        publisher: PublisherId(3),
        placement: PlacementId(u64::MAX),
        subs: [Some(b"a b&c/%0d\n\xFF"), None, Some(b""), None, None],
        platform,
        lpurl: Some("https://land.example/?x=1&y=a%20b#z"),
    }
}

fn expanded(destination: &str, escaping: u8) -> String {
    let mut out = b"before ".to_vec();
    expand(destination, escaping, &values(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    text.strip_prefix("before ").unwrap().to_owned()
}

#[test]
fn every_macro_stands_for_its_value() {
    for (destination, expected) in [
        ("/{click_id}", "/0197f0a0-0000-7007-8001-0123456789ab"),
        ("/{campaign}/{ad}/{publisher}", "/42/0/3"),
        ("/{placement}", "/18446744073709551615"),
        ("/{gclid}{dclid}", "/Cj0-_K"),
        ("/{sub2}{sub3}{sub4}{sub5}", "/"),
        ("", ""),
        ("/no/macro", "/no/macro"),
    ] {
        for escaping in 0..=2 {
            assert_eq!(expanded(destination, escaping), expected);
        }
    }
}

#[test]
fn each_level_encodes_once_more() {
    assert_eq!(expanded("/{sub1}", 0), "/a%20b&c/%250d%FF");
    assert_eq!(expanded("/{sub1}", 1), "/a%20b%26c%2F%250d%FF");
    assert_eq!(expanded("/{sub1}", 2), "/a%2520b%2526c%252F%25250d%25FF");
    let lpurl = "https://land.example/?x=1&y=a%20b#z";
    assert_eq!(expanded("/?u={lpurl}", 0), format!("/?u={lpurl}"));
    assert_eq!(
        expanded("/?u={lpurl}", 1),
        "/?u=https%3A%2F%2Fland.example%2F%3Fx%3D1%26y%3Da%2520b%23z"
    );
    assert_eq!(
        expanded("/?u={lpurl}", 2),
        "/?u=https%253A%252F%252Fland.example%252F%253Fx%253D1%2526y%253Da%252520b%2523z"
    );
}

#[test]
fn what_is_no_known_macro_stays() {
    for text in [
        "/{}",
        "/{",
        "/}",
        "/{unknown}",
        "/{CLICK_ID}",
        "/{click_id",
        "/{ ad}",
        "/${AUCTION_ID}",
        "/%%CLICK_URL_UNESC%%",
        "/{sub6}",
        "/{sub0}",
        "/{a_name_longer_than_every_known_one}",
    ] {
        assert_eq!(expanded(text, 1), text);
    }
    assert_eq!(expanded("/{{campaign}}", 1), "/{42}");
    assert_eq!(expanded("/{unknown{campaign}", 1), "/{unknown42");
}

#[test]
fn a_value_is_not_searched_for_macros() {
    let mut values = values();
    values.subs[0] = Some(b"{campaign}");
    let mut out = Vec::new();
    expand("/{sub1}", 0, &values, &mut out).unwrap();
    assert_eq!(out, b"/{campaign}");
}

#[test]
fn a_result_over_the_limit_is_refused_and_leaves_nothing() {
    let mut values = values();
    let long = [b'/'; 256];
    values.subs[0] = Some(&long);
    let fits = "{sub1}".repeat(LOCATION_BYTES_MAX / (256 * 5));
    let mut out = b"kept".to_vec();
    assert_eq!(expand(&fits, 2, &values, &mut out), Ok(()));
    out.truncate(4);
    let over = fits + "{sub1}";
    assert_eq!(
        expand(&over, 2, &values, &mut out),
        Err(ExpandError::TooLong)
    );
    assert_eq!(out, b"kept");
}

#[test]
fn nesting_works_both_ways() {
    // Ours inside theirs: their server encodes our URL, and it comes back as it was.
    let ours = "https://gate.example/c/AQEA_-8?sub1=a%20b";
    let mut values = values();
    values.lpurl = Some(ours);
    for escaping in 0..=2 {
        let mut out = Vec::new();
        expand(
            "https://their.example/?next={lpurl}",
            escaping,
            &values,
            &mut out,
        )
        .unwrap();
        let mut text = String::from_utf8(out).unwrap();
        assert_eq!(recheck(&text, Schemes::WEB), Ok(()));
        text.drain(.."https://their.example/?next=".len());
        for _ in 0..escaping {
            text = decoded_once(&text);
        }
        assert_eq!(text, ours, "level {escaping}");
    }
}

fn decoded_once(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%' {
            bytes.push(escape(after).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn values_of_a_click_come_from_its_link_and_query() {
    let link = ClickLink {
        key: KeyId(1),
        nonce: Nonce::new(Millis(1), 1),
        window_s: 1,
        expires_at: Millis(2),
        advertiser: AdvertiserId(7),
        campaign: CampaignId(42),
        ad: AdId(0),
        publisher: PublisherId(3),
        placement: PlacementId(u64::MAX),
        price: None,
        test: false,
        escaping: 0,
        destination: "https://a.example/{lpurl}",
        lpurl: Some("https://land.example/?x=1&y=a%20b#z"),
    };
    let mut extras = Extras::new();
    extras
        .read(b"sub1=a+b%26c/%250d%0a%ff&sub3=&gclid=Cj0-_K")
        .unwrap();
    assert_eq!(MacroValues::of(&link, values().click_id, &extras), values());
}

proptest! {
    /// Whatever the values are, the result is a destination that the edge would accept, with
    /// the host that was signed.
    #[test]
    fn no_value_breaks_out(
        sub in proptest::collection::vec(any::<u8>(), 0..40),
        path in "[/?#][a-z%25{}]{0,8}",
        escaping in 0u8..=2,
    ) {
        let path = path.replace('%', "%25");
        let destination = format!("https://signed.example{path}{{sub1}}{{gclid}}0a");
        let mut values = values();
        values.subs[0] = Some(&sub);
        values.platform[0] = Some(&sub);
        let mut out = Vec::new();
        expand(&destination, escaping, &values, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        prop_assert_eq!(recheck(&text, Schemes::WEB), Ok(()), "{}", text);
        let url = url::Url::parse(&text).unwrap();
        prop_assert_eq!(url.host_str(), Some("signed.example"));
    }
}
