//! Who may act, and is everyone quiet: leases, heartbeats, membership, quiesce.
