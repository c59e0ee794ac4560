/* fuzz: what a socket may receive. Parse a message; read its params by the table of every method of
 * both sockets, strictly and openly; then render it again and parse that: the outcome is the same. */
#include <stdlib.h>
#include <string.h>

#include "proto/agent_methods.h"
#include "proto/message.h"
#include "proto/staff_methods.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* larger than any params struct; the tables know the real sizes */
static union {
    max_align_t align;
    char bytes[1024];
} params;

static void demand(bool ok)
{
    if (!ok)
        abort();
}

static void read_params(const struct antag_params *spec, const msgpack_object *map)
{
    struct antag_fault fault;

    demand(spec->size <= sizeof params);
    for (int open = 0; open <= 1; open++) {
        if (antag_params_parse(spec, open != 0, map, &params, &fault) != ANTAG_OK)
            demand(fault.err == ANTAG_ERR_BAD_PARAM && fault.text[0] != '\0');
        else
            demand(!antag_params_has_twice(spec, map));
    }
}

static void read_all_params(const msgpack_object *map)
{
    for (int i = 0; i < ANTAG_STAFF_METHOD_COUNT; i++)
        read_params(&antag_staff_method_row((enum antag_staff_method)i)->params, map);
#define ANTAG_ROW(name, locked, op)                                                                \
    {                                                                                              \
        enum antag_agent_method which;                                                             \
        read_params(&antag_agent_method(antag_slice_of(#name), &which)->params, map);              \
    }
    ANTAG_AGENT_METHODS(ANTAG_ROW)
#undef ANTAG_ROW
}

/* An answer that failed is the one message that is rendered from what was parsed. */
static void render_again(struct antag_decoder *d, const struct antag_message *m)
{
    struct antag_writer w;
    struct antag_message again;
    struct antag_slice out;

    antag_writer_init(&w, ANTAG_FRAME_MAX);
    antag_m_failure(&w, m->has_id, m->id, &m->fault);
    demand(antag_writer_end(&w, &out) == ANTAG_OK);
    demand(antag_message_parse(d, out, &again, NULL) == ANTAG_OK);
    demand(again.failed && again.has_id == m->has_id && again.id == m->id);
    demand(again.fault.err == m->fault.err && strcmp(again.fault.field, m->fault.field) == 0);
    demand(strcmp(antag_fault_text(&again.fault), antag_fault_text(&m->fault)) == 0);
    antag_writer_fini(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct antag_slice in = {data, size};
    struct antag_decoder d;
    struct antag_message m;
    struct antag_fault fault;

    if (antag_decoder_init(&d) != ANTAG_OK)
        return 0;
    if (antag_message_parse(&d, in, &m, &fault) != ANTAG_OK) {
        demand(fault.err == ANTAG_ERR_BAD_FRAME && fault.text[0] != '\0');
        demand(!m.has_id || m.id <= ANTAG_ID_MAX);
    } else if (m.shape != ANTAG_ANSWER) {
        demand(m.params.type == MSGPACK_OBJECT_MAP);
        read_all_params(&m.params);
    } else if (m.failed) {
        render_again(&d, &m);
    }
    antag_decoder_fini(&d);
    return 0;
}
