/* Programs on handles: see eval.h.
 *
 * A worker never waits: the requests that came for a reply are kept while the program is on
 * its way and answered by whoever commits it, after the kernel was told of names that are
 * gone. The opener's rights hold for every path, whoever writes and reads.
 *
 * Offsets mean nothing, with one exception. A shell that reads a line takes more than it
 * needs and seeks back over the rest: a READ from within what the last one was given is
 * given that again. */
#include "fs/eval.h"

#include "fs/commit.h"
#include "fs/fs.h"
#include "fs/gate.h"
#include "fs/session.h"

#include <errno.h>
#include <string.h>

const char eval_usage[] = "eval runs programs: open it read-write, write one, read its reply; "
			  "from a shell: commitfs eval MNT < PROGRAM\n";

/* Shorter ones, without trees, take less than a millisecond. */
#define LONG_TEXT_BYTES 4096

enum eval_state {
	EVAL_COLLECTING, /* what is written is added to the text */
	EVAL_RUNNING,	 /* the program is on its way */
	EVAL_ANSWERED,	 /* the reply is being read; a write begins the next program */
};

/* A READ or fsync that waits for the reply. */
struct asking {
	fuse_req_t req;
	bool sync; /* an fsync */
	size_t size;
	off_t offset;
};

struct eval {
	gint refs; /* atomic */
	struct fs *fs;
	struct credentials *opener; /* set once */
	pthread_mutex_t lock;
	enum eval_state state; /* lock */
	GString *text;	       /* lock: NULL: nothing was written since the last reply */
	int refused;	       /* lock: why a write of the text was refused, or 0 */
	bool json;	       /* lock: what kind of reply is wanted */
	GBytes *reply;	       /* lock: EVAL_ANSWERED */
	int outcome;	       /* lock: what the next fsync says of it; then it is told */
	size_t cursor;	       /* lock: what has been read of the reply */
	off_t last_offset;     /* lock: of the last READ, */
	size_t last_bytes;     /* lock: and what it was given */
	GArray *asking;	       /* lock: struct asking, EVAL_RUNNING */
	int64_t charged_bytes; /* lock: to the opener, for the text or the reply */
};

/* A program on its way. */
struct run {
	struct eval *eval; /* held */
	bool json;
	GString *reply;
	int outcome;
	gint charged_kib; /* atomic: to the opener, for what it found */
};

struct eval *eval_new(struct fs *fs, struct credentials *opener)
{
	struct eval *eval = g_new0(struct eval, 1);

	eval->refs = 1;
	eval->fs = fs;
	eval->opener = opener;
	pthread_mutex_init(&eval->lock, NULL);
	eval->asking = g_array_new(FALSE, FALSE, sizeof(struct asking));
	return eval;
}

void eval_unref(struct eval *eval)
{
	if (!eval || !g_atomic_int_dec_and_test(&eval->refs))
		return;
	registry_charge(eval->fs->registry, eval->opener->uid, -eval->charged_bytes);
	if (eval->text)
		g_string_free(eval->text, TRUE);
	g_clear_pointer(&eval->reply, g_bytes_unref);
	g_array_unref(eval->asking);
	credentials_free(eval->opener);
	pthread_mutex_destroy(&eval->lock);
	g_free(eval);
}

/* ---- Answering ------------------------------------------------------------------ */

/* The part of the reply that a READ is given. */
static size_t take_locked(struct eval *eval, size_t size, off_t offset, const char **ret)
{
	size_t length;
	const char *data = g_bytes_get_data(eval->reply, &length);
	off_t last_end = eval->last_offset + (off_t)eval->last_bytes;

	if (offset > eval->last_offset && offset < last_end)
		eval->cursor -= (size_t)(last_end - offset);
	*ret = data + eval->cursor;
	eval->last_offset = offset;
	eval->last_bytes = MIN(size, length - eval->cursor);
	eval->cursor += eval->last_bytes;
	return eval->last_bytes;
}

static void answer(struct eval *eval, const struct asking *asking, int outcome)
{
	const char *data = NULL;
	GBytes *reply;
	size_t bytes = 0;

	pthread_mutex_lock(&eval->lock);
	reply = eval->reply ? g_bytes_ref(eval->reply) : NULL;
	if (reply && !asking->sync)
		bytes = take_locked(eval, asking->size, asking->offset, &data);
	pthread_mutex_unlock(&eval->lock);
	if (asking->sync)
		reply_error(asking->req, outcome);
	else
		fuse_reply_buf(asking->req, data, bytes);
	g_clear_pointer(&reply, g_bytes_unref);
}

static GArray *settle_locked(struct eval *eval, GString *reply, int outcome)
{
	GArray *asking = eval->asking;

	eval->asking = g_array_new(FALSE, FALSE, sizeof(struct asking));
	eval->state = EVAL_ANSWERED;
	/* The reply is there, whatever the user may have: that counts for the next program. */
	registry_charge_made(eval->fs->registry, eval->opener->uid,
			     (int64_t)reply->len - eval->charged_bytes);
	eval->charged_bytes = (int64_t)reply->len;
	eval->reply = g_string_free_to_bytes(reply);
	eval->outcome = outcome;
	for (guint i = 0; i < asking->len; i++) {
		if (g_array_index(asking, struct asking, i).sync)
			eval->outcome = 0;
	}
	eval->cursor = 0;
	eval->last_bytes = 0;
	return asking;
}

/* Answers all who asked and ends the run. */
static void settle(void *arg)
{
	struct run *run = arg;
	struct eval *eval = run->eval;
	GArray *asking;

	pthread_mutex_lock(&eval->lock);
	eval->charged_bytes += (int64_t)run->charged_kib * 1024;
	asking = settle_locked(eval, run->reply, run->outcome);
	pthread_mutex_unlock(&eval->lock);
	for (guint i = 0; i < asking->len; i++)
		answer(eval, &g_array_index(asking, struct asking, i), run->outcome);
	g_array_unref(asking);
	eval_unref(eval);
	g_free(run);
}

/* ---- Running -------------------------------------------------------------------- */

static int outcome_of(const struct program_result *result)
{
	switch (result->error) {
	case 0:
	case -EIO:
	case -EROFS:
	case -ENOSPC:
	case -ENOMEM:
		return result->error;
	default:
		return -EINVAL;
	}
}

/* What a program came to has no place: whoever asks shall not take it for a refusal. */
static void lose_reply(struct run *run, const struct program_result *result)
{
	g_autoptr(GString)
		errors = g_string_new("ERROR 1:1 there is not enough memory for the reply");

	if (result->changed)
		g_string_append_printf(
			errors, "; the program has run, and made revision %" G_GUINT64_FORMAT,
			result->revision);
	g_string_append_c(errors, '\n');
	run->reply = run->json ? program_errors_json(errors) : g_steal_pointer(&errors);
	run->outcome = -ENOMEM;
}

/* Who is told of a commit sees it in all later calls. */
static void program_done(const struct program_result *result, void *arg)
{
	struct run *run = arg;

	run->reply = run->json ? program_reply_json(result) : program_reply(result);
	run->outcome = outcome_of(result);
	if (!run->reply)
		lose_reply(run, result);
	if (result->changed)
		notifier_when_told(run->eval->fs->notifier, settle, run);
	else
		settle(run);
}

/* However many programs run at once, what they find is charged while they find it. */
static int charge_found(void *arg, uint64_t bytes)
{
	struct run *run = arg;
	gint kib = (gint)((bytes + 1023) / 1024);
	int r = registry_charge(run->eval->fs->registry, run->eval->opener->uid,
				(int64_t)kib * 1024);

	if (r == 0)
		g_atomic_int_add(&run->charged_kib, kib);
	return r;
}

static void submit(struct run *run, struct program *program)
{
	struct fs *fs = run->eval->fs;

	program->checked = true;
	program->checked_reads = true;
	program->max_output_bytes = registry_get_options(fs->registry)->limits.max_values_bytes;
	program->charge = charge_found;
	program->charge_arg = run;
	store_submit(fs->store, program, program_done, run);
}

static void refuse(struct run *run, GString *errors, int outcome)
{
	run->reply = run->json ? program_errors_json(errors) : errors;
	run->outcome = outcome;
	if (run->json)
		g_string_free(errors, TRUE);
	settle(run);
}

static GString *explain_refused(const struct eval *eval, int refused)
{
	GString *errors = g_string_new("ERROR 1:1 ");

	if (refused == -EFBIG)
		g_string_append_printf(errors,
				       "the program is longer than %" G_GUINT64_FORMAT " bytes\n",
				       eval->fs->options.program.max_text_bytes);
	else if (refused == -ENOMEM)
		g_string_append(errors, "a write of the program was refused: there is not enough "
					"memory\n");
	else
		g_string_append(errors, "a write of the program was refused: this user has too "
					"much in memory already\n");
	return errors;
}

/* Runs what was collected; nobody else does, since the state is EVAL_RUNNING. */
static void run_text(void *arg)
{
	struct eval *eval = arg;
	struct run *run = g_new0(struct run, 1);
	struct program *program = NULL;
	GString *errors = NULL;
	GString *text;
	int r;

	g_atomic_int_inc(&eval->refs);
	run->eval = eval;
	pthread_mutex_lock(&eval->lock);
	run->json = eval->json;
	text = g_steal_pointer(&eval->text);
	r = eval->refused;
	eval->refused = 0;
	pthread_mutex_unlock(&eval->lock);
	if (r < 0)
		errors = explain_refused(eval, r);
	else
		r = program_parse(text->str, text->len, eval->opener, &eval->fs->options.program,
				  &program, &errors);
	g_string_free(text, TRUE);
	if (r < 0)
		refuse(run, errors, -EINVAL);
	else
		submit(run, program);
}

/* What is long, or looks at whole trees, may take long. */
static bool may_take_long(struct eval *eval)
{
	bool may;

	pthread_mutex_lock(&eval->lock);
	may = eval->text->len > LONG_TEXT_BYTES || strstr(eval->text->str, "prefix");
	pthread_mutex_unlock(&eval->lock);
	return may;
}

static void start(struct eval *eval)
{
	if (may_take_long(eval))
		gate_run(eval->fs->gate, eval->opener->uid, run_text, eval);
	else
		run_text(eval);
}

static struct eval *find_asking(struct fs *fs, fuse_req_t req)
{
	struct eval *found = NULL;
	struct handle *handle;
	GHashTableIter iter;

	pthread_mutex_lock(&fs->nodes.lock);
	g_hash_table_iter_init(&iter, fs->handles);
	while (!found && g_hash_table_iter_next(&iter, (void **)&handle, NULL)) {
		struct eval *eval = handle->eval;

		if (!eval)
			continue;
		pthread_mutex_lock(&eval->lock);
		if (eval->asking->len > 0 &&
		    g_array_index(eval->asking, struct asking, 0).req == req)
			found = eval;
		pthread_mutex_unlock(&eval->lock);
	}
	pthread_mutex_unlock(&fs->nodes.lock);
	return found;
}

static void run_again(fuse_req_t req, struct node *node, const char *name, int flags)
{
	struct fs *fs = fuse_req_userdata(req);
	struct eval *eval = find_asking(fs, req);

	g_assert(eval); /* it holds the request */
	if (!session_wait_for_release(fs, req, node, name, SESSION_ANY, flags, run_again))
		start(eval);
}

/* ---- Requests ------------------------------------------------------------------- */

/* An error is told once, as fsync(2) of a file does. */
static int take_outcome_locked(struct eval *eval)
{
	int outcome = eval->outcome;

	eval->outcome = 0;
	return outcome;
}

/* The reply is wanted: at once, or when the program has run. */
static void ask(struct handle *handle, const struct asking *asking)
{
	struct eval *eval = handle->eval;
	bool run = false, wait;
	int outcome = 0;

	pthread_mutex_lock(&eval->lock);
	if (eval->state == EVAL_COLLECTING && eval->text) {
		eval->state = EVAL_RUNNING;
		run = true;
	}
	wait = eval->state == EVAL_RUNNING;
	if (wait)
		g_array_append_val(eval->asking, *asking);
	else if (asking->sync)
		outcome = take_outcome_locked(eval);
	pthread_mutex_unlock(&eval->lock);
	if (!wait)
		answer(eval, asking, outcome);
	/* What was closed before is seen by the program. */
	else if (run && !session_wait_for_release(handle->fs, asking->req, handle->node, NULL,
						  SESSION_ANY, 0, run_again))
		start(eval);
}

void eval_read(struct handle *handle, fuse_req_t req, size_t size, off_t offset)
{
	const struct asking asking = { req, false, size, offset };

	ask(handle, &asking);
}

void eval_fsync(struct handle *handle, fuse_req_t req)
{
	const struct asking asking = { .req = req, .sync = true };

	ask(handle, &asking);
}

static void charge_locked(struct eval *eval, int64_t bytes)
{
	registry_charge(eval->fs->registry, eval->opener->uid, bytes);
	eval->charged_bytes += bytes;
}

static void begin_text_locked(struct eval *eval)
{
	if (eval->state == EVAL_ANSWERED) {
		charge_locked(eval, -eval->charged_bytes);
		g_clear_pointer(&eval->reply, g_bytes_unref);
		eval->outcome = 0;
		eval->state = EVAL_COLLECTING;
	}
	if (!eval->text)
		eval->text = g_string_new(NULL);
}

/* A program of which a part was refused never runs: what is left of it goes at once. */
static int refuse_locked(struct eval *eval, int error)
{
	eval->refused = error;
	charge_locked(eval, -eval->charged_bytes);
	g_string_free(eval->text, TRUE);
	eval->text = g_string_new(NULL);
	return error;
}

static int add_text_locked(struct eval *eval, const char *data, size_t size)
{
	int r;

	if (eval->state == EVAL_RUNNING)
		return -EBUSY;
	begin_text_locked(eval);
	if (eval->refused < 0)
		return eval->refused;
	if (size > eval->fs->options.program.max_text_bytes - eval->text->len)
		return refuse_locked(eval, -EFBIG);
	r = registry_charge(eval->fs->registry, eval->opener->uid, (int64_t)size);
	if (r < 0)
		return refuse_locked(eval, r);
	if (!string_try_reserve(eval->text, size)) {
		registry_charge(eval->fs->registry, eval->opener->uid, -(int64_t)size);
		return refuse_locked(eval, -ENOMEM);
	}
	eval->charged_bytes += (int64_t)size;
	g_string_append_len(eval->text, data, (gssize)size);
	return 0;
}

void eval_write(struct handle *handle, fuse_req_t req, const char *data, size_t size)
{
	struct eval *eval = handle->eval;
	int r;

	pthread_mutex_lock(&eval->lock);
	r = add_text_locked(eval, data, size);
	pthread_mutex_unlock(&eval->lock);
	if (r < 0)
		reply_error(req, r);
	else
		fuse_reply_write(req, size);
}

void eval_ioctl(struct handle *handle, fuse_req_t req, unsigned command)
{
	struct eval *eval = handle->eval;

	if (command != FS_IOCTL_EVAL_JSON) {
		reply_error(req, -ENOTTY);
		return;
	}
	pthread_mutex_lock(&eval->lock);
	eval->json = true;
	pthread_mutex_unlock(&eval->lock);
	fuse_reply_ioctl(req, 0, NULL, 0);
}
