/* conf: agent.conf (INI), one table of keys. The table makes the parser, the defaults, and the
 * commented file that `init` writes. The supervisor reads the file once and hands its text to the
 * roles, so all of them act on the same one. */
#ifndef AG_LIB_CONF_H
#define AG_LIB_CONF_H

#include "antag/limits.h"
#include "antag/status.h"
#include "antag/types.h"

/*  section, key, C type (NUM: int64_t within min..max, WORD: one of `words`), default, min, max, words,
 *  what it does (one sentence a line, lines separated by \n) */
#define AG_CONF_KEYS(R)                                                                            \
    R(log, level, WORD, 2, 0, 3, "error|warn|info|debug", "How much is written to the log.")       \
    R(policy, max_time_skew_ms, NUM, 300000, 0, 86400000, "",                                      \
      "How far a time given by a caller may lie from this clock, and how far in the future a\n"    \
      "message may come from. 0 switches both checks off.")                                        \
    R(policy, response_max_age_ms, NUM, 900000, 0, 2592000000, "",                                 \
      "Maximum age of a response from Antom. 0: any. A profile can have its own.")                 \
    R(policy, notification_max_age_ms, NUM, 90000000, 0, 2592000000, "",                           \
      "Maximum age of a notification; Antom repeats them for 24 hours. 0: any.")                   \
    R(limits, connections_per_uid, NUM, ANTAG_CONNS_PER_UID, 1, ANTAG_CONNS_PER_UID_MAX, "",       \
      "Connections to agent.sock that one uid may hold.")                                          \
    R(limits, requests_per_connection, NUM, ANTAG_INFLIGHT_PER_CONN, 1, 4096, "",                  \
      "Requests in flight on one connection; one more is answered BUSY.")                          \
    R(limits, bytes_per_connection, NUM, ANTAG_INFLIGHT_BYTES_PER_CONN, ANTAG_FRAME_MAX,           \
      268435456, "", "Bytes of requests in flight on one connection.")                             \
    R(limits, requests_per_uid, NUM, ANTAG_INFLIGHT_PER_UID, 1, 65536, "",                         \
      "Requests in flight of one uid, on all its connections.")                                    \
    R(limits, bytes_per_uid, NUM, ANTAG_INFLIGHT_BYTES_PER_UID, ANTAG_FRAME_MAX, 4294967296, "",   \
      "Bytes of requests in flight of one uid, on all its connections.")                           \
    R(limits, requests, NUM, ANTAG_INFLIGHT_ALL, 1, 65536, "",                                     \
      "Requests in flight in all; one more is answered BUSY.")                                     \
    R(limits, bytes, NUM, ANTAG_INFLIGHT_BYTES_ALL, ANTAG_FRAME_MAX, 4294967296, "",               \
      "Bytes of requests in flight in all.")                                                       \
    R(limits, first_frame_ms, NUM, ANTAG_FIRST_FRAME_MS, 100, 600000, "",                          \
      "A connection that has not sent a whole first frame by then is closed.")                     \
    R(limits, staff_connections, NUM, 64, 4, 1024, "", "Connections to staff.sock in all.")        \
    R(front, threads, NUM, 0, 0, 64, "", "Event loops that serve agent.sock. 0: one a core.")      \
    R(opener, deadline_ms, NUM, 30000, 1000, 600000, "",                                           \
      "An unsealing or import that takes longer is ended.")                                        \
    R(keys, watch_window_ms, NUM, 86400000, 1000, 2592000000, "",                                  \
      "A superseded key stays one step from active for this long.")                                \
    R(keys, destroy_wait_ms, NUM, 2592000000, 3600000, 31536000000, "",                            \
      "A retired key waits this long before it may be destroyed.")                                 \
    R(keys, antom_overlap_ms, NUM, 90000000, 90000000, 2592000000, "",                             \
      "A superseded Antom key goes on verifying for this long, at least 25 hours.")                \
    R(audit, durability, WORD, 0, 0, 1, "commit|buffered",                                         \
      "When a signature may leave. commit: its record is on the disk. buffered: the kernel has\n"  \
      "it, and it is on the disk within 50 ms; a power cut can lose the records of that time.")    \
    R(audit, segment_max_bytes, NUM, 67108864, 65536, 4294967296, "",                              \
      "A file of the record that has reached this size is closed, and a new one begun.")           \
    R(audit, reserve_bytes, NUM, 4194304, 0, 1073741824, "",                                       \
      "Disk space kept free for the record of work that runs while the disk becomes full.")        \
    R(audit, refusals_every_ms, NUM, 60000, 1000, 3600000, "",                                     \
      "What callers were refused is counted, and recorded this often at most.")                    \
    R(staff, allow_root, WORD, 0, 0, 1, "no|yes",                                                  \
      "yes: uid 0 may ask for and approve changes of launched applications. For containers and\n"  \
      "tests, where everybody is root.")                                                           \
    R(staff, change_expires_ms, NUM, 86400000, 1000, 2592000000, "",                               \
      "A change that is not approved by then is over.")                                            \
    R(mail, port, NUM, 587, 1, 65535, "", "Port of the mail server.")                              \
    R(mail, security, WORD, 0, 0, 1, "starttls|tls",                                               \
      "How the connection is encrypted: starttls (usual on port 587) or tls from the first byte\n" \
      "(usual on port 465). The server's certificate is checked in both cases.")                   \
    R(mail, retry_ms, NUM, 15000, 1000, 1800000, "",                                               \
      "The first pause before a mail is tried again; it doubles, up to half an hour.")             \
    R(mail, timeout_ms, NUM, 60000, 1000, 600000, "",                                              \
      "A mail that takes longer is tried again later.")                                            \
    R(rotation, probe_interval_ms, NUM, 60000, 1000, 3600000, "",                                  \
      "While a rotation waits for Antom the agent asks it this often under both keys. So long "    \
      "at\n"                                                                                       \
      "most payments fail where Antom takes the new key and drops the old one at once.")           \
    R(rotation, probe_timeout_ms, NUM, 15000, 1000, 60000, "",                                     \
      "An answer of the gateway that takes longer is none.")

/*  section, key, most bytes, default, what it does. Texts of one line. */
#define AG_CONF_TEXTS(R)                                                                           \
    R(mail, server, 253, "",                                                                       \
      "Name of the mail server (SMTP). Empty: no mail is sent, and it waits.")                     \
    R(mail, from, 254, "", "Sender's address.")                                                    \
    R(mail, user, 128, "", "User name at the mail server. Empty: without authentication.")         \
    R(mail, password_file, 160, "", "File that holds the password of that user, one line, 0600.")  \
    R(mail, ca_file, 160, "/etc/ssl/certs/ca-certificates.crt",                                    \
      "Certificates (PEM) of those who may vouch for the mail server.")                            \
    R(seal, tcti, 160, "device:/dev/tpmrm0",                                                       \
      "How the TPM is reached that seals the root key, with seal tpm: device:/dev/tpmrm0, "        \
      "tabrmd\n"                                                                                   \
      "or swtpm:path=SOCKET.")                                                                     \
    R(rotation, ca_file, 160, "/etc/ssl/certs/ca-certificates.crt",                                \
      "Certificates (PEM) of those who may vouch for Antom's gateway.")                            \
    R(rotation, freeze, 160, "",                                                                   \
      "Periods in which no rotation cuts over: NAME FROM/UNTIL, with commas between, in days or\n" \
      "instants of UTC: black-friday 2026-11-26/2026-12-01. Stops are never frozen.")

enum ag_mail_security { AG_MAIL_STARTTLS, AG_MAIL_TLS };             /* mail_security */
enum ag_allow { AG_ALLOW_NO, AG_ALLOW_YES };                         /* staff_allow_root */
enum ag_durability { AG_DURABILITY_COMMIT, AG_DURABILITY_BUFFERED }; /* audit_durability */

/* sections with a name of their own: [keyring NAME] */
#define AG_CONF_KEYRING_KEYS(R)                                                                    \
    R(keyring, type, WORD, 0, 0, 1, "soft|pkcs11|tpm",                                             \
      "What holds the private keys: the registry, or a token or TPM that never gives them out.")   \
    R(keyring, threads, NUM, 0, 0, 64, "",                                                         \
      "Threads that sign; of pkcs11 each has a session of its own. 0: one a core.")                \
    R(keyring, max_wait_ms, NUM, 5000, 0, 600000, "",                                              \
      "A request that would wait longer for this keyring is answered BUSY at once, and one that\n" \
      "has waited twice as long BACKEND. 0: it waits until its caller's deadline.")                \
    R(keyring, profile_rate, NUM, 0, 0, ANTAG_RATE_MAX, "",                                        \
      "Signatures a second under the key of one profile, whoever asks. 0: as many as come.")

/*  section, key, most bytes, default, what it does. Texts of one line. */
#define AG_CONF_KEYRING_TEXTS(R)                                                                   \
    R(keyring, module, 160, "",                                                                    \
      "pkcs11: the module, an absolute path; nobody but root and the agent may write it.")         \
    R(keyring, token, 160, "", "pkcs11: the token, a PKCS#11 URI: pkcs11:token=kms1;serial=...")   \
    R(keyring, pin_file, 160, "",                                                                  \
      "pkcs11: file that holds the PIN, one line, 0600; else `antomctl keyring pin`.")             \
    R(keyring, pin_credential, 64, "",                                                             \
      "pkcs11: in place of pin_file, name of a credential of the service manager that holds it.")  \
    R(keyring, environment, 160, "", "pkcs11: NAME=VALUE, a variable that the module reads.")      \
    R(keyring, tcti, 160, "",                                                                      \
      "tpm: how it is reached: device:/dev/tpmrm0, tabrmd or swtpm:path=SOCKET.")

enum ag_keyring_type { AG_KEYRING_SOFT, AG_KEYRING_PKCS11, AG_KEYRING_TPM }; /* type */
#define AG_CONF_KEYRINGS_MAX 8
#define AG_CONF_STEWARD_CHAIN                                                                      \
    "steward" /* beside the keyrings' chains in the record; no keyring's name */
struct ag_conf_keyring {
    char name[ANTAG_KEYRING_MAX + 1]; /* [a-z0-9][a-z0-9-]* */
    int64_t type;
    int64_t threads;
    int64_t max_wait_ms;
    int64_t profile_rate;
#define AG_ROW(section, key, max, def, doc) char key[(max) + 1];
    AG_CONF_KEYRING_TEXTS(AG_ROW)
#undef AG_ROW
};
struct ag_conf {
#define AG_ROW(section, key, type, def, min, max, words, doc) int64_t section##_##key;
    AG_CONF_KEYS(AG_ROW)
#undef AG_ROW
#define AG_ROW(section, key, max, def, doc) char section##_##key[(max) + 1];
    AG_CONF_TEXTS(AG_ROW)
#undef AG_ROW
    size_t keyring_count; /* at least one: "soft" is always there, first */
    struct ag_conf_keyring keyrings[AG_CONF_KEYRINGS_MAX];
};

void ag_conf_default(struct ag_conf *c);
/* `text` (terminated) as read from `path` (for messages). `c` is written on OK only.
 * errors: CONF; the text says PATH:LINE: key, what was found and what is allowed. */
ANTAG_MUST_CHECK enum antag_err ag_conf_parse(struct ag_conf *c, const char *path, const char *text,
                                              struct antag_fault *fault);
/* File to text, at most 64 KiB, no NUL. *text is the caller's (free). errors: CONF, IO. */
ANTAG_MUST_CHECK enum antag_err ag_conf_read(const char *path, char **text,
                                             struct antag_fault *fault);
/* The file that `init` writes: every key with its meaning, limits and default, commented out. */
char *ag_conf_document(void);
const struct ag_conf_keyring *ag_conf_find_keyring(const struct ag_conf *c, const char *name);

#endif
