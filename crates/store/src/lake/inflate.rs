//! Pages of a chunk, decompressed with one context a thread: the library makes a new one for every
//! chunk, which costs more than a small chunk has bytes.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;

/// Bytes of a page, decompressed; a page of ours has a few megabytes.
const PAGE_BYTES_MAX: u64 = 1 << 30;

thread_local! {
    static ZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The pages of a chunk.
pub(crate) struct Pages<R: ChunkReader> {
    pressed: SerializedPageReader<R>,
    is_pressed: bool,
}

impl<R: ChunkReader> Pages<R> {
    /// Those of the chunk in `piece`.
    pub(crate) fn new(
        piece: Arc<R>,
        chunk: &ColumnChunkMetaData,
        rows: usize,
    ) -> Result<Pages<R>, ParquetError> {
        let is_pressed = chunk.compression() != Compression::UNCOMPRESSED;
        // The library is to leave the pages as they are.
        let plain = chunk.clone().into_builder();
        let plain = plain.set_compression(Compression::UNCOMPRESSED).build()?;
        let pressed = SerializedPageReader::new(piece, &plain, rows, None)?;
        Ok(Pages {
            pressed,
            is_pressed,
        })
    }
}

impl<R: ChunkReader> PageReader for Pages<R> {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        let mut page = self.pressed.get_next_page()?;
        if self.is_pressed
            && let Some(Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. }) = &mut page
        {
            *buf = decompress(buf)?;
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        self.pressed.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.pressed.skip_next_page()
    }
}

impl<R: ChunkReader> Iterator for Pages<R> {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

fn decompress(pressed: &[u8]) -> Result<Bytes, ParquetError> {
    if pressed.is_empty() {
        return Ok(Bytes::new());
    }
    let size = zstd::zstd_safe::get_frame_content_size(pressed)
        .ok()
        .flatten();
    let size = size.filter(|size| *size <= PAGE_BYTES_MAX);
    let size = size.ok_or_else(|| ParquetError::General("a page does not say its size".into()))?;
    ZSTD.with_borrow_mut(|zstd| {
        let zstd = match zstd {
            Some(zstd) => zstd,
            none => none.insert(zstd::bulk::Decompressor::new()?),
        };
        Ok(Bytes::from(zstd.decompress(pressed, size as usize)?))
    })
}
