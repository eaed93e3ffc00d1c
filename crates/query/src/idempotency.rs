//! Answers to writes that carried an `Idempotency-Key`, so that a client that heard nothing may
//! send the same again.
//!
//! An answer is kept by the API key that asked, for a day, as long as there is room. What a write
//! is about to change is noted before it is changed, and its answer is kept before it is given
//! ([`Memory`]), so that after `kill -9`, too, it is done once and answered alike:
//!
//! | the process died | the same request again |
//! |---|---|
//! | before the change was durable | is decided anew |
//! | before the answer was kept | is answered with the audit lines of what was changed |
//! | later | is answered as the first time, but for a secret, which is shown once |

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderName, StatusCode};
use sha2::{Digest, Sha256};
use tollgate_click::Millis;

use crate::call::{JSON, Reply};
use crate::problem::{PROBLEM, Problem};

/// Answers that are kept; the oldest go first.
const ANSWERS_MAX: usize = 20_000;

/// Longer answers are kept as long as these bytes of all of them have room.
const BYTES_MAX: usize = 64 << 20;

/// How long an answer is kept: a day, in milliseconds.
pub const KEPT_MS: u64 = 86_400_000;

/// Bytes of a key; longer is refused.
pub(crate) const KEY_BYTES_MAX: usize = 128;

/// A write by what makes it the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RequestId {
    /// Digest of who asks and of the key.
    pub slot: [u8; 32],
    /// Digest of method, path and body.
    pub body: [u8; 32],
}

/// A kept answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remembered {
    /// What was asked.
    pub request: RequestId,
    /// When.
    pub at: Millis,
    /// The status.
    pub status: u16,
    /// Headers that belong to the answer.
    pub headers: Vec<(String, String)>,
    /// JSON without secrets.
    pub body: Vec<u8>,
}

/// Where answers outlive the process.
pub trait Memory: Send + Sync {
    /// Answers of before, oldest first.
    fn recall(&self) -> Vec<Remembered>;
    /// Keeps an answer; durable when it returns. Takes its time.
    ///
    /// # Errors
    ///
    /// The disk's; then the next process tells what was changed instead.
    fn keep(&self, answer: &Remembered) -> io::Result<()>;
    /// Whether a change was noted under the request: it is made, or may be.
    fn is_noted(&self, request: RequestId) -> bool;
}

/// Answers end with the process.
#[derive(Clone, Copy, Debug)]
pub struct Nowhere;

impl Memory for Nowhere {
    fn recall(&self) -> Vec<Remembered> {
        Vec::new()
    }

    fn keep(&self, _answer: &Remembered) -> io::Result<()> {
        Ok(())
    }

    fn is_noted(&self, _request: RequestId) -> bool {
        false
    }
}

/// Kept answers.
pub(crate) struct Answers {
    kept: Mutex<Kept>,
    memory: Arc<dyn Memory>,
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
    New(RequestId),
    /// It was answered before.
    Before(Reply),
}

/// A request by what must be equal for it to be the same one.
pub(crate) struct Request<'a> {
    pub(crate) asker: u32,
    pub(crate) key: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) body: &'a [u8],
}

impl Answers {
    /// Answers, with those of before.
    pub(crate) fn new(memory: Arc<dyn Memory>) -> Answers {
        let mut kept = Kept::default();
        for one in memory.recall() {
            let RequestId { slot, body } = one.request;
            let (at, reply) = (one.at, Some(Reply::from(one)));
            kept.add(slot, Answer { at, body, reply });
        }
        Answers {
            kept: Mutex::new(kept),
            memory,
        }
    }

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
                let (at, reply) = (now, None);
                kept.add(slot, Answer { at, body, reply });
                Ok(Known::New(RequestId { slot, body }))
            }
        }
    }

    /// Keeps the answer of a request: first where it outlives the process.
    pub(crate) async fn keep(&self, request: RequestId, reply: &Reply, at: Millis) {
        let (memory, answer) = (self.memory.clone(), reply.remembered(request, at));
        let kept = tokio::task::spawn_blocking(move || memory.keep(&answer));
        match kept.await.map_err(io::Error::other).flatten() {
            Ok(()) => {}
            // It holds in this process; the next one knows at least what was changed.
            Err(error) => tracing::error!(%error, "an answer was not kept"),
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes = kept.bytes.saturating_add(reply.body.len());
        if let Some(answer) = kept.answers.get_mut(&request.slot) {
            answer.reply = Some(reply.clone());
        }
    }

    /// Takes a refusal. One that has changed nothing leaves the key free for a better request, and
    /// so does one by a fault: what became of the change is looked up then. What the core refused
    /// was changed in the log, so it is kept like any answer.
    pub(crate) async fn refused(&self, request: RequestId, problem: &Problem, at: Millis) {
        if self.memory.is_noted(request) && !problem.status().is_server_error() {
            let reply = Reply::of(PROBLEM, problem.body()).status(problem.status());
            return self.keep(request, &reply, at).await;
        }
        self.forget(request);
    }

    fn forget(&self, request: RequestId) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.answers.remove(&request.slot);
    }
}

impl Reply {
    fn remembered(&self, request: RequestId, at: Millis) -> Remembered {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str().to_owned(), value.clone()));
        Remembered {
            request,
            at,
            status: self.status.as_u16(),
            headers: headers.collect(),
            body: self.without_secret.as_ref().unwrap_or(&self.body).to_vec(),
        }
    }
}

impl From<Remembered> for Reply {
    fn from(one: Remembered) -> Reply {
        let status = StatusCode::from_u16(one.status).unwrap_or(StatusCode::OK);
        let kind = if status.is_success() { JSON } else { PROBLEM };
        let reply = Reply::of(kind, one.body).status(status);
        let headers = one.headers.into_iter();
        headers.fold(reply, |reply, (name, value)| {
            match HeaderName::try_from(name) {
                Ok(name) => reply.header(name, value),
                Err(_) => reply,
            }
        })
    }
}

impl Kept {
    fn add(&mut self, slot: [u8; 32], answer: Answer) {
        let bytes = answer.reply.as_ref().map_or(0, |reply| reply.body.len());
        self.bytes = self.bytes.saturating_add(bytes);
        self.answers.insert(slot, answer);
        self.order.push_back(slot);
    }

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

    #[tokio::test]
    async fn the_same_request_is_answered_once_and_another_one_is_refused() {
        let answers = Answers::new(Arc::new(Nowhere));
        let now = Millis(1);
        let Ok(Known::New(id)) = answers.look_up(&request(1, "k", b"a"), now) else {
            panic!("it is new");
        };
        assert!(
            answers.look_up(&request(1, "k", b"a"), now).is_err(),
            "at work"
        );
        answers.keep(id, &Reply::of(JSON, "first"), now).await;
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
        let answers = Answers::new(Arc::new(Nowhere));
        let Ok(Known::New(id)) = answers.look_up(&request(1, "k", b"a"), Millis(1)) else {
            panic!("it is new");
        };
        answers.forget(id);
        let again = answers.look_up(&request(1, "k", b"b"), Millis(1));
        assert!(matches!(again, Ok(Known::New(_))));
    }

    /// Keeps answers as a disk does.
    #[derive(Default)]
    struct Kept(Mutex<Vec<Remembered>>);

    impl Memory for Kept {
        fn recall(&self) -> Vec<Remembered> {
            self.0.lock().unwrap().clone()
        }
        fn keep(&self, answer: &Remembered) -> io::Result<()> {
            self.0.lock().unwrap().push(answer.clone());
            Ok(())
        }
        fn is_noted(&self, _request: RequestId) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn the_next_process_answers_alike_and_tells_no_secret() {
        let memory = Arc::new(Kept::default());
        let (now, asked) = (Millis(1), request(1, "k", b"a"));
        let answers = Answers::new(memory.clone());
        let Ok(Known::New(id)) = answers.look_up(&asked, now) else {
            panic!("it is new");
        };
        let reply = Reply::of(JSON, "with secret").status(StatusCode::CREATED);
        let mut reply = reply.header(http::header::LOCATION, "/v1/tokens/7");
        reply.without_secret = Some("without".into());
        answers.keep(id, &reply, now).await;
        let next = Answers::new(memory);
        let Ok(Known::Before(again)) = next.look_up(&asked, now) else {
            panic!("it was answered");
        };
        assert_eq!((again.status, again.headers), (reply.status, reply.headers));
        assert_eq!(again.body, "without");
        assert!(
            next.look_up(&request(1, "k", b"b"), now).is_err(),
            "another request"
        );
    }
}
