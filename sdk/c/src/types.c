/* Structs as JSON Schemas, and reading and writing JSON with them. */

#include "internal.h"

#include <string.h>

static wl_json *parsed(const char *text) { return wl_parse(text, strlen(text), NULL); }

static const char *const KINDS[] = {
    [WL_TEXT] = "WL_TEXT", [WL_INTEGER] = "WL_INTEGER", [WL_NUMBER] = "WL_NUMBER", [WL_BOOLEAN] = "WL_BOOLEAN",
    [WL_STRUCT] = "WL_STRUCT", [WL_LIST] = "WL_LIST", [WL_ANY] = "WL_ANY",
};

/* An item of a list as a field without a name; what else the list's field says of its values is said of each item. */
static wl_field item_of(const wl_field *list) {
    wl_field item = *list;
    item.name = "";
    item.kind = list->of != NULL ? WL_STRUCT : list->items;
    item.description = item.otherwise = NULL;
    return item;
}

/* What a value of the field takes in memory. */
static size_t field_size(const wl_field *field) {
    static const size_t sizes[] = {
        [WL_TEXT] = sizeof(const char *), [WL_INTEGER] = sizeof(int64_t), [WL_NUMBER] = sizeof(double),
        [WL_BOOLEAN] = sizeof(bool), [WL_LIST] = sizeof(wl_list), [WL_ANY] = sizeof(wl_json *),
    };
    return field->kind == WL_STRUCT ? field->of->size : sizes[field->kind];
}

static const char *decode_field(const wl_field *field, const wl_json *value, void *place);

/* Text as it is written in C. */
static char *literal(const char *text) {
    wl_buffer it = {0};
    wl_append(&it, "\"", 1);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') wl_append(&it, "\\", 1);
        wl_append(&it, text, 1);
    }
    wl_append(&it, "\"", 1);
    return it.text;
}

/* Reads the default, or tells what is wrong with it: or whoever gave nothing would be told to have given it. */
static const char *default_of(const wl_field *field, wl_json **value) {
    const char *given = literal(field->otherwise);
    *value = parsed(field->otherwise);
    if (field->kind == WL_TEXT && (*value == NULL || (*value)->kind != STRING)) {
        return wl_format("the default of `%s` is JSON, where a text has quotes of its own: write `.otherwise = %s` and not `.otherwise = %s`", field->name, literal(wl_write(wl_string(field->otherwise))), given);
    }
    if (*value == NULL) return wl_format("the default of `%s` is no JSON: `.otherwise = %s`", field->name, given);
    const char *problem = decode_field(field, *value, wl_alloc(field_size(field)));
    return problem != NULL ? wl_format("the default of `%s` is none that the field takes, `.otherwise = %s`: %s", field->name, given, problem) : NULL;
}

/* What was meant as several and is one, or has a blank at an end. Beside a bar, a comma is part of a choice. */
static const char *wrong_choices(const wl_field *field) {
    bool is_one = strchr(field->choices, '|') == NULL;
    bool is_wrong = is_one && strchr(field->choices, ',') != NULL;
    for (const char *at = field->choices; at != NULL && !is_wrong;) {
        const char *bar = strchr(at, '|');
        size_t length = bar != NULL ? (size_t)(bar - at) : strlen(at);
        is_wrong = length > 0 && (at[0] == ' ' || at[length - 1] == ' ');
        at = bar != NULL ? bar + 1 : NULL;
    }
    if (!is_wrong) return NULL;
    return wl_format("the choices of `%s` are separated by `|`, without blanks: write `.choices = \"a|b\"` and not `.choices = %s`", field->name, literal(field->choices));
}

static const char *wrong_bound(const wl_field *field, const char *member, const char *bound) {
    double number;
    if (bound == NULL || wl_as_number(parsed(bound), &number)) return NULL;
    return wl_format("the `.%s` of `%s` is a number in quotes: write `.%s = \"1\"` and not `.%s = %s`", member, field->name, member, member, literal(bound));
}

/* What the table says of the field that does not belong together; NULL if all does. */
static const char *wrong_field(const wl_field *field) {
    bool is_list = field->kind == WL_LIST;
    wl_kind kind = !is_list ? field->kind : field->of != NULL ? WL_STRUCT : field->items;
    if (field->of == NULL && (kind == WL_STRUCT || kind == WL_LIST)) return wl_format("the %s `%s` has no `.of`", is_list ? "list" : "struct", field->name);
    bool is_text = kind == WL_TEXT, is_number = kind == WL_INTEGER || kind == WL_NUMBER;
    const char *misplaced = field->min_length > 0 && !is_text  ? "min_length"
                          : field->choices != NULL && !is_text  ? "choices"
                          : field->minimum != NULL && !is_number ? "minimum"
                          : field->maximum != NULL && !is_number ? "maximum"
                                                                 : NULL;
    if (misplaced != NULL) {
        const char *taken = is_text ? "; a text takes `.min_length` and `.choices`" : is_number ? "; a number takes `.minimum` and `.maximum`" : "";
        return wl_format("`%s` is a %s%s and takes no `.%s`%s", field->name, is_list ? "WL_LIST of " : "", KINDS[kind], misplaced, taken);
    }
    const char *problem = wrong_bound(field, "minimum", field->minimum);
    if (problem == NULL) problem = wrong_bound(field, "maximum", field->maximum);
    if (problem == NULL && field->choices != NULL) problem = wrong_choices(field);
    return problem;
}

static wl_json *field_schema(const wl_field *field) {
    static const char *const names[] = {"string", "integer", "number", "boolean", "object", "array", NULL};
    wl_json *schema = field->kind == WL_STRUCT ? wl_schema(field->of) : wl_object();
    bool is_list = field->kind == WL_LIST;
    if (field->choices != NULL && !is_list) {
        wl_json *choices = wl_array();
        for (const char *at = field->choices; at != NULL;) {
            const char *bar = strchr(at, '|');
            wl_push(choices, wl_string(wl_copy(at, bar != NULL ? (size_t)(bar - at) : strlen(at))));
            at = bar != NULL ? bar + 1 : NULL;
        }
        wl_set(schema, "enum", choices);
    } else if (field->kind != WL_STRUCT && names[field->kind] != NULL) {
        wl_set(schema, "type", wl_string(names[field->kind]));
    }
    if (is_list) {
        wl_field item = item_of(field);
        wl_set(schema, "items", field_schema(&item));
    }
    if (field->description != NULL) wl_set(schema, "description", wl_string(field->description));
    if (field->min_length > 0 && !is_list) wl_set(schema, "minLength", wl_integer((int64_t)field->min_length));
    if (field->minimum != NULL && !is_list) wl_set(schema, "minimum", parsed(field->minimum));
    if (field->maximum != NULL && !is_list) wl_set(schema, "maximum", parsed(field->maximum));
    if (field->otherwise != NULL) {
        wl_json *value;
        const char *problem = default_of(field, &value);
        if (problem != NULL) wl_refuse(problem);
        wl_set(schema, "default", value);
    }
    return schema;
}

wl_json *wl_schema(const wl_type *type) {
    wl_json *properties = wl_object(), *required = wl_array(), *schema = wl_object();
    for (size_t at = 0; at < type->count; at++) {
        const wl_field *field = &type->fields[at];
        const char *problem = wrong_field(field);
        if (problem != NULL) wl_refuse(problem);
        wl_set(properties, field->name, field_schema(field));
        if (!field->optional && field->otherwise == NULL) wl_push(required, wl_string(field->name));
    }
    wl_set(schema, "type", wl_string("object"));
    wl_set(schema, "properties", properties);
    wl_set(schema, "required", required);
    if (!type->open) wl_set(schema, "additionalProperties", wl_boolean(false));
    return schema;
}

static bool is_choice(const char *choices, const char *text) {
    size_t length = strlen(text);
    for (const char *at = choices; at != NULL;) {
        const char *bar = strchr(at, '|');
        size_t its = bar != NULL ? (size_t)(bar - at) : strlen(at);
        if (its == length && memcmp(at, text, length) == 0) return true;
        at = bar != NULL ? bar + 1 : NULL;
    }
    return false;
}

static size_t characters(const char *text) {
    size_t count = 0;
    for (; *text != '\0'; text++) count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

/* What is wrong with a struct itself begins with a colon; what is wrong within it, with the place. */
static const char *decode_struct(const wl_type *type, const wl_json *value, void *into);

static const char *inside(const wl_field *field, const char *problem) {
    if (problem == NULL) return NULL;
    return wl_format(*problem == '[' || *problem == ':' ? "%s%s" : "%s.%s", field->name, problem);
}

static const char *no(const wl_field *field, const wl_json *value, const char *what) {
    return wl_format("%s: %.60s is no %s", field->name, wl_write(value), what);
}

/* A double would not tell whole numbers apart that are as near to each other as large ones are. */
static bool is_less(const wl_json *one, const wl_json *other) {
    int64_t whole, its;
    if (wl_as_integer(one, &whole) && wl_as_integer(other, &its)) return whole < its;
    double number, bound;
    return wl_as_number(one, &number) && wl_as_number(other, &bound) && number < bound;
}

static const char *bounds(const wl_field *field, const wl_json *value) {
    if (field->minimum != NULL && is_less(value, parsed(field->minimum))) return wl_format("%s: is less than %s", field->name, field->minimum);
    if (field->maximum != NULL && is_less(parsed(field->maximum), value)) return wl_format("%s: is more than %s", field->name, field->maximum);
    return NULL;
}

static const char *decode_list(const wl_field *field, const wl_json *value, wl_list *list) {
    wl_field item = item_of(field);
    size_t size = field_size(&item);
    list->count = value->count;
    list->items = wl_alloc(value->count * size + 1);
    for (size_t at = 0; at < value->count; at++) {
        const char *problem = decode_field(&item, value->items[at], (char *)list->items + at * size);
        if (problem != NULL) return inside(field, wl_format("[%zu]%s", at, problem));
    }
    return NULL;
}

static const char *decode_field(const wl_field *field, const wl_json *value, void *place) {
    switch (field->kind) {
    case WL_TEXT:
        if (value->kind != STRING) return no(field, value, "string");
        if (field->choices != NULL && !is_choice(field->choices, value->text)) {
            return wl_format("%s: %.60s is none of %s", field->name, wl_write(value), field->choices);
        }
        if (characters(value->text) < field->min_length) return wl_format("%s: has fewer than %zu characters", field->name, field->min_length);
        *(const char **)place = value->text;
        return NULL;
    case WL_INTEGER:
        if (!wl_as_integer(value, place)) return no(field, value, "integer");
        return bounds(field, value);
    case WL_NUMBER:
        if (!wl_as_number(value, place)) return no(field, value, "number");
        return bounds(field, value);
    case WL_BOOLEAN: return wl_as_boolean(value, place) ? NULL : no(field, value, "boolean");
    case WL_STRUCT: return inside(field, decode_struct(field->of, value, place));
    case WL_LIST:
        if (!wl_is_array(value)) return no(field, value, "array");
        return decode_list(field, value, place);
    case WL_ANY: *(const wl_json **)place = value; return NULL;
    }
    return NULL;
}

static const char *decode_struct(const wl_type *type, const wl_json *value, void *into) {
    if (value == NULL || value->kind != OBJECT) return wl_format(": %.60s is no object", value == NULL ? "nothing" : wl_write(value));
    memset(into, 0, type->size);
    for (size_t at = 0; at < type->count; at++) {
        const wl_field *field = &type->fields[at];
        /* What another system answers is in no manifest, so that nothing has looked at it yet. */
        const char *wrong = wrong_field(field);
        if (wrong != NULL) return wl_format(": %s", wrong);
        const wl_json *given = wl_get(value, field->name);
        /* Other systems say null where there is nothing. */
        bool may_be_absent = field->optional || field->otherwise != NULL;
        if (type->open && may_be_absent && field->kind != WL_ANY && given != NULL && given->kind == NOTHING) given = NULL;
        if (given == NULL && field->otherwise != NULL) {
            wl_json *value;
            const char *problem = default_of(field, &value);
            if (problem != NULL) return wl_format(": %s", problem);
            given = value;
        }
        if (given == NULL) {
            if (!field->optional) return wl_format(": the field `%s` is missing", field->name);
            continue;
        }
        const char *problem = decode_field(field, given, (char *)into + field->offset);
        if (problem != NULL) return problem;
    }
    for (size_t at = 0; !type->open && at < value->count; at++) {
        bool known = false;
        for (size_t field = 0; field < type->count; field++) known = known || strcmp(type->fields[field].name, value->names[at]) == 0;
        if (!known) return wl_format(": there is no field `%s`", value->names[at]);
    }
    return NULL;
}

const char *wl_decode(const wl_type *type, const wl_json *value, void *into) {
    const char *problem = decode_struct(type, value, into);
    return problem != NULL && *problem == ':' ? problem + 2 : problem;
}

/* NULL for what was left out. */
static wl_json *encode_field(const wl_field *field, const void *place) {
    switch (field->kind) {
    case WL_TEXT: return *(const char *const *)place != NULL ? wl_string(*(const char *const *)place) : NULL;
    case WL_INTEGER: return wl_integer(*(const int64_t *)place);
    case WL_NUMBER: return wl_number(*(const double *)place);
    case WL_BOOLEAN: return wl_boolean(*(const bool *)place);
    case WL_STRUCT: return wl_encode(field->of, place);
    case WL_LIST: {
        const wl_list *list = place;
        wl_field item = item_of(field);
        wl_json *values = wl_array();
        for (size_t at = 0; at < list->count; at++) {
            wl_json *value = encode_field(&item, (const char *)list->items + at * field_size(&item));
            wl_push(values, value != NULL ? value : wl_null());
        }
        return values;
    }
    case WL_ANY: return *(wl_json *const *)place;
    }
    return NULL;
}

wl_json *wl_encode(const wl_type *type, const void *from) {
    wl_json *object = wl_object();
    for (size_t at = 0; at < type->count; at++) {
        const wl_field *field = &type->fields[at];
        wl_json *value = encode_field(field, (const char *)from + field->offset);
        if (value != NULL) wl_set(object, field->name, value);
    }
    return object;
}
