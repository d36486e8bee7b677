/* Memory, text and JSON. */

#include "internal.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Deep enough for any document that a person writes, and far from the end of the stack. */
enum { DEPTH_MAX = 200 };
/* Below it a double is exactly the whole number that was written. */
static const double EXACT_MAX = 9007199254740992.0;

typedef struct block {
    struct block *next;
} block;

static block *blocks;

void *wl_alloc(size_t bytes) {
    block *made = calloc(1, sizeof(block) + 16 + bytes);
    if (made == NULL) abort();
    made->next = blocks;
    blocks = made;
    return (char *)made + 16;
}

void wl_release_all(void) {
    while (blocks != NULL) {
        block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
}

char *wl_copy(const char *text, size_t length) {
    char *copy = wl_alloc(length + 1);
    if (length > 0) memcpy(copy, text, length);
    return copy;
}

static char *formatted(const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    if (length < 0) abort();
    char *text = wl_alloc((size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

char *wl_format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = formatted(format, arguments);
    va_end(arguments);
    return text;
}

wl_failure *wl_failure_of(wl_class kind, const char *code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    wl_failure *failure = wl_alloc(sizeof *failure);
    failure->kind = kind;
    failure->code = code;
    failure->message = formatted(format, arguments);
    va_end(arguments);
    return failure;
}

void wl_append(wl_buffer *buffer, const char *text, size_t length) {
    if (buffer->length + length + 1 > buffer->room) {
        size_t room = 2 * (buffer->length + length) + 64;
        char *larger = wl_alloc(room);
        if (buffer->length > 0) memcpy(larger, buffer->text, buffer->length);
        buffer->text = larger;
        buffer->room = room;
    }
    if (length > 0) memcpy(buffer->text + buffer->length, text, length);
    buffer->length += length;
    buffer->text[buffer->length] = '\0';
}

void wl_append_text(wl_buffer *buffer, const char *text) { wl_append(buffer, text, strlen(text)); }

/* ---- Values --------------------------------------------------------------------------------------------------------- */

static wl_json *value_of(wl_json_kind kind) {
    wl_json *value = wl_alloc(sizeof *value);
    value->kind = kind;
    return value;
}

wl_json *wl_object(void) { return value_of(OBJECT); }
wl_json *wl_array(void) { return value_of(ARRAY); }
wl_json *wl_null(void) { return value_of(NOTHING); }

wl_json *wl_string(const char *text) {
    wl_json *value = value_of(STRING);
    value->length = strlen(text);
    value->text = wl_copy(text, value->length);
    return value;
}

wl_json *wl_integer(int64_t integer) {
    wl_json *value = value_of(INTEGER);
    value->integer = integer;
    return value;
}

wl_json *wl_number(double number) {
    wl_json *value = value_of(NUMBER);
    value->number = number;
    return value;
}

wl_json *wl_boolean(bool boolean) {
    wl_json *value = value_of(BOOLEAN);
    value->boolean = boolean;
    return value;
}

static void add(wl_json *list, const char *name, wl_json *value) {
    if (list->count == list->room) {
        size_t room = 2 * list->room + 4;
        wl_json **items = wl_alloc(room * sizeof *items);
        const char **names = wl_alloc(room * sizeof *names);
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof *items);
            memcpy(names, list->names, list->count * sizeof *names);
        }
        list->items = items;
        list->names = names;
        list->room = room;
    }
    list->names[list->count] = name;
    list->items[list->count++] = value;
}

void wl_push(wl_json *array, wl_json *value) { add(array, NULL, value); }

void wl_set(wl_json *object, const char *name, wl_json *value) {
    for (size_t at = 0; at < object->count; at++) {
        if (strcmp(object->names[at], name) == 0) {
            object->items[at] = value;
            return;
        }
    }
    add(object, wl_copy(name, strlen(name)), value);
}

wl_json *wl_get(const wl_json *object, const char *name) {
    if (object == NULL || object->kind != OBJECT) return NULL;
    for (size_t at = 0; at < object->count; at++) {
        if (strcmp(object->names[at], name) == 0) return object->items[at];
    }
    return NULL;
}

wl_json *wl_at(const wl_json *value, size_t index) {
    return value != NULL && index < value->count ? value->items[index] : NULL;
}

const char *wl_name_at(const wl_json *object, size_t index) {
    return object != NULL && object->kind == OBJECT && index < object->count ? object->names[index] : NULL;
}

size_t wl_count(const wl_json *value) { return value == NULL ? 0 : value->count; }

const char *wl_text(const wl_json *value) { return value != NULL && value->kind == STRING ? value->text : NULL; }

static bool is_exact(double number) { return number == floor(number) && fabs(number) < EXACT_MAX; }

bool wl_as_integer(const wl_json *value, int64_t *into) {
    if (value == NULL) return false;
    if (value->kind == INTEGER) *into = value->integer;
    else if (value->kind == NUMBER && is_exact(value->number)) *into = (int64_t)value->number;
    else return false;
    return true;
}

bool wl_as_number(const wl_json *value, double *into) {
    if (value == NULL || (value->kind != INTEGER && value->kind != NUMBER)) return false;
    *into = value->kind == INTEGER ? (double)value->integer : value->number;
    return true;
}

bool wl_as_boolean(const wl_json *value, bool *into) {
    if (value == NULL || value->kind != BOOLEAN) return false;
    *into = value->boolean;
    return true;
}

bool wl_is_array(const wl_json *value) { return value != NULL && value->kind == ARRAY; }
bool wl_is_null(const wl_json *value) { return value == NULL || value->kind == NOTHING; }

/* ---- Reading -------------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *at, *begin, *end;
    const char *problem;
    int depth;
} parser;

static wl_json *parse_value(parser *it);

static wl_json *wrong(parser *it, const char *problem) {
    if (it->problem == NULL) it->problem = wl_format("%s at byte %zu", problem, (size_t)(it->at - it->begin));
    return NULL;
}

static void skip_space(parser *it) {
    while (it->at < it->end && strchr(" \t\r\n", *it->at) != NULL && *it->at != '\0') it->at++;
}

static bool take(parser *it, char expected) {
    skip_space(it);
    if (it->at == it->end || *it->at != expected) return false;
    it->at++;
    return true;
}

static int hex4(parser *it) {
    int value = 0;
    for (int digit = 0; digit < 4; digit++) {
        if (it->at == it->end) return -1;
        char c = *it->at++;
        if (c >= '0' && c <= '9') value = 16 * value + (c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f') value = 16 * value + ((c | 32) - 'a' + 10);
        else return -1;
    }
    return value;
}

static void append_utf8(wl_buffer *buffer, uint32_t code) {
    char bytes[4];
    size_t length;
    if (code < 0x80) {
        bytes[0] = (char)code;
        length = 1;
    } else if (code < 0x800) {
        bytes[0] = (char)(0xc0 | code >> 6);
        bytes[1] = (char)(0x80 | (code & 0x3f));
        length = 2;
    } else if (code < 0x10000) {
        bytes[0] = (char)(0xe0 | code >> 12);
        bytes[1] = (char)(0x80 | (code >> 6 & 0x3f));
        bytes[2] = (char)(0x80 | (code & 0x3f));
        length = 3;
    } else {
        bytes[0] = (char)(0xf0 | code >> 18);
        bytes[1] = (char)(0x80 | (code >> 12 & 0x3f));
        bytes[2] = (char)(0x80 | (code >> 6 & 0x3f));
        bytes[3] = (char)(0x80 | (code & 0x3f));
        length = 4;
    }
    wl_append(buffer, bytes, length);
}

static bool parse_escape(parser *it, wl_buffer *buffer) {
    if (it->at == it->end) return false;
    char c = *it->at++;
    const char *from = "\"\\/bfnrt", *to = "\"\\/\b\f\n\r\t";
    const char *found = c == '\0' ? NULL : strchr(from, c);
    if (found != NULL) {
        wl_append(buffer, to + (found - from), 1);
        return true;
    }
    if (c != 'u') return false;
    int code = hex4(it);
    /* A C string ends at NUL. */
    if (code <= 0) return false;
    if (code >= 0xd800 && code <= 0xdbff) {
        if (it->end - it->at < 6 || it->at[0] != '\\' || it->at[1] != 'u') return false;
        it->at += 2;
        int low = hex4(it);
        if (low < 0xdc00 || low > 0xdfff) return false;
        append_utf8(buffer, 0x10000u + (((uint32_t)code - 0xd800u) << 10) + ((uint32_t)low - 0xdc00u));
        return true;
    }
    if (code >= 0xdc00 && code <= 0xdfff) return false;
    append_utf8(buffer, (uint32_t)code);
    return true;
}

static wl_json *parse_string(parser *it) {
    wl_buffer buffer = {0};
    wl_append(&buffer, "", 0);
    while (it->at < it->end && *it->at != '"') {
        if ((unsigned char)*it->at < 0x20) return wrong(it, "a control character in a string");
        if (*it->at == '\\') {
            it->at++;
            if (!parse_escape(it, &buffer)) return wrong(it, "an escape that is none");
        } else {
            wl_append(&buffer, it->at++, 1);
        }
    }
    if (it->at == it->end) return wrong(it, "a string without an end");
    it->at++;
    wl_json *value = value_of(STRING);
    value->text = buffer.text;
    value->length = buffer.length;
    return value;
}

static wl_json *parse_number(parser *it) {
    const char *begin = it->at;
    bool whole = true;
    if (it->at < it->end && *it->at == '-') it->at++;
    const char *digits = it->at;
    while (it->at < it->end && *it->at >= '0' && *it->at <= '9') it->at++;
    if (it->at == digits || (*digits == '0' && it->at > digits + 1)) return wrong(it, "what is no JSON");
    while (it->at < it->end && strchr("0123456789.eE+-", *it->at) != NULL && *it->at != '\0') {
        whole = false;
        it->at++;
    }
    char *text = wl_copy(begin, (size_t)(it->at - begin));
    char *rest;
    double number = strtod(text, &rest);
    if (*rest != '\0' || !isfinite(number)) return wrong(it, "a number that is none");
    if (whole) {
        errno = 0;
        int64_t integer = strtoll(text, NULL, 10);
        if (errno == 0) return wl_integer(integer);
    }
    return is_exact(number) ? wl_integer((int64_t)number) : wl_number(number);
}

static wl_json *parse_list(parser *it, bool object) {
    if (++it->depth > DEPTH_MAX) return wrong(it, "too many levels");
    char close = object ? '}' : ']';
    wl_json *list = object ? wl_object() : wl_array();
    if (!take(it, close)) {
        do {
            const char *name = NULL;
            if (object) {
                if (!take(it, '"')) return wrong(it, "a field without a name");
                wl_json *string = parse_string(it);
                if (string == NULL) return NULL;
                name = string->text;
                if (!take(it, ':')) return wrong(it, "a field without a value");
            }
            wl_json *value = parse_value(it);
            if (value == NULL) return NULL;
            if (object) wl_set(list, name, value);
            else wl_push(list, value);
        } while (take(it, ','));
        if (!take(it, close)) return wrong(it, object ? "an object without an end" : "an array without an end");
    }
    it->depth--;
    return list;
}

static wl_json *parse_value(parser *it) {
    skip_space(it);
    const struct {
        const char *word;
        wl_json *(*make)(void);
    } words[] = {{"null", wl_null}, {"true", NULL}, {"false", NULL}};
    for (size_t at = 0; at < 3; at++) {
        size_t length = strlen(words[at].word);
        if ((size_t)(it->end - it->at) >= length && memcmp(it->at, words[at].word, length) == 0) {
            it->at += length;
            return words[at].make != NULL ? words[at].make() : wl_boolean(at == 1);
        }
    }
    if (take(it, '"')) return parse_string(it);
    if (take(it, '{')) return parse_list(it, true);
    if (take(it, '[')) return parse_list(it, false);
    return parse_number(it);
}

wl_json *wl_parse(const char *text, size_t length, const char **problem) {
    parser it = {.at = text, .begin = text, .end = text + length};
    wl_json *value = parse_value(&it);
    skip_space(&it);
    if (value != NULL && it.at != it.end) value = wrong(&it, "more after the end");
    if (problem != NULL) *problem = it.problem;
    return value;
}

/* ---- Writing -------------------------------------------------------------------------------------------------------- */

static void write_string(wl_buffer *buffer, const char *text) {
    wl_append(buffer, "\"", 1);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') wl_append(buffer, "\\", 1);
        if (c < 0x20) wl_append_text(buffer, wl_format("\\u%04x", c));
        else wl_append(buffer, text, 1);
    }
    wl_append(buffer, "\"", 1);
}

static void write_value(wl_buffer *buffer, const wl_json *value) {
    switch (value->kind) {
    case NOTHING: wl_append_text(buffer, "null"); break;
    case BOOLEAN: wl_append_text(buffer, value->boolean ? "true" : "false"); break;
    case INTEGER: wl_append_text(buffer, wl_format("%lld", (long long)value->integer)); break;
    case NUMBER: wl_append_text(buffer, isfinite(value->number) ? wl_format("%.17g", value->number) : "null"); break;
    case STRING: write_string(buffer, value->text); break;
    case ARRAY:
    case OBJECT:
        wl_append_text(buffer, value->kind == ARRAY ? "[" : "{");
        for (size_t at = 0; at < value->count; at++) {
            if (at > 0) wl_append(buffer, ",", 1);
            if (value->kind == OBJECT) {
                write_string(buffer, value->names[at]);
                wl_append(buffer, ":", 1);
            }
            write_value(buffer, value->items[at]);
        }
        wl_append_text(buffer, value->kind == ARRAY ? "]" : "}");
    }
}

char *wl_write(const wl_json *value) {
    wl_buffer buffer = {0};
    write_value(&buffer, value);
    return buffer.text;
}
