#include "agent/keeper/backend/p11kit.h"

#include <dlfcn.h>
#include <string.h>

struct ag_p11kit ag_p11kit;

/* A pointer to a function out of dlsym's pointer to data, as POSIX has it. */
static enum antag_err find(void *lib, const char *name, void *to, struct antag_fault *fault)
{
    void *at = dlsym(lib, name);

    if (at == NULL)
        return antag_fault_set(fault, ANTAG_ERR_PROTECTION, NULL, "libp11-kit.so.0 has no %s",
                               name);
    memcpy(to, &at, sizeof at);
    return ANTAG_OK;
}

enum antag_err ag_p11kit_load(struct antag_fault *fault)
{
    void *lib = dlopen("libp11-kit.so.0", RTLD_NOW | RTLD_LOCAL);
    enum antag_err err = ANTAG_OK;

    if (lib == NULL)
        return antag_fault_set(fault, ANTAG_ERR_PROTECTION, NULL,
                               "%s; on Debian it is in the package libp11-kit0", dlerror());
#define AG_ROW(result, name, args)                                                                 \
    if (err == ANTAG_OK)                                                                           \
        err = find(lib, "p11_kit_" #name, (void *)&ag_p11kit.name, fault);
    AG_P11KIT_CALLS(AG_ROW)
#undef AG_ROW
    return err;
}
