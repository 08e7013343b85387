//! The driver against a world in memory: what is left of the world is judged, never what the driver says of itself.

mod cancel;
mod crash;
mod exclusion;
mod failures;
mod forward;
mod node;
mod retry;
mod silence;
mod stuck;
mod waits;
