#include "agent/opener/sealcred.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/lib/secretfile.h"

enum antag_err ag_sealcred_read(const char *folder, struct ag_secret **out,
                                struct antag_fault *fault)
{
    char path[1024];
    struct ag_secret *s = NULL;
    struct stat st;
    ssize_t n = -1;
    int fd;

    if (folder == NULL || folder[0] == '\0')
        return antag_fault_set(
            fault, ANTAG_ERR_SEAL, NULL,
            "the service manager passed no credentials (CREDENTIALS_DIRECTORY is "
            "not set); the unit needs LoadCredentialEncrypted=" AG_CREDENTIAL ":FILE");
    snprintf(path, sizeof path, "%s/" AG_CREDENTIAL, folder);
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return antag_fault_set(fault, ANTAG_ERR_SEAL, NULL,
                               "the credential %s cannot be opened: %s; the unit needs "
                               "LoadCredentialEncrypted=" AG_CREDENTIAL ":FILE",
                               path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || !ag_secret_is_private(&st)) {
        antag_fault_set(fault, ANTAG_ERR_SEAL, NULL,
                        "the credential %s must be a regular file that others cannot read or write "
                        "(0400)",
                        path);
        goto out;
    }
    s = ag_secret_new(AG_CREDENTIAL_MAX + 1);
    if (s == NULL) {
        antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a credential");
        goto out;
    }
    n = read(fd, ag_secret_bytes(s), AG_CREDENTIAL_MAX + 1);
    if (n < AG_CREDENTIAL_MIN || n > AG_CREDENTIAL_MAX) {
        antag_fault_set(fault, ANTAG_ERR_SEAL, NULL,
                        "the credential %s must have %d to %d random bytes; make one with `head -c "
                        "32 /dev/urandom | systemd-creds encrypt --name=" AG_CREDENTIAL " - FILE`",
                        path, AG_CREDENTIAL_MIN, AG_CREDENTIAL_MAX);
        ag_secret_free(s);
        n = -1;
        goto out;
    }
    ag_secret_set_len(s, (size_t)n);
    *out = s;
out:
    close(fd);
    return n < 0 ? fault->err : ANTAG_OK;
}
