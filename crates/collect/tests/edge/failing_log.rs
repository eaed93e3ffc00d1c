//! A log that is full, fenced, slow or gone: no false receipt, no lost count.

use std::sync::Arc;

use tollgate_click::Refusal;
use tollgate_log::AppendError;

use crate::log::Mode;
use crate::world::{World, get};

/// A refusal that is there to be had as a constant.
pub(crate) const DOWN: AppendError = AppendError::Full;

fn why() -> Arc<str> {
    "the disk is on fire".into()
}

#[test]
fn what_the_log_does_not_take_gets_503_and_no_receipt() {
    let world = World::start();
    let mut raw = world.open();
    let errors = [
        AppendError::Overloaded,
        AppendError::Full,
        AppendError::Down(why()),
        AppendError::Closed,
        AppendError::NoSuchPartition {
            partition: 9,
            partitions: 4,
        },
    ];
    let mut expected = 0;
    for error in errors {
        world.log.set(Mode::Refuse(error.clone()));
        let answer = raw.ask(get(format!("/c/{}", world.token())));
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (503, Some("1")),
            "{error}"
        );
        assert_eq!(answer.body, b"overloaded\n", "{error}");
        answer.assert_promises_nothing(&error.to_string());
        assert_eq!(
            raw.ask(get(format!("/i/{}", world.token()))).status,
            200,
            "always an image"
        );
        expected += 2;
        assert_eq!(
            world.settled().refused_for(Refusal::Overload),
            expected,
            "{error}"
        );
    }
    assert_eq!(world.log.durable().len(), 0);
    world.log.set(Mode::Commit);
    assert_eq!(
        raw.ask(get(format!("/c/{}", world.token()))).status,
        302,
        "and back again"
    );
}

#[test]
fn what_the_log_took_and_did_not_keep_is_told_apart() {
    let rows = [
        (AppendError::Indeterminate(why()), "indeterminate\n"),
        (AppendError::Closed, "indeterminate\n"),
        (AppendError::Full, "overloaded\n"),
        (AppendError::Down(why()), "overloaded\n"),
    ];
    for (error, body) in rows {
        let reason = match body {
            "overloaded\n" => Refusal::Overload,
            _ => Refusal::Unrecorded,
        };
        let world = World::start();
        world.log.set(Mode::Fail(error.clone()));
        let answer = world.once(get(format!("/c/{}", world.token())));
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (503, body.as_bytes()),
            "{error}"
        );
        answer.assert_promises_nothing(&error.to_string());
        let counters = world.settled();
        assert_eq!(
            (counters.hits, counters.refused_for(reason)),
            (1, 1),
            "{error}"
        );
    }
}

#[test]
fn a_click_waits_for_its_commit() {
    let world = World::start();
    world.log.set(Mode::Hold);
    let mut raw = world.open();
    raw.send(get(format!("/c/{}", world.token())));
    world.when("the click is appended", || {
        (world.log.held() == 1).then_some(())
    });
    raw.socket
        .set_read_timeout(Some(std::time::Duration::from_millis(50)))
        .unwrap();
    let mut byte = [0];
    assert!(
        raw.socket.peek(&mut byte).is_err(),
        "not a byte before the commit"
    );
    assert_eq!(
        (
            world.edge().counters().pending(),
            world.edge().counters().recorded()
        ),
        (1, 0)
    );
    raw.socket
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    world.log.release(Ok(()));
    assert_eq!(raw.answer().status, 302);
}

#[test]
fn a_client_that_has_gone_is_recorded_when_its_click_is_durable() {
    for (outcome, recorded) in [(Ok(()), 1), (Err(AppendError::Indeterminate(why())), 0)] {
        let world = World::start();
        world.log.set(Mode::Hold);
        let mut raw = world.open();
        raw.send(get(format!("/c/{}", world.token())));
        world.when("the click is appended", || {
            (world.log.held() == 1).then_some(())
        });
        drop(raw);
        world.log.release(outcome);
        let counters = world.settled();
        assert_eq!(counters.recorded(), recorded);
        assert_eq!(counters.refused_for(Refusal::Unrecorded), 1 - recorded);
    }
}

#[test]
fn a_client_that_stops_sending_still_gets_its_receipt() {
    let world = World::start();
    world.log.set(Mode::Hold);
    let mut raw = world.open();
    raw.send(get(format!("/c/{}", world.token())));
    raw.end_sending();
    world.when("the click is appended", || {
        (world.log.held() == 1).then_some(())
    });
    world.log.release(Ok(()));
    assert_eq!(raw.answer().status, 302);
    assert!(raw.is_ended());
}

#[test]
fn readyz_tells_the_truth_about_the_log() {
    let world = World::start();
    let mut raw = world.open();
    let ready = raw.ask(get("/readyz"));
    assert_eq!(
        (ready.status, ready.json()["ready"].as_bool()),
        (200, Some(true))
    );
    world.log.set(Mode::Refuse(AppendError::Down(why())));
    let answer = raw.ask(get("/readyz"));
    assert_eq!(answer.status, 503);
    assert!(
        answer.json()["checks"]["log"]
            .as_str()
            .unwrap()
            .contains("on fire")
    );
    assert_eq!(answer.json()["checks"]["keys"], "ok");
    assert_eq!(
        raw.ask(get("/healthz")).status,
        200,
        "the process is alive all the same"
    );
    let counters = world.settled();
    assert_eq!(
        (counters.hits, counters.health_checks),
        (0, 3),
        "health checks are no hits"
    );
}

#[test]
fn an_edge_that_cannot_write_the_wanted_records_writes_none() {
    let world = World::start();
    world.change(|directory| directory.record_version = 2);
    assert_eq!(world.once(get(format!("/c/{}", world.token()))).status, 503);
    let answer = world.once(get("/readyz"));
    assert_eq!(answer.status, 503);
    assert_ne!(answer.json()["checks"]["records"], "ok");
    assert_eq!(
        (
            world.settled().refused_for(Refusal::Overload),
            world.log.durable().len()
        ),
        (1, 0)
    );
}
