//! The counters as Prometheus text (exposition format 0.0.4), for whoever serves `/metrics`.

use std::fmt::{self, Write};

use tollgate_click::Refusal;

use crate::counters::{Counters, Recorded};

/// Appends the edge's metrics. Writing fails only if `out` does.
pub fn render(counters: &Counters, out: &mut impl Write) -> fmt::Result {
    let head = |out: &mut dyn Write, name: &str, help: &str| {
        write!(out, "# HELP {name} {help}\n# TYPE {name} counter\n")
    };
    let name = "tollgate_edge_hits_total";
    head(
        out,
        name,
        "Requests and batch items; recorded + refused + pending.",
    )?;
    writeln!(out, "{name} {}", counters.hits)?;
    let name = "tollgate_edge_recorded_total";
    head(out, name, "Durable records by kind.")?;
    for kind in Recorded::ALL {
        writeln!(
            out,
            "{name}{{kind=\"{}\"}} {}",
            kind.name(),
            counters.recorded_of(kind)
        )?;
    }
    let name = "tollgate_edge_refused_total";
    head(out, name, "Hits that were not recorded, by reason.")?;
    for reason in Refusal::ALL {
        let count = counters.refused_for(reason);
        writeln!(out, "{name}{{reason=\"{}\"}} {count}", reason.name())?;
    }
    let name = "tollgate_edge_connections_total";
    head(out, name, "Connections by what became of them.")?;
    let fates = [
        ("accepted", counters.connections),
        ("over_cap", counters.connections_over_cap),
        ("bad_handshake", counters.connections_bad_handshake),
        ("accept_failed", counters.accepts_failed),
    ];
    for (fate, count) in fates {
        writeln!(out, "{name}{{fate=\"{fate}\"}} {count}")?;
    }
    let name = "tollgate_edge_health_checks_total";
    head(out, name, "Requests to /healthz and /readyz.")?;
    writeln!(out, "{name} {}", counters.health_checks)?;
    let name = "tollgate_edge_pending";
    write!(
        out,
        "# HELP {name} Hits whose end is not known yet.\n# TYPE {name} gauge\n"
    )?;
    writeln!(out, "{name} {}", counters.pending())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Tally;

    #[test]
    fn every_reason_has_a_line() {
        let tally = Tally::default();
        tally.hit(7);
        tally.recorded(Recorded::Click, 2);
        tally.refused(Refusal::Prefetch, 4);
        let mut text = String::new();
        render(&Counters::sum([&tally].into_iter()), &mut text).unwrap();
        for line in [
            "tollgate_edge_hits_total 7",
            "tollgate_edge_recorded_total{kind=\"click\"} 2",
            "tollgate_edge_refused_total{reason=\"prefetch\"} 4",
            "tollgate_edge_refused_total{reason=\"unrecorded\"} 0",
            "tollgate_edge_pending 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is missing in\n{text}"
            );
        }
        assert_eq!(text.matches("refused_total{").count(), Refusal::ALL.len());
    }
}
