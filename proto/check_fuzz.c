/* fuzz: the checker and the library must agree. What the checker takes, the library decodes whole and
 * as one value; the checker itself must never read behind the end. */
#include <msgpack.h>
#include <stdlib.h>

#include "antag/limits.h"
#include "proto/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct antag_slice in = {data, size};
    struct antag_fault fault;
    msgpack_zone zone;
    msgpack_object object;
    size_t used = 0;

    if (antag_check(in, ANTAG_DEPTH_MAX, ANTAG_ITEMS_MAX, &fault) != ANTAG_OK) {
        if (fault.err != ANTAG_ERR_BAD_FRAME || fault.text[0] == '\0')
            abort();
        return 0;
    }
    if (!msgpack_zone_init(&zone, 8192))
        return 0;
    if (msgpack_unpack((const char *)data, size, &used, &zone, &object) != MSGPACK_UNPACK_SUCCESS ||
        used != size)
        abort();
    msgpack_zone_destroy(&zone);
    return 0;
}
