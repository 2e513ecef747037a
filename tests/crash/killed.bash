# What the tests share that kill the daemon, or the command, again and again.

load ../mount/helpers

CRASH_HELPERS=${CRASH_HELPERS:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd)/build/tests/crash}

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
teardown() { end_processes; }

# rounds PLAIN FULL: how many, in ROUNDS; in setup
rounds() {
	D=unused
	ROUNDS=${COMMITFS_FULL:+$2}
	ROUNDS=${ROUNDS:-$1}
	DAEMON=$(cat "$BASE/daemon")
	seed
}

# What a kill leaves behind agrees, before anything else has touched it.
mount_again() {
	check_killed_store
	mount_store
}
