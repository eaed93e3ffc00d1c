//! tollgate-log
