#include "fs/rights.h"

static bool is_in_group(gid_t gid, gid_t own, const GArray *groups)
{
	bool in = gid == own;

	for (guint i = 0; groups && !in && i < groups->len; i++)
		in = g_array_index(groups, gid_t, i) == gid;
	return in;
}

/* Exactly one class counts, and /proc is read only where it is a group's. */
bool rights_allow(fuse_req_t req, const struct record *record, unsigned wanted)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	g_autoptr(GArray) groups = NULL;
	uint32_t mode = record->mode;

	if (ctx->uid == 0)
		return true;
	if (record->uid == ctx->uid)
		return (mode >> 6 & wanted) == wanted;
	if ((mode & wanted) == (mode >> 3 & wanted))
		return (mode & wanted) == wanted;
	groups = process_groups(ctx->pid);
	if (is_in_group(record->gid, ctx->gid, groups))
		mode >>= 3;
	return (mode & wanted) == wanted;
}

bool rights_of_owner(fuse_req_t req)
{
	const struct fs *fs = fuse_req_userdata(req);
	uid_t uid = fuse_req_ctx(req)->uid;

	return uid == 0 || uid == fs->owner_uid;
}

bool rights_equal(const struct record *a, const struct record *b)
{
	return a->uid == b->uid && a->gid == b->gid && ((a->mode ^ b->mode) & 0777) == 0;
}
