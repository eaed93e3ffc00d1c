//! Notes of writes, and what the log says became of them.

use sha2::{Digest, Sha256};
use tollgate_click::{Control, Millis, Record};
use tollgate_log::{Log, Partition, Read, ReadBudget, ReadFrom};
use tollgate_query::idempotency::RequestId;

use super::answers::Note;
use super::{Numbered, OfferError, Sequencer};

impl Sequencer {
    /// Notes what is about to be appended under a request.
    pub(super) async fn note(
        &self,
        request: Option<RequestId>,
        records: &[Numbered],
        (first, at): (u64, Millis),
    ) -> Result<(), OfferError> {
        let (Some(request), Some(record)) = (request, records.first()) else {
            return Ok(());
        };
        let note = Note {
            request,
            at,
            first,
            count: records.len() as u64,
            record: Sha256::digest(&record.facts).into(),
            before: self.log.durable(),
        };
        let book = self.book.clone();
        let noted = tokio::task::spawn_blocking(move || book.note(note)).await;
        let noted = noted.map_err(std::io::Error::other).flatten();
        noted.map_err(|error| OfferError::Read(anyhow::Error::new(error).context("api.answers")))
    }

    /// Finds out from the log which of the noted changes were made.
    pub(super) fn look_notes_up(&mut self) {
        for note in self.book.open_notes() {
            match self.changes_of(&note) {
                Ok(Some(changes)) => self.book.made(note.request, changes),
                Ok(None) => self.book.withdraw(note.request),
                Err(error) => {
                    // It may have been made: to make it again would be worse than to say nothing.
                    tracing::error!(error = format!("{error:#}"), "a noted write is not known");
                    self.book.made(note.request, Vec::new());
                }
            }
        }
    }

    /// The changes that a note speaks of, if the record under its first number is the noted one.
    fn changes_of(&self, note: &Note) -> anyhow::Result<Option<Vec<Control>>> {
        let control = Partition(self.partitions);
        let from = ReadFrom::Cursor(note.before);
        let mut reader = self.log.reader(control.into(), from)?;
        let numbers = note.first..note.first.saturating_add(note.count);
        let (mut changes, mut is_it) = (Vec::new(), false);
        loop {
            let mut is_past = false;
            let progress = reader.read(ReadBudget::default(), &mut |record| {
                let Ok(Record::Control(change)) = Record::decode(record.facts) else {
                    return;
                };
                if record.partition != control {
                    return;
                }
                if change.number.0 == note.first {
                    is_it = Sha256::digest(record.facts)[..] == note.record;
                }
                is_past |= change.number.0 >= numbers.end;
                if numbers.contains(&change.number.0) {
                    changes.push(change);
                }
            })?;
            if progress.at_end || is_past {
                return Ok(is_it.then_some(changes));
            }
        }
    }
}
