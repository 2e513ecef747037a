# What the bats files with the preloaded library share.

load ../mount/helpers

CRASH_HELPERS=${CRASH_HELPERS:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd)/build/tests/crash}

# A sanitizer of the daemon wants to be loaded first.
sanitizer_library() { ldd "$COMMITFS" | awk '$1 ~ /^lib[at]san/ { print $3 }'; }

control() { "$CRASH_HELPERS/disk_control" "$CONTROL" "$@"; }

# shim_begin: a new control file; SHIM is what to run a command with, to have the library in it
shim_begin() {
	CONTROL=$BASE/control
	control new
	SHIM="env LD_PRELOAD=$(sanitizer_library):$CRASH_HELPERS/libdisk_shim.so
		COMMITFS_SHIM_CONTROL=$CONTROL COMMITFS_SHIM_STORE=$STORE"
}

# shim_mount [OPTION...]: STORE on MNT, its daemon with the library
shim_mount() {
	shim_begin
	RUNNER=$SHIM mount_store "$@"
}

plain_mount() { RUNNER='' mount_store "$@"; }

# Whether or not it still lives.
end_mount() {
	kill "$DAEMON" 2>/dev/null || true
	eventually 20 stopped "$DAEMON" || kill -9 "$DAEMON"
	while mounted "$MNT"; do umount -l "$MNT" || break; done
}

# end_store: and all that was made with it
end_store() {
	DAEMON=$(cat "$BASE/daemon")
	end_mount
	check_log
	rm -rf --one-file-system "$BASE"
}
