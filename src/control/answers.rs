//! `api.answers`: what the API has answered to writes with an `Idempotency-Key`, and what it was
//! about to change, so that a write that is sent again after `kill -9` is done once.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | length of the entry, little-endian |
//! | 8 | first bytes of the entry's SHA-256 |
//! | | the entry: a kind, and by it |
//! | *noted* | request, time, first number and count of its changes, SHA-256 of the first one's record, the log's cursor before it |
//! | *withdrawn* | request: the log did not take it |
//! | *answered* | request, time, status, headers, body |
//!
//! A change is noted and synced before it is appended to the log, and an answer before it is
//! given. Whether what was noted happened is seen from the log: the control record of that number
//! is the noted one, or another, or not there. Entries are appended; the file is written anew when
//! it is opened and when it has grown, without what is older than a day. A torn end is cut off.
//! Bodies hold no secrets, but they are a tenant's: mode 0600.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use tollgate_click::codec::{DecodeError, Reader, put_bytes, put_varint};
use tollgate_click::{Control, Millis};
use tollgate_log::Cursor;
use tollgate_query::idempotency::{KEPT_MS, Memory, Remembered, RequestId};

const NAME: &str = "api.answers";

/// Bytes of the file after which it is written anew.
const BYTES_MAX: u64 = 128 << 20;

/// Bytes of one entry; answers are shorter.
const ENTRY_BYTES_MAX: usize = 16 << 20;

/// What was about to be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Note {
    pub(crate) request: RequestId,
    pub(crate) at: Millis,
    /// The number of its first change, and how many there are.
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// SHA-256 of the facts of the first change's record.
    pub(crate) record: [u8; 32],
    /// The log's durable end before.
    pub(crate) before: Cursor,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Entry {
    Noted(Note),
    Withdrawn(RequestId),
    Answered(Remembered),
}

/// The file.
pub(crate) struct AnswerBook(Mutex<Book>);

struct Book {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// By their slots; an answered one is not among them.
    notes: BTreeMap<[u8; 32], Noted>,
}

struct Noted {
    note: Note,
    /// The changes, once they are known to be made.
    made: Option<Vec<Control>>,
}

impl AnswerBook {
    /// Opens the file of a data directory, or makes one; `now` says what is old.
    pub(crate) fn open(dir: &Path, now: Millis) -> io::Result<AnswerBook> {
        let path = dir.join(NAME);
        let entries = live(read(&path)?, now);
        let notes = entries.iter().filter_map(|entry| match entry {
            Entry::Noted(note) => Some((
                note.request.slot,
                Noted {
                    note: *note,
                    made: None,
                },
            )),
            _ => None,
        });
        let notes = notes.collect();
        let (file, bytes) = write_anew(&path, &entries)?;
        Ok(AnswerBook(Mutex::new(Book {
            path,
            file,
            bytes,
            notes,
        })))
    }

    /// Notes what is about to be changed; durable when it returns.
    pub(crate) fn note(&self, note: Note) -> io::Result<()> {
        let mut book = self.book();
        book.append(&Entry::Noted(note), note.at)?;
        let noted = Noted { note, made: None };
        book.notes.insert(note.request.slot, noted);
        Ok(())
    }

    /// What was noted did not happen. When that cannot be written it is found out again.
    pub(crate) fn withdraw(&self, request: RequestId) {
        let mut book = self.book();
        if let Some(noted) = book.notes.remove(&request.slot) {
            let withdrawn = book.append(&Entry::Withdrawn(request), noted.note.at);
            if let Err(error) = withdrawn {
                tracing::warn!(%error, "a note of a write was not withdrawn");
            }
        }
    }

    /// What was noted happened, and made these changes.
    pub(crate) fn made(&self, request: RequestId, changes: Vec<Control>) {
        if let Some(noted) = self.book().notes.get_mut(&request.slot) {
            noted.made = Some(changes);
        }
    }

    /// Notes of which nobody knows whether they happened.
    pub(crate) fn open_notes(&self) -> Vec<Note> {
        let book = self.book();
        let open = book.notes.values().filter(|noted| noted.made.is_none());
        open.map(|noted| noted.note).collect()
    }

    /// What a request has changed that was never answered.
    pub(crate) fn carried_out(&self, request: RequestId) -> Option<Vec<Control>> {
        let book = self.book();
        let noted = book.notes.get(&request.slot)?;
        let is_it = noted.note.request == request;
        noted.made.clone().filter(|_| is_it)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory for AnswerBook {
    fn recall(&self) -> Vec<Remembered> {
        let path = self.book().path.clone();
        let entries = read(&path).unwrap_or_else(|error| {
            tracing::error!(%error, "{NAME} cannot be read; answers of before are not known");
            Vec::new()
        });
        let answers = entries.into_iter().filter_map(|entry| match entry {
            Entry::Answered(answer) => Some(answer),
            _ => None,
        });
        answers.collect()
    }

    fn keep(&self, answer: &Remembered) -> io::Result<()> {
        let mut book = self.book();
        book.append(&Entry::Answered(answer.clone()), answer.at)?;
        book.notes.remove(&answer.request.slot);
        Ok(())
    }

    fn is_noted(&self, request: RequestId) -> bool {
        self.book().notes.contains_key(&request.slot)
    }
}

impl Book {
    fn append(&mut self, entry: &Entry, now: Millis) -> io::Result<()> {
        if self.bytes > BYTES_MAX {
            let entries = live(read(&self.path)?, now);
            (self.file, self.bytes) = write_anew(&self.path, &entries)?;
        }
        let bytes = framed(entry);
        let written = self.file.write_all(&bytes);
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            // What is half there would hide all that came after it.
            self.file.set_len(self.bytes).unwrap_or_default();
            return Err(error);
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// The last entry of each request, in the order of the file, without what is old or came to
/// nothing.
fn live(entries: Vec<Entry>, now: Millis) -> Vec<Entry> {
    let mut last = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        last.insert(entry.request().slot, place);
    }
    let is_live = |(place, entry): &(usize, Entry)| {
        let at = match entry {
            Entry::Noted(note) => note.at,
            Entry::Answered(answer) => answer.at,
            Entry::Withdrawn(_) => return false,
        };
        last.get(&entry.request().slot) == Some(place) && now.since(at) <= KEPT_MS
    };
    let entries = entries.into_iter().enumerate().filter(is_live);
    entries.map(|(_, entry)| entry).collect()
}

/// All entries up to the first that is torn or damaged.
fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let (mut rest, mut entries) = (bytes.as_slice(), Vec::new());
    while let Some((entry, after)) = unframed(rest) {
        match decode(entry) {
            Ok(entry) => entries.push(entry),
            Err(error) => {
                tracing::warn!(%error, "{NAME} is damaged; what follows is not known");
                return Ok(entries);
            }
        }
        rest = after;
    }
    if !rest.is_empty() {
        tracing::info!(bytes = rest.len(), "{NAME} had a torn end");
    }
    Ok(entries)
}

fn write_anew(path: &Path, entries: &[Entry]) -> io::Result<(File, u64)> {
    let beside = path.with_extension("answers.new");
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = options.open(&beside)?;
    let mut bytes = 0;
    for entry in entries {
        let framed = framed(entry);
        file.write_all(&framed)?;
        bytes += framed.len() as u64;
    }
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok((OpenOptions::new().append(true).open(path)?, bytes))
}

fn framed(entry: &Entry) -> Vec<u8> {
    let entry = encode(entry);
    let mut framed = Vec::with_capacity(entry.len() + 12);
    framed.extend_from_slice(&(entry.len() as u32).to_le_bytes());
    framed.extend(Sha256::digest(&entry).iter().take(8));
    framed.extend(entry);
    framed
}

fn unframed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<8>()?;
    let (entry, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let is_whole = Sha256::digest(entry).iter().take(8).eq(sum);
    is_whole.then_some((entry, rest))
}

impl Entry {
    fn request(&self) -> RequestId {
        match self {
            Entry::Noted(note) => note.request,
            Entry::Withdrawn(request) => *request,
            Entry::Answered(answer) => answer.request,
        }
    }
}

const NOTED: u8 = 1;
const WITHDRAWN: u8 = 2;
const ANSWERED: u8 = 3;

fn encode(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    out.push(match entry {
        Entry::Noted(_) => NOTED,
        Entry::Withdrawn(_) => WITHDRAWN,
        Entry::Answered(_) => ANSWERED,
    });
    let RequestId { slot, body } = entry.request();
    out.extend_from_slice(&slot);
    out.extend_from_slice(&body);
    match entry {
        Entry::Noted(note) => {
            put_varint(&mut out, note.at.0);
            put_varint(&mut out, note.first);
            put_varint(&mut out, note.count);
            out.extend_from_slice(&note.record);
            out.extend_from_slice(&note.before.incarnation.to_le_bytes());
            out.extend_from_slice(&note.before.position.to_le_bytes());
        }
        Entry::Withdrawn(_) => {}
        Entry::Answered(answer) => {
            put_varint(&mut out, answer.at.0);
            put_varint(&mut out, answer.status.into());
            put_varint(&mut out, answer.headers.len() as u64);
            for (name, value) in &answer.headers {
                put_bytes(&mut out, name.as_bytes());
                put_bytes(&mut out, value.as_bytes());
            }
            put_bytes(&mut out, &answer.body);
        }
    }
    out
}

fn decode(bytes: &[u8]) -> Result<Entry, DecodeError> {
    let mut reader = Reader::new(bytes);
    let [kind] = reader.array("kind")?;
    let request = RequestId {
        slot: reader.array("slot")?,
        body: reader.array("request")?,
    };
    let entry = match kind {
        NOTED => Entry::Noted(Note {
            request,
            at: Millis(reader.varint("time")?),
            first: reader.varint("first change")?,
            count: reader.varint("changes")?,
            record: reader.array("record")?,
            before: Cursor {
                incarnation: reader.u64("cursor")?,
                position: reader.u64("cursor")?,
            },
        }),
        WITHDRAWN => Entry::Withdrawn(request),
        ANSWERED => Entry::Answered(Remembered {
            request,
            at: Millis(reader.varint("time")?),
            status: u16::try_from(reader.varint("status")?)
                .map_err(|_| DecodeError::Invalid("status"))?,
            headers: headers(&mut reader)?,
            body: reader.bytes(ENTRY_BYTES_MAX, "body")?.to_vec(),
        }),
        _ => return Err(DecodeError::Invalid("kind")),
    };
    reader.finish()?;
    Ok(entry)
}

fn headers(reader: &mut Reader<'_>) -> Result<Vec<(String, String)>, DecodeError> {
    let mut headers = Vec::new();
    for _ in 0..reader.varint("headers")? {
        let mut text = || {
            let bytes = reader.bytes(ENTRY_BYTES_MAX, "header")?.to_vec();
            String::from_utf8(bytes).map_err(|_| DecodeError::Invalid("header"))
        };
        headers.push((text()?, text()?));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(number: u8) -> RequestId {
        RequestId {
            slot: [number; 32],
            body: [number; 32],
        }
    }

    fn note(number: u8, at: u64) -> Note {
        Note {
            request: request(number),
            at: Millis(at),
            first: 7,
            count: 2,
            record: [3; 32],
            before: Cursor {
                incarnation: 1,
                position: 99,
            },
        }
    }

    fn answer(number: u8, at: u64) -> Remembered {
        Remembered {
            request: request(number),
            at: Millis(at),
            status: 201,
            headers: vec![("etag".to_owned(), "\"a\"".to_owned())],
            body: b"{}".to_vec(),
        }
    }

    fn open(dir: &Path, now: u64) -> AnswerBook {
        AnswerBook::open(dir, Millis(now)).unwrap()
    }

    #[test]
    fn a_note_lives_until_it_is_answered_or_withdrawn_and_an_answer_for_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let book = open(dir.path(), 0);
        for number in 1..=3 {
            book.note(note(number, 10)).unwrap();
        }
        book.keep(&answer(2, 10)).unwrap();
        book.withdraw(request(3));
        drop(book);
        let book = open(dir.path(), 20);
        assert_eq!(book.open_notes(), [note(1, 10)]);
        assert_eq!(book.recall(), [answer(2, 10)]);
        assert!(book.is_noted(request(1)) && !book.is_noted(request(3)));
        assert_eq!(book.carried_out(request(1)), None, "nobody knows yet");
        book.made(request(1), Vec::new());
        assert_eq!(book.carried_out(request(1)), Some(Vec::new()));
        let other = RequestId {
            body: [9; 32],
            ..request(1)
        };
        assert_eq!(
            book.carried_out(other),
            None,
            "another request under the same key"
        );
        let book = open(dir.path(), 11 + KEPT_MS);
        assert!(book.open_notes().is_empty() && book.recall().is_empty());
    }

    #[test]
    fn a_torn_end_is_cut_off_at_every_byte() {
        let dir = tempfile::tempdir().unwrap();
        let book = open(dir.path(), 0);
        book.keep(&answer(1, 10)).unwrap();
        let whole = fs::read(dir.path().join(NAME)).unwrap().len();
        book.note(note(2, 10)).unwrap();
        let bytes = fs::read(dir.path().join(NAME)).unwrap();
        for end in 0..bytes.len() {
            fs::write(dir.path().join(NAME), &bytes[..end]).unwrap();
            let book = open(dir.path(), 10);
            let kept = usize::from(end >= whole);
            assert_eq!(
                (book.recall().len(), book.open_notes().len()),
                (kept, 0),
                "{end}"
            );
            book.keep(&answer(3, 10)).unwrap();
            assert_eq!(open(dir.path(), 10).recall().len(), kept + 1, "{end}");
        }
    }
}
