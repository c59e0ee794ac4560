/* onboard: the way of an application from a contract to its launch, in the steps of Antom's Developer Center guide
 * (register, role, application, sandbox resources, configure sandbox, test in sandbox, go live and launch; an isv then
 * has its merchants authorise it), with what is done and what is missing. Pure: a function of a book. */
#ifndef AG_STEWARD_ONBOARD_H
#define AG_STEWARD_ONBOARD_H

#include "agent/steward/book.h"

/* What only staff can know. Stored in the registry. */
enum ag_confirmation {
    AG_CONFIRM_RECONCILIATION = 1, /* reconciliation files of the sandbox were read */
    AG_CONFIRM_ACCEPTANCE = 2,     /* Antom's acceptance of the tests */
    AG_CONFIRM_CONTRACT = 4,       /* the business contract is signed */
};
/* 0: none of that name. */
unsigned ag_confirmation_of(struct antag_slice name);

/* a thing to do within a step */
struct ag_onboard_item {
    bool done;
    const char *what; /* a few words */
    char how[200];    /* a command in backquotes, or the page of the dashboard; "" when done */
};
#define AG_ONBOARD_ITEMS 8
struct ag_onboard_step {
    const char *title;
    size_t count;
    struct ag_onboard_item items[AG_ONBOARD_ITEMS];
};
#define AG_ONBOARD_STEPS_MAX 10
/* merchants: how many have given their token to the live profile. Returns how many steps: 7, of an isv 10. */
size_t ag_onboard(const struct ag_book *b, const struct ag_row_app *app, size_t merchants,
                  struct ag_onboard_step out[AG_ONBOARD_STEPS_MAX]);

#endif
