/* Requests over `wasi:http`; only in a component. */
#ifndef WINDLASS_WASI_HTTP_H
#define WINDLASS_WASI_HTTP_H

#include "internal.h"

/* Sends a request and reads the answer, up to 8 MiB. */
wl_wire_response wl_wasi_send(const wl_wire_request *request);

#endif
