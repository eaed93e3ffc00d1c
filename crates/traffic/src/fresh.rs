//! Work for a plain load run: registered links in turn, or fresh signed links.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use tollgate_click::limits::{EXPIRY_DEFAULT_S, WINDOW_DEFAULT_S};
use tollgate_click::{
    AdId, AdvertiserId, CampaignId, KeyId, Millis, Nonce, PlacementId, PublisherId,
};
use tollgate_link::{ClickLink, Schemes, Secret};

use crate::dice::Dice;
use crate::load::{RenderError, Work};
use crate::world::Visitor;

/// Clicks by visitors of a seed.
#[derive(Debug)]
pub struct Fresh {
    host: String,
    dice: Dice,
    links: Links,
}

/// Which links are clicked.
pub enum Links {
    /// Registered links, by slug, one after the other.
    Registered(Vec<String>),
    /// A signed link for each click, its nonce new.
    Signed(Signer),
}

/// Who signs, and for whom.
pub struct Signer {
    /// The key's number.
    pub key: KeyId,
    /// Its secret.
    pub secret: Secret,
    /// Who pays.
    pub advertiser: AdvertiserId,
    /// For which campaign.
    pub campaign: CampaignId,
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Links::Registered(slugs) => write!(f, "{} registered links", slugs.len()),
            Links::Signed(signer) => write!(f, "links signed by key {}", signer.key),
        }
    }
}

impl Fresh {
    /// Clicks on `links`, sent to `host`. Two runs of one seed at different times have different
    /// nonces, because a nonce holds its time.
    pub fn new(host: impl Into<String>, seed: u64, links: Links) -> Fresh {
        Fresh {
            host: host.into(),
            dice: Dice::new(seed),
            links,
        }
    }

    fn path(&self, op: u64) -> Result<String, String> {
        match &self.links {
            Links::Registered(slugs) => {
                let index = op.checked_rem(slugs.len() as u64);
                let index = index.and_then(|index| usize::try_from(index).ok());
                let slug = index.and_then(|index| slugs.get(index));
                slug.map(|slug| format!("/l/{slug}"))
                    .ok_or_else(|| "there is no link".to_owned())
            }
            Links::Signed(signer) => signer
                .token(self.dice, op)
                .map(|token| format!("/c/{token}"))
                .map_err(|error| error.to_string()),
        }
    }
}

impl Signer {
    fn token(&self, dice: Dice, op: u64) -> Result<String, tollgate_link::SignError> {
        let now = now();
        let bits = |purpose| u128::from(dice.with(purpose).roll(op));
        let link = ClickLink {
            key: self.key,
            nonce: Nonce::new(now, (bits(1) << 64) | bits(2)),
            window_s: WINDOW_DEFAULT_S,
            expires_at: now.plus_s(EXPIRY_DEFAULT_S),
            advertiser: self.advertiser,
            campaign: self.campaign,
            ad: AdId(0),
            publisher: PublisherId(dice.with(3).below(op, 40) as u32 + 1),
            placement: PlacementId(dice.with(4).below(op, 200) + 1),
            price: None,
            test: false,
            escaping: 1,
            destination: "https://shop.example/landing?click={click_id}",
            lpurl: None,
        };
        tollgate_link::sign(&link, &self.secret, Schemes::WEB)
    }
}

impl Work for Fresh {
    fn render(&self, op: u64, out: &mut Vec<u8>) -> Result<bool, RenderError> {
        let path = self.path(op).map_err(|reason| RenderError { op, reason })?;
        let visitor = Visitor::new(self.dice, op);
        out.extend_from_slice(format!("GET {path} HTTP/1.1\r\n").as_bytes());
        visitor.write_headers(&self.host, visitor.agent, out);
        out.extend_from_slice(b"\r\n");
        Ok(false)
    }
}

/// The time, as an ad server reads it when it makes a link.
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since.unwrap_or_default().as_millis();
    Millis(u64::try_from(ms).unwrap_or(Millis::MAX.0))
}
