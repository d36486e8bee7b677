/* The manifest, and the way from a call in JSON to the right function and back. */

#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static wl_json *requests_of(const wl_role *role) {
    wl_json *requests = wl_array();
    for (const char *at = role->requests; at != NULL && *at != '\0';) {
        at += strspn(at, " ;");
        size_t length = strcspn(at, ";"), methods = strcspn(at, " ");
        wl_json *request = wl_object(), *list = wl_array();
        for (size_t begin = 0; begin < methods;) {
            size_t method = strcspn(at + begin, ", ");
            wl_push(list, wl_string(wl_copy(at + begin, method)));
            begin += method + 1;
        }
        size_t path = methods + strspn(at + methods, " ");
        size_t end = length;
        while (end > path && at[end - 1] == ' ') end--;
        wl_set(request, "methods", list);
        wl_set(request, "path", wl_string(wl_copy(at + path, end > path ? end - path : 0)));
        wl_push(requests, request);
        at += length;
    }
    return requests;
}

static wl_json *connections_of(const wl_action *action) {
    wl_json *connections = wl_object();
    for (const wl_role *role = action->roles; role != NULL && role->name != NULL; role++) {
        wl_json *described = wl_object();
        wl_set(described, "description", wl_string(role->description));
        wl_set(described, "required", wl_boolean(!role->optional));
        wl_set(described, "requests", requests_of(role));
        wl_set(connections, role->name, described);
    }
    return connections;
}

static wl_json *limits_of(const wl_limits *limits) {
    const struct {
        const char *name;
        uint64_t value;
    } all[] = {
        {"cpu_ms", limits->cpu_ms}, {"wall_ms", limits->wall_ms}, {"memory_bytes", limits->memory_bytes},
        {"output_bytes", limits->output_bytes}, {"log_bytes", limits->log_bytes}, {"state_bytes", limits->state_bytes},
        {"http_requests", limits->http_requests}, {"request_bytes", limits->request_bytes}, {"response_bytes", limits->response_bytes},
    };
    wl_json *described = wl_object();
    for (size_t at = 0; at < sizeof all / sizeof *all; at++) {
        if (all[at].value > 0) wl_set(described, all[at].name, wl_integer((int64_t)all[at].value));
    }
    return described;
}

static wl_json *described(const wl_action *action) {
    static const char *const effects[] = {"read", "idempotent_write", "write"};
    wl_json *it = wl_object();
    wl_set(it, "description", wl_string(action->description));
    wl_set(it, "input", wl_schema(action->input));
    wl_set(it, "output", wl_schema(action->output));
    wl_set(it, "effect", wl_string(effects[action->effect]));
    wl_set(it, "cancel", wl_boolean(action->cancel != NULL));
    wl_set(it, "rollback", wl_boolean(action->rollback != NULL));
    wl_set(it, "find", wl_boolean(action->find != NULL));
    wl_set(it, "connections", connections_of(action));
    wl_set(it, "limits", limits_of(&action->limits));
    return it;
}

void wl_refuse(const char *problem) {
    fprintf(stderr, "%s\n", problem);
    abort();
}

static bool is_name(const char *name) {
    size_t length = name != NULL ? strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") : 0;
    return length > 0 && length < 64 && name[length] == '\0' && *name >= 'a';
}

static void check_name(const char *name, const char *unless) {
    if (!is_name(name)) wl_refuse(wl_format("`%s` is no name: write [a-z][a-z0-9_-]{0,62}%s", name != NULL ? name : "", unless));
}

/* Whether a text may lie there, or there is none. */
static bool may_be_text(const char *it) {
    uintptr_t at = (uintptr_t)it;
#ifdef __wasm__
    return at == 0 || (at >= 1024 && at / 65536 < __builtin_wasm_memory_size(0));
#else
    return at == 0 || at >= 4096;
#endif
}

/* A list that does not end goes on with what lies behind it: as a rule another table, with a number, or half a pointer, where a
 * role or an action has something else. That is looked at before anything is read through it. Where zeros follow, it ends. */
static bool may_be_role(const wl_role *role) {
    unsigned char optional;
    memcpy(&optional, &role->optional, 1);
    return may_be_text(role->name) && may_be_text(role->description) && may_be_text(role->requests) && optional <= 1;
}

static bool may_be_action(const wl_action *action) {
    return may_be_text(action->name) && may_be_text(action->description) && (unsigned)action->effect <= WL_WRITE;
}

static void check_description(const char *what, const char *name, const char *description, const char *unless) {
    if (description == NULL) wl_refuse(wl_format("the %s `%s` has no `.description`%s", what, name, unless));
}

static void check_roles(const wl_action *action) {
    for (const wl_role *role = action->roles; role != NULL && role->name != NULL; role++) {
        const char *end = wl_format("the roles of the action `%s` do not end: write them in `WL_ROLES(…)`, or `{0}` after the last", action->name);
        if (!may_be_role(role)) wl_refuse(end);
        const char *unless = role != action->roles ? wl_format("; or %s", end) : "";
        check_name(role->name, unless);
        check_description("role", role->name, role->description, unless);
    }
}

/* Functions and types that belong together, and of which one is not there. */
static void check_members(const wl_action *action) {
    const char *name = action->name;
    if (action->start == NULL) wl_refuse(wl_format("the action `%s` has no `.start`", name));
    if (action->input == NULL || action->output == NULL) {
        wl_refuse(wl_format("the action `%s` has no `.%s`", name, action->input == NULL ? "input" : "output"));
    }
    if (action->resume_cancel != NULL && action->cancel == NULL) wl_refuse(wl_format("the action `%s` has a `.resume_cancel` and no `.cancel`", name));
    if (action->resume_rollback != NULL && action->rollback == NULL) wl_refuse(wl_format("the action `%s` has a `.resume_rollback` and no `.rollback`", name));
    /* One that never waits may have a rollback that does. */
    bool resumes = action->resume != NULL || action->resume_cancel != NULL || action->resume_rollback != NULL;
    /* It is in no manifest, and is looked at as what is. */
    if (action->state != NULL) wl_schema(action->state);
    if (action->state != NULL && !resumes) {
        wl_refuse(wl_format("the action `%s` has a `.state` and no `.resume`: what waits could never go on", name));
    }
}

/* Three numbers, and what a version may have behind them; the host reads it in full. */
static void check_version(const char *version) {
    const char *at = version != NULL ? version : "";
    for (int number = 0; number < 3; number++) {
        size_t digits = strspn(at, "0123456789");
        bool is_last = number == 2;
        if (digits == 0 || (digits > 1 && *at == '0') || (is_last ? strchr("-+", at[digits]) == NULL : at[digits] != '.')) {
            wl_refuse(wl_format("the version `%s` is none: write three numbers, `.version = \"0.1.0\"`", version != NULL ? version : ""));
        }
        at += digits + !is_last;
    }
}

char *wl_manifest(const wl_plugin *plugin) {
    check_name(plugin->name, "");
    check_description("plugin", plugin->name, plugin->description, "");
    for (const wl_action *action = plugin->actions; action->name != NULL; action++) {
        static const char *const end = "the actions of the plugin do not end: write them in `WL_ACTIONS(…)`, or `{0}` after the last";
        if (!may_be_action(action)) wl_refuse(end);
        const char *unless = action != plugin->actions ? wl_format("; or %s", end) : "";
        check_name(action->name, unless);
        check_description("action", action->name, action->description, unless);
        check_roles(action);
        check_members(action);
    }
    check_version(plugin->version);
    wl_json *manifest = wl_object(), *actions = wl_object();
    for (const wl_action *action = plugin->actions; action->name != NULL; action++) wl_set(actions, action->name, described(action));
    wl_set(manifest, "name", wl_string(plugin->name));
    wl_set(manifest, "version", wl_string(plugin->version));
    wl_set(manifest, "contract", wl_string(WL_CONTRACT));
    wl_set(manifest, "description", wl_string(plugin->description));
    wl_set(manifest, "actions", actions);
    return wl_write(manifest);
}

/* ---- Calls ---------------------------------------------------------------------------------------------------------- */

/* What a call carries, read. */
typedef struct {
    void *input;
    void *output;
    void *state;
    wl_failure *wrong;
} given;

static const char *read(const wl_type *type, const char *text, size_t length, void **into) {
    const char *problem = NULL;
    const wl_json *json = wl_parse(text, length, &problem);
    if (json == NULL) return problem;
    *into = wl_alloc(type->size);
    return wl_decode(type, json, *into);
}

static given open_call(const wl_plugin *plugin, wl_call *call) {
    given it = {0};
    wl_buffer known = {0};
    for (const wl_action *action = plugin->actions; action->name != NULL; action++) {
        if (strcmp(action->name, call->action) == 0) call->ctx.action = action;
        if (known.length > 0) wl_append_text(&known, ", ");
        wl_append_text(&known, action->name);
    }
    const wl_action *action = call->ctx.action;
    if (action == NULL) {
        it.wrong = wl_never(wl_failure_of(WL_INVALID, "unknown-action", "`%s` has no action `%s`; it has %s", plugin->name, call->action, known.text));
        return it;
    }
    const char *problem = read(action->input, call->input, call->input_length, &it.input);
    if (problem != NULL) {
        it.wrong = wl_never(wl_failure_of(WL_INVALID, "input", "the input of `%s`: %s", action->name, problem));
        return it;
    }
    if (call->output != NULL && (problem = read(action->output, call->output, call->output_length, &it.output)) != NULL) {
        it.wrong = wl_never(wl_failure_of(WL_INTERNAL, "output", "the output that `%s` gave: %s", action->name, problem));
        return it;
    }
    if (call->state != NULL && action->state != NULL && (problem = read(action->state, call->state, call->state_length, &it.state)) != NULL) {
        it.wrong = wl_never(wl_failure_of(WL_INTERNAL, "state", "the suspended state cannot be read: %s", problem));
    }
    return it;
}

static wl_outcome missing(const wl_call *call, const char *operation) {
    return wl_fail(wl_never(wl_failure_of(WL_INTERNAL, "unknown-operation", "`%s` has no %s", call->ctx.action->name, operation)));
}

/* The function that would go on with an operation that waited; NULL where the action has it. */
static const char *no_resume(const wl_call *call) {
    const wl_action *action = call->ctx.action;
    switch (call->ctx.operation) {
    case WL_START: return action->resume == NULL ? "resume" : NULL;
    case WL_CANCEL: return action->resume_cancel == NULL ? "resume_cancel" : NULL;
    case WL_ROLLBACK: return action->resume_rollback == NULL ? "resume_rollback" : NULL;
    }
    return NULL;
}

/* What the action's function of this name came to: a failure where it waits and could never go on. */
static wl_outcome checked(const wl_call *call, const char *name, wl_outcome outcome) {
    const char *lacking = outcome.kind == WL_OUTCOME_SUSPENDED ? no_resume(call) : NULL;
    if (lacking == NULL) return outcome;
    return wl_fail(wl_never(wl_failure_of(WL_INTERNAL, "never-suspends", "`%s` suspends in `.%s` but has no `.%s`: it could never go on", call->ctx.action->name, name, lacking)));
}

wl_outcome wl_start_call(const wl_plugin *plugin, wl_call *call) {
    given it = open_call(plugin, call);
    if (it.wrong != NULL) return wl_fail(it.wrong);
    return checked(call, "start", call->ctx.action->start(&call->ctx, it.input));
}

wl_outcome wl_resume_call(const wl_plugin *plugin, wl_call *call) {
    given it = open_call(plugin, call);
    if (it.wrong != NULL) return wl_fail(it.wrong);
    const wl_action *action = call->ctx.action;
    const char *lacking = no_resume(call);
    if (lacking != NULL) return wl_fail(wl_never(wl_failure_of(WL_INTERNAL, "never-suspends", "`%s` waited, and has no `.%s` to go on with", action->name, lacking)));
    switch (call->ctx.operation) {
    case WL_CANCEL: return action->resume_cancel(&call->ctx, it.input, it.state, &call->event);
    case WL_ROLLBACK: return action->resume_rollback(&call->ctx, it.input, it.output, it.state, &call->event);
    default: return action->resume(&call->ctx, it.input, it.state, &call->event);
    }
}

wl_outcome wl_cancel_call(const wl_plugin *plugin, wl_call *call) {
    given it = open_call(plugin, call);
    if (it.wrong != NULL) return wl_fail(it.wrong);
    if (call->ctx.action->cancel == NULL) return missing(call, "cancel");
    return checked(call, "cancel", call->ctx.action->cancel(&call->ctx, it.input, it.state));
}

wl_outcome wl_rollback_call(const wl_plugin *plugin, wl_call *call) {
    given it = open_call(plugin, call);
    if (it.wrong != NULL) return wl_fail(it.wrong);
    if (call->ctx.action->rollback == NULL) return missing(call, "rollback");
    return checked(call, "rollback", call->ctx.action->rollback(&call->ctx, it.input, it.output));
}

wl_outcome wl_find_call(const wl_plugin *plugin, wl_call *call) {
    given it = open_call(plugin, call);
    if (it.wrong != NULL) return wl_fail(it.wrong);
    if (call->ctx.action->find == NULL) return missing(call, "find");
    return checked(call, "find", call->ctx.action->find(&call->ctx, it.input));
}
