#include "tools/author.h"

#include <pwd.h>
#include <stdbool.h>
#include <string.h>

static bool is_known(const char *text)
{
	return text != NULL && strcmp(text, "-") != 0;
}

void author_append(GString *out, const char *separator, const struct author *author)
{
	if (is_known(author->uid) && is_known(author->pid) && is_known(author->time)) {
		uid_t uid = (uid_t)g_ascii_strtoull(author->uid, NULL, 10);
		const struct passwd *user = getpwuid(uid);

		g_string_append_printf(out, "%sby %s%s, %s[%s], at %s", separator,
				       user != NULL ? "" : "uid ",
				       user != NULL ? user->pw_name : author->uid,
				       is_known(author->command) ? author->command : "process",
				       author->pid, author->time);
	}
	if (is_known(author->message))
		g_string_append_printf(out, ": %s", author->message);
}
