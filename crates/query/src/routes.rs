//! What there is: every path and method with who may use it, what it takes and what it gives.
//!
//! The router, the OpenAPI document and the test of all routes against all tenants are made from
//! this table, so a route without a policy cannot be written down.

use http::Method;
use tollgate_click::control::Role;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::call::{Call, Reply};
use crate::desk::Later;
use crate::params::Param;
use crate::problem::Problem;

mod table;

/// One path with one method.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path; its ids in braces.
    pub path: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// Who may use it.
    pub policy: Policy,
    /// What its query string takes.
    pub params: &'static [Param],
    /// What its body is.
    pub takes: Takes,
    /// What it gives.
    pub gives: Gives,
    pub(crate) run: Run,
}

/// Who may use a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// Everybody who reaches the port: what says nothing of anybody's data.
    Public,
    /// Keys of these roles. Whose data it is about is seen to in the data layer.
    Roles(&'static [Role]),
}

/// The body of a request.
#[derive(Clone, Copy)]
pub enum Takes {
    /// None.
    Nothing,
    /// JSON of at most so many bytes.
    Json(Shape, usize),
    /// A merge patch (RFC 7396) of that JSON.
    Patch(Shape, usize),
}

/// The body of an answer.
#[derive(Clone, Copy)]
pub enum Gives {
    /// JSON.
    Json(Shape),
    /// What a write made.
    Created(Shape),
    /// A report, in one of three formats.
    Report(Shape),
    /// Text of that kind.
    Text(&'static str),
}

/// A schema, and those that it refers to.
#[derive(Clone, Copy)]
pub struct Shape {
    pub(crate) name: fn() -> String,
    pub(crate) schema: fn() -> RefOr<Schema>,
    pub(crate) all: fn(&mut Vec<(String, RefOr<Schema>)>),
}

pub(crate) type Run = fn(Call) -> Later<'static, Result<Reply, Problem>>;

/// The schema of a type.
pub(crate) const fn shape<T: ToSchema + PartialSchema>() -> Shape {
    Shape {
        name: || T::name().into_owned(),
        schema: T::schema,
        all: T::schemas,
    }
}

/// Bytes of a body where nothing else is said.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {:?}", self.method, self.path, self.policy)
    }
}

impl Policy {
    /// Whether a role may use it.
    pub fn allows(self, role: Role) -> bool {
        match self {
            Policy::Public => true,
            Policy::Roles(roles) => roles.contains(&role),
        }
    }
}

impl Route {
    /// The name of the path's last id, if it has one.
    pub fn id(&self) -> Option<&'static str> {
        let (_, rest) = self.path.rsplit_once('{')?;
        rest.split_once('}').map(|(name, _)| name)
    }

    /// Whether it changes something.
    pub fn writes(&self) -> bool {
        self.method != Method::GET
    }
}

/// All routes that a key may use, in the order of the document.
pub static ROUTES: &[&[Route]] = &[
    table::REPORTS,
    table::NOUNS,
    table::CREDENTIALS,
    table::MONEY,
];
