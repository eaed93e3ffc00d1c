//! From a receipt to the report: how long a click that is promised is not seen yet.
//!
//! One thread notes how many receipts there are, every millisecond; another asks for the report
//! again and again. A report that shows n clicks shows the n first of them, near enough: so the
//! time at which the n-th receipt was there, and that of the first answer that shows n clicks,
//! bound how long it took. Both bounds are on the cautious side.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use tollgate_traffic::ask::Asker;

use super::clicks::Clicks;

/// How often receipts are counted.
const TICK: Duration = Duration::from_millis(1);
/// Pause between two reports: at most one in so many seconds, so that asking costs little.
const PAUSE: Duration = Duration::from_millis(25);
/// How long the report may take to show everything.
const PATIENCE: Duration = Duration::from_secs(120);

/// How soon clicks were seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    pub(super) reports: u64,
}

/// A number that was seen at a time: receipts there, or clicks in a report.
type Seen = (Instant, u64);

/// Looks at receipts and reports while a run goes on.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    receipts: JoinHandle<Vec<Seen>>,
    reports: JoinHandle<Result<Vec<Seen>>>,
}

impl Watch {
    pub(super) fn start(api: Asker, clicks: &Clicks) -> Result<Watch> {
        let stop = Arc::new(AtomicBool::new(false));
        let counter = clicks.counter();
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let (count, stopped) = (Arc::clone(&counter), Arc::clone(&stop));
        let receipts = named("load-count").spawn(move || count_receipts(&count, &stopped))?;
        let stopped = Arc::clone(&stop);
        let reports = named("load-ask").spawn(move || ask_for_reports(&api, &counter, &stopped))?;
        Ok(Watch {
            stop,
            receipts,
            reports,
        })
    }

    /// Waits until the report shows everything, and says how soon it did.
    pub(super) fn stop(self) -> Result<Fresh> {
        self.stop.store(true, Ordering::SeqCst);
        let died = |_| anyhow!("a watching thread died");
        let reports = self.reports.join().map_err(died)??;
        let receipts = self.receipts.join().map_err(|_| anyhow!("a thread died"))?;
        let ages = ages(&receipts, &reports);
        Ok(Fresh {
            p50_ms: quantile(&ages, 50),
            p99_ms: quantile(&ages, 99),
            max_ms: quantile(&ages, 100),
            reports: reports.len() as u64,
        })
    }
}

/// Notes each change of the count.
fn count_receipts(counter: &AtomicU64, stop: &AtomicBool) -> Vec<Seen> {
    let mut seen = vec![(Instant::now(), counter.load(Ordering::Relaxed))];
    while !stop.load(Ordering::SeqCst) {
        std::thread::sleep(TICK);
        let now = counter.load(Ordering::Relaxed);
        if seen.last().is_some_and(|(_, before)| *before != now) {
            seen.push((Instant::now(), now));
        }
    }
    seen.push((Instant::now(), counter.load(Ordering::Relaxed)));
    seen
}

/// Asks until it is told to stop and all that had a receipt then is shown.
fn ask_for_reports(api: &Asker, counter: &AtomicU64, stop: &AtomicBool) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    let mut deadline = None;
    loop {
        let ends = stop.load(Ordering::SeqCst);
        let wanted = counter.load(Ordering::Relaxed);
        let shown = gross(api)?;
        seen.push((Instant::now(), shown));
        if ends && shown >= wanted {
            return Ok(seen);
        }
        if ends {
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
            ensure!(
                Instant::now() < deadline,
                "{} clicks with a receipt are in no report",
                wanted - shown
            );
        }
        std::thread::sleep(PAUSE);
    }
}

/// Waits until the report shows so many clicks.
pub(super) fn wait_for(api: &Asker, clicks: u64) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shown = gross(api)?;
        if shown >= clicks {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{} clicks with a receipt are in no report",
            clicks - shown
        );
        std::thread::sleep(PAUSE);
    }
}

/// All clicks that the report shows.
pub(super) fn gross(api: &Asker) -> Result<u64> {
    let report = api.get("/v1/reports?metrics=gross")?;
    let rows = report.get("rows").and_then(|rows| rows.as_array());
    let row = rows.context("a report without rows")?.first();
    Ok(row.and_then(|row| row.get("gross")?.as_u64()).unwrap_or(0))
}

/// How old clicks were when they were seen: milliseconds, and how many clicks.
fn ages(receipts: &[Seen], reports: &[Seen]) -> Vec<(f64, u64)> {
    let mut ages = Vec::new();
    let mut reports = reports.iter().peekable();
    for (before, after) in receipts.iter().zip(receipts.iter().skip(1)) {
        // Receipts `first` to `last` - 1 came between the two looks.
        let (mut first, last) = (before.1, after.1);
        while first < last
            && let Some((at, shown)) = reports.peek()
        {
            let seen = last.min(*shown);
            if seen > first {
                let age = at.saturating_duration_since(before.0);
                ages.push((age.as_secs_f64() * 1e3, seen - first));
                first = seen;
            }
            if first < last {
                reports.next();
            }
        }
    }
    ages.sort_by(|one, other| one.0.total_cmp(&other.0));
    ages
}

/// The age that so many of a hundred clicks had at most.
fn quantile(ages: &[(f64, u64)], percent: u64) -> f64 {
    let all: u64 = ages.iter().map(|(_, clicks)| clicks).sum();
    let wanted = (all * percent).div_ceil(100);
    let mut counted = 0;
    for (age, clicks) in ages {
        counted += clicks;
        if counted >= wanted {
            return *age;
        }
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_click_is_as_old_as_the_first_report_that_shows_it() {
        let began = Instant::now();
        let at = |ms: u64, count| (began + Duration::from_millis(ms), count);
        // 10 receipts between 0 and 100 ms, 90 between 100 and 200 ms.
        let receipts = [at(0, 0), at(100, 10), at(200, 100)];
        let reports = [
            at(150, 0),
            at(250, 4),
            at(300, 60),
            at(400, 60),
            at(500, 100),
        ];
        let ages = ages(&receipts, &reports);
        // By the look before them: 4 of age 250, 6 of 300, 50 of 200, 40 of 400.
        assert_eq!(ages, [(200.0, 50), (250.0, 4), (300.0, 6), (400.0, 40)]);
        assert_eq!(quantile(&ages, 50), 200.0);
        assert_eq!(quantile(&ages, 60), 300.0);
        assert_eq!(quantile(&ages, 99), 400.0);
    }
}
