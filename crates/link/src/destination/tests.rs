use super::*;
use proptest::prelude::*;

/// The lines of a file of destinations, with `\xNN` and `\\` undone.
fn lines(file: &str) -> impl Iterator<Item = String> {
    file.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut bytes = Vec::new();
            let mut rest = line.as_bytes();
            while let Some((byte, after)) = rest.split_first() {
                rest = match (*byte, after) {
                    (b'\\', [b'\\', after @ ..]) => {
                        bytes.push(b'\\');
                        after
                    }
                    (b'\\', [b'x', after @ ..]) => {
                        bytes.push(escape(after).unwrap());
                        &after[2..]
                    }
                    (b'\\', _) => panic!("not a notation: {line}"),
                    (byte, after) => {
                        bytes.push(byte);
                        after
                    }
                };
            }
            String::from_utf8(bytes).unwrap()
        })
}

fn good() -> impl Iterator<Item = String> {
    lines(include_str!("../../tests/data/good_destinations.txt"))
}

fn bad() -> impl Iterator<Item = (String, String)> {
    lines(include_str!("../../tests/data/bad_destinations.txt")).map(|line| {
        let (reason, destination) = line.split_once('\t').unwrap();
        (reason.to_owned(), destination.to_owned())
    })
}

/// The name of an error's variant.
fn reason(error: DestinationError) -> String {
    let text = format!("{error:?}");
    text.split('(').next().unwrap().to_owned()
}

#[test]
fn every_bad_destination_is_refused_for_its_reason() {
    let wrong: Vec<_> = bad()
        .map(|(expected, destination)| {
            let found = check(&destination, Schemes::WEB).err().map(reason);
            (destination, expected, found)
        })
        .filter(|(_, expected, found)| found.as_ref() != Some(expected))
        .collect();
    assert!(wrong.is_empty(), "destination, expected, found: {wrong:#?}");
    assert!(bad().count() > 150);
}

#[test]
fn the_edge_refuses_all_but_what_only_signing_looks_at() {
    for (expected, destination) in bad() {
        let only_signing = matches!(expected.as_str(), "PrivateHost" | "Ambiguous");
        let answer = recheck(&destination, Schemes::WEB);
        assert_eq!(answer.is_ok(), only_signing, "{destination:?}");
    }
}

#[test]
fn every_good_destination_passes() {
    for destination in good() {
        assert_eq!(check(&destination, Schemes::WEB), Ok(()), "{destination}");
    }
}

#[test]
fn a_destination_has_a_length() {
    let longest = format!("https://example.com/{}", "a".repeat(2048 - 20));
    assert_eq!(check(&longest, Schemes::WEB), Ok(()));
    let longer = longest + "a";
    assert_eq!(check(&longer, Schemes::WEB), Err(DestinationError::TooLong));
}

#[test]
fn listed_schemes_pass_and_those_that_run_code_cannot_be_listed() {
    let schemes = Schemes::with(["ftp", "market", "fb"]).unwrap();
    for destination in [
        "ftp://ftp.example.com/pub/a",
        "market://details?id=com.example",
        "fb://page/1?x={click_id}",
        "https://example.com/",
    ] {
        assert_eq!(check(destination, &schemes), Ok(()), "{destination}");
    }
    let refused = |destination: &str| check(destination, &schemes).unwrap_err();
    assert_eq!(refused("market:details"), DestinationError::NoScheme);
    assert_eq!(refused("fb:///1"), DestinationError::Host);
    assert_eq!(refused("ftp://127.0.0.1/"), DestinationError::PrivateHost);
    assert_eq!(refused("fb://127.0.0.1/"), DestinationError::PrivateHost);
    assert_eq!(
        refused("gopher://a.example/"),
        DestinationError::UnlistedScheme
    );

    for never in NEVER {
        assert_eq!(Schemes::with([never]), Err(DestinationError::NeverScheme));
        let upper = never.to_uppercase();
        assert_eq!(Schemes::with([upper]), Err(DestinationError::NoScheme));
    }
    assert_eq!(Schemes::with([""]), Err(DestinationError::NoScheme));
    assert_eq!(Schemes::with(["ftp://"]), Err(DestinationError::NoScheme));
}

#[test]
fn private_hosts_pass_where_they_are_allowed_but_in_one_notation_only() {
    let schemes = Schemes::default().and_private_hosts();
    for (expected, destination) in bad() {
        let answer = check(&destination, &schemes);
        assert_eq!(answer.is_ok(), expected == "PrivateHost", "{destination:?}");
    }
}

#[test]
fn normalising_makes_real_addresses_signable() {
    for (written, normal) in [
        ("HTTP://Example.COM/A B", "http://example.com/A%20B"),
        (" https://example.com/x\r\n", "https://example.com/x"),
        ("https://exa\nmple.com/", "https://example.com/"),
        (
            "https://example.com/2012/–-boot",
            "https://example.com/2012/%E2%80%93-boot",
        ),
        (
            "https://example.com/?vote=評価&b=1",
            "https://example.com/?vote=%E8%A9%95%E4%BE%A1&b=1",
        ),
        (
            "https://Bücher.example/ü#ü",
            "https://xn--bcher-kva.example/%C3%BC#%C3%BC",
        ),
        ("https://example.com./", "https://example.com/"),
        ("https://example.com/100%", "https://example.com/100%25"),
        ("https://example.com/%%41", "https://example.com/%25%41"),
        ("https://example.com/a%0D%0Ab%00", "https://example.com/ab"),
        ("https://example.com/%%0a0a", "https://example.com/%250a"),
        (
            "https://example.com/\"<a>\"^`\\",
            "https://example.com/%22%3Ca%3E%22%5E%60%5C",
        ),
        (
            "https://example.com/{click_id}?x={sub1}",
            "https://example.com/{click_id}?x={sub1}",
        ),
        ("http://example.com:8080", "http://example.com:8080"),
        (
            "http://[2606:4700::1]:80/ x",
            "http://[2606:4700::1]:80/%20x",
        ),
    ] {
        let made = normalise(written).unwrap();
        assert_eq!(made, normal);
        assert_eq!(check(&made, Schemes::WEB), Ok(()), "{made}");
    }
    let schemes = Schemes::with(["ftp"]).unwrap();
    let file = normalise("ftp://ftp.example.com/a file.txt").unwrap();
    assert_eq!(check(&file, &schemes), Ok(()));
}

#[test]
fn normalising_never_lets_a_bad_destination_through_as_another_host() {
    // What a browser drops or encodes becomes harmless; what names another host stays refused.
    let fixable = |reason: &str| matches!(reason, "Byte" | "Control" | "Escape" | "NoScheme");
    for (expected, destination) in bad() {
        let accepted =
            normalise(&destination).is_ok_and(|normal| check(&normal, Schemes::WEB).is_ok());
        let trailing_dot = destination == "https://example.com./";
        let decoded_host = destination == "https://exa%6dple.com/";
        let allowed = fixable(&expected) || trailing_dot || decoded_host;
        assert!(!accepted || allowed, "{destination:?}");
    }
}

proptest! {
    #[test]
    fn what_is_accepted_is_what_the_other_parser_sees(
        text in "(https?|ftp|HTTP|x):[/\\\\]{0,3}[a-z0-9.@:%\\[\\]{}_\\\\#?/ -]{0,30}"
    ) {
        if check(&text, Schemes::WEB).is_ok() {
            let url = Url::parse(&text).unwrap();
            prop_assert!(matches!(url.scheme(), "http" | "https"));
            prop_assert!(url.username().is_empty() && url.password().is_none());
            let host = url.host_str().unwrap().to_owned();
            let written = text.split("//").nth(1).unwrap();
            prop_assert!(written.to_lowercase().starts_with(&host) || host.starts_with('['));
        }
    }

    #[test]
    fn normalising_twice_changes_nothing_more(text in "https?://[a-zA-Z.]{1,9}(/\\PC{0,20})?") {
        if let Ok(once) = normalise(&text) {
            prop_assert_eq!(normalise(&once), Ok(once.clone()));
            prop_assert!(check_bytes(&once).is_ok(), "{:?}", once);
        }
    }
}
