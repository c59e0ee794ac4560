#include "agent/lib/chain/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void ag_segment_name(uint32_t number, char out[AG_SEGMENT_NAME_SIZE])
{
    snprintf(out, AG_SEGMENT_NAME_SIZE, "%08u.jsonl",
             number > AG_SEGMENT_MAX ? AG_SEGMENT_MAX : number);
}

bool ag_segment_parse(const char *name, uint32_t *number)
{
    uint32_t v = 0;

    if (strlen(name) != AG_SEGMENT_NAME_SIZE - 1 || strcmp(name + 8, ".jsonl") != 0)
        return false;
    for (size_t i = 0; i < 8; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        v = v * 10 + (uint32_t)(name[i] - '0');
    }
    *number = v;
    return v > 0;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

enum antag_err ag_segment_list(int dir, uint32_t **out, size_t *count)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    uint32_t *list = NULL, number;
    size_t n = 0, cap = 0;
    enum antag_err err = ANTAG_OK;
    struct dirent *e;

    if (d == NULL) {
        if (fd >= 0)
            close(fd);
        return ANTAG_ERR_IO;
    }
    for (errno = 0; err == ANTAG_OK && (e = readdir(d)) != NULL; errno = 0) {
        if (!ag_segment_parse(e->d_name, &number))
            continue;
        if (n == cap) {
            uint32_t *more = realloc(list, (cap = cap > 0 ? 2 * cap : 64) * sizeof *list);

            if (more == NULL) {
                err = ANTAG_ERR_NO_MEMORY;
                continue;
            }
            list = more;
        }
        list[n++] = number;
    }
    if (err == ANTAG_OK && errno != 0)
        err = ANTAG_ERR_IO;
    closedir(d);
    if (err != ANTAG_OK) {
        free(list);
        return err;
    }
    if (n > 0)
        qsort(list, n, sizeof *list, ascending);
    *out = list;
    *count = n;
    return ANTAG_OK;
}

/* The last good line among `len` bytes, of which `whole` tells whether they begin with a line. */
static bool find_last(const uint8_t *p, size_t len, bool whole, struct ag_segment_end *out)
{
    size_t end = len;

    for (;;) {
        const uint8_t *newline = end > 0 ? memrchr(p, '\n', end) : NULL, *before;
        struct antag_slice line;

        if (newline == NULL)
            return false;
        end = (size_t)(newline - p);
        before = end > 0 ? memrchr(p, '\n', end) : NULL;
        if (before == NULL && !whole)
            return false; /* its begin lies further ahead */
        line.p = before != NULL ? before + 1 : p;
        line.len = (size_t)(newline - line.p);
        if (ag_line_parse(line, &out->last, NULL) == ANTAG_OK) {
            out->found = true;
            out->torn = len - end - 1;
            return true;
        }
    }
}

static bool read_at(int fd, uint8_t *p, size_t len, off_t at)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(fd, p + done, len - done, at + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static enum antag_err read_first(int fd, uint64_t size, struct ag_segment_end *out)
{
    size_t len = size < AG_LINE_MAX ? size : AG_LINE_MAX;
    uint8_t *p = malloc(len + 1), *newline;
    enum antag_err err = p == NULL ? ANTAG_ERR_NO_MEMORY : ANTAG_OK;

    if (err == ANTAG_OK && !read_at(fd, p, len, 0))
        err = ANTAG_ERR_IO;
    newline = err == ANTAG_OK ? memchr(p, '\n', len) : NULL;
    out->begins = newline != NULL && ag_line_parse((struct antag_slice){p, (size_t)(newline - p)},
                                                   &out->first, NULL) == ANTAG_OK;
    free(p);
    return err;
}

enum antag_err ag_segment_end(int dir, uint32_t number, struct ag_segment_end *out)
{
    char name[AG_SEGMENT_NAME_SIZE];
    enum antag_err err = ANTAG_OK;
    struct stat st;
    int fd;

    memset(out, 0, sizeof *out);
    ag_segment_name(number, name);
    fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        err = ANTAG_ERR_IO;
    if (err == ANTAG_OK) {
        out->torn = (uint64_t)st.st_size;
        err = read_first(fd, out->torn, out);
    }
    for (size_t window = 2 * (size_t)AG_LINE_MAX; err == ANTAG_OK && st.st_size > 0; window *= 4) {
        bool whole = window >= (size_t)st.st_size;
        size_t len = whole ? (size_t)st.st_size : window;
        uint8_t *p = malloc(len);

        if (p == NULL)
            err = ANTAG_ERR_NO_MEMORY;
        else if (!read_at(fd, p, len, st.st_size - (off_t)len))
            err = ANTAG_ERR_IO;
        else
            whole = find_last(p, len, whole, out) || whole;
        free(p);
        if (whole)
            break;
    }
    if (fd >= 0)
        close(fd);
    return err;
}

enum antag_err ag_segment_sync(int dir, uint32_t number)
{
    char name[AG_SEGMENT_NAME_SIZE];
    enum antag_err err = ANTAG_OK;
    int fd;

    ag_segment_name(number, name);
    fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return ANTAG_ERR_IO;
    if (fdatasync(fd) != 0)
        err = ANTAG_ERR_IO;
    close(fd);
    return err;
}
