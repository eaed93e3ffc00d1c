//! The reader of a segment log: walks from segment to segment up to the durable end.

use std::io;
use std::sync::Arc;

use crate::api::{
    Cursor, Damage, PartitionSet, Progress, Read, ReadBudget, ReadError, ReadFrom, RecordRef,
};
use crate::catalog::{Catalog, Form, Opening};
use crate::format::{live_name, position, split_position};
use crate::live::{LiveReader, Sink, Step};
use crate::sealed::SealedReader;
use crate::shared::Durable;

/// Reads the durable records of some partitions; see [`Read`].
pub struct Reader {
    catalog: Arc<Catalog>,
    durable: Arc<Durable>,
    partitions: PartitionSet,
    position: u64,
    personal: bool,
    open: Option<Open>,
}

/// The segment that is being read.
struct Open {
    segment: u32,
    body: Body,
    /// The next segment, which states where this one ends; `None` while this is the last.
    next: Option<Opening>,
}

enum Body {
    Live(Box<LiveReader>),
    Sealed(Box<SealedReader>),
}

impl Reader {
    pub(crate) fn new(
        catalog: Arc<Catalog>,
        durable: Arc<Durable>,
        partitions: PartitionSet,
        from: ReadFrom,
    ) -> Result<Reader, ReadError> {
        let end = durable.cursor();
        let first = position(catalog.kept().facts_first, 0);
        let position = match from {
            ReadFrom::Start => first.min(end.position),
            ReadFrom::End => end.position,
            ReadFrom::Cursor(cursor) if cursor.incarnation != end.incarnation => {
                return Err(ReadError::OtherLog {
                    cursor,
                    incarnation: end.incarnation,
                });
            }
            ReadFrom::Cursor(cursor) if cursor.position > end.position => {
                return Err(ReadError::PastEnd { cursor, end });
            }
            ReadFrom::Cursor(cursor) => cursor.position,
        };
        let reader = Reader {
            catalog,
            durable,
            partitions,
            position,
            personal: true,
            open: None,
        };
        reader.check_kept(split_position(position).0)?;
        Ok(reader)
    }

    /// Refuses a segment that retention has removed.
    fn check_kept(&self, segment: u32) -> Result<(), ReadError> {
        let first = self.catalog.kept().facts_first;
        if segment != 0 && segment < first {
            let incarnation = self.catalog.incarnation;
            let first = Cursor {
                incarnation,
                position: position(first, 0),
            };
            return Err(ReadError::Gone { first });
        }
        Ok(())
    }

    /// Reads on in the segment of the present position.
    fn read_segment(&mut self, durable: u64, sink: &mut Sink<'_>) -> Result<(), ReadError> {
        let (segment, from) = split_position(self.position);
        let (last, durable_end) = split_position(durable);
        if segment == 0 {
            // Before the first segment of a log that was just created.
            self.position = position(1, 0);
            return Ok(());
        }
        let mut open = match self.open.take().filter(|open| open.segment == segment) {
            Some(open) => open,
            None => self.again_if_moved(segment, || self.open_segment(segment, durable))?,
        };
        if open.next.is_none() && segment < last {
            let next = || self.catalog.opening(segment + 1);
            open.next = Some(self.again_if_moved(segment + 1, next)?);
        }
        let limit = open
            .next
            .as_ref()
            .map_or(durable_end, |next| next.start.previous_end);
        let step = match &mut open.body {
            Body::Live(reader) => match reader.visit(from, limit, sink) {
                Err(ReadError::Damaged(_)) if self.catalog.sealed_meanwhile(segment) => {
                    // The file has become another segment: go on behind the last whole block.
                    self.position = position(segment, reader.reached().max(from));
                    return Ok(());
                }
                visited => visited?,
            },
            Body::Sealed(reader) => reader.visit(from, sink)?,
        };
        self.position = match (step, &open.next) {
            (Step::Stopped(offset), _) => position(segment, offset),
            (Step::Done, None) => durable,
            (Step::Done, Some(next)) => {
                match &open.body {
                    Body::Live(reader) => reader.ends_at(limit, &next.header)?,
                    Body::Sealed(reader) => reader.ends_at(limit, &next.header)?,
                }
                position(segment + 1, 0)
            }
        };
        self.open = Some(open);
        Ok(())
    }

    /// Tries a second time if a file was not there, or was another segment: this one may have been
    /// sealed or given up between the look at the catalog and the opening.
    fn again_if_moved<T>(
        &self,
        segment: u32,
        attempt: impl Fn() -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        self.check_kept(segment)?;
        match attempt() {
            Err(ReadError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                self.check_kept(segment)?;
                self.catalog.sealed_meanwhile(segment);
                attempt()
            }
            Err(ReadError::Damaged(_)) if self.catalog.sealed_meanwhile(segment) => attempt(),
            done => done,
        }
    }

    fn open_segment(&self, segment: u32, durable: u64) -> Result<Open, ReadError> {
        let catalog = &self.catalog;
        let (last, durable_end) = split_position(durable);
        let next = (segment < last)
            .then(|| catalog.opening(segment + 1))
            .transpose()?;
        let limit = next
            .as_ref()
            .map_or(durable_end, |next| next.start.previous_end);
        let from = split_position(self.position).1;
        let body = match catalog.form(segment) {
            Some(Form::Live) => {
                Body::Live(Box::new(LiveReader::open(catalog, segment, from, limit)?))
            }
            Some(Form::Sealed) => Body::Sealed(Box::new(SealedReader::open(
                catalog,
                segment,
                &self.partitions,
                self.personal,
            )?)),
            None => {
                let file = live_name(segment);
                return Err(Damage {
                    file,
                    offset: 0,
                    what: "the segment is missing",
                }
                .into());
            }
        };
        Ok(Open {
            segment,
            body,
            next,
        })
    }
}

impl Read for Reader {
    fn read(
        &mut self,
        budget: ReadBudget,
        visit: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<Progress, ReadError> {
        let durable = self.durable.position();
        let partitions = self.partitions.clone();
        let mut sink = Sink {
            partitions: &partitions,
            budget,
            records: 0,
            bytes: 0,
            visit,
        };
        while self.position < durable && !sink.is_full() {
            self.read_segment(durable, &mut sink)?;
        }
        Ok(Progress {
            cursor: self.cursor(),
            records: sink.records,
            bytes: sink.bytes,
            at_end: self.position >= durable,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor {
            incarnation: self.catalog.incarnation,
            position: self.position,
        }
    }

    fn skip_personal(&mut self) {
        self.personal = false;
        self.open = None;
    }
}
