use super::*;
use crate::control::{
    Ad, Advertiser, ApiKey, Campaign, CampaignState, Change, IngestToken, Link, Money, MoneyKind,
    Payment, Publisher, Role, ScopeOf, SigningKey, ZoneOffset,
};
use crate::facts::{Ack, AgentClass, Country, Pseudonyms, Source};
use crate::ids::*;
use crate::limits::{
    KEY_ADVERTISERS_MAX, NAME_BYTES_MAX, REASON_BYTES_MAX, RECORD_PART_BYTES_MAX, SUB_IDS,
    ZONE_OFFSET_S_MAX, ZONE_OFFSETS_MAX,
};
use crate::money::{Currency, Micros, WHOLE_BASIS_POINTS};
use crate::personal::{self, Personal};
use proptest::prelude::*;
use std::net::IpAddr;

prop_compose! {
    fn pseudonyms()(address: u64, network: u64, agent: u64) -> Pseudonyms {
        Pseudonyms { address, network, agent }
    }
}

fn source() -> impl Strategy<Value = Source> {
    let price = proptest::option::of((0..=i64::MAX).prop_map(Micros));
    prop_oneof![
        (
            any::<u32>(),
            any::<u64>(),
            any::<u128>(),
            any::<u32>(),
            price
        )
            .prop_map(|(key, at, random, window_s, price)| Source::Signed {
                key: KeyId(key),
                nonce: Nonce::new(Millis(at), random),
                window_s,
                price,
            }),
        any::<u64>().prop_map(|link| Source::Registered { link: LinkId(link) }),
        any::<u64>().prop_map(|at| Source::Imported {
            event_time: Millis(at)
        }),
    ]
}

prop_compose! {
    fn facts()(
        (at, random, partition, edge) in (any::<u64>(), any::<u64>(), 0..4096u16, 0..16384u16),
        source in source(),
        (advertiser, campaign, ad, publisher, placement)
            in any::<(u32, u64, u64, u32, u64)>(),
        (test, head, hosting) in any::<(bool, bool, bool)>(),
        (class, ack) in (0..6usize, 0..3usize),
        country in proptest::option::of("[A-Z]{2}"),
        (data_set, pseudonym_key, control, personal_digest) in any::<(u32, u32, u64, [u8; 16])>(),
        pseudonyms in pseudonyms(),
        previous in proptest::option::of(pseudonyms()),
        subs: [Option<u64>; SUB_IDS],
    ) -> ClickFacts {
        ClickFacts {
            click_id: ClickId::new(ClickIdParts {
                received_at: Millis(at),
                partition: PartitionId::new(partition).unwrap(),
                edge: EdgeId::new(edge).unwrap(),
                random,
            }),
            source,
            advertiser: AdvertiserId(advertiser),
            campaign: CampaignId(campaign),
            ad: AdId(ad),
            publisher: PublisherId(publisher),
            placement: PlacementId(placement),
            test,
            head,
            hosting,
            agent_class: AgentClass::ALL[class],
            ack: [Ack::Local, Ack::Replicated, Ack::Os][ack],
            country: country.map_or(Country::UNKNOWN, |code| code.parse().unwrap()),
            data_set: DataSetId(data_set),
            pseudonym_key: PseudonymKeyId(pseudonym_key),
            pseudonyms,
            previous,
            subs,
            control: ControlNumber(control),
            personal_digest,
        }
    }
}

fn scope<T: Clone + std::fmt::Debug>(id: fn(u32) -> T) -> impl Strategy<Value = ScopeOf<T>> {
    let some = proptest::collection::vec(any::<u32>().prop_map(id), 0..9);
    prop_oneof![Just(ScopeOf::All), some.prop_map(ScopeOf::Only)]
}

fn millis() -> impl Strategy<Value = Millis> {
    any::<u64>().prop_map(Millis)
}

fn micros() -> impl Strategy<Value = Micros> {
    (0..=i64::MAX).prop_map(Micros)
}

fn currency() -> impl Strategy<Value = Currency> {
    "[A-Z]{3}".prop_map(|code| code.parse().unwrap())
}

const TEXT: &str = "\\PC{0,40}";

fn offsets() -> impl Strategy<Value = Vec<ZoneOffset>> {
    let seconds = -ZONE_OFFSET_S_MAX..=ZONE_OFFSET_S_MAX;
    let by_time = proptest::collection::btree_map(any::<u64>(), seconds, 0..=ZONE_OFFSETS_MAX);
    by_time.prop_map(|by_time| {
        let offset = |(from, seconds)| ZoneOffset {
            from: Millis(from),
            seconds,
        };
        by_time.into_iter().map(offset).collect()
    })
}

prop_compose! {
    fn advertiser()(
        advertiser: u32, name in TEXT,
        schemes in proptest::collection::vec("[a-z]{1,9}", 0..3),
        currency in currency(), limit in micros(), payment in 0..3usize,
    ) -> Change {
        let payment = [Payment::Open, Payment::Credit { limit }, Payment::Prepaid][payment];
        let advertiser = AdvertiserId(advertiser);
        Change::Advertiser(Advertiser { advertiser, name, schemes, currency, payment })
    }
}

prop_compose! {
    fn campaign()(
        (campaign, advertiser) in any::<(u64, u32)>(), [name, zone] in [TEXT, "[A-Za-z/_]{0,20}"],
        currency in currency(), state in 0..3usize, offsets in offsets(),
        [price, daily_budget, total_budget] in
            proptest::array::uniform3(proptest::option::of(micros())),
    ) -> Change {
        use CampaignState::{Active, Archived, Paused};
        Change::Campaign(Campaign {
            campaign: CampaignId(campaign),
            advertiser: AdvertiserId(advertiser),
            state: [Active, Paused, Archived][state],
            name, currency, price, daily_budget, total_budget, zone, offsets,
        })
    }
}

prop_compose! {
    fn link()(
        [link, campaign, ad, placement]: [u64; 4], [advertiser, publisher]: [u32; 2],
        [slug, destination] in ["[a-z0-9]{1,20}", TEXT],
        (escaping, test) in any::<(u8, bool)>(), expires_at in proptest::option::of(millis()),
    ) -> Change {
        Change::Link(Link {
            link: LinkId(link),
            advertiser: AdvertiserId(advertiser),
            campaign: CampaignId(campaign),
            ad: AdId(ad),
            publisher: PublisherId(publisher),
            placement: PlacementId(placement),
            slug, destination, escaping, expires_at, test,
        })
    }
}

prop_compose! {
    fn money()(
        command: [u8; 16], advertiser: u32, kind in 0..3usize, amount: i64,
        currency in currency(), reason in TEXT, campaign: Option<u64>, publisher: Option<u32>,
    ) -> Change {
        Change::Money(Money {
            command,
            advertiser: AdvertiserId(advertiser),
            kind: MoneyKind::ALL[kind],
            amount: Micros(amount),
            currency,
            campaign: campaign.map(CampaignId),
            publisher: publisher.map(PublisherId),
            reason,
        })
    }
}

prop_compose! {
    fn credential()(
        kind in 0..3, number: u32, name in TEXT, role in 0..6usize, test: bool,
        scope in scope(AdvertiserId), publishers in scope(PublisherId),
        not_before in millis(), not_after in millis(),
    ) -> Change {
        match kind {
            0 => Change::Key(SigningKey { key: KeyId(number), scope, not_before, not_after, test }),
            1 => Change::Token(IngestToken { token: number, scope, not_after }),
            _ => Change::ApiKey(ApiKey {
                key: number, name, role: Role::ALL[role], scope, publishers, not_after,
            }),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let publisher = (any::<u32>(), TEXT, 0..=WHOLE_BASIS_POINTS).prop_map(|(id, name, points)| {
        Change::Publisher(Publisher {
            publisher: PublisherId(id),
            name,
            share_basis_points: points,
        })
    });
    let ad = (any::<(u64, u32, u64)>(), TEXT).prop_map(|((ad, advertiser, campaign), name)| {
        Change::Ad(Ad {
            ad: AdId(ad),
            advertiser: AdvertiserId(advertiser),
            campaign: CampaignId(campaign),
            name,
        })
    });
    prop_oneof![
        advertiser(),
        campaign(),
        link(),
        money(),
        credential(),
        publisher,
        ad,
        any::<u64>().prop_map(|link| Change::LinkRemoved(LinkId(link))),
        any::<u32>().prop_map(|key| Change::KeyRevoked(KeyId(key))),
        any::<u32>().prop_map(Change::TokenRevoked),
        any::<u32>().prop_map(Change::ApiKeyRevoked),
        any::<u8>().prop_map(Change::RecordVersion),
        any::<u16>().prop_map(Change::ApplyVersion),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        facts().prop_map(Record::Click),
        facts().prop_map(Record::Impression),
        any::<(u64, u64)>().prop_map(|(epoch, at)| Record::Tick(Tick {
            epoch,
            at: Millis(at)
        })),
        (0..16384u16, any::<u32>()).prop_map(|(edge, minute)| Record::Mark(Mark {
            edge: EdgeId::new(edge).unwrap(),
            minute: Minute(minute),
        })),
        (any::<[u64; 3]>(), any::<u32>(), change()).prop_map(
            |([number, target_number, at], by, change)| {
                Record::Control(Control {
                    number: ControlNumber(number),
                    target_number,
                    at: Millis(at),
                    by: Actor(by),
                    change,
                })
            }
        ),
    ]
}

proptest! {
    #[test]
    fn a_record_gives_back_what_it_was_given(record in record()) {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        prop_assert_eq!(Record::decode(&bytes), Ok(record));
    }

    /// One record has one encoding: whatever is accepted is written back byte for byte.
    #[test]
    fn damaged_bytes_are_refused_or_mean_just_what_they_say(
        record in record(), at in any::<prop::sample::Index>(), bit in 0..8u8,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        prop_assert!(Record::decode(&bytes[..cut.index(bytes.len())]).is_err());
        let index = at.index(bytes.len());
        bytes[index] ^= 1 << bit;
        if let Ok(other) = Record::decode(&bytes) {
            prop_assert_ne!(&other, &record);
            let mut again = Vec::new();
            other.encode(&mut again);
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn any_bytes_decode_or_fail_without_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        if let Ok(record) = Record::decode(&bytes) {
            let mut again = Vec::new();
            record.encode(&mut again);
            prop_assert_eq!(again, bytes.clone());
        }
        if let Ok(personal) = Personal::decode(&bytes) {
            let mut again = Vec::new();
            personal.encode(&mut again);
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn a_personal_part_gives_back_its_bytes(
        salt: [u8; 16], address: Option<IpAddr>,
        agent in proptest::collection::vec(any::<u8>(), 0..1200),
        referrer in proptest::collection::vec(any::<u8>(), 0..100),
        subs in proptest::array::uniform5(
            proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9))
        ),
    ) {
        let personal = Personal {
            salt, address, agent: &agent, referrer: &referrer, language: b"de-DE,de;q=0.9",
            subs: std::array::from_fn(|index| subs[index].as_deref()),
        };
        let mut bytes = Vec::new();
        personal.encode(&mut bytes);
        let back = Personal::decode(&bytes).unwrap();
        prop_assert_eq!(back.agent, &agent[..agent.len().min(crate::limits::AGENT_BYTES_MAX)]);
        prop_assert_eq!(back, Personal { agent: back.agent, ..personal });
    }
}

#[test]
fn newer_records_ask_for_newer_code_and_damage_does_not() {
    let tick = Record::Tick(Tick {
        epoch: 1,
        at: Millis(2),
    });
    let mut bytes = Vec::new();
    tick.encode(&mut bytes);
    assert_eq!(bytes, [4, 1, 1, 2]);
    assert!(
        Record::decode(&[4, 2, 1, 2])
            .unwrap_err()
            .needs_newer_code()
    );
    assert!(Record::decode(&[99, 1]).unwrap_err().needs_newer_code());
    assert!(!Record::decode(&[4, 1, 1]).unwrap_err().needs_newer_code());
    assert!(
        !Record::decode(&[4, 1, 1, 2, 3])
            .unwrap_err()
            .needs_newer_code()
    );
    assert!(!Record::decode(&[]).unwrap_err().needs_newer_code());
}

fn decoded(change: Change) -> Result<Record, DecodeError> {
    let mut bytes = Vec::new();
    Record::Control(Control {
        number: ControlNumber(1),
        target_number: 1,
        at: Millis(1),
        by: Actor(0),
        change,
    })
    .encode(&mut bytes);
    assert!(bytes.len() <= RECORD_PART_BYTES_MAX, "{}", bytes.len());
    Record::decode(&bytes)
}

#[test]
fn nouns_that_cannot_be_are_damage() {
    let publisher = |share_basis_points| {
        Change::Publisher(Publisher {
            publisher: PublisherId(1),
            name: String::new(),
            share_basis_points,
        })
    };
    assert!(decoded(publisher(10_000)).is_ok());
    assert_eq!(
        decoded(publisher(10_001)),
        Err(DecodeError::Invalid("share"))
    );
    let zoned = |offsets: &[(u64, i32)]| {
        let offset = |(from, seconds): &(u64, i32)| ZoneOffset {
            from: Millis(*from),
            seconds: *seconds,
        };
        decoded(Change::Campaign(Campaign {
            campaign: CampaignId(1),
            advertiser: AdvertiserId(1),
            name: String::new(),
            currency: "EUR".parse().unwrap(),
            price: None,
            state: CampaignState::Active,
            daily_budget: None,
            total_budget: None,
            zone: String::new(),
            offsets: offsets.iter().map(offset).collect(),
        }))
    };
    assert!(zoned(&[(0, 3600), (1, -64_800)]).is_ok());
    for wrong in [
        &[(0, 0), (0, 1)][..],
        &[(2, 0), (1, 1)],
        &[(0, 64_801)],
        &[(0, 0); 17],
    ] {
        assert!(zoned(wrong).is_err(), "{wrong:?}");
    }
}

/// The limits leave room for the longest records that they allow.
#[test]
fn the_longest_changes_fit_a_record() {
    let many = KEY_ADVERTISERS_MAX as u32;
    let scope = ScopeOf::Only((0..many).map(|one| AdvertiserId(u32::MAX - one)).collect());
    let publishers = ScopeOf::Only((0..many).map(|one| PublisherId(u32::MAX - one)).collect());
    let key = Change::ApiKey(ApiKey {
        key: u32::MAX,
        name: "x".repeat(NAME_BYTES_MAX),
        role: Role::Auditor,
        scope,
        publishers,
        not_after: Millis(u64::MAX),
    });
    assert!(decoded(key).is_ok());
    let money = Change::Money(Money {
        command: [255; 16],
        advertiser: AdvertiserId(u32::MAX),
        kind: MoneyKind::Credit,
        amount: Micros(i64::MIN),
        currency: "EUR".parse().unwrap(),
        campaign: Some(CampaignId(u64::MAX)),
        publisher: Some(PublisherId(u32::MAX)),
        reason: "x".repeat(REASON_BYTES_MAX),
    });
    assert!(decoded(money).is_ok());
}

#[test]
fn the_digest_is_the_head_of_sha_256() {
    // FIPS 180-2, appendix B.1: SHA-256 of "abc".
    let known = [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea];
    assert_eq!(personal::digest(b"abc")[..8], known);
}
