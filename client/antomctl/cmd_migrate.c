/* migrate scan, migrate import: private keys that lie in files, and their way into the agent. Nothing of a private half is ever
 * printed; where it lies, its form and the fingerprint of its public half are. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/lib/clock.h"
#include "client/antomctl/ctl.h"
#include "client/antomctl/filewalk.h"
#include "client/antomctl/json.h"
#include "client/antomctl/keyhunt.h"
#include "client/antomctl/secretin.h"
#include "client/antomctl/view.h"

#define PROGRESS_MS 200
#define SKIPPED_MAX 1000 /* that are named; the others are counted */

struct scan {
    json_t *places, *skipped;
    uint64_t skipped_count;
    const struct ctl_walked *file; /* that is looked at */
    bool shows_progress;
    int64_t shown_ms;
    const struct ctl_walk *walk;
};

/* ---- progress */

static void show_progress(struct scan *s, bool last)
{
    int64_t now = ag_clock_mono_ms();

    if (!s->shows_progress || (!last && now - s->shown_ms < PROGRESS_MS))
        return;
    s->shown_ms = now;
    (void)fprintf(stderr, last ? "\r\033[K" : "\r\033[K%llu files, %llu MB, %zu keys",
                  (unsigned long long)s->walk->files,
                  (unsigned long long)(s->walk->bytes / 1000000), json_array_size(s->places));
    (void)fflush(stderr);
}

/* ---- what is found */

static void on_found(const struct ctl_hunted *f, void *ctx)
{
    struct scan *s = ctx;
    char mode[8];
    json_t *o = json_object();

    (void)json_object_set_new(o, "path", json_string(s->file->path));
    if (s->file->entry != NULL)
        (void)json_object_set_new(o, "entry", json_string(s->file->entry));
    (void)json_object_set_new(o, "line", json_integer((json_int_t)f->line));
    (void)json_object_set_new(o, "form", json_string(f->form));
    (void)json_object_set_new(o, "encrypted", json_boolean(f->encrypted));
    if (!f->encrypted) {
        (void)json_object_set_new(o, "bits", json_integer((json_int_t)f->bits));
        (void)json_object_set_new(o, "fingerprint", json_string(f->fingerprint));
    }
    (void)snprintf(mode, sizeof mode, "%04o", (unsigned)(s->file->st->st_mode & 07777));
    (void)json_object_set_new(o, "mode", json_string(mode));
    (void)json_object_set_new(o, "uid", json_integer((json_int_t)s->file->st->st_uid));
    (void)json_array_append_new(s->places, o);
}

static bool on_file(const struct ctl_walked *file, void *ctx)
{
    struct scan *s = ctx;

    s->file = file;
    ctl_keyhunt(file->data, on_found, s);
    show_progress(s, false);
    return true;
}

static void on_skipped(const char *path, const char *why, void *ctx)
{
    struct scan *s = ctx;

    if (s->skipped_count++ < SKIPPED_MAX)
        (void)json_array_append_new(
            s->skipped, json_pack("{s:s%, s:s}", "path", path, strlen(path), "why", why));
}

/* ---- what the agent holds */

/* Adds {profile, version, state} of each key to `held`, under its fingerprint. */
static void add_keys(struct ctl *c, const char *profile, json_t *held)
{
    struct antag_writer params;
    struct antag_fault fault;
    json_t *result = NULL, *key;
    size_t i;

    antag_writer_init(&params, 1024);
    antag_w_map(&params);
    antag_w_kv_str(&params, "profile", profile);
    antag_w_end(&params);
    if (ctl_ask(c, CTL_STAFF, "key_list", &params, NULL, 0, &result, &fault) == ANTAG_OK)
        json_array_foreach(json_object_get(result, "keys"), i, key)
        {
            const char *fingerprint = ctl_json_text(key, "fingerprint");
            json_t *list = json_object_get(held, fingerprint);

            if (list == NULL) {
                list = json_array();
                (void)json_object_set_new(held, fingerprint, list);
            }
            (void)json_array_append_new(list, json_pack("{s:s, s:O, s:O}", "profile", profile,
                                                        "version", json_object_get(key, "version"),
                                                        "state", json_object_get(key, "state")));
        }
    antag_writer_fini(&params);
    json_decref(result);
}

/* fingerprint -> the keys it names; NULL, and `why`: the agent does not tell. */
static json_t *held_keys(struct ctl *c, struct antag_fault *why)
{
    json_t *result = NULL, *held, *app, *profile;
    size_t i, k;

    if (ctl_ask_within(c, CTL_STAFF, "app_list", NULL, 5000, &result, why) != ANTAG_OK)
        return NULL;
    held = json_object();
    json_array_foreach(json_object_get(result, "apps"), i, app)
    {
        json_array_foreach(json_object_get(app, "profiles"), k, profile)
        {
            add_keys(c, ctl_json_text(profile, "profile"), held);
        }
    }
    json_decref(result);
    return held;
}

/* ---- by key */

static json_t *key_of(json_t *keys, const char *fingerprint)
{
    json_t *key;
    size_t i;

    json_array_foreach(keys, i, key)
    {
        if (strcmp(ctl_json_text(key, "fingerprint"), fingerprint) == 0)
            return key;
    }
    return NULL;
}

/* One row for each key, whatever the number of places; those the agent holds say so. */
static json_t *keys_of(const json_t *places, const json_t *held)
{
    json_t *keys = json_array(), *place;
    size_t i;

    json_array_foreach(places, i, place)
    {
        const char *fingerprint = ctl_json_text(place, "fingerprint");
        json_t *key = *fingerprint == '\0' ? NULL : key_of(keys, fingerprint);
        const json_t *of = held == NULL ? NULL : json_object_get(held, fingerprint);

        if (*fingerprint == '\0')
            continue; /* encrypted: nobody knows which key it is */
        if (key == NULL) {
            key = json_pack("{s:s, s:O, s:i}", "fingerprint", fingerprint, "bits",
                            json_object_get(place, "bits"), "places", 0);
            if (of != NULL)
                (void)json_object_set(key, "held", (json_t *)(uintptr_t)of);
            (void)json_object_set_new(key, "todo",
                                      json_string(of != NULL ? "rotate" : "import, then rotate"));
            (void)json_array_append_new(keys, key);
        }
        (void)json_object_set_new(
            key, "places", json_integer(json_integer_value(json_object_get(key, "places")) + 1));
    }
    return keys;
}

/* ---- migrate scan */

static enum antag_err walk_all(struct ctl *c, struct scan *s, struct ctl_walk *walk,
                               struct antag_fault *fault)
{
    for (size_t i = 0; i < c->line.count; i++) {
        const char *path = c->line.given[i].text;

        if (strcmp(c->line.given[i].arg->name, "PATH") == 0 && !ctl_walk(walk, path)) {
            show_progress(s, true);
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "PATH", "%s: %s", path,
                                   strerror(errno));
        }
    }
    show_progress(s, true);
    return ANTAG_OK;
}

enum antag_err ctl_run_migrate_scan(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    struct scan s = {.places = json_array(), .skipped = json_array()};
    struct ctl_walk walk = {.on_file = on_file, .on_skipped = on_skipped, .ctx = &s};
    struct antag_fault why = {0};
    json_t *held;
    enum antag_err err;

    ctl_secret_setup(); /* no core file: keys pass through */
    s.walk = &walk;
    s.shows_progress = isatty(STDERR_FILENO) && !c->line.json;
    if ((err = walk_all(c, &s, &walk, fault)) != ANTAG_OK) {
        json_decref(s.places);
        json_decref(s.skipped);
        return err;
    }
    held = held_keys(c, &why);
    *result = json_pack("{s:I, s:I, s:o, s:o, s:o, s:I}", "files", (json_int_t)walk.files, "bytes",
                        (json_int_t)walk.bytes, "keys", keys_of(s.places, held), "places", s.places,
                        "skipped", s.skipped, "skipped_count", (json_int_t)s.skipped_count);
    if (held == NULL)
        (void)json_object_set_new(*result, "agent", json_string(antag_fault_text(&why)));
    json_decref(held);
    return ANTAG_OK;
}

/* ---- migrate import */

struct pick {
    const char *wanted; /* beginning of a fingerprint, or NULL */
    struct ag_secret *der;
    char fingerprint[65];
    size_t others; /* different ones beside it */
    bool out_of_memory;
};

static void on_pick(const struct ctl_hunted *f, void *ctx)
{
    struct pick *p = ctx;

    if (f->encrypted ||
        (p->wanted != NULL && strncmp(f->fingerprint, p->wanted, strlen(p->wanted)) != 0))
        return;
    if (p->der != NULL) {
        p->others += strcmp(p->fingerprint, f->fingerprint) != 0;
        return;
    }
    if ((p->der = ag_secret_new(f->der.len)) == NULL) {
        p->out_of_memory = true;
        return;
    }
    memcpy(ag_secret_bytes(p->der), f->der.p, f->der.len);
    ag_secret_set_len(p->der, f->der.len);
    memcpy(p->fingerprint, f->fingerprint, sizeof p->fingerprint);
}

static bool pick_in_file(const struct ctl_walked *file, void *ctx)
{
    ctl_keyhunt(file->data, on_pick, ctx);
    return true;
}

static void ignore_skipped(const char *path, const char *why, void *ctx)
{
    (void)path;
    (void)why;
    (void)ctx;
}

static enum antag_err pick_one(const char *path, struct pick *p, struct antag_fault *fault)
{
    struct ctl_walk walk = {.on_file = pick_in_file, .on_skipped = ignore_skipped, .ctx = p};

    if (!ctl_walk(&walk, path))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "--file", "%s: %s", path,
                               strerror(errno));
    if (p->out_of_memory)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
    if (p->der == NULL)
        return antag_fault_set(
            fault, ANTAG_ERR_NOT_FOUND, "--file",
            "%s holds no RSA private key%s%s; `antomctl migrate scan` shows what "
            "lies where",
            path, p->wanted != NULL ? " whose fingerprint begins with " : "",
            p->wanted != NULL ? p->wanted : "");
    if (p->others > 0)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "--fingerprint",
                               "%s holds several keys: say which one by the beginning of its "
                               "fingerprint",
                               path);
    return ANTAG_OK;
}

enum antag_err ctl_run_migrate_import(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    struct pick p = {.wanted = ctl_args_get(&c->line, "--fingerprint")};
    const struct ag_secret *one[1];
    enum antag_err err;

    ctl_secret_setup();
    if (p.wanted != NULL && strspn(p.wanted, "0123456789abcdef") != strlen(p.wanted))
        return antag_fault_set(fault, ANTAG_ERR_USAGE, "--fingerprint",
                               "is the beginning of a fingerprint: digits and a to f");
    if ((err = pick_one(ctl_args_get(&c->line, "--file"), &p, fault)) == ANTAG_OK) {
        one[0] = p.der;
        err = ctl_ask_args(c, c->line.command->method, one, 1, result, fault);
    }
    ag_secret_free(p.der);
    return err;
}
