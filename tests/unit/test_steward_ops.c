/* Who may call what, when; and what becomes of a frame before any operation runs. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/steward/ops.h"
#include "tests/support/rows.h"

enum { VIEWER_UID = 11, OFFICER_UID = 12, APPROVER_UID = 13, OWNER_UID = 14, STRANGER_UID = 15 };

static struct ag_steward steward;

static void set_up(enum ag_agent_state state, bool enrolment_known)
{
    static bool made;

    if (!made) {
        uv_mutex_init(&steward.lock);
        uv_cond_init(&steward.changed);
        made = true;
    }
    steward.state = state;
    snprintf(steward.reason, sizeof steward.reason, "the reason");
    steward.owner_uid = OWNER_UID;
    steward.enrolled_known = enrolment_known;
    steward.enrolled_count = enrolment_known ? 3 : 0;
    steward.enrolled[0] = (struct ag_enrolled){VIEWER_UID, ANTAG_ROLE_VIEWER};
    steward.enrolled[1] = (struct ag_enrolled){OFFICER_UID, ANTAG_ROLE_OFFICER};
    steward.enrolled[2] = (struct ag_enrolled){APPROVER_UID, ANTAG_ROLE_APPROVER};
}

#define OPEN   AG_STATE_UNLOCKED
#define LOCKED AG_STATE_LOCKED
#define FAILED AG_STATE_FAILED
#define START  AG_STATE_STARTING
#define V      ANTAG_STAFF_app_list   /* viewers, unlocked */
#define O      ANTAG_STAFF_app_create /* officers, unlocked */
#define VL     ANTAG_STAFF_status     /* viewers, any state */
#define OL     ANTAG_STAFF_unlock     /* officers, any state */

static const struct {
    const char *row;
    enum ag_agent_state state;
    bool known;
    uint32_t uid;
    enum antag_staff_method which;
    enum antag_err err;
} permissions[] = {
    {"viewer looks", OPEN, true, VIEWER_UID, V, ANTAG_OK},
    {"viewer changes", OPEN, true, VIEWER_UID, O, ANTAG_ERR_NOT_STAFF},
    {"officer looks", OPEN, true, OFFICER_UID, V, ANTAG_OK},
    {"officer changes", OPEN, true, OFFICER_UID, O, ANTAG_OK},
    {"approver looks", OPEN, true, APPROVER_UID, V, ANTAG_OK},
    {"approver changes", OPEN, true, APPROVER_UID, O, ANTAG_ERR_NOT_STAFF},
    {"stranger looks", OPEN, true, STRANGER_UID, V, ANTAG_ERR_NOT_STAFF},
    {"stranger asks the status", OPEN, true, STRANGER_UID, VL, ANTAG_ERR_NOT_STAFF},
    {"the owner has no rights of his own", OPEN, true, OWNER_UID, VL, ANTAG_ERR_NOT_STAFF},
    {"nor has root", OPEN, true, 0, OL, ANTAG_ERR_NOT_STAFF},
    {"the unmapped uid", OPEN, true, 65534, VL, ANTAG_ERR_NOT_STAFF},
    {"locked: viewer asks the status", LOCKED, true, VIEWER_UID, VL, ANTAG_OK},
    {"locked: viewer unlocks", LOCKED, true, VIEWER_UID, OL, ANTAG_ERR_NOT_STAFF},
    {"locked: officer unlocks", LOCKED, true, OFFICER_UID, OL, ANTAG_OK},
    {"locked: officer changes", LOCKED, true, OFFICER_UID, O, ANTAG_ERR_LOCKED},
    {"locked: stranger", LOCKED, true, STRANGER_UID, VL, ANTAG_ERR_NOT_STAFF},
    {"locked: stranger changes", LOCKED, true, STRANGER_UID, O, ANTAG_ERR_NOT_STAFF},
    {"locked: owner unlocks", LOCKED, true, OWNER_UID, OL, ANTAG_OK},
    {"locked from the start: owner unlocks", LOCKED, false, OWNER_UID, OL, ANTAG_OK},
    {"locked from the start: root unlocks", LOCKED, false, 0, OL, ANTAG_OK},
    {"locked from the start: root changes", LOCKED, false, 0, O, ANTAG_ERR_LOCKED},
    {"locked from the start: officer is not known", LOCKED, false, OFFICER_UID, OL,
     ANTAG_ERR_NOT_STAFF},
    {"failed: officer changes", FAILED, true, OFFICER_UID, O, ANTAG_ERR_REGISTRY},
    {"failed: root asks the status", FAILED, false, 0, VL, ANTAG_OK},
    {"starting: officer changes", START, true, OFFICER_UID, O, ANTAG_ERR_NOT_READY},
    {"starting: stranger", START, true, STRANGER_UID, VL, ANTAG_ERR_NOT_STAFF},
    /* who is enrolled is not read yet: all get the same word, and it is not that they are none */
    {"starting: stranger, not known", START, false, STRANGER_UID, VL, ANTAG_ERR_NOT_READY},
    {"starting: officer, not known", START, false, OFFICER_UID, O, ANTAG_ERR_NOT_READY},
    {"starting: root asks the status", START, false, 0, VL, ANTAG_OK},
    {"starting: root changes", START, false, 0, O, ANTAG_ERR_NOT_READY},
};

static void test_permissions(void)
{
    for (size_t i = 0; i < ROW_COUNT(permissions); i++) {
        struct antag_fault f = {0};
        enum antag_err err;

        set_up(permissions[i].state, permissions[i].known);
        err = ag_task_permits(&steward, permissions[i].uid,
                              antag_staff_method_row(permissions[i].which), &f);
        ROW_ASSERT(permissions[i].row, err == permissions[i].err);
        ROW_ASSERT(permissions[i].row, err == ANTAG_OK || f.text[0] != '\0');
    }
}

/* In every state a stranger is refused everything, in the same words. */
static void test_strangers_learn_nothing(void)
{
    static const enum ag_agent_state states[] = {OPEN, LOCKED, FAILED, START};
    struct antag_fault first = {0};

    for (size_t i = 0; i < ROW_COUNT(states); i++)
        for (int which = 0; which < ANTAG_STAFF_METHOD_COUNT; which++) {
            const struct antag_staff_method_row *row = antag_staff_method_row(which);
            struct antag_fault f = {0};

            set_up(states[i], true);
            ROW_ASSERT(row->name,
                       ag_task_permits(&steward, STRANGER_UID, row, &f) == ANTAG_ERR_NOT_STAFF);
            if (first.text[0] == '\0')
                first = f;
            ROW_ASSERT(row->name, strcmp(first.text, f.text) == 0);
        }
}

/* ---- frames */

static struct antag_slice request(struct antag_writer *w, const char *method)
{
    struct antag_slice bytes = {NULL, 0};

    antag_writer_init(w, 4096);
    antag_m_request(w, 42, method);
    antag_w_map(w);
    if (strcmp(method, "app_show") == 0)
        antag_w_kv_str(w, "app", "shop");
    if (strcmp(method, "key_import") == 0 || strcmp(method, "key_generate") == 0)
        antag_w_kv_str(w, "profile", "shop/live");
    antag_w_end(w);
    antag_m_close(w);
    CU_ASSERT_EQUAL_FATAL(antag_writer_end(w, &bytes), ANTAG_OK);
    return bytes;
}

static enum antag_err take(uint32_t uid, struct antag_slice bytes, size_t file_count,
                           struct ag_task **task, struct ag_task_refusal *refusal)
{
    uint8_t *copy = malloc(bytes.len + 1);
    int files[3];

    for (size_t i = 0; i < file_count; i++)
        files[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    if (bytes.len > 0)
        memcpy(copy, bytes.p, bytes.len);
    return ag_task_new(&steward, uid, copy, bytes.len, files, file_count, task, refusal);
}

static const struct {
    const char *method;
    uint32_t uid;
    size_t files;
    enum antag_err err;
} methods[] = {
    {"app_list", OFFICER_UID, 0, ANTAG_OK},
    {"app_show", OFFICER_UID, 0, ANTAG_OK},
    {"app_list", OFFICER_UID, 1, ANTAG_ERR_BAD_PARAM},
    {"key_import", OFFICER_UID, 0, ANTAG_ERR_BAD_PARAM},
    {"key_import", OFFICER_UID, 1, ANTAG_OK},
    {"key_import", OFFICER_UID, 2, ANTAG_OK},
    {"key_generate", OFFICER_UID, 1, ANTAG_ERR_BAD_PARAM},
    {"unlock", OFFICER_UID, 0, ANTAG_OK},
    {"unlock", OFFICER_UID, 1, ANTAG_OK},
    {"unlock", OFFICER_UID, 2, ANTAG_ERR_BAD_PARAM},
    {"key_show", OFFICER_UID, 0, ANTAG_ERR_BAD_PARAM}, /* parameters are missing */
    {"nope", OFFICER_UID, 0, ANTAG_ERR_UNKNOWN_METHOD},
    {"", OFFICER_UID, 0, ANTAG_ERR_UNKNOWN_METHOD},
    {"nope", STRANGER_UID, 0, ANTAG_ERR_NOT_STAFF},
    {"app_list", STRANGER_UID, 0, ANTAG_ERR_NOT_STAFF},
    {"key_import", STRANGER_UID, 2, ANTAG_ERR_NOT_STAFF},
};

static void test_methods(void)
{
    int probe;

    set_up(OPEN, true);
    for (size_t i = 0; i < ROW_COUNT(methods); i++) {
        struct ag_task *task = NULL;
        struct ag_task_refusal refusal;
        struct antag_writer w;
        int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
        enum antag_err err;

        close(before);
        err =
            take(methods[i].uid, request(&w, methods[i].method), methods[i].files, &task, &refusal);
        ROW_ASSERT(methods[i].method, err == methods[i].err);
        ROW_ASSERT(methods[i].method, (task != NULL) == (err == ANTAG_OK));
        ROW_ASSERT(methods[i].method,
                   err == ANTAG_OK || (refusal.has_id && refusal.id == 42 && !refusal.fatal));
        ag_task_free(task);
        antag_writer_fini(&w);
        probe = open("/dev/null", O_RDONLY | O_CLOEXEC);
        ROW_ASSERT(methods[i].method, probe == before); /* no file is left open */
        close(probe);
    }
}

static const struct {
    const char *row;
    const char *bytes;
    size_t len;
    enum antag_err err;
    bool fatal;
} frames[] = {
    {"nothing", "", 0, ANTAG_ERR_BAD_FRAME, true},
    {"not an array", "\x80", 1, ANTAG_ERR_BAD_FRAME, true},
    {"an answer", "\x94\x01\x05\xc0\xc0", 5, ANTAG_ERR_BAD_FRAME, true},
    {"an event", "\x93\x02\xa1x\x80", 5, ANTAG_ERR_BAD_FRAME, true},
    {"id is a text", "\x94\x00\xa1x\xa4lock\x80", 9, ANTAG_ERR_BAD_FRAME, true},
    {"bytes behind", "\x94\x00\x05\xa4lock\x80\xc0", 10, ANTAG_ERR_BAD_FRAME, true},
    {"cut", "\x94\x00\x05\xa4loc", 7, ANTAG_ERR_BAD_FRAME, true},
    {"the reserved byte", "\x94\x00\x05\xa4lock\xc1", 9, ANTAG_ERR_BAD_FRAME, true},
    {"unknown key", "\x94\x00\x05\xa4lock\x81\xa1x\x01", 12, ANTAG_ERR_BAD_PARAM, false},
    {"key twice",
     "\x94\x00\x05\xa8"
     "app_show\x82\xa3"
     "app\xa1"
     "a\xa3"
     "app\xa1"
     "b",
     25, ANTAG_ERR_BAD_PARAM, true},
    {"empty array for no parameters", "\x94\x00\x05\xa4lock\x90", 9, ANTAG_OK, false},
    {"nil for no parameters", "\x94\x00\x05\xa4lock\xc0", 9, ANTAG_OK, false},
};

static void test_frames(void)
{
    set_up(OPEN, true);
    for (size_t i = 0; i < ROW_COUNT(frames); i++) {
        struct ag_task *task = NULL;
        struct ag_task_refusal refusal;
        enum antag_err err =
            take(OFFICER_UID, (struct antag_slice){(const uint8_t *)frames[i].bytes, frames[i].len},
                 1, &task, &refusal);

        /* the file makes a call of lock wrong; without it the same frame is right */
        ag_task_free(task);
        task = NULL;
        if (err == ANTAG_ERR_BAD_PARAM)
            err = take(OFFICER_UID,
                       (struct antag_slice){(const uint8_t *)frames[i].bytes, frames[i].len}, 0,
                       &task, &refusal);
        ROW_ASSERT(frames[i].row, err == frames[i].err);
        ROW_ASSERT(frames[i].row, err == ANTAG_OK || refusal.fatal == frames[i].fatal);
        ag_task_free(task);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"permissions", test_permissions},
        {"strangers learn nothing", test_strangers_learn_nothing},
        {"methods and memory files", test_methods},
        {"frames", test_frames},
        CU_TEST_INFO_NULL,
    };

    return run_tests("steward_ops", tests);
}
