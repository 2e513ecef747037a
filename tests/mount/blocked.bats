#!/usr/bin/env bats
# Many clients at once, and clients that wait, do not stop the others.

load helpers

setup_file() {
	mount_own_store
	cp "$HELPERS/load" "$BASE/load"
}
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

# works: what a 65th process does; each step has to answer in two seconds
works() {
	local step
	for step in 'cat "$1/seen"' 'echo v >"$1/own"' 'mkdir "$1/dir"' 'ls "$1"' 'stat "$1/own"' \
		'mv "$1/own" "$1/dir/own"' 'rm -r "$1/dir"' 'mkdir "$2.own"' 'echo w >"$2.own/keys/own-key"' \
		'echo why >"$2.own/commit"' 'rmdir "$2.own"' 'cat "$3/status"' 'rm "$3/keys/own-key"'; do
		timeout 2 sh -c "$step" - "$K" "$MNT/txn/$D" "$MNT" >/dev/null || fail "not in time: $step"
	done
}

# end_load: it worked until now, and says how much it did
end_load() {
	kill "${PROCESS_PID[load]}"
	wait "${PROCESS_PID[load]}"
}

@test "64 processes that commit at once do not stop a 65th" {
	echo v >"$K/seen"
	mkdir "$K/load"
	"$BASE/load" commit 64 60 "$MNT" "$D/load" >"$BATS_TEST_TMPDIR/out" 3>&- &
	PROCESS_PID[load]=$!
	sleep 0.7
	works
	works
	works
	end_load
	[ "$(awk '$1 == "commits" { print $2 }' "$BATS_TEST_TMPDIR/out")" -ge 64 ]
	is "$(awk '$1 == "failures" { print $2 }' "$BATS_TEST_TMPDIR/out")" 0
}

@test "64 processes that wait in poll do not stop a 65th" {
	echo v >"$K/seen"
	"$BASE/load" poll 64 60 "$MNT" "$D" >/dev/null 3>&- &
	PROCESS_PID[load]=$!
	sleep 0.5
	works
	works
	end_load
}

@test "64 processes that write to one commit file do not stop a 65th" {
	echo v >"$K/seen"
	begin
	echo v >"$V/a"
	"$BASE/load" one 64 60 "$MNT" "$D" >/dev/null 3>&- &
	PROCESS_PID[load]=$!
	sleep 0.5
	works
	works
	end_load
	is "$(cat "$K/a")" v
}

@test "64 processes that write keys of one directory do not stop a 65th" {
	echo v >"$K/seen"
	mkdir "$K/load"
	"$BASE/load" write 64 60 "$MNT" "$D/load" >"$BATS_TEST_TMPDIR/out" 3>&- &
	PROCESS_PID[load]=$!
	sleep 0.5
	works
	works
	end_load
	is "$(awk '$1 == "failures" { print $2 }' "$BATS_TEST_TMPDIR/out")" 0
}

@test "an unprivileged process that keeps a directory busy does not delay commits that touch it" {
	mkdir "$K/busy"
	chmod 777 "$K/busy"
	seq -f 'f%g' 300 | (cd "$K/busy" && xargs touch)
	setpriv --reuid="$USER_A" --regid="$USER_A" --clear-groups -- \
		"$BASE/load" busy 8 60 "$MNT" "$D/busy" >"$BATS_TEST_TMPDIR/out" 3>&- &
	PROCESS_PID[load]=$!
	sleep 0.5
	# 40 commits, each replaces, creates and removes names in the busy directory.
	"$BASE/load" latency 1 40 "$MNT" "$D/busy" >"$BATS_TEST_TMPDIR/latency"
	cat "$BATS_TEST_TMPDIR/latency"
	end_load
	[ "$(awk '$1 == "median_ms" { print $2 }' "$BATS_TEST_TMPDIR/latency")" -le 100 ]
	[ "$(awk '$1 == "worst_ms" { print $2 }' "$BATS_TEST_TMPDIR/latency")" -le 1000 ]
}

@test "a process stopped in the middle of its work delays nobody" {
	echo v >"$K/seen"
	process w
	asked ok w open 0 "$K/a" O_WRONLY,O_CREAT
	asked ok w write 0 half
	asked ok w mkdir "$MNT/txn/$D.w"
	asked ok w open 1 "$MNT/txn/$D.w/keys/$D/seen" O_RDWR
	asked ok w open 2 "$MNT/txn/$D.w/commit" O_WRONLY
	kill -STOP "${PROCESS_PID[w]}"
	works
	# Its descriptors need not be asked for: nobody waits for its session.
	timeout 2 sh -c 'echo other >"$1/a"; cat "$1/a"' - "$K"
	kill -CONT "${PROCESS_PID[w]}"
	rmdir "$MNT/txn/$D.w"
}
