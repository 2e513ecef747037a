#!/usr/bin/env bats
# Each thread of the daemon fails to start, alone, with all that follow, or because there may be
# no more at once: while mounting that refuses the mount, in words, and leaves nothing behind;
# later there are fewer to serve, and everything works.

load shim

setup_file() {
	base_directory
	"$COMMITFS" init "$STORE"
	mount_store
	echo old >"$MNT/keys/old"
	unmount_store
}

teardown_file() { end_store; }

teardown() {
	while mounted "$MNT"; do umount -l "$MNT" || break; done
	eventually 20 nobody_left
}

# The daemons and guards: what has BASE on the command line, but those who test
nobody_left() {
	local pid
	for pid in $(pgrep -f "$BASE" || true); do
		case $(cat "/proc/$pid/comm" 2>/dev/null) in commitfs*) return 1 ;; esac
	done
}

# thread_mount WORD NUMBER: its exit code into $status
thread_mount() {
	: >"$BASE/failed"
	# A sanitizer's pthread_create is behind the library, not before it.
	run timeout 60 env LD_PRELOAD="$CRASH_HELPERS/libthread_shim.so" \
		COMMITFS_THREADS="$1 $2" COMMITFS_THREADS_FAILED="$BASE/failed" \
		ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" \
		"$COMMITFS" mount --sync=100 "$STORE" "$MNT" 3>&-
	echo "$output" >>"$BASE/log"
}

unmount_threads() {
	timeout 20 "$COMMITFS" umount "$MNT"
	eventually 20 nobody_left
}

refused() {
	[ $status = 69 ] || [ $status = 74 ] || fail "exit code $status: $output"
	[[ $output =~ ^commitfs:\ cannot.*(Resource temporarily unavailable) ]] || fail "$output"
	unmounted "$MNT"
	eventually 20 nobody_left
}

# What needs threads that are started on demand, if any does
use() {
	local i pids=()
	mkdir "$MNT/txn/use"
	# shellcheck disable=SC2016 # $1 is that of sh
	timeout 20 sh -c 'exec 3<>"$1"; echo >&3; read -r line <&3; echo "$line"' - "$MNT/watch" >"$BASE/watched" 3>&- &
	pids+=($!)
	for i in 1 2 3 4 5 6 7 8; do
		"$FSOP" open 0 "$MNT/keys/w$i" O_WRONLY,O_CREAT : line 0 "$1 $i" : fsync 0 : \
			line 0 more : close 0 >/dev/null 3>&- &
		pids+=($!)
	done
	echo "$1" >"$MNT/txn/use/keys/t"
	echo use >"$MNT/txn/use/commit"
	echo 'put e 1' | "$COMMITFS" eval "$MNT" >/dev/null
	for i in "${pids[@]}"; do wait "$i"; done
	like "$(cat "$BASE/watched")" '^(put|mkdir)'
	is "$(cat "$MNT/keys/w8" "$MNT/keys/t")" "$1 8
more
$1"
	rmdir "$MNT/txn/use"
	"$COMMITFS" backup create "$MNT" "$BASE/backup" >/dev/null
	"$COMMITFS" compact "$MNT" "$(revision)" >/dev/null
	is "$(cat "$MNT/keys/old")" old
}

# fail_threads WORD FIRST STEP: refused until there are enough to mount
fail_threads() {
	local n refusals=0
	for ((n = $2; n < 200; n += $3)); do
		echo "$1 $n"
		thread_mount "$1" "$n"
		if [ "$status" = 0 ]; then
			use "$1 $n"
			unmount_threads
			case $1:$(wc -c <"$BASE/failed") in limit:0 | only:0 | from:0) break ;; esac
		else
			[ -s "$BASE/failed" ]
			refused
			refusals=$((refusals + 1))
		fi
	done
	[ $n -lt 200 ]
	echo "# $1: $refusals mounts refused, $n threads do" >&3
	[ $refusals -gt 0 ]
	mount_store
	is "$(cat "$MNT/keys/old")" old
	unmount_store
	run -0 "$COMMITFS" check "$STORE"
}

@test "one thread that cannot be started refuses the mount, or is done without" { fail_threads only 1 1; }
@test "nor is there a thread for any that follows" { fail_threads from 1 1; }
@test "with fewer threads than it needs the mount is refused" { fail_threads limit 0 3; }
