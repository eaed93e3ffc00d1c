//! Connections that stay on their round, and how they leave it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tollgate_link::ClickLink;

use crate::log::Mode;
use crate::raw::Raw;
use crate::world::{World, get, signed};

/// A client with little room for answers.
fn narrow(address: SocketAddr) -> Raw {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let socket = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(address).await.unwrap().into_std().unwrap()
    });
    socket.set_nonblocking(false).unwrap();
    let patience = Some(Duration::from_secs(20));
    socket.set_read_timeout(patience).unwrap();
    Raw::over(socket)
}

/// Clicks without reading an answer, until no more is taken; how many were.
fn click_until_it_is_stuck(world: &World, raw: &mut Raw) -> usize {
    let destination = format!("https://shop.example/{}", "x".repeat(2_000));
    let link = || {
        signed(&ClickLink {
            destination: &destination,
            ..world.link()
        })
    };
    for sent in 1.. {
        raw.send(get(format!("/c/{}", link())));
        let sent_at = Instant::now();
        while world.log.durable_count() < sent {
            if sent_at.elapsed() > Duration::from_millis(500) {
                return sent - 1;
            }
            std::thread::yield_now();
        }
    }
    unreachable!()
}

#[test]
fn a_client_that_reads_late_gets_every_answer_whole_and_in_order() {
    let world = World::start();
    let mut raw = narrow(world.address());
    let taken = click_until_it_is_stuck(&world, &mut raw);
    assert!(taken > 10, "{taken}");
    // The one more that was sent waits for its turn.
    for _ in 0..=taken {
        let answer = raw.answer();
        assert_eq!(answer.status, 302);
        assert!(answer.header("click-id").is_some());
    }
    let answer = raw.ask(get(format!("/c/{}", world.token())));
    assert_eq!(answer.status, 302, "and it goes on");
    assert_eq!(world.settled().recorded() as usize, taken + 2);
}

#[test]
fn a_client_that_never_reads_is_cut() {
    let world = World::with(|options| options.timeouts.write = Duration::from_millis(150));
    let mut raw = narrow(world.address());
    let taken = click_until_it_is_stuck(&world, &mut raw);
    world.when("the connection is cut", || {
        (world.edge().connections() == 0).then_some(())
    });
    assert_eq!(world.settled().recorded() as usize, taken);
}

#[test]
fn what_comes_while_a_click_waits_is_heard_after_it() {
    let world = World::start();
    world.log.set(Mode::Hold);
    let mut raw = world.open();
    for held in [1, 2, 3] {
        raw.send(get(format!("/c/{}", world.token())));
        world.when("the click is appended", || {
            (world.log.held() == 1).then_some(())
        });
        if held < 3 {
            // Comes while the first is under way, and is not lost when nothing more comes.
            raw.send(get("/healthz"));
            std::thread::sleep(Duration::from_millis(20));
            assert_eq!(world.edge().counters().hits, held);
            world.log.release(Ok(()));
            assert_eq!(raw.answer().status, 302);
            assert_eq!(raw.answer().status, 200);
        }
    }
    world.log.release(Ok(()));
    assert_eq!(raw.answer().status, 302);
}

#[test]
fn clicks_of_many_connections_are_answered_to_their_own() {
    let world = World::start();
    world.log.set(Mode::Hold);
    let mut crowd: Vec<Raw> = (0..40).map(|_| world.open()).collect();
    for (number, raw) in crowd.iter_mut().enumerate() {
        let destination = format!("https://shop.example/of/{number}");
        let link = ClickLink {
            destination: &destination,
            ..world.link()
        };
        raw.send(get(format!("/c/{}", signed(&link))));
    }
    world.when("all are appended", || {
        (world.log.held() == crowd.len()).then_some(())
    });
    // Some have gone before they are answered; their places are free for others meanwhile.
    let kept = crowd.split_off(13);
    drop(crowd);
    let mut late = world.open();
    world.log.release(Ok(()));
    for (number, mut raw) in (13..).zip(kept) {
        let answer = raw.answer();
        let location = answer.header("location").unwrap();
        assert!(
            location.ends_with(&format!("/of/{number}")),
            "{number}: {location}"
        );
    }
    world.log.set(Mode::Commit);
    assert_eq!(
        late.ask(get(format!("/c/{}", world.token()))).status,
        302,
        "who came meanwhile"
    );
    assert_eq!(world.settled().recorded(), 41);
}

#[test]
fn a_drain_lets_known_connections_go_at_once() {
    let mut world = World::start();
    let mut known = world.open();
    assert_eq!(known.ask(get(format!("/c/{}", world.token()))).status, 302);
    let mut silent = world.open();
    let edge = world.edge.take().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    assert_eq!(runtime.block_on(edge.drain(Duration::from_secs(20))).cut, 0);
    assert!(known.is_ended() && silent.is_ended());
}
