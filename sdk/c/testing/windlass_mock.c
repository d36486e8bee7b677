/* For the signals, where the compiler is asked for C alone. */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif

#include "windlass_mock.h"

#include "../src/internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MANY = 256 };

typedef struct {
    const char *route;
    wl_wire_response response;
    bool used;
} scripted;

static struct {
    wl_connection connections[8];
    const char *roles[8];
    size_t connection_count;
    scripted replies[MANY];
    size_t reply_count;
    wl_mock_request requests[MANY];
    size_t request_count;
    wl_pair recorded[MANY];
    size_t recorded_count;
    const char *begun[MANY];
    size_t begun_count;
    wl_buffer log;
    const char *status;
    int percent;
    int callbacks;
    bool without_callbacks;
    const wl_action *action;
} mock;

/* ---- Where the program ends ----------------------------------------------------------------------------------------- */

/* What is told then. It is written beforehand: after a signal little may be called, and memory may be anything. */
static struct {
    /* NULL outside of `WL_RUN`. */
    const char *test;
    char place[256];
    char call[128];
    char request[512];
    /* What the call came to. */
    char outcome[1024];
    /* Of the call that is not over; NULL between calls. */
    const wl_ctx *ctx;
} last;

static const char *const classes[] = {
    [WL_TRANSIENT] = "transient", [WL_RATE_LIMITED] = "rate_limited", [WL_TIMED_OUT] = "timed_out", [WL_UNAUTHENTICATED] = "unauthenticated",
    [WL_FORBIDDEN] = "forbidden", [WL_NOT_FOUND] = "not_found", [WL_CONFLICT] = "conflict", [WL_INVALID] = "invalid",
    [WL_REJECTED] = "rejected", [WL_CANCELED] = "canceled", [WL_INTERNAL] = "internal",
};

/* Says all up to NULL, with nothing but what may be called in a handler. */
static void say(const char *const *parts) {
    for (; *parts != NULL; parts++) {
        if (write(STDERR_FILENO, *parts, strlen(*parts)) < 0) return;
    }
}

static void say_what_was_last(void) {
    if (*last.call == '\0') return;
    say((const char *const[]){"  the last call was ", last.call, last.place, last.ctx != NULL ? ", and is not over\n" : "\n", NULL});
    if (*last.outcome != '\0') say((const char *const[]){"  it came to ", last.outcome, "\n", NULL});
    if (*last.request != '\0') say((const char *const[]){"  its last request: ", last.request, "\n", NULL});
    if (last.ctx == NULL) return;
    const wl_failure *failure = last.ctx->failure;
    if (failure == NULL) say((const char *const[]){"  nothing had failed in it\n", NULL});
    else say((const char *const[]){"  its last failure: ", failure->code, " (", classes[failure->kind], "): ", failure->message, "\n", NULL});
}

static const struct {
    int number;
    const char *name;
} signals[] = {{SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"}, {SIGILL, "SIGILL"}, {SIGFPE, "SIGFPE"}, {SIGTRAP, "SIGTRAP"}, {SIGABRT, "SIGABRT"}};
enum { SIGNALS = sizeof signals / sizeof *signals };
/* Who had the signals: nobody, or a sanitizer. */
static struct sigaction before[SIGNALS];

static void ends(int number, siginfo_t *info, void *context) {
    (void)context;
    const char *name = "a signal";
    for (size_t at = 0; at < SIGNALS; at++) {
        if (signals[at].number == number) name = signals[at].name;
        sigaction(signals[at].number, &before[at], NULL);
    }
    /* Members of what a NULL points to lie at the beginning of memory, where nothing else does. */
    bool was_null = number == SIGSEGV && info->si_code == SEGV_MAPERR && (uintptr_t)info->si_addr < 65536;
    const char *test = last.test;
    say((const char *const[]){"the test", test != NULL ? " `" : "s", test != NULL ? test : "", test != NULL ? "`" : "", " ended with ", name, was_null ? ": something was NULL, and was read or written as if it were there\n" : "\n", NULL});
    say_what_was_last();
    /* A fault comes again where it came from, with all that a sanitizer has to say of it; what was sent does not. */
    if (info->si_code <= 0 || number == SIGTRAP) raise(number);
}

static void watch(void) {
    static bool watched;
    /* Its own, for where the stack is at its end. */
    static char stack[65536];
    if (watched) return;
    watched = true;
    stack_t had;
    if (sigaltstack(NULL, &had) == 0 && (had.ss_flags & SS_DISABLE)) sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    struct sigaction action = {.sa_sigaction = ends, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (size_t at = 0; at < SIGNALS; at++) sigaction(signals[at].number, &action, &before[at]);
}

void wl_test_run(const char *name, void (*test)(void)) {
    wl_mock_reset();
    last.test = name;
    test();
    last.test = NULL;
    wl_mock_reset();
}

void wl_test_at(const char *file, int line, const char *function) {
    snprintf(last.place, sizeof last.place, " at %s:%d in `%s`", file, line, function);
}

static void note_request(const char *route, const char *answer) {
    snprintf(last.request, sizeof last.request, "%s, %s", route, answer);
}

/* ---- What a test scripts and sees ----------------------------------------------------------------------------------- */

static void wrong(const char *what, const char *which) {
    fprintf(stderr, "the mock host: %s: %s\n", what, which);
    abort();
}

/* What a call came to, as tests write it and people read it. */
static const char *words_of(const wl_outcome *outcome) {
    const wl_failure *failure = outcome->failure;
    switch (outcome->kind) {
    case WL_OUTCOME_DONE: return wl_format("done: %s", outcome->json);
    case WL_OUTCOME_SUSPENDED: return wl_format("suspended%s%s (%s)", *outcome->status != '\0' ? ": " : "", outcome->status, outcome->json);
    case WL_OUTCOME_FAILED: return wl_format("failed: %s (%s): %s", failure->code, classes[failure->kind], failure->message);
    case WL_OUTCOME_NOT_FOUND: return "not found";
    }
    return "nothing";
}

static void differs(const char *file, int line, const char *what, const char *is, const char *expected) {
    fprintf(stderr, "%s:%d: %s\n      is %s\n  and not %s\n", file, line, what, is != NULL ? is : "NULL", expected != NULL ? expected : "NULL");
    if (last.test != NULL) fprintf(stderr, "  in the test `%s`\n", last.test);
    say_what_was_last();
    exit(1);
}

void wl_test_same(const char *file, int line, const char *what, const char *is, const char *expected) {
    if (is != NULL && expected != NULL ? strcmp(is, expected) != 0 : is != expected) differs(file, line, what, is, expected);
}

void wl_test_ends(const char *file, int line, const char *what, wl_outcome outcome, const char *expected) {
    const char *is = words_of(&outcome);
    size_t length = strlen(expected);
    /* Not in the middle of a code: `job` is not `job-rejected`. */
    bool is_so = strncmp(is, expected, length) == 0 && strchr(" :", is[length]) != NULL;
    if (is_so) return;
    /* It need not be said twice. */
    if (strncmp(is, last.outcome, sizeof last.outcome - 1) == 0) *last.outcome = '\0';
    differs(file, line, what, is, expected);
}

void wl_mock_reset(void) {
    memset(&mock, 0, sizeof mock);
    mock.percent = -1;
    *last.place = *last.call = *last.request = *last.outcome = '\0';
    watch();
    wl_release_all();
}

void wl_mock_connection(const char *role, const char *base_url) {
    mock.roles[mock.connection_count] = role;
    size_t length = strlen(base_url);
    while (length > 0 && base_url[length - 1] == '/') length--;
    mock.connections[mock.connection_count++] = (wl_connection){"test", wl_copy(base_url, length), NULL};
}

/* One of another form is that of no request. */
static void check_route(const char *route) {
    size_t method = strspn(route, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
    bool is_one = method > 0 && route[method] == ' ' && (route[method + 1] == '/' || route[method + 1] == '\0') && strchr(route, '?') == NULL;
    if (!is_one) wrong(wl_format("`%s` is no route", route), "write \"METHOD /path\", below the base URL and without the query, as in \"GET /jobs\"");
}

static void script(const char *route, wl_wire_response response) {
    check_route(route);
    if (mock.reply_count == MANY) wrong("too many answers", route);
    mock.replies[mock.reply_count++] = (scripted){route, response, false};
}

void wl_mock_reply_with(const char *route, int status, const char *body, const wl_pair *headers) {
    static const wl_pair none[] = {{0}};
    script(route, (wl_wire_response){
        .answered = true, .status = status, .headers = headers != NULL ? headers : none, .body = body, .body_length = strlen(body),
    });
}

void wl_mock_reply(const char *route, int status, const char *body) { wl_mock_reply_with(route, status, body, NULL); }

void wl_mock_break(const char *route) {
    script(route, (wl_wire_response){.error = WL_INTERRUPTED, .message = "scripted: the connection broke"});
}

void wl_mock_without_callbacks(void) { mock.without_callbacks = true; }

size_t wl_mock_count(const char *route) {
    check_route(route);
    size_t count = 0;
    for (size_t at = 0; at < mock.request_count; at++) count += strcmp(mock.requests[at].route, route) == 0;
    return count;
}

const wl_mock_request *wl_mock_last(const char *route) {
    check_route(route);
    for (size_t at = mock.request_count; at > 0; at--) {
        if (strcmp(mock.requests[at - 1].route, route) == 0) return &mock.requests[at - 1];
    }
    return NULL;
}

const char *wl_mock_log(void) { return mock.log.text != NULL ? mock.log.text : ""; }
const char *wl_mock_status(void) { return mock.status; }
int wl_mock_percent(void) { return mock.percent; }

/* ---- The host ------------------------------------------------------------------------------------------------------- */

static void host_log(void *self, wl_level level, const char *message, const wl_pair *fields) {
    static const char *const levels[] = {"trace", "debug", "info", "warn", "error"};
    (void)self;
    wl_append_text(&mock.log, wl_format("%s %s", levels[level], message));
    for (; fields->name != NULL; fields++) wl_append_text(&mock.log, wl_format(" %s=%s", fields->name, fields->value));
    wl_append_text(&mock.log, "\n");
}

static void host_status(void *self, const char *text) { (void)self; mock.status = text; }
static void host_percent(void *self, unsigned percent) { (void)self; mock.percent = (int)percent; }
static void host_link(void *self, const char *title, const char *url) { (void)self; (void)title; (void)url; }

static const wl_connection *host_connection(void *self, const char *role) {
    (void)self;
    for (size_t at = 0; at < mock.connection_count; at++) {
        if (strcmp(mock.roles[at], role) == 0) return &mock.connections[at];
    }
    return NULL;
}

static const char *host_binds(const char *role) { return wl_format("the test binds one with `wl_mock_connection(\"%s\", \"https://…\")`", role); }

static bool host_begin(void *self, const char *name, const char **recorded, size_t *length, uintptr_t *slot) {
    (void)self;
    for (size_t at = 0; at < mock.recorded_count; at++) {
        if (strcmp(mock.recorded[at].name, name) == 0) {
            *recorded = mock.recorded[at].value;
            *length = strlen(*recorded);
            return true;
        }
    }
    if (mock.begun_count == MANY) wrong("too many parts", name);
    mock.begun[mock.begun_count++] = name;
    *slot = mock.begun_count - 1;
    return false;
}

static void host_finish(void *self, uintptr_t slot, const char *value, size_t length) {
    (void)self;
    if (length > 65536) wrong("a checkpoint holds at most 64 KiB", mock.begun[slot]);
    mock.recorded[mock.recorded_count++] = (wl_pair){mock.begun[slot], wl_copy(value, length)};
}

static void host_drop(void *self, uintptr_t slot) { (void)self; (void)slot; }

static wl_callback host_callback(void *self) {
    (void)self;
    char *topic = wl_format("topic-%d", ++mock.callbacks);
    return (wl_callback){topic, mock.without_callbacks ? NULL : wl_format("https://windlass.test/callbacks/%s", topic)};
}

static uint64_t host_now(void *self) { (void)self; return 1767603600000u; }

/* Matches as the manifest says: a star within one segment, two for any number of segments. */
static bool path_matches(const char *pattern, const char *path) {
    if (*pattern == '\0') return *path == '\0';
    if (pattern[0] == '/' && pattern[1] == '*' && pattern[2] == '*') {
        for (const char *at = path;; at++) {
            if ((*at == '/' || *at == '\0') && path_matches(pattern + 3, at)) return true;
            if (*at == '\0') return false;
        }
    }
    if (*pattern == '*') {
        for (const char *at = path;; at++) {
            if (path_matches(pattern + 1, at)) return true;
            if (*at == '\0' || *at == '/') return false;
        }
    }
    return *pattern == *path && path_matches(pattern + 1, path + 1);
}

/* Asks the manifest, so that what is announced is what is checked. */
static bool granted(const char *role, const char *method, const char *path) {
    const char *manifest = wl_manifest(&windlass_plugin);
    const wl_json *json = wl_parse(manifest, strlen(manifest), NULL);
    const wl_json *connections = wl_get(wl_get(wl_get(json, "actions"), mock.action->name), "connections");
    const wl_json *requests = wl_get(wl_get(connections, role), "requests");
    for (size_t at = 0; at < wl_count(requests); at++) {
        const wl_json *methods = wl_get(wl_at(requests, at), "methods");
        if (!path_matches(wl_text(wl_get(wl_at(requests, at), "path")), path)) continue;
        for (size_t which = 0; which < wl_count(methods); which++) {
            if (strcmp(wl_text(wl_at(methods, which)), method) == 0) return true;
        }
    }
    return false;
}

/* Why there is no answer, and what there is. */
static const char *scripts(const char *route) {
    wl_buffer known = {0};
    for (size_t at = 0; at < mock.reply_count; at++) {
        const char *it = mock.replies[at].route;
        if (strcmp(it, route) == 0) return "each `wl_mock_reply` is given once, and all were";
        bool told = false, is_left = false;
        for (size_t other = 0; other < mock.reply_count; other++) {
            bool is_same = strcmp(mock.replies[other].route, it) == 0;
            told = told || (is_same && other < at);
            is_left = is_left || (is_same && !mock.replies[other].used);
        }
        if (!told) wl_append_text(&known, wl_format("%s%s%s", known.length > 0 ? ", " : "there is ", it, is_left ? "" : " (used up)"));
    }
    return known.length > 0 ? known.text : "none was scripted";
}

static wl_wire_response host_send(void *self, const wl_wire_request *request) {
    (void)self;
    for (size_t at = 0; at < mock.connection_count; at++) {
        size_t length = strlen(mock.connections[at].base_url);
        const char *below = request->url + length;
        if (strncmp(request->url, mock.connections[at].base_url, length) != 0 || strchr("/?", *below) == NULL) continue;
        size_t path_length = strcspn(below, "?");
        const char *path = wl_copy(below, path_length);
        const char *route = wl_format("%s %s", request->method, path);
        if (!granted(mock.roles[at], request->method, path)) {
            note_request(route, "which the manifest does not ask for");
            return (wl_wire_response){.error = WL_DENIED, .message = wl_format("the manifest does not ask for %s", route)};
        }
        wl_pair *headers = wl_alloc((WL_PAIRS_MAX + 8) * sizeof *headers);
        for (size_t header = 0; request->headers[header].name != NULL; header++) headers[header] = request->headers[header];
        if (mock.request_count == MANY) wrong("too many requests", route);
        mock.requests[mock.request_count++] = (wl_mock_request){
            route, below[path_length] == '?' ? below + path_length + 1 : "", request->has_body ? wl_copy(request->body, request->body_length) : "", headers,
        };
        for (size_t reply = 0; reply < mock.reply_count; reply++) {
            if (mock.replies[reply].used || strcmp(mock.replies[reply].route, route) != 0) continue;
            mock.replies[reply].used = true;
            const wl_wire_response *response = &mock.replies[reply].response;
            note_request(route, response->answered ? wl_format("answered with %d", response->status) : "whose connection broke");
            return *response;
        }
        fprintf(stderr, "the mock host has no answer to %s%s: %s\n", route, below + path_length, scripts(route));
        abort();
    }
    return (wl_wire_response){.error = WL_DENIED, .message = wl_format("%s is below no connection", request->url)};
}

static const wl_host HOST = {
    .log = host_log, .status = host_status, .percent = host_percent, .link = host_link, .connection = host_connection, .binds = host_binds,
    .begin = host_begin, .finish = host_finish, .drop = host_drop, .callback = host_callback, .send = host_send, .now = host_now,
};

/* ---- Calls ---------------------------------------------------------------------------------------------------------- */

static void check(const char *what, const wl_type *type, const char *text) {
    const char *problem = NULL;
    const wl_json *json = wl_parse(text, strlen(text), &problem);
    if (json != NULL) problem = wl_decode(type, json, wl_alloc(type->size));
    if (problem != NULL) wrong(what, problem);
}

/* Tells `windlass plugin test` which operations of which actions the tests call. */
static void tell(const wl_action *action, wl_test_kind kind) {
    static const char *const called[] = {"start", NULL, "cancel", "rollback", "find"};
    const char *file = getenv("WINDLASS_TESTED");
    if (file == NULL || *file == '\0' || called[kind] == NULL) return;
    wl_json *declared = wl_object(), *line = wl_object();
    for (const wl_action *it = windlass_plugin.actions; it->name != NULL; it++) {
        wl_json *operations = wl_array();
        wl_push(operations, wl_string("start"));
        if (it->cancel != NULL) wl_push(operations, wl_string("cancel"));
        if (it->rollback != NULL) wl_push(operations, wl_string("rollback"));
        if (it->find != NULL) wl_push(operations, wl_string("find"));
        wl_set(declared, it->name, operations);
    }
    wl_set(line, "action", wl_string(action->name));
    wl_set(line, "called", wl_string(called[kind]));
    wl_set(line, "declared", declared);
    FILE *tested = fopen(file, "a");
    if (tested == NULL || fprintf(tested, "%s\n", wl_write(line)) < 0 || fclose(tested) != 0) wrong("cannot write", file);
}

static const char *start_key(unsigned n) { return n == 1 ? WL_TEST_KEY : wl_format("%08x%s", n, &WL_TEST_KEY[8]); }

static void no_action(const char *name) {
    wl_buffer known = {0};
    for (const wl_action *it = windlass_plugin.actions; it->name != NULL; it++) {
        wl_append_text(&known, wl_format("%s`%s`", known.length > 0 ? ", " : "it has ", it->name));
    }
    wrong(wl_format("the plugin has no action `%s`", name != NULL ? name : ""), known.length > 0 ? known.text : "it has none");
}

wl_outcome (wl_test)(wl_test_call given) {
    static const char *const kinds[] = {"start", "resume", "cancel", "rollback", "find"};
    watch();
    *last.request = *last.outcome = '\0';
    snprintf(last.call, sizeof last.call, "%s of `%s`", kinds[given.kind], given.action);
    unsigned starts = given.starts > 0 ? given.starts : 1;
    const char *const keys[] = {start_key(starts), "cccccccccccccccccccccccccccccccc", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"};
    const char *start_keys = start_key(1);
    for (unsigned n = 2; n <= starts; n++) start_keys = wl_format("%s %s", start_keys, start_key(n));
    const wl_pair context[] = {{"start-keys", start_keys}, {NULL, NULL}};
    mock.action = NULL;
    for (const wl_action *action = windlass_plugin.actions; action->name != NULL; action++) {
        if (strcmp(action->name, given.action) == 0) mock.action = action;
    }
    if (mock.action == NULL) no_action(given.action);
    /* A table that no host takes is refused as such, before an input is blamed. */
    wl_manifest(&windlass_plugin);
    tell(mock.action, given.kind);
    check("the input is not as its type says", mock.action->input, given.input);
    wl_operation operation = given.kind == WL_TEST_CANCEL ? WL_CANCEL : given.kind == WL_TEST_ROLLBACK ? WL_ROLLBACK : given.operation;
    wl_call call = {
        .action = given.action, .input = given.input, .input_length = strlen(given.input),
        .output = given.output, .output_length = given.output != NULL ? strlen(given.output) : 0,
        .state = given.state, .state_length = given.state != NULL ? strlen(given.state) : 0, .event = given.event,
        .ctx = {
            .release = "payments-1", .step = "step", .attempt = 1, .operation = operation,
            .idempotency_key = keys[operation], .context = context, .host = &HOST,
        },
    };
    wl_outcome outcome = {0};
    last.ctx = &call.ctx;
    switch (given.kind) {
    case WL_TEST_START: outcome = wl_start_call(&windlass_plugin, &call); break;
    case WL_TEST_RESUME: outcome = wl_resume_call(&windlass_plugin, &call); break;
    case WL_TEST_CANCEL: outcome = wl_cancel_call(&windlass_plugin, &call); break;
    case WL_TEST_ROLLBACK: outcome = wl_rollback_call(&windlass_plugin, &call); break;
    case WL_TEST_FIND: outcome = wl_find_call(&windlass_plugin, &call); break;
    }
    last.ctx = NULL;
    snprintf(last.outcome, sizeof last.outcome, "%s", words_of(&outcome));
    if (outcome.kind == WL_OUTCOME_DONE && operation == WL_START) check("the output is not as its type says", mock.action->output, outcome.json);
    return outcome;
}
