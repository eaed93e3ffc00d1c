//! Credentials: who may sign links, send batches and ask the API, and for whom.

use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::ids::{AdvertiserId, KeyId, PublisherId};
use crate::limits::{KEY_ADVERTISERS_MAX, NAME_BYTES_MAX};
use crate::time::Millis;

/// Which of all advertisers, or publishers, a credential speaks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ScopeOf<T> {
    /// All of the deployment.
    All,
    /// These only.
    Only(Vec<T>),
}

/// Which advertisers a credential speaks for.
pub type Scope = ScopeOf<AdvertiserId>;

/// Which publishers a credential speaks for.
pub type PublisherScope = ScopeOf<PublisherId>;

/// A key that signs links; its secret is the record's second part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SigningKey {
    /// Its number, which stands in each token.
    pub key: KeyId,
    /// The advertisers it may sign for.
    pub scope: Scope,
    /// Before this its signatures do not count.
    pub not_before: Millis,
    /// After this its signatures do not count.
    pub not_after: Millis,
    /// Clicks on its links are tests.
    pub test: bool,
}

/// A bearer token that may send batches; its SHA-256 is the record's second part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IngestToken {
    /// Its number.
    pub token: u32,
    /// The advertisers it may send for.
    pub scope: Scope,
    /// After this it does not count.
    pub not_after: Millis,
}

/// A bearer token of the API; its SHA-256 is the record's second part. The core ignores it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKey {
    /// Its number, which stands as [`crate::ids::Actor`] in the changes made with it.
    pub key: u32,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The advertisers that it may see.
    pub scope: Scope,
    /// The publishers that it may see.
    pub publishers: PublisherScope,
    /// After this it does not count.
    pub not_after: Millis,
}

/// What an API key may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Role {
    /// Everything.
    Admin = 0,
    /// Money: top-ups, adjustments, invoices.
    Finance = 1,
    /// Reads all reports.
    Analyst = 2,
    /// Its own advertisers' campaigns and reports.
    Advertiser = 3,
    /// Its own publishers' reports.
    Publisher = 4,
    /// Reads everything, the audit included, and changes nothing.
    Auditor = 5,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 6] = [
        Role::Admin,
        Role::Finance,
        Role::Analyst,
        Role::Advertiser,
        Role::Publisher,
        Role::Auditor,
    ];

    /// The name in the API and in files.
    pub fn name(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Finance => "finance",
            Role::Analyst => "analyst",
            Role::Advertiser => "advertiser",
            Role::Publisher => "publisher",
            Role::Auditor => "auditor",
        }
    }

    fn from_code(code: u8) -> Result<Role, DecodeError> {
        let found = Role::ALL.into_iter().find(|role| *role as u8 == code);
        found.ok_or(DecodeError::Invalid("role"))
    }
}

impl<T: Copy + PartialEq> ScopeOf<T> {
    /// Whether the credential speaks for that one.
    pub fn covers(&self, one: T) -> bool {
        match self {
            ScopeOf::All => true,
            ScopeOf::Only(some) => some.contains(&one),
        }
    }

    fn encode(&self, out: &mut Vec<u8>, number: fn(T) -> u32) {
        match self {
            ScopeOf::All => out.push(0),
            ScopeOf::Only(some) => {
                out.push(1);
                put_varint(out, some.len() as u64);
                some.iter()
                    .for_each(|one| put_varint(out, number(*one).into()));
            }
        }
    }

    fn decode(reader: &mut Reader<'_>, id: fn(u32) -> T) -> Result<ScopeOf<T>, DecodeError> {
        if !reader.flag("scope")? {
            return Ok(ScopeOf::All);
        }
        let count = reader.list_length(KEY_ADVERTISERS_MAX, "scope")?;
        let some = (0..count).map(|_| reader.varint_u32("scope").map(id));
        some.collect::<Result<_, _>>().map(ScopeOf::Only)
    }
}

impl SigningKey {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.key.0));
        self.scope.encode(out, |advertiser| advertiser.0);
        put_varint(out, self.not_before.0);
        put_varint(out, self.not_after.0);
        out.push(u8::from(self.test));
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<SigningKey, DecodeError> {
        Ok(SigningKey {
            key: KeyId(reader.varint_u32("key")?),
            scope: Scope::decode(reader, AdvertiserId)?,
            not_before: Millis(reader.varint("not before")?),
            not_after: Millis(reader.varint("not after")?),
            test: reader.flag("test")?,
        })
    }
}

impl IngestToken {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.token));
        self.scope.encode(out, |advertiser| advertiser.0);
        put_varint(out, self.not_after.0);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<IngestToken, DecodeError> {
        Ok(IngestToken {
            token: reader.varint_u32("token")?,
            scope: Scope::decode(reader, AdvertiserId)?,
            not_after: Millis(reader.varint("not after")?),
        })
    }
}

impl ApiKey {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.key));
        put_bytes(out, self.name.as_bytes());
        out.push(self.role as u8);
        self.scope.encode(out, |advertiser| advertiser.0);
        self.publishers.encode(out, |publisher| publisher.0);
        put_varint(out, self.not_after.0);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<ApiKey, DecodeError> {
        Ok(ApiKey {
            key: reader.varint_u32("API key")?,
            name: reader.text(NAME_BYTES_MAX, "name")?.to_owned(),
            role: Role::from_code(reader.u8("role")?)?,
            scope: Scope::decode(reader, AdvertiserId)?,
            publishers: PublisherScope::decode(reader, PublisherId)?,
            not_after: Millis(reader.varint("not after")?),
        })
    }
}
