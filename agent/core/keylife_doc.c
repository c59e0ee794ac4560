/* keylife_doc: the states of keys in agent/core/STATES.md, made of the rows of keylife. */
#include <stdio.h>
#include <string.h>

#include "agent/core/keylife.h"
#include "agent/core/keylife_internal.h"
#include "agent/core/statedoc.h"

static const char *state_name(size_t i)
{
    return ag_key_state_name((enum ag_key_state)i);
}

static const char *event_name(size_t i)
{
    return ag_key_event_name((enum ag_key_event)i);
}

static struct ag_statedoc_row merchant_row(size_t i)
{
    const struct ag_keylife_row *r = &ag_keylife_rows[i];

    return (struct ag_statedoc_row){ag_key_state_name(r->from), ag_key_event_name(r->event),
                                    ag_key_guard_text(r->guard), ag_key_action_name(r->action),
                                    ag_key_state_name(r->to)};
}

static const char *antom_state_name(size_t i)
{
    return ag_antom_key_state_name((enum ag_antom_key_state)i);
}

static const char *antom_event_name(size_t i)
{
    return ag_antom_key_event_name((enum ag_antom_key_event)i);
}

static struct ag_statedoc_row antom_row(size_t i)
{
    const struct ag_antom_keylife_row *r = &ag_antom_keylife_rows[i];

    return (struct ag_statedoc_row){
        ag_antom_key_state_name(r->from), ag_antom_key_event_name(r->event),
        ag_antom_key_guard_text(r->guard), "", ag_antom_key_state_name(r->to)};
}

static void print_merchant_keys(FILE *out)
{
    static const char *const last[] = {"destroyed", NULL};
    static const struct ag_statedoc_machine machine = {
        AG_KEY_STATE_COUNT, AG_KEY_EVENT_COUNT, 0,    state_name,         event_name,
        merchant_row,       "staged",           last, ANTAG_ERR_KEY_STATE};
    struct ag_statedoc_machine m = machine;
    struct ag_key_facts facts = {.self_tested = true};
    struct ag_wait wait;

    m.row_count = ag_keylife_row_count;
    fputs("\n## Merchant keys\n\n| state | signs | meaning | waits for | who acts next |\n"
          "| --- | --- | --- | --- | --- |\n",
          out);
#define AG_ROW(name, signs, text)                                                                  \
    facts.state = AG_KEY_##name;                                                                   \
    ag_keylife_wait(&facts, &wait);                                                                \
    fprintf(out, "| `%s` | %s | %s | %s | %s |\n", ag_key_state_name(AG_KEY_##name),               \
            ag_key_state_signs(AG_KEY_##name) ? "yes"                                              \
            : #signs[0] == 'P'                ? "probes only"                                      \
                                              : "no",                                                             \
            text, wait.reason, ag_actor_name(wait.who));
    AG_KEY_STATES(AG_ROW)
#undef AG_ROW
    fputs("\n| event | meaning |\n| --- | --- |\n", out);
#define AG_ROW(name, text) fprintf(out, "| %s | %s |\n", ag_key_event_name(AG_KEYEV_##name), text);
    AG_KEY_EVENTS(AG_ROW)
#undef AG_ROW
    ag_statedoc_print(out, &m);
}

static void print_antom_keys(FILE *out)
{
    static const char *const last[] = {"revoked", NULL};
    static const struct ag_statedoc_machine machine = {AG_ANTOM_KEY_STATE_COUNT,
                                                       AG_ANTOM_KEY_EVENT_COUNT,
                                                       0,
                                                       antom_state_name,
                                                       antom_event_name,
                                                       antom_row,
                                                       "staged",
                                                       last,
                                                       ANTAG_ERR_KEY_STATE};
    struct ag_statedoc_machine m = machine;
    struct ag_antom_key_facts facts = {0};
    struct ag_wait wait;

    m.row_count = ag_antom_keylife_row_count;
    fputs("\n## Antom keys\n\n| state | verifies | meaning | waits for | who acts next |\n"
          "| --- | --- | --- | --- | --- |\n",
          out);
#define AG_ROW(name, verifies, text)                                                               \
    facts.state = AG_ANTOM_KEY_##name;                                                             \
    ag_antom_keylife_wait(&facts, &wait);                                                          \
    fprintf(out, "| `%s` | %s | %s | %s | %s |\n", ag_antom_key_state_name(AG_ANTOM_KEY_##name),   \
            ag_antom_key_state_verifies(AG_ANTOM_KEY_##name) ? "yes" : "no", text, wait.reason,    \
            ag_actor_name(wait.who));
    AG_ANTOM_KEY_STATES(AG_ROW)
#undef AG_ROW
    fputs("\n| event | meaning |\n| --- | --- |\n", out);
#define AG_ROW(name, text)                                                                         \
    fprintf(out, "| %s | %s |\n", ag_antom_key_event_name(AG_ANTOMEV_##name), text);
    AG_ANTOM_KEY_EVENTS(AG_ROW)
#undef AG_ROW
    ag_statedoc_print(out, &m);
}

void ag_keylife_doc(FILE *out)
{
    print_merchant_keys(out);
    print_antom_keys(out);
}
