/* The key that users have: files and passphrases.
 *
 * It lies in memory of libsodium's, which is not swapped, and between pages that nobody may
 * touch. A process that has a key makes no core dump, and cannot be looked into by other
 * processes of its user, from then on: protect_process().
 *
 * A file of a key is its 32 bytes, or 64 hexadecimal digits and perhaps a newline. */
#include "store/files.h"
#include "store/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define DIGITS (2 * STORE_KEY_SIZE)
#define PASSPHRASE_MAX 1024

static void protect_process(void)
{
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
}

/* NULL: there is no memory for it. */
static struct store_key *key_alloc(size_t size)
{
	unsigned char *bytes;
	struct store_key *key;

	protect_process();
	bytes = sodium_init() < 0 ? NULL : sodium_malloc(size);
	if (!bytes)
		return NULL;
	key = g_new0(struct store_key, 1);
	key->bytes = bytes;
	return key;
}

void store_key_free(struct store_key *key)
{
	if (!key)
		return;
	sodium_free(key->bytes);
	g_free(key);
}

static int refuse(char **ret_message, const char *action, const char *path, int error,
		  const char *why)
{
	*ret_message =
		g_strdup_printf("cannot %s '%s': %s", action, path, why ? why : g_strerror(-error));
	return error;
}

/* ---- Files ---------------------------------------------------------------------- */

static int check_file(int fd, const char *path, char **ret_message)
{
	const char *why = NULL;
	struct stat status;

	if (fstat(fd, &status) < 0)
		return refuse(ret_message, "read key file", path, -errno, NULL);
	if (!S_ISREG(status.st_mode))
		why = "not a regular file";
	else if (status.st_uid != geteuid() && status.st_uid != 0)
		why = "it belongs to another user; a key file must be the user's own, or root's";
	else if (status.st_mode & 077)
		why = "others may use it; take their permissions away with chmod 600";
	return why ? refuse(ret_message, "use key file", path, -EPERM, why) : 0;
}

/* The signal that came while a terminal was asked, or 0. */
static volatile sig_atomic_t interrupted;

static void note_signal(int signal)
{
	interrupted = signal;
}

/* Reads until the end, or `size`. -EINTR: note_signal was called. */
static ssize_t read_all(int fd, unsigned char *bytes, size_t size)
{
	size_t count = 0;

	while (count < size) {
		ssize_t more = read(fd, bytes + count, size - count);

		if (more < 0 && errno == EINTR && !interrupted)
			continue;
		if (more < 0)
			return -errno;
		if (more == 0)
			break;
		count += (size_t)more;
	}
	return (ssize_t)count;
}

/* `bytes` hold what was in the file. */
static int decode_file(unsigned char *bytes, size_t size)
{
	unsigned char *decoded;
	size_t length = 0;
	int r;

	if (size == STORE_KEY_SIZE)
		return 0;
	if (size == DIGITS + 1 && bytes[DIGITS] == '\n')
		size--;
	if (size != DIGITS)
		return -EINVAL;
	decoded = sodium_malloc(STORE_KEY_SIZE);
	if (!decoded)
		return -ENOMEM;
	r = sodium_hex2bin(decoded, STORE_KEY_SIZE, (const char *)bytes, size, NULL, &length, NULL);
	r = r == 0 && length == STORE_KEY_SIZE ? 0 : -EINVAL;
	if (r == 0)
		memcpy(bytes, decoded, STORE_KEY_SIZE);
	sodium_free(decoded);
	return r;
}

static int read_file(int fd, const char *path, struct store_key *key, char **ret_message)
{
	ssize_t size = read_all(fd, key->bytes, DIGITS + 2);
	int r = size < 0 ? (int)size : decode_file(key->bytes, (size_t)size);

	if (r == -EINVAL)
		return refuse(ret_message, "use key file", path, -EINVAL,
			      "expected 32 bytes, or 64 hexadecimal digits; make one with: "
			      "commitfs key new FILE");
	if (r < 0)
		return refuse(ret_message, "read key file", path, r, NULL);
	key->size = STORE_KEY_SIZE;
	sodium_mprotect_readonly(key->bytes);
	return 0;
}

int store_key_read_file(const char *path, struct store_key **ret, char **ret_message)
{
	/* Not through a link that somebody may have put there; and no waiting for a FIFO. */
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct store_key *key;
	int r;

	if (fd < 0)
		return refuse(ret_message, "open key file", path, -errno,
			      errno == ELOOP ? "it is a symbolic link; give the file itself" :
					       NULL);
	key = key_alloc(DIGITS + 2);
	r = key ? check_file(fd, path, ret_message) :
		  refuse(ret_message, "read key file", path, -ENOMEM, NULL);
	if (r == 0)
		r = read_file(fd, path, key, ret_message);
	close(fd);
	if (r < 0)
		store_key_free(key);
	else
		*ret = key;
	return r;
}

static int write_key(int fd)
{
	char *text = sodium_malloc(DIGITS + 1);
	unsigned char *bytes = sodium_malloc(STORE_KEY_SIZE);
	ssize_t written = -1;
	int r = -ENOMEM;

	if (text && bytes) {
		randombytes_buf(bytes, STORE_KEY_SIZE);
		sodium_bin2hex(text, DIGITS + 1, bytes, STORE_KEY_SIZE);
		text[DIGITS] = '\n';
		written = write(fd, text, DIGITS + 1);
		r = written == DIGITS + 1 ? 0 : written < 0 ? -errno : -ENOSPC;
	}
	sodium_free(bytes);
	sodium_free(text);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r;
}

int store_key_write_file(const char *path, char **ret_message)
{
	int fd, r;

	protect_process();
	fd = sodium_init() < 0 ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return refuse(ret_message, "make key file", path, -errno, NULL);
	r = write_key(fd);
	close(fd);
	if (r == 0)
		r = files_sync_above(path); /* a store made with it may not outlast it */
	if (r < 0) {
		unlink(path);
		return refuse(ret_message, "write key file", path, r, NULL);
	}
	return 0;
}

/* ---- Passphrases ---------------------------------------------------------------- */

/* Reads a line, without its end. A byte at a time: what follows belongs to others. */
static ssize_t read_line(int fd, unsigned char *bytes, size_t size)
{
	size_t count = 0;

	while (count < size) {
		ssize_t r = read_all(fd, bytes + count, 1);

		if (r < 0)
			return r;
		if (r == 0 || bytes[count] == '\n')
			return (ssize_t)count;
		count++;
	}
	return -EMSGSIZE;
}

static int read_passphrase(int fd, struct store_key **ret)
{
	struct store_key *key = key_alloc(PASSPHRASE_MAX + 1);
	ssize_t size;

	if (!key)
		return -ENOMEM;
	size = read_line(fd, key->bytes, PASSPHRASE_MAX + 1);
	if (size <= 0) {
		store_key_free(key);
		return size < 0 ? (int)size : -ENODATA;
	}
	key->is_passphrase = true;
	key->size = (size_t)size;
	sodium_mprotect_readonly(key->bytes);
	*ret = key;
	return 0;
}

static int refuse_passphrase(char **ret_message, int error)
{
	if (error == -ENODATA)
		*ret_message = g_strdup("cannot read the passphrase: it is empty");
	else if (error == -EMSGSIZE)
		*ret_message = g_strdup_printf(
			"cannot read the passphrase: it is longer than %d bytes", PASSPHRASE_MAX);
	else
		*ret_message =
			g_strdup_printf("cannot read the passphrase: %s", g_strerror(-error));
	return error;
}

int store_key_read_passphrase(int fd, struct store_key **ret, char **ret_message)
{
	int r = read_passphrase(fd, ret);

	return r < 0 ? refuse_passphrase(ret_message, r) : 0;
}

static int ask_silently(int fd, const char *question, struct store_key **ret)
{
	struct termios before, silent;
	int r;

	if (tcgetattr(fd, &before) < 0)
		return -errno;
	silent = before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	silent.c_lflag |= ICANON;
	if (tcsetattr(fd, TCSAFLUSH, &silent) < 0)
		return -errno;
	dprintf(fd, "%s: ", question);
	r = read_passphrase(fd, ret);
	dprintf(fd, "\n");
	tcsetattr(fd, TCSAFLUSH, &before);
	return r;
}

static int ask_once(int fd, const char *question, struct store_key **ret)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
	const struct sigaction note = { .sa_handler = note_signal };
	struct sigaction before[G_N_ELEMENTS(signals)];
	int r;

	interrupted = 0;
	for (guint i = 0; i < G_N_ELEMENTS(signals); i++)
		sigaction(signals[i], &note, &before[i]);
	r = ask_silently(fd, question, ret);
	for (guint i = 0; i < G_N_ELEMENTS(signals); i++)
		sigaction(signals[i], &before[i], NULL);
	if (interrupted)
		raise(interrupted);
	return r;
}

/* Asks on the terminal `fd`, which shows nothing of what is typed. A signal that ends or stops
 * the process does so when the terminal is what it was; who stopped it is asked again. */
static int ask(int fd, const char *question, struct store_key **ret)
{
	int r;

	do
		r = ask_once(fd, question, ret);
	while (r == -EINTR && interrupted == SIGTSTP);
	return r;
}

static int ask_again(int fd, const struct store_key *key)
{
	struct store_key *again;
	int r;

	r = ask(fd, "The same once more", &again);
	if (r < 0)
		return r;
	if (again->size != key->size || sodium_memcmp(again->bytes, key->bytes, key->size) != 0)
		r = -EINVAL;
	store_key_free(again);
	return r;
}

int store_key_ask_passphrase(const char *question, bool twice, struct store_key **ret,
			     char **ret_message)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	struct store_key *key = NULL;
	int r;

	if (fd < 0) {
		*ret_message = g_strdup("cannot ask for the passphrase: there is no terminal; "
					"give it with --passphrase-fd=FD");
		return -errno;
	}
	r = ask(fd, question, &key);
	if (r == 0 && twice)
		r = ask_again(fd, key);
	close(fd);
	if (r == 0) {
		*ret = key;
		return 0;
	}
	store_key_free(key);
	if (r != -EINVAL)
		return refuse_passphrase(ret_message, r);
	*ret_message = g_strdup("cannot use the passphrase: the two are not the same");
	return r;
}
