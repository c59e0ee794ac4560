#include "agent/lib/tpm/tss.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define LIB_ESYS    "libtss2-esys.so.0"
#define LIB_MU      "libtss2-mu.so.0"
#define LIB_RC      "libtss2-rc.so.0"
#define LIB_TCTILDR "libtss2-tctildr.so.0"

struct ag_tss ag_tss;

/* `to`: where the pointer to the function goes. */
static enum antag_err find(const char *lib, const char *name, void *to, struct antag_fault *fault)
{
    void *handle = dlopen(lib, RTLD_NOW | RTLD_LOCAL), *at;

    if (handle == NULL)
        return antag_fault_set(fault, ANTAG_ERR_PROTECTION, NULL,
                               "%s; on Debian it is in the packages libtss2-esys-3.0.2-0, "
                               "libtss2-mu0, libtss2-rc0 and libtss2-tctildr0",
                               dlerror());
    if ((at = dlsym(handle, name)) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_PROTECTION, NULL, "%s has no %s", lib, name);
    memcpy(to, &at, sizeof at);
    return ANTAG_OK;
}

enum antag_err ag_tss_load(struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    /* what goes wrong is said by the agent's own log */
    if (setenv("TSS2_LOG", "all+NONE", 1) != 0)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for TSS2_LOG");
#define AG_ROW(lib, name)                                                                          \
    if (err == ANTAG_OK)                                                                           \
        err = find(LIB_##lib, #name, (void *)&ag_tss.name, fault);
    AG_TSS_CALLS(AG_ROW)
#undef AG_ROW
    return err;
}
