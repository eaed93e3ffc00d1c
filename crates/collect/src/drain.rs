//! The stages of an edge's end, as its threads and connections see them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use tokio::sync::watch;

/// How far an edge is with ending.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    /// It serves.
    Serving,
    /// No new connections; the open ones end after the request at hand.
    Draining,
    /// Whatever is still open is cut.
    Stopped,
}

/// Moves an edge through the stages.
#[derive(Debug)]
pub(crate) struct DrainSwitch {
    on: Arc<AtomicBool>,
    stage: watch::Sender<Stage>,
    bells: Vec<Waker>,
}

/// Sees the stages.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    on: Arc<AtomicBool>,
    stage: watch::Receiver<Stage>,
}

impl DrainSwitch {
    pub(crate) fn new() -> DrainSwitch {
        DrainSwitch {
            on: Arc::default(),
            stage: watch::Sender::new(Stage::Serving),
            bells: Vec::new(),
        }
    }

    /// Wakes this one, too, at each move: a thread without a runtime.
    pub(crate) fn ring(&mut self, bell: Waker) {
        self.bells.push(bell);
    }

    pub(crate) fn view(&self) -> Drain {
        Drain {
            on: self.on.clone(),
            stage: self.stage.subscribe(),
        }
    }

    pub(crate) fn start(&self) {
        self.move_to(Stage::Draining);
    }

    pub(crate) fn stop(&self) {
        self.move_to(Stage::Stopped);
    }

    fn move_to(&self, stage: Stage) {
        self.on.store(true, Ordering::Release); // before anyone is woken
        self.stage.send_if_modified(|now| {
            let forward = *now < stage;
            *now = (*now).max(stage);
            forward
        });
        self.bells.iter().for_each(Waker::wake_by_ref);
    }
}

impl Drain {
    /// Whether draining has started.
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// Whether everything is to be cut.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.stage.borrow() >= Stage::Stopped
    }

    /// Resolves when it starts.
    pub(crate) async fn started(mut self) {
        self.reached(Stage::Draining).await;
    }

    /// Resolves when everything is to be cut.
    pub(crate) async fn stopped(mut self) {
        self.reached(Stage::Stopped).await;
    }

    /// What `work` comes to, unless draining starts while it waits: then nothing is lost by
    /// leaving it, since no request has come.
    pub(crate) async fn or_leave<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.clone().started() => None,
        }
    }

    async fn reached(&mut self, stage: Stage) {
        // An edge that was dropped is as good as stopped.
        let _ = self.stage.wait_for(|now| *now >= stage).await;
    }
}
