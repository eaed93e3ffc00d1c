//! Giving up what was kept long enough: personal parts first, facts later, always the oldest.
//!
//! The log reads no clock: it says when its segments were begun, and the caller decides. What is
//! given up is written down (`kept`) and durable before a file is removed, so that a file which is
//! missing for any other reason is noticed.

use crate::api::{Cursor, ReadError};
use crate::catalog::{Catalog, Form, io_error};
use crate::format::{facts_name, live_name, personal_name, position, split_position};
use crate::log::SegmentLog;
use crate::meta::{KEPT_NAME, Kept};
use crate::segment::remove_if_there;
use crate::shared::hold;

/// What retention needs to know of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Where it begins.
    pub first: Cursor,
    /// When it was begun, in Unix milliseconds by the clock of [`crate::Options::clock_ms`]; its
    /// last record is older than the begin of the next one.
    pub created_ms: u64,
    /// Whether it is sealed; only sealed segments can be given up.
    pub sealed: bool,
    /// Bytes on disk, of the live file or of the facts file.
    pub facts_bytes: u64,
    /// Bytes on disk of the personal file; `None` if it was given up, or is not apart yet.
    pub personal_bytes: Option<u64>,
}

impl SegmentLog {
    /// The segments that are kept, oldest first.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>, ReadError> {
        self.catalog
            .segments()
            .into_iter()
            .map(|(segment, _)| self.info(segment))
            .collect()
    }

    fn info(&self, segment: u32) -> Result<SegmentInfo, ReadError> {
        let catalog = &self.catalog;
        let opening = catalog.opening(segment)?;
        let sealed = catalog.form(segment) == Some(Form::Sealed);
        let size = |name: String| {
            let file = catalog.open(&name)?;
            file.len()
                .map_err(|error| io_error("measure", &name, error))
        };
        let personal = sealed && segment >= catalog.kept().personal_first;
        Ok(SegmentInfo {
            first: Cursor {
                incarnation: catalog.incarnation,
                position: position(segment, 0),
            },
            created_ms: opening.start.created_ms,
            sealed,
            facts_bytes: size(if sealed {
                facts_name(segment)
            } else {
                live_name(segment)
            })?,
            personal_bytes: personal.then(|| size(personal_name(segment))).transpose()?,
        })
    }

    /// Removes the personal parts of the sealed segments that end before `before`; readers get
    /// `personal: None` from then on. Returns how many segments lost them. A live segment whose
    /// file still has some of them behind its end is ended and cut by the writer, a moment later.
    pub fn expire_personal(&self, before: Cursor) -> Result<u32, ReadError> {
        let _one_at_a_time = hold(&self.retention);
        let kept = self.catalog.kept();
        let personal_first = self.sealed_before(before).max(kept.personal_first);
        self.keep(Kept {
            personal_first,
            ..kept
        })?;
        Ok(personal_first - kept.personal_first)
    }

    /// Removes the sealed segments that end before `before`; a reader that asks for them is told
    /// [`ReadError::Gone`]. Returns how many were removed.
    pub fn expire_facts(&self, before: Cursor) -> Result<u32, ReadError> {
        let _one_at_a_time = hold(&self.retention);
        let kept = self.catalog.kept();
        let facts_first = self.sealed_before(before).max(kept.facts_first);
        let personal_first = kept.personal_first.max(facts_first);
        self.keep(Kept {
            facts_first,
            personal_first,
        })?;
        Ok(facts_first - kept.facts_first)
    }

    /// The first segment that is not sealed, or not wholly before the cursor.
    fn sealed_before(&self, before: Cursor) -> u32 {
        let (limit, _) = split_position(before.position);
        let segments = self.catalog.segments();
        let unsealed = segments.iter().find(|(_, form)| *form != Form::Sealed);
        unsealed.map_or(0, |(segment, _)| *segment).min(limit)
    }

    fn keep(&self, kept: Kept) -> Result<(), ReadError> {
        let before = self.catalog.kept();
        if kept == before {
            return Ok(());
        }
        let catalog = &self.catalog;
        kept.write(&*catalog.disk, &catalog.dir, catalog.incarnation)
            .map_err(|error| io_error("write", KEPT_NAME, error))?;
        catalog.keep(kept);
        for spare in catalog.spares.forget_before(kept.personal_first) {
            remove(catalog, &spare.name())?;
        }
        // It ends a segment behind whose end such parts may stand.
        self.shared.wake_writer();
        for segment in before.personal_first..kept.personal_first {
            remove(catalog, &personal_name(segment))?;
        }
        for segment in before.facts_first..kept.facts_first {
            remove(catalog, &facts_name(segment))?;
        }
        catalog
            .disk
            .sync_dir(&catalog.dir)
            .map_err(|error| io_error("sync", "the directory", error))
    }
}

/// Removes a file. One that stays behind after a failure is removed at the next opening.
fn remove(catalog: &Catalog, name: &str) -> Result<(), ReadError> {
    remove_if_there(&*catalog.disk, &catalog.dir.join(name))
        .map_err(|error| io_error("remove", name, error))
}
