#include "client/antomctl/filewalk.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "client/antomctl/print.h"

#define DEPTH_MAX 3
#define NAME_MAX_ 1024

/* one archive that is open, and what it stands in */
struct inside {
    struct ctl_walk *w;
    const char *path;
    const struct stat *st;
    uint64_t left; /* bytes that may still come out of the outermost */
    bool stopped;
};

/* ---- archives */

static bool begins(struct antag_slice s, size_t at, const void *magic, size_t len)
{
    return s.len >= at + len && memcmp(s.p + at, magic, len) == 0;
}

/* By its first bytes: names say nothing. */
static bool is_archive(struct antag_slice s)
{
    static const struct {
        size_t at, len;
        const char *magic;
    } all[] = {{0, 4, "PK\3\4"},
               {0, 2, "\x1f\x8b"},
               {0, 3, "BZh"},
               {0, 6,
                "\xfd"
                "7zXZ\0"},
               {0, 4, "\x28\xb5\x2f\xfd"},
               {0, 6, "7z\xbc\xaf\x27\x1c"},
               {257, 5, "ustar"},
               {0, 6, "070701"},
               {0, 8, "!<arch>\n"}};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (begins(s, all[i].at, all[i].magic, all[i].len))
            return true;
    return false;
}

static void look_inside(struct inside *in, const char *name, struct antag_slice data,
                        unsigned depth);

/* What of an entry is looked at; the caller frees *out. NULL: it could not be read. */
static uint8_t *read_entry(struct inside *in, struct archive *a, size_t *len, bool *cut)
{
    size_t cap = 65536, done = 0;
    uint8_t *out = ctl_alloc(cap, 1), *grown;
    la_ssize_t n;

    *cut = false;
    while ((n = archive_read_data(a, out + done, cap - done)) > 0) {
        done += (size_t)n;
        in->left -= in->left < (uint64_t)n ? in->left : (uint64_t)n;
        *cut = done >= CTL_WALK_FILE_MAX || in->left == 0;
        if (*cut)
            break;
        if (done < cap)
            continue;
        if ((grown = realloc(out, cap *= 2)) == NULL) {
            free(out);
            return NULL;
        }
        out = grown;
    }
    *len = done;
    if (n >= 0 || done > 0)
        return out;
    free(out);
    return NULL;
}

static void take_entry(struct inside *in, const char *name, struct antag_slice data, unsigned depth)
{
    const struct ctl_walked file = {in->path, name, in->st, data};

    in->w->files++;
    in->w->bytes += data.len;
    in->stopped = !in->w->on_file(&file, in->w->ctx);
    if (!in->stopped && depth < DEPTH_MAX && is_archive(data))
        look_inside(in, name, data, depth + 1);
}

static void skipped_entry(struct inside *in, const char *name, const char *why)
{
    char text[2 * NAME_MAX_];

    snprintf(text, sizeof text, "%s: %s", in->path, name);
    in->w->on_skipped(text, why, in->w->ctx);
}

static void next_entries(struct inside *in, struct archive *a, const char *outer, unsigned depth)
{
    struct archive_entry *entry;
    char name[NAME_MAX_];
    int status;

    while (
        !in->stopped && in->left > 0 &&
        ((status = archive_read_next_header(a, &entry)) == ARCHIVE_OK || status == ARCHIVE_WARN)) {
        const char *own = archive_entry_pathname(entry);
        size_t len = 0;
        bool cut;
        uint8_t *data;

        if (archive_entry_filetype(entry) != AE_IFREG && archive_entry_filetype(entry) != 0)
            continue;
        snprintf(name, sizeof name, "%s%s%s", outer == NULL ? "" : outer, outer == NULL ? "" : ": ",
                 own == NULL ? "?" : own);
        if ((data = read_entry(in, a, &len, &cut)) == NULL) {
            skipped_entry(in, name, archive_error_string(a));
            continue;
        }
        if (cut)
            skipped_entry(in, name, "only its beginning was looked at: it is too large");
        take_entry(in, name, (struct antag_slice){data, len}, depth);
        free(data);
    }
}

/* What turns out to be no archive is none: it was looked at as a file. */
static void look_inside(struct inside *in, const char *name, struct antag_slice data,
                        unsigned depth)
{
    struct archive *a = archive_read_new();

    if (a == NULL)
        return;
    archive_read_support_filter_all(a);
    archive_read_support_format_all(a);
    archive_read_support_format_raw(a); /* one file that is only compressed */
    if (archive_read_open_memory(a, data.p, data.len) == ARCHIVE_OK)
        next_entries(in, a, name, depth);
    if (in->left == 0)
        skipped_entry(in, name == NULL ? "" : name, "the rest was left out: too much comes out");
    archive_read_free(a);
}

/* ---- files */

static uint8_t *read_file(int fd, size_t size, size_t *len)
{
    uint8_t *out = malloc(size + 1);
    size_t done = 0;
    ssize_t n = 0;

    while (out != NULL && done < size && (n = read(fd, out + done, size - done)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            free(out);
            return NULL;
        }
        done += (size_t)n;
    }
    *len = done;
    return out;
}

/* False: stop. */
static bool take_file(struct ctl_walk *w, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct inside in = {.w = w, .path = path, .left = CTL_WALK_ARCHIVE_MAX};
    struct ctl_walked file = {.path = path};
    struct stat st;
    uint8_t *data = NULL;
    size_t len = 0;
    bool goes_on = true;

    if (fd < 0 || fstat(fd, &st) != 0) {
        w->on_skipped(path, strerror(errno), w->ctx);
    } else if (S_ISREG(st.st_mode) && st.st_size > 0) {
        size_t size =
            (uint64_t)st.st_size > CTL_WALK_FILE_MAX ? CTL_WALK_FILE_MAX : (size_t)st.st_size;

        if ((data = read_file(fd, size, &len)) == NULL) {
            w->on_skipped(path, strerror(errno), w->ctx);
        } else {
            if ((uint64_t)st.st_size > CTL_WALK_FILE_MAX)
                w->on_skipped(path, "only its first 64 MiB were looked at", w->ctx);
            w->files++;
            w->bytes += len;
            file.st = in.st = &st;
            file.data = (struct antag_slice){data, len};
            goes_on = w->on_file(&file, w->ctx);
            if (goes_on && is_archive(file.data))
                look_inside(&in, NULL, file.data, 1);
        }
    }
    free(data);
    if (fd >= 0)
        close(fd);
    return goes_on && !in.stopped;
}

/* The kernel's own, where files are no files. */
static bool is_kernels(const char *path)
{
    struct statfs fs;

    return statfs(path, &fs) == 0 &&
           (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
            fs.f_type == CGROUP2_SUPER_MAGIC || fs.f_type == DEBUGFS_MAGIC);
}

bool ctl_walk(struct ctl_walk *w, const char *root)
{
    char *const roots[] = {(char *)(uintptr_t)root, NULL};
    struct stat st;
    bool goes_on = true;
    FTSENT *e;
    FTS *fts;

    if (lstat(root, &st) != 0 ||
        (fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW, NULL)) == NULL)
        return false;
    while (goes_on && (e = fts_read(fts)) != NULL) {
        if (e->fts_info == FTS_D && is_kernels(e->fts_accpath))
            fts_set(fts, e, FTS_SKIP);
        else if (e->fts_info == FTS_F)
            goes_on = take_file(w, e->fts_path);
        else if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS)
            w->on_skipped(e->fts_path, strerror(e->fts_errno), w->ctx);
    }
    fts_close(fts);
    return true;
}
