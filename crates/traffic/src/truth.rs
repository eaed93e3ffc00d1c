//! What must come of one request, known by its sender before it leaves.

use serde::{Deserialize, Serialize};
use tollgate_click::facts::Ack;
use tollgate_click::{
    AdId, AdvertiserId, AgentClass, CampaignId, ClickFacts, ClickId, ControlNumber, Country,
    DataSetId, KeyId, LinkId, Micros, Millis, Nonce, PlacementId, PseudonymKeyId, Pseudonyms,
    PublisherId, Source,
};

/// What must come of one request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// The edge must refuse it with this status and count it under this reason.
    Refuse {
        /// The answer's status.
        status: u16,
        /// The name of the [`tollgate_click::Refusal`].
        reason: String,
    },
    /// The edge must give a receipt, and the core must judge what is said here.
    Record(Seen),
}

/// What the core sees of a recorded click.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// Who pays.
    pub advertiser: u32,
    /// For which campaign.
    pub campaign: u64,
    /// Who showed the ad; 0 when the link names none.
    #[serde(default)]
    pub publisher: u32,
    /// A test link or test key.
    #[serde(default)]
    pub test: bool,
    /// A `HEAD`, a declared robot or no browser at all: general invalid traffic.
    #[serde(default)]
    pub invalid: bool,
    /// Through which link.
    pub through: Through,
}

/// The link of a click.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Through {
    /// A signed link.
    Signed {
        /// The impression.
        nonce: String,
        /// Seconds after the impression in which a click bills.
        window_s: u32,
        /// The price in the link; none means the campaign's.
        price_micros: Option<i64>,
    },
    /// A registered link.
    Registered {
        /// The link.
        link: u64,
        /// Stands for address and user agent together.
        visitor: u64,
    },
}

impl Seen {
    /// The facts that the sender vouches for, under the id that the edge gave the click. What no
    /// rule looks at is left blank.
    pub fn facts(&self, click_id: ClickId) -> ClickFacts {
        let (source, visitor) = match &self.through {
            Through::Signed {
                nonce,
                window_s,
                price_micros,
            } => {
                let source = Source::Signed {
                    key: KeyId(0),
                    // A nonce that cannot be read is one of long ago: it bills nothing.
                    nonce: nonce.parse().unwrap_or(Nonce::new(Millis(0), 0)),
                    window_s: *window_s,
                    price: price_micros.map(Micros),
                };
                (source, 0)
            }
            Through::Registered { link, visitor } => {
                let link = LinkId(*link);
                (Source::Registered { link }, *visitor)
            }
        };
        let agent_class = match self.invalid {
            true => AgentClass::DeclaredBot,
            false => AgentClass::Desktop,
        };
        ClickFacts {
            click_id,
            source,
            advertiser: AdvertiserId(self.advertiser),
            campaign: CampaignId(self.campaign),
            ad: AdId(0),
            publisher: PublisherId(self.publisher),
            placement: PlacementId(0),
            test: self.test,
            head: false,
            agent_class,
            country: Country::UNKNOWN,
            hosting: false,
            data_set: DataSetId(0),
            pseudonym_key: PseudonymKeyId(0),
            pseudonyms: Pseudonyms {
                address: visitor,
                network: visitor,
                agent: visitor,
            },
            previous: None,
            subs: [None; 5],
            control: ControlNumber(0),
            ack: Ack::Local,
            personal_digest: [0; 16],
        }
    }
}
