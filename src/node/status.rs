//! What a node says of itself.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use tollgate_collect::{Readiness, RunningEdge, metrics};
use tollgate_log::SegmentLog;

use super::{held, log_fault};
use crate::api::Status;
use crate::worker::{Faults, Part};

/// Everything that readiness and metrics look at.
pub(super) struct NodeStatus {
    edge: Arc<Mutex<Option<RunningEdge>>>,
    readiness: Option<Arc<Readiness>>,
    log: Arc<SegmentLog>,
    faults: Faults,
}

impl NodeStatus {
    pub(super) fn new(
        edge: Arc<Mutex<Option<RunningEdge>>>,
        readiness: Option<Arc<Readiness>>,
        log: Arc<SegmentLog>,
        faults: Faults,
    ) -> NodeStatus {
        NodeStatus {
            edge,
            readiness,
            log,
            faults,
        }
    }

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
        let object = json!({ "ready": ready, "checks": checks, "files": files });
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
        for (check, fault) in self.checks().into_iter().chain([files]) {
            let well = u8::from(fault.is_none());
            writeln!(text, "{name}{{check=\"{check}\"}} {well}").unwrap_or_default();
        }
        text
    }
}
