#include "proto/utf8.h"

size_t antag_utf8_step(const uint8_t *p, size_t len, uint32_t *out)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t need;
    uint32_t c;

    if (len == 0)
        return 0;
    c = p[0];
    if (c < 0x80)
        need = 1;
    else if ((c & 0xe0) == 0xc0)
        need = 2, c &= 0x1f;
    else if ((c & 0xf0) == 0xe0)
        need = 3, c &= 0x0f;
    else if ((c & 0xf8) == 0xf0)
        need = 4, c &= 0x07;
    else
        return 0;
    if (need > len)
        return 0;
    for (size_t i = 1; i < need; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < smallest[need] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    if (out != NULL)
        *out = c;
    return need;
}
