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

int main(void) {
    WL_RUN(what_belongs_together_is_all_there);
    puts("1 test passed");
    return 0;
}
