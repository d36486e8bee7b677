#include "wasi_http.h"

#include "generated/plugin.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { READ_BYTES_MAX = 64 * 1024, BODY_BYTES_MAX = 8 * 1024 * 1024, HEADERS_MAX = 24 };
/* What `blocking-write-and-flush` takes at once. */
enum { WRITE_BYTES_MAX = 4096 };

static const uint64_t NANOSECONDS = 1000000;
static const uint64_t CONNECT_TIMEOUT_MS = 10000;

static plugin_string_t lent(const char *text) { return (plugin_string_t){(uint8_t *)text, strlen(text)}; }

static wl_wire_response refused(wl_transport error, const char *message) {
    return (wl_wire_response){.error = error, .message = message};
}

static wl_wire_response failed(const wasi_http_types_error_code_t *code) {
    switch (code->tag) {
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_DENIED: return refused(WL_DENIED, "the host denied the request");
    case WASI_HTTP_TYPES_ERROR_CODE_DESTINATION_IP_PROHIBITED: return refused(WL_DENIED, "the host does not allow this address");
    case WASI_HTTP_TYPES_ERROR_CODE_DNS_TIMEOUT:
    case WASI_HTTP_TYPES_ERROR_CODE_DNS_ERROR:
    case WASI_HTTP_TYPES_ERROR_CODE_DESTINATION_NOT_FOUND: return refused(WL_NOT_CONNECTED, "no connection: its name has no address");
    case WASI_HTTP_TYPES_ERROR_CODE_DESTINATION_UNAVAILABLE:
    case WASI_HTTP_TYPES_ERROR_CODE_DESTINATION_IP_UNROUTABLE: return refused(WL_NOT_CONNECTED, "no connection: it cannot be reached");
    case WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_REFUSED: return refused(WL_NOT_CONNECTED, "no connection: it refuses connections");
    case WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_TIMEOUT: return refused(WL_NOT_CONNECTED, "no connection: it does not answer");
    case WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_LIMIT_REACHED: return refused(WL_NOT_CONNECTED, "no connection: there are too many connections");
    case WASI_HTTP_TYPES_ERROR_CODE_TLS_PROTOCOL_ERROR:
    case WASI_HTTP_TYPES_ERROR_CODE_TLS_ALERT_RECEIVED: return refused(WL_NOT_CONNECTED, "no connection: no secure connection could be agreed on");
    case WASI_HTTP_TYPES_ERROR_CODE_TLS_CERTIFICATE_ERROR: return refused(WL_UNTRUSTED, "nothing was sent: the host does not trust the server's certificate");
    case WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_READ_TIMEOUT:
    case WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_WRITE_TIMEOUT:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_TIMEOUT: return refused(WL_NO_ANSWER, "no answer in time");
    /* What a connection that breaks in the middle looks like differs from host to host. */
    case WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_TERMINATED:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_INCOMPLETE:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_PROTOCOL_ERROR: return refused(WL_INTERRUPTED, "the connection ended before the answer was complete");
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_BODY_SIZE:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_HEADER_SECTION_SIZE:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_HEADER_SIZE:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_BODY_SIZE:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_TRAILER_SECTION_SIZE:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_TRAILER_SIZE: return refused(WL_TOO_LARGE, "a limit was passed");
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_TRANSFER_CODING:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_CONTENT_CODING:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_UPGRADE_FAILED:
    case WASI_HTTP_TYPES_ERROR_CODE_LOOP_DETECTED: return refused(WL_OTHER, "the answer cannot be read");
    case WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR:
        if (!code->val.internal_error.is_some) return refused(WL_OTHER, "the host could not send it");
        return refused(WL_OTHER, wl_copy((const char *)code->val.internal_error.val.ptr, code->val.internal_error.val.len));
    default: return refused(WL_BAD_REQUEST, "the request cannot be sent");
    }
}

static wasi_http_types_method_t method_of(const char *name) {
    static const struct {
        const char *name;
        uint8_t tag;
    } known[] = {
        {"GET", WASI_HTTP_TYPES_METHOD_GET}, {"HEAD", WASI_HTTP_TYPES_METHOD_HEAD}, {"POST", WASI_HTTP_TYPES_METHOD_POST},
        {"PUT", WASI_HTTP_TYPES_METHOD_PUT}, {"DELETE", WASI_HTTP_TYPES_METHOD_DELETE}, {"PATCH", WASI_HTTP_TYPES_METHOD_PATCH},
    };
    for (size_t at = 0; at < sizeof known / sizeof *known; at++) {
        if (strcmp(known[at].name, name) == 0) return (wasi_http_types_method_t){.tag = known[at].tag};
    }
    wasi_http_types_method_t other = {.tag = WASI_HTTP_TYPES_METHOD_OTHER};
    other.val.other = lent(name);
    return other;
}

/* The request's head; false and why not, where it is not a valid one. */
static bool make(const wl_wire_request *request, wasi_http_types_own_outgoing_request_t *made, const char **why) {
    wasi_http_types_tuple2_field_name_field_value_t list[HEADERS_MAX];
    size_t count = 0;
    for (; count < HEADERS_MAX - 1 && request->headers[count].name != NULL; count++) {
        plugin_string_t name = lent(request->headers[count].name), value = lent(request->headers[count].value);
        list[count] = (wasi_http_types_tuple2_field_name_field_value_t){name, {value.ptr, value.len}};
    }
    if (request->has_body) {
        plugin_string_t length = lent(wl_format("%zu", request->body_length));
        list[count++] = (wasi_http_types_tuple2_field_name_field_value_t){lent("content-length"), {length.ptr, length.len}};
    }
    wasi_http_types_list_tuple2_field_name_field_value_t entries = {list, count};
    wasi_http_types_own_fields_t fields;
    wasi_http_types_header_error_t header_error;
    *why = "a header is not allowed";
    if (!wasi_http_types_static_fields_from_list(&entries, &fields, &header_error)) return false;
    *made = wasi_http_types_constructor_outgoing_request(fields);

    bool secure = strncasecmp(request->url, "https://", 8) == 0;
    *why = "the connection's address is no http or https URL";
    if (!secure && strncasecmp(request->url, "http://", 7) != 0) return false;
    const char *authority = request->url + (secure ? 8 : 7);
    size_t length = strcspn(authority, "/?");
    const char *rest = authority + length;
    plugin_string_t host = {(uint8_t *)authority, length};
    plugin_string_t path = lent(*rest == '/' ? rest : wl_format("/%s", rest));
    wasi_http_types_method_t method = method_of(request->method);
    wasi_http_types_scheme_t scheme = {.tag = secure ? WASI_HTTP_TYPES_SCHEME_HTTPS : WASI_HTTP_TYPES_SCHEME_HTTP};
    wasi_http_types_borrow_outgoing_request_t it = wasi_http_types_borrow_outgoing_request(*made);
    *why = "the method, the address or the path is not a valid one";
    return wasi_http_types_method_outgoing_request_set_method(it, &method)
        && wasi_http_types_method_outgoing_request_set_scheme(it, &scheme)
        && wasi_http_types_method_outgoing_request_set_authority(it, &host)
        && wasi_http_types_method_outgoing_request_set_path_with_query(it, &path);
}

static wasi_http_types_own_request_options_t options_of(uint64_t timeout_ms) {
    wasi_http_types_own_request_options_t options = wasi_http_types_constructor_request_options();
    wasi_http_types_borrow_request_options_t it = wasi_http_types_borrow_request_options(options);
    uint64_t connect = CONNECT_TIMEOUT_MS * NANOSECONDS, read = timeout_ms * NANOSECONDS;
    /* A host without these options has its own timeouts. */
    wasi_http_types_method_request_options_set_connect_timeout(it, &connect);
    wasi_http_types_method_request_options_set_first_byte_timeout(it, &read);
    wasi_http_types_method_request_options_set_between_bytes_timeout(it, &read);
    return options;
}

static bool write_body(wasi_http_types_own_outgoing_body_t body, const char *bytes, size_t length) {
    if (length == 0) return true;
    wasi_http_types_own_output_stream_t stream;
    if (!wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream)) return false;
    bool written = true;
    for (size_t at = 0; written && at < length; at += WRITE_BYTES_MAX) {
        size_t part = length - at < WRITE_BYTES_MAX ? length - at : WRITE_BYTES_MAX;
        plugin_list_u8_t chunk = {(uint8_t *)bytes + at, part};
        wasi_io_streams_stream_error_t error;
        written = wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream), &chunk, &error);
    }
    wasi_io_streams_output_stream_drop_own(stream);
    return written;
}

static wl_wire_response stream_failure(wasi_io_streams_own_error_t error) {
    wasi_http_types_error_code_t code;
    if (wasi_http_types_http_error_code(wasi_io_error_borrow_error(error), &code)) return failed(&code);
    plugin_string_t said;
    wasi_io_error_method_error_to_debug_string(wasi_io_error_borrow_error(error), &said);
    return refused(WL_INTERRUPTED, wl_copy((const char *)said.ptr, said.len));
}

static wl_wire_response receive(wasi_http_types_own_incoming_response_t incoming) {
    wasi_http_types_borrow_incoming_response_t it = wasi_http_types_borrow_incoming_response(incoming);
    wl_wire_response response = {.answered = true, .status = wasi_http_types_method_incoming_response_status(it)};
    wasi_http_types_own_headers_t fields = wasi_http_types_method_incoming_response_headers(it);
    wasi_http_types_list_tuple2_field_name_field_value_t entries;
    wasi_http_types_method_fields_entries(wasi_http_types_borrow_fields(fields), &entries);
    wl_pair *headers = wl_alloc((entries.len + 1) * sizeof *headers);
    for (size_t at = 0; at < entries.len; at++) {
        headers[at].name = wl_copy((const char *)entries.ptr[at].f0.ptr, entries.ptr[at].f0.len);
        headers[at].value = wl_copy((const char *)entries.ptr[at].f1.ptr, entries.ptr[at].f1.len);
    }
    response.headers = headers;
    wasi_http_types_own_incoming_body_t body;
    wasi_http_types_own_input_stream_t stream;
    if (!wasi_http_types_method_incoming_response_consume(it, &body)
        || !wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(body), &stream)) {
        return refused(WL_OTHER, "the answer's body was taken already");
    }
    wl_buffer read = {0};
    wl_append(&read, "", 0);
    for (;;) {
        plugin_list_u8_t chunk;
        wasi_io_streams_stream_error_t error;
        if (!wasi_io_streams_method_input_stream_blocking_read(wasi_io_streams_borrow_input_stream(stream), READ_BYTES_MAX, &chunk, &error)) {
            if (error.tag == WASI_IO_STREAMS_STREAM_ERROR_CLOSED) break;
            return stream_failure(error.val.last_operation_failed);
        }
        wl_append(&read, (const char *)chunk.ptr, chunk.len);
        plugin_list_u8_free(&chunk);
        if (read.length > BODY_BYTES_MAX) return refused(WL_TOO_LARGE, wl_format("the answer has more than %d bytes", BODY_BYTES_MAX));
    }
    /* Children first. */
    wasi_io_streams_input_stream_drop_own(stream);
    wasi_http_types_incoming_body_drop_own(body);
    wasi_http_types_fields_drop_own(fields);
    wasi_http_types_incoming_response_drop_own(incoming);
    response.body = read.text;
    response.body_length = read.length;
    return response;
}

wl_wire_response wl_wasi_send(const wl_wire_request *request) {
    wasi_http_types_own_outgoing_request_t outgoing;
    wasi_http_types_own_outgoing_body_t body;
    const char *why;
    if (!make(request, &outgoing, &why)) return refused(WL_BAD_REQUEST, why);
    /* A body that is asked for and left empty is sent in chunks, which some servers refuse. */
    if (request->has_body && !wasi_http_types_method_outgoing_request_body(wasi_http_types_borrow_outgoing_request(outgoing), &body)) {
        return refused(WL_OTHER, "the request's body was taken already");
    }
    wasi_http_types_own_request_options_t options = options_of(request->timeout_ms);
    wasi_http_types_own_future_incoming_response_t pending;
    wasi_http_types_error_code_t code;
    if (!wasi_http_outgoing_handler_handle(outgoing, &options, &pending, &code)) return failed(&code);
    /* The host answers early when it refuses or the connection breaks, and says why there, not on the stream. */
    if (!request->has_body) {
        /* There is nothing to write. */
    } else if (write_body(body, request->body, request->body_length)) {
        if (!wasi_http_types_static_outgoing_body_finish(body, NULL, &code)) return failed(&code);
    } else {
        wasi_http_types_outgoing_body_drop_own(body);
    }
    wasi_http_types_borrow_future_incoming_response_t it = wasi_http_types_borrow_future_incoming_response(pending);
    wasi_http_types_own_pollable_t ready = wasi_http_types_method_future_incoming_response_subscribe(it);
    wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(ready));
    wasi_io_poll_pollable_drop_own(ready);
    wasi_http_types_result_result_own_incoming_response_error_code_void_t answer;
    if (!wasi_http_types_method_future_incoming_response_get(it, &answer) || answer.is_err) return refused(WL_OTHER, "the host gave no answer");
    if (answer.val.ok.is_err) return failed(&answer.val.ok.val.err);
    wl_wire_response response = receive(answer.val.ok.val.ok);
    wasi_http_types_future_incoming_response_drop_own(pending);
    return response;
}
