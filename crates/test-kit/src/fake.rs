//! An app DB, a Metabase, a disk and a store in memory, behind every port that a migration uses.
//!
//! [`World`] keeps what survives a crash. A [`Process`] is one run of a program: it reaches the world through the
//! ports, and once it has crashed none of its calls ever returns. What a program asked a server for may take place
//! after its end, and what it wrote into a file and did not sync is lost with the machine's power. Which faults strike is
//! for the test to say; [`pairs`] counts what may.

mod aftermath;
mod app_db;
mod call;
mod disk;
mod durable;
mod fault;
mod metabase;
mod process;
mod shore;
mod world;

pub use aftermath::state_of;
pub use call::{Call, Reach};
pub use disk::{Content, DumpOnDisk, FileName};
pub use durable::{Change, Durable, Happening, ObjectAtStore, PARTS, Switch, UploadAtStore, UploadStanding};
pub use fault::{CallFaultKind, Fault, Strike, When, impossible, pairs};
pub use process::Process;
pub use world::{Sloppy, World};
