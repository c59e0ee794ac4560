/* view: results for people, by tables of columns. Reads only the keys it names: an answer may have more. */
#ifndef CTL_VIEW_H
#define CTL_VIEW_H

#include "client/antomctl/ctl.h"

enum ctl_format {
    CTL_AS_TEXT,
    CTL_AS_STATE, /* coloured by what it says */
    CTL_AS_INT,
    CTL_AS_ID,       /* a number that 0 is not: a pid */
    CTL_AS_BYTES,    /* 0: the protocol's limit */
    CTL_AS_BOOL,     /* yes, no */
    CTL_AS_TIME,     /* the instant, and how long ago */
    CTL_AS_AGO,      /* how long ago, for tables */
    CTL_AS_PRINT,    /* the first 16 digits of a fingerprint and an ellipsis, for tables */
    CTL_AS_AGE,      /* a duration in ms; -1: the policy's; 0: any */
    CTL_AS_LIST,     /* of texts; none: "all" */
    CTL_AS_LINES,    /* of texts; none: left out */
    CTL_AS_WORDS,    /* of texts, each up to its colon; none: left out */
    CTL_AS_UIDS,     /* of an array: "1001, 1002" */
    CTL_AS_USER,     /* what this host calls a uid; left out where it has no name */
    CTL_AS_WHO,      /* uid, gid or unit of a grant; looks at the whole row */
    CTL_AS_RATE,     /* of a grant, a second and at once; the whole row */
    CTL_AS_WAITS,    /* what a key waits for, until when, who acts; the whole row */
    CTL_AS_PROFILES, /* each profile of an application, and how many things it lacks */
};

struct ctl_column {
    const char *head;
    const char *key;
    enum ctl_format format;
};

struct ctl_view {
    const char *list; /* member that holds the rows; NULL: the result is one thing */
    const struct ctl_column *columns; /* ended by head NULL */
    const char *empty;                /* what an empty list means */
    const char *empty_next;           /* what to type then; may hold one %s, for the profile */
    void (*after)(struct ctl *c, const json_t *result); /* hints; may be NULL */
};

extern const struct ctl_view ctl_view_app, ctl_view_app_made, ctl_view_apps, ctl_view_profile;
extern const struct ctl_view ctl_view_key, ctl_view_key_made, ctl_view_key_shown, ctl_view_keys;
extern const struct ctl_view ctl_view_antom_key, ctl_view_antom_keys;
extern const struct ctl_view ctl_view_grant, ctl_view_grants, ctl_view_fence, ctl_view_fences;
extern const struct ctl_view ctl_view_state, ctl_view_confirmed, ctl_view_person, ctl_view_staff;
extern const struct ctl_view ctl_view_keyrings, ctl_view_keyring;
extern const struct ctl_view ctl_view_mails, ctl_view_sandbox, ctl_view_sandbox_password,
    ctl_view_changes;

extern const struct ctl_view ctl_view_merchant, ctl_view_merchants, ctl_view_merchant_url;

void ctl_view_print(struct ctl *c, const struct ctl_view *view, const json_t *result);
/* The value of a column as clean text, which the caller frees; "" when the row does not have it. */
char *ctl_view_text(const struct ctl_column *column, const json_t *row);
/* The rows of an array as a table. */
void ctl_view_rows(struct ctl *c, const struct ctl_column *columns, const json_t *rows);
/* One thing as lines `label  value`; what it does not have is left out. */
void ctl_view_lines(struct ctl *c, const struct ctl_column *columns, const json_t *o);
enum ctl_colour ctl_state_colour(const char *state);

#endif
