#include "proto/frame.h"

enum antag_err antag_frame_parse(const uint8_t head[ANTAG_FRAME_HEAD], size_t max, size_t *len,
                                 struct antag_fault *fault)
{
    uint32_t n = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 |
                 (uint32_t)head[3];

    if (n == 0)
        return antag_fault_set(fault, ANTAG_ERR_BAD_FRAME, NULL, "the frame has the length 0");
    if (n > max)
        return antag_fault_set(fault, ANTAG_ERR_FRAME_TOO_LARGE, NULL,
                               "the frame has %lu bytes, at most %zu are taken", (unsigned long)n,
                               max);
    *len = n;
    return ANTAG_OK;
}

void antag_frame_render(size_t len, uint8_t head[ANTAG_FRAME_HEAD])
{
    head[0] = (uint8_t)(len >> 24);
    head[1] = (uint8_t)(len >> 16);
    head[2] = (uint8_t)(len >> 8);
    head[3] = (uint8_t)len;
}
