//! How a transaction on rows ends, in whichever database.

use metaferry_domain::PortError;
use sqlx::{Database, Transaction};

use crate::error::failed;

/// Makes it durable, and whoever waits for its locks goes on.
pub(crate) async fn commit<DB: Database>(
    transaction: Transaction<'static, DB>,
    what: &str,
) -> Result<(), PortError> {
    transaction.commit().await.map_err(|error| failed(what, error))
}

/// The same where all was done; what failed in it is taken back before that is told, so that whoever looks next is alone.
pub(crate) async fn ended<DB: Database, T>(
    transaction: Transaction<'static, DB>,
    done: Result<T, PortError>,
    what: &str,
) -> Result<T, PortError> {
    match done {
        Ok(value) => commit(transaction, what).await.map(|()| value),
        Err(error) => {
            // Without an answer the session is lost, and the server takes it back.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}
