/* frame_fuzz: a byte stream cut into frames as a reader does it, each frame's value parsed. What is parsed
 * must render to the same head; a length over the limit or of zero must be refused. */
#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_head(const uint8_t *head, size_t len)
{
    uint8_t again[ANTAG_FRAME_HEAD];

    antag_frame_render(len, again);
    if (len == 0 || len > ANTAG_FRAME_MAX || memcmp(head, again, sizeof again) != 0) /* public */
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct antag_decoder decoder;
    size_t at = 0, len;

    if (antag_decoder_init(&decoder) != ANTAG_OK)
        return 0;
    while (size - at >= ANTAG_FRAME_HEAD &&
           antag_frame_parse(data + at, ANTAG_FRAME_MAX, &len, NULL) == ANTAG_OK) {
        struct antag_message m;
        struct antag_fault fault;

        check_head(data + at, len);
        at += ANTAG_FRAME_HEAD;
        if (len > size - at)
            break; /* a reader waits for the rest */
        if (antag_message_parse(&decoder, (struct antag_slice){data + at, len}, &m, &fault) !=
                ANTAG_OK &&
            fault.text[0] == '\0')
            __builtin_trap(); /* a refusal says why */
        at += len;
    }
    antag_decoder_fini(&decoder);
    return 0;
}
