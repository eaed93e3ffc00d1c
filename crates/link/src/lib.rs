//! tollgate-link
