#include "agent/core/onecode.h"

#include <string.h>

static const char alphabet[33] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void ag_onecode_make(const uint8_t random[AG_ONECODE_RANDOM], char out[AG_ONECODE_CHARS + 1])
{
    uint64_t bits = 0;

    for (size_t i = 0; i < AG_ONECODE_RANDOM; i++)
        bits = bits << 8 | random[i];
    for (size_t i = 0; i < AG_ONECODE_CHARS; i++, bits >>= 5)
        out[i] = alphabet[bits & 31];
    out[AG_ONECODE_CHARS] = '\0';
}

void ag_onecode_show(const char code[AG_ONECODE_CHARS + 1], char out[AG_ONECODE_TEXT])
{
    memcpy(out, code, 5);
    out[5] = '-';
    memcpy(out + 6, code + 5, 6);
}

/* 0: of no meaning. */
static char meant(uint8_t c)
{
    if (c >= 'a' && c <= 'z')
        c = (uint8_t)(c - 'a' + 'A');
    if (c == 'O')
        c = '0';
    if (c == 'I' || c == 'L')
        c = '1';
    return c != '\0' && strchr(alphabet, c) != NULL ? (char)c : '\0';
}

enum antag_err ag_onecode_read(struct antag_slice typed, char out[AG_ONECODE_CHARS + 1],
                               struct antag_fault *fault)
{
    size_t n = 0;
    bool good = true;

    for (size_t i = 0; good && i < typed.len; i++) {
        uint8_t c = typed.p[i];
        char m = meant(c);

        if (c == '-' || c == ' ')
            continue;
        good = m != '\0' && n < AG_ONECODE_CHARS;
        if (good)
            out[n++] = m;
    }
    if (!good || n != AG_ONECODE_CHARS)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "code",
                               "is the code from the mail, %d letters and digits as in "
                               "7H3KD-9QWXT",
                               AG_ONECODE_CHARS);
    out[n] = '\0';
    return ANTAG_OK;
}

static bool within(int64_t from, int64_t now, int64_t ms)
{
    return now - from < ms;
}

bool ag_onecode_holds(struct ag_onecode_time made, struct ag_onecode_time sent,
                      struct ag_onecode_time now)
{
    bool known = sent.wall != 0;
    struct ag_onecode_time from = known ? sent : made;
    int64_t ms = known ? AG_ONECODE_HOLDS_MS : AG_ONECODE_UNSENT_MS;

    return within(from.wall, now.wall, ms) && within(from.observed, now.observed, ms);
}
