#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/bench.h"

const char *const role_names[ROLE_COUNT] = {"front", "keeper", "steward", "supervisor"};

static double us_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

double now_us(void)
{
    return us_of(CLOCK_MONOTONIC);
}

double thread_cpu_us(void)
{
    return us_of(CLOCK_THREAD_CPUTIME_ID);
}

/* The first number of a thread's schedstat: nanoseconds on a core. */
static double task_us(pid_t pid, const char *task)
{
    char path[64];
    unsigned long long ns = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/task/%.10s/schedstat", (int)pid, task);
    if ((f = fopen(path, "r")) == NULL)
        return 0;
    if (fscanf(f, "%llu", &ns) != 1)
        ns = 0;
    fclose(f);
    return (double)ns / 1e3;
}

static double process_us(pid_t pid)
{
    char path[64];
    struct dirent *e;
    double us = 0;
    DIR *d;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    if ((d = opendir(path)) == NULL)
        return 0;
    while ((e = readdir(d)) != NULL)
        if (e->d_name[0] != '.')
            us += task_us(pid, e->d_name);
    closedir(d);
    return us;
}

static pid_t parent_of(pid_t pid)
{
    char path[64], text[512], *end;
    int parent = 0;
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if ((f = fopen(path, "r")) == NULL)
        return 0;
    n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    if ((end = strrchr(text, ')')) == NULL || sscanf(end + 1, " %*c %d", &parent) != 1)
        return 0;
    return parent;
}

/* "antom-agent\0--role\0front\0" */
static bool role_of(pid_t pid, enum role *out)
{
    char path[64], text[256];
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    if ((f = fopen(path, "r")) == NULL)
        return false;
    n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    for (size_t at = 0; at + 7 < n; at += strlen(text + at) + 1) {
        if (strcmp(text + at, "--role") != 0)
            continue;
        for (size_t i = 0; i < ROLE_COUNT; i++)
            if (strcmp(text + at + 7, role_names[i]) == 0) {
                *out = (enum role)i;
                return true;
            }
    }
    return false;
}

bool cpu_of_roles(pid_t agent, struct cpu *out)
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    bool found = false;

    memset(out, 0, sizeof *out);
    out->us[ROLE_SUPERVISOR] = process_us(agent);
    while (d != NULL && (e = readdir(d)) != NULL) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        enum role role;

        if (pid <= 0 || parent_of(pid) != agent || !role_of(pid, &role))
            continue;
        out->us[role] += process_us(pid);
        found = true;
    }
    if (d != NULL)
        closedir(d);
    return found;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

double quantile(double *v, size_t count, double share)
{
    if (count == 0)
        return 0;
    qsort(v, count, sizeof *v, ascending);
    return v[(size_t)((double)(count - 1) * share + 0.5)];
}
