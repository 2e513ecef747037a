/* Runs a fuzz target on every file of the directories given: the corpus as a test, with
 * any compiler. */
#include <glib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay_file(const char *path)
{
	g_autofree char *text = NULL;
	g_autoptr(GError) error = NULL;
	gsize size;

	if (!g_file_get_contents(path, &text, &size, &error)) {
		fprintf(stderr, "%s\n", error->message);
		exit(1);
	}
	/* Told before, not after: it is the last line when the target crashes. */
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput((const uint8_t *)text, size);
}

static void replay_directory(const char *path)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GDir) directory = g_dir_open(path, 0, &error);
	const char *name;

	if (directory == NULL) {
		fprintf(stderr, "%s\n", error->message);
		exit(1);
	}
	while ((name = g_dir_read_name(directory)) != NULL) {
		g_autofree char *file = g_build_filename(path, name, NULL);

		replay_file(file);
	}
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay_directory(argv[i]);
	return 0;
}
