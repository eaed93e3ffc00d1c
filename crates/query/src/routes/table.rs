//! The table of routes.

use http::Method;
use tollgate_click::control::Role;

use super::{BODY_BYTES_MAX, Gives, Policy, Route, Takes, shape};
use crate::nouns::ads::{self, Ad};
use crate::nouns::advertisers::Advertiser;
use crate::nouns::api_keys::ApiKey;
use crate::nouns::campaigns::{self, Campaign};
use crate::nouns::keys::Key;
use crate::nouns::links::{self, Link};
use crate::nouns::publishers::Publisher;
use crate::nouns::tokens::Token;
use crate::nouns::{self, BULK_BYTES_MAX, Bulk, PAGE, Page};
use crate::params::Param;
use crate::reports;
use crate::{audit, books, clicks, money, node};

const EVERYBODY: Policy = Policy::Roles(&Role::ALL);
/// Who sees what advertisers do.
const READERS: Policy = Policy::Roles(&[
    Role::Admin,
    Role::Finance,
    Role::Analyst,
    Role::Advertiser,
    Role::Auditor,
]);
/// Who changes what advertisers do.
const TRADERS: Policy = Policy::Roles(&[Role::Admin, Role::Advertiser]);
/// Who sees publishers.
const PUBLISHERS: Policy = Policy::Roles(&[
    Role::Admin,
    Role::Finance,
    Role::Analyst,
    Role::Publisher,
    Role::Auditor,
]);
/// Who decides how advertisers pay.
const PAYMENTS: Policy = Policy::Roles(&[Role::Admin, Role::Finance]);
const ADMINS: Policy = Policy::Roles(&[Role::Admin]);
/// Who sees credentials, and who changed what.
const OVERSEERS: Policy = Policy::Roles(&[Role::Admin, Role::Auditor]);

/// Who moves money.
const TREASURERS: Policy = Policy::Roles(&[Role::Admin, Role::Finance]);
/// Who sees it moved.
const PAYERS: Policy =
    Policy::Roles(&[Role::Admin, Role::Finance, Role::Advertiser, Role::Auditor]);
/// Who sees books, each its own.
const BOOKS: Policy = Policy::Roles(&[
    Role::Admin,
    Role::Finance,
    Role::Advertiser,
    Role::Publisher,
    Role::Auditor,
]);
/// Who sees what comes in over all tenants.
const WATCHERS: Policy = Policy::Roles(&[Role::Admin, Role::Analyst, Role::Auditor]);

macro_rules! run {
    ($($handler:tt)+) => {
        |call| Box::pin($($handler)+(call))
    };
}

/// A noun's list.
macro_rules! list {
    ($path:literal, $noun:ty, $policy:expr, $params:expr, $about:literal) => {
        Route {
            method: Method::GET,
            path: $path,
            summary: $about,
            policy: $policy,
            params: $params,
            takes: Takes::Nothing,
            gives: Gives::Json(shape::<Page<$noun>>()),
            run: run!(nouns::list::<$noun>),
        }
    };
}

/// One of a noun.
macro_rules! get {
    ($path:literal, $noun:ty, $policy:expr, $about:literal) => {
        Route {
            method: Method::GET,
            path: $path,
            summary: $about,
            policy: $policy,
            params: &[],
            takes: Takes::Nothing,
            gives: Gives::Json(shape::<$noun>()),
            run: run!(nouns::get::<$noun>),
        }
    };
}

macro_rules! create {
    ($path:literal, $noun:ty, $policy:expr, $about:literal) => {
        Route {
            method: Method::POST,
            path: $path,
            summary: $about,
            policy: $policy,
            params: &[],
            takes: Takes::Json(shape::<$noun>(), BODY_BYTES_MAX),
            gives: Gives::Created(shape::<$noun>()),
            run: run!(nouns::create::<$noun>),
        }
    };
}

macro_rules! create_all {
    ($path:literal, $noun:ty, $policy:expr, $about:literal) => {
        Route {
            method: Method::POST,
            path: $path,
            summary: $about,
            policy: $policy,
            params: &[],
            takes: Takes::Json(shape::<Vec<$noun>>(), BULK_BYTES_MAX),
            gives: Gives::Created(shape::<Bulk>()),
            run: run!(nouns::create_all::<$noun>),
        }
    };
}

macro_rules! patch {
    ($path:literal, $noun:ty, $policy:expr, $about:literal) => {
        Route {
            method: Method::PATCH,
            path: $path,
            summary: $about,
            policy: $policy,
            params: &[],
            takes: Takes::Patch(shape::<$noun>(), BODY_BYTES_MAX),
            gives: Gives::Json(shape::<$noun>()),
            run: run!(nouns::patch::<$noun>),
        }
    };
}

macro_rules! remove {
    ($path:literal, $noun:ty, $policy:expr, $about:literal) => {
        Route {
            method: Method::DELETE,
            path: $path,
            summary: $about,
            policy: $policy,
            params: &[],
            takes: Takes::Nothing,
            gives: Gives::Json(shape::<$noun>()),
            run: run!(nouns::remove::<$noun>),
        }
    };
}

/// What only reads.
macro_rules! read {
    ($path:literal, $handler:path, $gives:ty, $policy:expr, $params:expr, $about:literal) => {
        Route {
            method: Method::GET,
            path: $path,
            summary: $about,
            policy: $policy,
            params: $params,
            takes: Takes::Nothing,
            gives: Gives::Json(shape::<$gives>()),
            run: run!($handler),
        }
    };
}

/// A money command.
macro_rules! command {
    ($path:literal, $handler:path, $about:literal) => {
        Route {
            method: Method::POST,
            path: $path,
            summary: $about,
            policy: TREASURERS,
            params: &[],
            takes: Takes::Json(shape::<money::Money>(), BODY_BYTES_MAX),
            gives: Gives::Created(shape::<money::Money>()),
            run: run!($handler),
        }
    };
}

const NO_PARAMS: &[Param] = &[];

pub(super) static REPORTS: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/v1/reports",
        summary: "Sums of clicks and money by any dimensions",
        policy: EVERYBODY,
        params: reports::PARAMS,
        takes: Takes::Nothing,
        gives: Gives::Report(shape::<reports::ReportAnswer>()),
        run: run!(reports::report),
    },
    read!(
        "/v1/clicks/{click}",
        clicks::get,
        clicks::Click,
        READERS,
        NO_PARAMS,
        "What became of one click"
    ),
    read!(
        "/v1/events",
        clicks::events,
        node::EventCounts,
        WATCHERS,
        NO_PARAMS,
        "What the edge of this process has counted since its start"
    ),
    read!(
        "/v1/audit",
        audit::list,
        Page<audit::AuditLine>,
        OVERSEERS,
        audit::PARAMS,
        "Every change in its order, with who made it"
    ),
];

pub(super) static MONEY: &[Route] = &[
    command!(
        "/v1/top-ups",
        money::top_up,
        "Puts an advertiser's money in"
    ),
    command!(
        "/v1/adjustments",
        money::adjust,
        "Corrects what was charged"
    ),
    command!("/v1/credits", money::credit, "Gives an advertiser credit"),
    read!(
        "/v1/top-ups/{command}",
        money::posted,
        books::ShownPosting,
        PAYERS,
        NO_PARAMS,
        "The posting of a top-up"
    ),
    read!(
        "/v1/adjustments/{command}",
        money::posted,
        books::ShownPosting,
        PAYERS,
        NO_PARAMS,
        "The posting of an adjustment"
    ),
    read!(
        "/v1/credits/{command}",
        money::posted,
        books::ShownPosting,
        PAYERS,
        NO_PARAMS,
        "The posting of a credit"
    ),
    read!(
        "/v1/ledger/balances",
        books::balances,
        Page<books::ShownBalance>,
        BOOKS,
        books::BALANCES,
        "What is posted to each account"
    ),
    read!(
        "/v1/ledger/entries",
        books::entries,
        Page<books::ShownEntry>,
        BOOKS,
        books::ENTRIES,
        "Lines of postings, of an account or a campaign"
    ),
    read!(
        "/v1/ledger/postings",
        books::postings,
        Page<books::ShownPosting>,
        BOOKS,
        books::POSTINGS,
        "A partition's postings in their chain"
    ),
];

pub(super) static NOUNS: &[Route] = &[
    list!(
        "/v1/advertisers",
        Advertiser,
        READERS,
        PAGE,
        "Lists advertisers"
    ),
    create!("/v1/advertisers", Advertiser, ADMINS, "Makes an advertiser"),
    get!(
        "/v1/advertisers/{advertiser}",
        Advertiser,
        READERS,
        "Gets an advertiser"
    ),
    patch!(
        "/v1/advertisers/{advertiser}",
        Advertiser,
        PAYMENTS,
        "Changes an advertiser"
    ),
    list!(
        "/v1/publishers",
        Publisher,
        PUBLISHERS,
        PAGE,
        "Lists publishers"
    ),
    create!("/v1/publishers", Publisher, ADMINS, "Makes a publisher"),
    get!(
        "/v1/publishers/{publisher}",
        Publisher,
        PUBLISHERS,
        "Gets a publisher"
    ),
    patch!(
        "/v1/publishers/{publisher}",
        Publisher,
        ADMINS,
        "Changes a publisher"
    ),
    list!(
        "/v1/campaigns",
        Campaign,
        READERS,
        campaigns::PARAMS,
        "Lists campaigns"
    ),
    create!("/v1/campaigns", Campaign, TRADERS, "Makes a campaign"),
    create_all!(
        "/v1/campaigns/bulk",
        Campaign,
        TRADERS,
        "Makes up to 25,000 campaigns, all or none"
    ),
    get!(
        "/v1/campaigns/{campaign}",
        Campaign,
        READERS,
        "Gets a campaign"
    ),
    patch!(
        "/v1/campaigns/{campaign}",
        Campaign,
        TRADERS,
        "Changes a campaign"
    ),
    remove!(
        "/v1/campaigns/{campaign}",
        Campaign,
        TRADERS,
        "Archives a campaign"
    ),
    list!("/v1/ads", Ad, READERS, ads::PARAMS, "Lists ads"),
    create!("/v1/ads", Ad, TRADERS, "Makes an ad"),
    get!("/v1/ads/{ad}", Ad, READERS, "Gets an ad"),
    patch!("/v1/ads/{ad}", Ad, TRADERS, "Changes an ad"),
    list!("/v1/links", Link, READERS, links::PARAMS, "Lists links"),
    create!("/v1/links", Link, TRADERS, "Makes a link"),
    create_all!(
        "/v1/links/bulk",
        Link,
        TRADERS,
        "Makes up to 25,000 links, all or none"
    ),
    get!("/v1/links/{link}", Link, READERS, "Gets a link"),
    patch!("/v1/links/{link}", Link, TRADERS, "Changes a link"),
    remove!("/v1/links/{link}", Link, TRADERS, "Removes a link"),
];

pub(super) static CREDENTIALS: &[Route] = &[
    list!("/v1/keys", Key, OVERSEERS, PAGE, "Lists keys"),
    create!("/v1/keys", Key, ADMINS, "Makes a signing key"),
    get!("/v1/keys/{key}", Key, OVERSEERS, "Gets a signing key"),
    patch!("/v1/keys/{key}", Key, ADMINS, "Changes a signing key"),
    remove!("/v1/keys/{key}", Key, ADMINS, "Revokes a signing key"),
    list!("/v1/tokens", Token, OVERSEERS, PAGE, "Lists tokens"),
    create!("/v1/tokens", Token, ADMINS, "Makes an ingest token"),
    get!(
        "/v1/tokens/{token}",
        Token,
        OVERSEERS,
        "Gets an ingest token"
    ),
    patch!(
        "/v1/tokens/{token}",
        Token,
        ADMINS,
        "Changes an ingest token"
    ),
    remove!(
        "/v1/tokens/{token}",
        Token,
        ADMINS,
        "Revokes an ingest token"
    ),
    list!("/v1/api-keys", ApiKey, OVERSEERS, PAGE, "Lists api keys"),
    create!("/v1/api-keys", ApiKey, ADMINS, "Makes an API key"),
    get!(
        "/v1/api-keys/{api_key}",
        ApiKey,
        OVERSEERS,
        "Gets an API key"
    ),
    patch!(
        "/v1/api-keys/{api_key}",
        ApiKey,
        ADMINS,
        "Changes an API key"
    ),
    remove!(
        "/v1/api-keys/{api_key}",
        ApiKey,
        ADMINS,
        "Revokes an API key"
    ),
];
