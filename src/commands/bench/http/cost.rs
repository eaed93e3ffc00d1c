//! Who takes the processor's time: the threads of this process, told apart by their names.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// Threads that end take what they had with them, so all are looked at this often.
const LOOK: Duration = Duration::from_millis(100);

/// Processor time by part.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Cost {
    pub(super) edge: Duration,
    /// Writing, syncing, preparing and sealing segments.
    pub(super) log: Duration,
    pub(super) worker: Duration,
    /// Making requests, sending them, and watching.
    pub(super) generator: Duration,
    /// The API, control, and what has no name.
    pub(super) other: Duration,
    /// Other processes and the kernel's own threads, over all processors.
    pub(super) elsewhere: Duration,
    /// How long the meter ran.
    pub(super) time: Duration,
}

/// The clock of `/proc/stat`; fixed on Linux.
const STAT_TICK: Duration = Duration::from_millis(10);

/// Time by thread, with the thread's name.
type Times = BTreeMap<u64, (String, Duration)>;

/// Watches the threads.
pub(super) struct Meter {
    began: Times,
    began_at: Instant,
    machine_busy: Duration,
    stop: Arc<AtomicBool>,
    looks: JoinHandle<Times>,
}

impl Meter {
    pub(super) fn start() -> Result<Meter> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let looks = std::thread::Builder::new()
            .name("load-meter".to_owned())
            .spawn(move || {
                let mut times = Times::new();
                while !stopped.load(Ordering::Relaxed) {
                    times.extend(look());
                    std::thread::sleep(LOOK);
                }
                times.extend(look());
                times
            })?;
        Ok(Meter {
            began: look(),
            began_at: Instant::now(),
            machine_busy: machine_busy(),
            stop,
            looks,
        })
    }

    pub(super) fn stop(self) -> Result<Cost> {
        self.stop.store(true, Ordering::Relaxed);
        let times = self.looks.join();
        let times = times.map_err(|_| anyhow!("the meter died"))?;
        let mut cost = Cost {
            time: self.began_at.elapsed(),
            ..Cost::default()
        };
        for (thread, (name, time)) in times {
            let before = self
                .began
                .get(&thread)
                .map_or(Duration::ZERO, |(_, at)| *at);
            *part(&mut cost, &name) += time.saturating_sub(before);
        }
        let ours = cost.edge + cost.log + cost.worker + cost.generator + cost.other;
        let all = machine_busy().saturating_sub(self.machine_busy);
        cost.elsewhere = all.saturating_sub(ours);
        Ok(cost)
    }
}

fn part<'a>(cost: &'a mut Cost, name: &str) -> &'a mut Duration {
    match name.split('-').next() {
        Some("edge") => &mut cost.edge,
        Some("log") => &mut cost.log,
        Some("worker" | "snapshots") => &mut cost.worker,
        Some("load") => &mut cost.generator,
        _ => &mut cost.other,
    }
}

/// Busy time of all processors since the machine began.
fn machine_busy() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let words = stat.lines().next().unwrap_or_default().split_whitespace();
    let ticks: Vec<u32> = words
        .skip(1)
        .map(|word| word.parse().unwrap_or(0))
        .collect();
    // user, nice, system, idle, iowait, irq, softirq.
    let busy = [0, 1, 2, 5, 6].iter().filter_map(|at| ticks.get(*at));
    STAT_TICK * busy.sum::<u32>()
}

fn look() -> Times {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let of = |task: fs::DirEntry| {
        let thread = task.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let ran = text.split_whitespace().next()?.parse().ok()?;
        Some((thread, (name.trim().to_owned(), Duration::from_nanos(ran))))
    };
    tasks.flatten().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_booked_under_the_name_of_the_thread() {
        let mut cost = Cost::default();
        for (name, seconds) in [
            ("edge-rounds", 1),
            ("log-write", 2),
            ("worker", 4),
            ("snapshots", 8),
            ("load-0", 16),
            ("api", 32),
        ] {
            *part(&mut cost, name) += Duration::from_secs(seconds);
        }
        let all = [cost.edge, cost.log, cost.worker, cost.generator, cost.other];
        assert_eq!(all.map(|time| time.as_secs()), [1, 2, 12, 16, 32]);
    }
}
