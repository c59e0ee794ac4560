/* json: what came over the wire as JSON, which is what --json prints and the views read. */
#ifndef CTL_JSON_H
#define CTL_JSON_H

#include <jansson.h>
#include <msgpack.h>

#include "antag/status.h"

/* str to text (bytes that are not UTF-8 become U+FFFD), bin to base64 text, nil to null. The value must
 * have passed proto/check.h, which bounds its depth. Owned by the caller; NULL: out of memory. */
json_t *ctl_json_of(const msgpack_object *o);
/* {"error": {code, name, class, message, field?, retry_after_ms?}} */
json_t *ctl_json_fault(const struct antag_fault *fault);
/* The reverse, for what `antom-agent --init` says. False when it is no such object. */
bool ctl_json_read_fault(const char *text, size_t len, struct antag_fault *out);

/* Of an object: the member's text, or "" when it is none or no text. Borrowed. */
const char *ctl_json_text(const json_t *o, const char *key);
bool ctl_json_int(const json_t *o, const char *key, int64_t *out);

/* One object and a line feed, all of it ASCII: nothing in it can act on a terminal.
 * errors: IO, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ctl_json_print(const json_t *o, FILE *out);

#endif
