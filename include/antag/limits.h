/* limits: every maximum of the protocol and of what it names, in one place.
 * `hello` tells those a client can meet; those marked (conf) can be set in agent.conf. */
#ifndef ANTAG_LIMITS_H
#define ANTAG_LIMITS_H

/* the wire */
#define ANTAG_PROTOCOL_VERSION 1
#define ANTAG_BODY_MAX         (1024 * 1024)                /* bytes of one body */
#define ANTAG_FRAME_MAX        (ANTAG_BODY_MAX + 64 * 1024) /* bytes after the length prefix */
#define ANTAG_FRAME_HEAD       4                            /* length prefix, big-endian */
#define ANTAG_DEPTH_MAX        8     /* nested arrays and maps, the message included */
#define ANTAG_ITEMS_MAX        4096  /* values in one request or event, all levels */
#define ANTAG_ITEMS_ANSWER_MAX 65536 /* the same for an answer: lists grow with the registry */
#define ANTAG_ID_MAX           2147483647u /* request id, 2^31 - 1 */

/* what a request names, in bytes */
#define ANTAG_URI_MAX          2048
#define ANTAG_METHOD_MAX       16 /* HTTP method */
#define ANTAG_CLIENT_ID_MAX    64
#define ANTAG_MERCHANT_MAX     64
#define ANTAG_TOKEN_MAX        256 /* of an authorization token, bytes */
#define ANTAG_TRACE_MAX        128
#define ANTAG_CLIENT_MAX       128        /* what a client says of itself in hello */
#define ANTAG_VERSIONS_MAX     16         /* protocol versions offered in hello */
#define ANTAG_DEADLINE_MAX_MS  86400000   /* deadline_ms: a day */
#define ANTAG_AGE_MAX_MS       2592000000 /* max_age_ms: 30 days, as in agent.conf */
#define ANTAG_TIME_MAX         40         /* longest time text */
#define ANTAG_HEADERS_MAX      128        /* headers in one verify */
#define ANTAG_HEADER_NAME_MAX  256
#define ANTAG_HEADER_VALUE_MAX 8192 /* those that are read: client id, time, signature */
#define ANTAG_SIG_MAX          512  /* raw signature: 4096 bits */
#define ANTAG_SIG_HEADER_MAX   8192 /* a Signature header taken for parsing */
#define ANTAG_SPKI_MAX         1024 /* DER of a public key of 4096 bits is 550 bytes */

/* names in the registry, in bytes */
#define ANTAG_APP_MAX         32                  /* [a-z0-9][a-z0-9-]* */
#define ANTAG_PROFILE_MAX     (ANTAG_APP_MAX + 8) /* APP/sandbox */
#define ANTAG_KEYRING_MAX     32
#define ANTAG_RECORD_MAX      (ANTAG_KEYRING_MAX + 21) /* CHAIN:SEQ, a line of the record */
#define ANTAG_URL_MAX         512
#define ANTAG_TEXT_MAX        256 /* descriptions and the like */
#define ANTAG_UNIT_MAX        128 /* systemd unit of a grant */
#define ANTAG_GLOB_MAX        512
#define ANTAG_GLOBS_PER_GRANT 32
#define ANTAG_IMPORT_MAX      (64 * 1024) /* a key or passphrase given in a memory file */

/* per connection and in all (conf) */
#define ANTAG_INFLIGHT_PER_CONN       128 /* requests */
#define ANTAG_INFLIGHT_BYTES_PER_CONN (8 * 1024 * 1024)
#define ANTAG_INFLIGHT_ALL            4096
#define ANTAG_INFLIGHT_BYTES_ALL      (256 * 1024 * 1024)
#define ANTAG_INFLIGHT_PER_UID        1024
#define ANTAG_INFLIGHT_BYTES_PER_UID  (64 * 1024 * 1024)
#define ANTAG_CONNS_PER_UID           1024
#define ANTAG_RATE_MAX                1000000 /* requests a second of a grant, and at once */
#define ANTAG_CONNS_PER_UID_MAX       20000   /* the most it can be set to */
#define ANTAG_FIRST_FRAME_MS          10000   /* silent this long before the first frame: closed */

#endif
