//! `GET /v1/reports`: typed sums over the rollups.

mod ask;
mod formats;
mod shown;

use http::{HeaderName, header};
use tollgate_click::Millis;
use tollgate_click::control::Role;
use tollgate_store::rollup::{Answer, Dimension, Key, Metric, Query, QueryError, ROWS_MAX};

pub(crate) use ask::PARAMS;
use ask::{Ask, Column, Format};
use shown::{Complete, Row};
pub(crate) use shown::{ReportAnswer, minute_text, time};

use crate::call::{Call, Reply};
use crate::data::Data;
use crate::problem::Problem;
use crate::tenant::Tenant;

/// Rows of one page, and of the page that is not told how long to be.
const PAGE_MAX: usize = ROWS_MAX;

const COMPLETE_BEFORE: HeaderName = HeaderName::from_static("tollgate-complete-before");
const POSTED_BEFORE: HeaderName = HeaderName::from_static("tollgate-posted-before");
const THROUGH: HeaderName = HeaderName::from_static("tollgate-through");
const NEXT: HeaderName = HeaderName::from_static("tollgate-next");

/// Answers a report.
pub(crate) async fn report(call: Call) -> Result<Reply, Problem> {
    let data = &*call.data;
    let place = call.place()?;
    let ask = Ask::parse(&call.params, data.node().now(), place.as_deref())?;
    check_role(&call.tenant, &ask)?;
    check_filters(data, &call.tenant, &ask)?;
    let posted_before = posted_before(data, &call.tenant);
    let (mut rows, through, more) = match ask.splits_spend() {
        false => sum(data, &call.tenant, &ask).await?,
        true => split(data, &call.tenant, &ask, posted_before).await?,
    };
    if let Some(after) = &ask.after {
        rows.retain(|row| row.keys > *after);
    }
    let is_cut = rows.len() > ask.limit;
    if more && !is_cut {
        let what = format!("the answer has more than {ROWS_MAX} rows in all");
        return Err(Problem::invalid(
            "dimensions",
            what,
            "fewer dimensions or more filters",
        ));
    }
    rows.truncate(ask.limit);
    let last = rows.last().filter(|_| is_cut);
    let next = last.map(|row| call.cursor(&ask.place(&row.keys)));
    let complete = Complete::of(data, &call.tenant, through, posted_before);
    reply(&ask, rows, next, complete)
}

/// What a publisher is not to know: what others pay.
fn check_role(tenant: &Tenant, ask: &Ask) -> Result<(), Problem> {
    let asks_money = ask.columns.iter().any(|column| column.is_money());
    match tenant.role() == Role::Publisher && asks_money {
        true => Err(Problem::forbidden(
            "a publisher's reports have no spend of advertisers",
        )),
        false => Ok(()),
    }
}

/// Who sees only some advertisers gets the same answer for a foreign id and for none.
fn check_filters(data: &Data, tenant: &Tenant, ask: &Ask) -> Result<(), Problem> {
    if tenant.sees_all() {
        return Ok(());
    }
    use tollgate_click::{AdId, AdvertiserId, CampaignId, PublisherId};
    let short = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let is_theirs = |dimension, number| {
        data.look(tenant, |seen| match dimension {
            Dimension::Advertiser => tenant.sees_advertiser(AdvertiserId(short(number))),
            Dimension::Publisher => tenant.sees_publisher(PublisherId(short(number))),
            // A publisher sees no campaigns, only its own clicks on them.
            Dimension::Campaign if tenant.role() != Role::Publisher => {
                seen.campaign(CampaignId(number)).is_some()
            }
            Dimension::Ad if tenant.role() != Role::Publisher => {
                number == 0 || seen.ad(AdId(number)).is_some()
            }
            _ => true,
        })
    };
    for filter in &ask.filters {
        for value in &filter.any_of {
            if let Key::Number(number) = value
                && !is_theirs(filter.dimension, *number)
            {
                return Err(Problem::not_found());
            }
        }
    }
    Ok(())
}

type Sums = (Vec<Row>, Answer, bool);

/// One question, one pass over the rollups.
async fn sum(data: &Data, tenant: &Tenant, ask: &Ask) -> Result<Sums, Problem> {
    let metrics = ask.columns.iter().filter_map(|column| column.metric());
    let answer = run(data, tenant, ask.query(metrics.collect())).await?;
    Ok(rows(answer))
}

/// With `posted` or `pending`: the minutes that the ledger has closed and those after, each
/// click in exactly one of them.
async fn split(
    data: &Data,
    tenant: &Tenant,
    ask: &Ask,
    posted_before: Millis,
) -> Result<Sums, Problem> {
    let mut metrics: Vec<Metric> = vec![Metric::Spend];
    metrics.extend(ask.columns.iter().filter_map(|column| column.metric()));
    metrics.sort_unstable();
    metrics.dedup();
    let cut = Millis(posted_before.0.clamp(ask.from.0, ask.to.0));
    let whole = ask.query(metrics.clone());
    let mut sums = std::collections::BTreeMap::<Vec<Key>, [Vec<i64>; 2]>::new();
    let (mut more, mut first) = (false, None);
    for (half, (from, to)) in [(ask.from, cut), (cut, ask.to)].into_iter().enumerate() {
        if from >= to {
            continue;
        }
        let answer = run(
            data,
            tenant,
            Query {
                from,
                to,
                ..whole.clone()
            },
        )
        .await?;
        let (rows, answer, has_more) = rows(answer);
        more |= has_more;
        for Row { keys, values } in rows {
            let halves = sums.entry(keys).or_default();
            if let Some(slot) = halves.get_mut(half) {
                *slot = values;
            }
        }
        // What is older was counted up to here; the other half may be newer, never older.
        first.get_or_insert(answer);
    }
    let Some(answer) = first else {
        return Err(Problem::invalid(
            "from",
            "the time is empty",
            "from before to",
        ));
    };
    let of = |values: &[i64], metric: Metric| {
        let index = metrics.iter().position(|one| *one == metric);
        index
            .and_then(|index| values.get(index).copied())
            .unwrap_or(0)
    };
    let value = |[posted, pending]: &[Vec<i64>; 2], column: &Column| match column {
        Column::Posted => Some(of(posted, Metric::Spend)),
        Column::Pending => Some(of(pending, Metric::Spend)),
        Column::Of(metric) => of(posted, *metric).checked_add(of(pending, *metric)),
    };
    let mut rows = Vec::with_capacity(sums.len());
    for (keys, halves) in sums {
        let values = ask.columns.iter().map(|column| value(&halves, column));
        let values = values.collect::<Option<Vec<i64>>>();
        let values = values.ok_or_else(|| refuse(QueryError::Overflow))?;
        rows.push(Row { keys, values });
    }
    Ok((rows, answer, more))
}

async fn run(data: &Data, tenant: &Tenant, query: Query) -> Result<Answer, Problem> {
    data.report(tenant, query).await?.map_err(|error| {
        if let QueryError::Files(error) = &error {
            data.node().damaged(error);
        }
        refuse(error)
    })
}

fn rows(mut answer: Answer) -> Sums {
    let rows = std::mem::take(&mut answer.rows).into_iter();
    let rows = rows.map(|row| Row {
        keys: row.keys,
        values: row.values,
    });
    let more = answer.more;
    (rows.collect(), answer, more)
}

/// What the kernels refuse, by the parameter that is to change.
fn refuse(error: QueryError) -> Problem {
    let at = match &error {
        QueryError::NoMetrics | QueryError::Uniques | QueryError::Overflow => "metrics",
        QueryError::Twice(_) => "metrics, dimensions",
        QueryError::Range => "from, to",
        QueryError::Limit => "limit",
        QueryError::FilterKind(_) | QueryError::TooManyValues => "filter",
        QueryError::TooManyGroups(_) | QueryError::Currencies => "dimensions",
        QueryError::TooManyCells(_) => "from, to, filter",
        QueryError::Files(error) => return Problem::broken("the rollups", error),
    };
    Problem::invalid(at, error, "")
}

/// Before this minute no partition of the tenant posts any more.
fn posted_before(data: &Data, tenant: &Tenant) -> Millis {
    let home = data.home(tenant);
    let of_tenant = |partition| home.as_ref().is_none_or(|home| home.contains(&partition));
    let states = data.node().partitions().into_iter();
    let closed = states.filter(|state| of_tenant(state.partition));
    closed
        .map(|state| state.closed_before.start())
        .min()
        .unwrap_or(Millis(0))
}

fn reply(
    ask: &Ask,
    rows: Vec<Row>,
    next: Option<String>,
    complete: Complete,
) -> Result<Reply, Problem> {
    let reply = match ask.format {
        Format::Json => return Reply::json(&ReportAnswer::new(ask, &rows, next, complete)),
        Format::Csv => Reply::of("text/csv; charset=utf-8", formats::csv(ask, &rows)),
        Format::Parquet => {
            let bytes = formats::parquet(ask, &rows, &complete);
            let bytes = bytes.map_err(|error| Problem::broken("the Parquet file", error))?;
            Reply::of("application/vnd.apache.parquet", bytes)
        }
    };
    let name = match ask.format {
        Format::Parquet => "attachment; filename=\"report.parquet\"",
        _ => "attachment; filename=\"report.csv\"",
    };
    let mut reply = reply
        .header(header::CONTENT_DISPOSITION, name)
        .header(COMPLETE_BEFORE, complete.before.clone().unwrap_or_default())
        .header(
            POSTED_BEFORE,
            complete.posted_before.clone().unwrap_or_default(),
        )
        .header(THROUGH, complete.through_text());
    if let Some(next) = next {
        reply = reply.header(NEXT, next);
    }
    Ok(reply)
}

#[cfg(test)]
mod tests;
