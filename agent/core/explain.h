/* explain: what people get wrong about a message that does not verify. Causes are data: a name, what was
 * found, what to do; the variants of a body are functions. Pure. Naming a cause never makes a message valid. */
#ifndef AG_CORE_EXPLAIN_H
#define AG_CORE_EXPLAIN_H

#include "antag/status.h"
#include "antag/types.h"

/*  name, what was found, what to do */
#define AG_CAUSES(R)                                                                               \
    R(other_environment_key, "it is signed with an Antom key of the other environment",            \
      "ask the other profile, or correct which Antom key stands in which profile")                 \
    R(staged_key, "it is signed with an Antom key that is staged and not trusted yet",             \
      "have the key started as soon as it is approved")                                            \
    R(revoked_key, "it is signed with an Antom key that was revoked",                              \
      "find out at Antom which key they sign with; a revoked one is never trusted again")          \
    R(plus_as_space, "blanks stand in the signature where plus signs belong",                      \
      "a form decoder turned them; read the header raw")                                           \
    R(encoded_twice, "the signature header is percent-encoded twice",                              \
      "encode once, or pass the header on as it came")                                             \
    R(client_id, "it is signed for the client id of the profile, not for that of the header",      \
      "pass on the client-id header of this very message")                                         \
    R(time_of_other_header, "the time that was signed stands in another header",                   \
      "pass on the time header that belongs to this signature, unchanged")                         \
    R(query_missing, "it is signed with a query or without the one given",                         \
      "give the URI as it stood on the request line, with its query")                              \
    R(uri_of_other_environment, "it is signed for the path of the other environment",              \
      "send sandbox requests to /ams/sandbox/api and live ones to /ams/api")                       \
    R(method, "it is signed for another method", "give the method of the request, in capitals")    \
    R(newline_added, "a line end stands behind the body that was not signed",                      \
      "read the body without adding a line end (printf, not echo; an editor adds one too)")        \
    R(newline_missing, "the line end behind the body was signed and is missing",                   \
      "pass the body on byte for byte; do not strip it")                                           \
    R(lf_for_crlf, "line ends were CR LF when it was signed",                                      \
      "pass the body on byte for byte; a text mode changed its line ends")                         \
    R(crlf_for_lf, "line ends were LF when it was signed",                                         \
      "pass the body on byte for byte; a text mode changed its line ends")                         \
    R(body_serialised_again, "the same JSON, written in another way, was signed",                  \
      "verify the raw bytes before parsing; never parse and write again")                          \
    R(body_plus_as_space, "blanks stand in the body where plus signs belong",                      \
      "the body went through a form decoder; read it raw")                                         \
    R(unsigned_answer, "it carries no signature, as the gateway's own error answers do",           \
      "read its result code, and do not take it for success")                                      \
    R(header_missing, "a header that belongs to a signature is missing",                           \
      "pass on client-id, the time header and signature, all of one message")                      \
    R(unknown, "none of the mistakes that are tried explains it",                                  \
      "compare string and digest with the sender's; check that body and headers are of one "       \
      "message, and that the Antom key is the one the dashboard shows now")

enum ag_cause {
#define AG_ROW(name, text, remedy) AG_CAUSE_##name,
    AG_CAUSES(AG_ROW)
#undef AG_ROW
        AG_CAUSE_COUNT
};
const char *ag_cause_name(enum ag_cause c);
const char *ag_cause_text(enum ag_cause c);
const char *ag_cause_remedy(enum ag_cause c);

/* ---- variants of a body, each with the cause that it stands for */
#define AG_BODY_VARIANTS(R)                                                                        \
    R(WITHOUT_LF, newline_added)                                                                   \
    R(WITHOUT_CRLF, newline_added)                                                                 \
    R(WITH_LF, newline_missing)                                                                    \
    R(WITH_CRLF, newline_missing)                                                                  \
    R(CRLF, lf_for_crlf)                                                                           \
    R(LF, crlf_for_lf)                                                                             \
    R(JSON_COMPACT, body_serialised_again)                                                         \
    R(JSON_SPACED, body_serialised_again)                                                          \
    R(JSON_SLASHES_ESCAPED, body_serialised_again)                                                 \
    R(JSON_SLASHES_PLAIN, body_serialised_again)                                                   \
    R(JSON_ASCII, body_serialised_again)                                                           \
    R(JSON_UTF8, body_serialised_again)                                                            \
    R(PLUS, body_plus_as_space)

enum ag_body_variant {
#define AG_ROW(name, cause) AG_BODY_##name,
    AG_BODY_VARIANTS(AG_ROW)
#undef AG_ROW
        AG_BODY_VARIANT_COUNT
};
enum ag_cause ag_body_variant_cause(enum ag_body_variant v);
/* False: the variant says nothing of this body (it is the same, or would not fit `size`). A variant is at
 * most 6 times as long as the body, and 2 bytes. */
bool ag_body_vary(enum ag_body_variant v, struct antag_slice body, uint8_t *out, size_t size,
                  size_t *len);

#endif
