#!/usr/bin/env bats
# init, mount, umount, status: what they do and how they fail. Every test has a store of its own.

load helpers

setup() {
	base_directory
	DAEMON=
}

teardown() {
	end_processes
	while mounted "$MNT"; do
		fusermount3 -uz "$MNT" 2>/dev/null || umount -l "$MNT" || break
	done
	local pid
	for pid in $DAEMON $(daemons); do
		eventually 10 stopped "$pid" || kill -9 "$pid" 2>/dev/null || true
	done
	if mounted "$BASE/disk"; then umount -l "$BASE/disk"; fi
	check_log
	rm -rf --one-file-system "$BASE"
}

# The daemons of this test: what has its directory on the command line. Each has a guard.
daemons() { processes commitfs; }
no_guards() { [ -z "$(processes commitfs-guard)" ]; }

# processes NAME
processes() {
	local dir name
	for dir in /proc/[0-9]*; do
		[ "$dir/exe" -ef "$COMMITFS" ] || continue
		read -r name 2>/dev/null <"$dir/comm" && [ "$name" = "$1" ] || continue
		if tr '\0' '\n' <"$dir/cmdline" 2>/dev/null | grep -qF "$BASE"; then echo "${dir#/proc/}"; fi
	done
}

own_store() {
	"$COMMITFS" init "$STORE"
	mount_store "$@"
}

# says REGEX...: all of it on stderr, one error to a line
says() {
	local wanted
	for wanted in "$@"; do like "$output" "$wanted"; done
}

# What the daemon may take to be done after an unmount
gone_daemon() { eventually 10 stopped "$DAEMON"; }

@test "init makes a store, mount daemonizes when the mount answers, umount ends it" {
	"$COMMITFS" init "$STORE"
	run -0 timeout 20 "$COMMITFS" mount "$STORE" "$MNT" 3>&-
	# It says who may enter.
	[ -n "$output" ]
	mounted "$MNT"
	is "$(ls -A "$MNT/keys")" ""
	echo v >"$MNT/keys/a"
	run -0 "$COMMITFS" status "$MNT"
	local pids
	pids=$(daemons)
	is "$(wc -w <<<"$pids")" 1
	is "$(processes commitfs-guard | wc -w)" 1
	run -0 "$COMMITFS" umount "$MNT"
	unmounted "$MNT"
	eventually 5 stopped "$pids"
	eventually 5 no_guards
	run -0 timeout 20 "$COMMITFS" mount "$STORE" "$MNT" 3>&-
	is "$(cat "$MNT/keys/a")" v
	"$COMMITFS" umount "$MNT"
}

@test "a new store has no keys, and its revision stays over remounts" {
	own_store
	local before
	before=$(revision)
	unmount_store
	mount_store
	is "$(revision)" "$before"
	is "$(ls -A "$MNT/keys")" ""
	like "$(field health "$MNT/status")" .
	unmount_store
}

@test "everything is there after a remount: values, links, attributes, inode numbers, revision" {
	own_store
	mkdir "$MNT/keys/d"
	echo v >"$MNT/keys/d/a"
	ln -s a "$MNT/keys/d/l"
	chmod 640 "$MNT/keys/d/a"
	chown "$USER_A" "$MNT/keys/d/a"
	touch -d '2001-02-03 04:05:06.123456789 UTC' "$MNT/keys/d/a"
	mkdir "$MNT/keys/empty"
	local before after
	before=$(revision; cd "$MNT/keys" && find . -printf '%P %i %y %m %U %s %T@ %l\n' | sort)
	unmount_store
	mount_store
	after=$(revision; cd "$MNT/keys" && find . -printf '%P %i %y %m %U %s %T@ %l\n' | sort)
	is "$after" "$before"
	is "$(cat "$MNT/keys/d/l")" v
	echo new >"$MNT/keys/new"
	is "$(find "$MNT/keys" -mindepth 1 -printf '%i\n' | sort -u | wc -l)" 5
	unmount_store
}

@test "open transactions do not outlive the mount" {
	own_store
	mkdir "$MNT/txn/t"
	echo v >"$MNT/txn/t/keys/a"
	unmount_store
	mount_store
	gone "$MNT/txn/t"
	gone "$MNT/keys/a"
	unmount_store
}

@test "init refuses a store that is there, and what is not empty" {
	"$COMMITFS" init "$STORE"
	run "$COMMITFS" init "$STORE"
	[ "$status" -ne 0 ]
	says "$STORE"
	mkdir "$BASE/full"
	echo mine >"$BASE/full/mine"
	run "$COMMITFS" init "$BASE/full"
	[ "$status" -ne 0 ]
	says "$BASE/full"
	is "$(ls "$BASE/full")" mine
	run "$COMMITFS" init "$BASE/no/such/parent"
	[ "$status" -ne 0 ]
	says "$BASE/no/such/parent" 'No such file'
	: >"$BASE/file"
	run "$COMMITFS" init "$BASE/file"
	[ "$status" -ne 0 ]
}

@test "init accepts an empty directory" {
	mkdir "$STORE"
	"$COMMITFS" init "$STORE"
	mount_store
	unmount_store
}

@test "a missing store is an error that names init" {
	run -74 "$COMMITFS" mount "$BASE/none" "$MNT"
	says "$BASE/none" init
	unmounted "$MNT"
	[ ! -e "$BASE/none" ]
}

@test "a foreign directory is not mounted and not touched" {
	mkdir "$BASE/foreign"
	echo mine >"$BASE/foreign/file"
	run -74 "$COMMITFS" mount "$BASE/foreign" "$MNT"
	says "$BASE/foreign"
	is "$(ls -A "$BASE/foreign")" file
	mkdir "$BASE/empty"
	run -74 "$COMMITFS" mount "$BASE/empty" "$MNT"
	says "$BASE/empty" init
	is "$(ls -A "$BASE/empty")" ""
	run -74 "$COMMITFS" mount "$BASE/foreign/file" "$MNT"
	says "$BASE/foreign/file"
	unmounted "$MNT"
}

@test "a store that the user may not write is an error, as an ordinary user" {
	"$COMMITFS" init "$STORE"
	chown "$USER_A" "$MNT"
	run as_user "$USER_A" "$COMMITFS" mount "$STORE" "$MNT"
	is "$status" 74
	says "$STORE" '[Pp]ermission denied'
	unmounted "$MNT"
	run as_user "$USER_A" "$COMMITFS" init "$BASE/other"
	[ "$status" -ne 0 ]
	says "$BASE/other" '[Pp]ermission denied'
	# Nothing in the store has changed hands.
	is "$(find "$STORE" -user "$USER_A")" ""
	mount_store
	unmount_store
}

@test "a damaged store is refused with a message, or whole; never half" {
	own_store
	local i
	for i in $(seq 50); do echo "value $i" >"$MNT/keys/k$i"; done
	unmount_store
	local file
	for file in $(find "$STORE" -type f -size +0 -name '*CURRENT*'; find "$STORE" -type f -name 'MANIFEST-*'); do
		cp -a "$STORE" "$BASE/copy"
		printf 'garbage that is no database' | dd of="$file" conv=notrunc bs=1 status=none
		run timeout 20 "$COMMITFS" mount "$STORE" "$MNT" 3>&-
		is "$status" 74 "$file"
		says "$STORE"
		unmounted "$MNT" || fail "mounted with a damaged $file"
		rm -rf "$STORE"
		mv "$BASE/copy" "$STORE"
	done
	mount_store
	is "$(ls "$MNT/keys" | wc -l)" 50
	unmount_store
}

@test "a flipped byte in the write-ahead log does not silently drop acknowledged commits" {
	own_store
	local i log size
	for i in $(seq 100); do echo "value $i" >"$MNT/keys/k$i"; done
	kill -9 "$DAEMON"
	gone_daemon
	umount -l "$MNT"
	log=$(find "$STORE" -name '*.log' -size +0 | sort | tail -n1)
	[ -n "$log" ]
	size=$(log_in_use "$log")
	printf '\377\377\377\377' | dd of="$log" bs=1 seek=$((size / 3)) conv=notrunc status=none
	run timeout 20 "$COMMITFS" mount "$STORE" "$MNT" 3>&-
	if [ "$status" = 0 ]; then
		is "$(ls "$MNT/keys" | wc -l)" 100
		for i in $(seq 100); do is "$(cat "$MNT/keys/k$i")" "value $i"; done
	else
		is "$status" 74
		says "$STORE" 'revision'
	fi
}

@test "a torn end of the write-ahead log loses nothing but what was not acknowledged" {
	own_store
	local i log
	for i in $(seq 20); do echo "value $i" >"$MNT/keys/k$i"; done
	kill -9 "$DAEMON"
	gone_daemon
	umount -l "$MNT"
	log=$(find "$STORE" -name '*.log' -size +0 | sort | tail -n1)
	printf 'half a record' |
		dd of="$log" bs=1 seek="$(log_in_use "$log")" conv=notrunc status=none
	mount_store
	is "$(ls "$MNT/keys" | wc -l)" 20
	unmount_store
}

@test "a missing mount point is an error" {
	"$COMMITFS" init "$STORE"
	run "$COMMITFS" mount "$STORE" "$BASE/nowhere"
	[ "$status" -ne 0 ]
	says "$BASE/nowhere" 'No such file'
	[ ! -e "$BASE/nowhere" ]
	: >"$BASE/file"
	run "$COMMITFS" mount "$STORE" "$BASE/file"
	[ "$status" -ne 0 ]
	says "$BASE/file" '[Nn]ot a directory'
}

@test "a mount point in use is an error and stays what it is" {
	own_store
	"$COMMITFS" init "$BASE/second"
	run "$COMMITFS" mount "$BASE/second" "$MNT"
	[ "$status" -ne 0 ]
	says "$MNT"
	is "$(grep -cF " $MNT " /proc/self/mountinfo)" 1
	echo v >"$MNT/keys/a"
	is "$(cat "$MNT/keys/a")" v
	unmount_store
}

@test "a second mount of the same store is refused with a clear message" {
	own_store
	mkdir "$BASE/other"
	run timeout 20 "$COMMITFS" mount "$STORE" "$BASE/other"
	[ "$status" -ne 0 ]
	says "$STORE" 'mounted|in use|another'
	unmounted "$BASE/other"
	echo v >"$MNT/keys/a"
	unmount_store
	# Afterwards it can be mounted elsewhere.
	MNT=$BASE/other
	mount_store
	is "$(cat "$MNT/keys/a")" v
	unmount_store
}

@test "a dead mount is cleaned up by the next mount" {
	own_store
	echo v >"$MNT/keys/a"
	kill -9 "$DAEMON"
	gone_daemon
	expect ENOTCONN stat "$MNT/keys"
	mount_store
	is "$(cat "$MNT/keys/a")" v
	is "$(grep -cF " $MNT " /proc/self/mountinfo)" 1
	unmount_store
}

@test "a dead mount in which somebody has his working directory is cleaned up too" {
	own_store
	process w
	asked ok w chdir "$MNT/keys"
	kill -9 "$DAEMON"
	gone_daemon
	mount_store
	echo v >"$MNT/keys/a"
	is "$(cat "$MNT/keys/a")" v
	kill_process w
	unmount_store
}

@test "umount of a dead mount works" {
	own_store
	kill -9 "$DAEMON"
	gone_daemon
	run -0 "$COMMITFS" umount "$MNT"
	unmounted "$MNT"
}

@test "umount and status of what is no mount are 69" {
	run -69 "$COMMITFS" umount "$MNT"
	says "$MNT"
	run -69 "$COMMITFS" status "$MNT"
	says "$MNT"
	run -69 "$COMMITFS" umount "$BASE/nowhere"
	run -69 "$COMMITFS" status "$BASE/nowhere"
	run -69 "$COMMITFS" status /proc
	run -69 "$COMMITFS" umount /proc
	mounted /proc
}

@test "umount of a busy mount says so, and works when it is free" {
	own_store
	process w
	asked ok w chdir "$MNT/keys"
	run -1 timeout 10 "$COMMITFS" umount "$MNT"
	is "$output" "commitfs: cannot unmount '$MNT': it is in use: fsop[${PROCESS_PID[w]}] works in $MNT/keys; try again when that is over"
	like "$(cat "$MNT/revision")" '^[0-9]+$'
	asked ok w chdir /
	unmount_store
}

# busy TEXT...: umount exits 1, and says all of these
busy() {
	run -1 timeout 10 "$COMMITFS" umount "$MNT"
	says "cannot unmount '$MNT'" "$@"
}

@test "umount says who uses the mount, and how, whoever it is" {
	local i
	own_store
	echo text >"$MNT/keys/a b"
	process w
	asked ok w open 0 "$MNT/keys/a b" O_RDONLY
	busy "fsop\[${PROCESS_PID[w]}] has $MNT/keys/a b open; try again"
	asked ok w close 0
	# The module mmap would keep a descriptor.
	"$PYTHON" -c '
import ctypes, sys, time
with open(sys.argv[1], "rb") as f:
    ctypes.CDLL(None).mmap(None, ctypes.c_size_t(4), 1, 2, f.fileno(), ctypes.c_long(0))
print("mapped", flush=True)
time.sleep(60)' "$MNT/keys/a b" >"$BASE/mapped" 3>&- &
	MAPPER=$!
	eventually 10 grep -q mapped "$BASE/mapped"
	busy "python3?[^ ]*\[$MAPPER] has a file mapped"
	kill $MAPPER
	wait $MAPPER || true
	cp "$(command -v sleep)" "$MNT/keys/"
	"$MNT/keys/sleep" 60 3>&- &
	MAPPER=$!
	eventually 10 grep -q sleep "/proc/$MAPPER/comm"
	busy "sleep\\[$MAPPER] runs $MNT/keys/sleep; try"
	kill $MAPPER
	wait $MAPPER || true
	for i in 1 2 3 4 5 6 7; do
		process w$i
		asked ok w$i chdir "$MNT"
	done
	busy "works in $MNT; " '; and 2 more; try again'
	for i in 1 2 3 4 5 6 7; do kill_process w$i; done
	# Of a bind mount elsewhere it is no use, and of one there it is none of a process.
	mkdir "$BASE/elsewhere" "$BASE/here"
	mount --bind "$BASE/here" "$MNT/keys"
	busy "in use: something is mounted on $MNT/keys; try"
	umount "$MNT/keys"
	unmount_store
}

@test "umount by a user who may not is 1, and says who may" {
	own_store
	run -1 as_user "$USER_A" "$COMMITFS" umount "$MNT"
	says "user 0 mounted it, and only that user and root may unmount it"
	unmount_store
}

@test "status of a dead mount is 69" {
	own_store
	kill -9 "$DAEMON"
	gone_daemon
	run -69 "$COMMITFS" status "$MNT"
	says "$MNT"
}

@test "bad usage is 64 and says what is wrong" {
	run -64 "$COMMITFS"
	run -64 "$COMMITFS" nonsense
	says nonsense
	run -64 "$COMMITFS" mount
	run -64 "$COMMITFS" mount "$STORE"
	run -64 "$COMMITFS" mount "$STORE" "$MNT" extra
	run -64 "$COMMITFS" mount --nonsense "$STORE" "$MNT"
	says nonsense
	run -64 "$COMMITFS" mount --max-value=lots "$STORE" "$MNT"
	says lots
	run -64 "$COMMITFS" mount --max-value=-1 "$STORE" "$MNT"
	run -64 "$COMMITFS" mount --sync=sometimes "$STORE" "$MNT"
	says sometimes
	run -64 "$COMMITFS" init
	run -64 "$COMMITFS" umount
	run -64 "$COMMITFS" status
	unmounted "$MNT"
}

@test "errors go to stderr, help and version to stdout" {
	run --separate-stderr -64 "$COMMITFS" nonsense
	is "$output" ""
	[ -n "$stderr" ]
	run --separate-stderr -0 "$COMMITFS" help
	says init mount umount status
	is "$stderr" ""
	run --separate-stderr -0 "$COMMITFS" --help
	run --separate-stderr -0 "$COMMITFS" --version
	says '[0-9]+\.[0-9]+'
}

@test "memory: is a store that forgets" {
	STORE=memory:
	mount_store
	local before
	before=$(revision)
	echo v >"$MNT/keys/a"
	mkdir "$MNT/txn/t"
	echo w >"$MNT/txn/t/keys/b"
	echo >"$MNT/txn/t/commit"
	is "$(cat "$MNT/keys/a" "$MNT/keys/b")" $'v\nw'
	unmount_store
	mount_store
	is "$(revision)" "$before"
	is "$(ls "$MNT/keys")" ""
	unmount_store
}

@test "several stores are mounted at once" {
	own_store
	local first=$DAEMON
	mkdir "$BASE/mnt2"
	MNT=$BASE/mnt2 STORE=memory: mount_store
	echo one >"$MNT/keys/a"
	echo two >"$BASE/mnt2/keys/a"
	is "$(cat "$MNT/keys/a")" one
	expect EXDEV rename "$MNT/keys/a" "$BASE/mnt2/keys/b"
	"$COMMITFS" umount "$BASE/mnt2"
	eventually 10 stopped "$DAEMON"
	DAEMON=$first
	unmount_store
}

@test "names with blanks as store and mount point work" {
	mkdir "$BASE/a mount"
	"$COMMITFS" init "$BASE/a store"
	run -0 "$COMMITFS" mount "$BASE/a store" "$BASE/a mount" 3>&-
	echo v >"$BASE/a mount/keys/a"
	run -0 "$COMMITFS" status "$BASE/a mount"
	run -0 "$COMMITFS" umount "$BASE/a mount"
}

@test "relative paths as store and mount point work" {
	cd "$BASE"
	"$COMMITFS" init store
	run -0 "$COMMITFS" mount store mnt 3>&-
	echo v >mnt/keys/a
	run -0 "$COMMITFS" umount mnt
	cd /
}

@test "SIGTERM unmounts and keeps everything acknowledged" {
	own_store
	local i
	for i in $(seq 20); do echo "$i" >"$MNT/keys/k$i"; done
	process w
	asked ok w open 0 "$MNT/keys/half" O_WRONLY,O_CREAT
	asked ok w write 0 half
	mkdir "$MNT/txn/t"
	echo v >"$MNT/txn/t/keys/uncommitted"
	kill -TERM "$DAEMON"
	eventually 10 stopped "$DAEMON"
	unmounted "$MNT"
	kill_process w
	mount_store
	is "$(ls "$MNT/keys" | wc -l)" 20
	gone "$MNT/keys/half"
	unmount_store
}

@test "SIGTERM while clients work ends within seconds" {
	own_store
	mkdir "$MNT/keys/load"
	"$HELPERS/load" write 8 30 "$MNT" load >/dev/null 2>&1 3>&- &
	local load=$!
	sleep 1
	kill -TERM "$DAEMON"
	eventually 10 stopped "$DAEMON"
	kill "$load"
	wait "$load"
	mount_store
	[ "$(ls "$MNT/keys/load" | wc -l)" -gt 0 ]
	unmount_store
}

@test "SIGKILL loses nothing that was acknowledged" {
	own_store
	local i
	for i in $(seq 30); do echo "$i" >"$MNT/keys/k$i"; done
	mkdir "$MNT/txn/t"
	for i in $(seq 30); do echo t >"$MNT/txn/t/keys/t$i"; done
	echo why >"$MNT/txn/t/commit"
	local last
	last=$(revision)
	kill -9 "$DAEMON"
	gone_daemon
	mount_store
	is "$(revision)" "$last"
	is "$(ls "$MNT/keys" | wc -l)" 60
	for i in $(seq 30); do is "$(cat "$MNT/keys/k$i")" "$i"; done
	unmount_store
}

@test "mounted by root every user may enter, with --private only root" {
	own_store
	echo v >"$MNT/keys/a"
	is "$(as_user "$USER_A" cat "$MNT/keys/a")" v
	unmount_store
	mount_store --private
	is "$(cat "$MNT/keys/a")" v
	run -1 as_user "$USER_A" "$FSOP" stat "$MNT/keys/a"
	like "$output" EACCES
	unmount_store
}

@test "the mount has nosuid and nodev" {
	own_store
	like "$(grep -F " $MNT " /proc/self/mountinfo)" nosuid
	like "$(grep -F " $MNT " /proc/self/mountinfo)" nodev
	unmount_store
}

@test "mounted by an ordinary user only that user may enter" {
	# In a mount namespace of its own, with a /dev/fuse that every user may open.
	[ -u "$(command -v fusermount3)" ] || skip "fusermount3 is not setuid"
	mknod -m 666 "$BASE/fuse" c 10 229
	mkdir "$BASE/home" "$BASE/home/mnt"
	chown -R nobody "$BASE/home"
	run -0 unshare -m bash -c '
		mount --bind "$1/fuse" /dev/fuse || exit 10
		user() { setpriv --reuid=nobody --regid=nogroup --clear-groups -- "$@"; }
		user "$2" init "$1/home/store" || exit 11
		user "$2" mount "$1/home/store" "$1/home/mnt" || exit 12
		user sh -c "echo mine >$1/home/mnt/keys/a" || exit 13
		[ "$(user cat "$1/home/mnt/keys/a")" = mine ] || exit 14
		setpriv --reuid=54321 --regid=54321 --clear-groups -- cat "$1/home/mnt/keys/a" && exit 15
		cat "$1/home/mnt/keys/a" && exit 16
		user "$2" umount "$1/home/mnt" || exit 17
		! grep -qF "$1/home/mnt" /proc/self/mountinfo' - "$BASE" "$COMMITFS" 3>&-
}

@test "an idle transaction is over after its time-out and cannot be revived" {
	own_store --txn-timeout=1
	mkdir "$MNT/txn/t"
	echo v >"$MNT/txn/t/keys/a"
	process w
	asked ok w open 0 "$MNT/txn/t/commit" O_WRONLY
	mkdir "$MNT/txn/u"
	echo v >"$MNT/txn/u/keys/a"
	sleep 3
	like "$(cat "$MNT/txn/u/commit")" ^over
	expect ESTALE open 0 "$MNT/txn/u/commit" O_WRONLY : line 0 late
	expect ESTALE open 0 "$MNT/txn/u/keys/b" O_WRONLY,O_CREAT
	expect EEXIST mkdir "$MNT/txn/u"
	expect ok rmdir "$MNT/txn/u"
	gone "$MNT/txn/u"
	# Never while a file is open in it.
	asked ok w line 0 late
	is "$(cat "$MNT/keys/a")" v
	kill_process w
	unmount_store
}

@test "a limit crossed is EDQUOT at the call, and the transaction stays usable" {
	own_store --max-txn-keys=10 --max-txn-size=100K --max-user-txns=4
	local t=$MNT/txn/t i
	mkdir "$t"
	for i in 0 1 2 3 4 5 6 7 8 9; do echo v >"$t/keys/k$i"; done
	expect EDQUOT open 0 "$t/keys/more" O_WRONLY,O_CREAT : write 0 v : close 0
	expect EDQUOT mkdir "$t/keys/d"
	expect EDQUOT symlink x "$t/keys/l"
	like "$(field last_error "$t/status")" .
	rm "$t/keys/k0"
	echo again >"$t/keys/k1"
	echo v >"$t/keys/instead"
	echo fine >"$t/commit"
	is "$(ls "$MNT/keys" | wc -l)" 10
	echo >"$t/restart"
	expect EDQUOT open 0 "$t/keys/big" O_WRONLY,O_CREAT : fill 0 60000 : fill 0 60000
	echo small >"$t/keys/k1"
	echo fine >"$t/commit"
	is "$(cat "$MNT/keys/k1")" small
	mkdir "$MNT/txn/u" "$MNT/txn/v" "$MNT/txn/w"
	expect EDQUOT mkdir "$MNT/txn/x"
	expect EDQUOT open 0 "$MNT/txn/new" O_RDONLY : read 0
	as_user "$USER_A" "$FSOP" mkdir "$MNT/txn/x"
	rmdir "$MNT/txn/u"
	expect ok mkdir "$MNT/txn/y"
	unmount_store
}

# store_on_disk SIZE: on a file system of that size
store_on_disk() {
	mkdir "$BASE/disk"
	mount -t tmpfs -o "size=$1" none "$BASE/disk"
	STORE=$BASE/disk/store
	own_store
}

# fill_disk: keys of 1 MB until one is refused; COUNT were not, CODE is the refusal
fill_disk() {
	for ((COUNT = 0; COUNT < 300; COUNT++)); do
		CODE=$("$FSOP" open 0 "$MNT/keys/big$COUNT" O_WRONLY,O_CREAT : fill 0 1000000 : \
			fsync 0 : close 0 2>/dev/null) || return 0
	done
	fail "the disk did not get full"
}

@test "a full disk is ENOSPC, reads go on, and it works again when there is space" {
	store_on_disk 200m
	echo small >"$MNT/keys/small"
	head -c 80000000 /dev/zero >"$BASE/disk/ballast"
	fill_disk
	is "$CODE" ENOSPC
	[ "$COUNT" -gt 5 ]
	# Nothing acknowledged is lost, reading goes on, the mount lives.
	is "$(cat "$MNT/keys/small")" small
	is "$(find "$MNT/keys" -name 'big*' -size 1000000c | wc -l)" "$COUNT"
	running "$DAEMON"
	mkdir "$MNT/txn/t"
	expect ok open 0 "$MNT/txn/t/keys/more" O_WRONLY,O_CREAT : fill 0 12000000 : close 0
	expect ENOSPC open 0 "$MNT/txn/t/commit" O_WRONLY : line 0 why
	gone "$MNT/keys/more"
	like "$(field last_error "$MNT/txn/t/status")" space
	rm "$BASE/disk/ballast"
	eventually 20 "$FSOP" open 0 "$MNT/txn/t/commit" O_WRONLY : line 0 why 2>/dev/null
	expect 12000000 stat "$MNT/keys/more" size
	echo again >"$MNT/keys/again"
	is "$(cat "$MNT/keys/again")" again
	unmount_store
	mount_store
	is "$(cat "$MNT/keys/small" "$MNT/keys/again")" $'small\nagain'
	is "$(find "$MNT/keys" -name 'big*' -size 1000000c | wc -l)" "$COUNT"
	unmount_store
}

@test "a disk that others filled to the last byte is ENOSPC and does not end the mount" {
	store_on_disk 160m
	local i
	for i in $(seq 20); do echo "$i" >"$MNT/keys/k$i"; done
	cat /dev/zero >"$BASE/disk/ballast" 2>/dev/null || true
	expect ENOSPC open 0 "$MNT/keys/new" O_WRONLY,O_CREAT : fill 0 100000 : close 0
	expect ENOSPC open 0 "$MNT/keys/k1" O_WRONLY,O_TRUNC : fill 0 100000 : close 0
	running "$DAEMON"
	for i in $(seq 20); do is "$(cat "$MNT/keys/k$i")" "$i"; done
	gone "$MNT/keys/new"
	rm "$BASE/disk/ballast"
	eventually 20 "$FSOP" open 0 "$MNT/keys/new" O_WRONLY,O_CREAT : fill 0 100000 : close 0
	unmount_store
	mount_store
	is "$(find "$MNT/keys" -type f | wc -l)" 21
	unmount_store
}

@test "a disk that gets full while clients write loses nothing acknowledged" {
	store_on_disk 160m
	mkdir "$MNT/keys/load"
	"$HELPERS/load" write 4 3 "$MNT" load >/dev/null 2>&1 3>&- &
	PROCESS_PID[load]=$!
	sleep 0.5
	cat /dev/zero >"$BASE/disk/ballast" 2>/dev/null || true
	echo said >"$MNT/keys/said" 2>/dev/null && touch "$BASE/said" || true
	sleep 0.5
	rm "$BASE/disk/ballast"
	wait "${PROCESS_PID[load]}"
	eventually 20 "$FSOP" open 0 "$MNT/keys/after" O_WRONLY,O_CREAT : write 0 v : close 0
	running "$DAEMON"
	unmount_store
	mount_store
	is "$(cat "$MNT/keys/after")" v
	[ ! -e "$BASE/said" ] || is "$(cat "$MNT/keys/said")" said
	is "$(cat "$MNT/keys/load/"* | sort -u)" value
	unmount_store
}

@test "deleting works on a full disk" {
	store_on_disk 96m
	fill_disk
	is "$CODE" ENOSPC
	[ "$COUNT" -gt 5 ]
	expect ok unlink "$MNT/keys/big0"
	gone "$MNT/keys/big0"
	mkdir "$MNT/txn/t"
	rm "$MNT/txn/t/keys/big1" "$MNT/txn/t/keys/big2"
	echo 'make room' >"$MNT/txn/t/commit"
	gone "$MNT/keys/big2"
	unmount_store
}

# As a thread of it does that hangs: another process has its descriptor of /dev/fuse.
@test "who waits for a daemon that is killed is told, though its connection stays open" {
	local point="$BASE/a mount"
	mkdir "$point"
	"$COMMITFS" mount memory: "$point" >/dev/null 3>&-
	run "$PYTHON" - "$point" "$(field pid "$point/status")" <<-'END'
		import ctypes, os, subprocess, sys
		point, pid = sys.argv[1], int(sys.argv[2])
		pidfd_getfd = lambda fd: ctypes.CDLL(None).syscall(438, os.pidfd_open(pid), int(fd), 0)
		links = "/proc/%d/fd/" % pid
		held = [pidfd_getfd(fd) for fd in os.listdir(links) if os.readlink(links + fd) == "/dev/fuse"]
		assert held and min(held) >= 0, held
		os.kill(pid, 9)
		waiting = subprocess.Popen(["cat", point + "/revision"], stderr=subprocess.DEVNULL)
		try:
		    waiting.wait(20)
		finally:
		    for fd in held: os.close(fd)
	END
	umount -l "$point"
	is "$status" 0
}

@test "a restore during which the daemon dies says that the mount is gone" {
	local status=0
	own_store
	"$COMMITFS" run "$MNT" -c 'seq 3000 | xargs touch' >/dev/null
	"$COMMITFS" run "$MNT" -c 'seq 3000 | xargs rm' >/dev/null
	"$COMMITFS" restore "$MNT" 2 >/dev/null 2>"$BASE/errors" 3>&- &
	PROCESS_PID[restore]=$!
	eventually 10 sh -c 'grep -q "^writes [1-9]" "$1"/txn/*/status' - "$MNT" 2>/dev/null
	kill -9 "$DAEMON"
	wait "${PROCESS_PID[restore]}" || status=$?
	is $status 69
	like "$(cat "$BASE/errors")" "cannot restore '.*: '[0-9]*': "
}
