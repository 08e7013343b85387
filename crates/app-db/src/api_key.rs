//! Whether a caller's API key is the one whose hash Metabase keeps.

/// bcrypt takes tens of milliseconds by design: not on a thread that others wait for.
pub(crate) async fn verifies(key: String, hash: String) -> bool {
    tokio::task::spawn_blocking(move || bcrypt::verify(key, &hash).unwrap_or(false))
        .await
        .unwrap_or(false)
}
