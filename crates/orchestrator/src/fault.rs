//! Faults on purpose, for tests of the whole program: the process ends just before or just after an effect, the effect
//! fails, its answer is lost, or it takes long. Only where debug assertions are on: a released program holds none of
//! this, and cannot be told to.

use std::future::Future;

use metaferry_domain::PortError;
use metaferry_domain::effect::Effect;
use metaferry_domain::ports::Clock;

#[cfg(debug_assertions)]
pub use wanted::FaultKind;

/// Which effects are to go wrong, and how; none unless asked for.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    #[cfg(debug_assertions)]
    wanted: std::sync::Arc<Vec<wanted::Fault>>,
    #[cfg(debug_assertions)]
    delay: wanted::Delay,
}

impl Faults {
    /// Performs `work`, which is `effect`, with the fault that is wanted for it.
    #[cfg(not(debug_assertions))]
    pub(crate) async fn strike<T>(
        &self,
        _: Effect,
        _: &dyn Clock,
        work: impl Future<Output = Result<T, PortError>> + Send,
    ) -> Result<T, PortError> {
        work.await
    }

    /// Performs `work`, which is `effect`, with the fault that is wanted for it.
    #[cfg(debug_assertions)]
    pub(crate) async fn strike<T>(
        &self,
        effect: Effect,
        clock: &dyn Clock,
        work: impl Future<Output = Result<T, PortError>> + Send,
    ) -> Result<T, PortError> {
        match self.wanted.iter().find_map(|fault| fault.strikes(effect)) {
            Some(kind) => kind.with(effect, self.delay, clock, work).await,
            None => work.await,
        }
    }
}

#[cfg(debug_assertions)]
mod wanted {
    use std::future::Future;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use metaferry_domain::effect::Effect;
    use metaferry_domain::ports::Clock;
    use metaferry_domain::{ErrorKind, PortError};

    use super::Faults;

    /// How long [`FaultKind::Delay`] takes.
    #[derive(Debug, Clone, Copy)]
    pub(super) struct Delay(Duration);

    impl Default for Delay {
        fn default() -> Self {
            Self(Duration::from_secs(2))
        }
    }

    /// What goes wrong.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum FaultKind {
        /// The process ends before the effect, as hard as by SIGKILL.
        AbortBefore,
        /// The process ends after the effect took place, before that is journaled.
        AbortAfter,
        /// It does not take place, and fails so that trying again at once is not worth it.
        Error,
        /// It takes place, and what is heard is that it may not have.
        LoseAnswer,
        /// It takes place late: after two seconds, unless told otherwise.
        Delay,
    }

    impl FaultKind {
        /// All of them.
        pub const ALL: [Self; 5] = [
            Self::AbortBefore,
            Self::AbortAfter,
            Self::Error,
            Self::LoseAnswer,
            Self::Delay,
        ];

        /// As it is written in the variable.
        #[must_use]
        pub fn as_str(self) -> &'static str {
            match self {
                Self::AbortBefore => "abort-before",
                Self::AbortAfter => "abort-after",
                Self::Error => "error",
                Self::LoseAnswer => "lose-answer",
                Self::Delay => "delay",
            }
        }

        pub(super) async fn with<T>(
            self,
            effect: Effect,
            Delay(delay): Delay,
            clock: &dyn Clock,
            work: impl Future<Output = Result<T, PortError>> + Send,
        ) -> Result<T, PortError> {
            let let_loose =
                || tracing::warn!(target: "cloud_migration", "fault {effect}:{} let loose", self.as_str());
            match self {
                Self::AbortBefore => {
                    let_loose();
                    std::process::abort()
                }
                Self::AbortAfter => {
                    // Whether it went well or not: what took place is what counts.
                    let _ = work.await;
                    let_loose();
                    std::process::abort()
                }
                Self::Error => {
                    let_loose();
                    Err(PortError::new(
                        ErrorKind::Denied,
                        format!("{effect} was made to fail"),
                    ))
                }
                Self::LoseAnswer => {
                    let answer = work.await;
                    let_loose();
                    answer.and(Err(PortError::new(
                        ErrorKind::Unavailable,
                        format!("the answer to {effect} was lost on purpose"),
                    )))
                }
                Self::Delay => {
                    let_loose();
                    clock.sleep(delay).await;
                    work.await
                }
            }
        }
    }

    /// Strikes once in a process.
    #[derive(Debug)]
    pub(super) struct Fault {
        effect: Effect,
        kind: FaultKind,
        has_struck: AtomicBool,
    }

    impl Fault {
        pub(super) fn strikes(&self, effect: Effect) -> Option<FaultKind> {
            let strikes = self.effect == effect && !self.has_struck.swap(true, Ordering::Relaxed);
            strikes.then_some(self.kind)
        }
    }

    impl Faults {
        /// Reads `EFFECT:KIND`, or several with commas between them: `FinishDump:error,DeleteDump:abort-before`. Effects
        /// are named as in the log.
        ///
        /// # Errors
        /// In words, if one of them is neither.
        pub fn from_text(text: &str) -> Result<Self, String> {
            let wanted = text.split(',').map(|fault| {
                let (effect, kind) = fault
                    .split_once(':')
                    .ok_or_else(|| format!("{fault:?} is not EFFECT:KIND"))?;
                let mut effects = Effect::ALL.into_iter().chain([Effect::WriteProgress]);
                let effect = effects
                    .find(|known| known.to_string() == effect)
                    .ok_or_else(|| format!("there is no effect {effect:?}"))?;
                let kind = FaultKind::ALL
                    .into_iter()
                    .find(|known| known.as_str() == kind)
                    .ok_or_else(|| {
                        let known = FaultKind::ALL.map(FaultKind::as_str).join(", ");
                        format!("{kind:?} is none of {known}")
                    })?;
                Ok(Fault {
                    effect,
                    kind,
                    has_struck: AtomicBool::new(false),
                })
            });
            Ok(Self {
                wanted: Arc::new(wanted.collect::<Result<_, String>>()?),
                delay: Delay::default(),
            })
        }

        /// The same, with delays that take so long.
        #[must_use]
        pub fn with_delay(self, delay: Duration) -> Self {
            Self {
                delay: Delay(delay),
                ..self
            }
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use metaferry_domain::migration::Phase;

    use super::*;

    #[test]
    fn each_fault_strikes_its_effect_once() {
        let faults = Faults::from_text("FinishDump:error,WriteState(done):abort-after").unwrap();
        let struck = |effect| faults.wanted.iter().find_map(|fault| fault.strikes(effect));
        assert_eq!(struck(Effect::UploadDump), None);
        assert_eq!(struck(Effect::WriteState(Phase::Error)), None);
        assert_eq!(struck(Effect::FinishDump), Some(FaultKind::Error));
        assert_eq!(struck(Effect::FinishDump), None);
        let written = struck(Effect::WriteState(Phase::Done));
        assert_eq!(written, Some(FaultKind::AbortAfter));
    }

    #[test]
    fn what_is_no_fault_is_named() {
        for (text, why) in [
            ("FinishDump", "EFFECT:KIND"),
            ("FinishDumps:error", "\"FinishDumps\""),
            ("FinishDump:explode", "\"explode\" is none of abort-before"),
        ] {
            let problem = Faults::from_text(text).unwrap_err();
            assert!(problem.contains(why), "{text}: {problem}");
        }
    }
}
