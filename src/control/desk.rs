//! The desk of the API: decisions queue up for the one task that writes control records, and who
//! waits for one is answered when the worker has applied it.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tollgate_click::control::Target;
use tollgate_click::{Actor, Control, ControlNumber, Millis, PartitionId, Record};
use tollgate_log::{Cursor, Log, Partition, Read, ReadBudget, ReadError, ReadFrom, SegmentLog};
use tollgate_query::idempotency::RequestId;
use tollgate_query::{AuditPage, Decision, Later, Problem, Standing, Written};

use super::answers::AnswerBook;
use super::{Made, OfferError, Sequencer, Who};
use crate::worker::Progress;

/// Decisions that may wait; more are refused.
const QUEUE: usize = 256;

/// How long a write waits to be applied before it is answered as it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// Records read at once for an audit page.
const AUDIT_RECORDS: usize = 4096;

/// One decision on its way.
pub(crate) struct Submission {
    who: Who,
    decide: Decision,
    answer: oneshot::Sender<Result<Vec<Made>, Problem>>,
}

/// The desk as the API holds it.
pub(crate) struct Desk {
    queue: mpsc::Sender<Submission>,
    standing: Arc<RwLock<Standing>>,
    log: Arc<SegmentLog>,
    partitions: u16,
    progress: Option<Progress>,
    book: Arc<AnswerBook>,
}

impl Desk {
    /// A desk, and the queue that [`take`] works off.
    pub(crate) fn open(
        sequencer: &Sequencer,
        progress: Option<Progress>,
    ) -> (Desk, mpsc::Receiver<Submission>) {
        let (queue, submissions) = mpsc::channel(QUEUE);
        let desk = Desk {
            queue,
            standing: sequencer.shared(),
            log: sequencer.log.clone(),
            partitions: sequencer.partitions,
            progress,
            book: sequencer.book.clone(),
        };
        (desk, submissions)
    }

    /// Waits for one advertiser's changes to be applied; for those of everybody it only looks
    /// how far they are.
    async fn wait(&self, made: Vec<Made>) -> Written {
        let mut written = Written {
            numbers: made.iter().map(|one| one.number).collect(),
            ..Written::default()
        };
        let Some(progress) = &self.progress else {
            written.partitions = u32::try_from(made.len()).unwrap_or(u32::MAX);
            return written;
        };
        let until = tokio::time::Instant::now() + PATIENCE;
        for (home, number) in self.last_per_home(&made) {
            let (places, patience) = match home {
                Some(home) => (vec![home], until),
                None => {
                    let all = (0..self.partitions).filter_map(|one| PartitionId::new(one).ok());
                    (all.collect(), tokio::time::Instant::now())
                }
            };
            for place in places {
                written.partitions += 1;
                let applied = progress.control_applied(number, place);
                if let Ok(applied) = tokio::time::timeout_at(patience, applied).await {
                    written.applied += 1;
                    if !applied.accepted {
                        let reason = applied.reason.unwrap_or_default();
                        written.refused.push((number, reason));
                    }
                }
            }
        }
        written
    }

    /// A partition applies changes in their order, so its last one tells of all before; none
    /// stands for all partitions.
    fn last_per_home(&self, made: &[Made]) -> BTreeMap<Option<PartitionId>, ControlNumber> {
        let mut last = BTreeMap::new();
        for one in made {
            let home = match one.target {
                Target::All => None,
                Target::Advertiser(advertiser) => {
                    Some(PartitionId::of_advertiser(advertiser, self.partitions))
                }
            };
            last.insert(home, one.number);
        }
        last
    }
}

/// Works off one submission.
pub(crate) async fn take(sequencer: &mut Sequencer, submission: Submission, now: Millis) {
    let Submission {
        who,
        decide,
        answer,
    } = submission;
    let made = sequencer.decide(decide, who, now).await;
    let made = made.map_err(|error| match error {
        OfferError::Refused(problem) => problem,
        other => {
            tracing::error!(error = %other, "a change was not written");
            Problem::unavailable("the log takes no changes at present", 2)
        }
    });
    // Who asked may be gone; what was written stands.
    drop(answer.send(made));
}

impl tollgate_query::Desk for Desk {
    fn standing(&self) -> Box<dyn Deref<Target = Standing> + '_> {
        Box::new(super::read(&self.standing))
    }

    fn submit(
        &self,
        by: Actor,
        request: Option<RequestId>,
        decide: Decision,
    ) -> Later<'_, Result<Written, Problem>> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let submission = Submission {
                who: Who { by, request },
                decide,
                answer,
            };
            let full = |_| Problem::unavailable("too many changes wait for their turn", 1);
            self.queue.try_send(submission).map_err(full)?;
            let gone = |_| Problem::unavailable("this node is stopping", 5);
            let made = answered.await.map_err(gone)??;
            Ok(self.wait(made).await)
        })
    }

    fn carried_out(&self, request: RequestId) -> Option<Vec<Control>> {
        self.book.carried_out(request)
    }

    fn audit(&self, from: Option<&[u8]>, limit: usize) -> Result<AuditPage, Problem> {
        let control = Partition(self.partitions);
        let reader = self.log.reader(control.into(), audit_from(from)?);
        let page = reader.and_then(|reader| audit_page(reader, control, limit));
        page.map_err(audit_problem)
    }
}

/// Where a page of the audit begins.
pub(super) fn audit_from(from: Option<&[u8]>) -> Result<ReadFrom, Problem> {
    from.map_or(Ok(ReadFrom::Start), |bytes| {
        cursor(bytes).map(ReadFrom::Cursor)
    })
}

/// Reads on until the page is full or the log at its end.
pub(super) fn audit_page(
    mut reader: impl Read,
    control: Partition,
    limit: usize,
) -> Result<AuditPage, ReadError> {
    let budget = ReadBudget {
        records_max: AUDIT_RECORDS,
        ..ReadBudget::default()
    };
    let mut page = AuditPage::default();
    loop {
        let progress = reader.read(budget, &mut |record| {
            if page.next.is_some() || record.partition != control {
                return;
            }
            if page.changes.len() == limit {
                page.next = Some(place(record.cursor));
            } else if let Ok(Record::Control(change)) = Record::decode(record.facts) {
                page.changes.push(change);
            }
        })?;
        if progress.at_end || page.next.is_some() {
            return Ok(page);
        }
    }
}

/// Why there is no page.
pub(super) fn audit_problem(error: ReadError) -> Problem {
    match error {
        ReadError::Gone { .. } | ReadError::OtherLog { .. } | ReadError::PastEnd { .. } => {
            let what = "the log does not have that place any more";
            Problem::malformed("cursor", what, "begin without a cursor")
        }
        other => Problem::broken("the audit", other),
    }
}

fn place(cursor: Cursor) -> Vec<u8> {
    let mut bytes = cursor.incarnation.to_le_bytes().to_vec();
    bytes.extend_from_slice(&cursor.position.to_le_bytes());
    bytes
}

fn cursor(bytes: &[u8]) -> Result<Cursor, Problem> {
    let refused = || Problem::malformed("cursor", "it is no place in the log", "");
    let (incarnation, position) = bytes.split_first_chunk::<8>().ok_or_else(refused)?;
    Ok(Cursor {
        incarnation: u64::from_le_bytes(*incarnation),
        position: u64::from_le_bytes(position.try_into().map_err(|_| refused())?),
    })
}
