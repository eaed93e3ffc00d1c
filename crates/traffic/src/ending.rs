//! How one request ended, as its sender saw it.

use tollgate_click::ClickId;

/// How one request ended. The words are those of the promises: a receipt promises that the click
/// is kept, a refusal that it is not, and a lost answer promises nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// `302` with a `Click-Id`: the click is durable.
    Receipt(ClickId),
    /// An answer without a `Click-Id`: the edge says that it recorded nothing.
    Refused(u16),
    /// The request may have reached the edge and no whole answer came: it may count once or not
    /// at all.
    Indeterminate(Lost),
    /// Nothing of the request left this machine.
    NotSent,
    /// An answer that no edge may give: a `Click-Id` that is none or on another status than 302.
    Odd(u16),
}

/// What was seen instead of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// The connection ended.
    Closed,
    /// The answer took longer than the client waits.
    TimedOut,
    /// What came was no HTTP answer.
    Garbled,
    /// `503` with `Retry-After`.
    Busy,
    /// Another status that says that the edge failed.
    Failed,
}

impl Lost {
    /// The name in histories and reports.
    pub fn name(self) -> &'static str {
        match self {
            Lost::Closed => "closed",
            Lost::TimedOut => "timed_out",
            Lost::Garbled => "garbled",
            Lost::Busy => "busy",
            Lost::Failed => "failed",
        }
    }
}
