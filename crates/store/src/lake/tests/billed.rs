//! The clicks that a proof needs: those of the rows, and of few files.

use tollgate_click::{CampaignId, Ordinal, Outcome};

use super::sample::{self, Dice};
use super::{files, local, partition, write};
use crate::lake::{Billed, Event, Hour, Lake, LakeWriter, Wanted};

#[test]
fn billed_clicks_are_those_of_the_rows_merged_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(31, 5, 300);
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    for batch in &batches[..4] {
        write(&mut writer, batch).unwrap();
    }
    for hour in writer.unmerged() {
        writer.merge(hour).unwrap();
    }
    write(&mut writer, &batches[4]).unwrap();
    let lake = Lake::new(local(dir.path()));
    let hours = lake.hours().unwrap();
    let rows = sample::stored_rows(&batches);
    let mut dice = Dice(32);
    let mut some = 0;
    for _ in 0..60 {
        let first = Ordinal(1 + dice.below(1500));
        let wanted = Wanted {
            partition: partition(),
            campaign: CampaignId(dice.below(6) * 100 + dice.below(4)),
            first,
            last: Ordinal(first.0 + dice.below(700)),
        };
        let is_wanted = |row: &&crate::lake::StoredRow| {
            row.event == Event::Click
                && row.judgement.outcome == Outcome::Billed
                && row.facts.campaign == wanted.campaign
                && (wanted.first..=wanted.last).contains(&row.judgement.ordinal)
        };
        let want: Vec<Billed> = { rows.iter().filter(is_wanted) }
            .map(|row| Billed {
                ordinal: row.judgement.ordinal,
                id: row.facts.click_id,
                charge: row.judgement.charge,
                share: row.judgement.share,
            })
            .collect();
        some += want.len();
        assert_eq!(lake.billed(&wanted, hours.iter().copied()).unwrap(), want);
        assert_eq!(lake.billed(&wanted, [Hour(7)]).unwrap(), []);
    }
    assert!(some > 20, "{some}");
}

#[test]
fn a_proof_reads_the_files_of_its_minute_only() {
    let dir = tempfile::tempdir().unwrap();
    let batches = sample::batches(33, 4, 200);
    let mut writer = LakeWriter::open(local(dir.path()), partition()).unwrap();
    for batch in &batches {
        write(&mut writer, batch).unwrap();
    }
    let lake = Lake::new(local(dir.path()));
    let hours = lake.hours().unwrap();
    let own = (batches[2].first, batches[2].last);
    // All files but those of one batch are broken, and nobody looks into them.
    for (name, bytes) in files(dir.path()) {
        let is_own = name.contains(&format!("/p3-{}-{}.", own.0, own.1));
        if name.starts_with("lake/clicks/") && !is_own {
            std::fs::write(dir.path().join(name), &bytes[..9]).unwrap();
        }
    }
    let mut found = 0;
    for campaign in (0..5).flat_map(|advertiser| (0..4).map(move |it| advertiser * 100 + it)) {
        let wanted = Wanted {
            partition: partition(),
            campaign: CampaignId(campaign),
            first: own.0,
            last: own.1,
        };
        found += lake.billed(&wanted, hours.iter().copied()).unwrap().len();
    }
    assert!(found > 5, "{found}");
}
