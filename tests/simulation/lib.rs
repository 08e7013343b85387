//! Seeded schedules of the orchestrator over fakes; all of it is in `main.rs`.
