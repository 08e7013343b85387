//! Views, each after those that it uses.

use std::collections::HashSet;

use metaferry_domain::schema::{Name, View};
use sqlx::PgConnection;
use sqlx::postgres::types::Oid;

use super::{get, sql};

pub(super) async fn read(connection: &mut PgConnection, schema: &str) -> Result<Vec<View>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT c.oid, c.relname::text, pg_catalog.pg_get_viewdef(c.oid),
             pg_catalog.obj_description(c.oid, 'pg_class'),
             (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
             (SELECT array_agg(DISTINCT used.refobjid)
              FROM pg_catalog.pg_rewrite rule
              JOIN pg_catalog.pg_depend used
                  ON used.classid = 'pg_catalog.pg_rewrite'::regclass AND used.objid = rule.oid
                 AND used.refclassid = 'pg_catalog.pg_class'::regclass AND used.refobjid <> c.oid
              WHERE rule.ev_class = c.oid)
         FROM pg_catalog.pg_class c
         WHERE c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)
           AND c.relkind = 'v' AND c.relpersistence <> 't'
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend owner
                           WHERE owner.classid = 'pg_catalog.pg_class'::regclass AND owner.objid = c.oid
                             AND owner.deptype = 'e')
         ORDER BY c.relname",
    )
    .bind(schema)
    .fetch_all(connection)
    .await?;
    let mut waiting = Vec::with_capacity(rows.len());
    for row in &rows {
        // A view that was dropped a moment ago has no query any more.
        let Some(query) = get::<Option<String>>(row, 2)? else {
            continue;
        };
        let view = View {
            schema: Name::new(schema),
            name: Name::new(get::<String>(row, 1)?),
            columns: get::<Option<Vec<String>>>(row, 4)?
                .unwrap_or_default()
                .into_iter()
                .map(Name::new)
                .collect(),
            query: sql(query.trim().trim_end_matches(';').to_owned()),
            comment: get(row, 3)?,
        };
        waiting.push((
            get::<Oid>(row, 0)?,
            get::<Option<Vec<Oid>>>(row, 5)?.unwrap_or_default(),
            view,
        ));
    }
    Ok(in_order(waiting))
}

/// Each after those that it uses, by name where that leaves a choice. Views cannot use each other in a circle.
fn in_order(mut waiting: Vec<(Oid, Vec<Oid>, View)>) -> Vec<View> {
    let mut ordered = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let unplaced: HashSet<Oid> = waiting.iter().map(|(oid, _, _)| *oid).collect();
        let at = waiting
            .iter()
            .position(|(_, uses, _)| !uses.iter().any(|used| unplaced.contains(used)))
            .unwrap_or(0);
        ordered.push(waiting.remove(at).2);
    }
    ordered
}
