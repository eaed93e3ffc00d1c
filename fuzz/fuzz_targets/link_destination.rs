//! Any text as a destination: what our grammar accepts is what a browser's parser reads.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_link::{Schemes, destination};
use url::Url;

fuzz_target!(|text: &str| {
    if destination::check(text, Schemes::WEB).is_ok() {
        assert_eq!(destination::recheck(text, Schemes::WEB), Ok(()));
        let url = Url::parse(text).expect("accepted, so it parses");
        assert!(matches!(url.scheme(), "http" | "https"));
        assert!(url.username().is_empty() && url.password().is_none());
        assert!(!url.cannot_be_a_base());
        // A browser that resolves it against any page goes to the same host.
        let page = Url::parse("https://page.example/dir/").expect("a page");
        let resolved = page.join(text).expect("accepted, so it resolves");
        assert_eq!(
            (resolved.scheme(), resolved.host()),
            (url.scheme(), url.host())
        );
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    if let Ok(normal) = destination::normalise(text) {
        assert!(normal.is_ascii() || destination::check(&normal, Schemes::WEB).is_err());
        if destination::check(text, Schemes::WEB).is_ok() {
            let host = |text: &str| {
                Url::parse(text)
                    .expect("parses")
                    .host_str()
                    .map(str::to_owned)
            };
            assert_eq!(host(&normal), host(text));
        }
    }
});
