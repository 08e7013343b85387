//! What the writers need of an app DB and its server.

use crate::api::shore::Shore;
use crate::sessions::Sessions;

/// An app DB with a network before it, a store beside it, and a room for what the writers remember, which is no part of it:
/// a `record` of each write, the `job` of each table with the number of rows that it keeps, and each `op` with its writer.
pub(super) trait Place: Sync {
    fn shore(&self) -> &Shore;

    fn url(&self) -> String;

    /// The same by way of the network.
    fn through(&self) -> String;

    /// Rows, with `|` between columns.
    fn ask(&self, sql: &str) -> Vec<String>;

    /// The name of our journal, once there is one.
    fn journal(&self) -> Option<String>;

    /// The name of a table of the writers'.
    fn theirs(&self, table: &str) -> String;

    /// How many sessions the server has sent away so far because two waited for each other's rows, where it says so in other
    /// words than of tables.
    fn sent_away_for_rows(&self) -> usize;

    /// Everybody begins to write.
    fn write(&self) -> Sessions;

    /// What a migration here is warned of by which nothing is disturbed.
    fn usual_warnings(&self) -> &'static [&'static str];

    /// The one number that is answered.
    fn count(&self, sql: &str) -> usize {
        let answer = self.ask(sql);
        answer
            .concat()
            .parse()
            .unwrap_or_else(|error| panic!("{error}: {sql}: {answer:?}"))
    }
}
