use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::ledger::conformance::{Engine, model, run};
use crate::ledger::{Ledger, LedgerError};

mod crash;
mod damage;
mod files;
mod rot;

/// A ledger in a folder of its own, in which every connection opens the file again.
struct Files {
    folder: TempDir,
    number: u32,
}

impl Files {
    fn new() -> Files {
        Files {
            folder: TempDir::new().unwrap(),
            number: 0,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder
            .path()
            .join(format!("ledger-{}.db", self.number))
    }
}

impl Engine for Files {
    fn fresh(&mut self, partitions: u16) -> Result<(), LedgerError> {
        self.number += 1;
        SqliteLedger::create(&self.path(), partitions).map(drop)
    }

    fn connect(&mut self) -> Result<Box<dyn Ledger + Send>, LedgerError> {
        Ok(Box::new(SqliteLedger::open(&self.path())?))
    }
}

#[test]
fn sqlite_keeps_every_promise() {
    run(&mut Files::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn random_histories_equal_the_model(seed: u64) {
        model::run(&mut Files::new(), seed, 25).unwrap();
    }
}
