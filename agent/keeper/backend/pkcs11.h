/* pkcs11: keys in a PKCS #11 token. */
#ifndef AG_KEEPER_PKCS11_H
#define AG_KEEPER_PKCS11_H

#include "agent/keeper/backend/backend.h"

extern const struct ag_backend_ops ag_backend_pkcs11;

#endif
