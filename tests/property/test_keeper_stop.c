/* keeper_stop: a random walk of permits, stops, loads, forgets and fresh stewards, while jobs flow on
 * several lanes. Rules after every step: an answer to stop (or forget) means that no signature of that key
 * is sent any more; every job is answered exactly once; every signature is right. */
#include "tests/support/ringrig.h"

#include <inttypes.h>

#include "agent/lib/log.h"
#include "tests/support/dice.h"
#include "tests/support/rows.h"

#define KEYS     4
#define STEPS    400
#define JOBS_MAX 100000
#define LANES    3

static struct rig rig;
static struct ag_keyring_made made[KEYS + 1];

/* what the steward of the test knows of a key; handles count from 1 */
static struct {
    bool may_sign;  /* a permit was asked for since the last stop was answered */
    bool must_sign; /* and was answered */
} key[KEYS + 1];

static struct {
    uint64_t handle;
    bool answered;
    bool after_stop; /* must not be signed: stopped, and not permitted since */
} job[JOBS_MAX];
static uint64_t job_count, answered_count, signed_count;

/* Take what has been answered. */
static void receive(uint32_t lane, int ms)
{
    struct ag_sign_done dones[AG_SIGNWIRE_BATCH];
    int n;

    while ((n = rig_receive(rig.lane[lane], dones, ms)) > 0)
        for (int i = 0; i < n; i++) {
            uint64_t tag = dones[i].tag;

            CU_ASSERT_FATAL(tag < job_count);
            CU_ASSERT(!job[tag].answered);
            job[tag].answered = true;
            answered_count++;
            if (dones[i].err != ANTAG_OK) {
                CU_ASSERT(dones[i].sig_len == 0);
                continue;
            }
            signed_count++;
            CU_ASSERT(!job[tag].after_stop);
            CU_ASSERT(rig_verifies(&dones[i], &made[job[tag].handle]));
        }
    CU_ASSERT(n == -1);
}

static void receive_all(int ms)
{
    for (uint32_t lane = 0; lane < LANES; lane++)
        receive(lane, ms);
}

/* Every job of this key that is not answered yet must end without a signature. */
static void forbid(uint64_t handle)
{
    receive_all(0); /* what left before the stop was answered lies here */
    for (uint64_t i = 0; i < job_count; i++)
        if (job[i].handle == handle && !job[i].answered)
            job[i].after_stop = true;
    key[handle].may_sign = key[handle].must_sign = false;
}

static void send_jobs(void)
{
    struct ag_sign_job jobs[AG_SIGNWIRE_BATCH];
    size_t n = 1 + dice_below(AG_SIGNWIRE_BATCH);
    uint32_t lane = (uint32_t)dice_below(LANES);

    if (job_count + n > JOBS_MAX || job_count - answered_count > 100)
        return;
    for (size_t i = 0; i < n; i++) {
        uint64_t handle = 1 + dice_below(KEYS);

        job[job_count].handle = handle;
        job[job_count].after_stop = !key[handle].may_sign;
        jobs[i] = rig_job(handle, job_count++);
    }
    CU_ASSERT(send(rig.lane[lane], jobs, n * sizeof jobs[0], 0) == (ssize_t)(n * sizeof jobs[0]));
}

static struct ag_keyring_params params_of(uint64_t handle, enum ag_key_use use)
{
    struct ag_keyring_params p = rig_key(handle);

    p.use = use;
    p.spki = (struct antag_slice){made[handle].spki, made[handle].spki_len};
    p.sealed = (struct antag_slice){made[handle].sealed, made[handle].sealed_len};
    return p;
}

static void permit(uint64_t handle)
{
    struct ag_keyring_params p = params_of(handle, AG_USE_SIGN);
    enum antag_err err;

    receive_all(0);
    for (uint64_t i = 0; i < job_count; i++) /* jobs that still lie in a lane may sign again */
        if (job[i].handle == handle)
            job[i].after_stop = false;
    key[handle].may_sign = true;
    err = rig_ask(&rig, "permit", &p, NULL);
    if (err == ANTAG_ERR_NOT_FOUND) { /* forgotten: load it, then a stop may still stand */
        CU_ASSERT(rig_ask(&rig, "load", &p, NULL) == ANTAG_OK);
        err = rig_ask(&rig, "permit", &p, NULL);
    }
    CU_ASSERT(err == ANTAG_OK);
    key[handle].must_sign = true;
}

static void take_away(uint64_t handle, const char *method)
{
    struct ag_keyring_params p = params_of(handle, AG_USE_NONE);
    int64_t from_ms = ag_clock_mono_ms();

    CU_ASSERT(rig_ask(&rig, method, &p, NULL) == ANTAG_OK);
    CU_ASSERT(ag_clock_mono_ms() - from_ms < 1000);
    forbid(handle);
}

/* A steward that died and comes again, and names only some of the keys. */
static void fresh_steward(void)
{
    struct rig_reply begun;

    rig_steward(&rig);
    CU_ASSERT(rig_ask(&rig, "begin", NULL, &begun) == ANTAG_OK);
    for (uint64_t handle = 1; handle <= KEYS; handle++) {
        struct ag_keyring_params p =
            params_of(handle, key[handle].must_sign ? AG_USE_SIGN : AG_USE_NONE);

        if (dice_below(4) == 0) {
            key[handle].must_sign = false; /* not named: forgotten at the end */
            continue;
        }
        CU_ASSERT(rig_ask(&rig, "load", &p, NULL) == ANTAG_OK);
    }
    CU_ASSERT(rig_ask(&rig, "load_end", NULL, NULL) == ANTAG_OK);
    for (uint64_t handle = 1; handle <= KEYS; handle++)
        if (!key[handle].must_sign)
            forbid(handle);
}

static void step(void)
{
    uint64_t handle = 1 + dice_below(KEYS);

    send_jobs();
    switch (dice_below(12)) {
    case 0:
    case 1:
    case 2:
        permit(handle);
        break;
    case 3:
    case 4:
        take_away(handle, "stop");
        break;
    case 5:
        take_away(handle, "forget");
        break;
    case 6:
        fresh_steward();
        break;
    default:
        send_jobs();
        uv_run(&rig.loop, UV_RUN_NOWAIT);
        receive_all(0);
    }
}

/* Keys that were permitted sign, the others do not. */
static void check_state(void)
{
    for (uint64_t handle = 1; handle <= KEYS; handle++) {
        enum antag_err err = rig_sign(&rig, handle);

        CU_ASSERT((err == ANTAG_OK) == key[handle].must_sign);
        CU_ASSERT(err == ANTAG_OK || err == ANTAG_ERR_KEY_STATE);
    }
}

static void finish_jobs(void)
{
    int64_t until_ms = ag_clock_mono_ms() + 20000;

    while (answered_count < job_count && ag_clock_mono_ms() < until_ms)
        receive_all(1);
    CU_ASSERT_EQUAL(answered_count, job_count);
}

static void test_walk(void)
{
    for (uint32_t lane = 1; lane < LANES; lane++)
        rig_lane(&rig, lane);
    CU_ASSERT_EQUAL(rig_ask(&rig, "begin", NULL, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_ask(&rig, "load_end", NULL, NULL), ANTAG_OK);
    for (int i = 0; i < STEPS; i++) {
        step();
        if (i % 50 == 49) {
            finish_jobs();
            check_state();
        }
    }
    finish_jobs();
    check_state();
    printf("%" PRIu64 " jobs, %" PRIu64 " signed ", job_count, signed_count);
    CU_ASSERT(signed_count > 0);
}

int main(int argc, char **argv)
{
    CU_TestInfo tests[] = {{"walk", test_walk}, CU_TEST_INFO_NULL};
    int status;

    dice_seed(argc, argv);
    ag_log_setup("test", AG_LOG_ERROR);
    if (ag_secret_setup(NULL) != ANTAG_OK)
        return 1;
    rig_open(&rig, 3);
    for (uint64_t handle = 1; handle <= KEYS; handle++) {
        struct ag_keyring_params p = rig_key(handle);
        struct rig_reply reply;

        if (rig_ask(&rig, "generate", &p, &reply) != ANTAG_OK)
            return 1;
        made[handle] = reply.made;
    }
    status = run_tests("keeper_stop", tests);
    rig_close(&rig);
    uv_library_shutdown(); /* its threads end while OpenSSL is there */
    return status;
}
