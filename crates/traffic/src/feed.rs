//! Recorded clicks of a redirect service: a file of JSON lines, plain or gzipped.
//!
//! A line is a click, a heartbeat, or rejected by its number; a bad line never costs a good one.
//! A file whose end is missing gives all lines before the cut.
//!
//! | field | what |
//! |---|---|
//! | `h`, `hh`, `u` | link, short domain, destination |
//! | `l` | who made the link |
//! | `a`, `r`, `al` | user agent, referrer (`direct` for none), `Accept-Language` |
//! | `c`, `cy`, `ll` | country, city, latitude and longitude |
//! | `t` | Unix time of the click in seconds |

mod lines;
mod request;
mod table;

pub use lines::{CutOff, open};
pub use request::address_of;
pub use table::{LinkLine, Table};

use std::io::{self, BufRead};

use serde::Deserialize;
use serde_json::Value;

use lines::Lines;

/// What a file holds.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Feed {
    /// Clicks in the order of the file.
    pub clicks: Vec<FeedClick>,
    /// Lines that only say that the service lives.
    pub heartbeats: u64,
    /// Lines that are neither.
    pub rejected: Vec<Rejected>,
    /// How the file's end is missing, if it is.
    pub cut_off: Option<CutOff>,
}

/// A line that is neither click nor heartbeat.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejected {
    /// Counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// One recorded click.
#[derive(Clone, PartialEq, Debug)]
pub struct FeedClick {
    /// Its line in the file, counted from 1.
    pub line: u64,
    /// The link.
    pub link: String,
    /// The short domain.
    pub domain: String,
    /// Who made the link; empty when unknown.
    pub maker: String,
    /// Where the link goes, as recorded.
    pub destination: String,
    /// User agent; empty when none was sent.
    pub agent: String,
    /// Referrer; none for a direct visit.
    pub referrer: Option<String>,
    /// `Accept-Language`.
    pub language: Option<String>,
    /// Two letters.
    pub country: Option<String>,
    /// City.
    pub city: Option<String>,
    /// Latitude and longitude, as the file writes them.
    pub place: Option<String>,
    /// Unix time in seconds.
    pub at_s: Option<u64>,
}

/// A line as it is written. Fields that nobody reads here may hold anything.
#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "_heartbeat_")]
    heartbeat: Option<Value>,
    h: Option<String>,
    hh: Option<String>,
    l: Option<String>,
    u: Option<String>,
    a: Option<String>,
    r: Option<String>,
    al: Option<String>,
    c: Option<String>,
    cy: Option<String>,
    ll: Option<Value>,
    t: Option<Value>,
}

enum Line {
    Heartbeat,
    Click(Box<FeedClick>),
}

/// Reads a whole feed.
pub fn read(input: impl BufRead) -> io::Result<Feed> {
    let mut feed = Feed::default();
    let mut lines = Lines::new(input);
    while let Some((line, text)) = lines.next()? {
        match text.and_then(|text| parse(line, text)) {
            Ok(Line::Heartbeat) => feed.heartbeats += 1,
            Ok(Line::Click(click)) => feed.clicks.push(*click),
            Err(reason) => feed.rejected.push(Rejected { line, reason }),
        }
    }
    feed.cut_off = lines.cut_off();
    Ok(feed)
}

fn parse(line: u64, text: &[u8]) -> Result<Line, String> {
    let raw: Raw = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if raw.heartbeat.is_some() {
        return Ok(Line::Heartbeat);
    }
    let some = |text: &String| !text.is_empty();
    let link = raw.h.filter(some).ok_or("it names no link (h)")?;
    let domain = raw.hh.filter(some).ok_or("it names no short domain (hh)")?;
    let destination = raw.u.filter(some).ok_or("it names no destination (u)")?;
    Ok(Line::Click(Box::new(FeedClick {
        line,
        link,
        domain,
        maker: raw.l.unwrap_or_default(),
        destination,
        agent: raw.a.unwrap_or_default(),
        referrer: raw
            .r
            .filter(|referrer| some(referrer) && referrer != "direct"),
        language: raw.al.filter(some),
        country: raw.c.filter(some),
        city: raw.cy.filter(some),
        place: raw.ll.map(|place| place.to_string()),
        at_s: raw.t.and_then(|time| time.as_u64()),
    })))
}

#[cfg(test)]
mod tests;
