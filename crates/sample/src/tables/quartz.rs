//! The scheduler's tables, with the columns that Quartz 2.3 documents for Postgres, and a few jobs. One group of
//! triggers was paused by an operator; a node that died long ago has left its row.

use metaferry_domain::schema::ReferentialAction::NoAction;

use crate::draft::{Draft, SampleTable, bigint, boolean, bytea, integer, smallint, varchar};
use crate::random::EPOCH_MICROS;
use crate::value::{Value, row};

/// The value of `sched_name` in every row.
const SCHEDULER: &str = "MetabaseScheduler";
const MILLIS: i64 = EPOCH_MICROS / 1000;
/// The group whose triggers an operator paused.
const PAUSED_GROUP: &str = "DEFAULT.paused-by-an-operator";

/// A job with its trigger: name, group of the trigger, cron expression or interval, state.
struct Job {
    name: &'static str,
    group: &'static str,
    when: When,
    state: &'static str,
}

enum When {
    Cron(&'static str),
    EveryMillis(u64),
}

const JOBS: &[Job] = &[
    Job {
        name: "sync-and-analyze.job",
        group: "DEFAULT",
        when: When::Cron("0 41 * * * ? *"),
        state: "WAITING",
    },
    Job {
        name: "update-field-values.job",
        group: "DEFAULT",
        when: When::Cron("0 0 3 * * ? *"),
        state: "WAITING",
    },
    Job {
        name: "send-pulses.job",
        group: "pulses",
        when: When::Cron("0 0 * * * ? *"),
        state: "WAITING",
    },
    Job {
        name: "abandonment-emails.job",
        group: PAUSED_GROUP,
        when: When::Cron("0 0 12 * * ? *"),
        state: "PAUSED",
    },
    Job {
        name: "refresh-cache.job",
        group: "cache",
        when: When::EveryMillis(60_000),
        state: "WAITING",
    },
    Job {
        name: "truncate-audit-tables.job",
        group: "DEFAULT",
        when: When::EveryMillis(43_200_000),
        state: "ERROR",
    },
];

fn job(number: u64) -> &'static Job {
    &JOBS[usize::try_from(number).expect("as many rows as jobs")]
}

/// The number of a job among those of its kind.
fn nth(number: u64, of_kind: impl Fn(&When) -> bool) -> &'static Job {
    JOBS.iter()
        .filter(|job| of_kind(&job.when))
        .nth(usize::try_from(number).expect("as many rows as jobs"))
        .expect("counted the same way")
}

fn is_cron(when: &When) -> bool {
    matches!(when, When::Cron(_))
}

fn trigger_name(job: &Job) -> String {
    job.name.replace(".job", ".trigger")
}

pub(super) fn tables() -> Vec<SampleTable> {
    let crons = JOBS.iter().filter(|job| is_cron(&job.when)).count() as u64;
    let all = JOBS.len() as u64;
    vec![
        job_details(all),
        triggers(all),
        cron_triggers(crons),
        simple_triggers(all - crons),
        paused_groups(),
        fired_triggers(),
        scheduler_state(),
        locks(),
    ]
}

fn job_details(rows: u64) -> SampleTable {
    Draft::new("qrtz_job_details")
        .not_null("sched_name", varchar(120))
        .not_null("job_name", varchar(200))
        .not_null("job_group", varchar(200))
        .nullable("description", varchar(250))
        .not_null("job_class_name", varchar(250))
        .not_null("is_durable", boolean())
        .not_null("is_nonconcurrent", boolean())
        .not_null("is_update_data", boolean())
        .not_null("requests_recovery", boolean())
        .nullable("job_data", bytea())
        .primary_key(&["sched_name", "job_name", "job_group"])
        .index(&["sched_name", "requests_recovery"])
        .rows(rows, |_, random, number| {
            let job = job(number);
            row![
                SCHEDULER,
                job.name,
                "DEFAULT",
                random.once_in(2).then_some("of the sample"),
                format!("sample.task.{}", job.name),
                true,
                number % 2 == 0,
                false,
                false,
                Value::Bytes(random.bytes(40)),
            ]
        })
}

fn triggers(rows: u64) -> SampleTable {
    Draft::new("qrtz_triggers")
        .not_null("sched_name", varchar(120))
        .not_null("trigger_name", varchar(200))
        .not_null("trigger_group", varchar(200))
        .not_null("job_name", varchar(200))
        .not_null("job_group", varchar(200))
        .nullable("description", varchar(250))
        .nullable("next_fire_time", bigint())
        .nullable("prev_fire_time", bigint())
        .nullable("priority", integer())
        .not_null("trigger_state", varchar(16))
        .not_null("trigger_type", varchar(8))
        .not_null("start_time", bigint())
        .nullable("end_time", bigint())
        .nullable("calendar_name", varchar(200))
        .nullable("misfire_instr", smallint())
        .nullable("job_data", bytea())
        .primary_key(&["sched_name", "trigger_name", "trigger_group"])
        .foreign_key(
            &["sched_name", "job_name", "job_group"],
            "qrtz_job_details",
            &["sched_name", "job_name", "job_group"],
            NoAction,
        )
        .index(&["sched_name", "next_fire_time", "trigger_state"])
        .rows(rows, |_, random, number| {
            let job = job(number);
            let kind = if is_cron(&job.when) { "CRON" } else { "SIMPLE" };
            row![
                SCHEDULER,
                trigger_name(job),
                job.group,
                job.name,
                "DEFAULT",
                Value::Null,
                MILLIS + i64::try_from(random.below(86_400_000)).expect("a day"),
                -1_i64,
                5_u64,
                job.state,
                kind,
                MILLIS,
                0_u64,
                Value::Null,
                2_u64,
                Value::Bytes(Vec::new()),
            ]
        })
}

fn kind_of_trigger(name: &str) -> Draft {
    let key = ["sched_name", "trigger_name", "trigger_group"];
    Draft::new(name)
        .not_null("sched_name", varchar(120))
        .not_null("trigger_name", varchar(200))
        .not_null("trigger_group", varchar(200))
        .primary_key(&key)
        .foreign_key(&key, "qrtz_triggers", &key, NoAction)
}

fn cron_triggers(rows: u64) -> SampleTable {
    kind_of_trigger("qrtz_cron_triggers")
        .not_null("cron_expression", varchar(120))
        .nullable("time_zone_id", varchar(80))
        .rows(rows, |_, _, number| {
            let job = nth(number, is_cron);
            let cron = match job.when {
                When::Cron(cron) => cron,
                When::EveryMillis(_) => "",
            };
            row![SCHEDULER, trigger_name(job), job.group, cron, "Europe/Paris"]
        })
}

fn simple_triggers(rows: u64) -> SampleTable {
    kind_of_trigger("qrtz_simple_triggers")
        .not_null("repeat_count", bigint())
        .not_null("repeat_interval", bigint())
        .not_null("times_triggered", bigint())
        .rows(rows, |_, random, number| {
            let job = nth(number, |when| !is_cron(when));
            let interval = match job.when {
                When::Cron(_) => 0,
                When::EveryMillis(interval) => interval,
            };
            row![
                SCHEDULER,
                trigger_name(job),
                job.group,
                -1_i64,
                interval,
                random.below(100_000)
            ]
        })
}

fn paused_groups() -> SampleTable {
    Draft::new("qrtz_paused_trigger_grps")
        .not_null("sched_name", varchar(120))
        .not_null("trigger_group", varchar(200))
        .primary_key(&["sched_name", "trigger_group"])
        .rows(1, |_, _, _| row![SCHEDULER, PAUSED_GROUP])
}

/// Nothing runs: the table is empty.
fn fired_triggers() -> SampleTable {
    Draft::new("qrtz_fired_triggers")
        .not_null("sched_name", varchar(120))
        .not_null("entry_id", varchar(95))
        .not_null("trigger_name", varchar(200))
        .not_null("trigger_group", varchar(200))
        .not_null("instance_name", varchar(200))
        .not_null("fired_time", bigint())
        .not_null("sched_time", bigint())
        .not_null("priority", integer())
        .not_null("state", varchar(16))
        .nullable("job_name", varchar(200))
        .nullable("job_group", varchar(200))
        .nullable("is_nonconcurrent", boolean())
        .nullable("requests_recovery", boolean())
        .primary_key(&["sched_name", "entry_id"])
        .rows(0, |_, _, _| Vec::new())
}

fn scheduler_state() -> SampleTable {
    Draft::new("qrtz_scheduler_state")
        .not_null("sched_name", varchar(120))
        .not_null("instance_name", varchar(200))
        .not_null("last_checkin_time", bigint())
        .not_null("checkin_interval", bigint())
        .primary_key(&["sched_name", "instance_name"])
        .rows(1, |_, _, _| {
            row![SCHEDULER, "gone-node1735689600000", MILLIS, 7_500_u64]
        })
}

fn locks() -> SampleTable {
    Draft::new("qrtz_locks")
        .not_null("sched_name", varchar(120))
        .not_null("lock_name", varchar(40))
        .primary_key(&["sched_name", "lock_name"])
        .rows(2, |_, _, number| {
            row![
                SCHEDULER,
                if number == 0 {
                    "STATE_ACCESS"
                } else {
                    "TRIGGER_ACCESS"
                }
            ]
        })
}
