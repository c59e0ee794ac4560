#include "agent/lib/edges/mailing.h"

#include "agent/core/mailbox.h"
#include "proto/params.h"

void ag_mailing_write(struct antag_writer *w, const struct ag_mailing *m)
{
    antag_w_map(w);
    antag_w_kv_strn(w, "to", m->to);
    antag_w_kv_bin(w, "message", m->message);
    antag_w_end(w);
}

struct mailing_params {
    struct antag_opt_slice to, message;
};
static const struct antag_field fields[] = {
    ANTAG_FIELD(struct mailing_params, to, TEXT, true, 1, AG_MAILBOX_MAX, 0),
    ANTAG_FIELD(struct mailing_params, message, BYTES, true, 1, AG_MAIL_MESSAGE_MAX, 0),
};
static const struct antag_params spec = {fields, sizeof fields / sizeof *fields,
                                         sizeof(struct mailing_params)};

enum antag_err ag_mailing_parse(const msgpack_object *o, struct ag_mailing *out,
                                struct antag_fault *fault)
{
    struct mailing_params p;
    enum antag_err err = antag_params_parse(&spec, false, o, &p, fault);

    if (err != ANTAG_OK)
        return err;
    out->to = p.to.v;
    out->message = p.message.v;
    return ag_mailbox_check(out->to, "to", fault);
}
