//! The instance's settings.

use crate::draft::{Draft, SampleTable, text, varchar};
use crate::sizes::Sizes;
use crate::value::row;

/// Settings that mean something to Metabase or to a migration.
const KNOWN: &[(&str, &str)] = &[
    ("admin-email", "superuser@example.com"),
    ("anon-tracking-enabled", "false"),
    ("application-name", "Métabase \u{1f6a2} of \"the\" sample"),
    ("encryption-check", "unencrypted"),
    ("instance-creation", "2025-01-01T00:00:00Z"),
    ("read-only-mode", "false"),
    ("report-timezone", "Europe/Paris"),
    ("settings-last-updated", "2025-11-02 18:38:56.042236+00"),
    ("setup-token", "00000000-0000-4000-8000-5a3b1e000001"),
    ("site-name", "Sample"),
    ("site-url", "https://metabase.example.com"),
    ("startup-time-millis", "18411.0"),
];

pub(super) fn tables(sizes: &Sizes) -> Vec<SampleTable> {
    let settings = Draft::new("setting")
        .not_null("key", varchar(254))
        .not_null("value", text())
        .primary_key(&["key"])
        .rows(
            KNOWN.len() as u64 + sizes.settings,
            |_, random, number| match usize::try_from(number).ok().and_then(|at| KNOWN.get(at)) {
                Some((key, value)) => row![*key, *value],
                None => row![format!("sample-setting-{number}"), random.words(30)],
            },
        );
    vec![settings]
}
