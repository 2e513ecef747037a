# What the bats files with the preloaded library share; after `load ../mount/helpers`.

CRASH_HELPERS=${CRASH_HELPERS:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd)/build/tests/crash}

# A sanitizer of the daemon wants to be loaded first.
sanitizer_library() { ldd "$COMMITFS" | awk '$1 ~ /^lib[at]san/ { print $3 }'; }

control() { "$CRASH_HELPERS/disk_control" "$CONTROL" "$@"; }

# shim_mount [OPTION...]: STORE on MNT, its daemon with the library
shim_mount() {
	CONTROL=$BASE/control
	control new
	RUNNER="env LD_PRELOAD=$(sanitizer_library):$CRASH_HELPERS/libdisk_shim.so
		COMMITFS_SHIM_CONTROL=$CONTROL COMMITFS_SHIM_STORE=$STORE" mount_store "$@"
	echo "$DAEMON" >"$BASE/daemon"
}

plain_mount() {
	RUNNER='' mount_store "$@"
	echo "$DAEMON" >"$BASE/daemon"
}

# Whether or not it still lives.
end_mount() {
	kill "$DAEMON" 2>/dev/null || true
	eventually 20 stopped "$DAEMON" || kill -9 "$DAEMON"
	while mounted "$MNT"; do umount -l "$MNT" || break; done
}
