/* p11kit: p11-kit, loaded by keepers of PKCS#11 keyrings alone: no other role has its code. */
#ifndef AG_KEEPER_P11KIT_H
#define AG_KEEPER_P11KIT_H

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>

#include "antag/status.h"

#define AG_P11KIT_CALLS(R)                                                                         \
    R(CK_FUNCTION_LIST *, module_load, (const char *, int))                                        \
    R(CK_RV, module_initialize, (CK_FUNCTION_LIST *))                                              \
    R(CK_RV, module_finalize, (CK_FUNCTION_LIST *))                                                \
    R(void, module_release, (CK_FUNCTION_LIST *))                                                  \
    R(const char *, message, (void))                                                               \
    R(const char *, strerror, (CK_RV))                                                             \
    R(P11KitUri *, uri_new, (void))                                                                \
    R(int, uri_parse, (const char *, P11KitUriType, P11KitUri *))                                  \
    R(int, uri_match_token_info, (const P11KitUri *, const CK_TOKEN_INFO *))                       \
    R(void, uri_free, (P11KitUri *))

struct ag_p11kit {
#define AG_ROW(result, name, args) result(*name) args;
    AG_P11KIT_CALLS(AG_ROW)
#undef AG_ROW
};
extern struct ag_p11kit ag_p11kit;

/* Once, before any other thread uses it. errors: PROTECTION naming what could not be loaded. */
ANTAG_MUST_CHECK enum antag_err ag_p11kit_load(struct antag_fault *fault);

#endif
