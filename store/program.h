/* What only the store asks of programs. */
#pragma once

#include "store/store.h"

/* About the bytes the operations of a program carry, to bound groups. */
uint64_t program_bytes(const struct program *program);
