//! What a receipt stands for: the record behind it, and the same answer for every authentic click.

use std::collections::HashSet;
use std::net::IpAddr;

use tollgate_click::facts::Ack;
use tollgate_click::{
    AgentClass, ClickId, ControlNumber, LinkId, Millis, PartitionId, Record, Source, personal,
};

use tollgate_link::ClickLink;

use crate::raw::Answer;
use crate::world::{ADVERTISER, NOW, World, get, signed};

fn receipt(answer: &Answer) -> ClickId {
    assert_eq!(answer.status, 302, "{answer:?}");
    answer.header("click-id").unwrap().parse().unwrap()
}

#[test]
fn the_record_of_a_click_says_what_the_request_said() {
    let world = World::start();
    let link = world.link();
    let request = format!(
        "GET /c/{}?sub1=a%2Fb&sub5=%ff HTTP/1.1\r\nHost: x\r\nUser-Agent: Mozilla/5.0 (iPad)\r\n\
         Referer: https://news.example/\r\nAccept-Language: de\r\nX-Country: DE\r\n\
         X-Forwarded-For: 6.6.6.6, 192.0.2.77\r\n\r\n",
        signed(&link)
    );
    let answer = world.once(request);
    let id = receipt(&answer);
    let expected = format!("https://shop.example/?id={id}&s=a%2Fb&c=70");
    assert_eq!(answer.header("location"), Some(expected.as_str()));
    let appended = world.log.last();
    let (facts, person) = (appended.click(), appended.person());
    assert_eq!(facts.click_id, id);
    assert_eq!((facts.received_at(), id.parts().edge.get()), (NOW, 5));
    let partition = PartitionId::of_advertiser(ADVERTISER, 16);
    assert_eq!(
        (appended.partition, id.parts().partition),
        (partition.get(), partition)
    );
    let (key, nonce, window_s, price) = (link.key, link.nonce, link.window_s, link.price);
    assert_eq!(
        facts.source,
        Source::Signed {
            key,
            nonce,
            window_s,
            price
        }
    );
    assert_eq!(
        (facts.advertiser, facts.campaign, facts.ad),
        (ADVERTISER, link.campaign, link.ad)
    );
    assert_eq!(
        (facts.publisher, facts.placement),
        (link.publisher, link.placement)
    );
    assert_eq!(
        (facts.test, facts.head, facts.hosting),
        (false, false, false)
    );
    assert_eq!(
        (facts.agent_class, facts.ack),
        (AgentClass::Tablet, Ack::Local)
    );
    assert_eq!(
        (facts.country.to_string().as_str(), facts.control),
        ("DE", ControlNumber(42))
    );
    assert_eq!(facts.personal_digest, personal::digest(&appended.personal));
    assert_eq!(
        facts.subs.map(|sub| sub.is_some()),
        [true, false, false, false, true]
    );
    assert_eq!(person.address, Some(IpAddr::from([192, 0, 2, 77])));
    assert_eq!(person.agent, b"Mozilla/5.0 (iPad)");
    assert_eq!(
        (person.referrer, person.language),
        (&b"https://news.example/"[..], &b"de"[..])
    );
    assert_eq!(
        person.subs,
        [Some(&b"a/b"[..]), None, None, None, Some(b"\xff")]
    );
}

#[test]
fn valid_duplicate_and_suspect_clicks_get_the_same_answer() {
    let world = World::start();
    let link = world.link();
    let token = signed(&link);
    let agents = [
        "Mozilla/5.0 (X11)",
        "Mozilla/5.0 (X11)",
        "Googlebot/2.1",
        "curl/8",
        "",
    ];
    let mut shapes = HashSet::new();
    let mut ids = HashSet::new();
    for agent in agents {
        let request = format!("GET /c/{token} HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\n\r\n");
        let answer = world.once(request);
        ids.insert(receipt(&answer));
        let shape = |(name, value): &(String, String)| match name.as_str() {
            "click-id" | "location" | "date" => name.clone(),
            _ => format!("{name}: {value}"),
        };
        shapes.insert(answer.headers.iter().map(shape).collect::<Vec<_>>());
    }
    assert_eq!(shapes.len(), 1, "{shapes:?}");
    assert_eq!(
        (ids.len(), world.log.durable().len()),
        (5, 5),
        "each is recorded"
    );
}

#[test]
fn a_head_is_recorded_as_one() {
    let world = World::start();
    let mut raw = world.open();
    for path in ["/c/", "/i/"] {
        raw.send(format!(
            "HEAD {path}{} HTTP/1.1\r\nHost: x\r\n\r\n",
            world.token()
        ));
        let answer = raw.answer_to_head();
        assert_eq!(answer.status, if path == "/c/" { 302 } else { 200 });
        match world.log.last().record() {
            Record::Click(facts) | Record::Impression(facts) => assert!(facts.head),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        raw.ask(get(format!("/c/{}", world.token()))).status,
        302,
        "in step after HEADs"
    );
}

#[test]
fn a_pixel_is_an_impression_without_a_receipt() {
    let world = World::start();
    let answer = world.once(get(format!("/i/{}?sub2=x", world.token())));
    assert!(answer.body.starts_with(b"GIF89a") && answer.body.len() == 43);
    answer.assert_promises_nothing("pixel");
    match world.log.last().record() {
        Record::Impression(facts) => assert!(facts.subs[1].is_some()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_registered_link_is_recorded_as_itself() {
    let world = World::start();
    let answer = world.once(get("/l/shop?campaign=x&sub1=s&price=9"));
    let id = receipt(&answer);
    let facts = world.log.last().click();
    assert_eq!(
        (facts.click_id, facts.source),
        (id, Source::Registered { link: LinkId(9) })
    );
    let expected = format!("https://shop.example/?id={id}&s=s&c=70");
    assert_eq!(answer.header("location"), Some(expected.as_str()));
}

#[test]
fn no_window_is_longer_than_the_edge_allows() {
    let world = World::with(|options| options.limits.window_s_max = 600);
    let mut raw = world.open();
    for (signed_with, recorded) in [(599, 599), (600, 600), (3_600, 600)] {
        let link = ClickLink {
            window_s: signed_with,
            ..world.link()
        };
        assert_eq!(raw.ask(get(format!("/c/{}", signed(&link)))).status, 302);
        let Source::Signed { window_s, .. } = world.log.last().click().source else {
            panic!("a signed link");
        };
        assert_eq!(window_s, recorded);
    }
}

#[test]
fn a_test_key_makes_tests() {
    let world = World::start();
    receipt(&world.once(get(format!(
        "/c/{}",
        world.token_named("test_key").unwrap()
    ))));
    assert!(world.log.last().click().test);
}

#[test]
fn long_and_broken_text_is_cut_and_kept_as_it_is() {
    let world = World::start();
    let mut request = format!(
        "GET /c/{} HTTP/1.1\r\nHost: x\r\nUser-Agent: ",
        world.token()
    );
    request.push_str("<script>");
    let mut request = request.into_bytes();
    request.extend_from_slice(b"\xff\xfe=cmd\xe2\x80\xae");
    request.extend_from_slice(&[b'a'; 8_000]);
    request.extend_from_slice(b"\r\nReferer: ");
    request.extend_from_slice(&[b'r'; 9_000]);
    request.extend_from_slice(b"\r\n\r\n");
    receipt(&world.once(request));
    let appended = world.log.last();
    let person = appended.person();
    assert_eq!((person.agent.len(), person.referrer.len()), (1_024, 2_048));
    assert!(
        person
            .agent
            .starts_with(b"<script>\xff\xfe=cmd\xe2\x80\xaeaaa")
    );
}

#[test]
fn clicks_of_one_millisecond_have_different_ids() {
    let world = World::start(); // its clock stands still
    let mut ids = HashSet::new();
    for _ in 0..4 {
        let mut raw = world.open(); // the connections go to the threads in turn
        let token = world.token();
        for _ in 0..500 {
            assert!(ids.insert(receipt(&raw.ask(get(format!("/c/{token}"))))));
        }
    }
    assert!(ids.iter().all(|id| id.received_at() == NOW));
}

#[test]
fn time_never_goes_back_on_receipts() {
    let world = World::start();
    let mut raw = world.open();
    let mut at = |ms: u64| {
        world.time.store(ms, std::sync::atomic::Ordering::Relaxed);
        receipt(&raw.ask(get(format!("/c/{}", world.token())))).received_at()
    };
    assert_eq!(at(NOW.0 + 500), Millis(NOW.0 + 500));
    assert_eq!(at(NOW.0), Millis(NOW.0 + 500));
    assert_eq!(at(NOW.0 + 501), Millis(NOW.0 + 501));
}
