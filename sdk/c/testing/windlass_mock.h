/* A host for a plugin's own tests, and a step that goes through it. Compiled natively, with the SDK's json.c, plugin.c, types.c
 * and windlass.c.
 *
 * Nothing here is a sandbox or a network: answers are scripted, the clock stands at 2026-01-05 09:00 UTC. Requests are
 * checked against the action's roles, inputs and outputs against its types, as the real host does.
 */
#ifndef WINDLASS_MOCK_H
#define WINDLASS_MOCK_H

#include "windlass.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Runs a test, a function without arguments, from a clean sheet. Where the program ends in it – an assertion, a NULL that nobody
 * looked at – the test is named, with what the step came to, or with its last failure. */
#define WL_RUN(test) wl_test_run(#test, test)
void wl_test_run(const char *name, void (*test)(void));

/* Forgets everything: the answers, what was seen, what was recorded. A test that is not run by `WL_RUN` begins with it. */
void wl_mock_reset(void);
/* Binds a connection to a role. */
void wl_mock_connection(const char *role, const char *base_url);
/* Scripts the next answer to "METHOD /path", below the base URL and without the query; another form is refused. */
void wl_mock_reply(const char *route, int status, const char *body);
/* As `wl_mock_reply`, with headers that end with a NULL name. */
void wl_mock_reply_with(const char *route, int status, const char *body, const wl_pair *headers);
/* Scripts no answer: the connection breaks. */
void wl_mock_break(const char *route);
/* As of an installation that takes no callbacks from the network. */
void wl_mock_without_callbacks(void);

/* A request as it was seen. */
typedef struct {
    const char *route;
    const char *query;
    const char *body;
    const wl_pair *headers;
} wl_mock_request;

/* How many requests went to "METHOD /path". */
size_t wl_mock_count(const char *route);
/* The last request to it, or NULL. */
const wl_mock_request *wl_mock_last(const char *route);
/* All lines of the log: "info submitted job=j-1\n…". */
const char *wl_mock_log(void);
const char *wl_mock_status(void);
int wl_mock_percent(void);

/* Which call of a step. */
typedef enum { WL_TEST_START, WL_TEST_RESUME, WL_TEST_CANCEL, WL_TEST_ROLLBACK, WL_TEST_FIND } wl_test_kind;

typedef struct {
    wl_test_kind kind;
    const char *action;
    const char *input;
    /* Of the forward operation, for a rollback. */
    const char *output;
    /* What a suspension carried. */
    const char *state;
    /* The operation that a resume goes on with. */
    wl_operation operation;
    /* What woke it; a timer unless given. */
    wl_event event;
    /* How many pieces of work `start` has begun, one more after each definite answer; 1 unless given. */
    unsigned starts;
} wl_test_call;

/* Makes a call as the host would. As a macro it notes where, for what is said where the program ends. */
wl_outcome wl_test(wl_test_call call);
#define wl_test(...) (wl_test_at(__FILE__, __LINE__, __func__), wl_test(__VA_ARGS__))
void wl_test_at(const char *file, int line, const char *function);

/* Ends the tests where a call came to something else: "done", "done: {\"id\":\"j-1\"}", "suspended", "suspended: job j-1 is
 * queued", "failed", "failed: job-rejected", "not found". What it came to is looked at up to the end of the expected words; all
 * of it is said where they differ, a failure's class and message, too. */
#define WL_ENDS(outcome, expected) wl_test_ends(__FILE__, __LINE__, #outcome, outcome, expected)
void wl_test_ends(const char *file, int line, const char *what, wl_outcome outcome, const char *expected);
/* Ends the tests where two texts differ, and says how they do. */
#define WL_SAME(is, expected) wl_test_same(__FILE__, __LINE__, #is, is, expected)
void wl_test_same(const char *file, int line, const char *what, const char *is, const char *expected);

/* The idempotency key of `start`, `resume` and `find`, of the first piece of work and of the second. */
#define WL_TEST_KEY "0123456789abcdef0123456789abcdef"
#define WL_TEST_KEY_2 "0000000289abcdef0123456789abcdef"

#ifdef __cplusplus
}
#endif
#endif
