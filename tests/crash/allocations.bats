#!/usr/bin/env bats
# Each large allocation of the daemon fails once, while values of megabytes are written,
# copied, committed and read: what needed it is refused, nothing else is, the daemon goes on
# and has everything that was acknowledged. Some of them; each of them with COMMITFS_FULL=1.

load shim

setup_file() { base_directory; }

teardown_file() { end_store; }

# fail_allocations STEP MOUNT-OPTION...
fail_allocations() {
	local control=$BASE/memory step=$1
	shift
	head -c 12 /dev/zero >"$control"
	# A sanitizer's allocator is behind the library, not before it.
	RUNNER="env LD_PRELOAD=$CRASH_HELPERS/libmemory_shim.so COMMITFS_MEMORY=$control
		ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0" mount_store "$@"
	run timeout 300 "$PYTHON" "$BATS_TEST_DIRNAME/allocations.py" "$MNT" "$control" \
		"$([ -n "${COMMITFS_FULL:-}" ] && echo 1 || echo "$step")"
	[ $status = 0 ] || fail "$output"
	echo "# $output" >&3
	running "$DAEMON" || fail "the daemon is gone"
	local one
	one=$(sha256sum "$MNT/keys/w/one" "$MNT/keys/w/t" "$MNT/keys/w/big")
	unmount_store
	run -0 "$COMMITFS" check "$@" "$STORE"
	mount_store "$@"
	is "$(sha256sum "$MNT/keys/w/one" "$MNT/keys/w/t" "$MNT/keys/w/big")" "$one"
	unmount_store
	rm -rf "$STORE"
}

@test "what there is no memory for is refused, and nothing is lost" {
	"$COMMITFS" init "$STORE"
	fail_allocations 17
}

@test "nor is it where all is encrypted" {
	"$COMMITFS" key new "$BASE/key"
	"$COMMITFS" init --key-file="$BASE/key" "$STORE"
	fail_allocations 29 --key-file="$BASE/key"
}
