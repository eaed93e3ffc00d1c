//! tollgate-traffic
