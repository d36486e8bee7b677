/* The component's side of the contract: the exports, and the imports as a host. Only in a component.
 *
 * What is handed to the caller is made with `malloc`: the generated code frees it after the call.
 */

#include "generated/plugin.h"
#include "internal.h"
#include "wasi_http.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The type is embedded by `windlass plugin build`; the generated code asks for an object that has it. */
void __component_type_object_force_link_plugin(void);
void __component_type_object_force_link_plugin(void) {}

static plugin_string_t lent(const char *text) { return (plugin_string_t){(uint8_t *)text, strlen(text)}; }

static char *taken(plugin_string_t string) { return wl_copy((const char *)string.ptr, string.len); }

static wl_pair *taken_pairs(plugin_list_tuple2_string_string_t list) {
    wl_pair *pairs = wl_alloc((list.len + 1) * sizeof *pairs);
    for (size_t at = 0; at < list.len; at++) pairs[at] = (wl_pair){taken(list.ptr[at].f0), taken(list.ptr[at].f1)};
    return pairs;
}

static void *owned(size_t bytes) {
    void *made = malloc(bytes > 0 ? bytes : 1);
    if (made == NULL) abort();
    return made;
}

/* ---- The imports ---------------------------------------------------------------------------------------------------- */

static void host_log(void *self, wl_level level, const char *message, const wl_pair *fields) {
    (void)self;
    plugin_tuple2_string_string_t list[WL_PAIRS_MAX];
    size_t count = 0;
    for (; count < WL_PAIRS_MAX && fields[count].name != NULL; count++) {
        list[count] = (plugin_tuple2_string_string_t){lent(fields[count].name), lent(fields[count].value != NULL ? fields[count].value : "")};
    }
    plugin_string_t text = lent(message);
    plugin_list_tuple2_string_string_t all = {list, count};
    windlass_plugin_log_log((windlass_plugin_log_level_t)level, &text, &all);
}

static void host_status(void *self, const char *text) {
    (void)self;
    plugin_string_t string = lent(text);
    windlass_plugin_progress_status(&string);
}

static void host_percent(void *self, unsigned percent) {
    (void)self;
    windlass_plugin_progress_percent((uint8_t)percent);
}

static void host_link(void *self, const char *title, const char *url) {
    (void)self;
    plugin_string_t its_title = lent(title), its_url = lent(url);
    windlass_plugin_progress_link(&its_title, &its_url);
}

static const wl_connection *host_connection(void *self, const char *role) {
    (void)self;
    plugin_string_t name = lent(role);
    windlass_plugin_connections_connection_t bound;
    if (!windlass_plugin_connections_get(&name, &bound)) return NULL;
    wl_connection *connection = wl_alloc(sizeof *connection);
    *connection = (wl_connection){taken(bound.name), taken(bound.base_url), taken_pairs(bound.properties)};
    return connection;
}

static bool host_begin(void *self, const char *name, const char **recorded, size_t *length, uintptr_t *slot) {
    (void)self;
    plugin_string_t part = lent(name);
    windlass_plugin_checkpoint_begun_t begun;
    windlass_plugin_checkpoint_begin(&part, &begun);
    if (begun.tag == WINDLASS_PLUGIN_CHECKPOINT_BEGUN_RECORDED) {
        *recorded = wl_copy((const char *)begun.val.recorded.ptr, begun.val.recorded.len);
        *length = begun.val.recorded.len;
        return true;
    }
    *slot = (uintptr_t)begun.val.fresh.__handle;
    return false;
}

static void host_finish(void *self, uintptr_t slot, const char *value, size_t length) {
    (void)self;
    plugin_list_u8_t bytes = {(uint8_t *)value, length};
    windlass_plugin_checkpoint_static_slot_finish((windlass_plugin_checkpoint_own_slot_t){(int32_t)slot}, &bytes);
}

static void host_drop(void *self, uintptr_t slot) {
    (void)self;
    windlass_plugin_checkpoint_slot_drop_own((windlass_plugin_checkpoint_own_slot_t){(int32_t)slot});
}

static wl_callback host_callback(void *self) {
    (void)self;
    windlass_plugin_callbacks_callback_t made;
    windlass_plugin_callbacks_create(&made);
    return (wl_callback){taken(made.topic), made.url.is_some ? taken(made.url.val) : NULL};
}

static wl_wire_response host_send(void *self, const wl_wire_request *request) {
    (void)self;
    return wl_wasi_send(request);
}

static uint64_t host_now(void *self) {
    (void)self;
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static const wl_host HOST = {
    .log = host_log, .status = host_status, .percent = host_percent, .link = host_link, .connection = host_connection,
    .begin = host_begin, .finish = host_finish, .drop = host_drop, .callback = host_callback, .send = host_send, .now = host_now,
};

/* ---- The exports ---------------------------------------------------------------------------------------------------- */

static wl_call opened(const exports_windlass_plugin_step_call_t *call) {
    return (wl_call){
        .action = taken(call->action),
        .input = (const char *)call->input.ptr, .input_length = call->input.len,
        .output = call->output.is_some ? (const char *)call->output.val.ptr : NULL, .output_length = call->output.val.len,
        .ctx = {
            .release = taken(call->release), .step = taken(call->step), .attempt = call->attempt,
            .operation = (wl_operation)call->operation, .idempotency_key = taken(call->idempotency_key),
            .deadline_ms = call->deadline.is_some ? call->deadline.val : 0, .dry_run = call->dry_run,
            .context = taken_pairs(call->context), .host = &HOST,
        },
    };
}

static void give_failure(const wl_failure *failure, exports_windlass_plugin_step_failure_t *to) {
    static const uint8_t advice[] = {
        [WL_BY_POLICY] = WINDLASS_PLUGIN_STEP_TYPES_RETRY_ADVICE_BY_POLICY, [WL_AFTER] = WINDLASS_PLUGIN_STEP_TYPES_RETRY_ADVICE_AFTER,
        [WL_NEVER] = WINDLASS_PLUGIN_STEP_TYPES_RETRY_ADVICE_NEVER, [WL_PAUSE] = WINDLASS_PLUGIN_STEP_TYPES_RETRY_ADVICE_PAUSE,
    };
    to->class_ = (windlass_plugin_step_types_failure_class_t)failure->kind;
    plugin_string_dup(&to->code, failure->code);
    plugin_string_dup(&to->message, failure->message);
    to->retry.tag = advice[failure->advice];
    to->retry.val.after = failure->after_ms;
    to->details.len = failure->detail_count;
    to->details.ptr = owned(failure->detail_count * sizeof *to->details.ptr);
    for (size_t at = 0; at < failure->detail_count; at++) {
        plugin_string_dup(&to->details.ptr[at].f0, failure->details[at].name);
        plugin_string_dup(&to->details.ptr[at].f1, failure->details[at].value);
    }
}

static void give_suspension(const wl_outcome *outcome, windlass_plugin_step_types_suspension_t *to) {
    to->state.len = strlen(outcome->json);
    to->state.ptr = owned(to->state.len);
    memcpy(to->state.ptr, outcome->json, to->state.len);
    plugin_string_dup(&to->status, outcome->status);
    to->wakes.ptr = owned(3 * sizeof *to->wakes.ptr);
    to->wakes.len = 0;
    if (outcome->after_ms > 0) {
        windlass_plugin_step_types_wake_t *wake = &to->wakes.ptr[to->wakes.len++];
        wake->tag = WINDLASS_PLUGIN_STEP_TYPES_WAKE_AFTER;
        wake->val.after = outcome->after_ms;
    }
    if (outcome->at_ms > 0) {
        windlass_plugin_step_types_wake_t *wake = &to->wakes.ptr[to->wakes.len++];
        wake->tag = WINDLASS_PLUGIN_STEP_TYPES_WAKE_AT;
        wake->val.at = outcome->at_ms;
    }
    if (outcome->callback != NULL) {
        windlass_plugin_step_types_wake_t *wake = &to->wakes.ptr[to->wakes.len++];
        wake->tag = WINDLASS_PLUGIN_STEP_TYPES_WAKE_CALLBACK;
        plugin_string_dup(&wake->val.callback, outcome->callback);
    }
}

static bool give(wl_outcome outcome, exports_windlass_plugin_step_outcome_t *to, exports_windlass_plugin_step_failure_t *failure) {
    switch (outcome.kind) {
    case WL_OUTCOME_DONE:
        to->tag = WINDLASS_PLUGIN_STEP_TYPES_OUTCOME_DONE;
        plugin_string_dup(&to->val.done, outcome.json);
        return true;
    case WL_OUTCOME_SUSPENDED:
        to->tag = WINDLASS_PLUGIN_STEP_TYPES_OUTCOME_SUSPENDED;
        give_suspension(&outcome, &to->val.suspended);
        return true;
    case WL_OUTCOME_FAILED: give_failure(outcome.failure, failure); return false;
    case WL_OUTCOME_NOT_FOUND:
        give_failure(wl_never(wl_failure_of(WL_INTERNAL, "not-found", "only `find` can answer that nothing was found")), failure);
        return false;
    }
    return false;
}

void exports_windlass_plugin_step_manifest(exports_windlass_plugin_step_json_t *ret) {
    plugin_string_dup(ret, wl_manifest(&windlass_plugin));
}

bool exports_windlass_plugin_step_start(exports_windlass_plugin_step_call_t *call, exports_windlass_plugin_step_outcome_t *ret, exports_windlass_plugin_step_failure_t *err) {
    wl_call it = opened(call);
    return give(wl_start_call(&windlass_plugin, &it), ret, err);
}

bool exports_windlass_plugin_step_resume(exports_windlass_plugin_step_call_t *call, plugin_list_u8_t *state, exports_windlass_plugin_step_event_t *event, exports_windlass_plugin_step_outcome_t *ret, exports_windlass_plugin_step_failure_t *err) {
    wl_call it = opened(call);
    it.state = (const char *)state->ptr;
    it.state_length = state->len;
    if (event->tag == WINDLASS_PLUGIN_STEP_TYPES_EVENT_CALLBACK) {
        windlass_plugin_step_types_callback_event_t *callback = &event->val.callback;
        it.event = (wl_event){taken(callback->topic), taken_pairs(callback->headers), (const char *)callback->body.ptr, callback->body.len};
    }
    return give(wl_resume_call(&windlass_plugin, &it), ret, err);
}

bool exports_windlass_plugin_step_cancel(exports_windlass_plugin_step_call_t *call, plugin_list_u8_t *maybe_state, exports_windlass_plugin_step_outcome_t *ret, exports_windlass_plugin_step_failure_t *err) {
    wl_call it = opened(call);
    if (maybe_state != NULL) {
        it.state = (const char *)maybe_state->ptr;
        it.state_length = maybe_state->len;
    }
    return give(wl_cancel_call(&windlass_plugin, &it), ret, err);
}

bool exports_windlass_plugin_step_rollback(exports_windlass_plugin_step_call_t *call, exports_windlass_plugin_step_outcome_t *ret, exports_windlass_plugin_step_failure_t *err) {
    wl_call it = opened(call);
    return give(wl_rollback_call(&windlass_plugin, &it), ret, err);
}

bool exports_windlass_plugin_step_find(exports_windlass_plugin_step_call_t *call, exports_windlass_plugin_step_option_outcome_t *ret, exports_windlass_plugin_step_failure_t *err) {
    wl_call it = opened(call);
    wl_outcome outcome = wl_find_call(&windlass_plugin, &it);
    ret->is_some = outcome.kind != WL_OUTCOME_NOT_FOUND;
    return !ret->is_some || give(outcome, &ret->val, err);
}
