use super::*;
use crate::control::{
    Advertiser, Campaign, CampaignState, Change, IngestToken, Link, Scope, SigningKey,
};
use crate::facts::{Ack, AgentClass, Country, Pseudonyms, Source};
use crate::ids::*;
use crate::limits::SUB_IDS;
use crate::money::Micros;
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

fn scope() -> impl Strategy<Value = Scope> {
    let some = proptest::collection::vec(any::<u32>().prop_map(AdvertiserId), 0..9);
    prop_oneof![Just(Scope::All), some.prop_map(Scope::Only)]
}

fn change() -> impl Strategy<Value = Change> {
    let text = "\\PC{0,40}";
    let millis = || any::<u64>().prop_map(Millis);
    prop_oneof![
        (
            any::<u32>(),
            text,
            proptest::collection::vec("[a-z]{1,9}", 0..3)
        )
            .prop_map(
                |(advertiser, name, schemes)| Change::Advertiser(Advertiser {
                    advertiser: AdvertiserId(advertiser),
                    name,
                    schemes,
                })
            ),
        (
            any::<u64>(),
            any::<u32>(),
            text,
            proptest::option::of(0..=i64::MAX),
            any::<bool>()
        )
            .prop_map(|(campaign, advertiser, name, price, paused)| {
                Change::Campaign(Campaign {
                    campaign: CampaignId(campaign),
                    advertiser: AdvertiserId(advertiser),
                    name,
                    currency: "EUR".parse().unwrap(),
                    price: price.map(Micros),
                    state: if paused {
                        CampaignState::Paused
                    } else {
                        CampaignState::Active
                    },
                })
            }),
        (
            any::<[u64; 4]>(),
            any::<[u32; 2]>(),
            "[a-z0-9]{1,20}",
            text,
            any::<(u8, bool)>(),
            proptest::option::of(millis())
        )
            .prop_map(
                |(
                    numbers,
                    [advertiser, publisher],
                    slug,
                    destination,
                    (escaping, test),
                    expires_at,
                )| {
                    let [link, campaign, ad, placement] = numbers;
                    Change::Link(Link {
                        link: LinkId(link),
                        slug,
                        advertiser: AdvertiserId(advertiser),
                        campaign: CampaignId(campaign),
                        ad: AdId(ad),
                        publisher: PublisherId(publisher),
                        placement: PlacementId(placement),
                        destination,
                        escaping,
                        expires_at,
                        test,
                    })
                }
            ),
        any::<u64>().prop_map(|link| Change::LinkRemoved(LinkId(link))),
        (any::<u32>(), scope(), millis(), millis(), any::<bool>()).prop_map(
            |(key, scope, not_before, not_after, test)| {
                Change::Key(SigningKey {
                    key: KeyId(key),
                    scope,
                    not_before,
                    not_after,
                    test,
                })
            }
        ),
        any::<u32>().prop_map(|key| Change::KeyRevoked(KeyId(key))),
        (any::<u32>(), scope(), millis()).prop_map(|(token, scope, not_after)| Change::Token(
            IngestToken {
                token,
                scope,
                not_after
            }
        )),
        any::<u32>().prop_map(Change::TokenRevoked),
        any::<u8>().prop_map(Change::RecordVersion),
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
        (any::<[u64; 3]>(), change()).prop_map(|([number, target_number, at], change)| {
            Record::Control(Control {
                number: ControlNumber(number),
                target_number,
                at: Millis(at),
                change,
            })
        }),
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

#[test]
fn the_digest_is_the_head_of_sha_256() {
    // FIPS 180-2, appendix B.1: SHA-256 of "abc".
    let known = [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea];
    assert_eq!(personal::digest(b"abc")[..8], known);
}
