#!/usr/bin/env bats
# Limits of the machine: a disk that is full and gets space again, few descriptors, short files,
# little memory. Needs root: the disk is a small tmpfs.

load shim

setup() {
	base_directory
	DISK=$BASE/disk STORE=$BASE/disk/store
	export STORE
	mkdir "$DISK"
	mount -t tmpfs -o size=112m tmpfs "$DISK"
	"$COMMITFS" init "$STORE"
}

teardown() {
	DAEMON=$(cat "$BASE/daemon")
	end_mount
	umount -l "$DISK"
	end_store
}

# fill_store: values that do not compress until one is refused; WHY has the reason
fill_store() {
	local i
	for ((i = 0; i < 200; i++)); do
		if ! WHY=$( (dd if=/dev/urandom of="$MNT/keys/big$i" bs=1M count=1) 2>&1); then
			[[ $WHY = *"No space left"* ]] || fail "$WHY"
			return 0
		fi
	done
	fail "the disk never got full"
}

writes_again() { (echo again >"$MNT/keys/again") 2>/dev/null && [ "$(cat "$MNT/keys/again")" = again ]; }
deletes() { rm "$MNT/keys/$1" 2>/dev/null || ! [ -e "$MNT/keys/$1" ]; }

@test "on a full disk reading, deleting and compacting work, and so does writing with space again" {
	plain_mount
	echo small >"$MNT/keys/small"
	fill_store
	is "$(cat "$MNT/keys/small")" small
	is "$(field health "$MNT/status")" ok
	# Others may take what was left, too, until nothing is.
	dd if=/dev/zero of="$DISK/filler" bs=64k count=320 2>/dev/null || true
	is "$(cat "$MNT/keys/small")" small
	! (echo more >"$MNT/keys/more") 2>/dev/null || fail "a full disk took a key"
	gone "$MNT/keys/more"
	eventually 20 deletes big0
	eventually 20 deletes big1
	revision >"$MNT/control/compact"
	gone "$MNT/keys/big0"
	is "$(field health "$MNT/status")" ok
	rm "$DISK/filler"
	mount -o remount,size=256m "$DISK"
	eventually 30 writes_again
	unmount_store
	plain_mount
	is "$(cat "$MNT/keys/again")" again
	is "$(cat "$MNT/keys/small")" small
	gone "$MNT/keys/big0"
}

@test "a disk that others fill to the last byte loses nothing, and the next mount works" {
	local i
	plain_mount
	for ((i = 0; i < 50; i++)); do echo $i >"$MNT/keys/k$i"; done
	dd if=/dev/zero of="$DISK/filler" bs=1M count=200 2>/dev/null || true
	dd if=/dev/zero of="$DISK/filler2" bs=4k count=2000 2>/dev/null || true
	for ((i = 0; i < 50; i++)); do is "$(cat "$MNT/keys/k$i")" $i; done
	! (echo more >"$MNT/keys/more") 2>/dev/null || fail "a full disk took a key"
	end_mount
	rm "$DISK"/filler*
	plain_mount
	for ((i = 0; i < 50; i++)); do is "$(cat "$MNT/keys/k$i")" $i; done
	gone "$MNT/keys/more"
	writes_again
}

# A process with limits: what it acknowledges is there afterwards.
limited_mount() {
	local i
	RUNNER="prlimit $*" mount_store || return 1
	for ((i = 0; i < 300; i++)); do
		"$FSOP" open 0 "$MNT/keys/l$i" O_WRONLY,O_CREAT : line 0 $i : close 0 >/dev/null 2>&1 || break
		echo $i
	done >"$BASE/acknowledged"
	end_mount
	plain_mount
	while read -r i; do is "$(cat "$MNT/keys/l$i")" "$i"; done <"$BASE/acknowledged"
	end_mount
}

@test "with few descriptors nothing is lost" { limited_mount --nofile=64:64; }

@test "with files that may not grow nothing acknowledged is lost" {
	limited_mount --fsize=20000:20000
	[ "$(wc -l <"$BASE/acknowledged")" -lt 300 ]
}

@test "with too little address space the mount is refused, or works" {
	case $(sanitizer_library) in ?*) skip "a sanitizer takes more" ;; esac
	limited_mount --as=600000000 || plain_mount
}

# fill_disk BYTES: others take all but so many
fill_disk() {
	local left
	left=$(stat -f -c '%a * %S' "$DISK")
	fallocate -l $((left - $1)) "$DISK/filler"
	sleep 0.1 # free space is looked at now and then
}

@test "a purge without room on the disk says so, and goes on when there is room" {
	local i pid code=0
	plain_mount
	echo a-secret >"$MNT/keys/k"
	for ((i = 0; i < 14; i++)); do
		dd if=/dev/urandom of="$MNT/keys/big$i" bs=1M count=1 2>/dev/null
		: >"$MNT/keys/big$i"
	done
	echo new >"$MNT/keys/k"
	unmount_store
	plain_mount
	fill_disk $((6 << 20))
	"$COMMITFS" purge "$MNT" k >"$BASE/purge" 2>&1 3>&- &
	pid=$!
	eventually 30 grep -q "waiting for room on the disk" "$BASE/purge"
	like "$(cat "$BASE/purge")" "which the mount does not show any more; they are rewritten when 1[0-9] MiB are free, also without this command"
	[ "$(field needed_bytes "$MNT/control/purge")" -gt $((6 << 20)) ]
	is "$(field unreadable "$MNT/control/purge")" 1
	is "$(field running "$MNT/control/purge")" 1
	run cat "$MNT/at/2/k"
	like "$output" "No data available"
	grep -qraF a-secret "$STORE"
	rm "$DISK/filler"
	wait $pid || code=$?
	is $code 0 "$(cat "$BASE/purge")"
	like "$(tail -n 1 "$BASE/purge")" "^commitfs: purged 'k'"
	is "$(field needed_bytes "$MNT/control/purge")" 0
	! grep -qraF a-secret "$STORE" || fail "it is still on the disk"
	is "$(cat "$MNT/keys/k")" new
}
