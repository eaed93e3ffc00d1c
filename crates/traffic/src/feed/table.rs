//! The table of registered links that a feed needs.
//!
//! A registered link has one placement, and the short domain is the placement; so a link that was
//! clicked under two short domains becomes two registered links. All numbers count from 1 in the
//! order in which the file first names a thing, so the same file always gives the same table.
//!
//! | recorded | becomes |
//! |---|---|
//! | link `h` under short domain `hh` | link, and ad of the same number; its slug is `h`, or `h.hh` when `h` came under another domain before |
//! | short domain `hh` | placement |
//! | maker `l` | publisher |
//! | host of the destination | advertiser with one campaign |

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tollgate_click::limits::{NAME_BYTES_MAX, SLUG_BYTES_MAX};
use tollgate_link::Schemes;
use tollgate_link::destination::{self, NEVER};

use super::{Feed, FeedClick, Rejected};

/// What a click costs, so that a replay ends in a bill: 0.10 USD.
const PRICE_MICROS: i64 = 100_000;

/// The table.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Table {
    /// Links in the order of their numbers.
    pub links: Vec<LinkLine>,
    /// Clicks whose link cannot be registered, by line.
    pub refused: Vec<Rejected>,
    advertisers: Numbers,
    /// Schemes beside `http` and `https` that an advertiser's destinations have.
    schemes: BTreeMap<u64, BTreeSet<String>>,
    by_name: BTreeMap<(String, String), usize>,
}

/// One registered link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkLine {
    /// Its number.
    pub number: u64,
    /// Its path below `/l/`.
    pub slug: String,
    /// Advertiser and campaign of the destination's host.
    pub advertiser: u64,
    /// Who made the link.
    pub publisher: u64,
    /// The short domain.
    pub placement: u64,
    /// Where it goes, as it may be registered.
    pub destination: String,
}

impl Table {
    /// The table that the clicks of `feed` need.
    pub fn of(feed: &Feed) -> Table {
        let mut table = Table::default();
        let (mut makers, mut domains) = (Numbers::default(), Numbers::default());
        let (mut first_domains, mut slugs) = (BTreeMap::new(), BTreeSet::new());
        for click in &feed.clicks {
            let name = (click.link.clone(), click.domain.clone());
            if table.by_name.contains_key(&name) {
                continue;
            }
            let first = first_domains.entry(&click.link).or_insert(&click.domain);
            let slug = if **first == click.domain {
                click.link.clone()
            } else {
                format!("{}.{}", click.link, click.domain)
            };
            let checked = check_slug(&slug, &slugs).and_then(|()| register(&click.destination));
            let (destination, scheme) = match checked {
                Ok(registrable) => registrable,
                Err(reason) => {
                    let line = click.line;
                    table.refused.push(Rejected { line, reason });
                    continue;
                }
            };
            let advertiser = table.advertisers.of(host_of(&destination));
            table.schemes.entry(advertiser).or_default().extend(scheme);
            slugs.insert(slug.clone());
            table.by_name.insert(name, table.links.len());
            table.links.push(LinkLine {
                number: table.links.len() as u64 + 1,
                slug,
                advertiser,
                publisher: makers.of(&click.maker),
                placement: domains.of(&click.domain),
                destination,
            });
        }
        table
    }

    /// The registered link of a click; none when it was refused.
    pub fn link_of(&self, click: &FeedClick) -> Option<&LinkLine> {
        let name = (click.link.clone(), click.domain.clone());
        self.links.get(*self.by_name.get(&name)?)
    }

    /// The lines of the file that `serve --links` reads: advertisers, campaigns, links.
    pub fn lines(&self) -> Vec<Value> {
        let advertisers = self.advertisers.names().map(|(number, name)| {
            json!({
                "advertiser": number,
                "name": name,
                "currency": "USD",
                "schemes": self.schemes.get(&number),
            })
        });
        let campaigns = self.advertisers.names().map(|(number, name)| {
            json!({
                "campaign": number,
                "advertiser": number,
                "name": name,
                "currency": "USD",
                "price_micros": PRICE_MICROS,
                "state": "active",
            })
        });
        let links = self.links.iter().map(|link| {
            json!({
                "link": link.number,
                "slug": link.slug,
                "advertiser": link.advertiser,
                "campaign": link.advertiser,
                "ad": link.number,
                "publisher": link.publisher,
                "placement": link.placement,
                "destination": link.destination,
            })
        });
        advertisers.chain(campaigns).chain(links).collect()
    }
}

/// Numbers from 1 in the order of first use.
#[derive(Clone, PartialEq, Debug, Default)]
struct Numbers {
    numbers: BTreeMap<String, u64>,
    names: Vec<String>,
}

impl Numbers {
    fn of(&mut self, name: &str) -> u64 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        self.names.push(name.to_owned());
        let number = self.names.len() as u64;
        self.numbers.insert(name.to_owned(), number);
        number
    }

    fn names(&self) -> impl Iterator<Item = (u64, &str)> {
        (1..).zip(self.names.iter().map(String::as_str))
    }
}

fn check_slug(slug: &str, taken: &BTreeSet<String>) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if slug.len() > SLUG_BYTES_MAX {
        Err(format!("its link is longer than {SLUG_BYTES_MAX} bytes"))
    } else if !slug.bytes().all(plain) {
        Err("its link holds more than letters, digits and -_.".to_owned())
    } else if taken.contains(slug) {
        Err(format!("another link has taken the slug {slug}"))
    } else {
        Ok(())
    }
}

/// The destination as it may be registered, and the scheme that its advertiser needs for that
/// beside `http` and `https`.
fn register(recorded: &str) -> Result<(String, Option<String>), String> {
    let refused = |error| format!("its destination is refused: {error}");
    let destination = destination::normalise(recorded).map_err(refused)?;
    let scheme = destination.split(':').next().unwrap_or_default();
    if matches!(scheme, "http" | "https") || NEVER.contains(&scheme) {
        destination::check(&destination, Schemes::WEB).map_err(refused)?;
        return Ok((destination, None));
    }
    let schemes = Schemes::with([scheme]).map_err(refused)?;
    destination::check(&destination, &schemes).map_err(refused)?;
    let scheme = scheme.to_owned();
    Ok((destination, Some(scheme)))
}

/// Host and port of a destination, cut to what a name may hold.
fn host_of(destination: &str) -> &str {
    let rest = destination.split_once("://").map_or("", |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    host.get(..NAME_BYTES_MAX).unwrap_or(host)
}
