#!/usr/bin/env bats
# What a system sees of commitfs: mount(8) and fstab, the service manager, the journal, status
# for people and programs. What is installed, and what is written about it, is in install.bats.

load helpers

setup() {
	base_directory
	# By this name mount(8) calls it.
	mkdir "$BASE/sbin"
	HELPER=$BASE/sbin/mount.commitfs
	ln -s "$COMMITFS" "$HELPER"
	DAEMON=
	cd "$BASE"
}

teardown() {
	local pid
	cd /
	while mounted "$MNT"; do
		pid=$(field pid "$MNT/status" 2>/dev/null) || true
		umount -l "$MNT" || break
		[ -z "$pid" ] || eventually 20 stopped "$pid" || kill -9 "$pid"
	done
	rm -rf --one-file-system "$BASE"
}

# helper STATUS ARG...: in stderr and output what it said
helper() {
	local wanted=$1
	shift
	run --separate-stderr "$HELPER" "$@" 3>&-
	is "$status" "$wanted" "exit status"
}

# option NAME: of the mount, as the kernel shows it
has_option() {
	awk -v point="$MNT" '$5 == point { print $6 }' /proc/self/mountinfo | tail -n 1 |
		tr , '\n' | grep -qx -- "$1"
}

# mount(8)

@test "mount.commitfs mounts in silence, with the options of commitfs mount after -o" {
	"$COMMITFS" init "$STORE" >/dev/null
	helper 0 "$STORE" "$MNT" -o rw,max-value=2M,txn-timeout=77,sync=none
	is "$output$stderr" ""
	is "$(field max_value_bytes "$MNT/status")" 2097152
	is "$(field txn_timeout_s "$MNT/status")" 77
	echo 1 >"$MNT/keys/a"
	is "$(awk -v point="$MNT" '$2 == point { print $1, $3 }' /proc/mounts)" "$STORE fuse.commitfs"
}

@test "mount.commitfs gives FUSE what is its own, and leaves out what fstab says to others" {
	helper 0 memory: "$MNT" -n -o defaults,noauto,user,nofail,_netdev,x-systemd.automount \
		-o relatime,suid,dev,noexec,comment=a -t commitfs
	has_option noexec
	has_option nosuid
	has_option nodev
}

@test "mount.commitfs -v says what it does, -f only checks" {
	helper 0 memory: "$MNT" -f -v -o max-value=2M,noexec
	is "$output" "mount.commitfs: commitfs 'mount' '--max-value=2M' '-o' 'noexec' '--' 'memory:' '$MNT'"
	unmounted "$MNT"
	helper 1 memory: "$MNT" -f -o max-value=2X
	like "$stderr" "expected bytes"
	unmounted "$MNT"
	helper 0 memory: "$MNT" -v
	like "$output" "mounted 'memory:' on $MNT"
}

@test "mount.commitfs -s leaves out options nobody knows; otherwise they are an error" {
	helper 32 memory: "$MNT" -o nosuch=1
	like "$stderr" "commitfs: cannot mount"
	unmounted "$MNT"
	helper 0 memory: "$MNT" -o nosuch=1,max-txn-keys=7 -s
	is "$(field max_txn_keys "$MNT/status")" 7
}

@test "mount.commitfs fails in the numbers of mount(8), and says why" {
	helper 1 memory:
	like "$stderr" "expected: mount.commitfs STORE MNT"
	helper 1 memory: "$MNT" -x
	like "$stderr" "option -x is not known"
	helper 1 memory: "$MNT" -o max-value
	like "$stderr" "expected max-value=SIZE"
	helper 1 memory: "$MNT" -o remount,ro
	like "$stderr" "cannot remount"
	helper 32 "$BASE/nosuch" "$MNT"
	like "$stderr" "make it with: commitfs init"
	unmounted "$MNT"
}

# In a mount namespace of its own, where /sbin holds nothing but the helper.
@test "mount -t commitfs, and a line of fstab" {
	"$COMMITFS" init "$STORE" >/dev/null
	unshare --mount true 2>/dev/null || skip "no mount namespaces here"
	echo "$STORE $MNT commitfs max-value=3M,nofail 0 0" >fstab
	cat >script <<-'END'
		set -eu
		mount --make-rprivate /
		mount -t tmpfs none "$(readlink -f /sbin)"
		ln -s "$COMMITFS" /sbin/mount.commitfs
		mount -t commitfs -o max-value=2M "$STORE" "$MNT"
		grep 'max_value_bytes 2097152' "$MNT/status"
		"$COMMITFS" umount "$MNT"
		mount --fstab "$PWD/fstab" "$MNT"
		grep 'max_value_bytes 3145728' "$MNT/status"
		"$COMMITFS" umount "$MNT"
		! mount -t commitfs -o nosuch "$STORE" "$MNT" || exit 1
	END
	run unshare --mount sh script 3>&-
	is "$status" 0 "$output"
}

# The service manager

# Prints each message it gets at the socket, in a line.
listen() {
	"$PYTHON" -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = sys.argv[1]
s.bind("\0" + name[1:] if name[0] == "@" else name)
print("listening", flush=True)
while True:
    print(s.recv(4096).decode().replace("\n", " "), flush=True)' "$1" >"$BASE/told" 3>&- &
	LISTENER=$!
	eventually 10 grep -q listening "$BASE/told"
}

@test "mount -f tells the service manager when it is ready, and when it stops" {
	local name
	"$COMMITFS" init "$STORE" >/dev/null
	for name in "$BASE/notify" "@commitfs-test-$$-$BATS_TEST_NUMBER"; do
		listen "$name"
		NOTIFY_SOCKET=$name mount_store
		# It is the one that serves, so it is the service's main process.
		eventually 10 grep -qxF "READY=1 STATUS=Serving $MNT" "$BASE/told"
		"$COMMITFS" umount "$MNT"
		eventually 10 grep -q "^STOPPING=1" "$BASE/told"
		kill "$LISTENER"
	done
}

@test "a notification socket that is not there is a warning; a mount that fails is not ready" {
	listen "$BASE/notify"
	NOTIFY_SOCKET=$BASE/notify run -74 "$COMMITFS" mount -f "$BASE/nosuch" "$MNT" 3>&-
	is "$(cat told)" listening
	kill "$LISTENER"
	"$COMMITFS" init "$STORE" >/dev/null
	NOTIFY_SOCKET=$BASE/nobody mount_store
	like "$(cat log)" "cannot tell the service manager: No such file or directory"
	"$COMMITFS" umount "$MNT"
}

@test "a mount in the background tells the service manager nothing: it is not the service" {
	listen "$BASE/notify"
	NOTIFY_SOCKET=$BASE/notify "$COMMITFS" mount memory: "$MNT" 3>&-
	"$COMMITFS" umount "$MNT"
	is "$(cat told)" listening
	kill "$LISTENER"
}

# The journal

@test "where stderr is the journal each line begins with its level" {
	local journal
	# What systemd would connect: a file of which JOURNAL_STREAM says that it is the journal.
	: >journal
	journal=$(stat -c %d:%i journal)
	JOURNAL_STREAM=$journal "$COMMITFS" status "$BASE" 2>>journal || is $? 69
	like "$(cat journal)" "^<3>cannot read the status of"
	"$COMMITFS" init "$STORE" >/dev/null
	JOURNAL_STREAM=$journal "$COMMITFS" mount -f "$STORE" "$MNT" 2>>journal >/dev/null 3>&- &
	DAEMON=$!
	eventually 20 mounted "$MNT"
	mkdir "$MNT/txn/t"
	echo x >"$MNT/txn/t/keys/x"
	rmdir "$MNT/txn/t"
	"$COMMITFS" umount "$MNT"
	wait "$DAEMON"
	grep -q "^<5>transaction t .* ended with writes that were not committed" journal
	! grep -v '^<[0-7]>' journal || fail "a line without a level"
	# Redirected since, it is not the journal any more.
	JOURNAL_STREAM=$journal run --separate-stderr "$COMMITFS" status "$BASE"
	like "$stderr" "^commitfs: cannot read the status of"
}

# Status

@test "status is for people, with units; --json and the file for programs" {
	"$COMMITFS" mount --max-value=2M --txn-timeout=5400 memory: "$MNT" 3>&-
	run -0 "$COMMITFS" status "$MNT"
	like "$output" $'\n'"max value size +2 MiB"$'\n'
	like "$output" $'\n'"txn timeout +90 min"$'\n'
	is "$(grep -c '^.\{22,\}  [^ ]' <<<"$output")" "$(wc -l <<<"$output")" "aligned lines"
	"$COMMITFS" status --json "$MNT" >json
	"$PYTHON" - "$MNT/status" json <<-'END'
		import json, sys
		lines = [line.rstrip("\n").split(" ", 1) for line in open(sys.argv[1])]
		got = json.load(open(sys.argv[2]))
		assert list(got) == [name for name, _ in lines], list(got)
		assert got["health"] == "ok" and got["store"] == "memory:"
		assert got["max_value_bytes"] == 2097152
		assert type(got["store_id"]) is str
		assert all(str(got[n]) == v for n, v in lines if n not in ("open_files", "nodes")), got
	END
}

@test "a store with any name is one line of status, and a string of JSON" {
	local name=$'a "b" \\ \t\n\177\303\244 \377'
	"$COMMITFS" init "$BASE/$name" >/dev/null
	"$COMMITFS" mount "$BASE/$name" "$MNT" 3>&- >/dev/null
	run -0 "$COMMITFS" status "$MNT"
	is "$(grep -c '^store  ' <<<"$output")" 1
	is "$(wc -l <<<"$output")" "$(wc -l <"$MNT/status")"
	"$COMMITFS" status --json "$MNT" |
		"$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["store"])' >got
	is "$(cat got)" "$(field store "$MNT/status")"
}
