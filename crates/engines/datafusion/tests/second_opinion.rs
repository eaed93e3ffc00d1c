//! The second opinion: typed questions by seed, answered by our kernels and by DataFusion from the
//! same files. Both answers go through one encoder, and must be the same bytes.
//!
//! Our kernels take the coarsest table that can answer: hours, days, months. DataFusion adds up
//! `minutes`, or the clicks of the lake themselves, in SQL that is written here from the table of
//! outcomes in `docs/concepts/how-we-count.md`.
//!
//! A failure prints its seed; again: `OPINION_SEED=N cargo test -p tollgate-datafusion --features
//! engine`.

#![cfg(feature = "engine")]

#[path = "opinion/question.rs"]
mod question;
#[path = "opinion/world.rs"]
mod world;

use std::path::Path;
use std::sync::Arc;

use question::{Base, Dice};
use tollgate_datafusion::{Cell, Sql, SqlError, csv_row, json_row};
use tollgate_store::lake::LocalObjects;
use tollgate_store::rollup::{Key, Query, QueryError, Rollups};

const QUESTIONS: u64 = 500;
const SEED: u64 = 20_261_124;

/// What both give: bytes of all rows, and whether there were more.
#[derive(PartialEq, Debug)]
enum Opinion {
    Rows {
        csv: String,
        json: String,
        more: bool,
    },
    /// Money of several currencies would have to be added.
    Currencies,
}

fn seed() -> u64 {
    let given = std::env::var("OPINION_SEED").ok();
    let seed = given.and_then(|text| text.parse().ok()).unwrap_or(SEED);
    println!("OPINION_SEED={seed}");
    seed
}

fn encoded(rows: &[Vec<Cell>], more: bool) -> Opinion {
    Opinion::Rows {
        csv: rows.iter().map(|row| csv_row(row)).collect(),
        json: rows.iter().map(|row| json_row(row).to_string()).collect(),
        more,
    }
}

fn ours(rollups: &Rollups, query: &Query) -> Opinion {
    let answer = match rollups.answer(query, None) {
        Ok(answer) => answer,
        Err(QueryError::Currencies) => return Opinion::Currencies,
        Err(error) => panic!("{query:?}: {error}"),
    };
    let cells = answer.rows.into_iter().map(|row| {
        let keys = row.keys.into_iter().map(|key| match key {
            Key::Number(number) => Cell::Unsigned(number),
            Key::Text(text) => Cell::Text(text),
        });
        keys.chain(row.values.into_iter().map(Cell::Signed))
            .collect()
    });
    encoded(&cells.collect::<Vec<Vec<Cell>>>(), answer.more)
}

async fn rows(sql: &Sql, text: &str) -> Vec<Vec<Cell>> {
    let mut answer = match sql.ask(text).await {
        Ok(answer) => answer,
        Err(error) => panic!("{text}: {error}"),
    };
    let mut rows = Vec::new();
    while let Some(more) = answer.next().await.unwrap() {
        rows.extend(more);
    }
    rows
}

/// The last column of the SQL counts currencies of money.
async fn theirs(sql: &Sql, query: &Query, base: Base) -> Opinion {
    let spends = query
        .metrics
        .contains(&tollgate_store::rollup::Metric::Spend);
    if spends {
        let most = rows(sql, &question::most_currencies(query, base)).await;
        if matches!(most[0][0], Cell::Signed(count) if count > 1) {
            return Opinion::Currencies;
        }
    }
    let mut rows = rows(sql, &question::text(query, base)).await;
    let more = rows.len() > query.limit;
    rows.truncate(query.limit);
    encoded(&rows, more)
}

#[tokio::test]
async fn both_engines_give_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let seed = seed();
    world::build(dir.path(), seed);
    let sql = Sql::open(dir.path()).unwrap();
    let rollups = Rollups::new(Arc::new(LocalObjects::new(dir.path())), []);
    let mut dice = Dice(seed);
    let (mut rows, mut refused) = (0, 0);
    for number in 0..QUESTIONS {
        let query = question::query(&mut dice);
        let base = dice.pick(&[Base::Minutes, Base::Minutes, Base::Clicks]);
        let (ours, theirs) = (ours(&rollups, &query), theirs(&sql, &query, base).await);
        let text = question::text(&query, base);
        assert_eq!(
            ours, theirs,
            "seed {seed}, question {number}: {query:?}\n{text}"
        );
        match ours {
            Opinion::Rows { csv, .. } => rows += csv.lines().count(),
            Opinion::Currencies => refused += 1,
        }
    }
    println!("{QUESTIONS} questions: {rows} rows, {refused} refused for their currencies");
    // Questions that nothing matches would prove nothing.
    assert!(rows > 10_000 && refused < QUESTIONS / 4);
}

#[tokio::test]
async fn it_reads_its_own_tables_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    world::build(dir.path(), 1);
    let sql = Sql::open(dir.path()).unwrap();
    let other = dir.path().join("other.csv");
    std::fs::write(&other, "a\n1\n").unwrap();
    let shown = other.display();
    for text in [
        "CREATE TABLE t AS SELECT 1".to_owned(),
        "DROP TABLE clicks".to_owned(),
        "INSERT INTO minutes SELECT * FROM minutes".to_owned(),
        format!("COPY clicks TO '{shown}.out' STORED AS CSV"),
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{shown}'"),
        format!("SELECT * FROM '{shown}'"),
        "SET datafusion.execution.batch_size = 1".to_owned(),
        "SELECT 1; DROP TABLE clicks".to_owned(),
        "SELECT nothing FROM clicks".to_owned(),
        "SELECT".to_owned(),
        String::new(),
        "((((".repeat(20_000),
    ] {
        let asked = sql.ask(&text).await.map(drop);
        let head: String = text.chars().take(60).collect();
        assert!(
            matches!(asked, Err(SqlError::Question(_))),
            "{head}: {asked:?}"
        );
    }
    assert!(!dir.path().join("other.csv.out").exists());
    let counted = rows(&sql, "SELECT count(*) FROM clicks").await;
    assert!(matches!(counted[0][0], Cell::Signed(count) if count > 500));
}

#[tokio::test]
async fn what_no_list_names_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    world::build(dir.path(), 2);
    let count = async |root: &Path| {
        let sql = Sql::open(root).unwrap();
        let complete = sql.complete().clone();
        let text = "SELECT (SELECT count(*) FROM clicks), (SELECT sum(clicks) FROM minutes)";
        (rows(&sql, text).await, complete)
    };
    let before = count(dir.path()).await;
    // As a writer leaves one that died before it committed its batch.
    let folder = dir.path().join("rollup/minutes");
    let day = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    let file = std::fs::read_dir(day.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let stray = day.path().join("p0-900000-900001.parquet");
    std::fs::copy(file.path(), stray).unwrap();
    assert_eq!(count(dir.path()).await, before);
}

#[tokio::test]
async fn an_empty_directory_has_empty_tables() {
    let dir = tempfile::tempdir().unwrap();
    let sql = Sql::open(dir.path()).unwrap();
    for table in ["clicks", "personal", "records", "minutes", "uniques"] {
        let counted = rows(&sql, &format!("SELECT count(*) FROM {table}")).await;
        assert_eq!(counted, [[Cell::Signed(0)]]);
    }
}
