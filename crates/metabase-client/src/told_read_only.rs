//! Read-only switched by Metabase itself: one node is asked to, and writes the setting as its version does; then every node
//! is asked what it goes by.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::ports::{LeaseStore, ReadOnlyBefore, ReadOnlyGuard, ReadOnlyProof};
use metaferry_domain::quiesce::{CheckIn, NodeEvidence, Told};
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use metaferry_metabase::read_only::ReadOnlyMode;

use crate::NodeApi;

/// What is behind the nodes.
#[derive(Clone)]
pub enum Behind {
    /// An app DB that can be read and written: its row is what counts as set.
    AppDb(Arc<dyn ReadOnlyGuard>),
    /// One that cannot, an H2 file that its one node has open: what that node says is all there is to know.
    OneNode,
}

impl std::fmt::Debug for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::AppDb(_) => "AppDb",
            Self::OneNode => "OneNode",
        })
    }
}

/// Read-only by way of Metabase's API.
///
/// **Whose value it is.** The API writes `true` into the same row, whoever asks; nothing in it tells ours from an
/// administrator's. So the journal decides: what the row said before is announced there before anybody is asked. If it
/// said `true` before, it is somebody else's: nothing is asked for, and nothing will be put back. If it said anything
/// else, a `true` found later is ours, and is put back; any other value was written by somebody since, and stays. What is left is
/// an administrator who switches on between our look and our call: then it is taken for ours, as two presses of one
/// button are.
///
/// **What undoes it.** The same row is what `undo.sql` and the dead man's switch put back: they are told of it before the
/// call, and do nothing while the row is not ours. Where the table has columns that only Metabase writes rightly
/// (`value_with_aad`) they leave it alone, and only this way is left. Whoever undoes asks the API, and writes into the app DB
/// by the bump where it does not answer.
///
/// **Fencing.** No token reaches Metabase, so the lease is looked at just before each call, and each says what is to be
/// rather than what is to change. What a node carries out after we have given up on its answer nobody holds back.
#[derive(Clone)]
pub struct ToldReadOnly {
    nodes: Vec<NodeApi>,
    behind: Behind,
    lease: Arc<dyn LeaseStore>,
}

impl std::fmt::Debug for ToldReadOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToldReadOnly")
            .field("nodes", &self.nodes)
            .field("behind", &self.behind)
            .finish_non_exhaustive()
    }
}

/// What is written, by which we know our own.
const OURS: &str = "true";

/// So long each node may take to switch read-only on; its own limit is shorter.
const SWITCH_MAX: Duration = Duration::from_secs(30);

fn silent(node: &NodeApi, after: Duration) -> PortError {
    let what = format!(
        "the Metabase at {} has not answered within {} s",
        node.address(),
        after.as_secs()
    );
    PortError::new(ErrorKind::Unavailable, what)
}

fn no_address() -> PortError {
    PortError::new(ErrorKind::Unsupported, "no address of a Metabase is named")
}

/// So long each node may take to put read-only back: users wait to write, and there are other ways.
const PUT_BACK_MAX: Duration = Duration::from_secs(3);

/// How often it is looked whether an answer is wanted still.
const WANTED_EVERY: Duration = Duration::from_millis(50);

/// The answer to a question, as long as it is wanted. Whoever was asked to change something is waited for all the same.
async fn while_wanted<T>(
    cancel: &Cancellation,
    answer: impl Future<Output = Result<T, PortError>> + Send,
) -> Result<T, PortError> {
    let mut answer = pin!(answer);
    loop {
        tokio::select! {
            biased;
            answered = &mut answer => return answered,
            () = tokio::time::sleep(WANTED_EVERY) => cancel.check()?,
        }
    }
}

/// So long a row may take to show what a node answered that it has written.
const SHOWN_MAX: Duration = Duration::from_secs(2);
/// Between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl ToldReadOnly {
    /// These nodes: any of them is asked to switch, the first that answers, and all of them what they go by.
    #[must_use]
    pub fn new(nodes: Vec<NodeApi>, behind: Behind, lease: Arc<dyn LeaseStore>) -> Self {
        Self { nodes, behind, lease }
    }

    /// What is set: the row, or what the only node goes by.
    async fn value(&self) -> Result<Option<String>, PortError> {
        match &self.behind {
            Behind::AppDb(guard) => Ok(guard.before().await?.value),
            Behind::OneNode => Ok(match self.effective().await? {
                ReadOnlyMode::On => Some(OURS.to_owned()),
                ReadOnlyMode::Off => None,
            }),
        }
    }

    /// What the first node that answers goes by; one that refuses ends it.
    async fn effective(&self) -> Result<ReadOnlyMode, PortError> {
        let mut last = no_address();
        for node in &self.nodes {
            match node.read_only().await {
                Err(error) if error.kind == ErrorKind::Unavailable => last = error,
                answered => return answered,
            }
        }
        Err(last)
    }

    async fn prove_lease(&self, token: FencingToken) -> Result<(), PortError> {
        match self.lease.current().await? {
            Some(held) if held.lease.token == token => Ok(()),
            Some(_) | None => Err(PortError::new(
                ErrorKind::Precondition,
                format!("the lease with token {token} is no longer held: Metabase was asked nothing"),
            )),
        }
    }

    /// Asks for a value: the first node that answers within `each`, which is what comes back. To ask another one again is no
    /// harm: it is the same value. Once `cancel` is raised no other one is asked; who was is waited for, because what it
    /// carries out after that nobody would take back.
    async fn set(
        &self,
        token: FencingToken,
        value: Option<&str>,
        each: Duration,
        cancel: &Cancellation,
    ) -> Result<&NodeApi, PortError> {
        let mut last = no_address();
        for node in &self.nodes {
            self.prove_lease(token).await?;
            cancel.check()?;
            let set = tokio::time::timeout(each, node.set_read_only(value)).await;
            match set.unwrap_or_else(|_| Err(silent(node, each))) {
                Ok(()) => return Ok(node),
                Err(error) if error.kind == ErrorKind::Unavailable => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// The node that was asked writes where we read.
    async fn is_shown(&self, guard: &dyn ReadOnlyGuard) -> Result<bool, PortError> {
        let mut waited = Duration::ZERO;
        loop {
            if guard.before().await?.value.as_deref() == Some(OURS) {
                return Ok(true);
            }
            if waited >= SHOWN_MAX {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
    }

    async fn ask_to_switch(&self, token: FencingToken, cancel: &Cancellation) -> Result<(), PortError> {
        let Behind::AppDb(guard) = &self.behind else {
            return self.set(token, Some(OURS), SWITCH_MAX, cancel).await.map(drop);
        };
        let was = while_wanted(cancel, self.effective()).await?;
        let asked = self.set(token, Some(OURS), SWITCH_MAX, cancel).await?;
        let shown = self.is_shown(&**guard).await;
        if matches!(shown, Ok(true)) {
            return Ok(());
        }
        // Perhaps another Metabase's, which must not stay read-only for us.
        if was == ReadOnlyMode::Off {
            self.prove_lease(token).await?;
            asked
                .set_read_only(Some(ReadOnlyMode::Off.setting_text()))
                .await?;
        }
        shown?;
        Err(PortError::new(
            ErrorKind::Unsupported,
            format!(
                "the Metabase at {} does not write into this app DB: METAFERRY_METABASE_URL names another one's address",
                asked.address()
            ),
        ))
    }
}

#[async_trait]
impl ReadOnlyGuard for ToldReadOnly {
    async fn why_not(&self, strength: ReadOnlyStrength) -> Result<Option<String>, PortError> {
        if strength == ReadOnlyStrength::None {
            return Ok(None);
        }
        match (&self.behind, strength) {
            (Behind::AppDb(guard), _) => {
                if let Some(why) = guard.why_not(strength).await? {
                    return Ok(Some(why));
                }
            }
            (Behind::OneNode, ReadOnlyStrength::Enforced) => {
                return Ok(Some("an H2 app DB cannot be written from outside".to_owned()));
            }
            (Behind::OneNode, ReadOnlyStrength::Flag | ReadOnlyStrength::None) => {}
        }
        for node in &self.nodes {
            if let Err(error) = node.read_only().await {
                return Ok(Some(error.chain()));
            }
        }
        Ok(None)
    }

    async fn before(&self) -> Result<ReadOnlyBefore, PortError> {
        Ok(ReadOnlyBefore {
            value: self.value().await?,
            ours: OURS.to_owned(),
        })
    }

    async fn engage(
        &self,
        token: FencingToken,
        strength: ReadOnlyStrength,
        before: &ReadOnlyBefore,
        cancel: &Cancellation,
    ) -> Result<(), PortError> {
        if strength == ReadOnlyStrength::None {
            return Ok(());
        }
        if let Behind::AppDb(guard) = &self.behind {
            guard.announce(token, before, cancel).await?;
        }
        let now = while_wanted(cancel, self.value()).await?;
        before.still_holds(now.as_deref())?;
        if now.as_deref() != Some(OURS) {
            self.ask_to_switch(token, cancel).await?;
        }
        match &self.behind {
            // The row is as it is to be: what is left are triggers, where they are wanted.
            Behind::AppDb(guard) => guard.engage(token, strength, before, cancel).await,
            Behind::OneNode => Ok(()),
        }
    }

    async fn nodes(&self) -> Result<NodeEvidence, PortError> {
        match &self.behind {
            Behind::AppDb(guard) => Ok(NodeEvidence {
                told: Told::ThroughItsApi,
                ..guard.nodes().await?
            }),
            // Nobody else can have the file open.
            Behind::OneNode => {
                let node = self.nodes.first().map(|node| node.address().to_owned());
                let check_in = |node| CheckIn {
                    node,
                    last_ms: 0,
                    interval_ms: 0,
                };
                Ok(NodeEvidence {
                    told: Told::ThroughItsApi,
                    client_hosts: Some(node.iter().cloned().collect()),
                    check_ins: Some(node.into_iter().map(check_in).collect()),
                })
            }
        }
    }

    async fn unconvinced(&self) -> Result<Vec<String>, PortError> {
        let mut unconvinced = Vec::new();
        for node in &self.nodes {
            match node.read_only().await {
                Ok(ReadOnlyMode::On) => {}
                Ok(ReadOnlyMode::Off) => {
                    unconvinced.push(format!("the Metabase at {} says that it is off", node.address()));
                }
                Err(error) => unconvinced.push(error.chain()),
            }
        }
        Ok(unconvinced)
    }

    async fn still_writing(&self, strength: ReadOnlyStrength) -> Result<u64, PortError> {
        match &self.behind {
            Behind::AppDb(guard) => guard.still_writing(strength).await,
            Behind::OneNode => Ok(0),
        }
    }

    async fn watch(&self, strength: ReadOnlyStrength) -> Result<(), PortError> {
        match &self.behind {
            Behind::AppDb(guard) => guard.watch(strength).await,
            Behind::OneNode => Ok(()),
        }
    }

    async fn prove(
        &self,
        strength: ReadOnlyStrength,
        before: &ReadOnlyBefore,
    ) -> Result<ReadOnlyProof, PortError> {
        match &self.behind {
            Behind::AppDb(guard) => guard.prove(strength, before).await,
            Behind::OneNode => {
                let value = self.value().await?;
                Ok(if value.as_ref() == Some(&before.ours) {
                    ReadOnlyProof::Held
                } else {
                    ReadOnlyProof::SwitchedOff { value }
                })
            }
        }
    }

    async fn restore(&self, token: FencingToken, before: &ReadOnlyBefore) -> Result<(), PortError> {
        let is_ours = before.value.as_ref() != Some(&before.ours);
        let wanted = Cancellation::new();
        match &self.behind {
            Behind::OneNode => {
                if is_ours && self.value().await?.as_ref() == Some(&before.ours) {
                    self.set(token, before.value.as_deref(), PUT_BACK_MAX, &wanted)
                        .await?;
                }
                Ok(())
            }
            Behind::AppDb(guard) => {
                let put_back = match self.value().await {
                    Ok(now) if is_ours && now.as_ref() == Some(&before.ours) => {
                        let set = self.set(token, before.value.as_deref(), PUT_BACK_MAX, &wanted);
                        set.await.map(drop)
                    }
                    looked => looked.map(drop),
                };
                if let Err(error) = put_back {
                    if error.kind == ErrorKind::Precondition {
                        return Err(error);
                    }
                    tracing::warn!(
                        target: "cloud_migration", error = error.chain(),
                        "Metabase cannot be asked to put read-only back; it is put back in the app DB"
                    );
                }
                // What Metabase has put back is found so; triggers, and what the dead man's switch knows, go here.
                guard.restore(token, before).await
            }
        }
    }
}
