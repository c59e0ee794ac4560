#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include <openssl/crypto.h>

#include "tests/bench/bench.h"

/* what a figure is taken from in each round */
typedef double figure(const struct row *row, const struct row *raw, size_t round);

static double p50_added(const struct row *row, const struct row *raw, size_t i)
{
    return row->samples[i].p50_us - raw->samples[i].p50_us;
}
static double ratio(const struct row *row, const struct row *raw, size_t i)
{
    return row->samples[i].rate / raw->samples[i].rate;
}
static double rate(const struct row *row, const struct row *raw, size_t i)
{
    (void)raw;
    return row->samples[i].rate;
}
static double p50(const struct row *row, const struct row *raw, size_t i)
{
    (void)raw;
    return row->samples[i].p50_us;
}
static double p99(const struct row *row, const struct row *raw, size_t i)
{
    (void)raw;
    return row->samples[i].p99_us;
}
static double client_us(const struct row *row, const struct row *raw, size_t i)
{
    (void)raw;
    return row->samples[i].client_us;
}

struct spread {
    double median, low, high; /* the middle half of the rounds */
};

static struct spread over_rounds(const struct report *r, const struct row *row,
                                 const struct row *raw, figure *f)
{
    double v[ROUNDS_MAX];

    for (size_t i = 0; i < r->rounds; i++)
        v[i] = f(row, raw, i);
    return (struct spread){quantile(v, r->rounds, 0.5), quantile(v, r->rounds, 0.25),
                           quantile(v, r->rounds, 0.75)};
}

static double role_us(const struct report *r, const struct row *row, enum role role)
{
    double v[ROUNDS_MAX];

    for (size_t i = 0; i < r->rounds; i++)
        v[i] = row->samples[i].role_us[role];
    return quantile(v, r->rounds, 0.5);
}

/* A lone request is held against one thread, all others against one a core. */
static const struct row *raw_of(const struct report *r, const struct row *row)
{
    const char *shape =
        strncmp(row->shape, "c1", 3) == 0 || strcmp(row->shape, "commit") == 0 ? "raw1" : "raw_all";

    for (size_t i = 0; i < r->row_count; i++)
        if (strcmp(r->rows[i].op, row->op) == 0 && strcmp(r->rows[i].shape, shape) == 0)
            return &r->rows[i];
    return row;
}

static bool is_lone(const struct row *row)
{
    return strcmp(row->shape, "c1") == 0 || strcmp(row->shape, "commit") == 0 ||
           strcmp(row->shape, "raw1") == 0;
}

static void print_row(const struct report *r, const struct row *row)
{
    const struct row *raw = raw_of(r, row);
    struct spread perf = over_rounds(r, row, raw, rate), lat = over_rounds(r, row, raw, p50),
                  cpu = over_rounds(r, row, raw, client_us), against;

    printf("%-7s%-30s%9.0f%9.1f%9.1f", row->op, row->what, perf.median, lat.median, cpu.median);
    if (row->raw) {
        printf("%8s%8s\n", "-", "-");
        return;
    }
    printf("%8.1f%8.1f", role_us(r, row, ROLE_FRONT), role_us(r, row, ROLE_KEEPER));
    against = over_rounds(r, row, raw, is_lone(row) ? p50_added : ratio);
    if (is_lone(row))
        printf("  +%.0f us (%.0f to %.0f)\n", against.median, against.low, against.high);
    else
        printf("  %.2f (%.2f to %.2f)\n", against.median, against.low, against.high);
}

/* Where the time of a lone request goes: nothing of it overlaps but what the record's thread does. */
static void print_breakdown(const struct report *r)
{
    printf("\n%-26s%9s%9s%9s%9s%9s%9s\n", "a lone request, us", "p50", "arithm.", "client", "front",
           "keeper", "waiting");
    for (size_t i = 0; i < r->row_count; i++) {
        const struct row *row = &r->rows[i], *raw = raw_of(r, row);
        double p50_us, arithmetic, client, front, keeper;
        bool signs = strcmp(row->op, "sign") == 0;

        if (row->raw || !is_lone(row))
            continue;
        p50_us = over_rounds(r, row, raw, p50).median;
        arithmetic = over_rounds(r, raw, raw, client_us).median;
        client = over_rounds(r, row, raw, client_us).median;
        front = role_us(r, row, ROLE_FRONT) - (signs ? 0 : arithmetic);
        keeper = role_us(r, row, ROLE_KEEPER) - (signs ? arithmetic : 0);
        printf("%-7s%-19s%9.0f%9.0f%9.1f%9.1f%9.1f%9.0f\n", row->op, row->what, p50_us, arithmetic,
               client, front, keeper, p50_us - arithmetic - client - front - keeper);
    }
    printf("arithm.: OpenSSL's part, as raw has it. client, front, keeper: CPU time beside it; the "
           "keeper's is with the\nrecord's thread, which works beside the signature. waiting: the "
           "kernel wakes the next process, three times a sign,\ntwice a verify.\n");
}

void report_print(const struct report *r)
{
    printf("%-7s%-30s%9s%9s%9s%8s%8s  %s\n", "", "", "a second", "p50 us", "client", "front",
           "keeper", "against raw");
    for (size_t i = 0; i < r->row_count; i++)
        print_row(r, &r->rows[i]);
    printf("\n%zu rounds of %u ms a row, in shuffled order; medians, and the middle half of the "
           "rounds.\n"
           "%u cores, client and agent on the same ones. client, front, keeper: CPU time of an "
           "operation, us.\n"
           "raw is OpenSSL in the client's own process, key and context kept; verify with a fresh "
           "context.\n"
           "16 connections and pipelined rows are held against raw on all cores.\n",
           r->rounds, r->ms, r->cores);
    print_breakdown(r);
}

/* ---- JSON */

static void put(json_t *o, const char *key, struct spread s)
{
    char wide[64];

    json_object_set_new(o, key, json_real(s.median));
    snprintf(wide, sizeof wide, "%s_spread", key);
    json_object_set_new(o, wide, json_pack("[ff]", s.low, s.high));
}

static json_t *row_json(const struct report *r, const struct row *row)
{
    const struct row *raw = raw_of(r, row);
    json_t *o = json_object(), *cpu = json_object();

    put(o, "rate", over_rounds(r, row, raw, rate));
    if (row->samples[0].p50_us > 0) {
        put(o, "p50_us", over_rounds(r, row, raw, p50));
        put(o, "p99_us", over_rounds(r, row, raw, p99));
    }
    if (!row->raw && is_lone(row))
        put(o, "p50_added_us", over_rounds(r, row, raw, p50_added));
    if (!row->raw && !is_lone(row))
        put(o, "ratio", over_rounds(r, row, raw, ratio));
    json_object_set_new(cpu, "client", json_real(over_rounds(r, row, raw, client_us).median));
    for (size_t i = 0; !row->raw && i < ROLE_COUNT; i++)
        json_object_set_new(cpu, role_names[i], json_real(role_us(r, row, (enum role)i)));
    json_object_set_new(o, "cpu_us", cpu);
    return o;
}

/* What figures depend on: "AMD EPYC, 2 cores, Linux 6.18, OpenSSL 3.0.22". */
static void machine_text(unsigned cores, char *out, size_t size)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256], cpu[128] = "unknown processor";
    struct utsname u = {.release = ""};

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':') != NULL) {
            snprintf(cpu, sizeof cpu, "%.100s", strchr(line, ':') + 2);
            cpu[strcspn(cpu, "\n")] = '\0';
            break;
        }
    if (f != NULL)
        fclose(f);
    (void)uname(&u);
    u.release[strcspn(u.release, "-+")] = '\0';
    snprintf(out, size, "%s, %u cores, Linux %s, OpenSSL %s", cpu, cores, u.release,
             OpenSSL_version(OPENSSL_VERSION_STRING));
}

bool report_json(const struct report *r, const char *path)
{
    char machine[320];
    json_t *top;
    bool good;

    machine_text(r->cores, machine, sizeof machine);
    top = json_pack("{s:s, s:i, s:i, s:i}", "machine", machine, "rounds", (int)r->rounds,
                    "round_ms", (int)r->ms, "cores", (int)r->cores);
    for (size_t i = 0; i < r->row_count; i++) {
        const struct row *row = &r->rows[i];
        json_t *op = json_object_get(top, row->op);

        if (op == NULL) {
            op = json_object();
            json_object_set_new(top, row->op, op);
        }
        json_object_set_new(op, row->shape, row_json(r, row));
    }
    good = json_dump_file(top, path, JSON_INDENT(2)) == 0;
    json_decref(top);
    return good;
}
