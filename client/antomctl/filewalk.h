/* filewalk: the contents of all files under some paths, those in archives too (tar, zip, jar, gz, xz, zst, 7z, ... by libarchive, up
 * to three deep). Symbolic links are not followed, devices and the kernel's file systems are left out. Reads only. */
#ifndef CTL_FILEWALK_H
#define CTL_FILEWALK_H

#include <sys/stat.h>

#include "antag/types.h"

#define CTL_WALK_FILE_MAX    (64u << 20)  /* bytes of one file or entry that are looked at */
#define CTL_WALK_ARCHIVE_MAX (4ull << 30) /* bytes that come out of one archive */

struct ctl_walked {
    const char *path; /* of the file */
    const char
        *entry; /* in an archive, "inner.zip: a/b" when it is nested; NULL: it is the file itself */
    const struct stat *st; /* of the file */
    struct antag_slice data;
};
struct ctl_walk {
    /* Each file and entry of an archive; the archive itself comes as a file too. False: stop. */
    bool (*on_file)(const struct ctl_walked *file, void *ctx);
    /* What could not be looked at, or not whole. */
    void (*on_skipped)(const char *path, const char *why, void *ctx);
    void *ctx;
    uint64_t files, bytes; /* counted */
};

/* False: `root` is not there. */
bool ctl_walk(struct ctl_walk *w, const char *root);

#endif
