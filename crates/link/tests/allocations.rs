//! Opening a link and writing its `Location` allocate nothing once the buffers are warm.

use tollgate_click::control::{Scope, SigningKey};
use tollgate_click::{
    AdId, AdvertiserId, CampaignId, KeyId, Micros, Millis, Nonce, PlacementId, PublisherId,
};
use tollgate_link::{
    ClickLink, Extras, Keyring, MacroValues, Schemes, Secret, TokenBuf, expand, sign,
};

#[test]
fn a_click_allocates_nothing() {
    let now = Millis(1_767_225_600_000);
    let link = ClickLink {
        key: KeyId(1),
        nonce: Nonce::new(now, 5),
        window_s: 86_400,
        expires_at: now.plus_s(86_400),
        advertiser: AdvertiserId(7),
        campaign: CampaignId(1),
        ad: AdId(0),
        publisher: PublisherId(0),
        placement: PlacementId(0),
        price: Some(Micros(1)),
        test: false,
        escaping: 2,
        destination: "https://example.com/{click_id}?s={sub1}&g={gclid}&c={campaign}",
        lpurl: None,
    };
    let secret = || Secret::new([7; 32]);
    let token = sign(&link, &secret(), Schemes::WEB).unwrap();
    let longest = "A".repeat(6000);
    let mut keyring = Keyring::new();
    let key = SigningKey {
        key: KeyId(1),
        scope: Scope::Only(vec![AdvertiserId(7)]),
        not_before: Millis(0),
        not_after: Millis::MAX,
        test: false,
    };
    keyring.insert(key, secret());
    let click_id = "019b76da-a800-7007-8001-0123456789ab".parse().unwrap();
    let query = b"sub1=a+b%20c&gclid=Cj0&utm_source=x";
    let (mut buf, mut extras) = (TokenBuf::new(), Extras::new());
    let mut location = Vec::with_capacity(8192);

    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            let verified = keyring.verify(&token, now, &mut buf).unwrap();
            extras.read(query).unwrap();
            let values = MacroValues::of(&verified.link, click_id, &extras);
            location.clear();
            expand(verified.link.destination, 2, &values, &mut location).unwrap();
            assert!(keyring.verify(&longest, now, &mut buf).is_err());
        }
    });
    assert_eq!(counted.count_total, 0);
    assert!(location.starts_with(b"https://example.com/019b76da-"));
}
