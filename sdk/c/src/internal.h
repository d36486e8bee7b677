/* What the parts of the SDK share: the host behind a context, and the way from a call to a function. */
#ifndef WINDLASS_INTERNAL_H
#define WINDLASS_INTERNAL_H

#include "windlass.h"

typedef enum {
    WL_DENIED, WL_NOT_CONNECTED, WL_UNTRUSTED, WL_INTERRUPTED, WL_NO_ANSWER, WL_TOO_LARGE, WL_BAD_REQUEST, WL_OTHER
} wl_transport;

/* A request, complete. */
typedef struct {
    const char *method;
    const char *url;
    const wl_pair *headers;
    const char *body;
    size_t body_length;
    bool has_body;
    uint64_t timeout_ms;
} wl_wire_request;

/* A response, or why there is none. */
typedef struct {
    bool answered;
    int status;
    const wl_pair *headers;
    const char *body;
    size_t body_length;
    wl_transport error;
    const char *message;
} wl_wire_response;

/* The host as the SDK uses it: the component's imports, or a test's. */
struct wl_host {
    void (*log)(void *self, wl_level level, const char *message, const wl_pair *fields);
    void (*status)(void *self, const char *text);
    void (*percent)(void *self, unsigned percent);
    void (*link)(void *self, const char *title, const char *url);
    const wl_connection *(*connection)(void *self, const char *role);
    /* Who binds a connection to a role and how, where it is no step of a workflow. */
    const char *(*binds)(const char *role);
    /* Whether it was done before: then what it came to. */
    bool (*begin)(void *self, const char *name, const char **recorded, size_t *length, uintptr_t *slot);
    void (*finish)(void *self, uintptr_t slot, const char *value, size_t length);
    void (*drop)(void *self, uintptr_t slot);
    wl_callback (*callback)(void *self);
    wl_wire_response (*send)(void *self, const wl_wire_request *request);
    uint64_t (*now)(void *self);
    void *self;
};

/* A call as it crosses the component's boundary. */
typedef struct {
    const char *action;
    const char *input;
    size_t input_length;
    /* NULL if there is none. */
    const char *output;
    size_t output_length;
    /* What it suspended with; NULL if there is none. */
    const char *state;
    size_t state_length;
    wl_event event;
    wl_ctx ctx;
} wl_call;

/* Ends the program with a word for whoever builds it: there is no host to tell yet. */
void wl_refuse(const char *problem);
/* The last thing that failed in a component; NULL if nothing did. */
const wl_failure *wl_last_failure(void);
char *wl_manifest(const wl_plugin *plugin);
wl_outcome wl_start_call(const wl_plugin *plugin, wl_call *call);
wl_outcome wl_resume_call(const wl_plugin *plugin, wl_call *call);
wl_outcome wl_cancel_call(const wl_plugin *plugin, wl_call *call);
wl_outcome wl_rollback_call(const wl_plugin *plugin, wl_call *call);
wl_outcome wl_find_call(const wl_plugin *plugin, wl_call *call);

/* A value of JSON. */
typedef enum { NOTHING, BOOLEAN, INTEGER, NUMBER, STRING, ARRAY, OBJECT } wl_json_kind;

struct wl_json {
    wl_json_kind kind;
    bool boolean;
    int64_t integer;
    double number;
    const char *text;
    size_t length;
    /* Items of an array, or of an object with their names. */
    wl_json **items;
    const char **names;
    size_t count, room;
};

/* Text of a length, ended with NUL. */
char *wl_copy(const char *text, size_t length);
/* Text that grows. */
typedef struct {
    char *text;
    size_t length, room;
} wl_buffer;
void wl_append(wl_buffer *buffer, const char *text, size_t length);
void wl_append_text(wl_buffer *buffer, const char *text);

wl_json *wl_schema(const wl_type *type);
/* What is wrong, with its place; NULL if nothing is. */
const char *wl_decode(const wl_type *type, const wl_json *value, void *into);
wl_json *wl_encode(const wl_type *type, const void *from);

#endif
