/* What `migrate scan` found, for people: by key, with its places and what to do about it. */
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "client/antomctl/json.h"
#include "client/antomctl/view.h"

#define SKIPPED_SHOWN 10

static int64_t number_of(const json_t *o, const char *key)
{
    int64_t v = 0;

    (void)ctl_json_int(o, key, &v);
    return v;
}

/* "world-readable 0644 root": who else had it. */
static void write_access(const json_t *place, char *out, size_t size)
{
    const char *mode = ctl_json_text(place, "mode");
    unsigned long bits = strtoul(mode, NULL, 8);
    const struct passwd *user = getpwuid((uid_t)number_of(place, "uid"));
    char number[24];

    (void)snprintf(number, sizeof number, "%" PRId64, number_of(place, "uid"));
    (void)snprintf(out, size, "%s %s%s", mode, user != NULL ? user->pw_name : number,
                   (bits & 04) != 0    ? ", readable by all"
                   : (bits & 040) != 0 ? ", by a group"
                                       : "");
}

static void put_place(const json_t *place)
{
    const char *entry = ctl_json_text(place, "entry");
    char where[4096], access[96], text[4400];

    (void)snprintf(where, sizeof where, "%s%s%s:%" PRId64, ctl_json_text(place, "path"),
                   *entry != '\0' ? ": " : "", entry, number_of(place, "line"));
    write_access(place, access, sizeof access);
    (void)snprintf(text, sizeof text, "%s  (%s; %s)", where, ctl_json_text(place, "form"), access);
    char *clean = ctl_clean(text, strlen(text));

    (void)printf("    ");
    ctl_put_wrapped(stdout, clean, 4, 6);
    free(clean);
}

static void put_places(const json_t *places, const char *fingerprint)
{
    const json_t *place;
    size_t i;

    json_array_foreach(places, i, place)
    {
        if (strcmp(ctl_json_text(place, "fingerprint"), fingerprint) == 0)
            put_place(place);
    }
}

static const char *first_path(const json_t *places, const char *fingerprint)
{
    const json_t *place;
    size_t i;

    json_array_foreach(places, i, place)
    {
        if (strcmp(ctl_json_text(place, "fingerprint"), fingerprint) == 0)
            return ctl_json_text(place, "path");
    }
    return "";
}

static bool is_in_use(const json_t *held)
{
    return strcmp(ctl_json_text(held, "state"), "destroyed") != 0;
}

/* What the agent knows it as, and the command that comes next. */
static void put_key(struct ctl *c, const json_t *result, const json_t *key)
{
    const char *fingerprint = ctl_json_text(key, "fingerprint");
    const json_t *places = json_object_get(result, "places"), *held;
    size_t i;

    ctl_put(stdout, c->colour, CTL_BAD, "key ");
    (void)printf("%.16s…  RSA-%" PRId64 "\n", fingerprint, number_of(key, "bits"));
    put_places(places, fingerprint);
    json_array_foreach(json_object_get(key, "held"), i, held)
    {
        (void)printf("    the agent holds it: %s key %" PRId64 ", %s. It was exposed: rotate it\n",
                     ctl_json_text(held, "profile"), number_of(held, "version"),
                     ctl_json_text(held, "state"));
        if (is_in_use(held))
            ctl_next(c, "rotate start %s", ctl_json_text(held, "profile"));
    }
    if (json_object_get(key, "held") == NULL)
        ctl_next(c, "migrate import APP/ENV --file '%s' --fingerprint %.16s",
                 first_path(places, fingerprint), fingerprint);
    (void)putchar('\n');
}

static void put_encrypted(const json_t *places)
{
    const json_t *place;
    size_t i, count = 0;

    json_array_foreach(places, i, place)
    {
        if (!json_is_true(json_object_get(place, "encrypted")))
            continue;
        if (count++ == 0)
            (void)printf("behind a passphrase, so which key it is is not known\n");
        put_place(place);
    }
    if (count > 0)
        (void)putchar('\n');
}

static void put_skipped(const json_t *result)
{
    int64_t count = number_of(result, "skipped_count");
    const json_t *one;
    size_t i;

    if (count == 0)
        return;
    (void)printf("not looked at, or not whole: %" PRId64 "\n", count);
    json_array_foreach(json_object_get(result, "skipped"), i, one)
    {
        char text[4400];

        if (i == SKIPPED_SHOWN) {
            (void)printf("    and others; --json names them\n");
            break;
        }
        (void)snprintf(text, sizeof text, "%s: %s", ctl_json_text(one, "path"),
                       ctl_json_text(one, "why"));
        char *clean = ctl_clean(text, strlen(text));

        (void)printf("    ");
        ctl_put_wrapped(stdout, clean, 4, 6);
        free(clean);
    }
    (void)putchar('\n');
}

void ctl_render_migrate(struct ctl *c, const json_t *result)
{
    const json_t *keys = json_object_get(result, "keys"), *key;
    const char *agent = ctl_json_text(result, "agent");
    char line[CTL_LINE_MAX];
    size_t i;

    json_array_foreach(keys, i, key) put_key(c, result, key);
    put_encrypted(json_object_get(result, "places"));
    put_skipped(result);
    (void)snprintf(line, sizeof line,
                   "Keys: %zu. Places: %zu. Looked at: %" PRId64 " files, %" PRId64 " MB.",
                   json_array_size(keys), json_array_size(json_object_get(result, "places")),
                   number_of(result, "files"), number_of(result, "bytes") / 1000000);
    ctl_say(line);
    if (*agent != '\0') {
        (void)snprintf(line, sizeof line,
                       "Which of them the agent holds is not known, as it could not be asked: %s",
                       agent);
        ctl_say(line);
    }
    if (json_array_size(keys) > 0)
        ctl_say("A key that lay in a file is known to whoever read that file, its backups and its "
                "history: import it so that nothing stops, rotate it, then delete the places.");
}
