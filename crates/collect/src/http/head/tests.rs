use super::*;
use proptest::prelude::*;

#[path = "../../../tests/edge/table.rs"]
mod table;

fn verdict(bytes: &[u8]) -> &'static str {
    match check(bytes) {
        Ok(Some(_)) => "passes",
        Ok(None) => "more",
        Err(Fault::Malformed) => "malformed",
        Err(Fault::LineTooLong) => "line",
        Err(Fault::HeadersTooLarge) => "headers",
        Err(Fault::TooSlow) => "slow",
    }
}

#[test]
fn the_table_of_bad_requests() {
    for row in table::rows(include_str!("../../../tests/data/bad_requests.toml")) {
        let raw = row.raw(&|_| Some("AbC-_123".to_owned()));
        let said = verdict(&raw);
        assert_eq!(
            Some(said),
            row.head.as_deref(),
            "{}: {}",
            row.name,
            raw.escape_ascii()
        );
    }
}

#[test]
fn good_heads_pass_and_say_what_follows() {
    let rows: [(&str, Framing); 9] = [
        ("GET /c/a HTTP/1.1\r\nHost: x\r\n\r\n", Framing::None),
        ("GET /c/a HTTP/1.0\r\n\r\n", Framing::None),
        (
            "HEAD /c/a?x={y}|z HTTP/1.1\r\nhost:x\r\nX:\r\n\r\n",
            Framing::None,
        ),
        (
            "GET /c/a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            Framing::None,
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 005\r\n\r\nhello",
            Framing::Length(5),
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\ncontent-length:\t7 \r\n\r\n",
            Framing::Length(7),
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTRANSFER-ENCODING: Chunked\r\n\r\n",
            Framing::Chunked,
        ),
        (
            "PUT / HTTP/1.1\r\nHost: x\r\nX: \u{e9}\t\u{1F600}\r\n\r\n",
            Framing::None,
        ),
        (
            "GET /c/a HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n",
            Framing::None,
        ),
    ];
    for (head, body) in rows {
        let bytes = head.find("\r\n\r\n").unwrap() + 4;
        assert_eq!(
            check(head.as_bytes()),
            Ok(Some(Head { bytes, body })),
            "{head}"
        );
    }
}

#[test]
fn limits_hold_to_the_byte() {
    let with_target = |bytes: usize| {
        let target = format!("/{}", "a".repeat(bytes - 1));
        verdict(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
    };
    assert_eq!(
        (
            with_target(TARGET_BYTES_MAX),
            with_target(TARGET_BYTES_MAX + 1)
        ),
        ("passes", "line")
    );
    let with_headers = |count: usize| {
        let more = "X: y\r\n".repeat(count - 1);
        verdict(format!("GET / HTTP/1.1\r\nHost: x\r\n{more}\r\n").as_bytes())
    };
    assert_eq!(
        (with_headers(HEADERS_MAX), with_headers(HEADERS_MAX + 1)),
        ("passes", "headers")
    );
    let with_bytes = |bytes: usize| {
        let value = "y".repeat(bytes - "Host: x\r\nX: \r\n".len());
        verdict(format!("GET / HTTP/1.1\r\nHost: x\r\nX: {value}\r\n\r\n").as_bytes())
    };
    let said = (
        with_bytes(HEADER_BYTES_MAX),
        with_bytes(HEADER_BYTES_MAX + 1),
    );
    assert_eq!(said, ("passes", "headers"));
}

/// Heads near good ones: pieces that matter, in any order, with random bytes between them.
fn near_heads() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "GET ",
        "POST ",
        "/c/a",
        "?sub1=",
        " HTTP/1.1",
        " HTTP/1.0",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "Host: x",
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        " ",
        "\t",
        ":",
        "X: y",
        "{",
        "|",
        "\"",
        "^",
        "`",
        "#",
        "\u{0}",
        "%00",
        "\u{e9}",
    ];
    let piece = prop_oneof![
        8 => proptest::sample::select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    let tail = proptest::collection::vec(piece, 0..12);
    (any::<bool>(), tail).prop_map(|(whole_line, tail)| {
        let start = if whole_line { &b"GET /c/a?"[..] } else { b"" };
        [start, &tail.concat(), b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// hyper must never refuse what the gate has let pass: such an answer would not be counted
    /// where it belongs.
    #[test]
    fn what_passes_here_passes_the_second_parser(bytes in near_heads()) {
        if let Ok(Some(head)) = check(&bytes) {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut request = httparse::Request::new(&mut headers);
            let parsed = request.parse(&bytes).unwrap();
            prop_assert_eq!(parsed, httparse::Status::Complete(head.bytes));
            let target: Result<http::Uri, _> = request.path.unwrap().parse();
            prop_assert!(target.is_ok(), "{:?}", request.path);
            for header in request.headers.iter() {
                prop_assert!(http::HeaderValue::from_bytes(header.value).is_ok());
            }
        }
    }

    /// A head that comes in two pieces gets the same verdict as in one, or a refusal early.
    #[test]
    fn pieces_change_nothing(bytes in near_heads(), cut: proptest::sample::Index) {
        let whole = check(&bytes);
        match check(&bytes[..cut.index(bytes.len())]) {
            Ok(None) => {}
            early => prop_assert_eq!(early, whole),
        }
    }
}
