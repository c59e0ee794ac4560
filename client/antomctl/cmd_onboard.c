/* onboard: the steps to launch, for people. */
#include <stdio.h>
#include <string.h>

#include "client/antomctl/ctl.h"
#include "client/antomctl/json.h"

#define WHAT_COLUMN 14

static void put_item(struct ctl *c, const json_t *item)
{
    const char *how = ctl_json_text(item, "how");
    char command[CTL_LINE_MAX], lead[CTL_LINE_MAX];
    const char *tick = strchr(how, '`');

    if (json_is_true(json_object_get(item, "done")))
        return;
    (void)printf("%*s- ", WHAT_COLUMN - 2, "");
    ctl_put_wrapped(stdout, ctl_json_text(item, "what"), WHAT_COLUMN, WHAT_COLUMN);
    (void)printf("%*s", WHAT_COLUMN, "");
    if (tick != NULL && ctl_named_command(c, how, command)) {
        (void)snprintf(lead, sizeof(lead), "%.*s%s%s", (int)(tick - how), how, command,
                       strrchr(how, '`') + 1);
        ctl_put_wrapped(stdout, lead, WHAT_COLUMN, WHAT_COLUMN);
    } else {
        ctl_put_wrapped(stdout, how, WHAT_COLUMN, WHAT_COLUMN);
    }
}

void ctl_render_onboard(struct ctl *c, const json_t *result)
{
    size_t i, k, done = 0;
    json_t *step, *item, *steps = json_object_get(result, "steps");

    json_array_foreach(steps, i, step)
    {
        bool is_done = json_is_true(json_object_get(step, "done"));
        int64_t number = 0;

        (void)ctl_json_int(step, "step", &number);
        (void)printf("%2lld  ", (long long)number);
        ctl_put(stdout, c->colour, is_done ? CTL_GOOD : CTL_WAITS, is_done ? "done " : "to do");
        (void)printf("  %s\n", ctl_json_text(step, "title"));
        json_array_foreach(json_object_get(step, "items"), k, item) put_item(c, item);
        done += is_done;
    }
    (void)printf("\n%s, %s: %zu of %zu steps are done.\n", ctl_json_text(result, "app"),
                 ctl_json_text(result, "role"), done, json_array_size(steps));
}
