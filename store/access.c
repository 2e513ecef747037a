/* Permissions at the revision of a commit. */
#include "store/access.h"

#include <errno.h>
#include <string.h>

enum { MAY_SEARCH = 1, MAY_WRITE = 2, MAY_READ = 4 };

static bool in_group(const struct credentials *credentials, gid_t gid)
{
	if (credentials->gid == gid)
		return true;
	for (guint i = 0; credentials->groups && i < credentials->groups->len; i++) {
		if (g_array_index(credentials->groups, gid_t, i) == gid)
			return true;
	}
	return false;
}

/* Exactly one class counts: an owner without a right does not get it from the group's. */
static bool allows(const struct credentials *credentials, const struct record *record,
		   unsigned wanted)
{
	uint32_t mode = record->mode;

	if (credentials->uid == 0)
		return true;
	if (credentials->uid == record->uid)
		mode >>= 6;
	else if (in_group(credentials, record->gid))
		mode >>= 3;
	return (mode & wanted) == wanted;
}

static bool allows_change(const struct credentials *credentials, const struct record *directory,
			  unsigned wanted, bool as_owner)
{
	return (as_owner && credentials->uid == directory->uid) ||
	       allows(credentials, directory, wanted);
}

int access_check_search(struct overlay *overlay, const struct credentials *credentials,
			const char *key, bool as_owner)
{
	g_autofree char *directory = g_strdup(key);
	size_t length = 0;
	const char *slash;

	if (credentials->uid == 0 || *key == '\0')
		return 0;
	for (;;) {
		g_autoptr(record) record = NULL;
		int r;

		directory[length] = '\0';
		r = overlay_get(overlay, directory, &record);
		if (r < 0)
			return r == -ENOENT ? 0 : r; /* the operation itself says what is missing */
		if (record->type == RECORD_DIRECTORY &&
		    !allows_change(credentials, record, MAY_SEARCH, as_owner))
			return -EACCES;
		directory[length] = key[length];
		slash = strchr(key + length + 1, '/');
		if (!slash)
			return 0;
		length = (size_t)(slash - key);
	}
}

int access_check_read(const struct credentials *credentials, const struct record *record)
{
	return allows(credentials, record, MAY_READ) ? 0 : -EACCES;
}

int access_check_list(const struct credentials *credentials, const struct record *directory)
{
	return allows(credentials, directory, MAY_READ | MAY_SEARCH) ? 0 : -EACCES;
}

int access_check_write(const struct credentials *credentials, const struct record *record,
		       const struct attributes *changes)
{
	if (allows(credentials, record, MAY_WRITE))
		return 0;
	/* Its owner made it writable, wrote, and took the right away again: a transaction
	 * is told only what came of it. */
	if (credentials->uid == record->uid && (changes->mask & ATTRIBUTE_MODE))
		return 0;
	return -EACCES;
}

int access_check_entry(const struct credentials *credentials, const struct record *parent,
		       const struct record *entry, bool as_owner)
{
	if (!allows_change(credentials, parent, MAY_WRITE | MAY_SEARCH, as_owner))
		return -EACCES;
	if (!entry || !(parent->mode & 01000) || credentials->uid == 0)
		return 0;
	/* Sticky: what is there may be removed by its owner and the directory's. */
	if (credentials->uid == parent->uid || credentials->uid == entry->uid)
		return 0;
	return -EACCES;
}

int access_check_attributes(const struct credentials *credentials, const struct record *record,
			    const struct attributes *changes)
{
	bool owner = credentials->uid == record->uid;

	if (credentials->uid == 0)
		return 0;
	if ((changes->mask & ATTRIBUTE_UID) && !(owner && changes->uid == record->uid))
		return -EPERM;
	if ((changes->mask & ATTRIBUTE_GID) && changes->gid != record->gid &&
	    !in_group(credentials, changes->gid))
		return -EPERM;
	if ((changes->mask & (ATTRIBUTE_MODE | ATTRIBUTE_GID)) && !owner)
		return -EPERM;
	/* utimensat(2) with the present time needs the right to write only, and what was
	 * meant cannot be told apart here; the kernel has seen to the rest. */
	if ((changes->mask & ATTRIBUTE_MTIME) && !owner && !allows(credentials, record, MAY_WRITE))
		return -EPERM;
	return 0;
}
