//! How fast the lake and the rollups take clicks, how many bytes they keep, and how fast they
//! answer. Run with `cargo run --release --example lake_bench -p tollgate-store [clicks] [part]`;
//! the part `lake` or `rollup` fills that one only, for a profiler.
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
use tollgate_click::{Millis, Ordinal, Outcome, PartitionId};
use tollgate_store::lake::{Event, Lake, LakeWriter, LocalObjects, Objects};
use tollgate_store::rollup::{Dimension, Filter, Key, Metric, Query, RollupWriter, Rollups};
use traffic::{Row, START, Traffic};

#[allow(
    dead_code,
    reason = "shared by the benchmarks, each of which needs a part"
)]
mod traffic;

type Failure = Box<dyn std::error::Error>;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A sixteenth of 50,000 clicks a second.
const CLICKS_A_MINUTE: u64 = 50_000 * 60 / 16;

/// Clicks that are made and taken at once.
const BLOCK: usize = 256;

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
    let mut traffic = Traffic::new(CLICKS_A_MINUTE);
    let (mut push_s, mut cut_s, mut count_s, mut rollup_s) = (0.0, 0.0, 0.0, 0.0);
    let part = std::env::args().nth(2);
    let part = part.as_deref();
    let mut sample = Vec::new();
    let mut first = 1;
    while first <= clicks {
        let last = clicks.min(first + CLICKS_A_MINUTE - 1);
        let batch = (Ordinal(first), Ordinal(last));
        // A few at a time, as the worker has them: what was just applied is in the caches.
        let (fills_lake, fills_rollup) = (part != Some("rollup"), part != Some("lake"));
        for start in (first..=last).step_by(BLOCK) {
            let block = start..=last.min(start + BLOCK as u64 - 1);
            let rows: Vec<Row> = block.map(|ordinal| traffic.row(ordinal)).collect();
            if start == first {
                sample.extend(rows.first().map(|row| row.facts.click_id));
            }
            let clock = cpu_s();
            if fills_lake {
                for row in &rows {
                    lake.push(&row.borrowed())?;
                }
            }
            let pushed = cpu_s();
            if fills_rollup {
                for row in &rows {
                    rollups.count(Event::Click, &row.facts, &row.judgement, row.reason)?;
                }
            }
            push_s += pushed - clock;
            count_s += cpu_s() - pushed;
        }
        let clock = cpu_s();
        if fills_lake {
            lake.cut(batch.0, batch.1)?;
        }
        let cut = cpu_s();
        if fills_rollup {
            rollups.cut(batch.0, batch.1)?;
        }
        cut_s += cut - clock;
        rollup_s += cpu_s() - cut;
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
    println!(
        "rollup_rows_per_s          {:>12.0}",
        rate(count_s + rollup_s)
    );
    println!(
        "rollup_count_ns            {:>12.0}",
        count_s * 1e9 / clicks as f64
    );
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
    if part.is_some() {
        return Ok(());
    }
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
