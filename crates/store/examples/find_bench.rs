//! How long it takes to find a click by its id in a big lake, with cold and with warm caches.
//!
//! `find_bench build DIR CLICKS` makes an hour of one partition, merged as the worker merges it;
//! `find_bench ask DIR` looks clicks up. An id says hour and partition, so a lake of more hours and
//! partitions costs nothing more: 25 million clicks in one hour of one partition are as hard as
//! 100 million in an hour of four. Cold is after `echo 1 > /proc/sys/vm/drop_caches`, which needs
//! root, and with a reader that knows nothing yet.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tollgate_click::{ClickId, Ordinal, PartitionId};
use tollgate_store::lake::{Lake, LakeWriter, LocalObjects, Objects};
use traffic::Traffic;

#[allow(
    dead_code,
    reason = "shared by the benchmarks, each of which needs a part"
)]
mod traffic;

type Failure = Box<dyn std::error::Error>;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Look-ups of each kind.
const ASKED: u64 = 40;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["build", folder, clicks] => build(Path::new(folder), clicks.parse()?),
        ["ask", folder] => ask(Path::new(folder)),
        _ => Err("find_bench build DIR CLICKS, or find_bench ask DIR".into()),
    }
}

fn build(folder: &Path, clicks: u64) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)?;
    let objects: Arc<dyn Objects> = Arc::new(LocalObjects::new(folder));
    let mut lake = LakeWriter::open(objects, PartitionId::new(0)?)?;
    let a_minute = clicks.div_ceil(60);
    let mut traffic = Traffic::new(a_minute + 1);
    let mut ids = String::new();
    let mut first = 1;
    while first <= clicks {
        let last = clicks.min(first + a_minute - 1);
        for ordinal in first..=last {
            let row = traffic.row(ordinal);
            if ordinal % (clicks / (2 * ASKED)).max(1) == 0 {
                ids.push_str(&format!("{}\n", row.facts.click_id));
            }
            lake.push(&row.borrowed())?;
        }
        lake.cut(Ordinal(first), Ordinal(last))?;
        first = last + 1;
    }
    for hour in lake.unmerged() {
        lake.merge(hour)?;
    }
    std::fs::write(folder.join("ids"), ids)?;
    Ok(())
}

fn ask(folder: &Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(folder.join("ids"))?;
    let ids: Result<Vec<ClickId>, _> = text.lines().map(str::parse).collect();
    let ids = ids?;
    let objects: Arc<dyn Objects> = Arc::new(LocalObjects::new(folder));
    let mut cold = Vec::new();
    let mut warm = Vec::new();
    for id in ids.iter().take(ASKED as usize) {
        let is_dropped = std::fs::write("/proc/sys/vm/drop_caches", "1").is_ok();
        let lake = Lake::new(Arc::clone(&objects));
        let clock = Instant::now();
        assert_eq!(lake.find(*id)?.len(), 1, "{id}");
        if is_dropped {
            cold.push(clock.elapsed().as_secs_f64() * 1000.0);
        }
        let clock = Instant::now();
        assert_eq!(lake.find(*id)?.len(), 1, "{id}");
        warm.push(clock.elapsed().as_secs_f64() * 1000.0);
    }
    for (name, mut times) in [("cold", cold), ("warm", warm)] {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied();
        let (half, most) = (at(0.5).unwrap_or(f64::NAN), at(0.95).unwrap_or(f64::NAN));
        println!("find_{name}_p50_ms {half:.1}");
        println!("find_{name}_p95_ms {most:.1}");
    }
    Ok(())
}
