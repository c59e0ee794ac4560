/* Random walks over the keys of one profile, with crashes at every place and clocks that behave and that do
 * not. The shell below does what the steward does: asks for a step, commits, acts, repeats after a crash.
 *
 * Rules after each step: at most one active key; only an active key signs; destroyed holds no private
 * half; compromised never signs again; no version twice; time ends a state no sooner than it should. At
 * the end of each walk every key can still be brought to destroyed. */
#include <string.h>

#include "agent/core/keylife.h"
#include "tests/support/dice.h"
#include "tests/support/rows.h"

#define HOUR_MS (3600 * INT64_C(1000))
#define WATCH   (24 * HOUR_MS)
#define WAIT    (30 * 24 * HOUR_MS)
#define WALKS   400
#define STEPS   250
#define KEYS    12

struct key {
    uint32_t version;
    enum ag_key_state state, suspended_from;
    int64_t observed_ms; /* what the agent counted since the state was entered */
    int64_t real_ms;     /* what really passed while it ran: the judge's own count */
    bool self_tested;
    bool held;        /* somewhere there is a private half */
    bool keeper_has;  /* a keeper signs with it */
    bool wiping;      /* intent: wipe, then commit destroyed */
    bool compromised; /* ever */
};

struct profile {
    struct key keys[KEYS];
    size_t count;
    uint32_t last_version;
    bool automatic;
    int64_t wall_ms, mono_ms, seen_mono_ms;
};

static const char *where = ""; /* the last event, for failures */

static bool other_is_active(const struct profile *p, const struct key *k)
{
    for (size_t i = 0; i < p->count; i++)
        if (&p->keys[i] != k && p->keys[i].state == AG_KEY_ACTIVE)
            return true;
    return false;
}

static struct ag_key_facts facts_of(const struct profile *p, const struct key *k)
{
    return (struct ag_key_facts){.state = k->state,
                                 .suspended_from = k->suspended_from,
                                 .state_observed_ms = k->observed_ms,
                                 .watch_window_ms = WATCH,
                                 .destroy_wait_ms = WAIT,
                                 .profile_has_other_active = other_is_active(p, k),
                                 .self_tested = k->self_tested,
                                 .destroy_automatic = p->automatic};
}

/* ---- the judge */

static void check_rules(const struct profile *p)
{
    size_t active = 0;

    for (size_t i = 0; i < p->count; i++) {
        const struct key *k = &p->keys[i];

        active += k->state == AG_KEY_ACTIVE;
        if (k->state == AG_KEY_DESTROYED && (k->held || k->keeper_has))
            ROW_ASSERT(where, !"destroyed holds no private half");
        if (k->compromised && (ag_key_state_signs(k->state) || k->keeper_has))
            ROW_ASSERT(where, !"compromised never signs again");
        if (k->keeper_has && !ag_key_state_signs(k->state))
            ROW_ASSERT(where, !"only an active key signs");
        for (size_t j = 0; j < i; j++)
            if (p->keys[j].version == k->version)
                ROW_ASSERT(where, !"no version twice");
    }
    if (active > 1)
        ROW_ASSERT(where, !"at most one active key");
}

/* What time brought about, measured by the judge's count. */
static void check_time(const struct key *k, enum ag_key_state to)
{
    if (k->state == AG_KEY_RETIRING && to == AG_KEY_RETIRED && k->real_ms < WATCH)
        ROW_ASSERT(where, !"retired before its watch window was over");
    if (k->state == AG_KEY_RETIRED && to == AG_KEY_DESTROYED && k->real_ms < WAIT)
        ROW_ASSERT(where, !"destroyed before its wait was over");
}

/* ---- the shell */

static void enter(struct key *k, enum ag_key_state to)
{
    check_time(k, to);
    if (to == AG_KEY_SUSPENDED)
        k->suspended_from = k->state;
    if (to == AG_KEY_COMPROMISED)
        k->compromised = true;
    k->state = to;
    k->observed_ms = 0;
    k->real_ms = 0;
}

/* A start finds everything again: unfinished wipes are done, keepers get what the registry says. */
static void restart(struct profile *p)
{
    for (size_t i = 0; i < p->count; i++) {
        struct key *k = &p->keys[i];

        if (k->wiping) {
            k->held = false;
            k->wiping = false;
            enter(k, AG_KEY_DESTROYED);
        }
        k->keeper_has = ag_key_state_signs(k->state);
    }
    p->seen_mono_ms = p->mono_ms; /* what passed while it was down was not observed */
}

static bool crash(void)
{
    return dice_below(8) == 0;
}

/* Destruction writes its intent, wipes, and commits; a crash after any of them is mended by a start. */
static void wipe(struct profile *p, struct key *k)
{
    k->wiping = true;
    k->keeper_has = false;
    if (crash()) {
        restart(p);
        return;
    }
    k->held = false;
    if (crash()) {
        restart(p);
        return;
    }
    k->wiping = false;
    enter(k, AG_KEY_DESTROYED);
}

/* One transaction moves the new key and the one it replaces; then keepers follow, or a start makes them. */
static void switch_to(struct profile *p, struct key *k, enum ag_key_event event)
{
    struct key *old = NULL;
    struct ag_key_step step = {AG_KEY_STATE_COUNT, AG_KEYACT_NONE};

    for (size_t i = 0; i < p->count; i++)
        if (p->keys[i].state == AG_KEY_ACTIVE)
            old = &p->keys[i];
    if (old != NULL && event == AG_KEYEV_RESUME)
        ROW_ASSERT(where, !"resuming displaces no key");
    if (old != NULL) {
        struct ag_key_facts facts = facts_of(p, old);

        CU_ASSERT_EQUAL(ag_keylife_step(&facts, AG_KEYEV_SUPERSEDE, &step, NULL), ANTAG_OK);
        CU_ASSERT_EQUAL(step.action, AG_KEYACT_STOP_SIGNING);
        enter(old, step.to);
    }
    enter(k, AG_KEY_ACTIVE);
    if (old != NULL)
        old->keeper_has = false;
    if (crash())
        restart(p);
    else
        k->keeper_has = true;
}

static bool apply(struct profile *p, struct key *k, enum ag_key_event event)
{
    struct ag_key_facts facts = facts_of(p, k);
    struct ag_key_step step;
    static char text[96];

    snprintf(text, sizeof text, "version %u, %s, %s", k->version, ag_key_state_name(k->state),
             ag_key_event_name(event));
    where = text;
    if (ag_keylife_step(&facts, event, &step, NULL) != ANTAG_OK)
        return false;
    switch (step.action) {
    case AG_KEYACT_WIPE:
        wipe(p, k);
        return true;
    case AG_KEYACT_START_SIGNING:
        switch_to(p, k, event);
        return true;
    case AG_KEYACT_STOP_SIGNING: /* a stop acts first */
        k->keeper_has = false;
        break;
    case AG_KEYACT_NONE:
        break;
    }
    if (crash())
        restart(p); /* before the commit: the step has not been taken */
    else
        enter(k, step.to);
    return true;
}

static void generate(struct profile *p)
{
    struct key *k = &p->keys[p->count];

    if (p->count == KEYS)
        return;
    where = "generate";
    *k =
        (struct key){.version = ++p->last_version, .held = true, .self_tested = dice_below(5) != 0};
    p->count++;
    if (!other_is_active(p, k))
        (void)apply(p, k, AG_KEYEV_ACTIVATE);
}

/* ---- time. The agent counts what its monotonic clock moved while it ran, at most an hour a look, and never
 * looks at the wall; the judge counts what really passed. */

static void pass(struct profile *p, int64_t ms, bool jumping)
{
    int64_t moved;

    p->wall_ms += ms;
    p->mono_ms += ms;
    if (jumping && dice_below(3) == 0)
        p->wall_ms += (int64_t)dice_below(1000) * WAIT - 500 * WAIT;
    moved = p->mono_ms - p->seen_mono_ms;
    p->seen_mono_ms = p->mono_ms;
    if (jumping && dice_below(10) == 0)
        moved = -moved; /* a broken clock */
    for (size_t i = 0; i < p->count; i++) {
        p->keys[i].real_ms += ms;
        p->keys[i].observed_ms += moved;
    }
}

static int64_t some_time(void)
{
    static const int64_t most[] = {1000, HOUR_MS, WATCH, 2 * WATCH, WAIT, 2 * WAIT};

    return 1 + (int64_t)dice_below((size_t)most[dice_below(6)]);
}

/* After any walk: whatever state a key is in, legal events bring it to destroyed. */
static void drain(struct profile *p)
{
    static const enum ag_key_event way[] = {AG_KEYEV_SUSPEND, AG_KEYEV_COMPROMISE,
                                            AG_KEYEV_DESTROY};

    for (size_t i = 0; i < p->count; i++) {
        struct key *k = &p->keys[i];

        for (int tries = 0; tries < 60 && k->state != AG_KEY_DESTROYED; tries++)
            for (size_t e = 0; e < 3; e++)
                (void)apply(p, k, way[e]);
        check_rules(p);
        if (k->state != AG_KEY_DESTROYED)
            ROW_ASSERT(where, !"cannot be brought to destroyed");
    }
}

/* Time alone brings a superseded key to its end, where that is set. */
static void age(struct profile *p)
{
    for (int round = 0; round < 60; round++) {
        pass(p, WAIT, false);
        for (size_t i = 0; i < p->count; i++)
            (void)apply(p, &p->keys[i], AG_KEYEV_TICK);
        check_rules(p);
    }
    for (size_t i = 0; i < p->count; i++) {
        if (p->keys[i].state == AG_KEY_RETIRING ||
            (p->automatic && p->keys[i].state == AG_KEY_RETIRED))
            ROW_ASSERT(where, !"time ends a retiring key");
    }
}

static void walk(bool jumping)
{
    struct profile p = {.automatic = dice_below(2) == 0, .wall_ms = INT64_C(1700000000000)};

    for (int i = 0; i < STEPS; i++) {
        size_t what = dice_below(20);

        if (what == 0 || p.count == 0)
            generate(&p);
        else if (what == 1)
            restart(&p);
        else if (what < 6)
            pass(&p, some_time(), jumping);
        else if (what == 6)
            p.keys[dice_below(p.count)].self_tested = dice_below(4) != 0;
        else
            (void)apply(&p, &p.keys[dice_below(p.count)],
                        (enum ag_key_event)dice_below(AG_KEY_EVENT_COUNT));
        check_rules(&p);
    }
    for (size_t i = 0; i < p.count; i++) /* broken clocks have been mended by now */
        p.keys[i].observed_ms = 0;
    age(&p);
    drain(&p);
}

static void test_forward(void)
{
    for (int i = 0; i < WALKS; i++)
        walk(false);
    CU_PASS("walked");
}

static void test_jumping(void)
{
    for (int i = 0; i < WALKS; i++)
        walk(true);
    CU_PASS("walked");
}

/* Any facts at all, in form or not: the answer is a row's or a refusal, and a key whose private half must
 * not sign never goes to active. */
static void test_any_facts(void)
{
    for (int i = 0; i < 200000; i++) {
        struct ag_key_facts f = {.state = (enum ag_key_state)dice_below(AG_KEY_STATE_COUNT + 2),
                                 .suspended_from =
                                     (enum ag_key_state)dice_below(AG_KEY_STATE_COUNT + 2),
                                 .state_observed_ms = (int64_t)dice(),
                                 .watch_window_ms = (int64_t)dice(),
                                 .destroy_wait_ms = (int64_t)dice(),
                                 .profile_has_other_active = dice_below(2) == 0,
                                 .self_tested = dice_below(2) == 0,
                                 .destroy_automatic = dice_below(2) == 0};
        enum ag_key_event event = (enum ag_key_event)dice_below(AG_KEY_EVENT_COUNT + 1);
        struct ag_key_step step;
        struct ag_wait why;

        if (ag_keylife_step(&f, event, &step, &why) != ANTAG_OK) {
            CU_ASSERT_FATAL(why.reason[0] != '\0' && why.for_ms >= -1);
            continue;
        }
        CU_ASSERT_FATAL(step.to < AG_KEY_STATE_COUNT);
        CU_ASSERT_FATAL(f.state != AG_KEY_DESTROYED);
        CU_ASSERT_FATAL(step.to != AG_KEY_ACTIVE || f.self_tested);
        CU_ASSERT_FATAL(f.state != AG_KEY_COMPROMISED || step.to == AG_KEY_DESTROYED);
        CU_ASSERT_FATAL(event != AG_KEYEV_TICK || step.to != AG_KEY_DESTROYED ||
                        (f.destroy_automatic && f.destroy_wait_ms >= 0 &&
                         f.state_observed_ms >= f.destroy_wait_ms));
    }
}

/* Antom keys: revoked for good, and a superseded key verifies for 25 hours unless staff withdraws it. */
static void test_antom_keys(void)
{
    for (int i = 0; i < WALKS; i++) {
        struct ag_antom_key_facts f = {AG_ANTOM_KEY_STAGED, 0, (int64_t)dice_below(100) * HOUR_MS};
        bool revoked = false;

        for (int step = 0; step < STEPS; step++) {
            enum ag_antom_key_event event =
                (enum ag_antom_key_event)dice_below(AG_ANTOM_KEY_EVENT_COUNT);
            enum ag_antom_key_state to;

            if (event == AG_ANTOMEV_REVOKE && dice_below(20) != 0)
                continue;
            f.state_observed_ms += (int64_t)dice_below((size_t)(10 * HOUR_MS));
            if (ag_antom_keylife_step(&f, event, &to, NULL) != ANTAG_OK)
                continue;
            if (event == AG_ANTOMEV_TICK)
                CU_ASSERT_FATAL(f.state_observed_ms >= AG_ANTOM_OVERLAP_MIN_MS &&
                                f.state_observed_ms >= f.overlap_ms);
            CU_ASSERT_FATAL(!revoked);
            revoked = to == AG_ANTOM_KEY_REVOKED;
            CU_ASSERT_FATAL(!revoked || !ag_antom_key_state_verifies(to));
            f.state = to;
            f.state_observed_ms = 0;
        }
    }
}

int main(int argc, char **argv)
{
    CU_TestInfo tests[] = {
        {"time only forward", test_forward},
        {"time jumping", test_jumping},
        {"any facts", test_any_facts},
        {"Antom keys", test_antom_keys},
        CU_TEST_INFO_NULL,
    };

    dice_seed(argc, argv);
    return run_tests("keylife", tests);
}
