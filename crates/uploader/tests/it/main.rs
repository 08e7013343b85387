//! The engine against real stores on the loopback device, and against one that fails on command.

mod support;

mod presigned_to_store;
