#include "agent/courier/curl.h"

#include <dlfcn.h>
#include <string.h>

struct ag_curl ag_curl;

/* A pointer to a function out of dlsym's pointer to data, as POSIX has it. */
static enum antag_err find(void *lib, const char *name, void *to, struct antag_fault *fault)
{
    void *at = dlsym(lib, name);

    if (at == NULL)
        return antag_fault_set(fault, ANTAG_ERR_PROTECTION, NULL, "libcurl.so.4 has no %s", name);
    memcpy(to, &at, sizeof at);
    return ANTAG_OK;
}

enum antag_err ag_curl_load(struct antag_fault *fault)
{
    void *lib = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    enum antag_err err = ANTAG_OK;

    if (lib == NULL)
        return antag_fault_set(fault, ANTAG_ERR_PROTECTION, NULL, "%s", dlerror());
#define AG_ROW(result, name, args)                                                                 \
    if (err == ANTAG_OK)                                                                           \
        err = find(lib, "curl_" #name, (void *)&ag_curl.name, fault);
    AG_CURL_CALLS(AG_ROW)
#undef AG_ROW
    if (err == ANTAG_OK && ag_curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        err = antag_fault_set(fault, ANTAG_ERR_PROTECTION, NULL, "libcurl does not start");
    return err;
}

void ag_curl_end(void)
{
    if (ag_curl.global_cleanup != NULL)
        ag_curl.global_cleanup();
}
