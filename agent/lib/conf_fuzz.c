#include <stdlib.h>
#include <string.h>

#include "agent/lib/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever is accepted lies within the limits of the table; what is refused names its line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct antag_fault fault;
    struct ag_conf c;

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (ag_conf_parse(&c, "fuzz.conf", text, &fault) == ANTAG_OK) {
#define AG_ROW(section, key, type, def, min, max, words, doc)                                      \
    if (c.section##_##key < (min) || c.section##_##key > (max))                                    \
        __builtin_trap();
        AG_CONF_KEYS(AG_ROW)
#undef AG_ROW
        if (c.keyring_count < 1 || c.keyring_count > AG_CONF_KEYRINGS_MAX ||
            ag_conf_find_keyring(&c, "soft") != &c.keyrings[0])
            __builtin_trap();
    } else if (strncmp(fault.text, "fuzz.conf:", 10) != 0) {
        __builtin_trap();
    }
    free(text);
    return 0;
}
