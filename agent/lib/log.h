/* log: one line an event on standard error, `TIME LEVEL ROLE EVENT key=value …`, typed fields only.
 * There is no field type for secrets. Text values are quoted and escaped where they need it, so that a
 * hostile value cannot start a new line or a new field. Safe from any thread; a line is one write. */
#ifndef AG_LIB_LOG_H
#define AG_LIB_LOG_H

#include "antag/status.h"
#include "antag/types.h"

enum ag_log_level { AG_LOG_ERROR, AG_LOG_WARN, AG_LOG_INFO, AG_LOG_DEBUG };

enum ag_log_kind {
    AG_LF_END,
    AG_LF_TEXT,
    AG_LF_SLICE,
    AG_LF_INT,
    AG_LF_UINT,
    AG_LF_ERR,
    AG_LF_HEX
};
struct ag_log_field {
    enum ag_log_kind kind;
    const char *name;
    const char *text;
    struct antag_slice slice;
    int64_t i;
    uint64_t u;
};
#define AG_F_TEXT(n, v)  ((struct ag_log_field){.kind = AG_LF_TEXT, .name = (n), .text = (v)})
#define AG_F_SLICE(n, v) ((struct ag_log_field){.kind = AG_LF_SLICE, .name = (n), .slice = (v)})
#define AG_F_INT(n, v)   ((struct ag_log_field){.kind = AG_LF_INT, .name = (n), .i = (v)})
#define AG_F_UINT(n, v)  ((struct ag_log_field){.kind = AG_LF_UINT, .name = (n), .u = (v)})
#define AG_F_ERR(v)      ((struct ag_log_field){.kind = AG_LF_ERR, .name = "error", .i = (v)})
#define AG_F_HEX(n, v)   ((struct ag_log_field){.kind = AG_LF_HEX, .name = (n), .slice = (v)})

/* role: e.g. "keeper[soft]"; copied. */
void ag_log_setup(const char *role, enum ag_log_level level);
void ag_log_set_level(enum ag_log_level level);
void ag_log_fields(enum ag_log_level level, const char *event, const struct ag_log_field *fields);

/* ag_log(AG_LOG_INFO, "key.loaded", AG_F_UINT("handle", h), AG_F_TEXT("keyring", name)); */
#define ag_log(level, event, ...)                                                                  \
    ag_log_fields((level), (event),                                                                \
                  (const struct ag_log_field[]){__VA_ARGS__ __VA_OPT__(, ){.kind = AG_LF_END}})
/* An error with its fault: ag_log_fault("import.refused", &fault); */
void ag_log_fault(enum ag_log_level level, const char *event, const struct antag_fault *fault);

#endif
