/* Limits are one table: what it is called, which field it sets, in which unit it is
 * given, and what is the most that the formats below can hold. */
#include "tools/mount_options.h"

#include "tools/log.h"
#include "tools/number.h"

#include <stddef.h>
#include <string.h>

/* GLib keeps functions in a void pointer, which ISO C has no conversion for. */
#define CALLBACK(function) ((gpointer)(uintptr_t)(function))

#define MAX_SYNC_MS (60 * 60 * 1000)
#define MAX_SLOW_MS (60 * 60 * 1000)
#define MAX_REVISIONS (UINT64_C(1) << 62)
#define MAX_HISTORY_SECONDS (UINT64_C(100) * 365 * 24 * 60 * 60)
#define MAX_NODES (1000 * 1000 * 1000)
#define MAX_SECONDS (10 * 365 * 24 * 60 * 60)

static const struct limit {
	const char *option;
	size_t field;
	bool size; /* in bytes, otherwise a count */
	uint64_t max;
} limits[] = {
	{ "--max-value", offsetof(struct mount_options, store.max_value_bytes), true, 1 << 30 },
	{ "--max-txn-keys", offsetof(struct mount_options, registry.limits.max_keys), false,
	  100 * 1000 * 1000 },
	/* A commit is one batch of the database, which has at most 4 GiB. */
	{ "--max-txn-size", offsetof(struct mount_options, registry.limits.max_values_bytes), true,
	  UINT64_C(2) << 30 },
	{ "--max-txns", offsetof(struct mount_options, registry.max_transactions), false,
	  1000 * 1000 },
	{ "--max-user-txns", offsetof(struct mount_options, registry.max_user_transactions), false,
	  1000 * 1000 },
	{ "--max-user-size", offsetof(struct mount_options, registry.max_user_bytes), true,
	  UINT64_C(1) << 40 },
	{ "--max-user-reads", offsetof(struct mount_options, registry.max_user_reads), false,
	  UINT64_C(1) << 40 },
	{ "--txn-timeout", offsetof(struct mount_options, registry.idle_timeout_s), false,
	  MAX_SECONDS },
	{ "--txn-max-age", offsetof(struct mount_options, registry.max_age_s), false, MAX_SECONDS },
	{ "--slow-ms", offsetof(struct mount_options, store.slow_ms), false, MAX_SLOW_MS },
	{ "--max-message", offsetof(struct mount_options, registry.max_message_bytes), true,
	  1 << 20 },
	{ "--max-program", offsetof(struct mount_options, program.max_text_bytes), true, 1 << 30 },
	{ "--max-nodes", offsetof(struct mount_options, max_nodes), false, MAX_NODES },
};

void mount_options_init(struct mount_options *options)
{
	memset(options, 0, sizeof(*options));
	store_options_init(&options->store);
	registry_options_init(&options->registry);
	program_limits_init(&options->program);
	options->max_nodes = 1000000;
	key_options_init(&options->key);
	options->fuse_options = g_string_new(NULL);
	options->log_level = G_LOG_LEVEL_INFO;
}

void mount_options_done(struct mount_options *options)
{
	g_string_free(options->fuse_options, TRUE);
	key_options_done(&options->key);
	g_free(options->scratch);
}

static gboolean bad_value(GError **error, const char *name, const char *value, const char *expected)
{
	g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s=%s: expected %s", name,
		    value, expected);
	return FALSE;
}

static const struct limit *find_limit(const char *option)
{
	for (guint i = 0; i < G_N_ELEMENTS(limits); i++)
		if (strcmp(limits[i].option, option) == 0)
			return &limits[i];
	return NULL;
}

static gboolean set_limit(const char *name, const char *value, gpointer data, GError **error)
{
	const struct limit *limit = find_limit(name);
	g_autofree char *expected = NULL;
	uint64_t number;
	int r;

	g_assert(limit != NULL);
	r = limit->size ? number_parse_size(value, limit->max, &number) :
			  number_parse_count(value, limit->max, &number);
	if (r == 0) {
		memcpy((char *)data + limit->field, &number, sizeof(number));
		return TRUE;
	}
	expected = g_strdup_printf(
		"%s, 1 to %" G_GUINT64_FORMAT,
		limit->size ? "bytes, perhaps with K, M or G behind" : "a number", limit->max);
	return bad_value(error, name, value, expected);
}

static gboolean set_sync(const char *name, const char *value, gpointer data, GError **error)
{
	struct mount_options *options = data;

	if (strcmp(value, "always") == 0) {
		options->store.sync = STORE_SYNC_ALWAYS;
	} else if (strcmp(value, "none") == 0) {
		options->store.sync = STORE_SYNC_NONE;
	} else if (number_parse_count(value, MAX_SYNC_MS, &options->store.sync_interval_ms) == 0) {
		options->store.sync = STORE_SYNC_INTERVAL;
	} else {
		return bad_value(error, name, value, "always, none, or milliseconds");
	}
	return TRUE;
}

static gboolean set_log_level(const char *name, const char *value, gpointer data, GError **error)
{
	struct mount_options *options = data;

	if (log_parse_level(value, &options->log_level) < 0)
		return bad_value(error, name, value, "error, warning, info or debug");
	return TRUE;
}

static gboolean add_fuse_options(const char *name, const char *value, gpointer data, GError **error)
{
	struct mount_options *options = data;

	(void)name;
	(void)error;
	if (options->fuse_options->len > 0)
		g_string_append_c(options->fuse_options, ',');
	g_string_append(options->fuse_options, value);
	return TRUE;
}

static gboolean set_scratch(const char *name, const char *value, gpointer data, GError **error)
{
	struct mount_options *options = data;

	(void)name;
	(void)error;
	g_free(options->scratch);
	options->scratch = g_strdup(value);
	return TRUE;
}

static gboolean set_key(const char *name, const char *value, gpointer data, GError **error)
{
	struct mount_options *options = data;

	return key_option_set(name, value, &options->key, error);
}

static gboolean set_history(const char *name, const char *value, gpointer data, GError **error)
{
	struct mount_options *options = data;
	uint64_t revisions = 0, age_s = 0;

	if (strcmp(value, "all") != 0 && number_parse_count(value, MAX_REVISIONS, &revisions) < 0 &&
	    number_parse_duration(value, MAX_HISTORY_SECONDS, &age_s) < 0)
		return bad_value(error, name, value,
				 "all, a number of revisions, or a time such as 12h or 30d");
	options->store.history_revisions = revisions;
	options->store.history_age_ns = (int64_t)age_s * 1000000000;
	return TRUE;
}

static gboolean set_flag(const char *name, const char *value, gpointer data, GError **error)
{
	struct mount_options *options = data;

	(void)value;
	(void)error;
	if (strcmp(name, "--private") == 0)
		options->private_mount = true;
	else if (strcmp(name, "--public-log") == 0)
		options->public_log = true;
	else if (strcmp(name, "--accept-loss") == 0)
		options->store.accept_loss = true;
	else /* -f, too */
		options->foreground = true;
	return TRUE;
}

const GOptionEntry mount_option_entries[] = {
	{ "sync", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_sync),
	  "When commits reach the disk (default: always, before they return)", "always|none|MS" },
	{ "private", 0, G_OPTION_FLAG_NO_ARG, G_OPTION_ARG_CALLBACK, CALLBACK(set_flag),
	  "Admit nobody but the user who mounts, not even when that is root", NULL },
	{ "public-log", 0, G_OPTION_FLAG_NO_ARG, G_OPTION_ARG_CALLBACK, CALLBACK(set_flag),
	  "Let every user read log, watch and metrics, not only who mounts", NULL },
	{ "history", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_history),
	  "What is kept of the past: s, m, h, d, w or y behind a time (default 30d)",
	  "all|COUNT|DURATION" },
	KEY_OPTION_ENTRIES(set_key),
	{ "max-value", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_limit),
	  "Bytes of one value (default 16M)", "SIZE" },
	{ "max-txn-keys", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_limit),
	  "Keys one transaction may change (default 1000000)", "COUNT" },
	{ "max-txn-size", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_limit),
	  "Bytes of keys and values one transaction may write (default 256M)", "SIZE" },
	{ "max-txns", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_limit),
	  "Open transactions in all (default 65536)", "COUNT" },
	{ "max-user-txns", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_limit),
	  "Open transactions of one user (default 1024)", "COUNT" },
	{ "max-user-size", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_limit),
	  "Bytes that one user may have in memory, uncommitted or open (default 1G)", "SIZE" },
	{ "max-user-reads", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_limit),
	  "Items in the read sets of one user (default 4000000)", "COUNT" },
	{ "txn-timeout", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_limit),
	  "Idle seconds until a transaction that belongs to no process is over (default 3600)",
	  "SECONDS" },
	{ "txn-max-age", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_limit),
	  "Seconds after which any transaction ends (default 86400)", "SECONDS" },
	{ "max-message", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_limit),
	  "Bytes of a commit message (default 4K)", "SIZE" },
	{ "slow-ms", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_limit),
	  "Log commits that take as many milliseconds, step by step (default: none)", "MS" },
	{ "max-program", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_limit),
	  "Bytes of the text of a program for eval (default 16M)", "SIZE" },
	{ "max-nodes", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_limit),
	  "Files and directories that the kernel may keep known (default 1000000)", "COUNT" },
	{ "accept-loss", 0, G_OPTION_FLAG_NO_ARG, G_OPTION_ARG_CALLBACK, CALLBACK(set_flag),
	  "Go on without the commits that a damaged write-ahead log has lost; the log tells of it",
	  NULL },
	{ "scratch", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_scratch),
	  "Names of temporary files to keep in memory until they are renamed: globs, and "
	  "'default' for those of common editors and tools (default: default)",
	  "GLOB,...|none" },
	{ "log-level", 0, 0, G_OPTION_ARG_CALLBACK, CALLBACK(set_log_level),
	  "error, warning, info (the default) or debug", "LEVEL" },
	{ "options", 'o', 0, G_OPTION_ARG_CALLBACK, CALLBACK(add_fuse_options),
	  "Options for FUSE, comma-separated, such as allow_other", "OPTION,..." },
	{ "foreground", 'f', G_OPTION_FLAG_NO_ARG, G_OPTION_ARG_CALLBACK, CALLBACK(set_flag),
	  "Stay in the foreground and log to stderr", NULL },
	G_OPTION_ENTRY_NULL,
};

bool mount_options_have(const struct mount_options *options, const char *option)
{
	g_auto(GStrv) list = g_strsplit(options->fuse_options->str, ",", -1);

	return g_strv_contains((const char *const *)list, option);
}
