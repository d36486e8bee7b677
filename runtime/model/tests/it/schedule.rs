//! Schedules across real changes of real clocks, and against brute force.

use expect_test::{Expect, expect};
use windlass_model::problem::Color;
use windlass_model::schedule::{
    CatchUp, CronExpression, Due, Once, Schedule, ScheduledWorkflow, Times, Zone, render_cron,
};
use windlass_model::time::Timestamp;

fn at(text: &str) -> Timestamp {
    Once::parse(text, None).expect(text).at()
}

fn cron(expression: &str, zone: &str) -> Times {
    Times::Cron { expression: expression.parse().expect(expression), zone: zone.parse().expect(zone) }
}

/// The next firings after a time, with a star where the clock skips the time that was meant.
fn next(times: &Times, from: &str, count: usize) -> Vec<String> {
    let first = times.next_after(at(from));
    let all = std::iter::successors(first, |it| times.next_after(*it)).take(count);
    let all: Vec<Timestamp> = all.collect();
    // Backwards it is the same.
    let mut backwards = Vec::new();
    let mut last = all.last().copied();
    while let Some(it) = last.filter(|it| *it > at(from)) {
        backwards.push(it);
        last = times.last_until(Timestamp(it.as_millis() - 1));
    }
    backwards.reverse();
    assert_eq!(all, backwards, "{times}");
    let shown = all.iter().map(|it| format!("{}{}", times.show(*it), if times.is_moved(*it) { "*" } else { "" }));
    // The zone is in the table already.
    shown
        .map(|it| {
            it.split('[').next().map(str::to_owned).unwrap_or_default() + if it.ends_with('*') { "*" } else { "" }
        })
        .collect()
}

#[test]
fn clock_changes() {
    // Expression, zone, from, what comes.
    let table: &[(&str, &str, &str, &[&str])] = &[
        // Berlin, spring: 02:00 to 03:00 is skipped.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00Z",
            &["2026-03-29T03:00:00+02:00*", "2026-03-30T02:30:00+02:00"],
        ),
        // Two that are skipped, and one that is due then anyway, are one.
        (
            "0,30 2,3 * * *",
            "Europe/Berlin",
            "2026-03-29T00:00Z",
            &["2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00", "2026-03-30T02:00:00+02:00"],
        ),
        // With a step it is what the clock shows: nothing between 01:45 and 03:00, a quarter of an hour apart.
        (
            "*/15 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:40Z",
            &["2026-03-29T01:45:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:15:00+02:00"],
        ),
        ("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", &["2026-03-30T02:00:00+02:00"]),
        // Berlin, autumn: 02:00 to 03:00 is shown twice.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00Z",
            &["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
        ),
        (
            "0 * * * *",
            "Europe/Berlin",
            "2026-10-24T23:30Z",
            &["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"],
        ),
        // From within the second time that it is shown.
        ("45 2 * * *", "Europe/Berlin", "2026-10-25T01:30Z", &["2026-10-26T02:45:00+01:00"]),
        // New York.
        (
            "0 2 * * SUN",
            "America/New_York",
            "2026-03-07T12:00Z",
            &["2026-03-08T03:00:00-04:00*", "2026-03-15T02:00:00-04:00"],
        ),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00Z",
            &["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"],
        ),
        (
            "30 */1 * * *",
            "America/New_York",
            "2026-11-01T05:00Z",
            &["2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00", "2026-11-01T02:30:00-05:00"],
        ),
        // Lord Howe changes by half an hour: 02:00 to 02:30 is skipped, 01:30 to 02:00 is shown twice.
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T12:00Z",
            &["2026-10-04T02:30:00+11:00*", "2026-10-05T02:15:00+11:00"],
        ),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T12:00Z",
            &["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"],
        ),
        (
            "*/15 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T14:29Z",
            &[
                "2026-04-05T01:30:00+11:00",
                "2026-04-05T01:45:00+11:00",
                "2026-04-05T01:30:00+10:30",
                "2026-04-05T01:45:00+10:30",
            ],
        ),
        // Kolkata never changes.
        (
            "30 2 29 3 *",
            "Asia/Kolkata",
            "2026-01-01T00:00Z",
            &["2026-03-29T02:30:00+05:30", "2027-03-29T02:30:00+05:30"],
        ),
        // Apia had no 30 December 2011: what was meant for it comes when the next day begins.
        (
            "0 9 * * *",
            "Pacific/Apia",
            "2011-12-29T00:00-10:00",
            &[
                "2011-12-29T09:00:00-10:00",
                "2011-12-31T00:00:00+14:00*",
                "2011-12-31T09:00:00+14:00",
                "2012-01-01T09:00:00+14:00",
            ],
        ),
        (
            "0 */12 * * *",
            "Pacific/Apia",
            "2011-12-29T01:00-10:00",
            &["2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00"],
        ),
        // St. John's went from 00:01 back to 23:01 of the day before.
        (
            "*/30 23,0 * * *",
            "America/St_Johns",
            "2010-11-07T01:59Z",
            &[
                "2010-11-06T23:30:00-02:30",
                "2010-11-07T00:00:00-02:30",
                "2010-11-06T23:30:00-03:30",
                "2010-11-07T00:00:00-03:30",
                "2010-11-07T00:30:00-03:30",
            ],
        ),
    ];
    for (expression, zone, from, expected) in table {
        assert_eq!(next(&cron(expression, zone), from, expected.len()), *expected, "{expression} in {zone}");
    }
}

#[test]
fn fields() {
    let table: &[(&str, &[&str])] = &[
        ("0 22 * * 1-5", &["2026-12-01T22:00:00+00:00", "2026-12-02T22:00:00+00:00"]),
        // 0 and 7 are Sunday, as a name and at the end of a range as well.
        ("0 0 * * 0", &["2026-12-06T00:00:00+00:00", "2026-12-13T00:00:00+00:00"]),
        ("0 0 * * 7", &["2026-12-06T00:00:00+00:00", "2026-12-13T00:00:00+00:00"]),
        ("0 0 * * sat-sun", &["2026-12-05T00:00:00+00:00", "2026-12-06T00:00:00+00:00", "2026-12-12T00:00:00+00:00"]),
        ("0 0 * * 5-7/2", &["2026-12-04T00:00:00+00:00", "2026-12-06T00:00:00+00:00", "2026-12-11T00:00:00+00:00"]),
        ("0 0 * * Monday", &["2026-12-07T00:00:00+00:00"]),
        // Either, where both fields of days are restricted; both, where one begins with a star.
        ("0 0 13 * fri", &["2026-12-04T00:00:00+00:00", "2026-12-11T00:00:00+00:00", "2026-12-13T00:00:00+00:00"]),
        ("0 0 */2 * fri", &["2026-12-11T00:00:00+00:00", "2026-12-25T00:00:00+00:00"]),
        ("0 0 31 * *", &["2026-12-31T00:00:00+00:00", "2027-01-31T00:00:00+00:00", "2027-03-31T00:00:00+00:00"]),
        ("0 0 29 2 *", &["2028-02-29T00:00:00+00:00", "2032-02-29T00:00:00+00:00"]),
        ("30 0 12 * * ?", &["2026-12-01T12:00:30+00:00"]),
        ("0 0 12 1 jan ? 2030", &["2030-01-01T12:00:00+00:00"]),
        ("*/20 * * * * *", &["2026-12-01T00:00:20+00:00", "2026-12-01T00:00:40+00:00", "2026-12-01T00:01:00+00:00"]),
        ("@hourly", &["2026-12-01T01:00:00+00:00", "2026-12-01T02:00:00+00:00"]),
        ("@midnight", &["2026-12-02T00:00:00+00:00"]),
        ("@Weekly", &["2026-12-06T00:00:00+00:00"]),
        ("@annually", &["2027-01-01T00:00:00+00:00"]),
    ];
    for (expression, expected) in table {
        assert_eq!(next(&cron(expression, "UTC"), "2026-12-01T00:00Z", expected.len()), *expected, "{expression}");
    }
    assert_eq!(next(&cron("0 0 12 1 1 ? 2030", "UTC"), "2030-01-01T12:00Z", 1), Vec::<String>::new());
}

fn refused(expression: &str, expected: &Expect) {
    let problem = CronExpression::parse(expression).expect_err(expression);
    expected.assert_eq(&render_cron(expression, &problem, Color::None));
}

#[test]
fn a_bad_expression_is_refused_with_the_wrong_field_marked() {
    refused(
        "0 25 * * *",
        &expect![[r#"
        error[bad-cron-field]: `25` is no hour: it is from 0 to 23
         --> cron:1:3
          |
        1 | 0 25 * * *
          |   ^^ in the field of the hour
          |
          = note: accepted: the hour is 0 to 23, `*`, a list `A,B`, a range `A-B` or a step `*/N`, `A-B/N`
    "#]],
    );
    refused(
        "0 9,x,17 * * 1-5",
        &expect![[r#"
        error[bad-cron-field]: `x` is no hour
         --> cron:1:5
          |
        1 | 0 9,x,17 * * 1-5
          |     ^ in the field of the hour
          |
          = note: accepted: the hour is 0 to 23, `*`, a list `A,B`, a range `A-B` or a step `*/N`, `A-B/N`
    "#]],
    );
    refused(
        "0 9 * * 1-5 extra stuff and more",
        &expect![[r#"
        error[cron-field-count]: 9 fields are no cron expression
         --> cron:1:25
          |
        1 | 0 9 * * 1-5 extra stuff and more
          |                         ^^^^^^^^
          |
          = note: accepted: 5 fields (minute, hour, day of the month, month, day of the week), 6 (a second before them) or 7 (a year after them), or a word such as `@daily`
          = help: `0 22 * * 1-5` is 22:00 from Monday to Friday
    "#]],
    );
    refused(
        "0 9 * *",
        &expect![[r#"
        error[cron-field-count]: 4 fields are no cron expression
         --> cron:1:1
          |
        1 | 0 9 * *
          | ^^^^^^^
          |
          = note: accepted: 5 fields (minute, hour, day of the month, month, day of the week), 6 (a second before them) or 7 (a year after them), or a word such as `@daily`
          = help: `0 22 * * 1-5` is 22:00 from Monday to Friday
    "#]],
    );
    refused(
        "0 0 30 2 *",
        &expect![[r#"
        error[cron-never-comes]: no year that it names has such a day, so it never comes
         --> cron:1:5
          |
        1 | 0 0 30 2 *
          |     ^^^^ day 30 of month 2
          |
          = note: accepted: a day that at least one of the months has (29 in February is one, every fourth year)
    "#]],
    );
    refused(
        "@dayly",
        &expect![[r#"
        error[unknown-cron-word]: `@dayly` is no word for a schedule
         --> cron:1:1
          |
        1 | @dayly
          | ^^^^^^
          |
          = note: accepted: `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly` and `@annually`
          = help: did you mean `@daily`?
    "#]],
    );
    refused(
        "0 0 * * fri-mon",
        &expect![[r#"
        error[bad-cron-field]: the range `fri-mon` of the day of the week ends before it begins; write it as two: `fri-7,0-mon`
         --> cron:1:9
          |
        1 | 0 0 * * fri-mon
          |         ^^^^^^^ in the field of the day of the week
          |
          = note: accepted: the day of the week is 0 to 7 (0 and 7 are Sunday) or `sun` to `sat`, `*`, a list `A,B`, a range `A-B` or a step `*/N`, `A-B/N`
    "#]],
    );
}

#[test]
fn nothing_else_is_an_expression() {
    let bad = [
        "",
        " ",
        "*",
        "@reboot",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 0 *",
        "* * * 13 *",
        "* * * * 8",
        "* * * * -1",
        "*/0 * * * *",
        "*/60 * * * *",
        "1-0 * * * *",
        "1,,2 * * * *",
        ",1 * * * *",
        "1, * * * *",
        "? * * * *",
        "* ? * * *",
        "* * L * *",
        "* * 15W * *",
        "* * * * 5#3",
        "* * 31 4,6,9,11 *",
        "0 0 0 30 2 ? 2030",
        "0 0 0 1 1 ? 1969",
        "0 0 0 1 1 ? 2101",
        "* * * foo *",
        "* * * * foo",
        "1.5 * * * *",
        "+1 * * * *",
        "١ * * * *",
        "1 - 5 * * * * * *",
        "0 0 * * mon/2x",
        "0 0 29 2 * ? 2027 ",
    ];
    for expression in bad {
        let problem = CronExpression::parse(expression).expect_err(expression);
        assert!(problem.place.end <= expression.len(), "{expression}: {problem:?}");
        assert!(expression.get(problem.place.start..problem.place.end).is_some(), "{expression}: {problem:?}");
        assert!(problem.notes.iter().any(|it| it.starts_with("accepted: ")), "{expression}: {problem:?}");
        assert!(!render_cron(expression, &problem, Color::None).is_empty());
    }
    let long = "1,".repeat(600);
    assert_eq!(CronExpression::parse(&long).expect_err("long").code, "long-cron");
}

#[test]
fn zones_and_times_are_refused_with_what_was_probably_meant() {
    let zone = |text: &str| text.parse::<Zone>().map(|it| it.to_string()).unwrap_or_else(|it| it.to_string());
    assert_eq!(zone("europe/berlin"), "Europe/Berlin");
    assert_eq!(zone("Berlin"), "`Berlin` is no time zone: did you mean `Europe/Berlin`?");
    assert_eq!(zone("Europe/Berln"), "`Europe/Berln` is no time zone: did you mean `Europe/Berlin`?");
    assert_eq!(zone("New York"), "`New York` is no time zone: did you mean `America/New_York`?");
    let nowhere = "name one of the IANA database, for example `Europe/Berlin` or `UTC`";
    assert_eq!(zone("Mars/Olympus"), format!("`Mars/Olympus` is no time zone: {nowhere}"));
    assert_eq!(zone(""), format!("`` is no time zone: {nowhere}"));
    assert_eq!(zone("../etc/passwd"), format!("`../etc/passwd` is no time zone: {nowhere}"));
    assert!(zone("+02:00").contains("an offset does not say when clocks change"));

    let berlin: Zone = "Europe/Berlin".parse().expect("a zone");
    let once = |text: &str| match Once::parse(text, Some(&berlin)) {
        Ok(it) => Times::Once(it.clone()).show(it.at()),
        Err(error) => error.to_string(),
    };
    assert_eq!(once("2026-12-01T22:00[Europe/Berlin]"), "2026-12-01T22:00:00+01:00[Europe/Berlin]");
    assert_eq!(once("2026-12-01 22:00"), "2026-12-01T22:00:00+01:00[Europe/Berlin]");
    assert_eq!(once("2026-12-01T21:00Z"), "2026-12-01T22:00:00+01:00[Europe/Berlin]");
    // Skipped, shown twice, and the second of the two.
    assert_eq!(once("2026-03-29T02:30"), "2026-03-29T03:00:00+02:00[Europe/Berlin]");
    assert_eq!(once("2026-10-25T02:30"), "2026-10-25T02:30:00+02:00[Europe/Berlin]");
    assert_eq!(once("2026-10-25T02:30+01:00[Europe/Berlin]"), "2026-10-25T02:30:00+01:00[Europe/Berlin]");
    assert!(once("2026-12-01T22:00+02:00").contains("in Europe/Berlin the offset is +01 then, not +02"));
    assert!(once("2026-12-01T22:00[Asia/Tokyo]").contains("names zone Asia/Tokyo, and the zone given beside it is"));
    assert!(once("2026-12-01T22:00[Asia/Tokio]").contains("did you mean `Asia/Tokyo`?"));
    assert!(once("2026-12-01").contains("the time of day is missing"));
    assert!(once("tomorrow").contains("write `2026-12-01T22:00[Europe/Berlin]`"));
    assert!(once("1969-12-01T22:00").contains("before 1970"));
    assert!(Once::parse("2026-12-01T22:00", None).expect_err("no zone").to_string().contains("in which zone"));
}

fn schedule(times: Times, catch_up: &str) -> Schedule {
    Schedule {
        name: "nightly".parse().expect("a name"),
        times,
        workflow: ScheduledWorkflow {
            copies: None,
            file: "w.yaml".to_owned(),
            text: String::new(),
            files: std::collections::BTreeMap::new(),
        },
        parameters: serde_json::json!({}),
        catch_up: catch_up.parse().expect("a policy"),
        overlap: "skip".parse().expect("a policy"),
        starts: None,
        ends: None,
        paused: false,
    }
}

#[test]
fn what_was_missed_is_made_up_for_as_the_policy_says() {
    let day = |day: u32| at(&format!("2026-12-{day:02}T03:00Z"));
    let due = |fire: &[u32], missed: Option<(u32, u32)>| Due {
        fire: fire.iter().map(|it| day(*it)).collect(),
        missed: missed.map(|(first, last)| (day(first), day(last))),
    };
    // Covered up to the 2nd. At noon of the 6th, nothing is on time; 30 s after the 6th's, that is.
    let (noon, on_time) = (at("2026-12-06T12:00Z"), at("2026-12-06T03:00:30Z"));
    for (policy, at_noon, just_then) in [
        ("none", due(&[], Some((3, 6))), due(&[6], Some((3, 5)))),
        ("latest", due(&[6], Some((3, 5))), due(&[6], Some((3, 5)))),
        ("all", due(&[3, 4, 5, 6], None), due(&[3, 4, 5, 6], None)),
        ("all:2", due(&[5, 6], Some((3, 4))), due(&[4, 5, 6], Some((3, 3)))),
    ] {
        let schedule = schedule(cron("0 3 * * *", "UTC"), policy);
        assert_eq!(schedule.due(day(2), noon), at_noon, "{policy}");
        assert_eq!(schedule.due(day(2), on_time), just_then, "{policy}");
        assert_eq!(schedule.due(day(6), noon), Due::default(), "{policy}: once only");
        assert_eq!(schedule.due(noon, day(2)), Due::default(), "{policy}: the clock went back");
        let paused = Schedule { paused: true, ..schedule.clone() };
        assert_eq!(paused.due(day(2), noon), Due::default(), "{policy}: paused");
        let bounded = Schedule { starts: Some(day(4)), ends: Some(day(5)), ..schedule.clone() };
        assert_eq!(bounded.next_after(day(1)), Some(day(4)), "{policy}");
        assert_eq!(bounded.next_after(day(4)), None, "{policy}: the end does not belong to it");
        let fired = bounded.due(day(2), noon);
        let expected = if policy == "none" { due(&[], Some((4, 4))) } else { due(&[4], None) };
        assert_eq!(fired, expected, "{policy}");
    }
    // A year of seconds is not counted.
    let every_second = schedule(cron("* * * * * *", "UTC"), "all:5");
    let begun = std::time::Instant::now();
    let due = every_second.due(at("2025-12-01T00:00Z"), at("2026-12-01T00:00Z"));
    assert_eq!(due.fire.len(), 66, "61 on time and 5 late");
    assert_eq!(due.missed.map(|it| it.0), Some(at("2025-12-01T00:00:01Z")));
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    // Once is once.
    let once = Times::Once(Once::parse("2026-12-03T03:00Z", None).expect("a time"));
    assert_eq!(schedule(once.clone(), "latest").due(day(2), noon).fire, [day(3)]);
    assert_eq!(schedule(once, "none").due(day(2), noon), Due { fire: vec![], missed: Some((day(3), day(3))) });
    for bad in ["", "all:0", "all:1001", "all:x", "some"] {
        assert!(bad.parse::<CatchUp>().expect_err(bad).to_string().contains("`all:N`"), "{bad}");
    }
}

#[test]
fn schedules_read_back() {
    for times in [
        cron("0 22 * * 1-5", "Europe/Berlin"),
        Times::Once(Once::parse("2026-12-01T22:00[Asia/Tokyo]", None).expect("a time")),
    ] {
        let schedule = Schedule { starts: Some(Timestamp(1)), ..schedule(times, "all:7") };
        let written = serde_json::to_string(&schedule).expect("JSON");
        let read: Schedule = serde_json::from_str(&written).expect(&written);
        assert_eq!(read, schedule);
    }
    let bad = r#"{"cron":{"expression":"0 25 * * *","zone":"UTC"}}"#;
    let error = serde_json::from_str::<Times>(bad).expect_err("a bad expression").to_string();
    assert!(error.contains("`25` is no hour"), "{error}");
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn some_of(&mut self, first: u64, last: u64, at_most: u64) -> Vec<i8> {
        let count = 1 + self.below(at_most);
        (0..count).map(|_| i8::try_from(first + self.below(last - first + 1)).expect("small")).collect()
    }
}

fn list(of: &[i8]) -> String {
    of.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Looks at every minute of some days around a change of the clock, as nobody would in earnest.
#[test]
fn brute_force_finds_the_same() {
    let changes = [
        ("Europe/Berlin", "2026-03-29T01:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00Z"),
        ("America/New_York", "2026-03-08T07:00Z"),
        ("America/New_York", "2026-11-01T06:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
        ("Asia/Kolkata", "2026-03-29T01:00Z"),
        ("Pacific/Apia", "2011-12-30T10:00Z"),
        ("America/St_Johns", "2010-11-07T02:31Z"),
        ("Asia/Beirut", "2026-03-28T22:00Z"),
        ("Africa/Casablanca", "2026-02-15T02:00Z"),
        ("Pacific/Kwajalein", "1993-08-21T12:00Z"),
        ("America/Havana", "2026-11-01T05:00Z"),
    ];
    let mut dice = Dice(7);
    let mut seen = 0;
    for round in 0..40 {
        for (zone, change) in changes {
            let rules = jiff::tz::TimeZone::get(zone).expect(zone);
            let minutes = dice.some_of(0, 59, 3);
            let hours = dice.some_of(0, 6, 3);
            let hours = if dice.below(3) == 0 { dice.some_of(20, 23, 3) } else { hours };
            let days = dice.some_of(0, 6, 4);
            let (every_minute, every_hour) = (dice.below(3) == 0, dice.below(3) == 0);
            let every_day = dice.below(2) == 0;
            let text = format!(
                "{} {} * * {}",
                if every_minute { "*/7".to_owned() } else { list(&minutes) },
                if every_hour { "*".to_owned() } else { list(&hours) },
                if every_day { "*".to_owned() } else { list(&days) }
            );
            let matches = |local: jiff::civil::DateTime| {
                (if every_minute { local.minute() % 7 == 0 } else { minutes.contains(&local.minute()) })
                    && (every_hour || hours.contains(&local.hour()))
                    && (every_day || days.contains(&local.weekday().to_sunday_zero_offset()))
                    && local.second() == 0
            };
            let middle: jiff::Timestamp = change.parse::<jiff::Timestamp>().unwrap_or_else(|_| {
                jiff::Timestamp::from_millisecond(i64::try_from(at(change).as_millis()).expect("small"))
                    .expect("a time")
            });
            let minute = jiff::SignedDuration::from_mins(1);
            let begin = middle - jiff::SignedDuration::from_hours(40);
            let mut expected = Vec::new();
            let mut latest = rules.to_datetime(begin);
            for count in 1..(80 * 60) {
                let now = begin + minute * count;
                let local = rules.to_datetime(now);
                let comes = if every_minute || every_hour {
                    matches(local)
                } else {
                    // What the clock shows now, or has skipped, for the first time.
                    let mut shown = latest;
                    let mut comes = false;
                    while shown < local {
                        shown += minute;
                        comes |= matches(shown);
                    }
                    comes
                };
                latest = latest.max(local);
                if comes {
                    expected.push(Timestamp(u64::try_from(now.as_millisecond()).expect("after 1970")));
                }
            }
            let times = cron(&text, zone);
            let millis = |it: jiff::Timestamp| Timestamp(u64::try_from(it.as_millisecond()).expect("after 1970"));
            let (begin, end) = (millis(begin), millis(begin + minute * (80 * 60 - 1)));
            let forwards: Vec<Timestamp> = std::iter::successors(times.next_after(begin), |it| times.next_after(*it))
                .take_while(|it| *it <= end)
                .collect();
            assert_eq!(forwards, expected, "round {round}: {text} in {zone}");
            let mut backwards: Vec<Timestamp> =
                std::iter::successors(times.last_until(end), |it| times.last_until(Timestamp(it.as_millis() - 1)))
                    .take_while(|it| *it > begin)
                    .collect();
            backwards.reverse();
            assert_eq!(backwards, expected, "round {round}: {text} in {zone}, backwards");
            seen += expected.len();
        }
    }
    assert!(seen > 10_000, "{seen} firings were compared");
}
