//! Answers to writes that carried an `Idempotency-Key`, so that a client that heard nothing may
//! send the same again.
//!
//! An answer is kept by the API key that asked, for a day, as long as there is room; the process
//! that was restarted has forgotten it. Then the write is decided anew, and what it would make
//! twice is refused by what stands; money is known by its command, which comes from the key, for
//! good.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tollgate_click::Millis;

use crate::call::Reply;
use crate::problem::Problem;

/// Answers that are kept; the oldest go first.
const ANSWERS_MAX: usize = 20_000;

/// Longer answers are kept as long as these bytes of all of them have room.
const BYTES_MAX: usize = 64 << 20;

/// How long an answer is kept: a day.
const KEPT_MS: u64 = 86_400_000;

/// Bytes of a key; longer is refused.
pub(crate) const KEY_BYTES_MAX: usize = 128;

/// Kept answers.
#[derive(Default)]
pub(crate) struct Answers {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    answers: BTreeMap<[u8; 32], Answer>,
    order: VecDeque<[u8; 32]>,
    bytes: usize,
}

struct Answer {
    at: Millis,
    body: [u8; 32],
    /// None while the first request is still being worked on.
    reply: Option<Reply>,
}

/// What a key came to.
pub(crate) enum Known {
    /// It is new: this request does the work and calls [`Answers::keep`] or [`Answers::forget`].
    New(Slot),
    /// It was answered before.
    Before(Reply),
}

/// The place of an answer to come.
#[derive(Clone, Copy)]
pub(crate) struct Slot([u8; 32]);

/// A request by what must be equal for it to be the same one.
pub(crate) struct Request<'a> {
    pub(crate) asker: u32,
    pub(crate) key: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) body: &'a [u8],
}

impl Answers {
    /// Looks a request up, and takes its place when it is new.
    pub(crate) fn look_up(&self, request: &Request<'_>, now: Millis) -> Result<Known, Problem> {
        let allowed = "1 to 128 visible ASCII characters";
        let key = request.key;
        let is_plain = key.bytes().all(|byte| byte.is_ascii_graphic());
        if key.is_empty() || key.len() > KEY_BYTES_MAX || !is_plain {
            return Err(Problem::malformed(
                "Idempotency-Key",
                "it cannot be a key",
                allowed,
            ));
        }
        let slot = digest(&[&request.asker.to_le_bytes(), key.as_bytes()]);
        let (method, path) = (request.method.as_bytes(), request.path.as_bytes());
        let body = digest(&[method, path, request.body]);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.drop_old(now);
        match kept.answers.get(&slot) {
            Some(answer) if answer.body != body => {
                let what = "it was used for another request";
                Err(Problem::conflict(
                    "Idempotency-Key",
                    what,
                    "a new key for a new request",
                ))
            }
            Some(Answer { reply: None, .. }) => {
                let what = "the first request with it is still being worked on";
                Err(Problem::conflict(
                    "Idempotency-Key",
                    what,
                    "the same again in a moment",
                ))
            }
            Some(Answer {
                reply: Some(reply), ..
            }) => Ok(Known::Before(reply.clone())),
            None => {
                let at = now;
                kept.answers.insert(
                    slot,
                    Answer {
                        at,
                        body,
                        reply: None,
                    },
                );
                kept.order.push_back(slot);
                Ok(Known::New(Slot(slot)))
            }
        }
    }

    /// Keeps the answer of a request.
    pub(crate) fn keep(&self, Slot(slot): Slot, reply: &Reply) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes = kept.bytes.saturating_add(reply.body.len());
        if let Some(answer) = kept.answers.get_mut(&slot) {
            answer.reply = Some(reply.clone());
        }
    }

    /// Forgets a request that changed nothing, so that it may be sent again.
    pub(crate) fn forget(&self, Slot(slot): Slot) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.answers.remove(&slot);
    }
}

impl Kept {
    fn drop_old(&mut self, now: Millis) {
        while let Some(slot) = self.order.front().copied() {
            let answer = self.answers.get(&slot);
            let is_old = answer.is_none_or(|answer| now.since(answer.at) > KEPT_MS);
            let is_done = answer.is_none_or(|answer| answer.reply.is_some());
            let is_full = self.order.len() > ANSWERS_MAX || self.bytes > BYTES_MAX;
            if !(is_old || is_full && is_done) {
                return;
            }
            self.order.pop_front();
            if let Some(Answer {
                reply: Some(reply), ..
            }) = self.answers.remove(&slot)
            {
                self.bytes = self.bytes.saturating_sub(reply.body.len());
            }
        }
    }
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn request<'a>(asker: u32, key: &'a str, body: &'a [u8]) -> Request<'a> {
        Request {
            asker,
            key,
            method: "POST",
            path: "/v1/links",
            body,
        }
    }

    #[test]
    fn the_same_request_is_answered_once_and_another_one_is_refused() {
        let answers = Answers::default();
        let now = Millis(1);
        let Ok(Known::New(slot)) = answers.look_up(&request(1, "k", b"a"), now) else {
            panic!("it is new");
        };
        assert!(
            answers.look_up(&request(1, "k", b"a"), now).is_err(),
            "at work"
        );
        answers.keep(slot, &Reply::of("text/plain", "first"));
        let Ok(Known::Before(reply)) = answers.look_up(&request(1, "k", b"a"), now) else {
            panic!("it was answered");
        };
        assert_eq!(reply.body, "first");
        let other = answers.look_up(&request(1, "k", b"b"), now);
        assert_eq!(other.err().unwrap().status(), StatusCode::CONFLICT);
        let of_another = answers.look_up(&request(2, "k", b"b"), now);
        assert!(matches!(of_another, Ok(Known::New(_))));
        let day = Millis(1 + KEPT_MS + 1);
        assert!(matches!(
            answers.look_up(&request(1, "k", b"b"), day),
            Ok(Known::New(_))
        ));
        for wrong in ["", "a b", "ä", &"x".repeat(129)] {
            assert!(
                answers.look_up(&request(1, wrong, b""), now).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn what_changed_nothing_may_be_sent_again() {
        let answers = Answers::default();
        let Ok(Known::New(slot)) = answers.look_up(&request(1, "k", b"a"), Millis(1)) else {
            panic!("it is new");
        };
        answers.forget(slot);
        let again = answers.look_up(&request(1, "k", b"b"), Millis(1));
        assert!(matches!(again, Ok(Known::New(_))));
    }
}
