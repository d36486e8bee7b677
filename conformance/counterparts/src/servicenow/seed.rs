//! What an instance knows from the start: the people, groups and configuration items of the demo.

use super::tables::{Record, Tables};

/// Fills the tables. `user` is who logs in.
pub(crate) fn fill(tables: &mut Tables, user: &str) {
    let mut add = |table: &'static str, fields: &[(&str, &str)]| {
        let record: Record = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        tables.insert(table, record, "system", 0)
    };
    let mut person = |user_name: &str, name: &str| {
        let (first, last) = name.split_once(' ').unwrap_or((name, ""));
        add(
            "sys_user",
            &[
                ("user_name", user_name),
                ("name", name),
                ("first_name", first),
                ("last_name", last),
                ("email", &format!("{user_name}@example.test")),
                ("active", "true"),
            ],
        )
    };
    person(user, "Windlass Integration");
    let ana = person("ana.lind", "Ana Lind");
    let ben = person("ben.okoro", "Ben Okoro");
    let chi = person("chi.tran", "Chi Tran");
    for (group, members) in [
        ("Change Management", vec![&ana, &ben]),
        ("CAB Approval", vec![&ana, &chi]),
        ("eCAB Approval", vec![&chi]),
        ("Payments", vec![&ben]),
    ] {
        let group = add("sys_user_group", &[("name", group), ("active", "true")]);
        for member in members {
            add("sys_user_grmember", &[("group", &group), ("user", member)]);
        }
    }
    for item in ["payments", "payments-database", "ledger"] {
        add(
            "cmdb_ci",
            &[
                ("name", item),
                ("sys_class_name", "cmdb_ci_service"),
                ("operational_status", "1"),
                ("install_status", "1"),
                ("environment", "Production"),
            ],
        );
    }
    add("std_change_producer_version", &[("name", "Deploy payments - 1"), ("version", "1"), ("active", "true")]);
}
