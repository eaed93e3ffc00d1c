//! tollgate-collect
