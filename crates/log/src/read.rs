//! The reader of a segment log: walks from segment to segment up to the durable end.

use std::io;
use std::sync::Arc;

use crate::api::{
    Cursor, Damage, PartitionSet, Progress, Read, ReadBudget, ReadError, ReadFrom, RecordRef,
};
use crate::catalog::{Catalog, Form};
use crate::format::{live_name, position, split_position};
use crate::live::{LiveReader, Sink, Step};
use crate::seal::SealedReader;
use crate::shared::Durable;

/// Reads the durable records of some partitions; see [`Read`].
pub struct Reader {
    catalog: Arc<Catalog>,
    durable: Arc<Durable>,
    partitions: PartitionSet,
    position: u64,
    open: Option<Open>,
}

/// The segment that is being read.
struct Open {
    segment: u32,
    body: Body,
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
        let next = (segment < last)
            .then(|| self.catalog.opening(segment + 1))
            .transpose()?;
        let limit = next
            .as_ref()
            .map_or(durable_end, |next| next.start.previous_end);
        let mut open = match self.open.take().filter(|open| open.segment == segment) {
            Some(open) => open,
            None => self.open_segment(segment, from, limit)?,
        };
        let step = match &mut open.body {
            Body::Live(reader) => reader.visit(from, limit, sink)?,
            Body::Sealed(reader) => reader.visit(from, sink)?,
        };
        self.position = match (step, next) {
            (Step::Stopped(offset), _) => position(segment, offset),
            (Step::Done, None) => durable,
            (Step::Done, Some(next)) => {
                if let Body::Live(reader) = &open.body {
                    reader.ends_at(limit, &next.header)?;
                }
                position(segment + 1, 0)
            }
        };
        self.open = Some(open);
        Ok(())
    }

    fn open_segment(&self, segment: u32, from: u32, limit: u32) -> Result<Open, ReadError> {
        self.check_kept(segment)?;
        match self.try_open(segment, from, limit) {
            // The segment was sealed or removed between the look at the catalog and the opening.
            Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                self.check_kept(segment)?;
                self.try_open(segment, from, limit)
            }
            opened => opened,
        }
    }

    fn try_open(&self, segment: u32, from: u32, limit: u32) -> Result<Open, ReadError> {
        let catalog = &self.catalog;
        let body = match catalog.form(segment) {
            Some(Form::Live { .. }) => {
                Body::Live(Box::new(LiveReader::open(catalog, segment, from, limit)?))
            }
            Some(Form::Sealed) => Body::Sealed(Box::new(SealedReader::open(
                catalog,
                segment,
                &self.partitions,
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
        Ok(Open { segment, body })
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
}
