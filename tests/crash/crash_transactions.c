/* crash_transactions: the load of the transaction checker, under which the daemon dies again
 * and again. Then the checker looks at all of it together: everything acknowledged is there,
 * nothing in part, no revision is nobody's, and the log tells of each commit that was cut off
 * what became of it.
 *
 *   crash_transactions FORM [--seed=N] [--cycles=N] [--processes=N]
 *
 *   kill    kill -9 at any moment
 *   steps   kill -9 just before or after the n-th write to the store, sync, or answer to
 *           the kernel: between queueing, writing, syncing, notifying and replying
 *   power   the same, and what was not synced is gone, all of it or parts
 *   lie     the same, with syncs of the log that do nothing: this must be found out, so the
 *           program exits 0 when the checker complains
 *
 * COMMITFS is the command under test, the shim lies beside this program. */
#include "disk_shim.h"

#include "tests/model/transactions/main.h"
#include "tests/model/transactions/mounted.h"
#include "tests/model/transactions/run.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

enum form { FORM_KILL, FORM_STEPS, FORM_POWER, FORM_LIE, FORM_COUNT };

static const char *const form_names[FORM_COUNT] = { "kill", "steps", "power", "lie" };

struct dying {
	enum form form;
	char *directory; /* of ours */
	char *control_path, *shadow;
	struct shim_control *control;
	GRand *random;
	unsigned steps[SHIM_KINDS]; /* that a process died at */
};

static void die(const char *what)
{
	fprintf(stderr, "crash_transactions: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void run_command(const char *format, ...) G_GNUC_PRINTF(1, 2);
static void run_command(const char *format, ...)
{
	g_autofree char *command = NULL;
	g_autoptr(GError) error = NULL;
	va_list args;
	int status;

	va_start(args, format);
	command = g_strdup_vprintf(format, args);
	va_end(args);
	if (!g_spawn_command_line_sync(command, NULL, NULL, &status, &error) ||
	    !g_spawn_check_wait_status(status, &error)) {
		fprintf(stderr, "crash_transactions: %s: %s\n", command, error->message);
		exit(1);
	}
}

static char *beside_us(const char *name)
{
	g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
	g_autofree char *directory = g_path_get_dirname(self);

	return g_build_filename(directory, name, NULL);
}

/* ---- Deaths --------------------------------------------------------------------- */

/* For the daemon, which inherits it. Sanitizers want to be loaded first. */
static void preload(const struct dying *dying, const char *store)
{
	g_autofree char *shim = beside_us("libdisk_shim.so");
	const char *first = g_getenv("SANITIZER_LIBRARY");
	g_autofree char *both = g_strdup_printf("%s %s", first ? first : "", shim);

	g_setenv("LD_PRELOAD", both, TRUE);
	g_setenv(SHIM_CONTROL, dying->control_path, TRUE);
	g_setenv(SHIM_STORE, store, TRUE);
	if (dying->form >= FORM_POWER)
		g_setenv(SHIM_SHADOW, dying->shadow, TRUE);
}

static void prepare(unsigned cycle, const char *store, void *arg)
{
	struct dying *dying = arg;

	(void)cycle;
	atomic_store(&dying->control->action, SHIM_NOTHING);
	atomic_store(&dying->control->lying, 0);
	preload(dying, store);
	if (dying->form >= FORM_POWER) {
		run_command("rm -rf %s", dying->shadow);
		run_command("mkdir %s", dying->shadow);
	}
}

/* Under load for a while first, so that there is something to lose. */
static void bring_about(unsigned cycle, pid_t daemon, double *ret_seconds, void *arg)
{
	static const enum shim_kind kinds[] = { SHIM_WRITE, SHIM_SYNC, SHIM_REPLY };
	struct dying *dying = arg;
	enum shim_kind kind = kinds[cycle % G_N_ELEMENTS(kinds)];
	int after = g_rand_int_range(dying->random, 0, 2);

	*ret_seconds = 5;
	if (dying->form == FORM_LIE)
		atomic_store(&dying->control->lying, 1);
	g_usleep((gulong)g_rand_int_range(dying->random, 20000, 300000));
	if (dying->form == FORM_KILL) {
		kill(daemon, SIGKILL);
		return;
	}
	dying->steps[kind]++;
	atomic_store(&dying->control->kind, kind);
	atomic_store(&dying->control->left,
		     g_rand_int_range(dying->random, 1, kind == SHIM_REPLY ? 100 : 20));
	atomic_store(&dying->control->action, after ? SHIM_KILL_AFTER : SHIM_KILL_BEFORE);
}

/* What the power cut has left of the store. */
static void bury(unsigned cycle, const char *store, void *arg)
{
	static const char *const forms[] = { "nothing", "prefix", "sectors" };
	g_autofree char *control = beside_us("disk_control");
	struct dying *dying = arg;

	if (dying->form < FORM_POWER)
		return;
	g_unsetenv("LD_PRELOAD"); /* not for who looks at the shadow */
	run_command("%s restore %s %s %s %u", control, dying->shadow, store,
		    forms[dying->form == FORM_LIE ? 0 : cycle % G_N_ELEMENTS(forms)],
		    g_rand_int(dying->random) >> 1);
	run_command("rm -rf %s.cut", store);
}

static void dying_init(struct dying *dying, enum form form, uint64_t seed)
{
	*dying = (struct dying){ .form = form, .random = g_rand_new_with_seed((guint32)seed) };
	dying->directory = g_dir_make_tmp("commitfs-crash.XXXXXX", NULL);
	if (!dying->directory)
		die("make a directory");
	dying->control_path = g_build_filename(dying->directory, "control", NULL);
	dying->shadow = g_build_filename(dying->directory, "shadow", NULL);
	dying->control = shim_control_map(dying->control_path, O_CREAT);
	if (!dying->control)
		die(dying->control_path);
}

static void dying_done(struct dying *dying)
{
	g_unsetenv("LD_PRELOAD");
	run_command("rm -rf %s", dying->directory);
	munmap(dying->control, sizeof(*dying->control));
	g_rand_free(dying->random);
	g_free(dying->directory);
	g_free(dying->control_path);
	g_free(dying->shadow);
}

/* ---- The run -------------------------------------------------------------------- */

static bool parse(int argc, char **argv, struct run_options *options, uint64_t *ret_cycles)
{
	for (int i = 2; i < argc; i++) {
		uint64_t number;
		const char *value = strchr(argv[i], '=');

		if (!value ||
		    !g_ascii_string_to_unsigned(value + 1, 10, 1, G_MAXINT32, &number, NULL))
			return false;
		if (g_str_has_prefix(argv[i], "--seed="))
			options->seed = number;
		else if (g_str_has_prefix(argv[i], "--cycles="))
			*ret_cycles = number;
		else if (g_str_has_prefix(argv[i], "--processes=") && number <= 100)
			options->processes = (unsigned)number;
		else
			return false;
	}
	return true;
}

static enum form find_form(const char *name)
{
	enum form form = FORM_KILL;

	while (form < FORM_COUNT && (!name || strcmp(form_names[form], name) != 0))
		form++;
	return form;
}

static int run(const struct run_options *options, enum form form)
{
	struct history *history = NULL;
	int result;

	if (run_workload(options, &history) < 0)
		return 1;
	result = transactions_judge(history);
	history_free(history);
	if (form != FORM_LIE)
		return result;
	printf("a disk that lies was %s\n", result ? "found out" : "NOT found out");
	return result == 0;
}

int main(int argc, char **argv)
{
	struct run_options options = { .seed = 1, .processes = 6 };
	enum form form = find_form(argv[1]);
	g_autofree char *command = mounted_find_command();
	struct run_deaths deaths = { .prepare = prepare, .bring_about = bring_about, .bury = bury };
	uint64_t cycles = 10;
	struct dying dying;
	int result;

	if (form == FORM_COUNT || !parse(argc, argv, &options, &cycles)) {
		fprintf(stderr, "usage: crash_transactions kill|steps|power|lie [--seed=N] "
				"[--cycles=N] [--processes=N]\n");
		return 64;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("seed %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT " deaths by %s\n", options.seed,
	       cycles, form_names[form]);
	dying_init(&dying, form, options.seed);
	deaths.cycles = (unsigned)cycles;
	deaths.arg = &dying;
	options.command = command;
	options.deaths = &deaths;
	result = run(&options, form);
	if (form != FORM_KILL)
		printf("died at %u writes, %u syncs, %u answers\n", dying.steps[SHIM_WRITE],
		       dying.steps[SHIM_SYNC], dying.steps[SHIM_REPLY]);
	dying_done(&dying);
	return result;
}
