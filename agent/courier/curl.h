/* curl: libcurl, loaded by the courier alone: no other role has its code, nor that of the dozen libraries that it
 * brings along, in its address space. */
#ifndef AG_COURIER_CURL_H
#define AG_COURIER_CURL_H

/* types and numbers only: all calls go through the table below */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "antag/status.h"

#define AG_CURL_CALLS(R)                                                                           \
    R(CURLcode, global_init, (long))                                                               \
    R(void, global_cleanup, (void))                                                                \
    R(CURL *, easy_init, (void))                                                                   \
    R(CURLcode, easy_setopt, (CURL *, CURLoption, ...))                                            \
    R(CURLcode, easy_perform, (CURL *))                                                            \
    R(CURLcode, easy_getinfo, (CURL *, CURLINFO, ...))                                             \
    R(void, easy_cleanup, (CURL *))                                                                \
    R(const char *, easy_strerror, (CURLcode))                                                     \
    R(struct curl_slist *, slist_append, (struct curl_slist *, const char *))                      \
    R(void, slist_free_all, (struct curl_slist *))

struct ag_curl {
#define AG_ROW(result, name, args) result(*name) args;
    AG_CURL_CALLS(AG_ROW)
#undef AG_ROW
};
extern struct ag_curl ag_curl;

/* Once, on the loop's thread while no other uses it. errors: PROTECTION naming what could not be loaded. */
ANTAG_MUST_CHECK enum antag_err ag_curl_load(struct antag_fault *fault);
void ag_curl_end(void); /* nothing when it was not loaded */

#endif
