//! What a guest makes the host remember or do, beside its own memory and time.
//!
//! The loops end by themselves: a host without the limit that is tested says so with a wrong answer, not by falling.

use windlass_sandbox::{CallOutcome, CallReport, WAKE_DELAY_MIN, WakeUp};

use crate::support::made::call_made;
use crate::support::{Given, code, done, message, others_go_on};

const LOG: &str = r#"(import "windlass:plugin/log@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))"#;

const HTTP: &str = r#"
    (import "wasi:http/types@0.2.12" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:http/types@0.2.12" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
    (import "wasi:http/types@0.2.12" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-request.set-method" (func $set_method (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-request.set-scheme" (func $set_scheme (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-request.set-authority" (func $set_authority (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-request.set-path-with-query" (func $set_path (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-request.body" (func $body (param i32 i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-body.write" (func $write (param i32 i32)))
    (import "wasi:io/streams@0.2.12" "[method]output-stream.write" (func $put (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.12" "[method]output-stream.check-write" (func $room_for (param i32 i32)))"#;

/// Calls a `start` that does `what` so many times; local 1 counts, local 2 is free.
async fn times(imports: &str, count: u32, what: &str) -> CallReport {
    let body = format!(
        r#"(memory (export "memory") 40)
           (func $fill (param $at i32) (param $byte i32) (param $size i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
           (func (export "start") (param i32) (result i32) (local i32 i32)
             (call $fill (i32.const 131072) (i32.const 65) (i32.const 2400000))
             (loop $again
               {what}
               (local.set 1 (i32.add (local.get 1) (i32.const 1)))
               (br_if $again (i32.lt_u (local.get 1) (i32.const {count}))))
             (i32.const 32))"#
    );
    call_made(imports, &body, Given::default()).await
}

#[tokio::test]
async fn what_the_host_holds_for_a_guest_is_counted() {
    let timer = r#"(import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $timer (param i64) (result i32)))
                   (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $forget (param i32)))"#;
    let checkpoint = r#"(import "windlass:plugin/checkpoint@0.1.0" "begin" (func $begin (param i32 i32 i32)))"#;
    let out = r#"(import "wasi:cli/stdout@0.2.12" "get-stdout" (func $out (result i32)))"#;
    for (what, imports, way, expected) in [
        ("timers", timer, "(drop (call $timer (i64.const -1)))", "too-many-resources"),
        ("headers", HTTP, "(drop (call $fields))", "too-many-resources"),
        ("requests", HTTP, "(drop (call $request (call $fields)))", "too-many-resources"),
        ("streams", out, "(drop (call $out))", "too-many-resources"),
        (
            "checkpoints",
            checkpoint,
            "(i32.store (i32.const 131072) (local.get 1)) (i32.store8 (i32.const 131072) (i32.const 97)) (call $begin (i32.const 128) (i32.const 4) (i32.const 256))",
            "checkpoint-refused",
        ),
    ] {
        let report = times(imports, 3000, way).await;
        assert_eq!(code(&report), expected, "{what}: {}", message(&report));
    }
    // What is dropped makes room again.
    done(times(timer, 3000, "(call $forget (call $timer (i64.const 0)))").await);
    others_go_on().await;
}

#[tokio::test]
async fn one_thing_that_the_host_holds_is_not_large() {
    // 3000 times 50 KB: set anew each time, so it never adds up.
    let name_and_value = "(i32.const 128) (i32.const 4) (i32.const 131072) (i32.const 50000)";
    let report = times(HTTP, 2, &format!("(if (i32.eqz (local.get 1)) (then (local.set 2 (call $fields)))) (call $append (local.get 2) {name_and_value} (i32.const 256))")).await;
    assert_eq!(code(&report), "plugin-broken", "{}", message(&report));
    assert!(message(&report).contains("total size"), "{}", message(&report));
    for (what, longest, setter) in [
        ("method", 32, "(call $set_method (local.get 2) (i32.const 9) (i32.const 131072) (i32.const SIZE))"),
        (
            "scheme",
            32,
            "(call $set_scheme (local.get 2) (i32.const 1) (i32.const 2) (i32.const 131072) (i32.const SIZE))",
        ),
        ("authority", 512, "(call $set_authority (local.get 2) (i32.const 1) (i32.const 131072) (i32.const SIZE))"),
        ("path", 32 * 1024, "(call $set_path (local.get 2) (i32.const 1) (i32.const 131071) (i32.const SIZE))"),
    ] {
        for (size, taken) in [(longest, 0), (longest + 1, 1), (2_000_000, 1)] {
            let set = setter.replace("SIZE", &size.to_string());
            let way = format!(
                "(i32.store8 (i32.const 131071) (i32.const 47)) (local.set 2 (call $request (call $fields))) (if (i32.ne {set} (i32.const {taken})) (then unreachable))"
            );
            let report = times(HTTP, 1, &way).await;
            assert!(report.result.is_ok(), "{what} of {size}: {}", message(&report));
        }
    }
}

#[tokio::test]
async fn a_body_that_nobody_sends_is_held_in_small_pieces() {
    let way = "(local.set 2 (call $request (call $fields)))
        (call $body (local.get 2) (i32.const 256)) (call $write (i32.load (i32.const 260)) (i32.const 256))
        (call $room_for (i32.load (i32.const 260)) (i32.const 264))
        (if (i64.gt_u (i64.load (i32.const 272)) (i64.const 65536)) (then unreachable))
        (call $put (i32.load (i32.const 260)) (i32.const 131072) (i32.const 65537) (i32.const 280))";
    let report = times(HTTP, 1, way).await;
    assert_eq!(code(&report), "plugin-broken", "{}", message(&report));
}

#[tokio::test]
async fn randomness_comes_in_bounded_pieces() {
    let random = r#"(import "wasi:random/random@0.2.12" "get-random-bytes" (func $random (param i64 i32)))"#;
    done(times(random, 1, "(call $random (i64.const 1048576) (i32.const 256))").await);
    let report = times(random, 1, "(call $random (i64.const 1048577) (i32.const 256))").await;
    assert_eq!(code(&report), "plugin-broken");
    assert!(message(&report).contains("exceeds limit"), "{}", message(&report));
}

#[tokio::test]
async fn empty_entries_are_not_free() {
    // 20,000 fields without a letter at 1 MiB, whose memory is zero: pairs of empty texts.
    let way = "(call $log (i32.const 2) (i32.const 128) (i32.const 4) (i32.const 2540000) (i32.const 5000))";
    let report = times(LOG, 10, way).await;
    assert_eq!(code(&report), "log-limit", "{}", message(&report));
    assert!(message(&report).contains("64 of them for each line"), "{}", message(&report));
    let progress = r#"(import "windlass:plugin/progress@0.1.0" "percent" (func $percent (param i32)))
        (import "windlass:plugin/progress@0.1.0" "status" (func $status (param i32 i32)))
        (import "windlass:plugin/progress@0.1.0" "link" (func $link (param i32 i32 i32 i32)))"#;
    for way in [
        "(call $percent (i32.const 1))",
        "(call $status (i32.const 0) (i32.const 0))",
        "(call $link (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
    ] {
        let report = times(progress, 17_000, way).await;
        assert_eq!(code(&report), "log-limit", "{way}: {}", message(&report));
    }
    let out = r#"(import "wasi:cli/stdout@0.2.12" "get-stdout" (func $out (result i32)))
        (import "wasi:io/streams@0.2.12" "[method]output-stream.write" (func $put (param i32 i32 i32 i32)))"#;
    let lines = "(if (i32.eqz (local.get 1)) (then (local.set 2 (call $out)) (call $fill (i32.const 131072) (i32.const 10) (i32.const 65536))))
        (call $put (local.get 2) (i32.const 131072) (i32.const 10000) (i32.const 256))";
    assert_eq!(code(&times(out, 2, lines).await), "log-limit");
}

#[tokio::test]
async fn a_failure_of_many_empty_details_is_too_large() {
    let failure = |details: u32| {
        let bytes: String = details.to_le_bytes().iter().map(|it| format!("\\{it:02x}")).collect();
        // class, code, message, advice, then the list of pairs: all of it zero.
        format!(
            r#"(memory (export "memory") 40)
               (data (i32.const 256) "\01\00\00\00\00\00\00\00\00\00\00\00\80\00\00\00\04\00\00\00\80\00\00\00\04\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\02\00{bytes}")
               (func (export "start") (param i32) (result i32) (i32.const 256))"#
        )
    };
    let report = call_made("", &failure(3), Given::default()).await;
    assert_eq!(code(&report), "null", "{}", message(&report));
    let report = call_made("", &failure(20_000), Given::default()).await;
    assert_eq!(code(&report), "output-limit", "{}", message(&report));
}

#[tokio::test]
async fn what_people_read_of_a_suspension_is_a_sentence() {
    // suspended: state, wakes (one, `after`, at 1024), status of 200,000 letters at 131072.
    let body = r#"(memory (export "memory") 40)
        (data (i32.const 256) "\00\00\00\00\00\00\00\00\01\00\00\00\80\00\00\00\04\00\00\00\00\04\00\00\01\00\00\00\00\00\02\00\40\0d\03\00")
        (func (export "start") (param i32) (result i32)
          (memory.fill (i32.const 131072) (i32.const 65) (i32.const 200000)) (i32.const 256))"#;
    let report = call_made("", body, Given::default()).await;
    let Ok(CallOutcome::Suspended { state, wakes, status }) = report.result else { panic!("{report:?}") };
    assert_eq!((state.as_slice(), wakes.as_slice()), (&b"null"[..], &[WakeUp::After(WAKE_DELAY_MIN)][..]));
    assert_eq!(status, format!("{}…", "A".repeat(1000)));
}

#[tokio::test]
async fn a_part_is_finished_once_in_a_call() {
    let imports = r#"
        (import "windlass:plugin/checkpoint@0.1.0" "begin" (func $begin (param i32 i32 i32)))
        (import "windlass:plugin/checkpoint@0.1.0" "[static]slot.finish" (func $finish (param i32 i32 i32)))"#;
    let begin = "(call $begin (i32.const 128) (i32.const 4) (i32.const 256))";
    let finish = "(call $finish (i32.load (i32.const 260)) (i32.const 131072) (i32.const 3))";
    // Begun twice before it is finished: the second end is not recorded over the first.
    let given = Given::default();
    let host = given.host.clone();
    let body = format!(
        r#"(memory (export "memory") 40) (func (export "start") (param i32) (result i32) (local i32)
          {begin} (local.set 1 (i32.load (i32.const 260))) {begin} {finish}
          (call $finish (local.get 1) (i32.const 128) (i32.const 4)) (i32.const 32))"#
    );
    let report = call_made(imports, &body, given).await;
    assert_eq!(code(&report), "checkpoint-refused", "{}", message(&report));
    assert!(message(&report).contains("finished before"), "{}", message(&report));
    assert_eq!(host.checkpoints.lock().expect("not poisoned")["null"], [0, 0, 0]);
    // Begun again after it was finished: it is recorded.
    let again =
        format!("{begin} (if (i32.eq (i32.load8_u (i32.const 256)) (i32.const (local.get 1))) (then unreachable))");
    let way = again.replace("(i32.const (local.get 1))", "(i32.const 1)") + finish;
    done(times(imports, 1, &way).await);
    let report = times(imports, 2, &way).await;
    assert_eq!(code(&report), "plugin-trapped", "{}", message(&report));
    // Different ones, without end.
    let next = "(i32.store (i32.const 131080) (i32.add (local.get 1) (i32.const 1111638594)))
        (i32.store8 (i32.const 131080) (i32.add (i32.const 65) (i32.rem_u (local.get 1) (i32.const 40))))
        (i32.store8 (i32.const 131081) (i32.add (i32.const 65) (i32.rem_u (i32.div_u (local.get 1) (i32.const 40)) (i32.const 40))))
        (i32.store8 (i32.const 131082) (i32.const 65)) (i32.store8 (i32.const 131083) (i32.const 65))
        (call $begin (i32.const 131080) (i32.const 4) (i32.const 256))";
    for (count, bytes, expected) in [(1001, 0, "checkpoints-limit"), (65, 65_536, "checkpoints-limit")] {
        let way = format!("{next} (call $finish (i32.load (i32.const 260)) (i32.const 200000) (i32.const {bytes}))");
        done(times(imports, count - 1, &way).await);
        let report = times(imports, count, &way).await;
        assert_eq!(code(&report), expected, "{}", message(&report));
    }
}

/// The end of time is far away, and nothing overflows on the way there.
#[tokio::test]
async fn waiting_for_the_end_of_time_ends_with_the_call() {
    let imports = r#"(import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $after (param i64) (result i32)))
        (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-instant" (func $at (param i64) (result i32)))
        (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))"#;
    let (after, at) = tokio::join!(
        times(imports, 1, "(call $block (call $after (i64.const -1)))"),
        times(imports, 1, "(call $block (call $at (i64.const -1)))"),
    );
    assert_eq!((code(&after), code(&at)), ("wall-limit", "wall-limit"), "{} {}", message(&after), message(&at));
    others_go_on().await;
}
