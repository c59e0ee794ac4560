#include "agent/steward/changedoc.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#define VERSION 1

static void digest_of(struct antag_slice doc, uint8_t out[AG_CHANGE_DIGEST_LEN])
{
    crypto_generichash(out, AG_CHANGE_DIGEST_LEN, doc.p, doc.len, NULL, 0);
}

/* ---- writing */

static void account_of(uint32_t uid, char *out, size_t size)
{
    struct passwd entry, *found = NULL;
    char space[1024];

    out[0] = '\0';
    if (getpwuid_r(uid, &entry, space, sizeof space, &found) == 0 && found != NULL)
        snprintf(out, size, "%s", found->pw_name);
}

static void write_alters(struct antag_writer *w, const struct ag_alter *a)
{
    antag_w_key(w, "alters");
    antag_w_array(w);
    for (size_t i = 0; i < a->line_count; i++) {
        antag_w_array(w);
        antag_w_str(w, a->lines[i].what);
        antag_w_str(w, a->lines[i].was);
        antag_w_str(w, a->lines[i].is);
        antag_w_end(w);
    }
    antag_w_end(w);
    antag_w_kv_uint(w, "left_out", a->left_out);
}

static void write_request(struct antag_writer *w, const struct ag_task *op)
{
    antag_w_kv_str(w, "method", op->row->name);
    antag_w_key(w, "params");
    antag_params_write(&op->row->params, op->params, w);
    if (op->sealed_len > 0)
        antag_w_kv_bin(w, "sealed", (struct antag_slice){op->sealed, op->sealed_len});
}

static void write_requester(struct antag_writer *w, const struct ag_row_change *row)
{
    char account[64], host[256] = "";

    account_of(row->uid, account, sizeof account);
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = '\0';
    antag_w_kv_uint(w, "uid", row->uid);
    antag_w_kv_str(w, "account", account);
    antag_w_kv_str(w, "host", host);
    antag_w_kv_int(w, "opened_ms", row->opened_at_ms);
    antag_w_kv_int(w, "holds_ms", row->holds_ms);
}

enum antag_err ag_changedoc_write(const struct ag_txn *t, const struct ag_task *op,
                                  struct ag_alter *a, struct ag_row_change *row,
                                  struct antag_fault *fault)
{
    const struct ag_row_profile *p = ag_book_profile(t->book, row->profile_id);
    uint8_t base[AG_ALTER_BASE_LEN];
    struct antag_slice doc = {NULL, 0};
    struct antag_writer w;
    enum antag_err err;

    ag_alter_base(a, base);
    antag_writer_init(&w, AG_CHANGE_DOC_MAX);
    antag_w_map(&w);
    antag_w_kv_uint(&w, "v", VERSION);
    write_request(&w, op);
    if (p != NULL)
        antag_w_kv_str(&w, "profile", p->name);
    antag_w_kv_str(&w, "summary", row->summary);
    write_alters(&w, a);
    antag_w_kv_bin(&w, "base", (struct antag_slice){base, sizeof base});
    write_requester(&w, row);
    antag_w_end(&w);
    err = antag_writer_end(&w, &doc);
    if (err == ANTAG_OK) {
        memcpy(row->doc, doc.p, doc.len);
        row->doc_len = doc.len;
        digest_of(doc, row->digest);
        row->digest_len = AG_CHANGE_DIGEST_LEN;
    } else if (err == ANTAG_ERR_FRAME_TOO_LARGE) {
        err = antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, NULL,
                              "a change of that size cannot be kept; at most %d bytes are",
                              AG_CHANGE_DOC_MAX);
    } else {
        antag_fault_set(fault, err, NULL, "no document can be made of the change");
    }
    antag_writer_fini(&w);
    return err;
}

/* ---- reading */

static enum antag_err damaged(const struct ag_row_change *row, const char *what,
                              struct antag_fault *fault)
{
    return antag_fault_set(fault, ANTAG_ERR_REGISTRY, NULL, "the document of change %llu: %s",
                           (unsigned long long)row->id, what);
}

static bool read_slice(const msgpack_object *doc, const char *key, struct antag_slice *out)
{
    const msgpack_object *o = antag_object_get(doc, key);

    return o != NULL && antag_object_slice(o, out);
}

static bool read_fields(const msgpack_object *doc, struct ag_changedoc *out)
{
    struct antag_slice method, base;
    uint64_t version = 0, uid = 0;

    if (!antag_object_uint(doc, "v", &version) || version != VERSION ||
        !antag_object_uint(doc, "uid", &uid) || uid > UINT32_MAX ||
        !antag_object_uint(doc, "left_out", &out->left_out) ||
        !read_slice(doc, "method", &method) || !read_slice(doc, "base", &base) ||
        base.len != AG_ALTER_BASE_LEN || (out->params = antag_object_get(doc, "params")) == NULL ||
        (out->alters = antag_object_get(doc, "alters")) == NULL ||
        out->alters->type != MSGPACK_OBJECT_ARRAY ||
        (out->row = antag_staff_method(method, &out->which)) == NULL)
        return false;
    memcpy(out->base, base.p, base.len);
    out->uid = (uint32_t)uid;
    (void)read_slice(doc, "sealed", &out->sealed);
    (void)antag_object_text(doc, "profile", out->profile, sizeof out->profile);
    (void)antag_object_text(doc, "account", out->account, sizeof out->account);
    (void)antag_object_text(doc, "host", out->host, sizeof out->host);
    return true;
}

enum antag_err ag_changedoc_read(const struct ag_row_change *row, struct ag_changedoc *out,
                                 struct antag_fault *fault)
{
    uint8_t digest[AG_CHANGE_DIGEST_LEN];
    msgpack_object doc;
    size_t off = 0;

    memset(out, 0, sizeof *out);
    if (antag_decoder_init(&out->decoder) != ANTAG_OK)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a change");
    out->made = true;
    digest_of((struct antag_slice){row->doc, row->doc_len}, digest);
    if (row->digest_len != sizeof digest || memcmp(digest, row->digest, sizeof digest) != 0)
        return damaged(row, "its digest is another", fault);
    if (msgpack_unpack((const char *)row->doc, row->doc_len, &off, &out->decoder.zone, &doc) !=
            MSGPACK_UNPACK_SUCCESS ||
        off != row->doc_len || !read_fields(&doc, out))
        return damaged(row, "it is not of the form this agent writes", fault);
    return ANTAG_OK;
}

void ag_changedoc_fini(struct ag_changedoc *d)
{
    if (d->made)
        antag_decoder_fini(&d->decoder);
    memset(d, 0, sizeof *d);
}

/* ---- the operation */

enum antag_err ag_changedoc_task(const struct ag_row_change *row, uint8_t base[AG_ALTER_BASE_LEN],
                                 struct ag_task **out, struct antag_fault *fault)
{
    struct ag_row_change *copy = malloc(sizeof *copy);
    struct ag_changedoc doc = {0};
    struct ag_task *op = NULL;
    enum antag_err err;

    *out = NULL;
    if (copy == NULL || (op = ag_task_blank(row->uid)) == NULL) {
        free(copy);
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a change");
    }
    *copy = *row; /* params are views into the document */
    op->bytes = (uint8_t *)copy;
    if ((err = ag_changedoc_read(copy, &doc, fault)) != ANTAG_OK)
        goto out;
    memcpy(base, doc.base, AG_ALTER_BASE_LEN);
    op->decoder = doc.decoder;
    op->decoder_made = true;
    doc.made = false; /* transferred */
    op->row = doc.row;
    op->which = doc.which;
    if ((op->params = calloc(1, op->row->params.size)) == NULL)
        err = antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a change");
    if (err == ANTAG_OK)
        err = antag_params_parse(&op->row->params, false, doc.params, op->params, fault);
    if (err == ANTAG_OK && doc.sealed.len > sizeof op->sealed)
        err = antag_fault_set(fault, ANTAG_ERR_REGISTRY, NULL, "a sealed token that is too long");
    if (err == ANTAG_OK && doc.sealed.len > 0) {
        memcpy(op->sealed, doc.sealed.p, doc.sealed.len);
        op->sealed_len = doc.sealed.len;
    }
out:
    ag_changedoc_fini(&doc);
    if (err != ANTAG_OK) {
        ag_task_free(op);
        return err;
    }
    *out = op;
    return ANTAG_OK;
}

void ag_changedoc_words(const char *method, char out[AG_DEED_MAX + 1])
{
    snprintf(out, AG_DEED_MAX + 1, "%s", method);
    for (char *p = out; *p != '\0'; p++)
        if (*p == '_')
            *p = ' ';
}
