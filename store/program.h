/* What only the store asks of programs. */
#pragma once

#include "store/store.h"

/* About the bytes the operations of a program carry, to bound groups. */
uint64_t program_bytes(const struct program *program);

/* True when an operation of `program` could change something, whichever path is taken. */
bool program_writes(const struct program *program);
