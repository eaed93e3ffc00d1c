use tollgate_click::control::{
    Ad, Advertiser, ApiKey, Campaign, CampaignState, Link, Payment, Publisher, PublisherScope,
    Role, ScopeOf, SigningKey, ZoneOffset,
};
use tollgate_click::{AdId, CampaignId, KeyId, LinkId, Micros, PlacementId, PublisherId};

use super::*;

fn link(number: u64) -> Change {
    Change::Link(Link {
        link: LinkId(number),
        slug: format!("s{number}"),
        advertiser: AdvertiserId(1),
        campaign: CampaignId(11),
        ad: AdId(0),
        publisher: PublisherId(0),
        placement: PlacementId(0),
        destination: "https://example.com/".to_owned(),
        escaping: 1,
        expires_at: None,
        test: false,
    })
}

fn everything() -> Vec<(Change, Vec<u8>)> {
    let advertiser = AdvertiserId(1);
    let plain = [
        Change::Advertiser(Advertiser {
            advertiser,
            name: "a".to_owned(),
            schemes: vec!["ftp".to_owned()],
            currency: "USD".parse().unwrap(),
            payment: Payment::Credit { limit: Micros(5) },
        }),
        Change::Publisher(Publisher {
            publisher: PublisherId(3),
            name: "p".to_owned(),
            share_basis_points: 7_000,
        }),
        Change::Campaign(Campaign {
            campaign: CampaignId(11),
            advertiser,
            name: "c".to_owned(),
            currency: "USD".parse().unwrap(),
            price: Some(Micros(7)),
            state: CampaignState::Archived,
            daily_budget: Some(Micros(8)),
            total_budget: None,
            zone: "Europe/Berlin".to_owned(),
            offsets: vec![ZoneOffset {
                from: Millis(5),
                seconds: -3_600,
            }],
        }),
        Change::Ad(Ad {
            ad: AdId(21),
            advertiser,
            campaign: CampaignId(11),
            name: "ad".to_owned(),
        }),
        link(31),
        link(32),
        Change::LinkRemoved(LinkId(32)),
    ];
    let mut all: Vec<_> = plain
        .into_iter()
        .map(|change| (change, Vec::new()))
        .collect();
    let signing = SigningKey {
        key: KeyId(41),
        scope: ScopeOf::All,
        not_before: Millis(0),
        not_after: Millis(9),
        test: false,
    };
    all.push((Change::Key(signing), vec![1; 32]));
    all.push((Change::KeyRevoked(KeyId(41)), Vec::new()));
    for key in [1, 2] {
        let api_key = ApiKey {
            key,
            name: "k".to_owned(),
            role: Role::Advertiser,
            scope: ScopeOf::Only(vec![advertiser]),
            publishers: PublisherScope::All,
            not_after: Millis::MAX,
        };
        all.push((Change::ApiKey(api_key), vec![2; 32]));
    }
    all.push((Change::ApiKeyRevoked(2), Vec::new()));
    all
}

#[test]
fn what_stands_comes_back_from_its_snapshot() {
    let mut standing = Standing::default();
    let mut numbering = standing.numbering().clone();
    for (change, secret) in everything() {
        let (number, target_number) = numbering.next(&change);
        let control = Control {
            number,
            target_number,
            at: Millis(77),
            by: Actor(5),
            change,
        };
        standing.apply(&control, &secret).unwrap();
    }
    let snapshot = Snapshot {
        cursor: Cursor {
            incarnation: 1,
            position: 2,
        },
        last_tick: None,
        standing,
    };
    let back = decode(&encode(&snapshot)).unwrap();
    assert_eq!(back, snapshot);
    let standing = back.standing;
    assert_eq!(standing.highest_link(), LinkId(32), "given once");
    assert_eq!(standing.link_of_slug("s31"), Some(LinkId(31)));
    assert!(standing.api_keys.values().any(|known| known.revoked));
}
