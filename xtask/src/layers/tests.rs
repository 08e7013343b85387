//! The workspace as it is, and proofs that each rule can fail.

use super::*;

fn edges(pairs: &[(&str, &str)]) -> Edges {
    let mut edges = Edges::new();
    for (from, to) in pairs {
        edges
            .entry((*from).to_owned())
            .or_default()
            .insert((*to).to_owned());
    }
    edges
}

#[test]
fn the_workspace_obeys_the_table() {
    let findings = findings().unwrap();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn cargo_tree_is_understood() {
    let tree =
        "0metaferry-api v0.1.0 (/x)\n1axum v0.8.9\n1serde v1.0.1 (*)\n\n0metaferry-domain v0.1.0 (/y)\n";
    let edges = parse_edges(tree);
    assert_eq!(
        edges["metaferry-api"],
        BTreeSet::from(["axum".to_owned(), "serde".to_owned()])
    );
    assert!(edges["metaferry-domain"].is_empty());
}

#[test]
fn an_edge_between_our_crates_that_is_not_in_the_table_is_named_with_its_line() {
    let findings = compare(
        &table::rows(),
        &edges(&[("metaferry-transfer", "metaferry-app-db")]),
    );
    assert_eq!(findings.len(), 1);
    assert!(
        findings[0].starts_with("metaferry-transfer -> metaferry-app-db: breaks the line"),
        "{findings:?}"
    );
    assert!(findings[0].contains("`transfer` | ours: domain"), "{findings:?}");
}

#[test]
fn third_party_crates_stay_with_their_owners() {
    for (package, dependency) in [
        ("metaferry-api", "sqlx"),
        ("metaferry-server", "axum"),
        ("metaferry-store", "aws-sdk-s3"),
        ("metaferry-orchestrator", "reqwest"),
        ("metaferry-domain", "tokio"),
        ("metaferry-h2-file", "serde"),
        ("metaferry-server", "metaferry-test-kit"),
        ("xtask", "serde_json"),
    ] {
        assert_eq!(
            compare(&table::rows(), &edges(&[(package, dependency)])).len(),
            1,
            "{package} -> {dependency}"
        );
    }
    let allowed = [
        ("metaferry-app-db", "sqlx"),
        ("metaferry-api", "tokio"),
        ("xtask", "metaferry-domain"),
    ];
    assert!(compare(&table::rows(), &edges(&allowed)).is_empty());
}

#[test]
fn a_crate_without_a_line_is_a_finding() {
    let findings = compare(&table::rows(), &edges(&[("metaferry-new", "serde")]));
    assert_eq!(findings, ["metaferry-new: has no line in the table; add one"]);
}

#[test]
fn a_runtime_or_random_ids_anywhere_below_the_domain_are_findings() {
    let pure = "metaferry-domain v0.1.0 (/x) [mock]\nuuid v1.29.3 [default,std]\nserde v1.0.2 []\n";
    assert!(impure(pure).is_empty());
    for line in [
        "tokio v1.0.0 [rt]",
        "sqlx-core v0.9.0 []",
        "uuid v1.29.3 [default,v4]",
    ] {
        assert_eq!(impure(&format!("{pure}{line}\n")).len(), 1, "{line}");
    }
}

#[test]
fn every_line_of_the_table_has_three_cells_and_names_crates_that_have_a_line() {
    let rows = table::rows();
    for row in &rows {
        for ours in &row.ours {
            assert!(rows.iter().any(|other| other.krate == *ours), "{row}");
        }
        assert!(!row.krate.contains(' '), "{row}");
    }
    assert_eq!(
        rows.iter()
            .filter(|row| row.third_party.contains(&"sqlx"))
            .count(),
        2,
        "app-db and test-kit"
    );
}
