//! The words of a log: records, partitions, cursors, and the traits that every engine offers.
//!
//! Nothing here can be answered by a local file only: a cursor is opaque, a commit is a future, a
//! reader is told how much it may hand out. Kafka and Kinesis fit behind the same two traits.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// The most partitions a log can have; a click id has 12 bits for its partition.
pub const PARTITIONS_MAX: u16 = 4096;

/// The unit of order. Readers see the records of one partition in the order of their append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u16);

impl Partition {
    /// A broadcast: a reader of any partition sees it, in its place among that partition's records.
    pub const ALL: Partition = Partition(u16::MAX);
}

/// The partitions that a reader wants; broadcasts come with every set.
#[derive(Clone, PartialEq, Eq)]
pub struct PartitionSet {
    words: Box<[u64; PARTITIONS_MAX as usize / 64]>,
}

impl PartitionSet {
    /// No partition: such a reader sees broadcasts only.
    pub fn none() -> PartitionSet {
        PartitionSet {
            words: Box::new([0; PARTITIONS_MAX as usize / 64]),
        }
    }

    /// Every partition.
    pub fn all() -> PartitionSet {
        PartitionSet {
            words: Box::new([u64::MAX; PARTITIONS_MAX as usize / 64]),
        }
    }

    /// Whether records of `partition` belong to the set.
    pub fn contains(&self, partition: Partition) -> bool {
        let word = self
            .words
            .get(usize::from(partition.0 / 64))
            .copied()
            .unwrap_or(0);
        partition == Partition::ALL || word & (1 << (partition.0 % 64)) != 0
    }
}

impl FromIterator<Partition> for PartitionSet {
    fn from_iter<T: IntoIterator<Item = Partition>>(partitions: T) -> PartitionSet {
        let mut set = PartitionSet::none();
        for partition in partitions {
            if let Some(word) = set.words.get_mut(usize::from(partition.0 / 64)) {
                *word |= 1 << (partition.0 % 64);
            }
        }
        set
    }
}

impl From<Partition> for PartitionSet {
    fn from(partition: Partition) -> PartitionSet {
        [partition].into_iter().collect()
    }
}

impl fmt::Debug for PartitionSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count: u32 = self.words.iter().map(|word| word.count_ones()).sum();
        write!(formatter, "PartitionSet({count} partitions)")
    }
}

/// A record on its way into the log. The two byte strings live and die apart: sealed segments keep
/// them in separate files with separate retention.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// Where it belongs, or [`Partition::ALL`].
    pub partition: Partition,
    /// The part that is kept as long as the log itself.
    pub facts: &'a [u8],
    /// The part about a person, which may be erased earlier.
    pub personal: &'a [u8],
}

/// A record as a reader sees it, borrowed from the reader's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The partition it was appended to.
    pub partition: Partition,
    /// Its lasting part.
    pub facts: &'a [u8],
    /// Its personal part; `None` once retention has removed it.
    pub personal: Option<&'a [u8]>,
    /// Where this record stands; [`Cursor::after`] goes on behind it.
    pub cursor: Cursor,
    /// The random number of the run of the writer that appended it.
    pub session: u64,
    /// Dense per session and partition, counted from 1; broadcasts count as a partition.
    pub sequence: u64,
    /// The writer's epoch: it rises with every opening of the log.
    pub epoch: u64,
}

impl RecordRef<'_> {
    /// A copy that owns its bytes.
    pub fn to_record(&self) -> Record {
        Record {
            partition: self.partition,
            facts: self.facts.to_vec(),
            personal: self.personal.map(<[u8]>::to_vec),
            cursor: self.cursor,
            session: self.session,
            sequence: self.sequence,
            epoch: self.epoch,
        }
    }
}

/// A record that owns its bytes; fields as in [`RecordRef`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of RecordRef")]
pub struct Record {
    pub partition: Partition,
    pub facts: Vec<u8>,
    pub personal: Option<Vec<u8>>,
    pub cursor: Cursor,
    pub session: u64,
    pub sequence: u64,
    pub epoch: u64,
}

/// A log's own bookmark: the next thing to read. Opaque and ordered within one incarnation, the
/// same before and after sealing, and good only for going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The random number that the log drew when it was created.
    pub incarnation: u64,
    /// Ordered; what it means is the log's own business.
    pub position: u64,
}

impl Cursor {
    /// The cursor that goes on behind the record that stands at this one.
    pub fn after(self) -> Cursor {
        Cursor {
            position: self.position.saturating_add(1),
            ..self
        }
    }
}

/// What a commit future gives when the record is as durable as the log was asked to make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// A reader whose cursor has reached this one has been handed the record.
    pub cursor: Cursor,
}

/// Where a reader starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// The oldest record that retention has kept.
    Start,
    /// Go on from a bookmark.
    Cursor(Cursor),
    /// Whatever becomes durable from now on.
    End,
}

/// How much one call to [`Read::read`] may hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBudget {
    /// At most this many records.
    pub records_max: usize,
    /// Stop after the record that reaches this many bytes of facts and personal parts.
    pub bytes_max: usize,
}

impl Default for ReadBudget {
    fn default() -> ReadBudget {
        ReadBudget {
            records_max: 65_536,
            bytes_max: 16 << 20,
        }
    }
}

/// What one call to [`Read::read`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Go on from here, in this process or another.
    pub cursor: Cursor,
    /// How many records were handed out.
    pub records: usize,
    /// The bytes of their facts and personal parts.
    pub bytes: usize,
    /// Nothing more was durable when the call ended.
    pub at_end: bool,
}

/// The writing half of a log, one per thread that appends.
pub trait Append: Send + Sync {
    /// Resolves when the record is durable, or to the reason why that is not known.
    type Commit: Future<Output = Result<Committed, AppendError>> + Send + Unpin + 'static;

    /// Hands one record over. An error means that it was not taken and never will be read.
    fn append(&self, record: NewRecord<'_>) -> Result<Self::Commit, AppendError> {
        self.append_all(&[record])
    }

    /// Hands several records over as one: all become durable together, or none.
    fn append_all(&self, records: &[NewRecord<'_>]) -> Result<Self::Commit, AppendError>;

    /// [`Append::append`] for a caller that goes round many connections and calls
    /// [`Append::flush`] when it has been at each: until then the log may let the record lie.
    fn gather(&self, record: NewRecord<'_>) -> Result<Self::Commit, AppendError> {
        self.append(record)
    }

    /// Ends a round of [`Append::gather`]. A log whose commits need no more than a write may write
    /// here and now, on the caller's thread; the commits are resolved then. Waits for no disk.
    fn flush(&self) {}
}

/// The reading half of a log: only durable records, each partition in its order.
pub trait Read: Send {
    /// Hands out what is durable and not yet read, within the budget. Never waits for more.
    fn read(
        &mut self,
        budget: ReadBudget,
        visit: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<Progress, ReadError>;

    /// The next thing to read.
    fn cursor(&self) -> Cursor;

    /// From now on no personal part is asked for: where they lie apart they are not read, and a
    /// record may be told as if retention had taken its own.
    fn skip_personal(&mut self) {}
}

/// A whole log: the conformance suite runs against this.
pub trait Log: Send + Sync {
    /// Its writing half.
    type Appender: Append + Clone + 'static;
    /// Its reading half.
    type Reader: Read + 'static;

    /// One more appender; cheap, and one per thread is what makes appending cheap.
    fn appender(&self) -> Self::Appender;

    /// A reader of the given partitions (and of broadcasts).
    fn reader(&self, partitions: PartitionSet, from: ReadFrom) -> Result<Self::Reader, ReadError>;

    /// Everything before this cursor is durable and readable.
    fn durable(&self) -> Cursor;
}

/// Why a record was not taken, or why its fate is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// A part of the record, or the records of one call together, exceed the limit.
    #[error("{bytes} bytes exceed the limit of {limit} bytes")]
    TooLarge {
        /// What was handed in.
        bytes: usize,
        /// What the log takes.
        limit: usize,
    },
    /// The log has fewer partitions.
    #[error("partition {partition} is not one of the {partitions} of this log")]
    NoSuchPartition {
        /// The partition named by the record.
        partition: u16,
        /// The number of partitions of the log.
        partitions: u16,
    },
    /// More is queued than may be; try again in a moment.
    #[error("the append queue is full")]
    Overloaded,
    /// The disk is full. Appends go on by themselves when there is space again.
    #[error("the disk of the log is full")]
    Full,
    /// Writing or syncing failed after the record was taken: it may be read one day, or never.
    #[error("the commit failed, the record may or may not be durable: {0}")]
    Indeterminate(Arc<str>),
    /// The log cannot write at present and keeps trying; the record was not written.
    #[error("the log cannot write: {0}")]
    Down(Arc<str>),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why a reader cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Retention has removed what the cursor asks for.
    #[error("these records were removed by retention; the first one kept is at {first:?}")]
    Gone {
        /// The oldest place that can still be read.
        first: Cursor,
    },
    /// The cursor belongs to another log.
    #[error("cursor {cursor:?} belongs to another log than {incarnation:016x}")]
    OtherLog {
        /// The cursor that was handed in.
        cursor: Cursor,
        /// The log's own incarnation.
        incarnation: u64,
    },
    /// The cursor lies past the durable end: the log has lost records, or is an older copy.
    #[error("cursor {cursor:?} lies past the end {end:?}: the log has lost what was there")]
    PastEnd {
        /// The cursor that was handed in.
        cursor: Cursor,
        /// The durable end of the log.
        end: Cursor,
    },
    /// Stored bytes are not what was written.
    #[error("{0}")]
    Damaged(#[from] Damage),
    /// The disk refused.
    #[error("{context}: {error}")]
    Io {
        /// What was being done to which file, and where in it.
        context: String,
        /// What the system said; part of the message, so not told again as its source.
        error: std::io::Error,
    },
}

/// Stored bytes that are not what was written, with the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} is damaged at byte {offset}: {what}")]
pub struct Damage {
    /// The file's name.
    pub file: String,
    /// The byte at which the unreadable piece begins.
    pub offset: u64,
    /// What is wrong there.
    pub what: &'static str,
}
