/* rawring: how fast a device signs with nothing around it: what a keyring of the agent is compared with.
 *   antag-rawring pkcs11 MODULE LABEL PIN THREADS MS     one session a thread
 *   antag-rawring tpm TCTI MS                            one key, loaded, in a salted session that encrypts
 *   antag-rawring agent SOCKET CLIENT-ID MS              the agent, of the key of shop/sandbox, four connections of eight
 * The first two make an RSA key of 2048 bits. Prints signatures a second. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rsa.h>
#include <p11-kit/pkcs11.h>

#include "agent/lib/tpm/tpmlink.h"
#include "tests/bench/bench.h"

#define THREADS_MAX 64

static int refuse(const char *what, unsigned long rv)
{
    fprintf(stderr, "antag-rawring: %s: 0x%lx\n", what, rv);
    return 1;
}

/* ---- PKCS#11 */

static CK_FUNCTION_LIST_PTR p11;
static CK_OBJECT_HANDLE private_key;

struct lane {
    pthread_t thread;
    CK_SESSION_HANDLE session;
    double until_us;
    unsigned long count, failed;
};

static void *sign_p11(void *arg)
{
    CK_MECHANISM mechanism = {CKM_RSA_PKCS, NULL, 0};
    CK_BYTE info[51] = {0}, sig[256];
    struct lane *l = arg;

    while (now_us() < l->until_us && l->failed == 0) {
        CK_ULONG len = sizeof sig;

        info[50] = (CK_BYTE)l->count;
        if (p11->C_SignInit(l->session, &mechanism, private_key) != CKR_OK ||
            p11->C_Sign(l->session, info, sizeof info, sig, &len) != CKR_OK)
            l->failed = 1;
        l->count++;
    }
    return NULL;
}

static CK_RV find_slot(const char *label, CK_SLOT_ID *out)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    CK_RV rv = p11->C_GetSlotList(CK_TRUE, slots, &count);

    for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++) {
        CK_TOKEN_INFO info;

        if (p11->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            strncmp((const char *)info.label, label, strlen(label)) == 0) {
            *out = slots[i];
            return CKR_OK;
        }
    }
    return rv != CKR_OK ? rv : CKR_TOKEN_NOT_PRESENT;
}

/* In the token, as the agent's are: SoftHSM looks at its file for each use of one. */
static CK_RV make_key(CK_SESSION_HANDLE session)
{
    CK_MECHANISM mechanism = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_ULONG bits = 2048;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE public[] = {{CKA_MODULUS_BITS, &bits, sizeof bits},
                             {CKA_VERIFY, &yes, sizeof yes},
                             {CKA_TOKEN, &yes, sizeof yes}};
    CK_ATTRIBUTE private[] = {{CKA_SIGN, &yes, sizeof yes},
                              {CKA_SENSITIVE, &yes, sizeof yes},
                              {CKA_TOKEN, &yes, sizeof yes},
                              {CKA_PRIVATE, &yes, sizeof yes}};
    CK_OBJECT_HANDLE other;

    return p11->C_GenerateKeyPair(session, &mechanism, public, 3, private, 4, &other, &private_key);
}

static int run_p11(char **a)
{
    void *module = dlopen(a[0], RTLD_NOW | RTLD_LOCAL), *at = NULL;
    CK_RV (*list)(CK_FUNCTION_LIST_PTR_PTR);
    CK_C_INITIALIZE_ARGS threads = {.flags = CKF_OS_LOCKING_OK};
    unsigned n = (unsigned)atoi(a[3]), ms = (unsigned)atoi(a[4]);
    struct lane lanes[THREADS_MAX] = {{0}};
    unsigned long all = 0, failed = 0;
    CK_SLOT_ID slot = 0;
    double begin;
    CK_RV rv;

    if (module == NULL || (at = dlsym(module, "C_GetFunctionList")) == NULL || n < 1 ||
        n > THREADS_MAX)
        return refuse("the module, or the threads", 0);
    memcpy(&list, &at, sizeof list);
    if ((rv = list(&p11)) != CKR_OK || (rv = p11->C_Initialize(&threads)) != CKR_OK ||
        (rv = find_slot(a[1], &slot)) != CKR_OK)
        return refuse("the token", rv);
    for (unsigned i = 0; i < n && rv == CKR_OK; i++)
        rv = p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                &lanes[i].session);
    if (rv != CKR_OK ||
        (rv = p11->C_Login(lanes[0].session, CKU_USER, (CK_UTF8CHAR *)a[2], strlen(a[2]))) !=
            CKR_OK ||
        (rv = make_key(lanes[0].session)) != CKR_OK)
        return refuse("a session, the PIN, or the key", rv);
    begin = now_us();
    for (unsigned i = 0; i < n; i++) {
        lanes[i].until_us = begin + ms * 1000.0;
        if (pthread_create(&lanes[i].thread, NULL, sign_p11, &lanes[i]) != 0)
            return refuse("a thread", i);
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(lanes[i].thread, NULL);
        all += lanes[i].count;
        failed += lanes[i].failed;
    }
    if (failed > 0)
        return refuse("C_Sign", failed);
    printf("%.1f\n", (double)all * 1e6 / (now_us() - begin));
    return 0;
}

/* ---- TPM */

static TSS2_RC make_tpm_key(struct ag_tpm_link *l, ESYS_TR *out)
{
    const TPM2B_DATA outside = {.size = 0};
    const TPML_PCR_SELECTION pcrs = {.count = 0};
    const TPM2B_SENSITIVE_CREATE sensitive = {.size = 0};
    const TPM2B_PUBLIC template = {.publicArea = ag_tpm_signing_key(2048, AG_TPM_MADE_INSIDE)};
    TPM2B_PRIVATE *private = NULL;
    TPM2B_PUBLIC *public = NULL;
    TSS2_RC rc =
        ag_tss.Esys_Create(l->esys, l->primary, l->session, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
                           &template, &outside, &pcrs, &private, &public, NULL, NULL, NULL);

    if (rc == TSS2_RC_SUCCESS)
        rc = ag_tss.Esys_Load(l->esys, l->primary, l->session, ESYS_TR_NONE, ESYS_TR_NONE, private,
                              public, out);
    if (private != NULL)
        ag_tss.Esys_Free(private);
    if (public != NULL)
        ag_tss.Esys_Free(public);
    return rc;
}

static int run_tpm(char **a)
{
    const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
    const TPMT_TK_HASHCHECK ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    struct ag_tpm_link l = AG_TPM_LINK(a[0], "bench", "it is another");
    double begin, until;
    TPM2B_DIGEST digest = {.size = 32};
    unsigned long count = 0;
    ESYS_TR key = ESYS_TR_NONE;
    struct antag_fault fault;
    TSS2_RC rc;

    if (ag_tpm_connect(&l, &fault) != ANTAG_OK) {
        fprintf(stderr, "antag-rawring: %s\n", antag_fault_text(&fault));
        return 1;
    }
    rc = make_tpm_key(&l, &key);
    begin = now_us();
    until = begin + atoi(a[1]) * 1000.0;
    while (rc == TSS2_RC_SUCCESS && now_us() < until) {
        TPMT_SIGNATURE *sig = NULL;

        digest.buffer[0] = (BYTE)count++;
        rc = ag_tss.Esys_Sign(l.esys, key, l.session, ESYS_TR_NONE, ESYS_TR_NONE, &digest, &scheme,
                              &ticket, &sig);
        if (sig != NULL)
            ag_tss.Esys_Free(sig);
    }
    if (rc == TSS2_RC_SUCCESS)
        printf("%.1f\n", (double)count * 1e6 / (now_us() - begin));
    (void)ag_tss.Esys_FlushContext(l.esys, key);
    ag_tpm_disconnect(&l);
    return rc == TSS2_RC_SUCCESS ? 0 : refuse("Esys_Sign", rc);
}

/* ---- the agent */

static int run_agent(char **a)
{
    EVP_PKEY *key = EVP_RSA_gen(2048); /* plays Antom, and is not asked for anything */
    struct calls calls;
    struct sample sample;
    struct load load = {
        .socket = a[0], .op = OP_SIGN, .calls = &calls, .connections = 4, .depth = 8};
    bool good = key != NULL && calls_make("shop/sandbox", a[1], key, &calls) &&
                load_run(&load, (unsigned)atoi(a[2]), &sample);

    EVP_PKEY_free(key);
    if (!good)
        return 1; /* it was said */
    printf("%.1f\n", sample.rate);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 7 && strcmp(argv[1], "pkcs11") == 0)
        return run_p11(argv + 2);
    if (argc == 4 && strcmp(argv[1], "tpm") == 0)
        return run_tpm(argv + 2);
    if (argc == 5 && strcmp(argv[1], "agent") == 0)
        return run_agent(argv + 2);
    fprintf(stderr, "usage: antag-rawring pkcs11 MODULE LABEL PIN THREADS MS | tpm TCTI MS | "
                    "agent SOCKET CLIENT-ID MS\n");
    return 2;
}
