/* Keys: paths without leading or trailing slash, "" for the root. */
#include "store/store.h"

#include <errno.h>
#include <string.h>

static int check_component(const char *name, size_t length)
{
	if (length == 0)
		return -EINVAL;
	if (length > STORE_NAME_MAX)
		return -ENAMETOOLONG;
	if (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.')))
		return -EINVAL;
	return 0;
}

int key_check(const char *key)
{
	const char *at = key;
	size_t length;
	int r;

	if (*key == '\0')
		return 0;
	for (;;) {
		length = (size_t)(strchrnul(at, '/') - at);
		r = check_component(at, length);
		if (r < 0)
			return r;
		at += length;
		if (at - key > STORE_KEY_MAX)
			return -ENAMETOOLONG;
		if (*at == '\0')
			return 0;
		at++;
	}
}

char *key_parent(const char *key)
{
	const char *slash = strrchr(key, '/');

	return slash ? g_strndup(key, (gsize)(slash - key)) : g_strdup("");
}

bool key_is_below(const char *key, const char *directory)
{
	size_t length = strlen(directory);

	if (length == 0)
		return true;
	return strncmp(key, directory, length) == 0 && (key[length] == '\0' || key[length] == '/');
}
