/* Tables of actions and fields that no host takes: what is wrong is said where the plugin is tested and built. */

#define _POSIX_C_SOURCE 200809L
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/internal.h"
#include "../testing/windlass_mock.h"
#include "said.h"

typedef struct {
    const char *name;
} part;

static const wl_field part_fields[] = {WL_FIELD(part, name, WL_TEXT)};
static const wl_type part_type = WL_TYPE(part, part_fields);

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
    WL_RUN(what_belongs_together_is_all_there);
    WL_RUN(a_field_that_says_what_its_kind_has_not_is_refused);
    WL_RUN(a_state_is_looked_at_as_what_is_in_the_manifest);
    WL_RUN(a_list_that_does_not_end_is_told);
    WL_RUN(a_version_has_three_numbers);
    puts("5 tests passed");
    return 0;
}
