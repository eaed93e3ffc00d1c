//! What a node says of itself.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use tollgate_collect::{Readiness, RunningEdge, metrics};
use tollgate_log::SegmentLog;

use super::edge::log_fault;
use super::held;
use crate::api::Status;
use crate::worker::{Faults, Part, PartitionView, Progress};

/// Everything that readiness and metrics look at.
pub(super) struct NodeStatus {
    pub(super) edge: Arc<Mutex<Option<RunningEdge>>>,
    pub(super) readiness: Option<Arc<Readiness>>,
    pub(super) log: Arc<SegmentLog>,
    pub(super) faults: Faults,
    pub(super) progress: Option<Progress>,
}

impl NodeStatus {
    /// What must be right, each with its fault.
    fn checks(&self) -> Vec<(&'static str, Option<String>)> {
        let mut checks: Vec<_> = match &self.readiness {
            Some(edge) => edge
                .checks()
                .into_iter()
                .map(|check| (check.name, check.fault))
                .collect(),
            None => vec![("log", log_fault(&self.log).err())],
        };
        let heart = self
            .faults
            .get(Part::Clock)
            .or_else(|| self.faults.get(Part::Log));
        checks.push(("heartbeat", heart));
        checks
    }
}

impl Status for NodeStatus {
    /// A bad file is told and does not stop clicks: what stood before it goes on.
    fn ready(&self) -> (bool, String) {
        let checks = self.checks();
        let ready = checks.iter().all(|(_, fault)| fault.is_none());
        let told = |fault: Option<String>| json!(fault.unwrap_or_else(|| "ok".to_owned()));
        let checks: Map<String, Value> = checks
            .into_iter()
            .map(|(name, fault)| (name.to_owned(), told(fault)))
            .collect();
        let files = told(self.faults.get(Part::Files));
        let mut object = json!({ "ready": ready, "checks": checks, "files": files });
        if let Some(progress) = &self.progress
            && let Some(object) = object.as_object_mut()
        {
            object.insert("processor".to_owned(), processor(progress, &self.faults));
        }
        (ready, format!("{object}\n"))
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        let counters = held(&self.edge).as_ref().map(RunningEdge::counters);
        if let Some(counters) = counters {
            // Writing to a string cannot fail.
            metrics::render(&counters, &mut text).unwrap_or_default();
        }
        let name = "tollgate_check_ok";
        text.push_str(&format!(
            "# HELP {name} 1 when the check is well.\n# TYPE {name} gauge\n"
        ));
        let files = ("files", self.faults.get(Part::Files));
        let stores = ("stores", self.faults.get(Part::Stores));
        for (check, fault) in self.checks().into_iter().chain([files, stores]) {
            let well = u8::from(fault.is_none());
            writeln!(text, "{name}{{check=\"{check}\"}} {well}").unwrap_or_default();
        }
        if let Some(progress) = &self.progress {
            render_progress(progress, &mut text);
        }
        text
    }
}

/// What stopped, and where the others are. A partition that has stopped does not stop clicks.
fn processor(progress: &Progress, faults: &Faults) -> Value {
    let halts = progress.halts().into_iter();
    let halts: Map<String, Value> = halts
        .map(|(partition, why)| (partition.to_string(), json!(why)))
        .collect();
    json!({
        "stores": faults.get(Part::Stores).unwrap_or_else(|| "ok".to_owned()),
        "stopped": halts,
    })
}

/// A line a partition and number.
fn render_progress(progress: &Progress, text: &mut String) {
    type Told = (&'static str, &'static str, fn(&PartitionView) -> u64);
    const TOLD: [Told; 6] = [
        ("ordinal", "Records applied.", |view| view.ordinal.0),
        ("clock_ms", "Time of the newest tick.", |view| view.clock.0),
        ("posted", "Records that the ledger accounts for.", |view| {
            view.posted.0
        }),
        ("lake", "Records in the lake's files.", |view| view.lake.0),
        ("rollup", "Records in the rollups' files.", |view| {
            view.rollup.0
        }),
        ("stopped", "1 when the partition has stopped.", |view| {
            u64::from(view.halt.is_some())
        }),
    ];
    let views = progress.partitions();
    for (name, help, number) in TOLD {
        let name = format!("tollgate_partition_{name}");
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
        for view in &views {
            let (partition, number) = (view.partition, number(view));
            writeln!(text, "{name}{{partition=\"{partition}\"}} {number}").unwrap_or_default();
        }
    }
}
