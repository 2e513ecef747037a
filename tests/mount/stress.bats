#!/usr/bin/env bats
# Readers never see an empty or torn value. COMMITFS_FULL=1: a million reads in all.
# And nothing is looked at once the kernel may have forgotten it: the address sanitizer tells.

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() {
	own_directory
	SCALE=${COMMITFS_FULL:+5}
	SCALE=${SCALE:-1}
}
teardown() { end_processes; }

# clean FILE: the report of stress_readers
clean() {
	cat "$1"
	local name
	for name in empty torn wrong_size failures; do
		is "$(field $name "$1")" 0 "$name"
	done
}

@test "one process rewrites a key of 12 kB, others read and stat it: none empty, none torn" {
	"$HELPERS/stress_readers" pattern $((80000 * SCALE)) 4 "$MNT" "$D/key" >"$BATS_TEST_TMPDIR/out" || true
	clean "$BATS_TEST_TMPDIR/out"
	is "$(field absent "$BATS_TEST_TMPDIR/out")" 0
	[ "$(field writes "$BATS_TEST_TMPDIR/out")" -ge 100 ]
}

@test "bash rewrites a key with echo, others read and stat it: none empty, none torn" {
	echo "1000000 1000000 1000000" >"$K/key"
	bash -c 'for ((i = 1000000; ; i++)); do echo "$i $i $i" >"$1"; done' - "$K/key" 3>&- &
	PROCESS_PID[writer]=$!
	"$HELPERS/stress_readers" line $((60000 * SCALE)) 4 "$MNT" "$D/key" >"$BATS_TEST_TMPDIR/out" || true
	kill_process writer
	clean "$BATS_TEST_TMPDIR/out"
	is "$(field absent "$BATS_TEST_TMPDIR/out")" 0
	local n
	read -r n _ <"$K/key"
	[ "$n" -ge 1000100 ]
}

@test "transactions replace, remove and recreate a key, others read it: none empty, none torn" {
	"$HELPERS/stress_readers" transaction $((60000 * SCALE)) 4 "$MNT" "$D/key" >"$BATS_TEST_TMPDIR/out" || true
	clean "$BATS_TEST_TMPDIR/out"
	[ "$(field absent "$BATS_TEST_TMPDIR/out")" -gt 0 ]
	[ "$(field writes "$BATS_TEST_TMPDIR/out")" -ge 100 ]
}

# What a transaction's directory was is forgotten, and freed, the moment its files are closed.
@test "files are created in transactions that others end, and the kernel forgets: all goes on" {
	mkdir "$K/d"
	bash -c 'end=$((SECONDS + $3)) n=0
		while [ $SECONDS -lt $end ]; do
			read -r t <"$1/txn/new" || continue
			for ((i = 0; i < 100; i++)); do
				: >"$1/txn/$t/keys/$2/d/$i" && n=$((n + 1)) || break
			done
		done 2>/dev/null
		echo $n' - "$MNT" "$D" $((3 * SCALE)) >"$BATS_TEST_TMPDIR/created" 3>&- &
	local creator=$! t forgets=/dev/null
	[ ! -w /proc/sys/vm/drop_caches ] || forgets=/proc/sys/vm/drop_caches
	while running $creator; do
		for t in "$MNT"/txn/new-*; do
			rmdir "$t" 2>/dev/null || true
		done
		echo 2 >$forgets
	done
	wait $creator
	[ "$(cat "$BATS_TEST_TMPDIR/created")" -gt 100 ]
	running "$DAEMON"
	echo after >"$K/d/after"
	is "$(cat "$K/d/after")" after
	is "$(ls "$K/d")" after
}
