/* The example's own tests: cc -I../../include ../plugin.c ../../src/{json,plugin,types,windlass}.c ../../testing/windlass_mock.c */

#include <assert.h>
#include <stdio.h>

#include "../../testing/windlass_mock.h"

/* A macro, so that the line that is told is the test's own. */
#define CALL(...) wl_test((wl_test_call){.action = "submit", .input = "{\"title\":\"index\"}", __VA_ARGS__})

static void begin(void) { wl_mock_connection("jobs", "https://jobs.test/v1"); }

static void a_job_is_submitted_once_and_waited_for(void) {
    begin();
    wl_mock_reply("POST /jobs", 201, "{\"id\":\"j-1\",\"state\":\"queued\"}");
    wl_outcome outcome = CALL(.kind = WL_TEST_START);
    WL_ENDS(outcome, "suspended: job j-1 is in the queue ({\"id\":\"j-1\"})");
    assert(outcome.after_ms == 2000 && outcome.callback == NULL);
    WL_SAME(wl_mock_last("POST /jobs")->body, "{\"title\":\"index\",\"priority\":\"normal\"}");
    WL_SAME(wl_header(wl_mock_last("POST /jobs")->headers, "Idempotency-Key"), WL_TEST_KEY);
    WL_SAME(wl_mock_log(), "info submitted job=j-1\n");
    /* Another attempt finds the checkpoint. */
    WL_ENDS(CALL(.kind = WL_TEST_START), "suspended");
    assert(wl_mock_count("POST /jobs") == 1);
    wl_mock_break("GET /jobs/j-1");
    WL_ENDS(CALL(.kind = WL_TEST_RESUME, .state = "{\"id\":\"j-1\"}"), "suspended: job j-1 cannot be looked at now (interrupted)");
    wl_mock_reply("GET /jobs/j-1", 200, "{\"id\":\"j-1\",\"state\":\"done\",\"artifact\":\"a\",\"seconds\":4,\"more\":1}");
    WL_ENDS(CALL(.kind = WL_TEST_RESUME, .state = "{\"id\":\"j-1\"}"), "done: {\"id\":\"j-1\",\"artifact\":\"a\",\"seconds\":4}");
    assert(wl_mock_percent() == 100);
}

static void a_rejection_is_a_failure_of_its_own_that_is_not_tried_again(void) {
    begin();
    wl_mock_reply("POST /jobs", 422, "{\"error\":\"no such index\"}");
    wl_outcome outcome = CALL(.kind = WL_TEST_START);
    WL_ENDS(outcome, "failed: job-rejected (rejected): the service rejects `index`: no such index");
    assert(outcome.failure->advice == WL_NEVER);
}

static void a_rollback_withdraws_all_jobs_also_one_whose_answer_got_lost(void) {
    begin();
    wl_mock_reply("POST /jobs", 201, "{\"id\":\"j-1\",\"state\":\"queued\"}");
    WL_ENDS(CALL(.kind = WL_TEST_START), "suspended");
    wl_mock_reply("GET /jobs/j-1", 200, "{\"id\":\"j-1\",\"state\":\"failed\",\"reason\":\"no room\"}");
    WL_ENDS(CALL(.kind = WL_TEST_RESUME, .state = "{\"id\":\"j-1\"}"), "failed: job-failed");
    /* That was an answer: another attempt is another job. */
    wl_test_call again = {.kind = WL_TEST_START, .action = "submit", .input = "{\"title\":\"index\"}", .starts = 2};
    wl_mock_reply("POST /jobs", 503, "");
    WL_ENDS(wl_test(again), "failed: http-503");
    wl_mock_reply("GET /jobs", 200, "{\"jobs\":[{\"id\":\"j-2\",\"state\":\"queued\"}]}");
    wl_mock_reply("DELETE /jobs/j-1", 404, "");
    wl_mock_reply("DELETE /jobs/j-2", 204, "");
    again.kind = WL_TEST_ROLLBACK;
    WL_ENDS(wl_test(again), "done: {\"withdrawn\":[\"j-2\"]}");
    WL_SAME(wl_mock_last("GET /jobs")->query, "key=" WL_TEST_KEY_2);
}

static void a_job_is_found_by_its_key(void) {
    begin();
    wl_mock_reply("GET /jobs", 200, "{\"jobs\":[]}");
    WL_ENDS(CALL(.kind = WL_TEST_FIND), "not found");
    wl_mock_reply("GET /jobs", 200, "{\"jobs\":[{\"id\":\"j-7\",\"state\":\"running\"}]}");
    WL_ENDS(CALL(.kind = WL_TEST_FIND), "suspended: job j-7 is running ({\"id\":\"j-7\"})");
    WL_SAME(wl_mock_last("GET /jobs")->query, "key=" WL_TEST_KEY);
}

int main(void) {
    WL_RUN(a_job_is_submitted_once_and_waited_for);
    WL_RUN(a_rejection_is_a_failure_of_its_own_that_is_not_tried_again);
    WL_RUN(a_rollback_withdraws_all_jobs_also_one_whose_answer_got_lost);
    WL_RUN(a_job_is_found_by_its_key);
    puts("4 tests passed");
    return 0;
}
