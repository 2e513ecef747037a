/* The mount does no more for a backup than this: who copies reads the files by itself, can
 * be interrupted, writes where it may, and keeps nobody waiting. */
#include "fs/backup.h"

#include "fs/loop.h"

#include <errno.h>
#include <string.h>

/* The word, with or without a newline. */
static bool is_begin(const char *data, size_t size)
{
	g_autofree char *word = g_strstrip(g_strndup(data, size));

	return strcmp(word, "begin") == 0;
}

void act_backup(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	g_autofree char *path = NULL;
	bool begun;
	int r;

	pthread_mutex_lock(&handle->lock);
	begun = handle->checkpoint != NULL;
	pthread_mutex_unlock(&handle->lock);
	if (begun || !is_begin(data, size)) {
		control_reply_written(req, size, begun ? -EBUSY : -EINVAL);
		return;
	}
	loop_step_down(); /* it waits for the disk */
	r = store_checkpoint(handle->fs->store, &path);
	pthread_mutex_lock(&handle->lock);
	if (r == 0 && handle->checkpoint)
		r = -EBUSY; /* two writes at once */
	else if (r == 0)
		handle->checkpoint = g_steal_pointer(&path);
	pthread_mutex_unlock(&handle->lock);
	store_remove_checkpoint(path);
	control_reply_written(req, size, r);
}

int text_backup(struct handle *handle, fuse_req_t req, GString **ret)
{
	GString *text = g_string_new("checkpoint ");

	(void)req;
	pthread_mutex_lock(&handle->lock);
	text_append_escaped(text, handle->checkpoint ? handle->checkpoint : "-");
	pthread_mutex_unlock(&handle->lock);
	g_string_append_c(text, '\n');
	*ret = text;
	return 0;
}

void backup_release(struct handle *handle)
{
	store_remove_checkpoint(handle->checkpoint);
	g_free(handle->checkpoint);
}
