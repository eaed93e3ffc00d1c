//! How a click ends: exactly one [`Outcome`] for a recorded one, exactly one [`Refusal`] for a
//! request that was not recorded.
//!
//! `gross`, `net` and `total_net` are the terms of the Media Rating Council.

/// The one way in which a recorded click ended, in the order in which the rows are tried.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Outcome {
    /// The edge's watermark has seen it: a transport duplicate.
    Resent = 0,
    /// Damaged, or makes no sense.
    Quarantined = 1,
    /// A test link or test key.
    Test = 2,
    /// Its key was revoked before it was received; the edge had not heard yet.
    Unauthorised = 3,
    /// The first deciding rule is of class GIVT.
    InvalidGivt = 4,
    /// The first deciding rule is of class SIVT.
    InvalidSivt = 5,
    /// Its nonce was used by an earlier valid click.
    Duplicate = 6,
    /// No such campaign of this advertiser.
    UnknownCampaign = 7,
    /// The campaign was paused when the click was received.
    Paused = 8,
    /// The billing window was over, or the nonce's time makes no sense.
    Expired = 9,
    /// A daily, total or prepaid limit was reached.
    OverBudget = 10,
    /// No price, or an import.
    Free = 11,
    /// Charged at its price.
    Billed = 12,
}

impl Outcome {
    /// All outcomes in their order.
    pub const ALL: [Outcome; 13] = [
        Outcome::Resent,
        Outcome::Quarantined,
        Outcome::Test,
        Outcome::Unauthorised,
        Outcome::InvalidGivt,
        Outcome::InvalidSivt,
        Outcome::Duplicate,
        Outcome::UnknownCampaign,
        Outcome::Paused,
        Outcome::Expired,
        Outcome::OverBudget,
        Outcome::Free,
        Outcome::Billed,
    ];

    /// The name in reports and files.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Resent => "resent",
            Outcome::Quarantined => "quarantined",
            Outcome::Test => "test",
            Outcome::Unauthorised => "unauthorised",
            Outcome::InvalidGivt => "invalid_givt",
            Outcome::InvalidSivt => "invalid_sivt",
            Outcome::Duplicate => "duplicate",
            Outcome::UnknownCampaign => "unknown_campaign",
            Outcome::Paused => "paused",
            Outcome::Expired => "expired",
            Outcome::OverBudget => "over_budget",
            Outcome::Free => "free",
            Outcome::Billed => "billed",
        }
    }

    /// Whether the click counts in `gross`: every click that was really made on a live link.
    pub fn in_gross(self) -> bool {
        !matches!(self, Outcome::Resent | Outcome::Quarantined | Outcome::Test)
    }

    /// Whether it counts in `net`: gross without general invalid traffic and duplicates.
    pub fn in_net(self) -> bool {
        let general = [
            Outcome::Unauthorised,
            Outcome::InvalidGivt,
            Outcome::Duplicate,
        ];
        self.in_gross() && !general.contains(&self)
    }

    /// Whether it counts in `total_net`: net without sophisticated invalid traffic.
    pub fn in_total_net(self) -> bool {
        self.in_net() && self != Outcome::InvalidSivt
    }
}

/// Why a request to the edge was not recorded. Counted exactly, one reason a request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Refusal {
    /// No authentic signature: bad, missing, unknown or revoked key, or altered bytes.
    Forged = 0,
    /// Not a request that could be a click: broken syntax, method, size or batch item.
    Malformed = 1,
    /// No link of that slug.
    UnknownLink = 2,
    /// Past the link's hard expiry.
    Expired = 3,
    /// A prefetch: the real click comes later.
    Prefetch = 4,
    /// Queues were full or the log could not take it.
    Overload = 5,
    /// The client was gone, or the log failed, before the record was durable: may count once or
    /// not at all.
    Unrecorded = 6,
}

impl Refusal {
    /// All reasons.
    pub const ALL: [Refusal; 7] = [
        Refusal::Forged,
        Refusal::Malformed,
        Refusal::UnknownLink,
        Refusal::Expired,
        Refusal::Prefetch,
        Refusal::Overload,
        Refusal::Unrecorded,
    ];

    /// The name in counters and files.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::Forged => "forged",
            Refusal::Malformed => "malformed",
            Refusal::UnknownLink => "unknown_link",
            Refusal::Expired => "expired",
            Refusal::Prefetch => "prefetch",
            Refusal::Overload => "overload",
            Refusal::Unrecorded => "unrecorded",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_stands_at_its_number() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index, "{}", outcome.name());
        }
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index, "{}", refusal.name());
        }
    }

    #[test]
    fn gross_is_net_and_what_net_leaves_out() {
        // DESIGN: gross = net + invalid_givt + duplicate + unauthorised;
        // net = total_net + invalid_sivt.
        let count = |wanted: fn(Outcome) -> bool| {
            Outcome::ALL
                .into_iter()
                .filter(|outcome| wanted(*outcome))
                .count()
        };
        assert_eq!(count(Outcome::in_gross), 10);
        assert_eq!(count(Outcome::in_gross), count(Outcome::in_net) + 3);
        assert_eq!(count(Outcome::in_net), count(Outcome::in_total_net) + 1);
    }
}
