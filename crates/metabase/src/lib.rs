//! What is known about Metabase itself: environment, settings, copy policy, encryption, Quartz. Pure.
