//! How fast the lake and the rollups take clicks, how many bytes they keep, and how fast they
//! answer. Run with `cargo run --release --example lake_bench -p tollgate-store [clicks]`.
//!
//! Traffic: Zipf over 100,000 campaigns and 1,000 publishers, 50,000 clicks a second of log time,
//! unique nonces, 2.4 million addresses, 2,000 agents, 2% repeats, 5% invalid. One partition, one
//! thread; a batch a minute of log time, cut at 16 partitions' share of it. Rates are per second of
//! processor time, queries and look-ups by the wall clock.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parquet::file::reader::{FileReader, SerializedFileReader};
use tollgate_click::facts::Ack;
use tollgate_click::ids::ClickIdParts;
use tollgate_click::{
    AdId, AdvertiserId, AgentClass, CampaignId, ClickFacts, ClickId, ControlNumber, DataSetId,
    EdgeId, Judgement, KeyId, Micros, Millis, Nonce, Ordinal, Outcome, PartitionId, PlacementId,
    PseudonymKeyId, Pseudonyms, PublisherId, Source,
};
use tollgate_store::lake::{Event, Lake, LakeRow, LakeWriter, LocalObjects, Objects, RuleHit};
use tollgate_store::rollup::{Dimension, Filter, Key, Metric, Query, RollupWriter, Rollups};

type Failure = Box<dyn std::error::Error>;

/// 2026-11-23 00:00 UTC.
const START: u64 = 1_795_392_000_000;
/// A sixteenth of 50,000 clicks a second.
const CLICKS_A_MINUTE: u64 = 50_000 * 60 / 16;

fn main() -> Result<(), Failure> {
    let clicks = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 4_000_000,
    };
    let dir = tempfile::tempdir()?;
    let objects: Arc<dyn Objects> = Arc::new(LocalObjects::new(dir.path()));
    let partition = PartitionId::new(0)?;
    let mut lake = LakeWriter::open(Arc::clone(&objects), partition)?;
    let mut rollups = RollupWriter::open(Arc::clone(&objects), partition)?;
    let mut traffic = Traffic::new();
    let (mut push_s, mut cut_s, mut rollup_s) = (0.0, 0.0, 0.0);
    let mut sample = Vec::new();
    let mut first = 1;
    while first <= clicks {
        let last = clicks.min(first + CLICKS_A_MINUTE - 1);
        let rows: Vec<Row> = (first..=last).map(|ordinal| traffic.row(ordinal)).collect();
        sample.extend(rows.first().map(|row| row.facts.click_id));
        let clock = cpu_s();
        for row in &rows {
            lake.push(&row.borrowed())?;
        }
        push_s += cpu_s() - clock;
        let clock = cpu_s();
        lake.cut(Ordinal(first), Ordinal(last))?;
        cut_s += cpu_s() - clock;
        let clock = cpu_s();
        for row in &rows {
            rollups.count(Event::Click, &row.facts, &row.judgement, row.reason)?;
        }
        rollups.cut(Ordinal(first), Ordinal(last))?;
        rollup_s += cpu_s() - clock;
        first = last + 1;
    }
    let rate = |seconds: f64| clicks as f64 / seconds;
    println!("clicks                     {clicks:>12}");
    println!("lake_rows_per_s            {:>12.0}", rate(push_s + cut_s));
    println!(
        "lake_push_ns               {:>12.0}",
        push_s * 1e9 / clicks as f64
    );
    println!(
        "lake_cut_ns                {:>12.0}",
        cut_s * 1e9 / clicks as f64
    );
    println!("rollup_rows_per_s          {:>12.0}", rate(rollup_s));
    let per_row = |folder: &str| bytes(&dir.path().join(folder)) as f64 / clicks as f64;
    println!(
        "lake_bytes_per_row         {:>12.1}",
        per_row("lake/clicks")
    );
    println!(
        "personal_bytes_per_row     {:>12.1}",
        per_row("lake/personal")
    );
    println!("rollup_bytes_per_row       {:>12.1}", per_row("rollup"));
    let clock = cpu_s();
    for hour in lake.unmerged() {
        lake.merge(hour)?;
    }
    println!("lake_merge_rows_per_s      {:>12.0}", rate(cpu_s() - clock));
    println!(
        "merged_bytes_per_row       {:>12.1}",
        per_row("lake/clicks")
    );
    columns(&dir.path().join("lake/clicks"), clicks)?;
    let clock = cpu_s();
    for day in rollups.unmerged() {
        rollups.merge(day)?;
    }
    println!("rollup_merge_rows_per_s    {:>12.0}", rate(cpu_s() - clock));
    println!("merged_rollup_bytes_per_row{:>12.1}", per_row("rollup"));
    let clock = Instant::now();
    for id in &sample {
        let found = Lake::new(Arc::clone(&objects)).find(*id)?;
        assert_eq!(found.len(), 1, "{id}");
    }
    let each = clock.elapsed().as_secs_f64() * 1000.0 / sample.len() as f64;
    println!("find_ms                    {each:>12.1}");
    ask(&objects)
}

fn ask(objects: &Arc<dyn Objects>) -> Result<(), Failure> {
    let by_campaign = |dimensions: &[Dimension], filters: Vec<Filter>| Query {
        metrics: vec![
            Metric::Gross,
            Metric::Net,
            Metric::Of(Outcome::Billed),
            Metric::Spend,
        ],
        dimensions: dimensions.to_vec(),
        filters,
        from: Millis(START),
        to: Millis(START + 86_400_000),
        limit: 1000,
    };
    let one = || Filter {
        dimension: Dimension::Campaign,
        any_of: vec![Key::Number(40)],
    };
    let queries = [
        ("campaigns", by_campaign(&[Dimension::Campaign], vec![])),
        (
            "one_campaign_minutes",
            by_campaign(&[Dimension::Minute], vec![one()]),
        ),
        (
            "country_device",
            by_campaign(&[Dimension::Country, Dimension::AgentClass], vec![]),
        ),
        (
            "publishers_by_hour",
            by_campaign(&[Dimension::Publisher, Dimension::Hour], vec![]),
        ),
    ];
    let rollups = Rollups::new(Arc::clone(objects), []);
    for (name, query) in queries {
        let mut times = Vec::new();
        let mut cells = 0;
        for _ in 0..5 {
            let clock = Instant::now();
            cells = rollups.answer(&query, None)?.cells;
            times.push(clock.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        let median = times.get(2).copied().unwrap_or(f64::NAN);
        println!("query_{name:<21}{median:>12.2} ms, {cells} cells");
    }
    Ok(())
}

/// Seconds that this thread was on a core: the machine may be shared.
fn cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text
        .split(' ')
        .next()
        .and_then(|number| number.parse::<f64>().ok());
    first.unwrap_or(f64::NAN) / 1e9
}

fn bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes(&entry.path()),
        _ => entry.metadata().map_or(0, |metadata| metadata.len()),
    });
    sizes.sum()
}

/// Bytes a row of every column, as Parquet's own reader sees the files.
fn columns(folder: &Path, clicks: u64) -> Result<(), Failure> {
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let reader = SerializedFileReader::new(std::fs::File::open(path)?)?;
            let groups = reader.metadata().row_groups().iter();
            for column in groups.flat_map(|group| group.columns()) {
                let name = column.column_path().string();
                *sums.entry(name).or_default() += column.compressed_size();
                let filter = column.bloom_filter_length().unwrap_or(0);
                *sums.entry("(filter)".to_owned()).or_default() += i64::from(filter);
            }
        }
    }
    for (name, sum) in sums {
        println!("column {name:<20}{:>12.2}", sum as f64 / clicks as f64);
    }
    Ok(())
}

struct Row {
    facts: ClickFacts,
    judgement: Judgement,
    reason: &'static str,
    hits: &'static [RuleHit<'static>],
    personal: Vec<u8>,
}

impl Row {
    fn borrowed(&self) -> LakeRow<'_> {
        LakeRow {
            event: Event::Click,
            facts: &self.facts,
            judgement: self.judgement,
            reason: self.reason,
            hits: self.hits,
            personal: Some(&self.personal),
        }
    }
}

static HEAD: [RuleHit<'static>; 1] = [RuleHit {
    rule: "head",
    version: 1,
    class: "givt",
}];

struct Traffic {
    dice: u64,
    agents: Vec<String>,
}

impl Traffic {
    fn new() -> Traffic {
        let agent = |number: u64| {
            format!(
                "Mozilla/5.0 (Linux; Android {}; SM-{number}) AppleWebKit/537.36 (KHTML, like \
                 Gecko) Chrome/{}.0.0.0 Mobile Safari/537.36",
                9 + number % 7,
                100 + number % 41,
            )
        };
        Traffic {
            dice: 7,
            agents: (0..2000).map(agent).collect(),
        }
    }

    /// SplitMix64.
    fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.dice)
    }

    /// About Zipf: the logarithm of the rank is uniform.
    fn zipf(&mut self, ranks: f64) -> u64 {
        let uniform = (self.roll() >> 11) as f64 / (1u64 << 53) as f64;
        ranks.powf(uniform) as u64
    }

    fn row(&mut self, ordinal: u64) -> Row {
        let at = START + ordinal * 60_000 / CLICKS_A_MINUTE;
        let campaign = self.zipf(100_000.0);
        let address = self.zipf(2_400_000.0);
        let agent = self.zipf(2000.0);
        let fate = self.roll() % 100;
        let (outcome, reason, hits): (_, _, &'static [RuleHit<'static>]) = match fate {
            0..=1 => (Outcome::Duplicate, "", &[]),
            2..=6 => (Outcome::InvalidGivt, "head", &HEAD),
            _ => (Outcome::Billed, "", &[]),
        };
        let price = Micros(100_000 + (mix(campaign) % 90) as i64 * 10_000);
        let countries = ["DE", "US", "BR", "FR", "IN", "GB", "ES", "PL", "IT", "NL"];
        let country = countries.get(self.zipf(10.0) as usize - 1).unwrap_or(&"DE");
        let facts = ClickFacts {
            click_id: ClickId::new(ClickIdParts {
                received_at: Millis(at),
                partition: PartitionId::default(),
                edge: EdgeId::default(),
                random: self.roll(),
            }),
            source: Source::Signed {
                key: KeyId(1),
                nonce: Nonce::new(
                    Millis(at - 500 - self.roll() % 300_000),
                    (u128::from(self.roll()) << 64) | u128::from(self.roll()),
                ),
                window_s: 86_400,
                price: None,
            },
            advertiser: AdvertiserId((campaign / 10) as u32),
            campaign: CampaignId(campaign),
            ad: AdId(campaign * 4 + self.roll() % 4),
            publisher: PublisherId(self.zipf(1000.0) as u32),
            placement: PlacementId(self.zipf(20.0)),
            test: false,
            head: (2..=6).contains(&fate),
            agent_class: AgentClass::ALL
                .get(1 + (agent % 3) as usize)
                .copied()
                .unwrap_or(AgentClass::Desktop),
            country: country.parse().unwrap_or_default(),
            hosting: false,
            data_set: DataSetId(1),
            pseudonym_key: PseudonymKeyId(1),
            pseudonyms: Pseudonyms {
                address: mix(address),
                network: mix(address >> 3),
                agent: mix(agent),
            },
            previous: None,
            subs: [None; 5],
            control: ControlNumber(1000),
            ack: Ack::Local,
            personal_digest: (u128::from(self.roll()) << 64 | u128::from(self.roll()))
                .to_le_bytes(),
        };
        Row {
            judgement: Judgement {
                ordinal: Ordinal(ordinal),
                outcome,
                charge: if outcome == Outcome::Billed {
                    price
                } else {
                    Micros::ZERO
                },
                share: if outcome == Outcome::Billed {
                    Micros(price.0 * 7 / 10)
                } else {
                    Micros::ZERO
                },
                currency: "USD".parse().ok(),
            },
            facts,
            reason,
            hits,
            personal: self.personal(address, agent),
        }
    }

    fn personal(&mut self, address: u64, agent: u64) -> Vec<u8> {
        let octets = (mix(address) as u32).to_be_bytes();
        let mut part = Vec::new();
        tollgate_click::Personal {
            salt: (u128::from(self.roll()) << 64 | u128::from(self.roll())).to_le_bytes(),
            address: Some(octets.into()),
            agent: self
                .agents
                .get(agent as usize)
                .map_or(b"", |agent| agent.as_bytes()),
            referrer: b"https://news.example/article",
            language: b"en-US,en;q=0.9",
            subs: [None; 5],
        }
        .encode(&mut part);
        part
    }
}

fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
