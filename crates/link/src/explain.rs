//! Reading a token without keys: what it says, byte by byte, and no word about whether it is true.

use crate::mac::TAG_BYTES;
use crate::token::{ClickLink, TokenBuf};
use crate::verify::Malformed;

/// What a token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explained {
    /// The body's fields in their order.
    pub fields: Vec<Field>,
    /// The tag, not checked.
    pub tag: [u8; TAG_BYTES],
}

/// One field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// Its name in the specification.
    pub name: &'static str,
    /// Its bytes in the body.
    pub bytes: Vec<u8>,
    /// What they mean.
    pub value: String,
}

/// Takes a token apart.
pub fn explain(token: &str) -> Result<Explained, Malformed> {
    let mut buf = TokenBuf::new();
    let bytes = buf.fill(token).ok_or(Malformed::Text)?;
    let (body, tag) = bytes
        .split_last_chunk::<TAG_BYTES>()
        .ok_or(Malformed::Text)?;
    let link = ClickLink::decode(body)?;
    let mut fields = Vec::new();
    let mut start = 0;
    // The encoding is the only one of its link, so writing it again gives the bytes read.
    link.encode_marked(&mut Vec::with_capacity(body.len()), |name, end| {
        let bytes = body.get(start..end).unwrap_or_default().to_vec();
        let value = value(&link, name);
        fields.push(Field { name, bytes, value });
        start = end;
    });
    Ok(Explained { fields, tag: *tag })
}

fn value(link: &ClickLink<'_>, field: &str) -> String {
    match field {
        "version" => "1".to_owned(),
        "key" => link.key.to_string(),
        "flags" => format!(
            "test {}, price {}, lpurl {}, escaping {}",
            yes(link.test),
            yes(link.price.is_some()),
            yes(link.lpurl.is_some()),
            link.escaping
        ),
        "nonce" => format!("{} (Unix ms {})", link.nonce, link.nonce.at()),
        "window" => format!("{} s", link.window_s),
        "expires" => format!("Unix ms {}", link.expires_at),
        "advertiser" => link.advertiser.to_string(),
        "campaign" => link.campaign.to_string(),
        "ad" => link.ad.to_string(),
        "publisher" => link.publisher.to_string(),
        "placement" => link.placement.to_string(),
        "price" => link
            .price
            .map(|price| price.to_string())
            .unwrap_or_default(),
        "destination" => link.destination.to_owned(),
        "lpurl" => link.lpurl.unwrap_or_default().to_owned(),
        _ => String::new(),
    }
}

fn yes(set: bool) -> &'static str {
    if set { "yes" } else { "no" }
}
