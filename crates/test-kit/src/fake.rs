//! An app DB, a Metabase, a disk and a store in memory, behind every port that a migration uses.
//!
//! [`World`] keeps what survives a crash. A [`Process`] is one run of a program: it reaches the world through the
//! ports, and once it has crashed none of its calls ever returns. Which faults strike is for the test to say.

mod aftermath;
mod app_db;
mod call;
mod durable;
mod metabase;
mod process;
mod shore;
mod world;

pub use aftermath::state_of;
pub use call::{Call, Fault, Strike, When};
pub use durable::{
    Change, DumpOnDisk, Durable, Happening, ObjectAtStore, PARTS, Switch, UploadAtStore, UploadStanding,
};
pub use process::Process;
pub use world::World;
