//! Writes held off and let go.

use async_trait::async_trait;

use crate::lease::FencingToken;
use crate::migration::ReadOnlyStrength;
use crate::quiesce::NodeEvidence;
use crate::{Cancellation, ErrorKind, PortError};

/// What was there before read-only went on: what restoring must give back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct ReadOnlyBefore {
    /// The setting's stored text; `None` when there was no row.
    pub value: Option<String>,
    /// The text that we write, by which we know our own.
    pub ours: String,
}

impl ReadOnlyBefore {
    /// Nobody else has changed the setting since this was read: it is as it was, or ours already. Whoever engages asks in
    /// the step that changes it; otherwise what was set meanwhile would be lost when this is put back.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict), with what is there now.
    pub fn still_holds(&self, now: Option<&str>) -> Result<(), PortError> {
        if now == self.value.as_deref() || now == Some(&self.ours) {
            return Ok(());
        }
        let what = format!(
            "somebody has changed the setting read-only-mode meanwhile (it is {} now): start again when it stays as it is",
            now.unwrap_or("not set")
        );
        Err(PortError::new(ErrorKind::Conflict, what))
    }
}

/// What was found when read-only was to be proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadOnlyProof {
    /// The value was ours at every look.
    Held,
    /// Somebody changed it.
    SwitchedOff {
        /// What is there now.
        value: Option<String>,
    },
    /// The value was ours, and tables that should have been still were written to all the same.
    WrittenTo {
        /// Each table with counts and keys, in words.
        tables: Vec<String>,
    },
}

/// Holds the application's writes off.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ReadOnlyGuard: Send + Sync {
    /// Why that strength cannot be here, if so: said before anything is begun.
    async fn why_not(&self, strength: ReadOnlyStrength) -> Result<Option<String>, PortError> {
        let _ = strength;
        Ok(None)
    }

    /// Why the setting that shows it cannot be switched, if so: said before anything is begun. Whatever is done by way of
    /// the application's own API has no such reason.
    async fn why_not_switched(&self) -> Result<Option<String>, PortError> {
        Ok(None)
    }

    /// What is there now; written to the journal before [`ReadOnlyGuard::engage`].
    async fn before(&self) -> Result<ReadOnlyBefore, PortError>;

    /// Read-only on. Idempotent. [`Conflict`](ErrorKind::Conflict) if the setting is neither as it was before nor ours:
    /// what somebody else has set is never written over.
    ///
    /// Others may keep tables in use that it needs: once `cancel` is raised it waits for them no longer, and ends as
    /// [`Cancelled`](ErrorKind::Cancelled). What it has done by then [`ReadOnlyGuard::restore`] takes back.
    async fn engage(
        &self,
        token: FencingToken,
        strength: ReadOnlyStrength,
        before: &ReadOnlyBefore,
        cancel: &Cancellation,
    ) -> Result<(), PortError>;

    /// What shows how many nodes have to see it, and how they come to. Asked under the strength `flag` only: triggers hold
    /// at once, on every node.
    async fn nodes(&self) -> Result<NodeEvidence, PortError>;

    /// Nodes that can be asked and by which it is not on, each with what it says; empty where all say so, or none can
    /// be asked.
    async fn unconvinced(&self) -> Result<Vec<String>, PortError> {
        Ok(Vec::new())
    }

    /// Writes down what must be put back, without switching: somebody else is asked to. [`Conflict`](ErrorKind::Conflict)
    /// as [`ReadOnlyGuard::engage`] has it.
    async fn announce(
        &self,
        token: FencingToken,
        before: &ReadOnlyBefore,
        cancel: &Cancellation,
    ) -> Result<(), PortError> {
        let _ = (token, before, cancel);
        Ok(())
    }

    /// Transactions that began to write before it was in force, and still run: what they write comes after the snapshot. 0
    /// where nobody could tell.
    async fn still_writing(&self, strength: ReadOnlyStrength) -> Result<u64, PortError> {
        let _ = strength;
        Ok(0)
    }

    /// From now on, writes that should have been held off are found by [`ReadOnlyGuard::prove`] in this process. Where
    /// nobody can look for them it does nothing.
    async fn watch(&self, strength: ReadOnlyStrength) -> Result<(), PortError> {
        let _ = strength;
        Ok(())
    }

    /// Is it still as we engaged it?
    async fn prove(
        &self,
        strength: ReadOnlyStrength,
        before: &ReadOnlyBefore,
    ) -> Result<ReadOnlyProof, PortError>;

    /// As it was before, if the value is still ours. Idempotent.
    async fn restore(&self, token: FencingToken, before: &ReadOnlyBefore) -> Result<(), PortError>;
}
