#include "agent/lib/chain/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/lib/chain/segment.h"

static enum antag_err failed(const struct ag_tail_conf *conf, const char *name,
                             struct antag_fault *fault)
{
    return antag_fault_set(fault, ANTAG_ERR_IO, NULL, "%.300s/%s%s%s cannot be read: %s",
                           conf->audit_dir, conf->name, name[0] != '\0' ? "/" : "", name,
                           strerror(errno));
}

static void walk(const struct ag_tail_conf *conf, FILE *file)
{
    char *text = NULL;
    size_t cap = 0;
    ssize_t n;

    while ((n = getline(&text, &cap, file)) > 0) {
        struct antag_slice line = {(const uint8_t *)text, (size_t)n - 1};
        struct ag_line_head head;

        if (text[n - 1] == '\n' && ag_line_parse(line, &head, NULL) == ANTAG_OK &&
            strcmp(head.chain, conf->name) == 0)
            conf->on_line(&head, line, conf->ctx);
    }
    free(text);
}

static enum antag_err read_segment(const struct ag_tail_conf *conf, int dir, uint32_t number,
                                   struct antag_fault *fault)
{
    char name[AG_SEGMENT_NAME_SIZE];
    enum antag_err err = ANTAG_OK;
    FILE *file = NULL;
    int fd;

    ag_segment_name(number, name);
    fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        file = fdopen(fd, "r");
    if (file == NULL) {
        err = failed(conf, name, fault);
        if (fd >= 0)
            close(fd);
        return err;
    }
    walk(conf, file);
    if (ferror(file))
        err = failed(conf, name, fault);
    fclose(file);
    return err;
}

enum antag_err ag_chain_tail(const struct ag_tail_conf *conf, struct antag_fault *fault)
{
    char path[1024];
    uint32_t *list = NULL;
    size_t count = 0;
    enum antag_err err = ANTAG_OK;
    int dir;

    snprintf(path, sizeof path, "%s/%s", conf->audit_dir, conf->name);
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return errno == ENOENT ? ANTAG_OK : failed(conf, "", fault);
    if (ag_segment_list(dir, &list, &count) != ANTAG_OK)
        err = failed(conf, "", fault);
    while (err == ANTAG_OK && count > 0) {
        err = read_segment(conf, dir, list[--count], fault);
        if (err == ANTAG_OK && conf->on_segment(conf->ctx))
            break;
    }
    free(list);
    close(dir);
    return err;
}
