/* Failures, contexts and requests. */

#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SHOWN_MAX = 500, STATE_BYTES_MAX = 65536 };
/* The longest wait that a server can ask for and get. */
static const uint64_t RETRY_AFTER_MAX_MS = 86400000;

/* ---- Failures ------------------------------------------------------------------------------------------------------- */

wl_failure *wl_never(wl_failure *failure) {
    failure->advice = WL_NEVER;
    return failure;
}

wl_failure *wl_pause(wl_failure *failure) {
    failure->advice = WL_PAUSE;
    return failure;
}

wl_failure *wl_retry_after(wl_failure *failure, uint64_t milliseconds) {
    failure->advice = WL_AFTER;
    failure->after_ms = milliseconds;
    return failure;
}

wl_failure *wl_detail(wl_failure *failure, const char *name, const char *value) {
    if (failure->detail_count < WL_DETAILS_MAX) failure->details[failure->detail_count++] = (wl_pair){name, value};
    return failure;
}

bool wl_passes(const wl_failure *failure) {
    return failure->kind == WL_TRANSIENT || failure->kind == WL_RATE_LIMITED || failure->kind == WL_TIMED_OUT;
}

bool wl_effect_unknown(const wl_failure *failure) { return failure->effect_unknown; }

/* Of this instance, which makes one call. */
static const wl_failure *last_failure;

const wl_failure *wl_last_failure(void) { return last_failure; }

static void *fail(wl_ctx *ctx, wl_failure *failure) {
    last_failure = ctx->failure = failure;
    return NULL;
}

/* ---- Outcomes ------------------------------------------------------------------------------------------------------- */

wl_outcome wl_fail(wl_failure *failure) {
    if (failure == NULL) failure = wl_failure_of(WL_INTERNAL, "no-failure", "the plugin gave `wl_fail` no failure, but NULL");
    return (wl_outcome){.kind = WL_OUTCOME_FAILED, .failure = failure};
}

wl_outcome wl_failed(wl_ctx *ctx) {
    if (ctx->failure == NULL) return wl_fail(wl_failure_of(WL_INTERNAL, "no-failure", "the plugin passed on a failure, and there was none"));
    return wl_fail(ctx->failure);
}

wl_outcome wl_not_found(void) { return (wl_outcome){.kind = WL_OUTCOME_NOT_FOUND}; }

wl_outcome wl_done_json(wl_ctx *ctx, const wl_json *value) {
    (void)ctx;
    return (wl_outcome){.kind = WL_OUTCOME_DONE, .json = wl_write(value)};
}

wl_outcome (wl_done)(wl_ctx *ctx, const void *output) {
    if (output == NULL) return wl_fail(wl_never(wl_failure_of(WL_INTERNAL, "no-output", "`%s` gave `wl_done` no output, but NULL", ctx->action->name)));
    return wl_done_json(ctx, wl_encode(ctx->action->output, output));
}

/* What was given where a struct of the type was meant, in words. */
static const char *size_against(size_t size, const char *member, const wl_type *type) {
    const char *name = type->name != NULL ? wl_format("`%s`", type->name) : "a struct";
    return wl_format("a struct of %zu bytes, and its `.%s` is %s, of %zu bytes", size, member, name, type->size);
}

wl_outcome wl_done_sized(wl_ctx *ctx, const void *output, size_t size) {
    const wl_type *type = ctx->action->output;
    if (size == 0 || size == type->size) return (wl_done)(ctx, output);
    return wl_fail(wl_never(wl_failure_of(WL_INTERNAL, "output-of-another-type", "`%s` gave `wl_done` %s", ctx->action->name, size_against(size, "output", type))));
}

wl_outcome wl_suspend(wl_ctx *ctx, wl_wait wait) {
    const char *name = ctx->action->name;
    if (wait.after_ms == 0 && wait.at_ms == 0 && wait.callback == NULL) {
        return wl_fail(wl_never(wl_failure_of(WL_INTERNAL, "no-wakes", "`%s` suspended without saying what wakes it", name)));
    }
    if (wait.state != NULL && ctx->action->state == NULL) {
        return wl_fail(wl_never(wl_failure_of(WL_INTERNAL, "state-without-type", "`%s` suspended with a state, and its `.state` names no type: what it carries would be lost", name)));
    }
    if (wait.state != NULL && wait.state_size != 0 && wait.state_size != ctx->action->state->size) {
        return wl_fail(wl_never(wl_failure_of(WL_INTERNAL, "state-of-another-type", "`%s` suspended with %s", name, size_against(wait.state_size, "state", ctx->action->state))));
    }
    const char *state = wait.state != NULL ? wl_write(wl_encode(ctx->action->state, wait.state)) : "null";
    uint64_t limit = ctx->action->limits.state_bytes;
    if (limit == 0 || limit > STATE_BYTES_MAX) limit = STATE_BYTES_MAX;
    if (strlen(state) > limit) {
        return wl_fail(wl_never(wl_failure_of(WL_INTERNAL, "state-too-large", "the state of `%s` has %zu bytes; a suspension carries %llu at most", name, strlen(state), (unsigned long long)limit)));
    }
    return (wl_outcome){
        .kind = WL_OUTCOME_SUSPENDED, .json = state, .after_ms = wait.after_ms, .at_ms = wait.at_ms, .callback = wait.callback,
        .status = wait.status != NULL ? wait.status : "",
    };
}

/* ---- The context ---------------------------------------------------------------------------------------------------- */

const char *wl_value(const wl_ctx *ctx, const char *name) {
    for (const wl_pair *pair = ctx->context; pair != NULL && pair->name != NULL; pair++) {
        if (strcmp(pair->name, name) == 0) return pair->value;
    }
    return NULL;
}

uint64_t wl_now(const wl_ctx *ctx) { return ctx->host->now(ctx->host->self); }

void wl_log(const wl_ctx *ctx, wl_level level, const char *message, ...) {
    wl_pair fields[WL_PAIRS_MAX + 1] = {{0}};
    va_list arguments;
    va_start(arguments, message);
    for (size_t at = 0; at < WL_PAIRS_MAX; at++) {
        const char *name = va_arg(arguments, const char *);
        if (name == NULL) break;
        fields[at] = (wl_pair){name, va_arg(arguments, const char *)};
    }
    va_end(arguments);
    ctx->host->log(ctx->host->self, level, message, fields);
}

void wl_progress(const wl_ctx *ctx, const char *status) { ctx->host->status(ctx->host->self, status); }
void wl_percent(const wl_ctx *ctx, unsigned percent) { ctx->host->percent(ctx->host->self, percent > 100 ? 100 : percent); }
void wl_link(const wl_ctx *ctx, const char *title, const char *url) { ctx->host->link(ctx->host->self, title, url); }

bool wl_begin(wl_ctx *ctx, const char *name, wl_part *part) {
    const char *recorded = NULL, *problem = NULL;
    size_t length = 0;
    *part = (wl_part){0};
    if (!ctx->host->begin(ctx->host->self, name, &recorded, &length, &part->slot)) return true;
    part->recorded = wl_parse(recorded, length, &problem);
    if (part->recorded != NULL) return true;
    fail(ctx, wl_never(wl_failure_of(WL_INTERNAL, "checkpoint", "the checkpoint `%s`: %s", name, problem)));
    return false;
}

void wl_finish(wl_ctx *ctx, wl_part *part, const wl_json *value) {
    const char *text = wl_write(value);
    ctx->host->finish(ctx->host->self, part->slot, text, strlen(text));
}

const wl_json *wl_recorded(wl_ctx *ctx, const char *name) {
    wl_part part;
    last_failure = ctx->failure = NULL;
    if (!wl_begin(ctx, name, &part)) return NULL;
    if (part.recorded == NULL) ctx->host->drop(ctx->host->self, part.slot);
    return part.recorded;
}

/* The checkpoint of a part of one piece of work. */
static const char *part_of(const char *name, const char *key) { return wl_format("%s/%s", name, key); }

bool wl_begin_once(wl_ctx *ctx, const char *name, wl_part *part) { return wl_begin(ctx, part_of(name, ctx->idempotency_key), part); }

const wl_json *wl_recorded_once(wl_ctx *ctx, const char *key, const char *name) { return wl_recorded(ctx, part_of(name, key)); }

const char *const *wl_start_keys(const wl_ctx *ctx) {
    const char *keys = wl_value(ctx, "start-keys");
    if (keys == NULL) keys = ctx->operation == WL_START ? ctx->idempotency_key : "";
    const char **all = wl_alloc((strlen(keys) / 2 + 2) * sizeof *all);
    size_t count = 0;
    for (const char *at = keys; *at != '\0';) {
        size_t length = strcspn(at, " ");
        if (length > 0) all[count++] = wl_format("%.*s", (int)length, at);
        at += length + (at[length] == ' ');
    }
    all[count] = NULL;
    return all;
}

wl_callback wl_make_callback(wl_ctx *ctx) { return ctx->host->callback(ctx->host->self); }

const char *wl_required_url(wl_ctx *ctx, const wl_callback *callback) {
    if (callback->url != NULL) return callback->url;
    return fail(ctx, wl_pause(wl_failure_of(WL_INVALID, "no-callback-url", "this installation takes no callbacks from the network: `windlass serve --callbacks ADDRESS:PORT` does; then try the step again")));
}

/* What the action declares, where that is not the role; NULL where it is. */
static const char *declared(const wl_action *action, const char *role) {
    wl_buffer known = {0};
    for (const wl_role *it = action->roles; it != NULL && it->name != NULL; it++) {
        if (strcmp(it->name, role) == 0) return NULL;
        wl_append_text(&known, wl_format(known.length > 0 ? ", `%s`" : "`%s`", it->name));
    }
    return wl_format("the action has no role `%s`; it declares %s", role, known.length > 0 ? known.text : "none");
}

const wl_connection *wl_connection_of(wl_ctx *ctx, const char *role) {
    const wl_connection *connection = ctx->host->connection(ctx->host->self, role);
    if (connection != NULL) return connection;
    const char *why = declared(ctx->action, role);
    if (why == NULL) {
        const char *how = ctx->host->binds != NULL ? ctx->host->binds(role) : "a workflow's step names one in `connection`";
        why = wl_format("no connection is bound to the role `%s`: %s", role, how);
    }
    return fail(ctx, wl_never(wl_failure_of(WL_INVALID, "connection-missing", "%s", why)));
}

/* ---- Requests ------------------------------------------------------------------------------------------------------- */

static void append_encoded(wl_buffer *buffer, const char *text) {
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || strchr("-._~", c) != NULL;
        if (plain) wl_append(buffer, text, 1);
        else wl_append_text(buffer, wl_format("%%%02X", c));
    }
}

char *wl_path(const char *first, ...) {
    wl_buffer buffer = {0};
    va_list arguments;
    va_start(arguments, first);
    for (const char *segment = first; segment != NULL; segment = va_arg(arguments, const char *)) {
        wl_append(&buffer, "/", 1);
        append_encoded(&buffer, segment);
    }
    va_end(arguments);
    return buffer.text;
}

char *wl_url(const wl_connection *connection, const char *path) {
    size_t length = strlen(connection->base_url);
    while (length > 0 && connection->base_url[length - 1] == '/') length--;
    const char *slash = *path == '\0' || *path == '/' ? "" : "/";
    return wl_format("%.*s%s%s", (int)length, connection->base_url, slash, path);
}

const char *wl_header(const wl_pair *headers, const char *name) {
    for (; headers != NULL && headers->name != NULL; headers++) {
        if (strcasecmp(headers->name, name) == 0) return headers->value;
    }
    return NULL;
}

static char *without_query(const char *url) { return wl_copy(url, strcspn(url, "?")); }

static wl_failure *transport_failure(const char *method, const char *url, const wl_wire_response *response) {
    static const struct {
        wl_class kind;
        const char *code;
    } known[] = {
        [WL_DENIED] = {WL_FORBIDDEN, "request-denied"},       [WL_NOT_CONNECTED] = {WL_TRANSIENT, "not-connected"},
        [WL_UNTRUSTED] = {WL_UNAUTHENTICATED, "untrusted"}, [WL_INTERRUPTED] = {WL_TRANSIENT, "interrupted"},
        [WL_NO_ANSWER] = {WL_TIMED_OUT, "timed-out"}, [WL_TOO_LARGE] = {WL_INTERNAL, "too-large"},
        [WL_BAD_REQUEST] = {WL_INTERNAL, "bad-request"},    [WL_OTHER] = {WL_TRANSIENT, "transport"},
    };
    const char *place = without_query(url);
    if (response->error == WL_DENIED) {
        return wl_never(wl_failure_of(WL_FORBIDDEN, "request-denied", "the host denied %s %s: the action has to ask for it among the requests of its role, and the connection to allow it", method, place));
    }
    wl_class kind = known[response->error].kind;
    wl_failure *failure = wl_failure_of(kind, known[response->error].code, "%s %s: %s", method, place, response->message);
    failure->effect_unknown = response->error != WL_NOT_CONNECTED && response->error != WL_UNTRUSTED && response->error != WL_BAD_REQUEST;
    return kind == WL_INTERNAL ? wl_never(failure) : failure;
}

static wl_class class_of(int status) {
    switch (status) {
    case 400: case 422: return WL_INVALID;
    case 401: case 407: return WL_UNAUTHENTICATED;
    case 403: return WL_FORBIDDEN;
    case 404: case 410: return WL_NOT_FOUND;
    case 408: case 504: return WL_TIMED_OUT;
    case 409: case 412: case 423: case 425: return WL_CONFLICT;
    case 429: return WL_RATE_LIMITED;
    case 501: case 505: return WL_INTERNAL;
    default: return status >= 500 ? WL_TRANSIENT : WL_INTERNAL;
    }
}

/* Seconds since the Unix epoch of `Sun, 06 Nov 1994 08:49:37 GMT`, or -1. */
static int64_t http_date(const char *text) {
    static const char *const months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int day, year, hour, minute, second;
    char name[4] = {0};
    if (text == NULL || sscanf(text, "%*3s, %2d %3s %4d %2d:%2d:%2d", &day, name, &year, &hour, &minute, &second) != 6) return -1;
    const char *found = strstr(months, name);
    if (found == NULL || strlen(name) != 3 || day < 1 || day > 31 || year < 1970) return -1;
    int month = (int)(found - months) / 3 + 1;
    int64_t shifted = month > 2 ? year : year - 1, past = month > 2 ? month - 3 : month + 9;
    int64_t days = 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + (153 * past + 2) / 5 + day - 1 - 719468;
    return days * 86400 + hour * 3600 + minute * 60 + second;
}

/* `Retry-After` in seconds; a date asks for the wait between it and `Date`. */
static bool retry_after(const wl_pair *headers, uint64_t *milliseconds) {
    const char *value = wl_header(headers, "retry-after");
    if (value == NULL) return false;
    char *rest;
    double seconds = strtod(value, &rest);
    if (rest == value || *rest != '\0' || seconds < 0) {
        int64_t until = http_date(value), now = http_date(wl_header(headers, "date"));
        if (until < 0 || now < 0) return false;
        seconds = until > now ? (double)(until - now) : 0;
    }
    *milliseconds = seconds * 1000 < (double)RETRY_AFTER_MAX_MS ? (uint64_t)(seconds * 1000) : RETRY_AFTER_MAX_MS;
    return true;
}

static const char *message_of(const wl_json *value) {
    static const char *const names[] = {"message", "detail", "error_description"};
    const char *text = wl_text(value), *joined = NULL;
    if (text != NULL) return *text != '\0' ? text : NULL;
    for (size_t at = 0; at < 3; at++) {
        const char *part = wl_text(wl_get(value, names[at]));
        if (part != NULL && *part != '\0') joined = joined == NULL ? part : wl_format("%s – %s", joined, part);
    }
    return joined;
}

static bool starts_with(const char *text, const char *word) { return strncasecmp(text, word, strlen(word)) == 0; }

static char *without_markup(const char *text) {
    wl_buffer plain = {0};
    wl_append(&plain, "", 0);
    for (const char *at = text; *at != '\0';) {
        if (*at != '<') {
            wl_append(&plain, at++, 1);
            continue;
        }
        const char *close = starts_with(at, "<script") ? "</script" : starts_with(at, "<style") ? "</style" : NULL;
        while (close != NULL && *at != '\0' && !starts_with(at, close)) at++;
        while (*at != '\0' && *at != '>') at++;
        if (*at == '>') at++;
        wl_append(&plain, " ", 1);
    }
    return plain.text;
}

/* What the body says, on one line: a JSON error's message, or text without markup. */
static char *said(const char *body, size_t length) {
    const char *text = wl_copy(body, length < 65536 ? length : 65536);
    const wl_json *json = wl_parse(text, strlen(text), NULL);
    if (json != NULL) {
        const char *message = message_of(wl_get(json, "error"));
        if (message == NULL) message = message_of(json);
        if (message == NULL) message = message_of(wl_at(wl_get(json, "errors"), 0));
        text = message != NULL ? message : wl_write(json);
    } else if (text[strspn(text, " \t\r\n")] == '<') {
        text = without_markup(text);
    }
    wl_buffer line = {0};
    wl_append(&line, "", 0);
    for (const char *at = text; *at != '\0' && line.length < SHOWN_MAX;) {
        at += strspn(at, " \t\r\n");
        size_t word = strcspn(at, " \t\r\n");
        if (word == 0) break;
        if (line.length > 0) wl_append(&line, " ", 1);
        wl_append(&line, at, word);
        at += word;
    }
    if (line.length > SHOWN_MAX) {
        size_t end = SHOWN_MAX;
        /* Not in the middle of a character. */
        while (end > 0 && ((unsigned char)line.text[end] & 0xc0) == 0x80) end--;
        return wl_format("%.*s…", (int)end, line.text);
    }
    return line.text;
}

static wl_failure *status_failure(const char *method, const char *url, const wl_wire_response *response) {
    int status = response->status;
    const char *hint =
        status >= 300 && status < 400 ? " (redirects are not followed: is the connection's address right?)" : "";
    const char *words = said(response->body, response->body_length);
    wl_failure *failure = wl_failure_of(class_of(status), wl_format("http-%d", status), "%s %s was answered with %d%s%s%s", method, without_query(url), status, hint, *words != '\0' ? ": " : "", words);
    wl_detail(failure, "status", wl_format("%d", status));
    /* Something in between may answer for a server that has done the work. */
    failure->effect_unknown = status == 408 || status == 500 || status == 502 || status == 504;
    uint64_t wait;
    if ((failure->kind == WL_RATE_LIMITED || failure->kind == WL_TRANSIENT) && retry_after(response->headers, &wait)) wl_retry_after(failure, wait);
    return failure;
}

static bool accepted(const wl_request *request, int status) {
    if (status >= 200 && status < 300) return true;
    for (size_t at = 0; at < WL_ACCEPT_MAX; at++) {
        if (request->accept[at] == status) return true;
    }
    return false;
}

/* `name=value&…` of at most `WL_PAIRS_MAX`. */
static void append_pairs(wl_buffer *buffer, const wl_pair *pairs) {
    for (size_t at = 0; at < WL_PAIRS_MAX && pairs[at].name != NULL; at++) {
        if (at > 0) wl_append_text(buffer, "&");
        append_encoded(buffer, pairs[at].name);
        wl_append_text(buffer, "=");
        append_encoded(buffer, pairs[at].value);
    }
}

const wl_response *wl_http(wl_ctx *ctx, const char *role, wl_request request) {
    const wl_connection *connection = wl_connection_of(ctx, role);
    if (connection == NULL) return NULL;
    const char *method = request.method != NULL ? request.method : "GET";
    wl_buffer url = {0};
    wl_append_text(&url, wl_url(connection, request.path != NULL ? request.path : ""));
    if (request.query[0].name != NULL) {
        wl_append_text(&url, strchr(url.text, '?') != NULL ? "&" : "?");
        append_pairs(&url, request.query);
    }
    wl_pair headers[WL_PAIRS_MAX + 4] = {{0}};
    size_t count = 0;
    while (count < WL_PAIRS_MAX && request.headers[count].name != NULL) {
        headers[count] = request.headers[count];
        count++;
    }
    if (wl_header(headers, "accept") == NULL) headers[count++] = (wl_pair){"accept", "application/json, */*;q=0.5"};
    if (request.json != NULL) {
        request.body = wl_write(request.json);
        request.body_length = strlen(request.body);
        headers[count++] = (wl_pair){"content-type", "application/json"};
    } else if (request.form[0].name != NULL) {
        wl_buffer form = {0};
        append_pairs(&form, request.form);
        request.body = form.text;
        request.body_length = strlen(form.text);
        headers[count++] = (wl_pair){"content-type", "application/x-www-form-urlencoded"};
    } else if (request.text != NULL) {
        request.body = request.text;
        request.body_length = strlen(request.text);
    } else if (request.body != NULL && request.body_length == 0) {
        /* Nothing would be sent, without a word. */
        return fail(ctx, wl_never(wl_failure_of(WL_INTERNAL, "body-without-length", "%s %s: `.body` has no `.body_length`; a text goes into `.text`, which needs none", method, url.text)));
    }
    if (request.idempotency_key) headers[count++] = (wl_pair){"idempotency-key", ctx->idempotency_key};
    wl_wire_request wire = {
        .method = method, .url = url.text, .headers = headers, .body = request.body, .body_length = request.body_length,
        .has_body = request.body != NULL, .timeout_ms = request.timeout_ms > 0 ? request.timeout_ms : 30000,
    };
    wl_wire_response answer = ctx->host->send(ctx->host->self, &wire);
    if (!answer.answered) return fail(ctx, transport_failure(method, url.text, &answer));
    if (!accepted(&request, answer.status)) return fail(ctx, status_failure(method, url.text, &answer));
    wl_response *response = wl_alloc(sizeof *response);
    *response = (wl_response){method, without_query(url.text), answer.status, answer.headers, answer.body, answer.body_length};
    return response;
}

static void *unexpected(wl_ctx *ctx, const wl_response *response, const char *problem) {
    return fail(ctx, wl_failure_of(WL_INTERNAL, "unexpected-response", "the answer to %s %s is not what was expected: %s", response->method, response->url, problem));
}

/* What came instead of JSON: a login page, a proxy's complaint. */
static const char *no_json(const wl_response *response) {
    if (response->body_length == 0) return "it is empty";
    const char *kind = wl_header(response->headers, "Content-Type");
    char beginning[61];
    size_t length = 0;
    bool between = false;
    for (size_t at = 0; at < response->body_length && at < 400 && length < sizeof beginning - 2; at++) {
        unsigned char byte = (unsigned char)response->body[at];
        if (byte <= ' ') {
            between = length > 0;
            continue;
        }
        if (between) beginning[length++] = ' ';
        between = false;
        beginning[length++] = byte < 0x7f ? (char)byte : '?';
    }
    beginning[length] = '\0';
    return wl_format("it is no JSON (%s) and begins with `%s`", kind != NULL ? kind : "of no type", beginning);
}

const wl_json *wl_read_json(wl_ctx *ctx, const wl_response *response) {
    if (response == NULL) return NULL; // why there is none is the context's failure already
    const char *problem = NULL;
    const wl_json *json = wl_parse(response->body, response->body_length, &problem);
    return json != NULL ? json : unexpected(ctx, response, no_json(response));
}

bool wl_read(wl_ctx *ctx, const wl_response *response, const wl_type *type, void *into) {
    const wl_json *json = wl_read_json(ctx, response);
    if (json == NULL) return false;
    const char *problem = wl_decode(type, json, into);
    if (problem != NULL) unexpected(ctx, response, problem);
    return problem == NULL;
}
