//! A running edge with keys, links and a log that does what a test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tollgate_click::control::{IngestToken, Link, Scope, SigningKey};
use tollgate_click::{
    AdId, AdvertiserId, CampaignId, ControlNumber, EdgeId, KeyId, LinkId, Micros, Millis, Nonce,
    PlacementId, PseudonymKeyId, PublisherId, Refusal,
};
use tollgate_collect::{
    Clock, Counters, Directory, Edge, EdgeOptions, LogHandle, PseudonymKey, PseudonymKeys,
    RunningEdge, Wiring,
};
use tollgate_link::{ClickLink, Secret, sign};

use crate::log::TestLog;
use crate::raw::{Answer, Raw};

/// Where the clock of every world starts.
pub(crate) const NOW: Millis = Millis(1_800_000_000_000);
pub(crate) const ADVERTISER: AdvertiserId = AdvertiserId(7);
pub(crate) const DESTINATION: &str = "https://shop.example/?id={click_id}&s={sub1}&c={campaign}";
/// Everything, for everybody, for ever.
pub(crate) const KEY: u32 = 1;
/// Advertiser 8 only.
pub(crate) const KEY_OF_8: u32 = 2;
pub(crate) const REVOKED_KEY: u32 = 3;
pub(crate) const TEST_KEY: u32 = 4;
pub(crate) const FUTURE_KEY: u32 = 5;
pub(crate) const PAST_KEY: u32 = 6;
/// Known to no edge.
pub(crate) const UNKNOWN_KEY: u32 = 99;

pub(crate) struct World {
    pub(crate) edge: Option<RunningEdge>,
    pub(crate) log: TestLog,
    pub(crate) wiring: Arc<Wiring>,
    pub(crate) time: Arc<AtomicU64>,
    nonces: AtomicU64,
}

impl World {
    pub(crate) fn start() -> World {
        World::with(|_| {})
    }

    /// Two threads, one cleartext listener on a free port, loopback trusted, short patience.
    pub(crate) fn with(change: impl FnOnce(&mut EdgeOptions)) -> World {
        let mut options = options();
        change(&mut options);
        let log = TestLog::new();
        let wiring = Arc::new(Wiring::from_pointee(directory()));
        let time = Arc::new(AtomicU64::new(NOW.0));
        let (appender, probe, source) = (log.clone(), log.clone(), time.clone());
        let handle = LogHandle::new(move || appender.clone(), move || probe.writable());
        let clock = Clock::new(move || Millis(source.load(Ordering::Relaxed)));
        let edge = Edge::start(options, wiring.clone(), handle, clock).unwrap();
        World {
            edge: Some(edge),
            log,
            wiring,
            time,
            nonces: AtomicU64::new(1),
        }
    }

    pub(crate) fn edge(&self) -> &RunningEdge {
        self.edge.as_ref().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.edge().addresses()[0]
    }

    pub(crate) fn open(&self) -> Raw {
        Raw::open(self.address())
    }

    pub(crate) fn once(&self, request: impl AsRef<[u8]>) -> Answer {
        Raw::once(self.address(), request)
    }

    /// A link that nobody has clicked.
    pub(crate) fn link(&self) -> ClickLink<'static> {
        let random = u128::from(self.nonces.fetch_add(1, Ordering::Relaxed));
        let nonce_at = Millis(NOW.0 - 1_000);
        ClickLink {
            key: KeyId(KEY),
            nonce: Nonce::new(nonce_at, random),
            window_s: 3_600,
            expires_at: nonce_at.plus_s(86_400),
            advertiser: ADVERTISER,
            campaign: CampaignId(70),
            ad: AdId(71),
            publisher: PublisherId(72),
            placement: PlacementId(73),
            price: Some(Micros(350_000)),
            test: false,
            escaping: 1,
            destination: DESTINATION,
            lpurl: None,
        }
    }

    pub(crate) fn token(&self) -> String {
        signed(&self.link())
    }

    /// The token that a word in a table stands for.
    pub(crate) fn token_named(&self, word: &str) -> Option<String> {
        let link = self.link();
        let by = |key| ClickLink {
            key: KeyId(key),
            ..link
        };
        let token = signed(&link);
        Some(match word {
            "valid" => token,
            "short" => token[..20].to_owned(),
            "cut" => token[..token.len() - 1].to_owned(),
            "long" => format!("{token}AAAA"),
            "padded" => format!("{token}=="),
            "upper" => token.to_ascii_uppercase(),
            "unknown_key" => signed(&by(UNKNOWN_KEY)),
            "revoked_key" => signed(&by(REVOKED_KEY)),
            "future_key" => signed(&by(FUTURE_KEY)),
            "past_key" => signed(&by(PAST_KEY)),
            "foreign_advertiser" => signed(&by(KEY_OF_8)),
            "test_key" => signed(&by(TEST_KEY)),
            "unsigned" => signed_with(&link, [0xAB; 32]),
            "foreign_campaign" => signed(&ClickLink {
                campaign: CampaignId(80_000),
                ..link
            }),
            "window_over" => signed(&ClickLink {
                window_s: 1,
                ..link
            }),
            "expired" => {
                let nonce = Nonce::new(Millis(NOW.0 - 10_000), 5);
                signed(&ClickLink {
                    nonce,
                    expires_at: Millis(NOW.0 - 1),
                    ..link
                })
            }
            _ => return None,
        })
    }

    /// The counters once nothing is under way.
    pub(crate) fn settled(&self) -> Counters {
        self.when("everything is counted", || {
            let counters = self.edge().counters();
            (counters.pending() == 0).then_some(counters)
        })
    }

    /// Waits for something that is about to come true.
    pub(crate) fn when<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        for _ in 0..4_000 {
            if let Some(found) = look() {
                return found;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("waited in vain until {what}");
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Directory)) {
        let mut directory = Directory::clone(&self.wiring.load());
        change(&mut directory);
        self.wiring.store(Arc::new(directory));
    }
}

pub(crate) fn get(path: impl AsRef<str>) -> String {
    format!("GET {} HTTP/1.1\r\nHost: edge\r\n\r\n", path.as_ref())
}

pub(crate) fn signed(link: &ClickLink<'_>) -> String {
    signed_with(link, [link.key.0 as u8; 32])
}

fn signed_with(link: &ClickLink<'_>, secret: [u8; 32]) -> String {
    sign(link, &Secret::new(secret), tollgate_link::Schemes::WEB).unwrap()
}

/// The count that a row of a table is about.
pub(crate) fn count(counters: &Counters, name: &str) -> u64 {
    if name == "recorded" {
        return counters.recorded();
    }
    let reason = Refusal::ALL
        .into_iter()
        .find(|reason| reason.name() == name);
    counters.refused_for(reason.unwrap_or_else(|| panic!("no counter {name:?}")))
}

/// Two threads and one cleartext listener on a free port.
pub(crate) fn options() -> EdgeOptions {
    let key = PseudonymKey {
        id: PseudonymKeyId(1),
        secret: [9; 16],
    };
    let keys = PseudonymKeys {
        current: key,
        previous: None,
    };
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut options = EdgeOptions::new(EdgeId::new(5).unwrap(), any_port, keys);
    options.threads = 2;
    options
}

pub(crate) fn directory() -> Directory {
    let mut directory = Directory {
        control: ControlNumber(42),
        ..Directory::default()
    };
    let mut key = |number: u32, scope, not_before, not_after| {
        let test = number == TEST_KEY;
        let key = SigningKey {
            key: KeyId(number),
            scope,
            not_before,
            not_after,
            test,
        };
        directory.keys.insert(key, Secret::new([number as u8; 32]));
    };
    let of_8 = Scope::Only(vec![AdvertiserId(8)]);
    key(KEY, Scope::All, Millis(0), Millis::MAX);
    key(KEY_OF_8, of_8.clone(), Millis(0), Millis::MAX);
    key(REVOKED_KEY, Scope::All, Millis(0), Millis::MAX);
    key(TEST_KEY, Scope::All, Millis(0), Millis::MAX);
    key(FUTURE_KEY, Scope::All, Millis(NOW.0 + 1), Millis::MAX);
    key(PAST_KEY, Scope::All, Millis(0), Millis(NOW.0 - 1));
    directory.keys.revoke(KeyId(REVOKED_KEY), Millis(NOW.0 - 1));
    for link in [
        registered("shop", None),
        registered("over", Some(Millis(NOW.0 - 1))),
    ] {
        directory.links.insert(link.slug.clone(), Arc::new(link));
    }
    let mut token = |secret: &str, scope, not_after| {
        let hash = Sha256::digest(secret).into();
        directory.tokens.insert(
            hash,
            IngestToken {
                token: 1,
                scope,
                not_after,
            },
        );
    };
    token("tg_test", Scope::All, Millis::MAX);
    token("tg_of_8", of_8, Millis::MAX);
    token("tg_past", Scope::All, Millis(NOW.0 - 1));
    directory
}

fn registered(slug: &str, expires_at: Option<Millis>) -> Link {
    Link {
        link: LinkId(9),
        slug: slug.to_owned(),
        advertiser: ADVERTISER,
        campaign: CampaignId(70),
        ad: AdId(0),
        publisher: PublisherId(72),
        placement: PlacementId(0),
        destination: DESTINATION.to_owned(),
        escaping: 1,
        expires_at,
        test: false,
    }
}
