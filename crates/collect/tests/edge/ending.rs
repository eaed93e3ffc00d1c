//! Changes while it runs, and its end: rotation, revocation, drain.

use std::sync::Arc;
use std::time::Duration;

use tollgate_click::control::{Scope, SigningKey};
use tollgate_click::{ControlNumber, KeyId, Millis, Refusal};
use tollgate_link::{ClickLink, Secret};

use crate::log::Mode;
use crate::raw::Raw;
use crate::world::{KEY, NOW, UNKNOWN_KEY, World, get, signed};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn keys_rotate_and_are_revoked_without_a_restart() {
    let world = World::start();
    let old = signed(&world.link());
    let new = signed(&ClickLink {
        key: KeyId(UNKNOWN_KEY),
        ..world.link()
    });
    let mut raw = world.open();
    let mut status = |token: &str| raw.ask(get(format!("/c/{token}"))).status;
    assert_eq!((status(&old), status(&new)), (302, 403));
    world.change(|directory| {
        let (not_before, not_after) = (Millis(0), Millis::MAX);
        let key = KeyId(UNKNOWN_KEY);
        let key = SigningKey {
            key,
            scope: Scope::All,
            not_before,
            not_after,
            test: false,
        };
        directory
            .keys
            .insert(key, Secret::new([UNKNOWN_KEY as u8; 32]));
        directory.control = ControlNumber(43);
    });
    assert_eq!((status(&old), status(&new)), (302, 302), "both keys live");
    assert_eq!(world.log.last().click().control, ControlNumber(43));
    world.change(|directory| assert!(directory.keys.revoke(KeyId(KEY), NOW)));
    assert_eq!(
        (status(&old), status(&new)),
        (403, 302),
        "on the next request"
    );
}

#[test]
fn links_and_tokens_come_and_go() {
    let world = World::start();
    let mut raw = world.open();
    assert_eq!(raw.ask(get("/l/new")).status, 404);
    world.change(|directory| {
        let mut link = directory.links["shop"].as_ref().clone();
        link.slug = "new".to_owned();
        directory.links.insert(link.slug.clone(), Arc::new(link));
        directory.links.remove("shop");
        directory.tokens.clear();
    });
    assert_eq!(
        (
            raw.ask(get("/l/new")).status,
            raw.ask(get("/l/shop")).status
        ),
        (302, 404)
    );
    let batch = "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer tg_test\r\n\
                 Content-Type: application/json\r\nContent-Length: 2\r\n\r\n[]";
    assert_eq!(raw.ask(batch).status, 401);
}

#[test]
fn an_edge_without_keys_is_not_ready() {
    let world = World::start();
    world.wiring.store(Arc::default());
    let answer = world.once(get("/readyz"));
    assert_eq!(answer.status, 503);
    assert_ne!(answer.json()["checks"]["keys"], "ok");
}

#[test]
fn a_drain_finishes_what_is_under_way_and_takes_nothing_new() {
    let mut world =
        World::with(|options| options.timeouts.drain_delay = Duration::from_millis(300));
    let address = world.address();
    world.log.set(Mode::Hold);
    let mut idle = world.open();
    assert_eq!(idle.ask(get("/healthz")).status, 200);
    let mut silent = world.open();
    let mut busy = world.open();
    busy.send(get(format!("/c/{}", world.token())));
    world.when("the click is appended", || {
        (world.log.held() == 1).then_some(())
    });
    let readiness = world.edge().readiness().clone();
    let edge = world.edge.take().unwrap();
    let draining =
        std::thread::spawn(move || runtime().block_on(edge.drain(Duration::from_secs(20))));
    world.when("it says that it drains", || {
        readiness.checks()[4].fault.is_some().then_some(())
    });
    let answer = Raw::once(address, get("/readyz"));
    assert_eq!(
        (answer.status, &answer.json()["checks"]["drain"]),
        (503, &"draining".into())
    );
    world.when("it takes nobody new", || {
        std::net::TcpStream::connect(address).is_err().then_some(())
    });
    assert!(idle.is_ended() && silent.is_ended());
    world.log.release(Ok(()));
    let answer = busy.answer();
    assert_eq!(
        (answer.status, answer.header("connection")),
        (302, Some("close"))
    );
    assert!(busy.is_ended());
    assert_eq!(draining.join().unwrap().cut, 0);
    assert_eq!(world.log.durable().len(), 1);
}

#[test]
fn a_drain_cuts_what_does_not_end() {
    let mut world = World::start();
    world.log.set(Mode::Hold);
    let mut stuck = world.open();
    stuck.send(get(format!("/c/{}", world.token())));
    world.when("the click is appended", || {
        (world.log.held() == 1).then_some(())
    });
    let edge = world.edge.take().unwrap();
    let drained = runtime().block_on(edge.drain(Duration::from_millis(100)));
    assert_eq!(drained.cut, 1);
    assert!(stuck.is_ended(), "no answer, no receipt");
}

#[test]
fn a_dropped_edge_frees_its_port() {
    let mut world = World::start();
    let address = world.address();
    drop(world.edge.take());
    assert!(std::net::TcpStream::connect(address).is_err());
    assert!(std::net::TcpListener::bind(address).is_ok());
}

#[test]
fn options_that_make_no_edge_are_refused() {
    let taken = World::start();
    let address = taken.address();
    let other =
        std::panic::catch_unwind(|| World::with(|options| options.listeners[0].address = address));
    assert!(other.is_err(), "two edges on one port");
    assert_eq!(taken.once(get("/c/x")).status, 403);
    assert_eq!(taken.settled().refused_for(Refusal::Forged), 1);
}
