/* The method tables of both sockets: who is in them, and every field at its edges. */
#include <stdlib.h>
#include <string.h>

#include "proto/agent_methods.h"
#include "proto/message.h"
#include "proto/staff_methods.h"
#include "tests/support/rows.h"

/* ---- look-up */

static const struct {
    const char *name;
    enum antag_agent_method which;
    bool when_locked;
} agent_rows[] = {
    {"hello", ANTAG_AGENT_hello, true},
    {"sign_request", ANTAG_AGENT_sign_request, false},
    {"verify_response", ANTAG_AGENT_verify_response, false},
    {"verify_notification", ANTAG_AGENT_verify_notification, false},
    {"explain", ANTAG_AGENT_explain, false},
    {"watch", ANTAG_AGENT_watch, false},
    {"health", ANTAG_AGENT_health, true},
};

static void test_agent_methods(void)
{
    CU_ASSERT_EQUAL(ROW_COUNT(agent_rows), ANTAG_AGENT_METHOD_COUNT);
    for (size_t i = 0; i < ROW_COUNT(agent_rows); i++) {
        enum antag_agent_method which = ANTAG_AGENT_METHOD_COUNT;
        const struct antag_agent_method_row *row =
            antag_agent_method(antag_slice_of(agent_rows[i].name), &which);

        ROW_ASSERT(agent_rows[i].name, row != NULL && which == agent_rows[i].which);
        if (row != NULL)
            ROW_ASSERT(agent_rows[i].name, row->when_locked == agent_rows[i].when_locked);
    }
}

static const struct antag_slice no_methods[] = {
    {NULL, 0},
    {(const uint8_t *)"", 0},
    {(const uint8_t *)"HELLO", 5},
    {(const uint8_t *)"hell", 4},
    {(const uint8_t *)"hello\0", 6},
    {(const uint8_t *)"hello ", 6},
    {(const uint8_t *)"explai", 6},
    {(const uint8_t *)"watc", 4},
    {(const uint8_t *)"sign", 4},
    {(const uint8_t *)"\xff\xfe", 2},
};

static void test_no_methods(void)
{
    for (size_t i = 0; i < ROW_COUNT(no_methods); i++) {
        enum antag_agent_method agent;
        enum antag_staff_method staff;

        CU_ASSERT_PTR_NULL(antag_agent_method(no_methods[i], &agent));
        CU_ASSERT_PTR_NULL(antag_staff_method(no_methods[i], &staff));
    }
}

/* Nothing of one socket is there on the other. */
static void test_sockets_are_apart(void)
{
    for (int i = 0; i < ANTAG_STAFF_METHOD_COUNT; i++) {
        const struct antag_staff_method_row *row =
            antag_staff_method_row((enum antag_staff_method)i);
        enum antag_staff_method which = ANTAG_STAFF_METHOD_COUNT;
        enum antag_agent_method agent;

        CU_ASSERT_PTR_NOT_NULL_FATAL(row);
        ROW_ASSERT(row->name, antag_staff_method(antag_slice_of(row->name), &which) == row);
        ROW_ASSERT(row->name, which == (enum antag_staff_method)i);
        ROW_ASSERT(row->name, antag_agent_method(antag_slice_of(row->name), &agent) == NULL);
    }
    CU_ASSERT_PTR_NULL(antag_staff_method_row(ANTAG_STAFF_METHOD_COUNT));
}

/* What changes anything is for officers, and files are taken where keys and passphrases come. */
static void test_staff_rights(void)
{
    static const char *const viewers[] = {
        "status",        "doctor",         "version",       "app_list",      "app_show",
        "key_list",      "key_show",       "key_export",    "profile_show",  "antom_key_list",
        "fence_list",    "grant_list",     "staff_list",    "sandbox_show",  "onboard",
        "mailbox_code",  "mailbox_verify", "mail_list",     "change_list",   "change_show",
        "change_code",   "change_approve", "merchant_list", "merchant_show", "merchant_url",
        "rotate_status", "seal_show",      "keyring_list"};
    static const char *const when_locked[] = {"status", "doctor", "version", "unlock"};
    static const struct {
        const char *name;
        unsigned max;
    } files[] = {{"key_import", 2},   {"antom_key_add", 1}, {"unlock", 1},      {"sandbox_set", 1},
                 {"merchant_add", 1}, {"merchant_set", 1},  {"seal_change", 1}, {"keyring_pin", 1}};

    for (int i = 0; i < ANTAG_STAFF_METHOD_COUNT; i++) {
        const struct antag_staff_method_row *row =
            antag_staff_method_row((enum antag_staff_method)i);
        enum antag_staff_role who = ANTAG_ROLE_OFFICER;
        unsigned files_max = 0;
        bool locked = false;

        for (size_t k = 0; k < ROW_COUNT(viewers); k++)
            if (strcmp(viewers[k], row->name) == 0)
                who = ANTAG_ROLE_VIEWER;
        if (row->name == antag_staff_method_row(ANTAG_STAFF_change_reject)->name)
            who = ANTAG_ROLE_APPROVER;
        for (size_t k = 0; k < ROW_COUNT(when_locked); k++)
            locked = locked || strcmp(when_locked[k], row->name) == 0;
        for (size_t k = 0; k < ROW_COUNT(files); k++)
            if (strcmp(files[k].name, row->name) == 0)
                files_max = files[k].max;
        ROW_ASSERT(row->name, row->who == who);
        ROW_ASSERT(row->name, row->when_locked == locked);
        ROW_ASSERT(row->name, row->files_max == files_max);
    }
}

/* What waits for approval; stops, what only looks, and what nothing launched depends on are not here. */
static void test_guards(void)
{
    static const struct {
        const char *name;
        enum antag_guard guard;
    } guarded[] = {
        {"app_launch", ANTAG_GUARD_ALWAYS},
        {"profile_set", ANTAG_GUARD_PROFILE},
        {"quorum_set", ANTAG_GUARD_PROFILE},
        {"key_activate", ANTAG_GUARD_PROFILE},
        {"key_resume", ANTAG_GUARD_PROFILE},
        {"key_set", ANTAG_GUARD_PROFILE},
        {"key_compromise", ANTAG_GUARD_PROFILE},
        {"key_destroy", ANTAG_GUARD_PROFILE},
        {"antom_key_activate", ANTAG_GUARD_PROFILE},
        {"rotate_request", ANTAG_GUARD_PROFILE},
        {"app_remove", ANTAG_GUARD_PROFILE},
        {"fence_add", ANTAG_GUARD_PROFILE},
        {"grant_add", ANTAG_GUARD_PROFILE},
        {"staff_add", ANTAG_GUARD_AGENT},
        {"staff_set", ANTAG_GUARD_AGENT},
        {"staff_remove", ANTAG_GUARD_AGENT},
        {"registry_confirm", ANTAG_GUARD_AGENT},
        {"seal_change", ANTAG_GUARD_AGENT},
        {"merchant_add", ANTAG_GUARD_PROFILE},
        {"merchant_set", ANTAG_GUARD_PROFILE},
        {"merchant_resume", ANTAG_GUARD_PROFILE},
        {"merchant_remove", ANTAG_GUARD_PROFILE},
    };

    for (int i = 0; i < ANTAG_STAFF_METHOD_COUNT; i++) {
        const struct antag_staff_method_row *row =
            antag_staff_method_row((enum antag_staff_method)i);
        enum antag_guard guard = ANTAG_GUARD_NONE;

        for (size_t k = 0; k < ROW_COUNT(guarded); k++)
            if (strcmp(guarded[k].name, row->name) == 0)
                guard = guarded[k].guard;
        ROW_ASSERT(row->name, row->guard == guard);
        ROW_ASSERT(row->name, row->guard == ANTAG_GUARD_NONE || row->who == ANTAG_ROLE_OFFICER);
    }
}

/* ---- fields at their edges: each field of each method with a value at and over its bounds, the
 * other required ones with their least value */

static struct antag_decoder decoder;
static uint8_t filler[ANTAG_BODY_MAX + 1];

static void write_least(struct antag_writer *w, const struct antag_field *f)
{
    antag_w_key(w, f->name);
    switch (f->kind) {
    case ANTAG_K_TEXT:
        antag_w_strn(w, (struct antag_slice){filler, f->min});
        break;
    case ANTAG_K_BYTES:
        antag_w_bin(w, (struct antag_slice){filler, f->min});
        break;
    case ANTAG_K_UINT:
        antag_w_uint(w, f->min);
        break;
    case ANTAG_K_TEXTS:
        antag_w_array(w);
        for (uint64_t i = 0; i < f->min; i++)
            antag_w_str(w, "t");
        antag_w_end(w);
        break;
    default:
        CU_FAIL("a required field of this kind is not foreseen here");
    }
}

enum edge { AT_MAX, OVER_MAX, UNDER_MIN, LONG_EACH, LONGER_EACH };

/* False when this edge does not exist for the field. */
static bool write_edge(struct antag_writer *w, const struct antag_field *f, enum edge edge)
{
    uint64_t n = edge == UNDER_MIN ? f->min - 1 : edge == OVER_MAX ? f->max + 1 : f->max;
    size_t each = 1;

    if ((edge == UNDER_MIN && f->min == 0) || (edge == OVER_MAX && n == 0))
        return false;
    if (edge == LONG_EACH || edge == LONGER_EACH) {
        if (f->kind != ANTAG_K_TEXTS)
            return false;
        each = f->each + (edge == LONGER_EACH ? 1 : 0);
    }
    antag_w_key(w, f->name);
    switch (f->kind) {
    case ANTAG_K_TEXT:
    case ANTAG_K_BYTES:
        antag_w_bin(w, (struct antag_slice){filler, n});
        return true;
    case ANTAG_K_UINT:
        antag_w_uint(w, n);
        return true;
    case ANTAG_K_TEXTS:
    case ANTAG_K_ARRAY:
        antag_w_array(w);
        for (uint64_t i = 0; i < n; i++)
            antag_w_strn(w, (struct antag_slice){filler, each});
        antag_w_end(w);
        return true;
    case ANTAG_K_MAP:
        antag_w_map(w);
        for (uint64_t i = 0; i < 2 * n; i++)
            antag_w_nil(w);
        antag_w_end(w);
        return true;
    default:
        antag_w_bool(w, true);
        return edge == AT_MAX;
    }
}

static enum antag_err parse_with(const struct antag_params *spec, const struct antag_field *field,
                                 enum edge edge, struct antag_fault *fault)
{
    struct antag_writer w;
    struct antag_slice out;
    struct antag_message m;
    void *params = malloc(spec->size);
    enum antag_err err = ANTAG_OK;

    CU_ASSERT_PTR_NOT_NULL_FATAL(params);
    antag_writer_init(&w, 2 * ANTAG_FRAME_MAX);
    antag_m_request(&w, 1, "m");
    antag_w_map(&w);
    for (size_t i = 0; i < spec->count; i++)
        if (&spec->fields[i] != field && spec->fields[i].required)
            write_least(&w, &spec->fields[i]);
    if (!write_edge(&w, field, edge)) {
        err = ANTAG_ERR_NOT_FOUND;
        goto out;
    }
    antag_w_end(&w);
    antag_m_close(&w);
    err = antag_writer_end(&w, &out);
    if (err == ANTAG_OK)
        err = antag_message_parse(&decoder, out, &m, fault);
    if (err == ANTAG_OK)
        err = antag_params_parse(spec, false, &m.params, params, fault);
out:
    antag_writer_fini(&w);
    free(params);
    return err;
}

static void try_fields(const char *method, const struct antag_params *spec)
{
    for (size_t i = 0; i < spec->count; i++) {
        const struct antag_field *f = &spec->fields[i];

        for (enum edge edge = AT_MAX; edge <= LONGER_EACH; edge++) {
            bool good = edge == AT_MAX || edge == LONG_EACH;
            struct antag_fault fault = {0};
            enum antag_err err = parse_with(spec, f, edge, &fault);
            char row[100];

            if (err == ANTAG_ERR_NOT_FOUND)
                continue;
            snprintf(row, sizeof row, "%s, %s, edge %d", method, f->name, (int)edge);
            ROW_ASSERT(row, err == (good ? ANTAG_OK : ANTAG_ERR_BAD_PARAM));
            if (!good)
                ROW_ASSERT(row, strcmp(fault.field, f->name) == 0);
        }
    }
}

static void test_edges(void)
{
    for (size_t i = 0; i < ROW_COUNT(agent_rows); i++) {
        enum antag_agent_method which;

        try_fields(agent_rows[i].name,
                   &antag_agent_method(antag_slice_of(agent_rows[i].name), &which)->params);
    }
    for (int i = 0; i < ANTAG_STAFF_METHOD_COUNT; i++) {
        const struct antag_staff_method_row *row =
            antag_staff_method_row((enum antag_staff_method)i);

        try_fields(row->name, &row->params);
    }
}

/* ---- the limits that PROTOCOL.md promises */

static const struct {
    const char *method, *field;
    enum antag_kind kind;
    bool required;
    uint64_t min, max;
} limit_rows[] = {
    {"hello", "versions", ANTAG_K_ARRAY, false, 1, 16},
    {"hello", "client", ANTAG_K_TEXT, false, 0, 128},
    {"hello", "trace", ANTAG_K_TEXT, false, 0, 128},
    {"hello", "deadline_ms", ANTAG_K_UINT, false, 1, 86400000},
    {"sign_request", "profile", ANTAG_K_TEXT, true, 1, 40},
    {"sign_request", "method", ANTAG_K_TEXT, true, 1, 16},
    {"sign_request", "uri", ANTAG_K_TEXT, true, 1, 2048},
    {"sign_request", "body", ANTAG_K_BYTES, true, 0, 1048576},
    {"sign_request", "time", ANTAG_K_TEXT, false, 1, 40},
    {"sign_request", "merchant", ANTAG_K_TEXT, false, 1, 64},
    {"sign_request", "trace", ANTAG_K_TEXT, false, 0, 128},
    {"sign_request", "deadline_ms", ANTAG_K_UINT, false, 1, 86400000},
    {"verify_response", "profile", ANTAG_K_TEXT, true, 1, 40},
    {"verify_response", "method", ANTAG_K_TEXT, true, 1, 16},
    {"verify_response", "uri", ANTAG_K_TEXT, true, 1, 2048},
    {"verify_response", "headers", ANTAG_K_MAP, false, 0, 128},
    {"verify_response", "body", ANTAG_K_BYTES, true, 0, 1048576},
    {"verify_response", "max_age_ms", ANTAG_K_UINT, false, 0, 2592000000},
    {"verify_response", "trace", ANTAG_K_TEXT, false, 0, 128},
    {"verify_response", "deadline_ms", ANTAG_K_UINT, false, 1, 86400000},
    {"verify_notification", "profile", ANTAG_K_TEXT, true, 1, 40},
    {"verify_notification", "method", ANTAG_K_TEXT, true, 1, 16},
    {"verify_notification", "uri", ANTAG_K_TEXT, true, 1, 2048},
    {"verify_notification", "headers", ANTAG_K_MAP, false, 0, 128},
    {"verify_notification", "body", ANTAG_K_BYTES, true, 0, 1048576},
    {"verify_notification", "max_age_ms", ANTAG_K_UINT, false, 0, 2592000000},
    {"verify_notification", "trace", ANTAG_K_TEXT, false, 0, 128},
    {"verify_notification", "deadline_ms", ANTAG_K_UINT, false, 1, 86400000},
    {"explain", "kind", ANTAG_K_TEXT, true, 1, 16},
    {"explain", "profile", ANTAG_K_TEXT, true, 1, 40},
    {"explain", "method", ANTAG_K_TEXT, true, 1, 16},
    {"explain", "uri", ANTAG_K_TEXT, true, 1, 2048},
    {"explain", "body", ANTAG_K_BYTES, true, 0, 1048576},
    {"explain", "time", ANTAG_K_TEXT, false, 1, 40},
    {"explain", "merchant", ANTAG_K_TEXT, false, 1, 64},
    {"explain", "headers", ANTAG_K_MAP, false, 0, 128},
    {"explain", "max_age_ms", ANTAG_K_UINT, false, 0, 2592000000},
    {"explain", "trace", ANTAG_K_TEXT, false, 0, 128},
    {"explain", "deadline_ms", ANTAG_K_UINT, false, 1, 86400000},
    {"watch", "trace", ANTAG_K_TEXT, false, 0, 128},
    {"watch", "deadline_ms", ANTAG_K_UINT, false, 1, 86400000},
    {"health", "trace", ANTAG_K_TEXT, false, 0, 128},
    {"health", "deadline_ms", ANTAG_K_UINT, false, 1, 86400000},
};

static void test_agent_limits(void)
{
    size_t fields = 0;

    for (size_t i = 0; i < ROW_COUNT(agent_rows); i++) {
        enum antag_agent_method which;

        fields += antag_agent_method(antag_slice_of(agent_rows[i].name), &which)->params.count;
    }
    CU_ASSERT_EQUAL(fields, ROW_COUNT(limit_rows));
    for (size_t i = 0; i < ROW_COUNT(limit_rows); i++) {
        enum antag_agent_method which;
        const struct antag_params *spec =
            &antag_agent_method(antag_slice_of(limit_rows[i].method), &which)->params;
        const struct antag_field *f = NULL;
        char row[100];

        snprintf(row, sizeof row, "%s, %s", limit_rows[i].method, limit_rows[i].field);
        for (size_t k = 0; k < spec->count; k++)
            if (strcmp(spec->fields[k].name, limit_rows[i].field) == 0)
                f = &spec->fields[k];
        ROW_ASSERT(row, f != NULL);
        if (f == NULL)
            continue;
        ROW_ASSERT(row, f->kind == limit_rows[i].kind && f->required == limit_rows[i].required);
        ROW_ASSERT(row, f->min == limit_rows[i].min && f->max == limit_rows[i].max);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"agent methods", test_agent_methods},          {"no such methods", test_no_methods},
        {"sockets are apart", test_sockets_are_apart},  {"rights of staff", test_staff_rights},
        {"what waits for approval", test_guards},       {"edges of every field", test_edges},
        {"limits of agent methods", test_agent_limits}, CU_TEST_INFO_NULL,
    };
    int status;

    memset(filler, 'f', sizeof filler);
    if (antag_decoder_init(&decoder) != ANTAG_OK)
        return 1;
    status = run_tests("methods", tests);
    antag_decoder_fini(&decoder);
    return status;
}
