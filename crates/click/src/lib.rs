//! tollgate-click
