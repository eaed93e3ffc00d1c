//! Who clicks: an address, a country, a browser, a language and the page they came from.

use std::net::Ipv4Addr;

use crate::dice::Dice;

/// One visitor; equal numbers are the same person on the same device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Visitor {
    /// Its number.
    pub number: u64,
    /// Inside 10.0.0.0/8.
    pub address: Ipv4Addr,
    /// ISO 3166-1 alpha-2; none when unknown.
    pub country: Option<&'static str>,
    /// A browser's user agent.
    pub agent: &'static str,
    /// `Accept-Language`; none for browsers that send none.
    pub language: Option<&'static str>,
    /// The page with the ad; none for mail and direct visits.
    pub referrer: Option<&'static str>,
}

/// Agents of people.
const BROWSERS: [&str; 12] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/139.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/139.0.0.0 Safari/537.36 Edg/139.0.0.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:142.0) Gecko/20100101 Firefox/142.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
     Version/18.5 Safari/605.1.15",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
     Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
     Gecko) CriOS/138.0.7204.119 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/139.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) \
     SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
     Version/17.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 13; Pixel Tablet) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/137.0.0.0 Safari/537.36",
];

/// Agents of robots that say so.
const ROBOTS: [&str; 4] = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Mozilla/5.0 (compatible; ExampleSpider/3.1; +https://spider.example/bot)",
];

/// Agents of libraries and tools.
const LIBRARIES: [&str; 4] = [
    "curl/8.5.0",
    "python-requests/2.32.3",
    "Go-http-client/1.1",
    "okhttp/4.12.0",
];

const COUNTRIES: [Option<&str>; 16] = [
    Some("US"),
    Some("US"),
    Some("US"),
    Some("US"),
    Some("DE"),
    Some("GB"),
    Some("FR"),
    Some("JP"),
    Some("BR"),
    Some("IN"),
    Some("MX"),
    Some("CA"),
    Some("ES"),
    Some("PL"),
    Some("AU"),
    None,
];

const LANGUAGES: [Option<&str>; 8] = [
    Some("en-US,en;q=0.9"),
    Some("en-US,en;q=0.5"),
    Some("en-GB,en;q=0.8"),
    Some("de-DE,de;q=0.9,en;q=0.7"),
    Some("fr-FR,fr;q=0.9,en-US;q=0.6"),
    Some("es-419,es;q=0.9"),
    Some("ja,en-US;q=0.7,en;q=0.3"),
    None,
];

const REFERRERS: [Option<&str>; 8] = [
    Some("https://news.example/world/2026/markets-open-higher"),
    Some("https://www.recipes.example/soup?page=2&utm_source=newsletter"),
    Some("https://search.example/"),
    Some("https://video.example/watch?v=dQ0kJ8sLr2M"),
    Some("https://forum.example/t/which-running-shoes/48213/17"),
    Some("https://m.social.example/"),
    None,
    None,
];

impl Visitor {
    /// The visitor of that number.
    pub fn new(dice: Dice, number: u64) -> Visitor {
        let bits = dice.with(10).roll(number);
        let [_, b, c, d, ..] = bits.to_be_bytes();
        let of = |purpose| dice.with(purpose).roll(number);
        Visitor {
            number,
            address: Ipv4Addr::new(10, b, c, d),
            country: pick(&COUNTRIES, of(11)).flatten(),
            agent: pick(&BROWSERS, of(12)).unwrap_or_default(),
            language: pick(&LANGUAGES, of(13)).flatten(),
            referrer: pick(&REFERRERS, of(14)).flatten(),
        }
    }

    /// Appends the headers that say who asks, as a trusted proxy sends them on; `agent` is the
    /// visitor's own or that of a robot.
    pub fn write_headers(&self, host: &str, agent: &str, out: &mut Vec<u8>) {
        let address = self.address.to_string();
        let headers = [
            ("Host", Some(host)),
            ("User-Agent", Some(agent)),
            ("Accept", Some("text/html,application/xhtml+xml,*/*;q=0.8")),
            ("Accept-Language", self.language),
            ("Referer", self.referrer),
            ("X-Forwarded-For", Some(address.as_str())),
            ("X-Country", self.country),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                write_header(name, value, out);
            }
        }
    }

    /// A number that stands for address and agent together.
    pub fn fingerprint(&self) -> u64 {
        let agent = BROWSERS.iter().position(|agent| *agent == self.agent);
        (u64::from(u32::from(self.address)) << 8) | agent.unwrap_or(255) as u64
    }
}

/// The agent of a robot that says so.
pub(crate) fn robot(bits: u64) -> &'static str {
    pick(&ROBOTS, bits).unwrap_or_default()
}

/// The agent of a library or tool.
pub(crate) fn library(bits: u64) -> &'static str {
    pick(&LIBRARIES, bits).unwrap_or_default()
}

/// Appends one header line.
pub(crate) fn write_header(name: &str, value: &str, out: &mut Vec<u8>) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

fn pick<T: Copy>(list: &[T], bits: u64) -> Option<T> {
    let index = bits.checked_rem(list.len() as u64)?;
    list.get(usize::try_from(index).ok()?).copied()
}
