//! tollgate-process
