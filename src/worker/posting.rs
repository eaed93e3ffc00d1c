//! What a partition's clicks come to in the ledger: counted as they come, due as commits where the
//! log says so.

use tollgate_click::control::Money;
use tollgate_click::{ClickFacts, Judgement, Millis, Minute, Ordinal, PartitionId};
use tollgate_log::Cursor;
use tollgate_process::State;
use tollgate_store::ledger::minute::{self, MinutePosting, Payer, Span};
use tollgate_store::ledger::{CommitRequest, Posting, Watermark};

use super::place;

/// Records after which the open minute is posted although its minute goes on: a posting has at
/// most two lines a click and some for currencies, which must stay below the ledger's limit.
const LEDGER_ORDINALS_MAX: u64 = 400_000;
const _: () = {
    let lines = 2 * LEDGER_ORDINALS_MAX + 26 * 26 * 26;
    assert!(lines <= tollgate_store::ledger::posting::LINES_MAX as u64);
};

/// The ledger's side of a partition.
pub(super) struct Postings {
    partition: PartitionId,
    /// Of the lease.
    epoch: u64,
    /// What was billed since the last commit.
    minute: MinutePosting,
    /// The last record that a commit accounts for, done or due.
    closed: Ordinal,
    due: Vec<CommitRequest>,
    /// As the ledger has it.
    posted: (Ordinal, Minute),
}

impl Postings {
    /// Goes on from what is posted.
    pub(super) fn new(partition: PartitionId, epoch: u64, at: &Watermark) -> Postings {
        Postings {
            partition,
            epoch,
            minute: MinutePosting::new(),
            closed: at.ordinal,
            due: Vec::new(),
            posted: (at.ordinal, at.closed_before),
        }
    }

    /// Whether a record is not accounted for.
    pub(super) fn wants(&self, ordinal: Ordinal) -> bool {
        ordinal > self.closed
    }

    /// Counts a click that is not accounted for.
    pub(super) fn count(
        &mut self,
        facts: &ClickFacts,
        judgement: &Judgement,
        payer: Payer,
    ) -> Result<(), String> {
        let counted = self.minute.count(facts, judgement, payer);
        counted.map_err(|error| error.to_string())
    }

    /// Posts an accepted money command at once, and before it what the clicks so far come to: the
    /// ledger goes in the order of the log.
    pub(super) fn post_money(
        &mut self,
        (ordinal, money): (Ordinal, &Money),
        payer: Payer,
        (state, cursor): (&State, Cursor),
    ) -> Result<(), String> {
        if !self.wants(ordinal) {
            return Ok(());
        }
        let minute = state.clock().minute();
        let at = span(state, minute, ordinal, ordinal);
        let posting = minute::of_money(money, payer, at).map_err(|error| error.to_string())?;
        let last = Ordinal(ordinal.0 - 1);
        self.commit((ordinal, last), minute, Some(posting), (state, cursor));
        Ok(())
    }

    /// Closes the minute if this record, which moved the clock from `before`, ends it.
    pub(super) fn close(&mut self, ordinal: Ordinal, before: Millis, at: (&State, Cursor)) {
        if !self.wants(ordinal) {
            return;
        }
        let (was, is) = (before.minute(), at.0.clock().minute());
        if is > was {
            // The tick belongs to the minute that it opens.
            self.commit((ordinal, Ordinal(ordinal.0 - 1)), was, None, at);
        } else if ordinal.0 - self.closed.0 >= LEDGER_ORDINALS_MAX {
            self.commit((ordinal, ordinal), was, None, at);
        }
    }

    /// Makes a commit due: the clicks up to `last`, whose minute is `minute`, and a command.
    fn commit(
        &mut self,
        (through, last): (Ordinal, Ordinal),
        minute: Minute,
        command: Option<Posting>,
        (state, cursor): (&State, Cursor),
    ) {
        let span = span(state, minute, Ordinal(self.closed.0 + 1), last);
        self.due.push(CommitRequest {
            partition: self.partition,
            epoch: self.epoch,
            after: self.closed,
            through,
            cursor: place::of(cursor),
            closed_before: state.clock().minute(),
            postings: self.minute.take(span).into_iter().chain(command).collect(),
        });
        self.closed = through;
    }

    /// What is to be committed next.
    pub(super) fn due(&self) -> Option<&CommitRequest> {
        self.due.first()
    }

    /// The ledger has it.
    pub(super) fn committed(&mut self) {
        if !self.due.is_empty() {
            let done = self.due.remove(0);
            self.posted = (done.through, done.closed_before);
        }
    }

    /// Nothing more is committed: the partition has stopped, and what was due comes back by replay.
    pub(super) fn forget_due(&mut self) {
        self.due.clear();
    }

    /// Up to which record the ledger has everything, and its first open minute.
    pub(super) fn posted(&self) -> (Ordinal, Minute) {
        self.posted
    }
}

fn span(state: &State, minute: Minute, first: Ordinal, last: Ordinal) -> Span {
    Span {
        minute,
        first,
        last,
        apply_version: state.version() as u32,
    }
}
