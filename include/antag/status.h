/* status: every outcome the agent can report, in one table.
 *
 * The table gives the enum, the name and number on the wire, the class by which a client that does
 * not know the number decides what to do, the exit status of antomctl and the sentence a person reads.
 * Numbers are part of the protocol: they are added, never changed and never used again. */
#ifndef ANTAG_STATUS_H
#define ANTAG_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define ANTAG_MUST_CHECK        __attribute__((warn_unused_result))
#define ANTAG_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define ANTAG_MUST_CHECK
#define ANTAG_PRINTF(fmt, args)
#endif

/* What a class asks of the one who called; exit is the exit status of antomctl.
 *   class, text on the wire, exit status, what to do */
#define ANTAG_CLASS_TABLE(R)                                                                       \
    R(OK, "ok", 0, "nothing")                                                                      \
    R(CALLER, "caller", 2, "correct the request; the same one will fail again")                    \
    R(DENIED, "denied", 3, "ask security staff for a grant or an enrolment")                       \
    R(STATE, "state", 4, "something must be configured or changed first; the message names it")    \
    R(VERIFY, "verify", 5, "do not trust the message; it is not proven to come from Antom")        \
    R(RETRY, "retry", 6, "repeat once, after retry_after_ms where it is given")                    \
    R(INTERNAL, "internal", 7, "look into the agent's log; tell its operators")

/*  name, number, class, sentence (no final stop) */
#define ANTAG_STATUS_TABLE(R)                                                                      \
    R(OK, 0, OK, "done")                                                                           \
    /* caller: the request itself is wrong */                                                      \
    R(BAD_FRAME, 100, CALLER, "the frame does not hold one well-formed message")                   \
    R(FRAME_TOO_LARGE, 101, CALLER, "the frame is larger than the limit")                          \
    R(UNKNOWN_METHOD, 102, CALLER, "there is no such method on this socket")                       \
    R(BAD_VERSION, 103, CALLER, "no protocol version in common")                                   \
    R(BAD_PARAM, 104, CALLER, "a parameter is missing, unknown, or out of form")                   \
    R(TIME_SKEW, 105, CALLER, "the time given is too far from this machine's clock")               \
    R(WRONG_ENVIRONMENT, 106, CALLER, "the path belongs to the other environment")                 \
    R(NOT_SIGNED_CALL, 107, CALLER, "Antom takes this call unsigned; it is not for the agent")     \
    R(USAGE, 110, CALLER, "the command line is not understood")                                    \
    R(CONF, 111, CALLER, "the configuration is wrong")                                             \
    R(KEY_FORM, 120, CALLER, "this is not a key in any form that is taken")                        \
    R(KEY_TYPE, 121, CALLER, "this is not an RSA key")                                             \
    R(KEY_SIZE, 122, CALLER, "the RSA modulus must have 2048, 3072 or 4096 bits")                  \
    R(KEY_EXPONENT, 123, CALLER, "the public exponent must be odd, from 3 to 4294967295")          \
    R(KEY_MULTIPRIME, 124, CALLER, "an RSA key of more than two primes is not taken")              \
    R(KEY_INCONSISTENT, 125, CALLER, "the parts of this private key do not belong together")       \
    R(KEY_TRAILING, 126, CALLER, "there are bytes after the end of the key")                       \
    R(KEY_IS_PUBLIC, 127, CALLER, "this is a public key where a private key belongs")              \
    R(KEY_IS_PRIVATE, 128, CALLER, "this is a private key where a public key belongs")             \
    R(KEY_ENCRYPTED, 129, CALLER, "this private key is encrypted and needs its passphrase")        \
    R(WRONG_PASSPHRASE, 130, CALLER, "the passphrase is wrong")                                    \
    R(KEY_KNOWN, 131, CALLER, "this key is already held where it may not stand twice")             \
    R(KEY_IS_OURS, 132, CALLER, "this is a key of our own where Antom's belongs")                  \
    R(KEY_OTHER_ENVIRONMENT, 133, CALLER, "this key is in use in the other environment")           \
    /* denied */                                                                                   \
    R(DENIED, 200, DENIED, "not granted, or no such profile")                                      \
    R(NOT_STAFF, 201, DENIED, "this user is not enrolled as staff, or lacks the staff role")       \
    R(CODE_WRONG, 202, DENIED, "this is not the code that was mailed")                             \
    R(CHANGE_DENIED, 203, DENIED, "this user may not ask for this change, or not approve it")      \
    /* state: something must be configured or changed first */                                     \
    R(LOCKED, 300, STATE, "the agent is locked")                                                   \
    R(PROFILE_INCOMPLETE, 301, STATE, "the profile has no client id")                              \
    R(NO_ACTIVE_KEY, 302, STATE, "the profile has no active merchant key")                         \
    R(NO_ANTOM_KEY, 303, STATE, "the profile has no Antom key")                                    \
    R(KEY_STATE, 304, STATE, "the key's state does not allow this")                                \
    R(EXISTS, 305, STATE, "it is already there")                                                   \
    R(NOT_FOUND, 306, STATE, "there is no such thing")                                             \
    R(CLIENT_ID_TAKEN, 307, STATE, "the client id stands in another profile")                      \
    R(IMMUTABLE, 308, STATE, "this setting never changes")                                         \
    R(SEAL, 309, STATE, "the root key's seal could not be opened")                                 \
    R(REGISTRY, 310, STATE, "the registry does not verify")                                        \
    R(NOT_INITIALISED, 311, STATE, "this home has not been initialised")                           \
    R(ALREADY_INITIALISED, 312, STATE, "this home has been initialised before")                    \
    R(IN_USE, 313, STATE, "another agent runs on this home")                                       \
    R(HOME, 314, STATE, "the home folder cannot be used")                                          \
    R(NOT_READY, 315, STATE, "the agent is starting")                                              \
    R(AUDIT, 316, STATE, "the record cannot be written")                                           \
    R(ROLLED_BACK, 317, STATE, "the registry is older than the record says")                       \
    R(LAST_OFFICER, 318, STATE, "without another officer nothing could be changed any more")       \
    R(MAIL_SETUP, 319, STATE, "mail cannot be sent before its configuration is mended")            \
    R(MAIL_REFUSED, 320, STATE, "the mail server refused the mail for good")                       \
    R(CODE_EXPIRED, 321, STATE, "the code does not hold any more; ask for a new one")              \
    R(CHANGE_STATE, 322, STATE, "the state of the change does not allow this")                     \
    R(QUORUM, 323, STATE, "the quorum is not set, or the people enrolled cannot meet it")          \
    R(STALE, 324, STATE, "what the change alters was altered by something else first")             \
    R(LAUNCH, 325, STATE, "the application is not ready to be launched, or is launched already")   \
    R(MERCHANT_SUSPENDED, 326, STATE, "the merchant is suspended")                                 \
    R(ROTATION_STATE, 327, STATE, "the state of the rotation does not allow this")                 \
    /* verify: the message is not proven; never a result */                                        \
    R(UNSIGNED, 400, VERIFY, "the message carries no signature and proves nothing")                \
    R(HALF_SIGNED, 401, VERIFY, "one of client id, time and signature is missing")                 \
    R(SIGNATURE_FORM, 402, VERIFY, "the Signature header is not of the documented form")           \
    R(TIME_FORM, 403, VERIFY, "the time header is not of a documented form")                       \
    R(WRONG_CLIENT_ID, 404, VERIFY, "the client id header is not this profile's")                  \
    R(SIGNATURE_INVALID, 405, VERIFY, "the signature does not match under any Antom key held")     \
    R(TOO_OLD, 406, VERIFY, "the message is older than allowed")                                   \
    R(IN_THE_FUTURE, 407, VERIFY, "the message's time lies in the future")                         \
    /* retry: repeat once */                                                                       \
    R(BUSY, 500, RETRY, "too much work is waiting")                                                \
    R(RETRY, 501, RETRY, "a part of the agent was restarted; repeat the request")                  \
    R(BACKEND, 502, RETRY, "the keyring cannot be reached")                                        \
    R(DEADLINE, 503, RETRY, "the deadline passed before the work was done")                        \
    R(DRAINING, 504, RETRY, "the agent is stopping")                                               \
    R(UNREACHABLE, 505, RETRY, "the agent cannot be reached")                                      \
    R(TIMEOUT, 506, RETRY, "no answer came in time")                                               \
    R(MAIL_LATER, 507, RETRY, "the mail server cannot take the mail now")                          \
    R(GATEWAY, 508, RETRY, "the gateway did not answer, or is not who it should be")               \
    /* internal: ours to mend */                                                                   \
    R(INTERNAL, 600, INTERNAL, "the agent met an error of its own")                                \
    R(NO_MEMORY, 601, INTERNAL, "out of memory")                                                   \
    R(IO, 602, INTERNAL, "the operating system refused a read or a write")                         \
    R(PROTECTION, 603, INTERNAL, "a protection that was asked for cannot be had")

enum antag_class {
#define ANTAG_ROW(name, text, exit, advice) ANTAG_CLASS_##name,
    ANTAG_CLASS_TABLE(ANTAG_ROW)
#undef ANTAG_ROW
};

enum antag_err {
#define ANTAG_ROW(name, number, class, text) ANTAG_ERR_##name = (number),
    ANTAG_STATUS_TABLE(ANTAG_ROW)
#undef ANTAG_ROW
        ANTAG_OK = ANTAG_ERR_OK
};

/* Facts of a status. For a number that is not in the table: name "UNKNOWN", class by its hundreds
 * (1 caller, 2 denied, 3 state, 4 verify, 5 retry, anything else internal). Static strings. */
const char *antag_err_name(enum antag_err err);
const char *antag_err_message(enum antag_err err);
enum antag_class antag_err_class(enum antag_err err);
int antag_err_exit(enum antag_err err);
bool antag_err_is_known(uint64_t number);
const char *antag_class_name(enum antag_class class);
const char *antag_class_advice(enum antag_class class);

#define ANTAG_FAULT_FIELD_MAX 63
#define ANTAG_FAULT_TEXT_MAX  511

/* fault: an error with what a person needs to mend it. Filled where the error is met; the caller
 * who gets ANTAG_OK must not read it. Every function that takes one accepts NULL. */
struct antag_fault {
    enum antag_err err;
    char field[ANTAG_FAULT_FIELD_MAX + 1]; /* the parameter at fault, or "" */
    char text[ANTAG_FAULT_TEXT_MAX + 1];   /* what was wrong and what is allowed; never a secret */
    int64_t retry_after_ms;                /* -1: not given */
};

/* Fill `f` (may be NULL) and return `err`, so that a refusal is one line:
 *     return antag_fault_set(f, ANTAG_ERR_BAD_PARAM, "uri", "starts with '/', got \"%.20s\"", uri);
 * field may be NULL. An empty text stands for the table's sentence. Text is cut, never overrun. */
enum antag_err antag_fault_set(struct antag_fault *f, enum antag_err err, const char *field,
                               const char *fmt, ...) ANTAG_PRINTF(4, 5);

/* The fault's text, or the table's sentence where it has none. Valid as long as `f`. */
const char *antag_fault_text(const struct antag_fault *f);

#endif
