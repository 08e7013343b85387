//! Fakes, contracts and sample data for tests. Only ever a dev-dependency.
