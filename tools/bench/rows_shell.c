/* Rows from bash, with builtins only: what a script costs that never forks. */
#include "tools/bench/clients.h"
#include "tools/bench/rows.h"
#include "tools/bench/site.h"

static const char transfer_script[] = SHELL_BEGIN
	"cd \"$mount\" && read -r t < txn/new || exit\n"
	"exec 3> \"txn/$t/restart\" 4> \"txn/$t/commit\" || exit\n"
	"cd \"txn/$t/keys/$name/accounts\" || exit\n"
	"call() {\n"
	"	local a=$((RANDOM % keys)) b x y\n"
	"	b=$(((a + 1 + RANDOM % (keys - 1)) % keys))\n"
	"	until\n"
	"		echo >&3 || exit\n"
	"		read -r x < $a\n"
	"		read -r y < $b\n"
	"		echo $((x - 1)) > $a\n"
	"		echo $((y + 1)) > $b\n"
	"		echo transfer >&4\n"
	"	do expired && return 2; done\n"
	"	return 0\n"
	"}\n"
	"work\n";

static const char read_script[] = SHELL_BEGIN "cd \"$mount/keys/$name/accounts\" || exit\n"
					      "call() { read -r x < $((RANDOM % keys)); }\n"
					      "work\n";

const struct row shell_rows[] = {
	{ .name = "shell-transfer",
	  .clients = 1,
	  .keys = SITE_ACCOUNTS,
	  .kind = ROW_SHELL,
	  .commits = 1,
	  .measure = clients_measure_shells,
	  .script = transfer_script },
	{ .name = "shell-transfer",
	  .clients = 16,
	  .keys = SITE_ACCOUNTS,
	  .kind = ROW_SHELL,
	  .commits = -1,
	  .measure = clients_measure_shells,
	  .script = transfer_script },
	{ .name = "shell-read",
	  .clients = 1,
	  .keys = SITE_ACCOUNTS,
	  .kind = ROW_SHELL,
	  .commits = 0,
	  .measure = clients_measure_shells,
	  .script = read_script },
};
const guint shell_rows_count = G_N_ELEMENTS(shell_rows);
