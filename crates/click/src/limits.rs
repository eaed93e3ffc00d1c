//! Every limit of the vocabulary, stated once, with its arithmetic asserted.
//!
//! The answer to a limit that is exceeded stands beside it. Limits of one part only (queue
//! lengths, connection counts) live with that part.

/// Partitions of a log: the click id keeps 12 bits for the partition. More is refused when the
/// log is created.
pub const PARTITIONS_MAX: u16 = 1 << 12;

/// Edges of one deployment: the click id keeps 14 bits for the edge. More is refused by `serve`.
pub const EDGES_MAX: u16 = 1 << 14;

/// A request target (path and query) in bytes; longer answers 414.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// All of a request's headers together in bytes; more answers 431.
pub const HEADER_BYTES_MAX: usize = 32 * 1024;

/// Number of a request's headers; more answers 431.
pub const HEADERS_MAX: usize = 100;

/// Bytes of query parameters that no signature covers and that we keep; more is cut off.
pub const EXTRA_QUERY_BYTES_MAX: usize = 1024;

/// A destination in bytes; longer is refused when the link is signed or registered.
pub const DESTINATION_BYTES_MAX: usize = 2048;

/// A slug of a registered link in bytes; longer is refused when the link is made.
pub const SLUG_BYTES_MAX: usize = 64;

/// A name (campaign, advertiser) in bytes; longer is refused when it is given.
pub const NAME_BYTES_MAX: usize = 256;

/// A money command's reason in bytes; longer is refused when it is given.
pub const REASON_BYTES_MAX: usize = 512;

/// Offsets of a campaign's time zone: two years ahead with the four changes a year of the most
/// restless zones. More is refused when they are given.
pub const ZONE_OFFSETS_MAX: usize = 16;

/// A time zone's name in bytes; longer is refused when it is given.
pub const ZONE_NAME_BYTES_MAX: usize = 64;

/// The furthest that a zone may lie from UTC, in seconds: 18 hours. Further is refused.
pub const ZONE_OFFSET_S_MAX: i32 = 18 * 3600;

/// User agent bytes kept; the rest is cut off.
pub const AGENT_BYTES_MAX: usize = 1024;

/// Referrer bytes kept; the rest is cut off.
pub const REFERRER_BYTES_MAX: usize = 2048;

/// `Accept-Language` bytes kept; the rest is cut off.
pub const LANGUAGE_BYTES_MAX: usize = 128;

/// Sub-ids of a click: `sub1` to `sub5`.
pub const SUB_IDS: usize = 5;

/// Bytes of one sub-id kept; the rest is cut off.
pub const SUB_ID_BYTES_MAX: usize = 256;

/// One part (facts or personal) of a record in bytes; no record of ours can be longer.
pub const RECORD_PART_BYTES_MAX: usize = 8 * 1024;

/// Advertisers, and as many publishers, that one key may name; more is refused when the key is
/// given.
pub const KEY_ADVERTISERS_MAX: usize = 512;

/// Items of one batch; more answers 413.
pub const BATCH_ITEMS_MAX: usize = 1_000;

/// Bytes of one batch after decompression; more answers 413.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Billing window of a link when nothing is said: 24 hours.
pub const WINDOW_DEFAULT_S: u32 = 24 * 3600;

/// Longest billing window: 30 days. Longer is refused when the link is signed.
pub const WINDOW_MAX_S: u32 = 30 * 24 * 3600;

/// Hard expiry of a link when nothing is said: 30 days; after it the edge answers 410.
pub const EXPIRY_DEFAULT_S: u32 = 30 * 24 * 3600;

/// Longest hard expiry: 400 days. Longer is refused when the link is signed.
pub const EXPIRY_MAX_S: u32 = 400 * 24 * 3600;

/// How far the clocks of an ad server and an edge may lie apart: a nonce from further in the
/// future than this is `expired`.
pub const NONCE_AHEAD_MS_MAX: u64 = 5 * 60 * 1000;

/// How far an edge's clock may lie off fresh ticks before the edge says that it is not ready.
pub const CLOCK_SKEW_MS_MAX: u64 = 2_000;

/// How long a receipted click may wait in a spool and still bill: 7 days.
pub const SPOOL_LIMIT_S: u32 = 7 * 24 * 3600;

/// How far a click's `received_at` may lie ahead of its partition's clock and still bill: 35 days,
/// as long as a partition may go without ticks. Further, its edge's clock is wrong.
pub const RECEIVED_AHEAD_S_MAX: u32 = 35 * 24 * 3600;

/// How long the id of a money command is known: 400 days. Later it is a new command.
pub const MONEY_ID_RETENTION_S: u32 = 400 * 24 * 3600;

/// How long price, pause and rule versions and used nonces are kept: a spooled click of the
/// longest window must still meet the state of its own time.
pub const STATE_RETENTION_S: u32 = WINDOW_MAX_S + SPOOL_LIMIT_S;

const PERSONAL_BYTES_MAX: usize = 16 // salt
    + 17 // address with its tag
    + (2 + AGENT_BYTES_MAX)
    + (2 + REFERRER_BYTES_MAX)
    + (2 + LANGUAGE_BYTES_MAX)
    + 1
    + SUB_IDS * (2 + SUB_ID_BYTES_MAX);
const CONTROL_BYTES_MAX: usize = 128 // ids, times, amounts and flags
    + 2 * NAME_BYTES_MAX // with REASON_BYTES_MAX, a campaign's zone or an advertiser's schemes
    + ZONE_OFFSETS_MAX * 15
    + SLUG_BYTES_MAX
    + DESTINATION_BYTES_MAX
    + 2 * 5 * KEY_ADVERTISERS_MAX; // advertisers and publishers

const _: () = {
    assert!(PERSONAL_BYTES_MAX <= RECORD_PART_BYTES_MAX);
    assert!(CONTROL_BYTES_MAX <= RECORD_PART_BYTES_MAX);
    assert!(REASON_BYTES_MAX <= 2 * NAME_BYTES_MAX);
    assert!(RECORD_PART_BYTES_MAX <= u16::MAX as usize);
    assert!(WINDOW_DEFAULT_S <= WINDOW_MAX_S);
    assert!(WINDOW_MAX_S <= EXPIRY_MAX_S);
    assert!(WINDOW_DEFAULT_S <= EXPIRY_DEFAULT_S && EXPIRY_DEFAULT_S <= EXPIRY_MAX_S);
    assert!(WINDOW_MAX_S <= STATE_RETENTION_S);
    // A token is base64url of its bytes: four characters for three, and it must fit a target.
    assert!((DESTINATION_BYTES_MAX + 256) * 4 / 3 < TARGET_BYTES_MAX);
};
