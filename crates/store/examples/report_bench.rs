//! How long reports take over one year of minutes.
//!
//! `report_bench build DIR [DAYS]` makes the year, `report_bench ask DIR` asks a fixed set of
//! typical questions, each cold (after `echo 1 > /proc/sys/vm/drop_caches`, which needs root, and
//! with a reader that knows nothing yet) and warm, and prints a line per question and the 95th
//! percentile of all.
//!
//! The year: 40 clicks a minute over 10,000 campaigns of 1,000 advertisers, active as Zipf has it,
//! 1,000 publishers, 20 countries, 3 agent classes, 5% invalid, 2% repeats; four partitions. Nearly
//! every click is a cell of its own at the grain of a minute: 21 million.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tollgate_click::{
    AdId, AdvertiserId, CampaignId, ClickId, Millis, Ordinal, Outcome, PartitionId, PlacementId,
    PublisherId, Source,
};
use tollgate_store::lake::{Event, LocalObjects, Objects};
use tollgate_store::rollup::{
    Day, Dimension, Filter, Key, Metric, Month, Query, RollupWriter, Rollups,
};
use traffic::{Row, Traffic};

#[allow(
    dead_code,
    reason = "shared by the benchmarks, each of which needs a part"
)]
mod traffic;

type Failure = Box<dyn std::error::Error>;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 2026-01-01 00:00 UTC.
const START_DAY: u32 = 20_454;
const DAY_MS: u64 = 86_400_000;
const CLICKS_A_MINUTE: u64 = 40;
const CAMPAIGNS: f64 = 10_000.0;
const PARTITIONS: u16 = 4;
const COUNTRIES: [&str; 20] = [
    "DE", "US", "BR", "FR", "IN", "GB", "ES", "PL", "IT", "NL", "SE", "NO", "DK", "FI", "PT", "CZ",
    "AT", "CH", "BE", "JP",
];
const WARM: usize = 20;
const COLD: usize = 3;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["build", folder] => build(Path::new(folder), 365),
        ["build", folder, days] => build(Path::new(folder), days.parse()?),
        ["ask", folder] => ask(Path::new(folder)),
        _ => Err("report_bench build DIR [DAYS], or report_bench ask DIR".into()),
    }
}

fn build(folder: &Path, days: u32) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)?;
    let objects: Arc<dyn Objects> = Arc::new(LocalObjects::new(folder));
    let mut writers = Vec::new();
    for number in 0..PARTITIONS {
        let partition = PartitionId::new(number)?;
        writers.push((
            RollupWriter::open(Arc::clone(&objects), partition)?,
            0u64,
            0u64,
        ));
    }
    let mut traffic = Traffic::new(CLICKS_A_MINUTE);
    let mut row = traffic.row(1);
    for day in START_DAY..START_DAY + days {
        for click in 0..1440 * CLICKS_A_MINUTE {
            let at = u64::from(day) * DAY_MS + click * 60_000 / CLICKS_A_MINUTE;
            let owner = place(&mut traffic, &mut row, at);
            if let Some((writer, ordinal, _)) = writers.get_mut(owner) {
                *ordinal += 1;
                row.judgement.ordinal = Ordinal(*ordinal);
                writer.count(Event::Click, &row.facts, &row.judgement, row.reason)?;
            }
        }
        let is_last = Month::of(Day(day)) != Month::of(Day(day + 1)) || day == START_DAY + days - 1;
        for (writer, ordinal, cut) in &mut writers {
            writer.cut(Ordinal(*cut + 1), Ordinal(*ordinal))?;
            *cut = *ordinal;
            writer.merge(Day(day))?;
            if is_last {
                writer.fold(Month::of(Day(day)))?;
            }
        }
    }
    Ok(())
}

/// Makes a row another click, and says whose partition it is.
fn place(traffic: &mut Traffic, row: &mut Row, at: u64) -> usize {
    let campaign = traffic.zipf(CAMPAIGNS);
    let advertiser = campaign % 1000;
    let fate = traffic.roll() % 100;
    let facts = &mut row.facts;
    let mut parts = facts.click_id.parts();
    parts.received_at = Millis(at);
    facts.click_id = ClickId::new(parts);
    facts.source = Source::Imported {
        event_time: Millis(at),
    };
    facts.advertiser = AdvertiserId(advertiser as u32);
    facts.campaign = CampaignId(campaign);
    facts.ad = AdId(campaign * 4 + traffic.roll() % 4);
    facts.publisher = PublisherId(traffic.zipf(1000.0) as u32);
    facts.placement = PlacementId(traffic.zipf(20.0));
    let country = COUNTRIES
        .get(traffic.zipf(20.0) as usize - 1)
        .unwrap_or(&"DE");
    facts.country = country.parse().unwrap_or_default();
    facts.pseudonyms.address = traffic.roll() % 2_000_000;
    (row.judgement.outcome, row.reason) = match fate {
        0..=1 => (Outcome::Duplicate, ""),
        2..=6 => (Outcome::InvalidGivt, "head"),
        _ => (Outcome::Billed, ""),
    };
    let price = 100_000 + (campaign % 90) as i64 * 10_000;
    row.judgement.charge.0 = if fate > 6 { price } else { 0 };
    (advertiser % u64::from(PARTITIONS)) as usize
}

struct Question {
    name: &'static str,
    query: Query,
    /// Whose partition, where the question is about one advertiser.
    advertiser: Option<u64>,
}

fn questions() -> Vec<Question> {
    use Dimension::{Advertiser, AgentClass, Campaign, Country, Day, Hour, Minute, Publisher};
    use Dimension::{Outcome as Fate, Reason};
    let day = |number: u32| Millis(u64::from(START_DAY + number) * DAY_MS);
    let ask = |name, dimensions: &[Dimension], from, to, campaign: Option<u64>| {
        let mut filters = Vec::new();
        if let Some(campaign) = campaign {
            let advertiser = Key::Number(campaign % 1000);
            let mut only = |dimension, key| {
                filters.push(Filter {
                    dimension,
                    any_of: vec![key],
                })
            };
            only(Advertiser, advertiser);
            only(Campaign, Key::Number(campaign));
        }
        let query = Query {
            metrics: vec![
                Metric::Gross,
                Metric::Net,
                Metric::Of(Outcome::Billed),
                Metric::Spend,
            ],
            dimensions: dimensions.to_vec(),
            filters,
            from: day(from),
            to: day(to),
            limit: 10_000,
        };
        let advertiser = campaign.map(|campaign| campaign % 1000);
        Question {
            name,
            query,
            advertiser,
        }
    };
    let mut uniques = ask("campaign_uniques_by_day_month", &[Day], 120, 151, Some(40));
    uniques.query.metrics = vec![Metric::Uniques];
    let mut mine = ask("advertiser_year_by_day", &[Day], 0, 365, Some(40));
    mine.query.filters.truncate(1);
    vec![
        ask("campaign_by_hour_7_days", &[Hour], 200, 207, Some(40)),
        ask("top_campaign_by_hour_7_days", &[Hour], 200, 207, Some(1)),
        ask("campaign_by_minute_1_day", &[Minute], 250, 251, Some(7)),
        ask("campaign_year_by_day", &[Day], 0, 365, Some(300)),
        ask(
            "campaign_by_country_30_days",
            &[Country],
            180,
            210,
            Some(12),
        ),
        ask(
            "campaign_by_publisher_7_days",
            &[Publisher],
            180,
            187,
            Some(12),
        ),
        mine,
        uniques,
        ask("campaigns_of_a_month", &[Campaign], 59, 90, None),
        ask(
            "campaigns_of_10_days",
            &[Advertiser, Campaign],
            95,
            105,
            None,
        ),
        ask("country_1_day", &[Country], 77, 78, None),
        ask("country_device_month", &[Country, AgentClass], 59, 90, None),
        ask("publishers_of_a_month", &[Publisher], 59, 90, None),
        ask("outcomes_reasons_month", &[Fate, Reason], 59, 90, None),
        ask("by_hour_1_day", &[Hour], 300, 301, None),
        ask("year_by_day", &[Day], 0, 365, None),
        ask("year_by_country", &[Country], 0, 365, None),
        ask("year_by_publisher", &[Publisher], 0, 365, None),
    ]
}

fn ask(folder: &Path) -> Result<(), Failure> {
    let objects: Arc<dyn Objects> = Arc::new(LocalObjects::new(folder));
    let (mut all_cold, mut all_warm) = (Vec::new(), Vec::new());
    for Question {
        name,
        query,
        advertiser,
    } in questions()
    {
        let owner = advertiser.map(|it| PartitionId::new((it % u64::from(PARTITIONS)) as u16));
        let owner = owner.transpose()?;
        let only = owner.as_ref().map(std::slice::from_ref);
        let mut cold = Vec::new();
        for _ in 0..COLD {
            if std::fs::write("/proc/sys/vm/drop_caches", "1").is_ok() {
                let rollups = Rollups::new(Arc::clone(&objects), []);
                cold.push(timed(|| rollups.answer(&query, only))?.0);
            }
        }
        let rollups = Rollups::new(Arc::clone(&objects), []);
        let answer = rollups.answer(&query, only)?;
        let mut warm = Vec::new();
        for _ in 0..WARM {
            warm.push(timed(|| rollups.answer(&query, only))?.0);
        }
        println!(
            "{name:<32} warm_ms {:>7.1}  cold_ms {:>7.1}  cells {:>8}  rows {:>6}",
            share(&mut warm, 0.95),
            share(&mut cold, 0.95),
            answer.cells,
            answer.rows.len(),
        );
        all_cold.extend(cold);
        all_warm.extend(warm);
    }
    println!("report_warm_p95_ms {:.1}", share(&mut all_warm, 0.95));
    println!("report_cold_p95_ms {:.1}", share(&mut all_cold, 0.95));
    Ok(())
}

fn timed<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<(f64, T), E> {
    let clock = Instant::now();
    let done = work()?;
    Ok((clock.elapsed().as_secs_f64() * 1000.0, done))
}

fn share(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let at = (times.len() as f64 * share) as usize;
    times
        .get(at.min(times.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}
