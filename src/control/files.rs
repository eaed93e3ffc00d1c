//! The files that say what is wanted: advertisers, campaigns and registered links as NDJSON, one
//! object a line, and the keys file. An error names file and line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tollgate_click::control::{
    Advertiser, Campaign, CampaignState, IngestToken, Link, Payment, SigningKey,
};
use tollgate_click::limits::{NAME_BYTES_MAX, SLUG_BYTES_MAX};
use tollgate_click::{
    AdId, AdvertiserId, CampaignId, KeyId, LinkId, Micros, Millis, PlacementId, PublisherId,
};
use tollgate_link::token::ESCAPING_MAX;
use tollgate_link::{Schemes, destination};

use crate::exit::usage;
use crate::keyfile;

/// A file in bytes; longer is refused.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Of an advertiser that names no currency and has no campaign.
const CURRENCY_DEFAULT: &str = "USD";

/// The files given to `serve`.
#[derive(Clone, Default, Debug, clap::Args)]
pub(crate) struct Files {
    /// Advertisers and campaigns, one JSON object a line; read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub(crate) campaigns: Option<PathBuf>,
    /// Registered links (advertisers and campaigns may stand here too), one JSON object a line;
    /// read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub(crate) links: Option<PathBuf>,
    /// Signing keys and ingest tokens, made by `tollgate keys`; mode 0600; read again when it
    /// changes.
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
}

impl Files {
    /// Whether none is given.
    pub(crate) fn is_empty(&self) -> bool {
        self.campaigns.is_none() && self.links.is_none() && self.keys.is_none()
    }
}

/// What the files want, each thing with the place where it is written.
#[derive(Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) advertisers: BTreeMap<AdvertiserId, (Advertiser, String)>,
    pub(crate) campaigns: BTreeMap<CampaignId, (Campaign, String)>,
    /// None when no file says anything about links.
    pub(crate) links: Option<BTreeMap<LinkId, (Link, String)>>,
    pub(crate) keys: BTreeMap<KeyId, (WantedKey, String)>,
    pub(crate) tokens: BTreeMap<u32, (WantedToken, String)>,
    /// Advertisers whose lines name no currency.
    currency_unsaid: BTreeSet<AdvertiserId>,
}

/// A signing key as it is wanted.
#[derive(Clone)]
pub(crate) struct WantedKey {
    pub(crate) key: SigningKey,
    pub(crate) secret: [u8; 32],
    pub(crate) revoked: bool,
}

/// An ingest token as it is wanted.
#[derive(Clone)]
pub(crate) struct WantedToken {
    pub(crate) token: IngestToken,
    pub(crate) hash: [u8; 32],
    pub(crate) revoked: bool,
}

/// What tells that files were written: time, nanoseconds, length and inode of each; none for one
/// that is not there.
pub(crate) type Look = Vec<Option<(i64, i64, u64, u64)>>;

impl Files {
    /// How the files look now.
    pub(crate) fn look(&self) -> Look {
        let look = |path| {
            let about = fs::metadata(path).ok()?;
            Some((about.mtime(), about.mtime_nsec(), about.len(), about.ino()))
        };
        self.paths().map(look).collect()
    }

    /// The files that were given.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.campaigns, &self.links, &self.keys]
            .into_iter()
            .flatten()
    }

    /// Reads all files.
    ///
    /// # Errors
    ///
    /// [`crate::exit::Usage`]: file, line and what is wrong; nothing of any file counts then.
    pub(crate) fn read(&self) -> anyhow::Result<Wanted> {
        let mut wanted = Wanted::default();
        let mut lines = Vec::new();
        for path in [&self.campaigns, &self.links].into_iter().flatten() {
            lines.extend(read_lines(path)?);
        }
        wanted.links = self.links.is_some().then(BTreeMap::new);
        for line in lines {
            let place = line.place.clone();
            wanted
                .take(line)
                .map_err(|what| usage(format!("{place}: {what}")))?;
        }
        wanted.settle_currencies();
        wanted.check().map_err(usage)?;
        if let Some(path) = &self.keys {
            wanted.take_keys(path)?;
        }
        Ok(wanted)
    }
}

/// A line that is JSON.
struct Line {
    place: String,
    object: serde_json::Map<String, serde_json::Value>,
    text: String,
}

fn read_lines(path: &Path) -> anyhow::Result<Vec<Line>> {
    let shown = path.display();
    let text = read_text(path).map_err(|what| usage(format!("{shown}: {what}")))?;
    let mut lines = Vec::new();
    for (number, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let place = format!("{shown}:{number}");
        let object = serde_json::from_str(text)
            .map_err(|error| usage(format!("{place}: {}", json_fault(&error))))?;
        lines.push(Line {
            place,
            object,
            text: text.to_owned(),
        });
    }
    if lines.is_empty() {
        return Err(usage(format!("{shown}: it holds nothing")));
    }
    Ok(lines)
}

fn read_text(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if about.is_dir() {
        return Err("it is a directory".to_owned());
    }
    let mut text = String::new();
    let read = file
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(format!("it is longer than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}

/// What serde says, without its own line number, which is always 1 here.
fn json_fault(error: &serde_json::Error) -> String {
    let told = error.to_string();
    match told.split_once(" at line 1 column ") {
        Some((what, column)) => format!("{what}, column {column}"),
        None => told,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdvertiserLine {
    advertiser: u32,
    #[serde(default)]
    name: String,
    #[serde(default)]
    schemes: Vec<String>,
    /// None: its first campaign's.
    #[serde(default)]
    currency: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CampaignLine {
    campaign: u64,
    advertiser: u32,
    #[serde(default)]
    name: String,
    currency: String,
    #[serde(default)]
    price_micros: Option<i64>,
    #[serde(default)]
    state: StateWord,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateWord {
    #[default]
    Active,
    Paused,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkLine {
    link: u64,
    slug: String,
    advertiser: u32,
    campaign: u64,
    #[serde(default)]
    ad: u64,
    #[serde(default)]
    publisher: u32,
    #[serde(default)]
    placement: u64,
    destination: String,
    #[serde(default = "one")]
    escaping: u8,
    #[serde(default)]
    expires_at_ms: Option<u64>,
    #[serde(default)]
    test: bool,
}

fn one() -> u8 {
    1
}

fn parse<T: DeserializeOwned>(line: &Line) -> Result<T, String> {
    // From the text and not from the object, which has lost keys that stand there twice.
    serde_json::from_str(&line.text).map_err(|error| json_fault(&error))
}

impl Wanted {
    fn take(&mut self, line: Line) -> Result<(), String> {
        let has = |key: &str| line.object.contains_key(key);
        if has("link") || has("slug") {
            let link = parse::<LinkLine>(&line)?.check()?;
            let Some(links) = &mut self.links else {
                return Err("a link belongs into the file that --links names".to_owned());
            };
            put(links, link.link, "link", (link, line.place))
        } else if has("campaign") {
            let campaign = parse::<CampaignLine>(&line)?.check()?;
            put(
                &mut self.campaigns,
                campaign.campaign,
                "campaign",
                (campaign, line.place),
            )
        } else if has("advertiser") {
            let line_said = parse::<AdvertiserLine>(&line)?;
            let silent = line_said.currency.is_none();
            let advertiser = line_said.check()?;
            let number = advertiser.advertiser;
            if silent {
                self.currency_unsaid.insert(number);
            }
            put(
                &mut self.advertisers,
                number,
                "advertiser",
                (advertiser, line.place),
            )
        } else {
            Err("it is no link, campaign or advertiser".to_owned())
        }
    }

    /// An advertiser whose line names no currency has that of its first campaign.
    fn settle_currencies(&mut self) {
        for (campaign, _) in self.campaigns.values() {
            if self.currency_unsaid.remove(&campaign.advertiser)
                && let Some((advertiser, _)) = self.advertisers.get_mut(&campaign.advertiser)
            {
                advertiser.currency = campaign.currency;
            }
        }
    }

    /// What needs more than one line: slugs are unique, destinations keep to the schemes of
    /// their advertiser.
    fn check(&self) -> Result<(), String> {
        let mut slugs = BTreeSet::new();
        for (link, place) in self.links.iter().flat_map(BTreeMap::values) {
            if !slugs.insert(&link.slug) {
                return Err(format!("{place}: slug {:?} stands there twice", link.slug));
            }
            let advertiser = self.advertisers.get(&link.advertiser);
            let schemes = advertiser.map_or(&[][..], |(one, _)| &one.schemes);
            let allowed = Schemes::with(schemes).map_err(|error| format!("{place}: {error}"))?;
            destination::check(&link.destination, &allowed)
                .map_err(|error| format!("{place}: destination: {error}"))?;
        }
        Ok(())
    }

    fn take_keys(&mut self, path: &Path) -> anyhow::Result<()> {
        let lines = keyfile::read(path)?;
        if lines.is_empty() {
            return Err(usage(format!("{}: it holds nothing", path.display())));
        }
        for line in lines {
            let place = path.display().to_string();
            match line {
                keyfile::Line::Key(line) => {
                    let (key, secret) = (line.signing_key(), line.secret_bytes()?);
                    let wanted = WantedKey {
                        key,
                        secret,
                        revoked: line.revoked,
                    };
                    self.keys.insert(wanted.key.key, (wanted, place));
                }
                keyfile::Line::Token(line) => {
                    let hash = Sha256::digest(line.secret.as_bytes()).into();
                    let token = line.ingest_token();
                    let wanted = WantedToken {
                        token,
                        hash,
                        revoked: line.revoked,
                    };
                    self.tokens.insert(wanted.token.token, (wanted, place));
                }
            }
        }
        Ok(())
    }
}

fn put<K: Ord + std::fmt::Display, V>(
    things: &mut BTreeMap<K, V>,
    number: K,
    what: &str,
    thing: V,
) -> Result<(), String> {
    if things.contains_key(&number) {
        return Err(format!("{what} {number} stands there twice"));
    }
    things.insert(number, thing);
    Ok(())
}

impl AdvertiserLine {
    fn check(self) -> Result<Advertiser, String> {
        check_name(&self.name)?;
        if self.schemes.len() > 16 || self.schemes.iter().any(|scheme| scheme.len() > 32) {
            return Err("at most 16 schemes of at most 32 letters".to_owned());
        }
        Schemes::with(&self.schemes).map_err(|error| format!("schemes: {error}"))?;
        let advertiser = AdvertiserId(self.advertiser);
        let currency = self.currency.as_deref().unwrap_or(CURRENCY_DEFAULT);
        Ok(Advertiser {
            advertiser,
            name: self.name,
            schemes: self.schemes,
            currency: currency
                .parse()
                .map_err(|error| format!("currency: {error}"))?,
            payment: Payment::Open,
        })
    }
}

impl CampaignLine {
    fn check(self) -> Result<Campaign, String> {
        check_name(&self.name)?;
        if self.price_micros.is_some_and(|price| price < 0) {
            return Err("price_micros must not be below 0".to_owned());
        }
        Ok(Campaign {
            campaign: CampaignId(self.campaign),
            advertiser: AdvertiserId(self.advertiser),
            name: self.name,
            currency: self
                .currency
                .parse()
                .map_err(|error| format!("currency: {error}"))?,
            price: self.price_micros.map(Micros),
            state: match self.state {
                StateWord::Active => CampaignState::Active,
                StateWord::Paused => CampaignState::Paused,
            },
            daily_budget: None,
            total_budget: None,
            zone: String::new(),
            offsets: Vec::new(),
        })
    }
}

impl LinkLine {
    fn check(self) -> Result<Link, String> {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        let fits = (1..=SLUG_BYTES_MAX).contains(&self.slug.len());
        if !fits || !self.slug.bytes().all(letter) {
            let what = "slug must be 1 to 64 letters, digits, -, _, . or ~";
            return Err(what.to_owned());
        }
        if self.escaping > ESCAPING_MAX {
            return Err(format!("escaping must be 0 to {ESCAPING_MAX}"));
        }
        Ok(Link {
            link: LinkId(self.link),
            slug: self.slug,
            advertiser: AdvertiserId(self.advertiser),
            campaign: CampaignId(self.campaign),
            ad: AdId(self.ad),
            publisher: PublisherId(self.publisher),
            placement: PlacementId(self.placement),
            destination: self.destination,
            escaping: self.escaping,
            expires_at: self.expires_at_ms.map(|ms| Millis(ms.min(Millis::MAX.0))),
            test: self.test,
        })
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(format!(
            "name must be at most {NAME_BYTES_MAX} bytes without control characters"
        ));
    }
    Ok(())
}
