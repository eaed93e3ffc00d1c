//! Files for a server under trial, and links that it accepts.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tollgate_click::{
    AdId, AdvertiserId, CampaignId, KeyId, Micros, Millis, Nonce, PlacementId, PublisherId,
};
use tollgate_link::destination::Schemes;
use tollgate_link::{ClickLink, Secret, sign};

/// Advertisers of the trials, so that records go to many partitions.
const ADVERTISERS: u32 = 40;
const SECRET: [u8; 32] = *b"a secret for trials, not for use";
const HOUR_MS: u64 = 3_600_000;

/// Writes links for a benchmark to standard output, and the files that a server needs.
#[derive(Clone, Debug, Args)]
pub struct Mint {
    /// Where the files for the server go.
    folder: PathBuf,
    /// How many links.
    #[arg(long, default_value_t = 65_536)]
    count: u32,
    /// Decides the nonces.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The time of the nonces, in Unix milliseconds.
    #[arg(long)]
    now_ms: u64,
}

impl Mint {
    /// Writes one path per line.
    pub fn run(&self) -> Result<()> {
        let mut dice = StdRng::seed_from_u64(self.seed);
        files(&self.folder)?;
        let mut out = io::BufWriter::new(io::stdout().lock());
        for _ in 0..self.count {
            writeln!(out, "{}", signed(self.now_ms, &mut dice)?)?;
        }
        Ok(out.flush()?)
    }
}

/// Where the files for a server stand.
#[derive(Clone, Debug)]
pub struct Files {
    /// `--keys`.
    pub keys: PathBuf,
    /// `--links`.
    pub links: PathBuf,
    /// `--campaigns`.
    pub campaigns: PathBuf,
}

/// Writes the files that make a server accept the links of this module.
pub fn files(folder: &Path) -> Result<Files> {
    let at = |name: &str| folder.join(name);
    let files = Files {
        keys: at("keys.ndjson"),
        links: at("links.ndjson"),
        campaigns: at("campaigns.ndjson"),
    };
    let secret: String = SECRET.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!(
        "{{\"key\":1,\"secret\":\"{secret}\",\"advertisers\":\"all\",\"not_before_ms\":0,\
         \"not_after_ms\":{}}}\n",
        u64::from(u32::MAX) * 1000
    );
    let mut keys = OpenOptions::new();
    let mut keys = keys
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&files.keys)?;
    keys.write_all(key.as_bytes())?;
    let (mut links, mut campaigns) = (String::new(), String::new());
    for advertiser in 1..=ADVERTISERS {
        links += &format!(
            "{{\"link\":{advertiser},\"slug\":\"s{advertiser}\",\"advertiser\":{advertiser},\
             \"campaign\":{advertiser},\"destination\":\"https://shop.example/{advertiser}\"}}\n"
        );
        campaigns += &format!(
            "{{\"campaign\":{advertiser},\"advertiser\":{advertiser},\"name\":\"c{advertiser}\",\
             \"currency\":\"USD\",\"price_micros\":350000,\"state\":\"active\"}}\n"
        );
    }
    fs::write(&files.links, links)?;
    fs::write(&files.campaigns, campaigns)?;
    Ok(files)
}

/// The path of a registered link.
pub fn registered(dice: &mut StdRng) -> String {
    format!("/l/s{}", dice.random_range(1..=ADVERTISERS))
}

/// The path of a signed link with a nonce of its own.
pub fn signed(now_ms: u64, dice: &mut StdRng) -> Result<String> {
    let advertiser = dice.random_range(1..=ADVERTISERS);
    let link = ClickLink {
        key: KeyId(1),
        nonce: Nonce::new(Millis(now_ms), dice.random()),
        window_s: 24 * 3600,
        expires_at: Millis(now_ms + 30 * 24 * HOUR_MS),
        advertiser: AdvertiserId(advertiser),
        campaign: CampaignId(u64::from(advertiser)),
        ad: AdId(dice.random_range(1..1000)),
        publisher: PublisherId(dice.random_range(1..1000)),
        placement: PlacementId(dice.random_range(1..100_000)),
        price: Some(Micros(350_000)),
        test: false,
        escaping: 1,
        destination: "https://shop.example/landing/page?from=ad&click={click_id}",
        lpurl: None,
    };
    Ok(format!(
        "/c/{}",
        sign(&link, &Secret::new(SECRET), Schemes::WEB)?
    ))
}
