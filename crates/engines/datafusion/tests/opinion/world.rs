//! Files of two partitions in every state that files can be in: a folded month, a merged day, a
//! day that is not merged, and late ones that belong to what is folded or merged already.

use std::path::Path;
use std::sync::Arc;

use tollgate_click::facts::Ack;
use tollgate_click::ids::ClickIdParts;
use tollgate_click::{
    AdId, AdvertiserId, AgentClass, CampaignId, ClickFacts, ClickId, ControlNumber, Country,
    DataSetId, EdgeId, Judgement, KeyId, Micros, Millis, Nonce, Ordinal, Outcome, PartitionId,
    PlacementId, PseudonymKeyId, Pseudonyms, PublisherId, Source,
};
use tollgate_store::lake::{Event, LakeRow, LakeWriter, LocalObjects, Objects};
use tollgate_store::rollup::{Day, Month, RollupWriter};

use crate::question::Dice;

const DAY_MS: u64 = 86_400_000;

/// 2026-10-01, its month is folded.
pub(crate) const MONTH: u64 = 20_727 * DAY_MS;
/// A day of that month.
pub(crate) const OCTOBER: u64 = MONTH + 29 * DAY_MS;
/// 2026-11-22, merged.
pub(crate) const MERGED: u64 = MONTH + 52 * DAY_MS;
/// The day after, not merged.
pub(crate) const OPEN: u64 = MERGED + DAY_MS;

const ROWS_OF_BATCH: u64 = 250;

/// Writes lake and rollups.
pub(crate) fn build(root: &Path, seed: u64) {
    let objects: Arc<dyn Objects> = Arc::new(LocalObjects::new(root));
    for number in [0, 5] {
        let mut dice = Dice(seed.wrapping_add(number.into()));
        let partition = PartitionId::new(number).unwrap();
        let mut writers = Writers {
            partition,
            rollup: RollupWriter::open(objects.clone(), partition).unwrap(),
            lake: LakeWriter::open(objects.clone(), partition).unwrap(),
            ordinal: 0,
        };
        writers.batch(&mut dice, OCTOBER);
        writers.batch(&mut dice, OCTOBER + DAY_MS / 2);
        for day in writers.rollup.unmerged() {
            writers.rollup.merge(day).unwrap();
        }
        writers.rollup.fold(Month::of(day_of(OCTOBER))).unwrap();
        writers.batch(&mut dice, MERGED);
        writers.batch(&mut dice, MERGED + DAY_MS / 2);
        writers.rollup.merge(day_of(MERGED)).unwrap();
        let hours = writers.lake.unmerged();
        for hour in hours.into_iter().take(3) {
            writers.lake.merge(hour).unwrap();
        }
        writers.batch(&mut dice, OPEN);
        writers.batch(&mut dice, OPEN + DAY_MS / 2);
    }
}

fn day_of(at: u64) -> Day {
    Day(u32::try_from(at / DAY_MS).unwrap())
}

struct Writers {
    partition: PartitionId,
    rollup: RollupWriter,
    lake: LakeWriter,
    ordinal: u64,
}

impl Writers {
    /// Clicks of a few hours, some of them imports from up to 40 days before.
    fn batch(&mut self, dice: &mut Dice, start: u64) {
        let first = Ordinal(self.ordinal + 1);
        for _ in 0..ROWS_OF_BATCH {
            self.ordinal += 1;
            let at = start + dice.below(4 * 3_600_000);
            let facts = facts(dice, self.partition, at);
            let judgement = judgement(dice, self.ordinal);
            let event = if dice.one_in(6) {
                Event::Impression
            } else {
                Event::Click
            };
            let reason = dice.pick(&["", "", "head", "double_click", "' OR 1=1--"]);
            self.rollup
                .count(event, &facts, &judgement, reason)
                .unwrap();
            let row = LakeRow {
                event,
                facts: &facts,
                judgement,
                reason,
                hits: &[],
                personal: None,
            };
            self.lake.push(&row).unwrap();
        }
        let last = Ordinal(self.ordinal);
        self.rollup.cut(first, last).unwrap();
        self.lake.cut(first, last).unwrap();
    }
}

fn judgement(dice: &mut Dice, ordinal: u64) -> Judgement {
    let outcome = dice.pick(&Outcome::ALL);
    let is_billed = outcome == Outcome::Billed;
    let charge = if is_billed {
        1 + dice.below(900_000) as i64
    } else {
        0
    };
    let known: [&str; 3] = ["USD", "USD", "EUR"];
    let currency = dice.pick(&known).parse().ok();
    Judgement {
        ordinal: Ordinal(ordinal),
        outcome,
        charge: Micros(charge),
        share: Micros(charge / 2),
        currency: currency.filter(|_| is_billed || dice.one_in(2)),
    }
}

fn facts(dice: &mut Dice, partition: PartitionId, at: u64) -> ClickFacts {
    let advertiser = dice.below(5);
    let source = match dice.one_in(10) {
        true => Source::Imported {
            event_time: Millis(at - dice.below(40 * DAY_MS)),
        },
        false => Source::Signed {
            key: KeyId(1),
            nonce: Nonce::new(Millis(at - dice.below(9_000)), u128::from(dice.roll()) << 8),
            window_s: 86_400,
            price: None,
        },
    };
    let countries = [
        Country::UNKNOWN,
        "DE".parse().unwrap(),
        "BR".parse().unwrap(),
    ];
    ClickFacts {
        click_id: ClickId::new(ClickIdParts {
            received_at: Millis(at),
            partition,
            edge: EdgeId::default(),
            random: dice.roll(),
        }),
        source,
        advertiser: AdvertiserId(advertiser as u32),
        campaign: CampaignId(advertiser * 100 + dice.below(4)),
        ad: AdId(dice.below(3)),
        publisher: PublisherId(dice.below(6) as u32),
        placement: PlacementId(dice.pick(&[0, 7, u64::MAX])),
        test: false,
        head: false,
        agent_class: dice.pick(&AgentClass::ALL),
        country: dice.pick(&countries),
        hosting: false,
        data_set: DataSetId(1),
        pseudonym_key: PseudonymKeyId(1),
        pseudonyms: Pseudonyms {
            address: dice.below(500),
            network: 1,
            agent: dice.below(20),
        },
        previous: None,
        subs: [None; 5],
        control: ControlNumber(1),
        ack: Ack::Local,
        personal_digest: [0; 16],
    }
}
