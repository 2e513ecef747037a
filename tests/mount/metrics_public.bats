#!/usr/bin/env bats
# MNT/metrics with --public-log, and without --slow-ms.

load helpers

setup_file() { mount_own_store --public-log; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

@test "with --public-log every user may read metrics, and nobody write" {
	is "$(stat -c %a "$MNT/metrics")" 444
	like "$(as_user "$USER_A" grep '^commitfs_revision ' "$MNT/metrics")" '^commitfs_revision [0-9]+$'
	expect_any "EACCES EPERM" setuid "$USER_A" : open 0 "$MNT/metrics" O_WRONLY : line 0 x
}

@test "without --slow-ms no commit is called slow" {
	local i
	begin
	for ((i = 0; i < 300; i++)); do echo $i >"$V/$i"; done
	commit ok "$T"
	[ "$(grep -c 'slow commit' "$BASE/log")" -eq 0 ]
}
