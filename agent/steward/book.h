/* book: all rows of the registry as they are at one epoch, in memory. Read under the registry lock, then
 * used without it: rules, results and what front and keepers should have are functions of a book. */
#ifndef AG_STEWARD_BOOK_H
#define AG_STEWARD_BOOK_H

#include <stdatomic.h>

#include "agent/steward/registry/registry.h"

struct ag_book {
    uint64_t epoch;
    uint64_t behind;  /* the record knows this later epoch; 0: it does not (set by the steward) */
    unsigned holders; /* of a published book, under the steward's lock */
    size_t app_count, profile_count, key_count, antom_key_count, grant_count, fence_count;
    size_t staff_count, intent_count, rotation_count;
    struct ag_row_app *apps; /* each in order of id */
    struct ag_row_profile *profiles;
    struct ag_row_key *keys;
    struct ag_row_antom_key *antom_keys;
    struct ag_grant *grants; /* each owns its globs */
    struct ag_row_fence *fences;
    struct ag_row_staff *staff;
    struct ag_row_intent *intents;
    struct ag_row_rotation *rotations;
    struct ag_merchant_list
        *merchants; /* held; of the driver's book, as there can be many: else NULL */
};

/* All merchants, shared by books as long as none was altered. */
struct ag_merchant_list {
    atomic_uint refs;
    uint64_t era, changed; /* of the registry when they were read (ag_registry_merchants_changed) */
    size_t count, cap;
    struct ag_row_merchant *v; /* in order of id */
};
/* `had` when it is still what the registry holds, else all of them anew; held for the caller. Registry lock held.
 * errors: REGISTRY, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_merchants_read(struct ag_registry *r, uint64_t era,
                                                  struct ag_merchant_list *had,
                                                  struct ag_merchant_list **out,
                                                  struct antag_fault *fault);
struct ag_merchant_list *ag_merchants_hold(struct ag_merchant_list *l);
void ag_merchants_release(struct ag_merchant_list *l); /* NULL accepted */

/* errors: REGISTRY naming the row that does not verify, IO, NO_MEMORY. *out is the caller's. */
ANTAG_MUST_CHECK enum antag_err ag_book_load(struct ag_registry *r, struct ag_book **out,
                                             struct antag_fault *fault);
void ag_book_free(struct ag_book *b);

/* Borrowed from the book; NULL when there is none. */
const struct ag_row_app *ag_book_app(const struct ag_book *b, uint64_t id);
const struct ag_row_app *ag_book_app_named(const struct ag_book *b, struct antag_slice name);
const struct ag_row_profile *ag_book_profile(const struct ag_book *b, uint64_t id);
const struct ag_row_profile *ag_book_profile_named(const struct ag_book *b,
                                                   struct antag_slice name);
const struct ag_row_profile *ag_book_profile_of(const struct ag_book *b, uint64_t app_id,
                                                enum ag_env env);
const struct ag_row_key *ag_book_key(const struct ag_book *b, uint64_t handle);
const struct ag_row_key *ag_book_key_version(const struct ag_book *b, uint64_t profile_id,
                                             uint64_t version);
const struct ag_row_key *ag_book_active_key(const struct ag_book *b, uint64_t profile_id);
const struct ag_row_antom_key *ag_book_antom_version(const struct ag_book *b, uint64_t profile_id,
                                                     uint64_t version);
/* Of the profile, that is not over. */
const struct ag_row_rotation *ag_book_open_rotation(const struct ag_book *b, uint64_t profile_id);
const struct ag_row_rotation *ag_book_rotation(const struct ag_book *b, uint64_t id);
const struct ag_row_staff *ag_book_staff(const struct ag_book *b, uint64_t uid);
const struct ag_row_antom_key *ag_book_active_antom_key(const struct ag_book *b,
                                                        uint64_t profile_id);

/* The row a request names. errors: NOT_FOUND, saying what was looked for and how to list what is there. */
ANTAG_MUST_CHECK enum antag_err ag_book_need_profile(const struct ag_book *b,
                                                     struct antag_slice name,
                                                     const struct ag_row_profile **out,
                                                     struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_book_need_app(const struct ag_book *b, struct antag_slice name,
                                                 const struct ag_row_app **out,
                                                 struct antag_fault *fault);
/* Its two profiles. errors: INTERNAL (it lacks one). */
ANTAG_MUST_CHECK enum antag_err ag_book_need_both(const struct ag_book *b,
                                                  const struct ag_row_app *app,
                                                  const struct ag_row_profile **live,
                                                  const struct ag_row_profile **sandbox,
                                                  struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_book_need_key(const struct ag_book *b,
                                                 struct antag_slice profile, uint64_t version,
                                                 const struct ag_row_profile **profile_out,
                                                 const struct ag_row_key **out,
                                                 struct antag_fault *fault);

/* What is left of a removed profile of that name; id 0: there was none. Registry lock held. errors: REGISTRY, IO. */
ANTAG_MUST_CHECK enum antag_err ag_gone_find(struct ag_registry *r, const char *profile,
                                             struct ag_row_gone *out, struct antag_fault *fault);

struct antag_slice ag_key_spki(const struct ag_row_key *k);
struct antag_slice ag_antom_key_spki(const struct ag_row_antom_key *k);

#endif
