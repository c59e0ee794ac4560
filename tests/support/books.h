/* books: small registries in memory for tests of the steward. Two applications, four profiles:
 * 1 shop/sandbox, 2 shop/live, 3 pay/sandbox, 4 pay/live. Keys are told apart by one byte of their SPKI. */
#ifndef TESTS_SUPPORT_BOOKS_H
#define TESTS_SUPPORT_BOOKS_H

#include <stdio.h>
#include <string.h>

#include "agent/steward/book.h"

#define BOOK_ROWS 16

struct test_book {
    struct ag_book book;
    struct ag_row_app apps[2];
    struct ag_row_profile profiles[4];
    struct ag_row_key keys[BOOK_ROWS];
    struct ag_row_antom_key antom_keys[BOOK_ROWS];
    struct ag_grant grants[BOOK_ROWS];
    struct ag_row_fence fences[BOOK_ROWS];
};

static inline void test_book_init(struct test_book *t)
{
    static const char *const apps[] = {"shop", "pay"};

    memset(t, 0, sizeof *t);
    t->book = (struct ag_book){.epoch = 7,
                               .app_count = 2,
                               .profile_count = 4,
                               .apps = t->apps,
                               .profiles = t->profiles,
                               .keys = t->keys,
                               .antom_keys = t->antom_keys,
                               .grants = t->grants,
                               .fences = t->fences};
    for (unsigned i = 0; i < 2; i++) {
        t->apps[i].id = i + 1;
        snprintf(t->apps[i].name, sizeof t->apps[i].name, "%s", apps[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        struct ag_row_profile *p = &t->profiles[i];

        p->id = i + 1;
        p->app_id = i / 2 + 1;
        p->env = i % 2 == 0 ? AG_ENV_SANDBOX : AG_ENV_LIVE;
        p->response_max_age_ms = p->notification_max_age_ms = -1;
        p->next_key_version = p->next_antom_version = 1;
        snprintf(p->name, sizeof p->name, "%s/%s", apps[i / 2], ag_env_name(p->env));
    }
}

static inline struct ag_row_key *test_book_key(struct test_book *t, uint64_t profile_id,
                                               uint32_t version, enum ag_key_state state,
                                               uint8_t spki)
{
    struct ag_row_key *k = &t->keys[t->book.key_count++];

    *k = (struct ag_row_key){.id = 100 + t->book.key_count,
                             .profile_id = profile_id,
                             .version = version,
                             .key_version = 1,
                             .state = state,
                             .keyring = "soft",
                             .bits = 2048,
                             .spki_len = 4,
                             .spki = {0x30, 2, 5, spki},
                             .sealed_len = 3,
                             .sealed = {1, 2, 3}};
    return k;
}

static inline struct ag_row_antom_key *test_book_antom_key(struct test_book *t, uint64_t profile_id,
                                                           uint32_t version,
                                                           enum ag_antom_key_state state,
                                                           uint8_t spki)
{
    struct ag_row_antom_key *k = &t->antom_keys[t->book.antom_key_count++];

    *k = (struct ag_row_antom_key){.id = 200 + t->book.antom_key_count,
                                   .profile_id = profile_id,
                                   .version = version,
                                   .state = state,
                                   .bits = 2048,
                                   .spki_len = 4,
                                   .spki = {0x30, 2, 5, spki}};
    return k;
}

#endif
