/* Which descriptors a process still holds: what tells a shell's dup2-and-close from the
 * real end of writing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* 1 when the process `pid` (or thread) holds a descriptor open for writing on the file
 * with the inode number `ino`, 0 when not or when it has ended; -EACCES: its descriptors
 * cannot be read from here. */
int descriptor_is_open(pid_t pid, uint64_t ino);
