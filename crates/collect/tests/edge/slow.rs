//! Clients that are slow, silent or many. The limits are set small; what is asserted is that the
//! edge ends it, not when.

use std::time::Duration;

use tollgate_click::Refusal;

use crate::raw::Raw;
use crate::world::{World, get};

const SOON: Duration = Duration::from_millis(150);

fn impatient() -> World {
    World::with(|options| {
        options.timeouts.first_byte = SOON;
        options.timeouts.head = SOON;
        options.timeouts.body = SOON;
        options.timeouts.idle = SOON;
        options.timeouts.write = SOON;
    })
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let world = impatient();
    assert!(world.open().is_ended());
    assert_eq!(world.settled().hits, 0);
}

#[test]
fn a_head_that_does_not_end_gets_408() {
    let world = impatient();
    let mut raw = world.open();
    let answer = raw.ask("GET /c/abc HTTP/1.1\r\nHost: x\r\n");
    assert_eq!(answer.status, 408);
    answer.assert_promises_nothing("slow head");
    assert!(raw.is_ended());
    assert_eq!(world.settled().refused_for(Refusal::Malformed), 1);
}

#[test]
fn a_head_byte_by_byte_gets_408_all_the_same() {
    let world = impatient();
    let mut raw = world.open();
    let head = get(format!("/c/{}", world.token()));
    let writer = std::thread::scope(|scope| {
        let mut socket = raw.socket.try_clone().unwrap();
        scope.spawn(move || {
            for byte in head.as_bytes() {
                // The edge may have closed: that is what this is about.
                let _ = std::io::Write::write_all(&mut socket, &[*byte]);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        raw.answer().status
    });
    assert_eq!(writer, 408, "each byte must not start the time anew");
}

#[test]
fn a_connection_that_stays_silent_after_a_request_is_closed() {
    let world = impatient();
    let mut raw = world.open();
    assert_eq!(raw.ask(get(format!("/c/{}", world.token()))).status, 302);
    assert!(raw.is_ended());
    assert_eq!(world.settled().hits, 1);
}

#[test]
fn a_body_that_does_not_come_gets_408() {
    let world = impatient();
    let mut raw = world.open();
    let answer = raw.ask(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer tg_test\r\n\
         Content-Type: application/json\r\nContent-Length: 10\r\n\r\n[",
    );
    assert!(matches!(answer.status, 400 | 408), "{answer:?}");
    assert!(raw.is_ended());
    assert_eq!(world.settled().refused_for(Refusal::Malformed), 1);
}

#[test]
fn http2_that_stops_in_its_preface_or_says_nothing_after_it_is_closed() {
    let world = impatient();
    for start in ["PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut raw = world.open();
        raw.send(start);
        while raw.read_to_end_piece() {}
    }
    assert_eq!(world.settled().hits, 0);
}

#[test]
fn http2_pings_are_no_sign_of_life() {
    let world = impatient();
    let mut raw = world.open();
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    raw.send([0, 0, 0, 4, 0, 0, 0, 0, 0]); // SETTINGS
    let mut socket = raw.socket.try_clone().unwrap();
    let pinger = std::thread::spawn(move || {
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        while std::io::Write::write_all(&mut socket, &ping).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    while raw.read_to_end_piece() {}
    drop(raw);
    pinger.join().unwrap();
}

#[test]
fn too_many_connections_of_one_address_are_closed_and_the_others_serve() {
    let world = World::with(|options| {
        options.clients.trusted_proxies.clear();
        options.limits.connections_per_ip_max = 3;
    });
    let mut kept: Vec<Raw> = (0..3).map(|_| world.open()).collect();
    for raw in &mut kept {
        assert_eq!(raw.ask(get("/healthz")).status, 200);
    }
    assert!(world.open().is_ended());
    assert_eq!(world.settled().connections_over_cap, 1);
    for raw in &mut kept {
        assert_eq!(raw.ask(get(format!("/c/{}", world.token()))).status, 302);
    }
    kept.pop();
    world.when("a place is free", || {
        (world.edge().connections() == 2).then_some(())
    });
    assert_eq!(world.once(get("/healthz")).status, 200);
}

#[test]
fn too_many_connections_in_total_are_closed() {
    let world = World::with(|options| options.limits.connections_max = 2);
    let mut kept: Vec<Raw> = (0..2).map(|_| world.open()).collect();
    for raw in &mut kept {
        assert_eq!(raw.ask(get("/healthz")).status, 200);
    }
    assert!(world.open().is_ended());
    assert_eq!(world.settled().connections_over_cap, 1);
}

#[test]
fn a_slow_crowd_does_not_keep_others_waiting() {
    let world = World::start();
    let crowd: Vec<Raw> = (0..300)
        .map(|_| {
            let mut raw = world.open();
            raw.send("GET /c/abc HTTP/1.1\r\nHo");
            raw
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(world.once(get(format!("/c/{}", world.token()))).status, 302);
    }
    drop(crowd);
    assert_eq!(world.settled().recorded(), 20);
}
