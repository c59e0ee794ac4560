/* Both parsers over the same bytes, with a passphrase, so that encrypted keys of the corpus are decrypted
 * too. */
#include <stdlib.h>
#include <string.h>

#include "agent/opener/keyparse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ag_secret *test_passphrase(void)
{
    static const char text[] = "test-only passphrase";
    static struct ag_secret *s;

    if (s == NULL) {
        if (ag_secret_setup(NULL) != ANTAG_OK || (s = ag_secret_new(sizeof text)) == NULL)
            abort();
        memcpy(ag_secret_bytes(s), text, sizeof text - 1);
        ag_secret_set_len(s, sizeof text - 1);
    }
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct antag_slice text = {data, size};
    struct ag_secret *passphrase = test_passphrase();
    uint8_t spki[ANTAG_SPKI_MAX];
    struct antag_fault fault;
    EVP_PKEY *key = NULL;
    size_t len = 0;

    if (ag_keyparse_private(text, passphrase, &key, &fault) == ANTAG_OK && key == NULL)
        abort();
    EVP_PKEY_free(key);
    if (ag_keyparse_public(text, spki, &len, &fault) == ANTAG_OK && (len == 0 || len > sizeof spki))
        abort();
    return 0;
}
