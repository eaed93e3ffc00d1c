//! Random rows of every shape, by a seed.

use tollgate_click::facts::Ack;
use tollgate_click::ids::ClickIdParts;
use tollgate_click::{
    AdId, AdvertiserId, AgentClass, CampaignId, ClickFacts, ClickId, ControlNumber, Country,
    DataSetId, EdgeId, Judgement, KeyId, LinkId, Micros, Millis, Nonce, Ordinal, Outcome, Personal,
    PlacementId, PseudonymKeyId, Pseudonyms, PublisherId, Source, personal,
};

use crate::lake::{Event, LakeRow, RuleHit, StoredPersonal, StoredRecord, StoredRow};

/// Stands in every personal part.
pub(crate) const CANARY: &str = "canary-of-a-person";

/// 2026-11-23 23:50 UTC: batches cross an hour and a day.
pub(crate) const START: u64 = 1_795_477_800_000;

#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) first: Ordinal,
    pub(crate) last: Ordinal,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
pub(crate) enum Sample {
    Row(Box<OwnedRow>),
    Record(Ordinal, Millis, Vec<u8>),
}

#[derive(Clone, Debug)]
pub(crate) struct OwnedRow {
    pub(crate) event: Event,
    pub(crate) facts: ClickFacts,
    pub(crate) judgement: Judgement,
    pub(crate) reason: &'static str,
    pub(crate) hits: Vec<RuleHit<'static>>,
    pub(crate) personal: Option<Vec<u8>>,
}

impl OwnedRow {
    pub(crate) fn borrowed(&self) -> LakeRow<'_> {
        LakeRow {
            event: self.event,
            facts: &self.facts,
            judgement: self.judgement,
            reason: self.reason,
            hits: &self.hits,
            personal: self.personal.as_deref(),
        }
    }
}

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }
}

/// Batches of about `size` records each, six minutes of time apart.
pub(crate) fn batches(seed: u64, count: u64, size: u64) -> Vec<Batch> {
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let mut ordinal = 0;
    let mut sent: Vec<ClickFacts> = Vec::new();
    let mut batches = Vec::new();
    for number in 0..count {
        let first = Ordinal(ordinal + 1);
        let mut samples = Vec::new();
        for _ in 0..size {
            ordinal += 1;
            let at = START + number * 360_000 + dice.below(360_000);
            if dice.one_in(20) {
                let facts = vec![dice.below(256) as u8; dice.below(40) as usize];
                samples.push(Sample::Record(Ordinal(ordinal), Millis(at), facts));
            } else {
                let mut row = row(&mut dice, ordinal, at);
                if dice.one_in(30) && !sent.is_empty() {
                    row.facts = dice.pick(&sent); // sent again by its transport
                }
                sent.push(row.facts.clone());
                samples.push(Sample::Row(Box::new(row)));
            }
        }
        // The last record of a batch is a tick that carries nothing here.
        ordinal += 1;
        batches.push(Batch {
            first,
            last: Ordinal(ordinal),
            samples,
        });
    }
    batches
}

pub(crate) fn row(dice: &mut Dice, ordinal: u64, at: u64) -> OwnedRow {
    let advertiser = dice.below(5);
    let source = match dice.below(8) {
        0 => Source::Registered {
            link: LinkId(dice.roll()),
        },
        1 => Source::Imported {
            event_time: Millis(at - dice.below(8_000_000)),
        },
        _ => Source::Signed {
            key: KeyId(dice.below(3) as u32),
            nonce: Nonce::new(Millis(at - dice.below(9_000)), u128::from(dice.roll()) << 8),
            window_s: 86_400,
            price: dice.one_in(3).then(|| Micros(dice.below(1_000_000) as i64)),
        },
    };
    let mut part = Vec::new();
    let subs = [None, Some(&b"s1"[..]), None, Some(&b""[..]), None];
    let address = [
        None,
        Some("192.0.2.7".parse().unwrap()),
        Some("2001:db8::1".parse().unwrap()),
    ];
    Personal {
        salt: u128::from(dice.roll()).to_le_bytes(),
        address: dice.pick(&address),
        agent: CANARY.as_bytes(),
        referrer: if dice.one_in(2) {
            b"https://example.org/"
        } else {
            b""
        },
        language: b"de-DE",
        subs: if dice.one_in(2) { subs } else { [None; 5] },
    }
    .encode(&mut part);
    let outcome = dice.pick(&Outcome::ALL);
    let billed = outcome == Outcome::Billed;
    let hits = [
        RuleHit {
            rule: "head",
            version: 1,
            class: "givt",
        },
        RuleHit {
            rule: "double_click",
            version: 3,
            class: "sivt",
        },
    ];
    OwnedRow {
        event: if dice.one_in(6) {
            Event::Impression
        } else {
            Event::Click
        },
        facts: ClickFacts {
            click_id: ClickId::new(ClickIdParts {
                received_at: Millis(at),
                partition: super::partition(),
                edge: EdgeId::new(dice.below(3) as u16).unwrap(),
                random: dice.roll(),
            }),
            source,
            advertiser: AdvertiserId(advertiser as u32),
            campaign: CampaignId(advertiser * 100 + dice.below(4)),
            ad: AdId(dice.below(3)),
            publisher: PublisherId(dice.below(6) as u32),
            placement: PlacementId(dice.pick(&[0, 7, u64::MAX])),
            test: dice.one_in(9),
            head: dice.one_in(9),
            agent_class: dice.pick(&AgentClass::ALL),
            country: dice.pick(&[
                Country::UNKNOWN,
                "DE".parse().unwrap(),
                "BR".parse().unwrap(),
            ]),
            hosting: dice.one_in(9),
            data_set: DataSetId(4),
            pseudonym_key: PseudonymKeyId(u32::MAX),
            pseudonyms: pseudonyms(dice),
            previous: dice.one_in(5).then(|| pseudonyms(dice)),
            subs: [
                None,
                dice.one_in(2).then(|| dice.roll()),
                None,
                None,
                Some(u64::MAX),
            ],
            control: ControlNumber(dice.below(9)),
            ack: dice.pick(&[Ack::Local, Ack::Replicated, Ack::Os]),
            personal_digest: personal::digest(&part),
        },
        judgement: Judgement {
            ordinal: Ordinal(ordinal),
            outcome,
            charge: Micros(if billed {
                dice.below(900_000) as i64
            } else {
                0
            }),
            share: Micros(if billed {
                dice.below(400_000) as i64
            } else {
                0
            }),
            currency: dice.pick(&[
                None,
                Some("EUR".parse().unwrap()),
                Some("USD".parse().unwrap()),
            ]),
        },
        reason: dice.pick(&["", "", "head", "key_scope"]),
        hits: hits[..dice.below(3) as usize].to_vec(),
        personal: match dice.below(10) {
            0 => None,
            1 => Some(b"no personal part".to_vec()),
            _ => Some(part),
        },
    }
}

fn pseudonyms(dice: &mut Dice) -> Pseudonyms {
    Pseudonyms {
        address: dice.below(50).wrapping_mul(u64::MAX / 7),
        network: dice.roll(),
        agent: dice.below(9),
    }
}

pub(crate) fn rows(batches: &[Batch]) -> impl Iterator<Item = &OwnedRow> {
    let samples = batches.iter().flat_map(|batch| &batch.samples);
    samples.filter_map(|sample| match sample {
        Sample::Row(row) => Some(&**row),
        Sample::Record(..) => None,
    })
}

pub(crate) fn stored_rows(batches: &[Batch]) -> Vec<StoredRow> {
    let stored = rows(batches).map(|row| {
        let hits = row.hits.iter();
        let hits: Vec<String> = hits
            .map(|hit| format!("{}/{}/{}", hit.rule, hit.version, hit.class))
            .collect();
        StoredRow {
            event: row.event,
            facts: ClickFacts {
                personal_digest: [0; 16],
                ..row.facts.clone()
            },
            judgement: row.judgement,
            reason: row.reason.to_owned(),
            hits: hits.join(","),
        }
    });
    stored.collect()
}

pub(crate) fn stored_personal(batches: &[Batch]) -> Vec<StoredPersonal> {
    let stored = rows(batches).map(|row| StoredPersonal {
        ordinal: row.judgement.ordinal,
        digest: row.facts.personal_digest,
        part: row.personal.clone(),
    });
    stored.collect()
}

pub(crate) fn stored_records(batches: &[Batch]) -> Vec<StoredRecord> {
    let samples = batches.iter().flat_map(|batch| &batch.samples);
    let records = samples.filter_map(|sample| match sample {
        Sample::Record(ordinal, _, facts) => Some(StoredRecord {
            ordinal: *ordinal,
            facts: facts.clone(),
        }),
        Sample::Row(_) => None,
    });
    records.collect()
}
