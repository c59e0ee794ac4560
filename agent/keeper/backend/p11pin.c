#include "agent/keeper/backend/p11pin.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/lib/home.h"
#include "agent/lib/secretfile.h"

static enum antag_err read_line(const struct ag_conf_keyring *conf, const char *setting,
                                const char *path, struct ag_secret **out, struct antag_fault *fault)
{
    struct antag_fault why;

    if (ag_secret_read_line(path, out, &why) == ANTAG_OK)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_BACKEND, setting, "[keyring %s] %s: %s", conf->name,
                           setting, antag_fault_text(&why));
}

static enum antag_err read_credential(const struct ag_conf_keyring *conf, struct ag_secret **out,
                                      struct antag_fault *fault)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    char path[AG_PATH_MAX + sizeof conf->pin_credential];

    if (folder == NULL)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, "pin_credential",
                               "[keyring %s] pin_credential: the service manager passed no "
                               "credentials; the unit needs LoadCredentialEncrypted=%s:FILE",
                               conf->name, conf->pin_credential);
    snprintf(path, sizeof path, "%s/%s", folder, conf->pin_credential);
    return read_line(conf, "pin_credential", path, out, fault);
}

enum antag_err ag_p11_pin_read(const struct ag_conf_keyring *conf, const struct ag_secret *ring_key,
                               const struct ag_p11_pin *pin, struct ag_secret **out,
                               struct antag_fault *fault)
{
    if (conf->pin_file[0] != '\0')
        return read_line(conf, "pin_file", conf->pin_file, out, fault);
    if (conf->pin_credential[0] != '\0')
        return read_credential(conf, out, fault);
    if (pin->len == 0)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, "pin",
                               "keyring %s has no PIN yet: `antomctl keyring pin %s` takes one",
                               conf->name, conf->name);
    if (ag_pin_open(ring_key, conf->name, (struct antag_slice){pin->sealed, pin->len}, out) ==
        ANTAG_OK)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_BACKEND, "pin",
                           "the PIN that the registry has of keyring %s does not open; `antomctl "
                           "keyring pin %s` takes it anew",
                           conf->name, conf->name);
}
