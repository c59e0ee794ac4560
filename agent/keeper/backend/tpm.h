/* tpm: keys of a TPM 2.0. */
#ifndef AG_KEEPER_TPM_H
#define AG_KEEPER_TPM_H

#include "agent/keeper/backend/backend.h"

extern const struct ag_backend_ops ag_backend_tpm;

#endif
