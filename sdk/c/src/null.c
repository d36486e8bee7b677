/* What the compiler's checks call where a NULL is used: it says where, and what had failed, and ends the call. Only in a
 * component: address 0 can be read there, and what forgets to look would go on with zeros.
 */

#include "internal.h"

#include <stdint.h>
#include <stdio.h>

/* As Clang hands them over (compiler-rt, ubsan_handlers.h). */
typedef struct {
    const char *file;
    uint32_t line, column;
} place;
typedef struct {
    uint16_t kind, info;
    char name[];
} type;
typedef struct {
    place at;
    const type *type;
    uint8_t log_alignment, check;
} mismatch;
typedef struct {
    place at, attribute;
    int argument;
} nonnull_argument;

void __ubsan_handle_type_mismatch_v1_abort(mismatch *found, uintptr_t pointer);
void __ubsan_handle_nonnull_arg_abort(nonnull_argument *found);

/* Named for people: the host tells it as the function in which the call ended. */
__attribute__((noinline, noreturn)) static void wl_null_is_used(const place *at, const char *as) {
    fprintf(stderr, "%s:%u:%u: a NULL is used as %s", at->file, at->line, at->column, as);
    const wl_failure *failure = wl_last_failure();
    if (failure != NULL) fprintf(stderr, "; the last failure before it was %s: %s", failure->code, failure->message);
    fprintf(stderr, "\n");
    __builtin_trap();
}

void __ubsan_handle_type_mismatch_v1_abort(mismatch *found, uintptr_t pointer) {
    (void)pointer;
    wl_null_is_used(&found->at, found->type->name);
}

void __ubsan_handle_nonnull_arg_abort(nonnull_argument *found) {
    wl_null_is_used(&found->at, "an argument that must not be NULL");
}
