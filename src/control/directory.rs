//! What the edge is told of what stands: keys, links, tokens, schemes. No price, no campaign.

use std::collections::HashMap;
use std::sync::Arc;

use tollgate_collect::Directory;
use tollgate_link::{Keyring, Schemes, Secret};

use tollgate_query::standing::Standing;

/// A directory of what stands.
pub(crate) fn build(standing: &Standing) -> Directory {
    let mut keys = Keyring::new();
    let known = standing.keys.values();
    for (known, secret) in known.filter_map(|known| Some((known, known.secret?))) {
        keys.insert(known.key.clone(), Secret::new(secret));
        if let Some(at) = known.revoked_at {
            keys.revoke(known.key.key, at);
        }
    }
    let mut schemes = HashMap::new();
    for advertiser in standing
        .advertisers
        .values()
        .filter(|one| !one.schemes.is_empty())
    {
        // Schemes are checked before they become a record; one that is bad allows nothing.
        if let Ok(allowed) = Schemes::with(&advertiser.schemes) {
            keys.set_schemes(advertiser.advertiser, allowed.clone());
            schemes.insert(advertiser.advertiser, allowed);
        }
    }
    let links = standing.links.values().map(|known| &known.link);
    let tokens = standing.tokens.values().filter(|known| !known.revoked);
    Directory {
        keys,
        links: links
            .map(|link| (link.slug.clone(), Arc::new(link.clone())))
            .collect(),
        tokens: tokens
            .filter_map(|known| Some((known.hash?, known.token.clone())))
            .collect(),
        schemes,
        control: standing.number(),
        record_version: standing.record_version,
    }
}
