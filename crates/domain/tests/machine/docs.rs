//! `docs/state-machine.md` says what the machine does.

use std::path::Path;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a golden file is read and rewritten; the ban is for the rules"
)]
fn the_state_machine_page_is_fresh() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/state-machine.md");
    let rendered = metaferry_domain::docs::render();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&page, &rendered).unwrap();
    }
    let written = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == rendered,
        "docs/state-machine.md is not what the machine does: run UPDATE_GOLDEN=1 cargo test -p metaferry-domain"
    );
}
