/* render: rows as the result maps of proto/staff_methods.h. Pure. */
#ifndef AG_STEWARD_RENDER_H
#define AG_STEWARD_RENDER_H

#include "agent/steward/book.h"
#include "agent/steward/life.h"
#include "proto/staff_methods.h"
#include "proto/writer.h"

void ag_render_app(struct antag_writer *w, const struct ag_book *b, const struct ag_row_app *a);
void ag_render_profile(struct antag_writer *w, const struct ag_book *b,
                       const struct ag_row_profile *p);
/* Never the password. */
void ag_render_sandbox(struct antag_writer *w, const struct ag_row_profile *p);
/* public_key: text of the public half, left out when NULL */
void ag_render_key(struct antag_writer *w, const struct ag_book *b, const struct ag_life *l,
                   const struct ag_row_key *k, bool self_tested, const char *public_key);
void ag_render_antom_key(struct antag_writer *w, const struct ag_book *b, const struct ag_life *l,
                         const struct ag_row_antom_key *k, const char *warning);
void ag_render_staff_fields(struct antag_writer *w,
                            const struct ag_row_staff *s); /* in an open map */
void ag_render_staff(struct antag_writer *w, const struct ag_row_staff *s);
/* Name of a single staff role, and back; "" and 0: none. */
const char *ag_staff_role_name(enum antag_staff_role role);
unsigned ag_staff_role_of(struct antag_slice name);
void ag_render_fence(struct antag_writer *w, const struct ag_book *b, const struct ag_row_fence *f);
void ag_render_grant(struct antag_writer *w, const struct ag_book *b, const struct ag_grant *g);

/* A public half as text: bare base64 of the SPKI, one line, or PEM. Terminated. errors: INTERNAL. */
#define AG_PUBLIC_TEXT_MAX 2048
ANTAG_MUST_CHECK enum antag_err ag_render_public(struct antag_slice spki, bool pem,
                                                 char out[AG_PUBLIC_TEXT_MAX]);

#endif
