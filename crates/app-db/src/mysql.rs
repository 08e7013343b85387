//! MySQL and MariaDB: their rows as a source and as a target of a copy. MariaDB 10.11 is the server that the tests run; where MySQL 8
//! differs by its documentation, [`flavour`] says so and nobody else does.

mod connect;
mod flavour;
mod read;
mod schema;
mod snapshot;
mod target;
mod types;

pub use connect::MySqlServer;
pub use snapshot::MySqlSource;
pub use target::MySqlTarget;
