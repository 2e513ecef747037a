/* The mount table of this mount namespace, from /proc/self/mountinfo, which can be read
 * without touching a mount that may hang or be dead. */
#pragma once

#include "store/store.h"

struct mount {
	uint64_t id, parent;   /* in this mount namespace */
	unsigned major, minor; /* its device */
	char *point;
	char *type;
	char *source;
	uid_t user; /* FUSE: who mounted it, and so may always enter; else 0 */
	gid_t group;
};

/* One line of mountinfo; NULL when it is none. */
struct mount *mount_parse(const char *line);
void mount_free(struct mount *mount); /* accepts NULL */
DEFINE_AUTOPTR(mount, mount_free);

/* The topmost mount on `point`, an absolute path without symbolic links. -ENOENT: nothing
 * is mounted there; -EIO: the table cannot be read. */
int mounts_find(const char *point, struct mount **ret);

/* The commitfs mount on the path a user gave. On an error says so on stderr, as failing to
 * `action`, and gives NULL. */
struct mount *mounts_find_commitfs(const char *path, const char *action);

/* Where something is mounted directly below `mount`, or NULL. */
char *mounts_find_below(const struct mount *mount);

bool mount_is_commitfs(const struct mount *mount);
bool mount_is_fuse(const struct mount *mount);
