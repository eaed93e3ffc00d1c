//! Traffic of the benchmarks: Zipf over 100,000 campaigns and 1,000 publishers, unique nonces, 2.4
//! million addresses, 2,000 agents, 2% repeats, 5% invalid.

use tollgate_click::facts::Ack;
use tollgate_click::ids::ClickIdParts;
use tollgate_click::{
    AdId, AdvertiserId, AgentClass, CampaignId, ClickFacts, ClickId, ControlNumber, DataSetId,
    EdgeId, Judgement, KeyId, Micros, Millis, Nonce, Ordinal, Outcome, PartitionId, PlacementId,
    PseudonymKeyId, Pseudonyms, PublisherId, Source,
};
use tollgate_store::lake::{Event, LakeRow, RuleHit};

/// 2026-11-23 00:00 UTC.
pub(crate) const START: u64 = 1_795_392_000_000;

/// A click as the worker hands it over, with what it borrows.
pub(crate) struct Row {
    pub(crate) facts: ClickFacts,
    pub(crate) judgement: Judgement,
    pub(crate) reason: &'static str,
    pub(crate) hits: &'static [RuleHit<'static>],
    pub(crate) personal: Vec<u8>,
}

impl Row {
    pub(crate) fn borrowed(&self) -> LakeRow<'_> {
        LakeRow {
            event: Event::Click,
            facts: &self.facts,
            judgement: self.judgement,
            reason: self.reason,
            hits: self.hits,
            personal: Some(&self.personal),
        }
    }
}

static HEAD: [RuleHit<'static>; 1] = [RuleHit {
    rule: "head",
    version: 1,
    class: "givt",
}];

pub(crate) struct Traffic {
    a_minute: u64,
    dice: u64,
    agents: Vec<String>,
}

impl Traffic {
    /// So many clicks a minute of log time.
    pub(crate) fn new(a_minute: u64) -> Traffic {
        let agent = |number: u64| {
            format!(
                "Mozilla/5.0 (Linux; Android {}; SM-{number}) AppleWebKit/537.36 (KHTML, like \
                 Gecko) Chrome/{}.0.0.0 Mobile Safari/537.36",
                9 + number % 7,
                100 + number % 41,
            )
        };
        Traffic {
            a_minute,
            dice: 7,
            agents: (0..2000).map(agent).collect(),
        }
    }

    /// SplitMix64.
    pub(crate) fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.dice)
    }

    /// About Zipf: the logarithm of the rank is uniform.
    pub(crate) fn zipf(&mut self, ranks: f64) -> u64 {
        let uniform = (self.roll() >> 11) as f64 / (1u64 << 53) as f64;
        ranks.powf(uniform) as u64
    }

    pub(crate) fn row(&mut self, ordinal: u64) -> Row {
        let at = START + ordinal * 60_000 / self.a_minute;
        let campaign = self.zipf(100_000.0);
        let address = self.zipf(2_400_000.0);
        let agent = self.zipf(2000.0);
        let fate = self.roll() % 100;
        let (outcome, reason, hits): (_, _, &'static [RuleHit<'static>]) = match fate {
            0..=1 => (Outcome::Duplicate, "", &[]),
            2..=6 => (Outcome::InvalidGivt, "head", &HEAD),
            _ => (Outcome::Billed, "", &[]),
        };
        let price = Micros(100_000 + (mix(campaign) % 90) as i64 * 10_000);
        let countries = ["DE", "US", "BR", "FR", "IN", "GB", "ES", "PL", "IT", "NL"];
        let country = countries.get(self.zipf(10.0) as usize - 1).unwrap_or(&"DE");
        let facts = ClickFacts {
            click_id: ClickId::new(ClickIdParts {
                received_at: Millis(at),
                partition: PartitionId::default(),
                edge: EdgeId::default(),
                random: self.roll(),
            }),
            source: Source::Signed {
                key: KeyId(1),
                nonce: Nonce::new(
                    Millis(at - 500 - self.roll() % 300_000),
                    (u128::from(self.roll()) << 64) | u128::from(self.roll()),
                ),
                window_s: 86_400,
                price: None,
            },
            advertiser: AdvertiserId((campaign / 10) as u32),
            campaign: CampaignId(campaign),
            ad: AdId(campaign * 4 + self.roll() % 4),
            publisher: PublisherId(self.zipf(1000.0) as u32),
            placement: PlacementId(self.zipf(20.0)),
            test: false,
            head: (2..=6).contains(&fate),
            agent_class: AgentClass::ALL
                .get(1 + (agent % 3) as usize)
                .copied()
                .unwrap_or(AgentClass::Desktop),
            country: country.parse().unwrap_or_default(),
            hosting: false,
            data_set: DataSetId(1),
            pseudonym_key: PseudonymKeyId(1),
            pseudonyms: Pseudonyms {
                address: mix(address),
                network: mix(address >> 3),
                agent: mix(agent),
            },
            previous: None,
            subs: [None; 5],
            control: ControlNumber(1000),
            ack: Ack::Local,
            personal_digest: (u128::from(self.roll()) << 64 | u128::from(self.roll()))
                .to_le_bytes(),
        };
        Row {
            judgement: Judgement {
                ordinal: Ordinal(ordinal),
                outcome,
                charge: if outcome == Outcome::Billed {
                    price
                } else {
                    Micros::ZERO
                },
                share: if outcome == Outcome::Billed {
                    Micros(price.0 * 7 / 10)
                } else {
                    Micros::ZERO
                },
                currency: "USD".parse().ok(),
            },
            facts,
            reason,
            hits,
            personal: self.personal(address, agent),
        }
    }

    fn personal(&mut self, address: u64, agent: u64) -> Vec<u8> {
        let octets = (mix(address) as u32).to_be_bytes();
        let mut part = Vec::new();
        tollgate_click::Personal {
            salt: (u128::from(self.roll()) << 64 | u128::from(self.roll())).to_le_bytes(),
            address: Some(octets.into()),
            agent: self
                .agents
                .get(agent as usize)
                .map_or(b"", |agent| agent.as_bytes()),
            referrer: b"https://news.example/article",
            language: b"en-US,en;q=0.9",
            subs: [None; 5],
        }
        .encode(&mut part);
        part
    }
}

fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
