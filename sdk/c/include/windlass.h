/* Write Windlass plugins in C.
 *
 * A plugin defines `const wl_plugin windlass_plugin`: its actions, each with the structs that it reads and gives, described
 * by tables of fields, and a function per operation. README.md tells how it is built and tested.
 *
 * Memory: nothing has to be freed. All that this header's functions return lives until the call of the action is over; an
 * instance serves one call. A test frees all at once with `wl_release_all`.
 *
 * Functions that can fail return NULL or false; the failure is then the context's, and `return wl_failed(ctx);` passes it on.
 */
#ifndef WINDLASS_H
#define WINDLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the plugin contract that this SDK speaks. */
#define WL_CONTRACT "0.1"

/* What a compiler can check of a call: `printf`'s format, that a list ends with NULL, and that what came of it is used. */
#if defined(__GNUC__)
#define WL_PRINTF(format_at, first) __attribute__((format(printf, format_at, first)))
#define WL_ENDS_WITH_NULL __attribute__((sentinel))
#define WL_USED __attribute__((warn_unused_result))
#else
#define WL_PRINTF(format_at, first)
#define WL_ENDS_WITH_NULL
#define WL_USED
#endif
/* The same of all functions that give a type, which clang alone knows; in components, since a test may do without. */
#if defined(__clang__) && defined(__wasm__)
#define WL_USED_TYPE WL_USED
#else
#define WL_USED_TYPE
#endif

/* ---- Memory and text ------------------------------------------------------------------------------------------------ */

/* Zeroed memory. */
void *wl_alloc(size_t bytes);
/* As `printf`. */
char *wl_format(const char *format, ...) WL_PRINTF(1, 2);
/* Frees all that was handed out: for tests. */
void wl_release_all(void);

/* A name with a value; lists of pairs end with one whose name is NULL. */
typedef struct {
    const char *name;
    const char *value;
} wl_pair;

/* ---- JSON ----------------------------------------------------------------------------------------------------------- */

typedef struct wl_json wl_json;

wl_json *wl_object(void);
wl_json *wl_array(void);
wl_json *wl_string(const char *text);
wl_json *wl_integer(int64_t value);
wl_json *wl_number(double value);
wl_json *wl_boolean(bool value);
wl_json *wl_null(void);
/* Sets a field of an object; one of the same name is replaced. */
void wl_set(wl_json *object, const char *name, wl_json *value);
/* Adds to the end of an array. */
void wl_push(wl_json *array, wl_json *value);

/* A field of an object, or NULL. */
wl_json *wl_get(const wl_json *object, const char *name);
/* An item of an array, the value of a field of an object, or NULL. */
wl_json *wl_at(const wl_json *value, size_t index);
/* The name of a field of an object, or NULL. */
const char *wl_name_at(const wl_json *object, size_t index);
/* Items of an array or fields of an object. */
size_t wl_count(const wl_json *value);
/* A string's text, or NULL. */
const char *wl_text(const wl_json *value);
/* A whole number, also one written as 3.0 or 1e3 if it is less than 2^53. False, and `into` as it was, for a fraction, for what
 * an int64_t does not hold, and for what is no number. */
bool wl_as_integer(const wl_json *value, int64_t *into);
/* Any number, as near as a double comes. False, and `into` as it was, for what is none. */
bool wl_as_number(const wl_json *value, double *into);
/* False, and `into` as it was, for what is neither true nor false. */
bool wl_as_boolean(const wl_json *value, bool *into);
/* Whether it is an array, and not an object or something without items. */
bool wl_is_array(const wl_json *value);
/* Whether it is null, or not there at all. */
bool wl_is_null(const wl_json *value);

/* NULL and what is wrong, where it is no JSON. */
wl_json *wl_parse(const char *text, size_t length, const char **problem);
char *wl_write(const wl_json *value);

/* ---- Structs as JSON ------------------------------------------------------------------------------------------------ */

typedef enum {
    WL_TEXT,    /* const char *, NULL if it was left out */
    WL_INTEGER, /* int64_t */
    WL_NUMBER,  /* double */
    WL_BOOLEAN, /* bool */
    WL_STRUCT,  /* the struct of `of` */
    WL_LIST,    /* wl_list of structs of `of`, or of what `items` says */
    WL_ANY      /* wl_json *, NULL if it was left out */
} wl_kind;

typedef struct wl_type wl_type;

/* A field of a struct. */
typedef struct {
    const char *name;
    wl_kind kind;
    size_t offset;
    const char *description;
    /* May be left out. */
    bool optional;
    /* May be left out, and then is this JSON: "\"normal\"", "3", "true". */
    const char *otherwise;
    /* Of a text: "low|normal|high". */
    const char *choices;
    size_t min_length;
    /* Of a number: bounds as they are written, "0". */
    const char *minimum;
    const char *maximum;
    /* Of a struct or list. */
    const wl_type *of;
    /* Of a list without `of`: its items are WL_TEXT unless given, or WL_INTEGER, WL_NUMBER, WL_BOOLEAN, WL_ANY, each of the C
     * type above. Choices, length and bounds are theirs. */
    wl_kind items;
} wl_field;

/* A struct that is read from JSON and written as JSON. */
struct wl_type {
    const wl_field *fields;
    size_t count;
    size_t size;
    /* Other fields are passed over rather than refused: what another system answers. */
    bool open;
    /* The struct's, for people. */
    const char *name;
};

typedef struct {
    void *items;
    size_t count;
} wl_list;

/* A field: WL_FIELD(input, title, WL_TEXT, .description = "What people call it.", .min_length = 1) */
#define WL_FIELD(struct_, member, kind_, ...) {.name = #member, .kind = WL_KIND(struct_, member, kind_), .offset = offsetof(struct_, member), __VA_ARGS__}
/* A kind that the compiler has compared with the member's C type: an `int` read as an int64_t would be another number. */
#ifdef __cplusplus
#define WL_KIND(struct_, member, kind_) kind_
#else
#define WL_KIND(struct_, member, kind_) ((wl_kind)((kind_) + 0 * (int)sizeof(struct { \
    _Static_assert((kind_) == WL_KIND_OF(((struct_ *)0)->member), \
        "`" #member "` is " #kind_ " and has another C type: const char * is WL_TEXT, int64_t WL_INTEGER, double WL_NUMBER, " \
        "bool WL_BOOLEAN, wl_list WL_LIST, wl_json * WL_ANY, any struct WL_STRUCT"); \
    int it; \
})))
#define WL_KIND_OF(value) _Generic((value), \
    const char *: WL_TEXT, char *: WL_TEXT, int64_t: WL_INTEGER, double: WL_NUMBER, bool: WL_BOOLEAN, wl_list: WL_LIST, \
    wl_json *: WL_ANY, const wl_json *: WL_ANY, \
    char: -1, signed char: -1, unsigned char: -1, short: -1, unsigned short: -1, int: -1, unsigned: -1, float: -1, void *: -1, \
    default: WL_STRUCT)
#endif
/* A type of a struct and its array of fields: WL_TYPE(input, input_fields) */
#define WL_TYPE(struct_, array, ...) {.fields = array, .count = sizeof(array) / sizeof(*(array)), .size = sizeof(struct_), .name = #struct_, __VA_ARGS__}

/* ---- Failures ------------------------------------------------------------------------------------------------------- */

/* What kind of failure, for the retry policy. */
typedef enum {
    WL_TRANSIENT,       /* worth another try as it is */
    WL_RATE_LIMITED,    /* the other side asks for fewer requests */
    WL_TIMED_OUT,       /* the other side did not answer or finish in time */
    WL_UNAUTHENTICATED, /* credentials are missing, wrong or expired */
    WL_FORBIDDEN,       /* the credentials, or the host's grant, do not allow it */
    WL_NOT_FOUND,       /* what the input names does not exist */
    WL_CONFLICT,        /* something else stands in the way now */
    WL_INVALID,         /* the input is wrong */
    WL_REJECTED,        /* the other side did the work and the answer is no */
    WL_CANCELED,        /* somebody stopped it on the other side */
    WL_INTERNAL         /* the plugin met something that it does not understand */
} wl_class;

typedef enum { WL_BY_POLICY, WL_AFTER, WL_NEVER, WL_PAUSE } wl_advice;

enum { WL_DETAILS_MAX = 16 };

typedef struct {
    wl_class kind;
    const char *code;
    const char *message;
    wl_advice advice;
    uint64_t after_ms;
    wl_pair details[WL_DETAILS_MAX];
    size_t detail_count;
    /* See `wl_effect_unknown`. */
    bool effect_unknown;
} wl_failure;

/* A failure with a stable code and a message, as `printf`. */
wl_failure *wl_failure_of(wl_class kind, const char *code, const char *format, ...) WL_PRINTF(3, 4);
/* Advises against any attempt of the same input. */
wl_failure *wl_never(wl_failure *failure);
/* Advises to wait for a person. */
wl_failure *wl_pause(wl_failure *failure);
/* Advises another attempt, not before this long. */
wl_failure *wl_retry_after(wl_failure *failure, uint64_t milliseconds);
wl_failure *wl_detail(wl_failure *failure, const char *name, const char *value);
/* Whether the same request may well succeed a little later: what a step that polls should sit out. */
bool wl_passes(const wl_failure *failure);
/* Whether the request that failed may have had its effect: its answer got lost, or something in between answered. */
bool wl_effect_unknown(const wl_failure *failure);

/* ---- Calls ---------------------------------------------------------------------------------------------------------- */

typedef struct wl_host wl_host;
typedef struct wl_action wl_action;

typedef enum { WL_START, WL_CANCEL, WL_ROLLBACK } wl_operation;

/* One call, and what the host offers to it. */
typedef struct {
    const char *release;
    /* Step instance: `deploy` or `deploy[eu-1]`. */
    const char *step;
    /* From 1; counts the attempts of this operation. */
    uint32_t attempt;
    wl_operation operation;
    /* The same for the attempts of this operation until one of them has got a definite answer, and for `find`. */
    const char *idempotency_key;
    /* When the host will stop this attempt, in milliseconds since the Unix epoch; 0 for never. */
    uint64_t deadline_ms;
    /* Writes are stopped by the host; an action may say what it would have done. */
    bool dry_run;
    /* `tenant`, `environment`, `actor`, …; ends with a NULL name. */
    const wl_pair *context;
    /* Why the last function that can fail did. */
    wl_failure *failure;

    const wl_host *host;
    const wl_action *action;
} wl_ctx;

/* How an operation ended; of whatever function it comes, it is to be returned. */
typedef struct WL_USED_TYPE {
    enum { WL_OUTCOME_DONE, WL_OUTCOME_SUSPENDED, WL_OUTCOME_FAILED, WL_OUTCOME_NOT_FOUND } kind;
    /* The output or the state as JSON. */
    const char *json;
    uint64_t after_ms;
    uint64_t at_ms;
    const char *callback;
    const char *status;
    wl_failure *failure;
} wl_outcome;

/* A wait: the first of `after_ms`, `at_ms` and `callback` that is given wakes the step. */
typedef struct {
    /* A struct of the action's state type; NULL where it has none. WL_STATE gives it with its size. */
    const void *state;
    /* Its size, which is compared with that of the state type; 0: it is not. */
    size_t state_size;
    uint64_t after_ms;
    uint64_t at_ms;
    /* A topic. */
    const char *callback;
    /* What people read while it waits. */
    const char *status;
} wl_wait;

/* The size of what a pointer points to; 0 where its type does not say. */
#ifdef __cplusplus
#define WL_SIZE_AT(pointer) sizeof(*(pointer))
#define WL_NO_JSON(pointer, instead) 0
#else
#define WL_SIZE_AT(pointer) _Generic((pointer), void *: 0, const void *: 0, default: sizeof(*_Generic((pointer), \
    void *: "", const void *: "", wl_json *: "", const wl_json *: "", default: (pointer))))
/* 0; what points to JSON does not compile, with what to write instead. */
#define WL_NO_JSON(pointer, instead) (0 * sizeof(struct { \
    _Static_assert(_Generic((pointer), wl_json *: 0, const wl_json *: 0, default: 1), instead); \
    int it; \
}))
#endif
/* A state with its size, so that one of another struct is a failure and no nonsense in the journal:
 * wl_suspend(ctx, (wl_wait){WL_STATE(&job), .after_ms = 2000}) */
#define WL_STATE(...) .state = (__VA_ARGS__), \
    .state_size = WL_SIZE_AT((__VA_ARGS__)) + WL_NO_JSON((__VA_ARGS__), "a state is a struct of the action's `.state`, and this is JSON")

/* Complete, with a struct of the action's output type. One of another size is a failure; of the same size, no compiler and no
 * table can tell it apart. */
wl_outcome wl_done(wl_ctx *ctx, const void *output) WL_USED;
wl_outcome wl_done_sized(wl_ctx *ctx, const void *output, size_t size) WL_USED;
#ifndef __cplusplus
#define wl_done(ctx, ...) wl_done_sized(ctx, (__VA_ARGS__), WL_SIZE_AT((__VA_ARGS__)) + \
    WL_NO_JSON((__VA_ARGS__), "`wl_done` takes a struct of the action's `.output`, and this is JSON: write `wl_done_json`"))
#endif
/* Complete, with any JSON: what `cancel` and `rollback` give. */
wl_outcome wl_done_json(wl_ctx *ctx, const wl_json *value) WL_USED;
wl_outcome wl_suspend(wl_ctx *ctx, wl_wait wait) WL_USED;
wl_outcome wl_fail(wl_failure *failure) WL_USED;
/* Passes on why a function failed. */
wl_outcome wl_failed(wl_ctx *ctx) WL_USED;
/* What `find` gives if the effect never happened. */
wl_outcome wl_not_found(void) WL_USED;

/* Why a suspended step is resumed; `topic` is NULL if a time was reached. */
typedef struct {
    const char *topic;
    const wl_pair *headers;
    const char *body;
    size_t body_length;
} wl_event;

/* A value of the call's open list, or NULL. */
const char *wl_value(const wl_ctx *ctx, const char *name);
/* The time of day in milliseconds since the Unix epoch. */
uint64_t wl_now(const wl_ctx *ctx);

typedef enum { WL_TRACE, WL_DEBUG, WL_INFO, WL_WARN, WL_ERROR } wl_level;

/* A line for the release's log: wl_log(ctx, WL_INFO, "submitted", "job", id, NULL) */
void wl_log(const wl_ctx *ctx, wl_level level, const char *message, ...) WL_ENDS_WITH_NULL;
/* What people see while a call runs; the last value of each stands. */
void wl_progress(const wl_ctx *ctx, const char *status);
void wl_percent(const wl_ctx *ctx, unsigned percent);
void wl_link(const wl_ctx *ctx, const char *title, const char *url);

/* A part that is done once. */
typedef struct {
    /* What it came to, if it was done. */
    const wl_json *recorded;
    uintptr_t slot;
} wl_part;

/* Begins a part of this piece of work, or finds what it came to in another attempt under the same idempotency key. After a
 * definite answer the key is another, and so is the work. */
bool wl_begin_once(wl_ctx *ctx, const char *name, wl_part *part) WL_USED;
/* The idempotency keys of the pieces of work that `start` of this step has begun, oldest first; while it goes on the last is its
 * own. There may be something under each for a rollback to undo, also where the answer never came back. Ends with NULL. */
const char *const *wl_start_keys(const wl_ctx *ctx);
/* What a part that was begun by `wl_begin_once` came to in the piece of work with this key; NULL if it was not done. */
const wl_json *wl_recorded_once(wl_ctx *ctx, const char *key, const char *name);
/* Begins a part of the step, or finds what it came to, until a person has the whole step run again: for what was so before. */
bool wl_begin(wl_ctx *ctx, const char *name, wl_part *part) WL_USED;
/* Records what a part came to. One that is not finished counts as not done. */
void wl_finish(wl_ctx *ctx, wl_part *part, const wl_json *value);
/* What a part of the step came to; NULL if it was not done. */
const wl_json *wl_recorded(wl_ctx *ctx, const char *name);

/* An address that wakes the step when the other side sends a `POST` to it. It is a credential. */
typedef struct {
    const char *topic;
    /* NULL where the installation takes no callbacks from the network. */
    const char *url;
} wl_callback;

wl_callback wl_make_callback(wl_ctx *ctx);
/* The URL; where there is none, NULL and a failure that says what the operator has to do. */
const char *wl_required_url(wl_ctx *ctx, const wl_callback *callback);

/* ---- HTTP ----------------------------------------------------------------------------------------------------------- */

/* What a plugin may know of an endpoint. Credentials are added by the host, on the wire. */
typedef struct {
    const char *name;
    /* Without a slash at the end. */
    const char *base_url;
    const wl_pair *properties;
} wl_connection;

/* The connection bound to a role; NULL and a failure that says what to do if there is none. */
const wl_connection *wl_connection_of(wl_ctx *ctx, const char *role);

enum { WL_PAIRS_MAX = 16, WL_ACCEPT_MAX = 8 };

typedef struct {
    /* "GET" unless given. */
    const char *method;
    /* Below the connection's base URL, percent-encoded: see `wl_path`. */
    const char *path;
    wl_pair query[WL_PAIRS_MAX];
    wl_pair headers[WL_PAIRS_MAX];
    /* A body as JSON, or … */
    const wl_json *json;
    /* … as HTML's forms send it, or … */
    wl_pair form[WL_PAIRS_MAX];
    /* … any text, which a 0 ends (its `content-type` goes into `headers`), or … */
    const char *text;
    /* … any bytes, with their number; for an empty body there is `.text = ""`. */
    const char *body;
    size_t body_length;
    /* Sends the operation's key in the header `Idempotency-Key`. */
    bool idempotency_key;
    /* Statuses besides 2xx that are no failure. */
    int accept[WL_ACCEPT_MAX];
    /* For the response to begin and for each next part; 30 s unless given. */
    uint64_t timeout_ms;
} wl_request;

typedef struct {
    const char *method;
    const char *url;
    int status;
    const wl_pair *headers;
    const char *body;
    size_t body_length;
} wl_response;

/* Sends a request to the connection bound to a role; NULL and a failure of the fitting class. */
const wl_response *wl_http(wl_ctx *ctx, const char *role, wl_request request);
/* Reads the answer into a struct; the failure names the field that is not as expected. Of no answer: false, and the failure
 * stays what it was. What reads through it ends the test, and in a component the call. */
bool wl_read(wl_ctx *ctx, const wl_response *response, const wl_type *type, void *into) WL_USED;
/* The answer as JSON; NULL and a failure if it is none. */
const wl_json *wl_read_json(wl_ctx *ctx, const wl_response *response);
/* A header's value, or NULL. */
const char *wl_header(const wl_pair *headers, const char *name);
/* A path of percent-encoded segments: wl_path("jobs", id, NULL) is "/jobs/…". */
char *wl_path(const char *first, ...) WL_ENDS_WITH_NULL;
/* The full address of a path, for example to show as a link. */
char *wl_url(const wl_connection *connection, const char *path);

/* ---- Plugins -------------------------------------------------------------------------------------------------------- */

typedef enum { WL_READ, WL_IDEMPOTENT_WRITE, WL_WRITE } wl_effect;

/* A connection that an action needs. */
typedef struct {
    const char *name;
    const char *description;
    /* The requests made: "GET,POST /jobs; GET,DELETE /jobs/" with a star at the end for any segment. */
    const char *requests;
    bool optional;
} wl_role;

/* The roles of an action, or the actions of a plugin, with the end that such a list has:
 * static const wl_role roles[] = WL_ROLES({.name = "jobs", .description = "The job service.", .requests = "GET /jobs"}); */
#define WL_ROLES(...) {__VA_ARGS__, {0}}
#define WL_ACTIONS(...) {__VA_ARGS__, {0}}

/* What one call may use; 0 is the host's default. */
typedef struct {
    uint64_t cpu_ms, wall_ms, memory_bytes, output_bytes, log_bytes, state_bytes, http_requests, request_bytes, response_bytes;
} wl_limits;

/* One action. What is not NULL is announced; inputs, outputs and states are structs of the types given here. */
struct wl_action {
    const char *name;
    const char *description;
    wl_effect effect;
    const wl_type *input;
    const wl_type *output;
    /* What suspensions carry, those of `cancel` and `rollback` too; NULL for an action that never waits. */
    const wl_type *state;
    /* Ends with a NULL name. */
    const wl_role *roles;
    wl_limits limits;

    wl_outcome (*start)(wl_ctx *ctx, const void *input);
    wl_outcome (*resume)(wl_ctx *ctx, const void *input, const void *state, const wl_event *event);
    /* `state` is NULL if a call was cut off. */
    wl_outcome (*cancel)(wl_ctx *ctx, const void *input, const void *state);
    wl_outcome (*resume_cancel)(wl_ctx *ctx, const void *input, const void *state, const wl_event *event);
    /* `output` is NULL if `start` never got that far. */
    wl_outcome (*rollback)(wl_ctx *ctx, const void *input, const void *output);
    wl_outcome (*resume_rollback)(wl_ctx *ctx, const void *input, const void *output, const void *state, const wl_event *event);
    /* Only looks. */
    wl_outcome (*find)(wl_ctx *ctx, const void *input);
};

typedef struct {
    const char *name;
    /* Three numbers: "0.1.0". */
    const char *version;
    const char *description;
    /* Ends with one whose name is NULL. */
    const wl_action *actions;
} wl_plugin;

/* What a plugin defines. */
extern const wl_plugin windlass_plugin;

#ifdef __cplusplus
}
#endif
#endif
