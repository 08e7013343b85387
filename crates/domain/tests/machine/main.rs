//! The state machine as others see it: an exhaustive check against a model of the world, every state by every
//! event, and properties over random histories.

mod docs;
mod every_event;
mod model;
mod mutants;
mod older;
mod properties;
mod stories;
mod world;
