//! The clicks of the benchmarks as HTTP requests.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use serde_json::json;
use tollgate_click::limits::EXPIRY_DEFAULT_S;
use tollgate_click::{AgentClass, ClickFacts, KeyId, Millis, Nonce, Source};
use tollgate_link::{ClickLink, Schemes, Secret};
use tollgate_traffic::dice::Dice;
use tollgate_traffic::ending::Ending;
use tollgate_traffic::fresh;
use tollgate_traffic::load::{RenderError, Work};
use tollgate_traffic::world::Visitor;

use crate::commands::bench::traffic::{START_MS, Shape, Traffic};

const KEY: KeyId = KeyId(1);
const SECRET: [u8; 32] = [0x5A; 32];
const ROBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
const LIBRARY: &str = "curl/8.5.0";

/// The market and its clicks; every run clicks links that no run before has.
pub(super) struct Clicks {
    shape: Shape,
    seed: u64,
    runs: AtomicU64,
    receipts: Arc<AtomicU64>,
}

impl Clicks {
    pub(super) fn new(shape: Shape, seed: u64) -> Clicks {
        Clicks {
            shape,
            seed,
            runs: AtomicU64::new(0),
            receipts: Arc::default(),
        }
    }

    pub(super) fn partitions(&self) -> u16 {
        self.shape.partitions
    }

    /// Receipts of all runs so far.
    pub(super) fn receipts(&self) -> u64 {
        self.receipts.load(Ordering::Relaxed)
    }

    /// The same number, for a thread that looks often.
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.receipts)
    }

    /// Clicks of a run that begins now.
    pub(super) fn clicked_now(&self, per_second: u32) -> Run {
        let shape = Shape {
            clicks_per_s: per_second.into(),
            ..self.shape
        };
        let seed = self.seed + self.runs.fetch_add(1, Ordering::Relaxed);
        Run {
            traffic: Traffic::new(shape, seed),
            dice: Dice::new(seed),
            secret: Secret::new(SECRET),
            now: fresh::now(),
            receipts: Arc::clone(&self.receipts),
        }
    }

    /// Writes the files that `serve` is given.
    pub(super) fn write_files(&self, keys: &Path, campaigns: &Path) -> Result<()> {
        let mut file = OpenOptions::new();
        let mut file = file.write(true).create_new(true).mode(0o600).open(keys)?;
        let secret: String = SECRET.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(
            file,
            "{}",
            json!({ "key": KEY.0, "secret": secret, "advertisers": "all" })
        )?;
        let mut file = BufWriter::new(std::fs::File::create(campaigns)?);
        for campaign in 1..=self.shape.campaigns {
            let line = json!({
                "campaign": campaign,
                "advertiser": (campaign - 1) % self.shape.advertisers + 1,
                "name": format!("Campaign {campaign}"),
                "currency": "USD",
                "price_micros": 300_000,
                "state": "active",
            });
            writeln!(file, "{line}")?;
        }
        Ok(file.flush()?)
    }
}

/// The clicks of one run.
pub(super) struct Run {
    traffic: Traffic,
    dice: Dice,
    secret: Secret,
    now: Millis,
    receipts: Arc<AtomicU64>,
}

impl Run {
    fn token(&self, facts: &ClickFacts) -> Result<String, String> {
        let Source::Signed {
            nonce,
            window_s,
            price,
            ..
        } = facts.source
        else {
            return Err("the click is on no signed link".to_owned());
        };
        // The traffic's clock begins at a fixed time, the node's is ours.
        let at = Millis((self.now.0 + nonce.at().0).saturating_sub(START_MS));
        let link = ClickLink {
            key: KEY,
            nonce: Nonce::new(at, u128::from_be_bytes(nonce.bytes())),
            window_s,
            expires_at: at.plus_s(EXPIRY_DEFAULT_S),
            advertiser: facts.advertiser,
            campaign: facts.campaign,
            ad: facts.ad,
            publisher: facts.publisher,
            placement: facts.placement,
            price,
            test: false,
            escaping: 1,
            destination: "https://shop.example/landing?click={click_id}",
            lpurl: None,
        };
        tollgate_link::sign(&link, &self.secret, Schemes::WEB).map_err(|error| error.to_string())
    }
}

impl Work for Run {
    fn render(&self, op: u64, out: &mut Vec<u8>) -> Result<bool, RenderError> {
        let (_, facts) = self.traffic.click(op);
        let token = self
            .token(&facts)
            .map_err(|reason| RenderError { op, reason })?;
        let visitor = Visitor::new(self.dice, facts.pseudonyms.address);
        let agent = match facts.agent_class {
            AgentClass::DeclaredBot => ROBOT,
            AgentClass::NonBrowser => LIBRARY,
            _ => visitor.agent,
        };
        let method = if facts.head { "HEAD" } else { "GET" };
        for part in [method, " /c/", &token, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        visitor.write_headers("localhost", agent, out);
        out.extend_from_slice(b"\r\n");
        Ok(facts.head)
    }

    fn ended(&self, _op: u64, ending: Ending) {
        if matches!(ending, Ending::Receipt(_)) {
            self.receipts.fetch_add(1, Ordering::Relaxed);
        }
    }
}
