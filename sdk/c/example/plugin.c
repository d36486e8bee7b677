/* Work at a job service: submits a job, waits until it has ended, withdraws it on a rollback. */

#include <string.h>
#include <windlass.h>

typedef struct {
    const char *title;
    const char *priority;
    bool notify;
} input;

static const wl_field input_fields[] = {
    WL_FIELD(input, title, WL_TEXT, .description = "What people call the job.", .min_length = 1),
    WL_FIELD(input, priority, WL_TEXT, .description = "How soon it is worked on.", .choices = "low|normal|high", .otherwise = "\"normal\""),
    WL_FIELD(input, notify, WL_BOOLEAN, .description = "Whether the service calls back when the job has ended.", .otherwise = "false"),
};
static const wl_type input_type = WL_TYPE(input, input_fields);

typedef struct {
    const char *id;
    const char *artifact;
    int64_t seconds;
} output;

static const wl_field output_fields[] = {
    WL_FIELD(output, id, WL_TEXT, .description = "The job, as the service names it."),
    WL_FIELD(output, artifact, WL_TEXT, .description = "Where what it made lies."),
    WL_FIELD(output, seconds, WL_INTEGER, .description = "How long it took.", .minimum = "0"),
};
static const wl_type output_type = WL_TYPE(output, output_fields);

typedef struct {
    const char *id;
    const char *topic;
} state;

static const wl_field state_fields[] = {
    WL_FIELD(state, id, WL_TEXT),
    WL_FIELD(state, topic, WL_TEXT, .optional = true),
};
static const wl_type state_type = WL_TYPE(state, state_fields);

/* What the service answers of a job. */
typedef struct {
    const char *id;
    const char *state;
    const char *artifact;
    int64_t seconds;
    const char *reason;
} job;

static const wl_field job_fields[] = {
    WL_FIELD(job, id, WL_TEXT),
    WL_FIELD(job, state, WL_TEXT, .choices = "queued|running|done|failed"),
    WL_FIELD(job, artifact, WL_TEXT, .otherwise = "\"\""),
    WL_FIELD(job, seconds, WL_INTEGER, .otherwise = "0"),
    WL_FIELD(job, reason, WL_TEXT, .otherwise = "\"no reason given\""),
};
static const wl_type job_type = WL_TYPE(job, job_fields, .open = true);

typedef struct {
    wl_list jobs;
} jobs;

static const wl_field jobs_fields[] = {WL_FIELD(jobs, jobs, WL_LIST, .of = &job_type)};
static const wl_type jobs_type = WL_TYPE(jobs, jobs_fields, .open = true);

static wl_outcome waiting(wl_ctx *ctx, const state *it, const char *how) {
    return wl_suspend(ctx, (wl_wait){WL_STATE(it), .after_ms = 2000, .callback = it->topic, .status = wl_format("job %s %s", it->id, how)});
}

static wl_outcome outcome_of(wl_ctx *ctx, const job *it, const state *waited) {
    if (strcmp(it->state, "done") == 0) {
        wl_percent(ctx, 100);
        return wl_done(ctx, &(output){it->id, it->artifact, it->seconds});
    }
    if (strcmp(it->state, "failed") == 0) {
        return wl_fail(wl_detail(wl_failure_of(WL_REJECTED, "job-failed", "job %s failed: %s", it->id, it->reason), "job", it->id));
    }
    wl_progress(ctx, wl_format("job %s is %s", it->id, it->state));
    return waiting(ctx, waited, wl_format("is %s", it->state));
}

/* The job's id; NULL and a failure where there is none. */
static const char *WL_USED submit(wl_ctx *ctx, const input *given, const wl_callback *address) {
    wl_json *body = wl_object();
    wl_set(body, "title", wl_string(given->title));
    wl_set(body, "priority", wl_string(given->priority));
    if (address != NULL) {
        const char *url = wl_required_url(ctx, address);
        if (url == NULL) return NULL;
        wl_set(body, "notify", wl_string(url));
    }
    const wl_response *response = wl_http(ctx, "jobs", (wl_request){
        .method = "POST", .path = "/jobs", .json = body, .idempotency_key = true, .accept = {422},
    });
    if (response == NULL) return NULL;
    if (response->status == 422) {
        const wl_json *refusal = wl_read_json(ctx, response);
        if (refusal == NULL) return NULL;
        const char *error = wl_text(wl_get(refusal, "error"));
        ctx->failure = wl_failure_of(WL_REJECTED, "job-rejected", "the service rejects `%s`: %s", given->title, error != NULL ? error : "no reason given");
        wl_detail(wl_never(ctx->failure), "title", given->title);
        return NULL;
    }
    job made;
    return wl_read(ctx, response, &job_type, &made) ? made.id : NULL;
}

static wl_outcome start(wl_ctx *ctx, const void *given_input) {
    const input *given = given_input;
    wl_part part;
    wl_callback address = {0};
    if (given->notify) {
        /* Once: another attempt at the same work waits for the same address, and has the same job. */
        if (!wl_begin_once(ctx, "address", &part)) return wl_failed(ctx);
        if (part.recorded != NULL) {
            address = (wl_callback){wl_text(wl_get(part.recorded, "topic")), wl_text(wl_get(part.recorded, "url"))};
        } else {
            address = wl_make_callback(ctx);
            wl_json *record = wl_object();
            wl_set(record, "topic", wl_string(address.topic));
            if (address.url != NULL) wl_set(record, "url", wl_string(address.url));
            wl_finish(ctx, &part, record);
        }
    }
    if (!wl_begin_once(ctx, "job", &part)) return wl_failed(ctx);
    const char *id = wl_text(part.recorded);
    if (id == NULL) {
        id = submit(ctx, given, given->notify ? &address : NULL);
        if (id == NULL) return wl_failed(ctx);
        wl_finish(ctx, &part, wl_string(id));
    }
    wl_log(ctx, WL_INFO, "submitted", "job", id, NULL);
    const wl_connection *connection = wl_connection_of(ctx, "jobs");
    if (connection != NULL) wl_link(ctx, "job", wl_url(connection, wl_path("jobs", id, NULL)));
    return waiting(ctx, &(state){id, address.topic}, "is in the queue");
}

static wl_outcome resume(wl_ctx *ctx, const void *given, const void *suspended, const wl_event *event) {
    (void)given;
    const state *it = suspended;
    if (event->topic != NULL) {
        bool own = it->topic != NULL && strcmp(event->topic, it->topic) == 0;
        wl_log(ctx, WL_INFO, "called back", "topic", own ? "its own" : "another", NULL);
    }
    job found;
    const wl_response *response = wl_http(ctx, "jobs", (wl_request){.path = wl_path("jobs", it->id, NULL)});
    if (response != NULL && wl_read(ctx, response, &job_type, &found)) return outcome_of(ctx, &found, it);
    /* The job goes on whether it is watched or not. */
    if (wl_passes(ctx->failure)) return waiting(ctx, it, wl_format("cannot be looked at now (%s)", ctx->failure->code));
    return wl_failed(ctx);
}

/* Whether the service could be asked; what it has is in `found`. */
static bool WL_USED by_key(wl_ctx *ctx, const char *key, jobs *found) {
    const wl_response *response = wl_http(ctx, "jobs", (wl_request){.path = "/jobs", .query = {{"key", key}}});
    return response != NULL && wl_read(ctx, response, &jobs_type, found);
}

/* The job that was submitted under this key, in `id`, or NULL. One whose answer got lost is found by its key. */
static bool WL_USED submitted(wl_ctx *ctx, const char *key, const char **id) {
    *id = wl_text(wl_recorded_once(ctx, key, "job"));
    if (*id != NULL) return true;
    jobs found;
    if (!by_key(ctx, key, &found)) return false;
    if (found.jobs.count > 0) *id = ((const job *)found.jobs.items)->id;
    return true;
}

static wl_outcome rollback(wl_ctx *ctx, const void *given, const void *output) {
    (void)given, (void)output;
    wl_json *withdrawn = wl_array();
    /* After a job that failed, another attempt has another job. */
    for (const char *const *key = wl_start_keys(ctx); *key != NULL; key++) {
        const char *id;
        if (!submitted(ctx, *key, &id)) return wl_failed(ctx);
        if (id == NULL) continue;
        const wl_response *response = wl_http(ctx, "jobs", (wl_request){
            .method = "DELETE", .path = wl_path("jobs", id, NULL), .accept = {404},
        });
        if (response == NULL) return wl_failed(ctx);
        if (response->status != 404) wl_push(withdrawn, wl_string(id));
    }
    wl_json *ended = wl_object();
    wl_set(ended, "withdrawn", withdrawn);
    return wl_done_json(ctx, ended);
}

static wl_outcome find(wl_ctx *ctx, const void *given) {
    (void)given;
    jobs found;
    if (!by_key(ctx, ctx->idempotency_key, &found)) return wl_failed(ctx);
    if (found.jobs.count == 0) return wl_not_found();
    const job *it = found.jobs.items;
    return outcome_of(ctx, it, &(state){it->id, NULL});
}

static const wl_role roles[] = WL_ROLES(
    {.name = "jobs", .description = "The job service.", .requests = "GET,POST /jobs; GET,DELETE /jobs/*"}
);

static const wl_action actions[] = WL_ACTIONS(
    {
        .name = "submit", .description = "Submits a job and waits until it has ended.", .effect = WL_WRITE,
        .input = &input_type, .output = &output_type, .state = &state_type, .roles = roles,
        .start = start, .resume = resume, .rollback = rollback, .find = find,
    }
);

const wl_plugin windlass_plugin = {
    .name = "jobs", .version = "0.1.0", .description = "Work at a job service.", .actions = actions,
};
