//! The metaferry binary.
