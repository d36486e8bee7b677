/* Calls of a plugin: what becomes of requests, of outcomes and of a test that fails. */

#define _POSIX_C_SOURCE 200809L
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/internal.h"
#include "../testing/windlass_mock.h"
#include "part.h"
#include "said.h"

/* An input whose table tests break. */
typedef struct {
    const char *region;
} place;

static wl_field place_fields[] = {WL_FIELD(place, region, WL_TEXT, .otherwise = "\"eu\"")};
static const wl_type place_type = WL_TYPE(place, place_fields);

static wl_outcome start(wl_ctx *ctx, const void *given) {
    (void)given;
    const wl_response *response = wl_http(ctx, "app", (wl_request){.path = wl_path("a", "b/c", NULL), .query = {{"q", "ä &"}}});
    part read;
    if (response == NULL || !wl_read(ctx, response, &part_type, &read)) return wl_failed(ctx);
    return wl_done(ctx, &read);
}

static wl_outcome resume(wl_ctx *ctx, const void *given, const void *state, const wl_event *event) {
    (void)given;
    (void)state;
    (void)event;
    return wl_suspend(ctx, (wl_wait){.status = "never wakes"});
}

static wl_outcome waits(wl_ctx *ctx) { return wl_suspend(ctx, (wl_wait){.after_ms = 1000, .status = "waits"}); }
static wl_outcome stuck(wl_ctx *ctx, const void *given) { (void)given; return waits(ctx); }
static wl_outcome stuck_after(wl_ctx *ctx, const void *given, const void *before) { (void)given, (void)before; return waits(ctx); }

/* Looks at no answer. */
static wl_outcome careless(wl_ctx *ctx, const void *given) {
    (void)given;
    return wl_done(ctx, &(part){.name = wl_http(ctx, "app", (wl_request){.path = "/a"})->body});
}

static const wl_role roles[] = {
    {.name = "app", .description = "The application.", .requests = "GET,POST /a/**"},
    {.name = "other", .description = "Another.", .requests = "GET /x; DELETE /y/*", .optional = true},
    {0},
};
static const wl_action actions[] = {
    {.name = "act", .description = "Acts.", .effect = WL_READ, .input = &place_type, .output = &part_type, .roles = roles,
     .limits = {.cpu_ms = 10}, .start = start, .resume = resume},
    {.name = "stuck", .description = "Waits.", .effect = WL_READ, .input = &place_type, .output = &part_type,
     .start = stuck, .cancel = stuck_after, .rollback = stuck_after, .find = stuck},
    {.name = "careless", .description = "Looks at nothing.", .effect = WL_READ, .input = &place_type, .output = &part_type, .roles = roles,
     .start = careless},
    {0},
};
const wl_plugin windlass_plugin = {.name = "test", .version = "1.0.0", .description = "Tests.", .actions = actions};

/* What of it tells where a test ended; a sanitizer may say more, before and after. */
static const char *told(void (*does)(void)) {
    const char *words = said(does), *from = strstr(words, "the test"), *end = from;
    if (from == NULL) return words;
    do end += strcspn(end, "\n") + 1;
    while (end[-1] != '\0' && strncmp(end, "  ", 2) == 0);
    return wl_copy(from, (size_t)(end - from));
}

static wl_failure *answered(int status, const char *body, const wl_pair *headers) {
    wl_mock_reset();
    wl_mock_connection("app", "https://app.test/base");
    wl_mock_reply_with("GET /a/b%2Fc", status, body, headers);
    return wl_test((wl_test_call){.kind = WL_TEST_START, .action = "act", .input = "{}"}).failure;
}

static void statuses_become_failures_of_the_class_that_a_policy_can_act_on(void) {
    static const struct {
        int status;
        wl_class kind;
    } cases[] = {
        {302, WL_INTERNAL}, {400, WL_INVALID}, {401, WL_UNAUTHENTICATED}, {403, WL_FORBIDDEN}, {404, WL_NOT_FOUND},
        {405, WL_INTERNAL}, {408, WL_TIMED_OUT}, {409, WL_CONFLICT}, {422, WL_INVALID}, {423, WL_CONFLICT},
        {429, WL_RATE_LIMITED}, {500, WL_TRANSIENT}, {501, WL_INTERNAL}, {503, WL_TRANSIENT}, {504, WL_TIMED_OUT}, {599, WL_TRANSIENT},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        wl_failure *failure = answered(cases[at].status, "", NULL);
        assert(failure->kind == cases[at].kind);
        WL_SAME(failure->code, wl_format("http-%d", cases[at].status));
    }
}

static void the_message_is_what_the_server_said_never_the_query(void) {
    static const char *const cases[][2] = {
        {"{\"error\":{\"message\":\"No record\",\"detail\":\"gone\"}}", "No record – gone"},
        {"{\"message\":\"no\"}", "no"},
        {"{\"error\":\"invalid_client\",\"error_description\":\"who?\"}", "invalid_client"},
        {"{\"errors\":[{\"message\":\"first\"}]}", "first"},
        {"<html><style>x{}</style><h1>HTTP  403</h1>No crumb", "HTTP 403 No crumb"},
        {"<script>never ends", ""},
        {"plain\nwords", "plain words"},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        const char *colon = *cases[at][1] != '\0' ? ": " : "";
        const char *message = answered(404, cases[at][0], NULL)->message;
        WL_SAME(message, wl_format("GET https://app.test/base/a/b%%2Fc was answered with 404%s%s", colon, cases[at][1]));
    }
}

static void a_server_that_asks_for_time_gets_it(void) {
    static const wl_pair seconds[] = {{"Retry-After", "7"}, {0}}, long_time[] = {{"retry-after", "99999999999"}, {0}}, soon[] = {{"retry-after", "soon"}, {0}},
        dates[] = {{"date", "Sun, 06 Nov 1994 08:49:37 GMT"}, {"retry-after", "Sun, 06 Nov 1994 08:50:00 GMT"}, {0}};
    assert(answered(429, "", seconds)->after_ms == 7000);
    assert(answered(503, "", dates)->after_ms == 23000);
    assert(answered(429, "", long_time)->after_ms == 86400000);
    assert(answered(429, "", soon)->advice == WL_BY_POLICY);
    assert(answered(404, "", seconds)->advice == WL_BY_POLICY);
}

static void requests_are_as_written_and_answers_name_the_field(void) {
    wl_failure *failure = answered(200, "{\"name\":7}", NULL);
    WL_SAME(failure->message, "the answer to GET https://app.test/base/a/b%2Fc is not what was expected: name: 7 is no string");
    WL_SAME(failure->code, "unexpected-response");
    WL_SAME(wl_mock_last("GET /a/b%2Fc")->query, "q=%C3%A4%20%26");
    wl_mock_reset();
    WL_SAME(wl_test((wl_test_call){.kind = WL_TEST_START, .action = "act", .input = "{}"}).failure->code, "connection-missing");
    WL_SAME(wl_test((wl_test_call){.kind = WL_TEST_RESUME, .action = "act", .input = "{}"}).failure->code, "no-wakes");
    WL_SAME(wl_test((wl_test_call){.kind = WL_TEST_FIND, .action = "act", .input = "{}"}).failure->code, "unknown-operation");
}

static const wl_connection *any_connection(void *self, const char *role) {
    (void)self, (void)role;
    static const wl_connection app = {"app", "https://app.test", NULL};
    return &app;
}

static wl_wire_response form_taken(void *self, const wl_wire_request *request) {
    (void)self;
    WL_SAME(wl_format("%.*s", (int)request->body_length, request->body), "x=y%20%26&n=7");
    WL_SAME(wl_header(request->headers, "content-type"), "application/x-www-form-urlencoded");
    return (wl_wire_response){.answered = true, .status = 204};
}

static void a_form_is_sent_as_forms_are(void) {
    wl_ctx ctx = {.host = &(wl_host){.connection = any_connection, .send = form_taken}};
    assert(wl_http(&ctx, "app", (wl_request){.method = "POST", .path = "/a", .form = {{"x", "y &"}, {"n", "7"}}}) != NULL);
}

static wl_wire_response text_taken(void *self, const wl_wire_request *request) {
    WL_SAME(wl_format("%.*s", (int)request->body_length, request->body), (const char *)self);
    return (wl_wire_response){.answered = true, .status = 204};
}

static void a_text_is_sent_whole_and_bytes_need_their_number(void) {
    wl_ctx ctx = {.host = &(wl_host){.self = "<a/>", .connection = any_connection, .send = text_taken}};
    assert(wl_http(&ctx, "app", (wl_request){.method = "POST", .path = "/a", .text = "<a/>"}) != NULL);
    assert(wl_http(&ctx, "app", (wl_request){.method = "POST", .path = "/a", .body = "<a/> and more", .body_length = 4}) != NULL);
    assert(wl_http(&ctx, "app", (wl_request){.method = "POST", .path = "/a", .body = "<a/>"}) == NULL);
    assert(strstr(ctx.failure->message, "`.text`") != NULL);
    WL_SAME(ctx.failure->code, "body-without-length");
}

static wl_wire_response no_response(void *self, const wl_wire_request *request) {
    (void)request;
    return (wl_wire_response){.error = *(wl_transport *)self, .message = "scripted"};
}

static void a_failed_request_says_whether_it_may_have_had_its_effect(void) {
    static const struct {
        wl_transport error;
        const char *code;
        bool unknown;
    } cases[] = {
        {WL_INTERRUPTED, "interrupted", true}, {WL_NO_ANSWER, "timed-out", true}, {WL_TOO_LARGE, "too-large", true},
        {WL_OTHER, "transport", true}, {WL_DENIED, "request-denied", false}, {WL_NOT_CONNECTED, "not-connected", false},
        {WL_UNTRUSTED, "untrusted", false}, {WL_BAD_REQUEST, "bad-request", false},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        wl_transport error = cases[at].error;
        wl_ctx ctx = {.host = &(wl_host){.connection = any_connection, .send = no_response, .self = &error}};
        assert(wl_http(&ctx, "app", (wl_request){.path = "/a"}) == NULL);
        WL_SAME(ctx.failure->code, cases[at].code);
        assert(wl_effect_unknown(ctx.failure) == cases[at].unknown);
    }
    static const int statuses[] = {302, 400, 404, 408, 409, 429, 500, 501, 502, 503, 504, 599};
    for (size_t at = 0; at < sizeof statuses / sizeof *statuses; at++) {
        int it = statuses[at];
        assert(wl_effect_unknown(answered(it, "", NULL)) == (it == 408 || it == 500 || it == 502 || it == 504));
    }
    assert(!wl_effect_unknown(wl_failure_of(WL_TIMED_OUT, "timed-out", "no request")));
}

static void no_answer_is_read_as_none(void) {
    wl_failure *why = wl_failure_of(WL_TRANSIENT, "interrupted", "no answer");
    wl_ctx ctx = {.failure = why};
    part read = {.name = "as it was"};
    assert(!wl_read(&ctx, NULL, &part_type, &read) && ctx.failure == why);
    assert(wl_read_json(&ctx, NULL) == NULL && ctx.failure == why);
    WL_SAME(read.name, "as it was");
}

static const wl_connection *no_connection(void *self, const char *role) {
    (void)self, (void)role;
    return NULL;
}

static void a_role_that_is_misspelt_names_those_that_are_declared(void) {
    static const wl_role roles[] = WL_ROLES({.name = "app"}, {.name = "other"});
    static const struct {
        const wl_role *roles;
        const char *role, *says;
    } cases[] = {
        {roles, "app", "no connection is bound to the role `app`: a workflow's step names one in `connection`"},
        {roles, "apps", "the action has no role `apps`; it declares `app`, `other`"},
        {NULL, "app", "the action has no role `app`; it declares none"},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        wl_ctx ctx = {.host = &(wl_host){.connection = no_connection}, .action = &(wl_action){.name = "act", .roles = cases[at].roles}};
        assert(wl_connection_of(&ctx, cases[at].role) == NULL);
        WL_SAME(ctx.failure->code, "connection-missing");
        WL_SAME(ctx.failure->message, cases[at].says);
    }
}

static wl_outcome started(void) { return wl_test((wl_test_call){.kind = WL_TEST_START, .action = "act", .input = "{}"}); }

static void start_it(void) { started(); }

static void a_request_without_an_answer_says_what_there_is(void) {
    const char *no_answer = "the mock host has no answer to GET /a/b%2Fc?q=%C3%A4%20%26: ";
    wl_mock_reset();
    wl_mock_connection("app", "https://app.test/");
    WL_SAME(last_words(start_it), wl_format("%s%s", no_answer, "none was scripted"));
    wl_mock_reply("POST /a/b", 201, "");
    wl_mock_reply("POST /a/b", 201, "");
    wl_mock_reply("GET /a", 200, "{}");
    WL_SAME(last_words(start_it), wl_format("%s%s", no_answer, "there is POST /a/b, GET /a"));
    wl_test((wl_test_call){.kind = WL_TEST_START, .action = "careless", .input = "{}"});
    wl_mock_reply("GET /a/c", 200, "");
    WL_SAME(last_words(start_it), wl_format("%s%s", no_answer, "there is POST /a/b, GET /a (used up), GET /a/c"));
    wl_mock_reply("GET /a", 200, "{}");
    WL_SAME(last_words(start_it), wl_format("%s%s", no_answer, "there is POST /a/b, GET /a, GET /a/c"));
    wl_mock_reply("GET /a/b%2Fc", 200, "{\"name\":\"ab\"}");
    assert(started().kind == WL_OUTCOME_DONE);
    WL_SAME(last_words(start_it), wl_format("%s%s", no_answer, "each `wl_mock_reply` is given once, and all were"));
}

static void calls_a_misspelt_action(void) { wl_test((wl_test_call){.kind = WL_TEST_START, .action = "acts", .input = "{}"}); }

static void an_action_that_is_misspelt_names_those_that_there_are(void) {
    WL_SAME(last_words(calls_a_misspelt_action), "the mock host: the plugin has no action `acts`: it has `act`, `stuck`, `careless`");
}

static const char *route;
static void is_scripted(void) { wl_mock_reply(route, 200, ""); }
static void breaks(void) { wl_mock_break(route); }
static void is_counted(void) { wl_mock_count(route); }
static void is_looked_at(void) { wl_mock_last(route); }

static void a_route_without_its_method_is_refused(void) {
    static void (*const uses[])(void) = {is_scripted, breaks, is_counted, is_looked_at};
    static const char *const wrong[] = {"/jobs", "jobs", "GET jobs", "GET  /jobs", "get /jobs", " /jobs", "GET", "GET https://app.test/jobs", "GET /jobs?key=1", ""};
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
        route = wrong[at];
        for (size_t use = 0; use < sizeof uses / sizeof *uses; use++) {
            WL_SAME(last_words(uses[use]), wl_format("the mock host: `%s` is no route: write \"METHOD /path\", below the base URL and without the query, as in \"GET /jobs\"", route));
        }
    }
    assert(wl_mock_count("GET ") == 0 && wl_mock_last("DELETE /jobs/j-1") == NULL);
}

static void the_manifest_says_what_an_action_is_and_has(void) {
    const char *text = wl_manifest(&windlass_plugin);
    const wl_json *action = wl_get(wl_get(wl_parse(text, strlen(text), NULL), "actions"), "act");
    WL_SAME(wl_write(wl_get(wl_get(action, "connections"), "other")), "{\"description\":\"Another.\",\"required\":false,\"requests\":[{\"methods\":[\"GET\"],\"path\":\"/x\"},{\"methods\":[\"DELETE\"],\"path\":\"/y/*\"}]}");
    WL_SAME(wl_write(wl_get(action, "limits")), "{\"cpu_ms\":10}");
    WL_SAME(wl_write(wl_get(wl_get(action, "output"), "required")), "[\"name\"]");
}

static void what_would_be_lost_is_a_failure(void) {
    wl_ctx ctx = {.action = &(wl_action){.name = "act"}};
    wl_outcome waits = wl_suspend(&ctx, (wl_wait){.state = &ctx, .after_ms = 1});
    assert(waits.kind == WL_OUTCOME_FAILED);
    WL_SAME(waits.failure->code, "state-without-type");
    assert(wl_suspend(&ctx, (wl_wait){.after_ms = 1}).kind == WL_OUTCOME_SUSPENDED);
}

static void an_output_of_another_type_is_a_failure(void) {
    wl_ctx ctx = {.action = &actions[0]};
    part right[] = {{.name = "ab", .count = 1}};
    const void *untold = right;
    wl_outcome good[] = {wl_done(&ctx, &right[0]), wl_done(&ctx, right), wl_done(&ctx, untold), wl_done(&ctx, &(part){"ab", 1})};
    for (size_t at = 0; at < sizeof good / sizeof *good; at++) WL_SAME(good[at].json, "{\"name\":\"ab\",\"count\":1}");
    struct {
        double temperature;
    } other = {3.5};
    wl_outcome outcome = wl_done(&ctx, &other);
    assert(outcome.kind == WL_OUTCOME_FAILED && outcome.failure->kind == WL_INTERNAL && outcome.failure->advice == WL_NEVER);
    WL_SAME(outcome.failure->code, "output-of-another-type");
    WL_SAME(outcome.failure->message, "`act` gave `wl_done` a struct of 8 bytes, and its `.output` is `part`, of 16 bytes");
}

static void a_state_of_another_type_is_a_failure(void) {
    wl_ctx ctx = {.action = &(wl_action){.name = "act", .state = &part_type}};
    part right[] = {{.name = "ab", .count = 1}};
    const part *told = right;
    const void *untold = right;
    struct {
        double temperature;
    } other = {3.5};
    const wl_wait good[] = {
        {WL_STATE(told), .after_ms = 1}, {WL_STATE(&right[0]), .after_ms = 1}, {WL_STATE(right), .after_ms = 1},
        {WL_STATE(untold), .after_ms = 1}, {WL_STATE(&(part){"ab", 1}), .after_ms = 1}, {.state = right, .after_ms = 1},
    };
    for (size_t at = 0; at < sizeof good / sizeof *good; at++) WL_SAME(wl_suspend(&ctx, good[at]).json, "{\"name\":\"ab\",\"count\":1}");
    WL_SAME(wl_suspend(&ctx, (wl_wait){WL_STATE(NULL), .after_ms = 1}).json, "null");
    wl_outcome outcome = wl_suspend(&ctx, (wl_wait){WL_STATE(&other), .after_ms = 1});
    WL_ENDS(outcome, "failed: state-of-another-type (internal): `act` suspended with a struct of 8 bytes, and its `.state` is `part`, of 16 bytes");
    assert(outcome.failure->advice == WL_NEVER);
}

static void null_is_no_output_and_no_failure(void) {
    wl_ctx ctx = {.action = &actions[0]};
    const part *none = NULL;
    WL_ENDS(wl_done(&ctx, none), "failed: no-output (internal): `act` gave `wl_done` no output, but NULL");
    WL_ENDS(wl_done(&ctx, NULL), "failed: no-output");
    WL_ENDS(wl_fail(ctx.failure), "failed: no-failure (internal): the plugin gave `wl_fail` no failure, but NULL");
}

static void what_waits_and_could_never_go_on_fails_where_it_suspends(void) {
    static const struct {
        wl_test_kind kind;
        const char *name, *resume;
    } cases[] = {
        {WL_TEST_START, "start", "resume"}, {WL_TEST_FIND, "find", "resume"}, {WL_TEST_CANCEL, "cancel", "resume_cancel"},
        {WL_TEST_ROLLBACK, "rollback", "resume_rollback"},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        wl_outcome outcome = wl_test((wl_test_call){.kind = cases[at].kind, .action = "stuck", .input = "{}"});
        assert(outcome.kind == WL_OUTCOME_FAILED && outcome.failure->kind == WL_INTERNAL && outcome.failure->advice == WL_NEVER);
        WL_SAME(outcome.failure->code, "never-suspends");
        WL_SAME(outcome.failure->message, wl_format("`stuck` suspends in `.%s` but has no `.%s`: it could never go on", cases[at].name, cases[at].resume));
    }
    WL_SAME(wl_test((wl_test_call){.kind = WL_TEST_RESUME, .action = "stuck", .input = "{}"}).failure->message, "`stuck` waited, and has no `.resume` to go on with");
}

static void call_careless(void) {
    wl_mock_connection("app", "https://app.test");
    wl_mock_reply("GET /a", 503, "{\"message\":\"down\"}");
    wl_test((wl_test_call){.kind = WL_TEST_START, .action = "careless", .input = "{}"});
}

static void looks_at_no_request(void) {
    wl_mock_connection("app", "https://app.test");
    wl_mock_break("GET /a/b%2Fc");
    started();
    WL_SAME(wl_mock_last("GET /a")->body, "");
}

static void has_no_default(void) {
    place_fields[0].otherwise = "eu";
    call_careless();
}

static void a_table_that_no_host_takes_is_refused_before_an_input_is(void) {
    WL_SAME(last_words(has_no_default), "the default of `region` is JSON, where a text has quotes of its own: write `.otherwise = \"\\\"eu\\\"\"` and not `.otherwise = \"eu\"`");
}

static void asserts(void) {
    wl_test((wl_test_call){.kind = WL_TEST_CANCEL, .action = "stuck", .input = "{}"});
    abort();
}

static void sends_itself_one(void) { raise(SIGFPE); }

static volatile int depth_max = INT32_MAX;
static int endless(int depth) {
    /* Of every frame its own, so that no optimiser makes a loop of it. */
    volatile int own = depth;
    return depth == depth_max ? 0 : endless(depth + 1) + own;
}
static void never_comes_back(void) { endless(0); }

/* Lines come and go. */
static const char *without_lines(const char *text) {
    wl_buffer it = {0};
    for (const char *at = text; *at != '\0'; at++) {
        wl_append(&it, at, 1);
        size_t digits = *at == ':' ? strspn(at + 1, "0123456789") : 0;
        if (digits > 0) wl_append_text(&it, "LINE");
        at += digits;
    }
    return it.text;
}

static void run_call_careless(void) { WL_RUN(call_careless); }
static void run_looks_at_no_request(void) { WL_RUN(looks_at_no_request); }
static void run_asserts(void) { WL_RUN(asserts); }
static void run_never_comes_back(void) { WL_RUN(never_comes_back); }
static void is_sent_one(void) { WL_RUN(sends_itself_one); }
static void runs_none(void) { WL_RUN(wl_mock_reset); abort(); }

static void a_test_that_ends_the_program_is_named(void) {
    static const struct {
        void (*does)(void);
        const char *told;
    } cases[] = {
        {run_call_careless,
         "the test `call_careless` ended with SIGSEGV: something was NULL, and was read or written as if it were there\n"
         "  the last call was start of `careless` at tests/test_calls.c:LINE in `call_careless`, and is not over\n"
         "  its last request: GET /a, answered with 503\n"
         "  its last failure: http-503 (transient): GET https://app.test/a was answered with 503: down\n"},
        {run_looks_at_no_request,
         "the test `looks_at_no_request` ended with SIGSEGV: something was NULL, and was read or written as if it were there\n"
         "  the last call was start of `act` at tests/test_calls.c:LINE in `started`\n"
         "  it came to failed: interrupted (transient): GET https://app.test/a/b%2Fc: scripted: the connection broke\n"
         "  its last request: GET /a/b%2Fc, whose connection broke\n"},
        {run_asserts, "the test `asserts` ended with SIGABRT\n  the last call was cancel of `stuck` at tests/test_calls.c:LINE in `asserts`\n"
         "  it came to failed: never-suspends (internal): `stuck` suspends in `.cancel` but has no `.resume_cancel`: it could never go on\n"},
        {run_never_comes_back, "the test `never_comes_back` ended with SIGSEGV\n"},
        {is_sent_one, "the test `sends_itself_one` ended with SIGFPE\n"},
        {runs_none, "the tests ended with SIGABRT\n"},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) WL_SAME(without_lines(told(cases[at].does)), cases[at].told);
}

static wl_outcome ended;
static const char *ends_so;
static void looks_how_it_ended(void) { WL_ENDS(ended, ends_so); }

static void what_a_call_came_to_is_compared_by_its_words_and_told(void) {
    wl_outcome rejected = wl_fail(wl_failure_of(WL_REJECTED, "job-rejected", "no such index"));
    wl_outcome waits = {.kind = WL_OUTCOME_SUSPENDED, .json = "{\"id\":\"j\"}", .status = "job 1 waits"};
    wl_outcome waits_so = {.kind = WL_OUTCOME_SUSPENDED, .json = "null", .status = ""};
    wl_outcome done = {.kind = WL_OUTCOME_DONE, .json = "{\"id\":\"j-1\"}"};
    const struct {
        wl_outcome outcome;
        const char *right[3], *wrong[3], *is;
    } cases[] = {
        {rejected, {"failed", "failed: job-rejected", "failed: job-rejected (rejected): no such index"}, {"done", "failed: job", "failed: no such index"},
         "failed: job-rejected (rejected): no such index"},
        {waits, {"suspended", "suspended: job 1 waits", "suspended: job 1 waits ({\"id\":\"j\"})"}, {"suspended: job 2 waits", "suspend", "not found"},
         "suspended: job 1 waits ({\"id\":\"j\"})"},
        {waits_so, {"suspended", "suspended (null)", "suspended"}, {"suspended: ", "done", "failed"}, "suspended (null)"},
        {done, {"done", "done: {\"id\":\"j-1\"}", "done"}, {"done: {\"id\":", "failed", ""}, "done: {\"id\":\"j-1\"}"},
        {wl_not_found(), {"not found", "not found", "not"}, {"found", "done", "not f"}, "not found"},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        ended = cases[at].outcome;
        for (size_t which = 0; which < 3; which++) {
            WL_ENDS(ended, cases[at].right[which]);
            ends_so = cases[at].wrong[which];
            WL_SAME(without_lines(said(looks_how_it_ended)), wl_format("tests/test_calls.c:LINE: ended\n      is %s\n  and not %s\n  in the test `what_a_call_came_to_is_compared_by_its_words_and_told`\n", cases[at].is, ends_so));
        }
    }
}

static void finds_another_code(void) { WL_SAME(started().failure->code, "other"); }
static void run_finds_another_code(void) { WL_RUN(finds_another_code); }

static void ends_otherwise(void) { WL_ENDS(started(), "done"); }
static void run_ends_otherwise(void) { WL_RUN(ends_otherwise); }

static void texts_that_differ_tell_what_the_step_came_to(void) {
    WL_SAME(without_lines(said(run_finds_another_code)),
        "tests/test_calls.c:LINE: started().failure->code\n"
        "      is connection-missing\n"
        "  and not other\n"
        "  in the test `finds_another_code`\n"
        "  the last call was start of `act` at tests/test_calls.c:LINE in `started`\n"
        "  it came to failed: connection-missing (invalid): no connection is bound to the role `app`: the test binds one with `wl_mock_connection(\"app\", \"https://…\")`\n");
    WL_SAME(without_lines(said(run_ends_otherwise)),
        "tests/test_calls.c:LINE: started()\n"
        "      is failed: connection-missing (invalid): no connection is bound to the role `app`: the test binds one with `wl_mock_connection(\"app\", \"https://…\")`\n"
        "  and not done\n"
        "  in the test `ends_otherwise`\n"
        "  the last call was start of `act` at tests/test_calls.c:LINE in `started`\n");
}

int main(void) {
    WL_RUN(statuses_become_failures_of_the_class_that_a_policy_can_act_on);
    WL_RUN(the_message_is_what_the_server_said_never_the_query);
    WL_RUN(a_form_is_sent_as_forms_are);
    WL_RUN(a_text_is_sent_whole_and_bytes_need_their_number);
    WL_RUN(a_server_that_asks_for_time_gets_it);
    WL_RUN(requests_are_as_written_and_answers_name_the_field);
    WL_RUN(a_failed_request_says_whether_it_may_have_had_its_effect);
    WL_RUN(no_answer_is_read_as_none);
    WL_RUN(a_role_that_is_misspelt_names_those_that_are_declared);
    WL_RUN(a_request_without_an_answer_says_what_there_is);
    WL_RUN(an_action_that_is_misspelt_names_those_that_there_are);
    WL_RUN(a_route_without_its_method_is_refused);
    WL_RUN(the_manifest_says_what_an_action_is_and_has);
    WL_RUN(what_would_be_lost_is_a_failure);
    WL_RUN(an_output_of_another_type_is_a_failure);
    WL_RUN(a_state_of_another_type_is_a_failure);
    WL_RUN(null_is_no_output_and_no_failure);
    WL_RUN(what_waits_and_could_never_go_on_fails_where_it_suspends);
    WL_RUN(a_table_that_no_host_takes_is_refused_before_an_input_is);
    WL_RUN(a_test_that_ends_the_program_is_named);
    WL_RUN(what_a_call_came_to_is_compared_by_its_words_and_told);
    WL_RUN(texts_that_differ_tell_what_the_step_came_to);
    puts("20 tests passed");
    return 0;
}
