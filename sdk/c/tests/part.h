/* A table that tests of calls and of tables read and write. */
#ifndef WINDLASS_PART_H
#define WINDLASS_PART_H

#include "../include/windlass.h"

typedef struct {
    const char *name;
    int64_t count;
} part;

static const wl_field part_fields[] = {
    WL_FIELD(part, name, WL_TEXT, .min_length = 2),
    WL_FIELD(part, count, WL_INTEGER, .minimum = "0", .maximum = "3", .otherwise = "1"),
};
static const wl_type part_type = WL_TYPE(part, part_fields);

#endif
