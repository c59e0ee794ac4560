/* faultp11: a PKCS#11 module with faults: SoftHSM's, but for what a file beside softhsm2.conf named "fault" says. Of C_Sign: error,
 * wrong (a bit is flipped), garbage, crash, slow (as a real TPM), or hang (until the file is gone). Of C_GenerateKeyPair: unborn, it
 * crashes behind its work. Of what the token is: nomech, pinlocked, finaltry, nopin, noslot,
 * sessions, maker. */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"

static CK_FUNCTION_LIST list;
static CK_FUNCTION_LIST *real;

static void fault_path(char out[512])
{
    const char *conf = getenv("SOFTHSM2_CONF");
    const char *slash = conf == NULL ? NULL : strrchr(conf, '/');

    snprintf(out, 512, "%.*s/fault", slash == NULL ? 0 : (int)(slash - conf),
             conf == NULL ? "" : conf);
}

/* "" when there is none. */
static void read_fault(char out[16])
{
    char path[512];
    FILE *f;

    out[0] = '\0';
    fault_path(path);
    if ((f = fopen(path, "re")) == NULL)
        return;
    if (fgets(out, 16, f) == NULL)
        out[0] = '\0';
    fclose(f);
}

static void hang(void)
{
    static const struct timespec pause = {.tv_nsec = 20000000};
    char path[512];

    fault_path(path);
    while (access(path, F_OK) == 0)
        nanosleep(&pause, NULL);
}

static CK_RV fault_sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len, CK_BYTE_PTR sig,
                        CK_ULONG_PTR sig_len)
{
    char fault[16];
    CK_RV rv;

    read_fault(fault);
    if (strcmp(fault, "crash") == 0)
        abort();
    if (strcmp(fault, "hang") == 0)
        hang();
    if (strcmp(fault, "slow") == 0)
        nanosleep(&(const struct timespec){.tv_nsec = 150000000},
                  NULL); /* a real TPM takes as long */
    rv = real->C_Sign(session, data, len, sig, sig_len);
    if (strcmp(fault, "error") == 0)
        return CKR_DEVICE_ERROR;
    if (strcmp(fault, "wrong") == 0 && rv == CKR_OK)
        sig[*sig_len / 2] ^= 1;
    if (strcmp(fault, "garbage") == 0 && rv == CKR_OK) {
        memset(sig, 'x', *sig_len);
        *sig_len = 10;
    }
    return rv;
}

/* The key is there, and whoever asked for it does not learn that. */
static CK_RV fault_generate(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                            CK_ATTRIBUTE_PTR public, CK_ULONG public_count,
                            CK_ATTRIBUTE_PTR private, CK_ULONG private_count,
                            CK_OBJECT_HANDLE_PTR pub, CK_OBJECT_HANDLE_PTR priv)
{
    char fault[16];
    CK_RV rv = real->C_GenerateKeyPair(session, mechanism, public, public_count, private,
                                       private_count, pub, priv);

    read_fault(fault);
    if (strcmp(fault, "unborn") == 0)
        abort();
    return rv;
}

/* ---- what the token is */

static CK_RV fault_mechanism(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR out)
{
    char fault[16];

    read_fault(fault);
    return strcmp(fault, "nomech") == 0 ? CKR_MECHANISM_INVALID
                                        : real->C_GetMechanismInfo(slot, type, out);
}

static CK_RV fault_token(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR out)
{
    CK_RV rv = real->C_GetTokenInfo(slot, out);
    char fault[16];

    read_fault(fault);
    if (rv == CKR_OK && strcmp(fault, "pinlocked") == 0)
        out->flags |= CKF_USER_PIN_LOCKED;
    if (rv == CKR_OK && strcmp(fault, "finaltry") == 0)
        out->flags |= CKF_USER_PIN_FINAL_TRY;
    if (rv == CKR_OK && strcmp(fault, "nopin") == 0)
        out->flags &= ~(CK_FLAGS)CKF_USER_PIN_INITIALIZED;
    return rv;
}

/* "sessions" lets two be open; "maker" says that it is a card's. */
static CK_RV fault_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR app, CK_NOTIFY notify,
                           CK_SESSION_HANDLE_PTR out)
{
    CK_TOKEN_INFO info;
    char fault[16];

    read_fault(fault);
    if (strcmp(fault, "sessions") == 0 && real->C_GetTokenInfo(slot, &info) == CKR_OK &&
        info.ulSessionCount != CK_UNAVAILABLE_INFORMATION && info.ulSessionCount >= 2)
        return CKR_SESSION_COUNT;
    return real->C_OpenSession(slot, flags, app, notify, out);
}

static CK_RV fault_info(CK_INFO_PTR out)
{
    static const char maker[] = "OpenSC Project                  ";
    CK_RV rv = real->C_GetInfo(out);
    char fault[16];

    read_fault(fault);
    if (rv == CKR_OK && strcmp(fault, "maker") == 0)
        memcpy(out->manufacturerID, maker, sizeof out->manufacturerID);
    return rv;
}

static CK_RV fault_slots(CK_BBOOL present, CK_SLOT_ID_PTR out, CK_ULONG_PTR count)
{
    char fault[16];

    read_fault(fault);
    if (strcmp(fault, "noslot") != 0)
        return real->C_GetSlotList(present, out, count);
    *count = 0;
    return CKR_OK;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR out)
{
    void *lib = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = NULL;
    void *at = lib == NULL ? NULL : dlsym(lib, "C_GetFunctionList");
    CK_RV rv = CKR_GENERAL_ERROR;

    if (at == NULL)
        return rv;
    memcpy(&get, &at, sizeof at);
    if ((rv = get(&real)) != CKR_OK)
        return rv;
    list = *real;
    list.C_Sign = fault_sign;
    list.C_GenerateKeyPair = fault_generate;
    list.C_GetMechanismInfo = fault_mechanism;
    list.C_GetTokenInfo = fault_token;
    list.C_GetSlotList = fault_slots;
    list.C_OpenSession = fault_session;
    list.C_GetInfo = fault_info;
    *out = &list;
    return CKR_OK;
}
