/* JSON, and the tables of fields and actions: what they read and write, and those that are refused where a plugin is tested and
 * built. */

#define _POSIX_C_SOURCE 200809L
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/internal.h"
#include "../testing/windlass_mock.h"
#include "part.h"
#include "said.h"

typedef struct {
    const char *mode;
    double rate;
    bool on;
    part first;
    wl_list parts;
    wl_json *any;
} input;

static const wl_field input_fields[] = {
    WL_FIELD(input, mode, WL_TEXT, .choices = "fast|slow", .optional = true),
    WL_FIELD(input, rate, WL_NUMBER, .otherwise = "0.5"),
    WL_FIELD(input, on, WL_BOOLEAN, .optional = true),
    WL_FIELD(input, first, WL_STRUCT, .of = &part_type, .optional = true),
    WL_FIELD(input, parts, WL_LIST, .of = &part_type, .optional = true),
    WL_FIELD(input, any, WL_ANY, .optional = true),
};
static const wl_type input_type = WL_TYPE(input, input_fields);

/* The same as another system answers it. */
static const wl_type answer_type = WL_TYPE(input, input_fields, .open = true);

static wl_outcome start(wl_ctx *ctx, const void *given) { return wl_done(ctx, given); }
static wl_outcome resume(wl_ctx *ctx, const void *given, const void *state, const wl_event *event) {
    (void)given, (void)event;
    return wl_done(ctx, state);
}
static wl_outcome before(wl_ctx *ctx, const void *given, const void *before) {
    (void)given;
    return wl_done(ctx, before);
}
static wl_outcome resume_rollback(wl_ctx *ctx, const void *given, const void *output, const void *state, const wl_event *event) {
    (void)output;
    return resume(ctx, given, state, event);
}

/* As far as the mock host has to have one. */
const wl_plugin windlass_plugin = {.name = "test", .version = "1.0.0", .description = "Tests.", .actions = (const wl_action[])WL_ACTIONS({.name = "act"})};

static const char *decoded_as(const wl_type *type, const char *text) {
    input into;
    const char *problem = NULL;
    const wl_json *json = wl_parse(text, strlen(text), &problem);
    if (json == NULL) return problem;
    problem = wl_decode(type, json, &into);
    return problem != NULL ? problem : wl_write(wl_encode(type, &into));
}

static const char *decoded(const char *text) { return decoded_as(&input_type, text); }

static void json_is_read_and_written(void) {
    static const char *const cases[][2] = {
        {" {\"a\" : [1, -2.5, true, null, \"\\u00e4\\ud83d\\ude00\\n\\\"\"]} ", "{\"a\":[1,-2.5,true,null,\"ä😀\\u000a\\\"\"]}"},
        {"1e3", "1000"},
        {"9007199254740993", "9007199254740993"},
        {"[9223372036854775807,-9223372036854775808]", "[9223372036854775807,-9223372036854775808]"},
        {"{\"a\":1,\"a\":2}", "{\"a\":2}"},
        {"01", "what is no JSON at byte 2"},
        {"[1", "an array without an end at byte 2"},
        {"\"\\u0000\"", "an escape that is none at byte 7"},
        {"\"\\ud800x\"", "an escape that is none at byte 7"},
        {"{a:1}", "a field without a name at byte 1"},
        {"1 2", "more after the end at byte 2"},
        {"", "what is no JSON at byte 0"},
        {"tru", "what is no JSON at byte 0"},
        {"1e999", "a number that is none at byte 5"},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        const char *problem = NULL;
        const wl_json *json = wl_parse(cases[at][0], strlen(cases[at][0]), &problem);
        WL_SAME(json != NULL ? wl_write(json) : problem, cases[at][1]);
    }
    char deep[1000];
    memset(deep, '[', sizeof deep);
    assert(wl_parse(deep, sizeof deep, NULL) == NULL);
}

static const wl_json *json_of(const char *text) { return wl_parse(text, strlen(text), NULL); }

static void values_are_had_by_their_types(void) {
    static const struct {
        const char *text;
        int64_t integer;
    } whole[] = {
        {"0", 0}, {"-7", -7}, {"3.0", 3}, {"1e3", 1000}, {"9007199254740993", 9007199254740993},
        {"9223372036854775807", INT64_MAX}, {"-9223372036854775808", INT64_MIN},
    };
    for (size_t at = 0; at < sizeof whole / sizeof *whole; at++) {
        int64_t integer = 0;
        assert(wl_as_integer(json_of(whole[at].text), &integer) && integer == whole[at].integer);
    }
    static const char *const others[] = {"1.5", "-0.1", "9223372036854775808", "-9223372036854775809", "1e19", "9007199254740993.0", "\"7\"", "true", "null", "[7]"};
    for (size_t at = 0; at < sizeof others / sizeof *others; at++) {
        int64_t integer = 42;
        assert(!wl_as_integer(json_of(others[at]), &integer) && integer == 42);
    }
    int64_t integer = 42;
    assert(!wl_as_integer(NULL, &integer) && wl_as_integer(wl_number(-2), &integer) && integer == -2);

    double number = 0.25;
    assert(!wl_as_number(json_of("\"1\""), &number) && !wl_as_number(NULL, &number) && number == 0.25);
    assert(wl_as_number(json_of("1.5"), &number) && number == 1.5 && wl_as_number(json_of("2"), &number) && number == 2);
    bool on = false;
    assert(!wl_as_boolean(json_of("1"), &on) && !wl_as_boolean(NULL, &on) && !on && wl_as_boolean(json_of("true"), &on) && on);

    const wl_json *all = json_of("{\"a\":[1,\"b\"],\"c\":{},\"d\":null}");
    const wl_json *list = wl_get(all, "a");
    assert(wl_is_array(list) && wl_count(list) == 2 && wl_at(list, 2) == NULL && wl_name_at(list, 0) == NULL);
    WL_SAME(wl_text(wl_at(list, 1)), "b");
    assert(!wl_is_array(wl_get(all, "c")) && !wl_is_array(wl_get(all, "x")) && !wl_is_array(wl_at(list, 0)));
    assert(wl_is_null(wl_get(all, "d")) && wl_is_null(wl_get(all, "x")) && !wl_is_null(list));
    WL_SAME(wl_name_at(all, 1), "c");
    assert(wl_name_at(all, 3) == NULL && wl_at(all, 2) == wl_get(all, "d"));
}

typedef struct {
    wl_list tags, counts, rates, flags, anys;
    int64_t large;
} lists;

static const wl_field lists_fields[] = {
    WL_FIELD(lists, tags, WL_LIST, .description = "Which.", .choices = "ab|cd", .otherwise = "[\"ab\"]"),
    WL_FIELD(lists, counts, WL_LIST, .items = WL_INTEGER, .minimum = "0", .maximum = "9007199254740992", .optional = true),
    WL_FIELD(lists, rates, WL_LIST, .items = WL_NUMBER, .optional = true),
    WL_FIELD(lists, flags, WL_LIST, .items = WL_BOOLEAN, .optional = true),
    WL_FIELD(lists, anys, WL_LIST, .items = WL_ANY, .optional = true),
    WL_FIELD(lists, large, WL_INTEGER, .optional = true),
};
static const wl_type lists_type = WL_TYPE(lists, lists_fields);

static void list_without_items(void) {
    static const wl_field fields[] = {{.name = "parts", .kind = WL_LIST, .items = WL_STRUCT}};
    wl_schema(&(wl_type){.fields = fields, .count = 1});
}

static const wl_field *defaulted;
static void default_in_schema(void) { wl_schema(&(wl_type){.fields = defaulted, .count = 1}); }

static void a_default_that_is_none_says_what_to_write(void) {
#define TEXT_DEFAULT(field, right, wrong) "the default of `" field "` is JSON, where a text has quotes of its own: write `.otherwise = " right "` and not `.otherwise = " wrong "`"
    static const struct {
        wl_field field;
        const char *says;
    } cases[] = {
        {{.kind = WL_TEXT, .otherwise = "eu"}, TEXT_DEFAULT("it", "\"\\\"eu\\\"\"", "\"eu\"")},
        {{.kind = WL_TEXT, .otherwise = "5"}, TEXT_DEFAULT("it", "\"\\\"5\\\"\"", "\"5\"")},
        {{.kind = WL_TEXT, .otherwise = ""}, TEXT_DEFAULT("it", "\"\\\"\\\"\"", "\"\"")},
        {{.kind = WL_TEXT, .otherwise = "\"us\"", .choices = "eu|ap"}, "the default of `it` is none that the field takes, `.otherwise = \"\\\"us\\\"\"`: it: \"us\" is none of eu|ap"},
        {{.kind = WL_INTEGER, .otherwise = "five"}, "the default of `it` is no JSON: `.otherwise = \"five\"`"},
        {{.kind = WL_INTEGER, .otherwise = "1.5"}, "the default of `it` is none that the field takes, `.otherwise = \"1.5\"`: it: 1.5 is no integer"},
        {{.kind = WL_BOOLEAN, .otherwise = "True"}, "the default of `it` is no JSON: `.otherwise = \"True\"`"},
        {{.kind = WL_STRUCT, .of = &part_type, .otherwise = "{}"}, "the default of `it` is none that the field takes, `.otherwise = \"{}\"`: it: the field `name` is missing"},
        {{.kind = WL_LIST, .otherwise = "[\"a\",1]"}, "the default of `it` is none that the field takes, `.otherwise = \"[\\\"a\\\",1]\"`: it[1]: 1 is no string"},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        wl_field field = cases[at].field;
        field.name = "it";
        defaulted = &field;
        WL_SAME(last_words(default_in_schema), cases[at].says);
        WL_SAME(wl_decode(&(wl_type){.fields = defaulted, .count = 1, .size = sizeof(input)}, json_of("{}"), wl_alloc(sizeof(input))), cases[at].says);
    }
}

static void lists_have_items_of_any_kind(void) {
    lists read;
    const char *text = "{\"tags\":[\"ab\",\"cd\"],\"counts\":[0,9007199254740992],\"rates\":[0.5,2],\"flags\":[true,false],\"anys\":[null,{\"a\":[]}],\"large\":9223372036854775807}";
    WL_SAME(wl_decode(&lists_type, json_of(text), &read), NULL);
    WL_SAME(((const char **)read.tags.items)[1], "cd");
    assert(((int64_t *)read.counts.items)[1] == 9007199254740992 && ((double *)read.rates.items)[0] == 0.5);
    assert(((bool *)read.flags.items)[0] && !((bool *)read.flags.items)[1] && wl_is_null(((wl_json **)read.anys.items)[0]));
    WL_SAME(wl_write(wl_encode(&lists_type, &read)), text);
    WL_SAME(wl_decode(&lists_type, json_of("{}"), &read), NULL);
    WL_SAME(wl_write(wl_encode(&lists_type, &read)), "{\"tags\":[\"ab\"],\"counts\":[],\"rates\":[],\"flags\":[],\"anys\":[],\"large\":0}");
    static const char *const wrong[][2] = {
        {"{\"tags\":[\"ab\",3]}", "tags[1]: 3 is no string"},
        {"{\"tags\":[\"ef\"]}", "tags[0]: \"ef\" is none of ab|cd"},
        {"{\"tags\":\"ab\"}", "tags: \"ab\" is no array"},
        {"{\"counts\":[1,1.5]}", "counts[1]: 1.5 is no integer"},
        {"{\"counts\":[9007199254740993]}", "counts[0]: is more than 9007199254740992"},
        {"{\"counts\":[1,-1]}", "counts[1]: is less than 0"},
        {"{\"large\":9223372036854775808}", "large: 9.2233720368547758e+18 is no integer"},
    };
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) WL_SAME(wl_decode(&lists_type, json_of(wrong[at][0]), &read), wrong[at][1]);
    const wl_json *properties = wl_get(wl_schema(&lists_type), "properties");
    WL_SAME(wl_write(wl_get(properties, "tags")), "{\"type\":\"array\",\"items\":{\"enum\":[\"ab\",\"cd\"]},\"description\":\"Which.\",\"default\":[\"ab\"]}");
    WL_SAME(wl_write(wl_get(properties, "counts")), "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":9007199254740992}}");
    WL_SAME(wl_write(wl_get(properties, "anys")), "{\"type\":\"array\",\"items\":{}}");
    WL_SAME(last_words(list_without_items), "the list `parts` has no `.of`");
}

static void structs_are_read_and_what_is_wrong_names_its_place(void) {
    static const char *const cases[][2] = {
        {"{\"parts\":[{\"name\":\"ab\"}],\"any\":[1]}", "{\"rate\":0.5,\"on\":false,\"first\":{\"count\":0},\"parts\":[{\"name\":\"ab\",\"count\":1}],\"any\":[1]}"},
        {"{\"mode\":\"medium\"}", "mode: \"medium\" is none of fast|slow"},
        {"{\"mode\":\"fas\"}", "mode: \"fas\" is none of fast|slow"},
        {"{\"rate\":\"1\"}", "rate: \"1\" is no number"},
        {"{\"on\":1}", "on: 1 is no boolean"},
        {"{\"first\":{\"name\":\"ä\"}}", "first.name: has fewer than 2 characters"},
        {"{\"parts\":[{\"name\":\"ab\"},{\"name\":\"ab\",\"count\":4}]}", "parts[1].count: is more than 3"},
        {"{\"parts\":[{}]}", "parts[0]: the field `name` is missing"},
        {"{\"first\":{\"name\":\"ab\",\"count\":1.5}}", "first.count: 1.5 is no integer"},
        {"{\"mdoe\":\"fast\"}", "there is no field `mdoe`"},
        {"[]", "[] is no object"},
        {"{\"mode\":null}", "mode: null is no string"},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) WL_SAME(decoded(cases[at][0]), cases[at][1]);
    const char *nothing = "{\"mode\":null,\"rate\":null,\"first\":null,\"parts\":null,\"any\":null,\"more\":1}";
    WL_SAME(decoded_as(&answer_type, nothing), decoded("{\"any\":null}"));
}

static wl_action declared;
static void declares_it(void) {
    const wl_action actions[] = WL_ACTIONS(declared);
    wl_manifest(&(wl_plugin){.name = "test", .version = "1.0.0", .description = "Tests.", .actions = actions});
}

#define ACTION(...) {.name = "act", .description = "Acts.", .input = &part_type, .output = &part_type, __VA_ARGS__}

static void what_belongs_together_is_all_there(void) {
    const wl_action good[] = {
        ACTION(.start = start), ACTION(.start = start, .resume = resume), ACTION(.start = start, .resume = resume, .state = &part_type),
        ACTION(.start = start, .cancel = before, .resume_cancel = resume, .state = &part_type),
        ACTION(.start = start, .rollback = before, .resume_rollback = resume_rollback, .state = &part_type),
    };
    for (size_t at = 0; at < sizeof good / sizeof *good; at++) {
        declared = good[at];
        declares_it();
    }
    static const struct {
        wl_action action;
        const char *says;
    } bad[] = {
        {ACTION(.state = &part_type), "the action `act` has no `.start`"},
        {{.name = "act", .description = "Acts.", .input = &part_type, .start = start}, "the action `act` has no `.output`"},
        {ACTION(.start = start, .state = &part_type), "the action `act` has a `.state` and no `.resume`: what waits could never go on"},
        {ACTION(.start = start, .state = &part_type, .cancel = before, .rollback = before), "the action `act` has a `.state` and no `.resume`: what waits could never go on"},
        {ACTION(.start = start, .resume_cancel = resume), "the action `act` has a `.resume_cancel` and no `.cancel`"},
        {ACTION(.start = start, .resume = resume, .resume_rollback = resume_rollback), "the action `act` has a `.resume_rollback` and no `.rollback`"},
    };
    for (size_t at = 0; at < sizeof bad / sizeof *bad; at++) {
        declared = bad[at].action;
        WL_SAME(last_words(declares_it), bad[at].says);
    }
}

static const wl_field *described;
static void describes_it(void) { wl_schema(&(wl_type){.fields = described, .count = 1}); }

static void a_field_that_says_what_its_kind_has_not_is_refused(void) {
    static const struct {
        wl_field field;
        const char *says;
    } cases[] = {
        {{.kind = WL_INTEGER, .minimum = "one"}, "the `.minimum` of `it` is a number in quotes: write `.minimum = \"1\"` and not `.minimum = \"one\"`"},
        {{.kind = WL_NUMBER, .maximum = "1,5"}, "the `.maximum` of `it` is a number in quotes: write `.maximum = \"1\"` and not `.maximum = \"1,5\"`"},
        {{.kind = WL_LIST, .items = WL_NUMBER, .maximum = "true"}, "the `.maximum` of `it` is a number in quotes: write `.maximum = \"1\"` and not `.maximum = \"true\"`"},
        {{.kind = WL_INTEGER, .min_length = 1}, "`it` is a WL_INTEGER and takes no `.min_length`; a number takes `.minimum` and `.maximum`"},
        {{.kind = WL_NUMBER, .choices = "1|2"}, "`it` is a WL_NUMBER and takes no `.choices`; a number takes `.minimum` and `.maximum`"},
        {{.kind = WL_TEXT, .minimum = "1"}, "`it` is a WL_TEXT and takes no `.minimum`; a text takes `.min_length` and `.choices`"},
        {{.kind = WL_TEXT, .maximum = "1"}, "`it` is a WL_TEXT and takes no `.maximum`; a text takes `.min_length` and `.choices`"},
        {{.kind = WL_LIST, .minimum = "1"}, "`it` is a WL_LIST of WL_TEXT and takes no `.minimum`; a text takes `.min_length` and `.choices`"},
        {{.kind = WL_LIST, .of = &part_type, .min_length = 1}, "`it` is a WL_LIST of WL_STRUCT and takes no `.min_length`"},
        {{.kind = WL_BOOLEAN, .choices = "true|false"}, "`it` is a WL_BOOLEAN and takes no `.choices`"},
        {{.kind = WL_ANY, .minimum = "1"}, "`it` is a WL_ANY and takes no `.minimum`"},
        {{.kind = WL_STRUCT}, "the struct `it` has no `.of`"},
        {{.kind = WL_LIST, .items = WL_STRUCT}, "the list `it` has no `.of`"},
        {{.kind = WL_TEXT, .choices = "a, b"}, "the choices of `it` are separated by `|`, without blanks: write `.choices = \"a|b\"` and not `.choices = \"a, b\"`"},
        {{.kind = WL_TEXT, .choices = "a | b"}, "the choices of `it` are separated by `|`, without blanks: write `.choices = \"a|b\"` and not `.choices = \"a | b\"`"},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        wl_field field = cases[at].field;
        field.name = "it";
        described = &field;
        WL_SAME(last_words(describes_it), cases[at].says);
        /* Of a type that is in no manifest, where something is read. */
        char into[64];
        WL_SAME(wl_decode(&(wl_type){.fields = described, .count = 1, .size = sizeof into, .open = true}, wl_object(), into), cases[at].says);
    }
    static const wl_field good[] = {
        {.name = "a", .kind = WL_TEXT, .choices = "a, b|c d||e"}, {.name = "b", .kind = WL_TEXT, .choices = "a"}, {.name = "c", .kind = WL_NUMBER, .minimum = "-1.5", .maximum = "1e3"},
        {.name = "d", .kind = WL_LIST, .choices = "a|b", .min_length = 1}, {.name = "e", .kind = WL_LIST, .items = WL_INTEGER, .minimum = "0"},
    };
    wl_schema(&(wl_type){.fields = good, .count = sizeof good / sizeof *good});
}

static void a_state_is_looked_at_as_what_is_in_the_manifest(void) {
    static const wl_field fields[] = {WL_FIELD(part, name, WL_TEXT, .minimum = "1")};
    static const wl_type type = WL_TYPE(part, fields);
    declared = (wl_action)ACTION(.start = start, .resume = resume, .state = &type);
    WL_SAME(last_words(declares_it), "`name` is a WL_TEXT and takes no `.minimum`; a text takes `.min_length` and `.choices`");
}

static const char *called;
static void is_called_so(void) { wl_manifest(&(wl_plugin){.name = called, .version = "1.0.0", .description = "Tests.", .actions = &(wl_action){0}}); }

static void names_are_those_that_a_host_takes(void) {
    char longest[65] = {0};
    memset(longest, 'x', 63);
    const char *good[] = {"a", "create-change", "eu_1", longest};
    for (size_t at = 0; at < sizeof good / sizeof *good; at++) {
        called = good[at];
        is_called_so();
    }
    char longer[65] = {0};
    memset(longer, 'x', 64);
    const char *bad[] = {"", "1a", "_a", "-a", "Build", "a b", "ä", longer};
    for (size_t at = 0; at < sizeof bad / sizeof *bad; at++) {
        called = bad[at];
        WL_SAME(last_words(is_called_so), wl_format("`%s` is no name: write [a-z][a-z0-9_-]{0,62}", called));
    }
}

/* A list of roles, and behind it a list of actions, as compilers lay them out. */
static const void *followed_by(const void *list, size_t size, const void *next, size_t its) {
    char *all = wl_alloc(size + its + sizeof(wl_action));
    memcpy(all, list, size);
    memcpy(all + size, next, its);
    return all;
}

static const wl_action *endless;
static void goes_on(void) { wl_manifest(&(wl_plugin){.name = "test", .version = "1.0.0", .description = "Tests.", .actions = endless}); }

static void a_list_that_does_not_end_is_told(void) {
#define ROLES_GO_ON "the roles of the action `act` do not end: write them in `WL_ROLES(…)`, or `{0}` after the last"
#define ACTIONS_GO_ON "the actions of the plugin do not end: write them in `WL_ACTIONS(…)`, or `{0}` after the last"
    static const wl_role role = {.name = "app", .description = "The application.", .requests = "GET /a"};
    static const wl_action writes = ACTION(.effect = WL_WRITE, .start = start);
    declared = (wl_action)ACTION(.start = start, .roles = followed_by(&role, sizeof role, &writes, sizeof writes));
    WL_SAME(last_words(declares_it), ROLES_GO_ON);
    static const char *const texts[][3] = {{"GET /a", "text", NULL}, {"text", NULL, NULL}};
    declared.roles = followed_by(&role, sizeof role, texts[0], sizeof texts[0]);
    WL_SAME(last_words(declares_it), "`GET /a` is no name: write [a-z][a-z0-9_-]{0,62}; or " ROLES_GO_ON);
    declared.roles = followed_by(&role, sizeof role, texts[1], sizeof texts[1]);
    WL_SAME(last_words(declares_it), "the role `text` has no `.description`; or " ROLES_GO_ON);
    const wl_action action = ACTION(.start = start);
    endless = followed_by(&action, sizeof action, &windlass_plugin, sizeof windlass_plugin);
    WL_SAME(last_words(goes_on), ACTIONS_GO_ON);
    const wl_action names[] = {ACTION(.start = start), {.name = "Other"}};
    endless = followed_by(&names[0], sizeof action, &names[1], sizeof action);
    WL_SAME(last_words(goes_on), "`Other` is no name: write [a-z][a-z0-9_-]{0,62}; or " ACTIONS_GO_ON);
}

static const char *version;
static void has_it(void) { wl_manifest(&(wl_plugin){.name = "test", .version = version, .description = "Tests.", .actions = (const wl_action[]){{0}}}); }

static void a_version_has_three_numbers(void) {
    static const char *const good[] = {"0.1.0", "10.20.30", "1.0.0-rc.1", "1.0.0+build"}, *const bad[] = {"0.1", "1", "", "v1.0.0", "1.0.0.0", "1..0", "01.0.0", "1.0.x", "1.0.0 "};
    for (size_t at = 0; at < sizeof good / sizeof *good; at++) {
        version = good[at];
        has_it();
    }
    for (size_t at = 0; at < sizeof bad / sizeof *bad; at++) {
        version = bad[at];
        WL_SAME(last_words(has_it), wl_format("the version `%s` is none: write three numbers, `.version = \"0.1.0\"`", version));
    }
    version = NULL;
    WL_SAME(last_words(has_it), "the version `` is none: write three numbers, `.version = \"0.1.0\"`");
}

int main(void) {
    WL_RUN(json_is_read_and_written);
    WL_RUN(values_are_had_by_their_types);
    WL_RUN(a_default_that_is_none_says_what_to_write);
    WL_RUN(lists_have_items_of_any_kind);
    WL_RUN(structs_are_read_and_what_is_wrong_names_its_place);
    WL_RUN(names_are_those_that_a_host_takes);
    WL_RUN(what_belongs_together_is_all_there);
    WL_RUN(a_field_that_says_what_its_kind_has_not_is_refused);
    WL_RUN(a_state_is_looked_at_as_what_is_in_the_manifest);
    WL_RUN(a_list_that_does_not_end_is_told);
    WL_RUN(a_version_has_three_numbers);
    puts("11 tests passed");
    return 0;
}
