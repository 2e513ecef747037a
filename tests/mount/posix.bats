#!/usr/bin/env bats
# System calls of root and two ordinary users on an ordinary filesystem and on the mount at
# once: they answer the same and leave the same behind, but where posix/*.calls says otherwise.

load helpers

setup_file() {
	mount_own_store
	export CALLS=$BATS_TEST_DIRNAME/posix
	export POSIX=$HELPERS/posix
	mkdir "$BASE/reference" "$BASE/view"
}
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

# same FAMILY: on keys/, in a transaction, and what its commit makes of it
same() {
	local live=$BASE/reference/$D view=$BASE/view/$D
	mkdir "$live" "$view"
	"$POSIX" "$FSOP" "$CALLS/$1.calls" "$live" "$K" || return 1
	begin
	mkdir "$V/view"
	"$POSIX" --view "$FSOP" "$CALLS/$1.calls" "$view" "$V/view" || return 1
	commit ok "$T"
	"$POSIX" --same "$view" "$K/view"
}

@test "paths: missing prefixes, lengths, loops, search permission" { same path; }
@test "open: creating, truncating, flags, classes of the mode" { same open; }
@test "mkdir, rmdir, working directories that are gone, listings" { same directory; }
@test "unlink, and who may remove from a sticky directory" { same unlink; }
@test "rename, with NOREPLACE and EXCHANGE" { same rename; }
@test "truncate and ftruncate" { same truncate; }
@test "symbolic links" { same symlink; }
@test "chmod and fchmod" { same chmod; }
@test "chown, lchown and fchown" { same chown; }
@test "utimensat and futimens" { same times; }
@test "access, groups, setgid directories, umask" { same access; }
@test "what is refused, and with which errno" { same refused; }
