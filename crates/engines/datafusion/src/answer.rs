//! A question and its answer.

use std::path::Path;

use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use tollgate_click::{Ordinal, PartitionId};
use tollgate_store::lake::{LakeError, LocalObjects};
use tollgate_store::live;

use crate::cell::{Cell, cells};
use crate::tables;

/// Memory of one question; what sorts and groups need beyond it goes to temporary files.
const MEMORY_BYTES_MAX: usize = 1 << 30;

/// The tables of a data directory as they are at one moment.
pub struct Sql {
    context: SessionContext,
    complete: Complete,
}

/// Up to which record of each partition the tables have everything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Complete {
    /// `clicks`, `personal` and `records`.
    pub lake: Vec<(PartitionId, Ordinal)>,
    /// `minutes` and `uniques`.
    pub rollups: Vec<(PartitionId, Ordinal)>,
}

/// An answer while it comes.
pub struct Answer {
    columns: Vec<String>,
    batches: SendableRecordBatchStream,
}

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// Which files there are cannot be read.
    #[error("{0}")]
    Files(#[from] LakeError),
    /// The question is wrong: it cannot be read, names what is not there, or is none.
    #[error("{0}")]
    Question(String),
    /// A file was merged away while it was read: the same question asked again reads the new one.
    #[error("the tables have moved on: {0}")]
    Moved(String),
    /// It cannot be answered: a damaged file, or no room.
    #[error("{0}")]
    Engine(String),
}

impl Sql {
    /// Takes the files below `root` that hold rows at this moment.
    ///
    /// # Errors
    ///
    /// [`SqlError`] when the lists of files cannot be read.
    pub fn open(root: &Path) -> Result<Sql, SqlError> {
        let objects = LocalObjects::new(root);
        let (rollups, lake) = (live::rollups(&objects)?, live::lake(&objects)?);
        let runtime = RuntimeEnvBuilder::new().with_memory_limit(MEMORY_BYTES_MAX, 1.0);
        let runtime = runtime.build_arc().map_err(engine)?;
        let config = SessionConfig::new().with_information_schema(true);
        let context = SessionContext::new_with_config_rt(config, runtime);
        for table in lake.tables.iter().chain(&rollups.tables) {
            tables::register(&context, root, table).map_err(engine)?;
        }
        let complete = Complete {
            lake: lake.through,
            rollups: rollups.through,
        };
        Ok(Sql { context, complete })
    }

    /// Up to where the tables go.
    pub fn complete(&self) -> &Complete {
        &self.complete
    }

    /// Asks.
    ///
    /// # Errors
    ///
    /// [`SqlError::Question`] for everything that is wrong with the text.
    pub async fn ask(&self, text: &str) -> Result<Answer, SqlError> {
        let read_only = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let planned = self.context.sql_with_options(text, read_only).await;
        let planned = planned.map_err(|error| SqlError::Question(told(&error)))?;
        let fields = planned.schema().fields().iter();
        let columns = fields.map(|field| field.name().clone()).collect();
        let batches = planned.execute_stream().await.map_err(engine)?;
        Ok(Answer { columns, batches })
    }
}

impl Answer {
    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Some more rows; none at the end.
    ///
    /// # Errors
    ///
    /// [`SqlError`]: what came before is not the whole answer.
    pub async fn next(&mut self) -> Result<Option<Vec<Vec<Cell>>>, SqlError> {
        let Some(batch) = self.batches.next().await else {
            return Ok(None);
        };
        let batch = batch.map_err(engine)?;
        let mut rows = vec![Vec::with_capacity(batch.num_columns()); batch.num_rows()];
        for column in batch.columns() {
            let cells = cells(column).map_err(|error| SqlError::Engine(error.to_string()))?;
            for (row, cell) in rows.iter_mut().zip(cells) {
                row.push(cell);
            }
        }
        Ok(Some(rows))
    }
}

fn engine(error: DataFusionError) -> SqlError {
    let text = told(&error);
    match text.contains("NotFound") || text.contains("No such file") {
        true => SqlError::Moved(text),
        false => SqlError::Engine(text),
    }
}

/// What the engine says, without the names of its own parts.
fn told(error: &DataFusionError) -> String {
    error.strip_backtrace()
}
