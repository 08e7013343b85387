//! Drives one migration: performs effects through ports and appends what happened to the journal.
