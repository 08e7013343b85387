//! Moves rows from any source to any target, with a digest of every table on both sides.
