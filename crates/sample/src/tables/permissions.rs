//! Groups, who is in them, and what they may.

use metaferry_domain::schema::ReferentialAction::Cascade;

use super::moment;
use crate::credentials::{INACTIVE_ID, SUPERUSER_ID};
use crate::draft::{Draft, SampleTable, boolean, char, decimal, double, integer, timestamptz, varchar};
use crate::sizes::Sizes;
use crate::value::row;

/// Groups that every instance has: all users, and administrators.
const EVERYBODY: u64 = 1;
const ADMINISTRATORS: u64 = 2;
/// The superusers, all of them administrators.
const SUPERUSERS: [u64; 2] = [SUPERUSER_ID, INACTIVE_ID];

pub(super) fn tables(sizes: &Sizes) -> Vec<SampleTable> {
    vec![
        groups(sizes),
        memberships(sizes),
        permissions(sizes),
        limits(sizes),
        privileges(sizes),
    ]
}

fn groups(sizes: &Sizes) -> SampleTable {
    Draft::new("permissions_group")
        .id(sizes.groups + 1)
        .not_null("name", varchar(255))
        .nullable("entity_id", char(21))
        .nullable("magic_group_type", varchar(254))
        .unique(&["name"])
        .unique(&["entity_id"])
        .rows(sizes.groups, |_, random, number| {
            let id = number + 1;
            let (name, magic) = match id {
                EVERYBODY => ("All Users".to_owned(), Some("all-internal-users")),
                ADMINISTRATORS => ("Administrators".to_owned(), Some("admin")),
                _ => (format!("{} {id}", random.words(3)), None),
            };
            row![id, name, random.token(21), magic]
        })
}

fn memberships(sizes: &Sizes) -> SampleTable {
    // Everybody; the administrators; and everybody who is not one of the known users in one more group.
    let rows = sizes.users + SUPERUSERS.len() as u64 + (sizes.users - INACTIVE_ID);
    Draft::new("permissions_group_membership")
        .id(rows + 1)
        .not_null("user_id", integer())
        .not_null("group_id", integer())
        .default("is_group_manager", boolean(), "false")
        .unique(&["user_id", "group_id"])
        .refers("user_id", "core_user", Cascade)
        .refers("group_id", "permissions_group", Cascade)
        .index(&["group_id"])
        .rows(rows, |sizes, random, number| {
            let id = number + 1;
            if number < sizes.users {
                return row![id, number + 1, EVERYBODY, false];
            }
            let number = number - sizes.users;
            match usize::try_from(number).ok().and_then(|at| SUPERUSERS.get(at)) {
                Some(superuser) => row![id, *superuser, ADMINISTRATORS, false],
                None => {
                    let user = number - SUPERUSERS.len() as u64 + INACTIVE_ID + 1;
                    row![id, user, 3 + random.below(sizes.groups - 2), random.once_in(10)]
                }
            }
        })
}

fn permissions(sizes: &Sizes) -> SampleTable {
    Draft::new("permissions")
        .id(sizes.permissions + 1)
        .not_null("object", varchar(254))
        .not_null("group_id", integer())
        .nullable("perm_value", varchar(64))
        .nullable("perm_type", varchar(64))
        .nullable("collection_id", integer())
        .unique(&["group_id", "object"])
        .refers("group_id", "permissions_group", Cascade)
        .refers("collection_id", "collection", Cascade)
        .index(&["object"])
        .rows(sizes.permissions, |sizes, random, number| {
            let id = number + 1;
            let collection = 1 + number % sizes.collections;
            let kind = random.pick(&["read", "read-and-write"]);
            let path = if kind == "read" { "read/" } else { "" };
            row![
                id,
                format!("/collection/{collection}/{path}{id}/"),
                1 + random.below(sizes.groups),
                kind,
                "perms/collection-access",
                collection,
            ]
        })
}

fn limits(sizes: &Sizes) -> SampleTable {
    Draft::new("metabot_group_limit")
        .id(sizes.limits + 1)
        .not_null("group_id", integer())
        .nullable("max_usage", decimal(14, 4))
        .nullable("warning_share", double())
        .not_null("created_at", timestamptz())
        .refers("group_id", "permissions_group", Cascade)
        .rows(sizes.limits, |sizes, random, number| {
            // Zero, negative, whole, fractional and the widest that fits.
            let usage = match number % 5 {
                0 => "0.0000".to_owned(),
                1 => format!("-{}.2500", random.below(1_000)),
                2 => format!("{}.0000", random.below(10_000_000)),
                3 => format!("{}.{:04}", random.below(9_999_999), random.below(10_000)),
                _ => "9999999999.9999".to_owned(),
            };
            let share = match number % 4 {
                0 => 1.0 / 3.0,
                1 => -random.fraction() * 1e300,
                2 => random.fraction() * 1e-300,
                _ => 0.0,
            };
            row![
                number + 1,
                1 + random.below(sizes.groups),
                (!random.once_in(6)).then_some(crate::value::Value::Decimal(usage)),
                (!random.once_in(6)).then_some(crate::value::Value::Double(share)),
                moment(random),
            ]
        })
}

fn privileges(sizes: &Sizes) -> SampleTable {
    Draft::new("table_privileges")
        .not_null("table_id", integer())
        .nullable("role", varchar(255))
        .default("select", boolean(), "false")
        .default("update", boolean(), "false")
        .default("insert", boolean(), "false")
        .default("delete", boolean(), "false")
        .refers("table_id", "metabase_table", Cascade)
        .index(&["role"])
        .rows(sizes.privileges, |sizes, random, _| {
            row![
                1 + random.below(sizes.tables),
                random
                    .once_in(2)
                    .then(|| random.pick(&["analyst", "etl", "lecteur"])),
                random.once_in(2),
                random.once_in(4),
                random.once_in(4),
                random.once_in(8),
            ]
        })
}
