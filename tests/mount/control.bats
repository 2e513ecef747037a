#!/usr/bin/env bats
# The control files of the mount.

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

@test "README is one screen of text about this mount" {
	[ "$(wc -l <"$MNT/README")" -ge 20 ]
	[ "$(wc -l <"$MNT/README")" -le 40 ]
	[ "$(wc -L <"$MNT/README")" -le 80 ]
	expect_any "EACCES EROFS EPERM" setuid "$USER_A" : open 0 "$MNT/README" O_WRONLY
}

# Each command is typed as it stands, in a shell that stays, on a store that is empty.
@test "what README tells to type works on an empty store" {
	local mnt=$BATS_TEST_TMPDIR/mnt
	mkdir "$mnt" "$BATS_TEST_TMPDIR/bin" "$BATS_TEST_TMPDIR/app"
	ln -s "$COMMITFS" "$BATS_TEST_TMPDIR/bin/commitfs"
	"$COMMITFS" mount memory: "$mnt" 3>&- >/dev/null
	awk '/^What else/ { exit } /^  / && !/restart|rebase/' "$mnt/README" |
		sed "s#/etc/app#$BATS_TEST_TMPDIR/app#; s#make install#touch $BATS_TEST_TMPDIR/app/new#" \
			>"$BATS_TEST_TMPDIR/typed"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/typed")" -ge 11 ]
	(cd "$mnt" && PATH=$BATS_TEST_TMPDIR/bin:$PATH EDITOR='sed -i s/8/9/' \
		bash -e "$BATS_TEST_TMPDIR/typed" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&-)
	is "$(cat "$BATS_TEST_TMPDIR/out")" "$(printf '%s\n' 8080 keys/app/host:localhost \
		keys/app/port:8081 'committed 4' 'commitfs: committed 7')"
	is "$(cat "$mnt/keys/app/port")" 9082
	is "$(cat "$mnt/at/4/app/port")" 8081
	[ -e "$mnt/keys/app/new" ]
	"$COMMITFS" umount "$mnt"
}

@test "revision is one number and grows" {
	local before
	like "$(cat "$MNT/revision")" '^[0-9]+$'
	is "$(wc -l <"$MNT/revision")" 1
	before=$(revision)
	echo v >"$K/a"
	is "$(revision)" $((before + 1))
}

@test "a shell reads revision without a fork" {
	local r
	read -r r <"$MNT/revision"
	is "$r" "$(revision)"
}

@test "poll on revision waits and wakes when it grows" {
	process p
	asked ok p open 0 "$MNT/revision" O_RDONLY
	ask p read 0 >/dev/null
	asked nothing p poll 0 300
	tell p poll 0 10000
	sleep 0.3
	echo v >"$K/a"
	SECONDS=0
	is "$(answer p)" ready
	[ $SECONDS -le 2 ]
	asked "$(revision)\\n" p pread 0 0 100
	asked nothing p poll 0 300
	begin
	echo v >"$V/b"
	asked nothing p poll 0 300
	tell p poll 0 10000
	sleep 0.2
	commit ok "$T"
	is "$(answer p)" ready
}

@test "poll tells at once what grew since the last reading" {
	process p
	asked ok p open 0 "$MNT/revision" O_RDONLY
	ask p read 0 >/dev/null
	echo v >"$K/a"
	asked ready p poll 0 5000
}

@test "several waiters all wake" {
	local i
	for i in 1 2 3 4 5; do
		process "p$i"
		asked ok "p$i" open 0 "$MNT/revision" O_RDONLY
		ask "p$i" read 0 >/dev/null
		tell "p$i" poll 0 10000
	done
	sleep 0.3
	echo v >"$K/a"
	for i in 1 2 3 4 5; do is "$(answer "p$i")" ready; done
}

@test "status tells health, revisions, counts and limits, one name and value a line" {
	local name
	for name in health revision oldest_revision; do
		grep -qE "^$name " "$MNT/status" || fail "no $name"
	done
	is "$(field revision "$MNT/status")" "$(revision)"
	is "$(grep -cvE '^[a-z0-9_]+( .*)?$' "$MNT/status" || true)" 0
	is "$(cut -d' ' -f1 "$MNT/status" | sort | uniq -d)" ""
	# The limits, in bytes and counts.
	local limit
	for limit in 16777216 1000000 268435456 1024 1073741824 4000000 65536; do
		grep -qE " $limit$" "$MNT/status" || fail "the limit $limit is not told"
	done
}

@test "commitfs status prints the status of the mount" {
	is "$("$COMMITFS" status "$MNT" | awk '$1 == "revision" { print $2 }')" "$(revision)"
}

@test "the root of the mount lists what the contract says, in the order of bytes" {
	local names name
	names=$("$FSOP" list "$MNT")
	for name in README keys txn revision status control; do
		like " $names " " $name "
	done
	is "$(tr ' ' '\n' <<<"$names")" "$(tr ' ' '\n' <<<"$names" | LC_ALL=C sort)"
}

@test "txn lists new and self, and the transactions" {
	begin
	local names
	names=" $("$FSOP" list "$MNT/txn") "
	like "$names" ' new '
	like "$names" ' self '
	like "$names" " $D "
}

@test "the permissions of control files say what may be done" {
	begin
	is "$(stat -c %a "$T")" 700
	local name
	for name in README revision status; do
		is $((0$(stat -c %a "$MNT/$name") & 0222)) 0 "$name"
		as_user "$USER_A" cat "$MNT/$name" >/dev/null
	done
	for name in status reads writes conflicts; do
		is $((0$(stat -c %a "$T/$name") & 0222)) 0 "$name"
	done
	for name in commit restart message isolation; do
		[ $((0$(stat -c %a "$T/$name") & 0200)) -ne 0 ] || fail "$name"
		is "$(stat -c %u "$T/$name")" 0
	done
	as_user "$USER_A" cat "$MNT/txn/new" >/dev/null
	is "$(stat -c %F "$MNT/txn/self")" "symbolic link"
}

@test "control files are regular files that can be read to their end, in pieces of any size" {
	begin
	local name
	for name in README revision status; do
		[ -f "$MNT/$name" ]
		[ -n "$(cat "$MNT/$name")" ]
		[ -n "$(dd if="$MNT/$name" bs=1 status=none)" ]
		is "$(tail -c 1 "$MNT/$name" | od -An -tx1 | tr -d ' ')" 0a "$name"
	done
	is "$(dd if="$MNT/README" bs=7 status=none)" "$(cat "$MNT/README")"
}

@test "a handle reads one text, though things change meanwhile" {
	process r
	asked ok r open 0 "$MNT/revision" O_RDONLY
	local before
	before=$(revision)
	asked "${before:0:1}" r read 0 1
	echo v >"$K/a"
	asked "${before:1}\\n" r read 0 100
}

@test "nothing can be made, removed or renamed among the control files" {
	expect_any "EPERM EACCES EROFS" mkdir "$MNT/dir"
	expect_any "EPERM EACCES EROFS" open 0 "$MNT/file" O_WRONLY,O_CREAT
	expect_any "EPERM EACCES EROFS" unlink "$MNT/README"
	expect_any "EPERM EACCES EROFS EBUSY" rmdir "$MNT/keys"
	expect_any "EPERM EACCES EROFS EXDEV" rename "$MNT/README" "$MNT/other"
	expect_any "EPERM EACCES EROFS EXDEV" rename "$MNT/README" "$K/other"
	expect_any "EPERM EACCES EROFS EXDEV" rename "$K" "$MNT/other"
	expect_any "EPERM EACCES EROFS" symlink x "$MNT/link"
	expect_any "EPERM EACCES EROFS" unlink "$MNT/txn/new"
	expect_any "EPERM EACCES EROFS" unlink "$MNT/txn/self"
	expect_any "EPERM EACCES EROFS" chmod "$MNT/status" 777
	expect_any "EPERM EACCES EROFS EXDEV" link "$MNT/README" "$K/readme"
	there "$MNT/README"
	there "$MNT/txn/new"
	there "$K"
}

@test "what is absent in the root is ENOENT" {
	expect ENOENT stat "$MNT/nothing"
	expect ENOENT open 0 "$MNT/txn/nothing/commit" O_WRONLY
	expect ENOENT rmdir "$MNT/txn/nothing"
	begin
	expect ENOENT stat "$T/nothing"
}

@test "restart takes any text, and an unknown word elsewhere is EINVAL with last_error" {
	begin
	echo v >"$V/a"
	expect ok open 0 "$T/restart" O_WRONLY : line 0 anything
	gone "$V/a"
	expect EINVAL open 0 "$T/isolation" O_WRONLY : line 0 'read committed'
	like "$(field last_error "$T/status")" .
	is "$(grep -c . "$T/status")" "$(wc -l <"$T/status")"
}

# said FILE TEXT: last_error of what was tried there, and what it says to do
said() { like "$(field last_error "$T/status")" "^$1: .*$2"; }

@test "each refusal leaves a line in last_error that says what is the matter and what to do" {
	local control
	begin
	control="open 0 $T" # two words before the name
	expect EINVAL $control/isolation O_WRONLY : line 0 nonsense
	said isolation 'nonsense; expected serializable-snapshot, serializable or snapshot'
	expect EINVAL $control/timeout O_WRONLY : line 0 0
	said timeout 'expected seconds, from 1 on, or max'
	expect EFBIG $control/message O_WRONLY : fill 0 5000 x
	said message 'the 4096 bytes of --max-message'
	expect EFBIG $control/commit O_WRONLY : fill 0 5000 x
	said commit 'the 4096 bytes of --max-message'
	echo 1 >"$V/a"
	expect EBUSY $control/isolation O_WRONLY : line 0 snapshot
	said isolation 'to begin again: echo > restart'
	echo 2 >"$K/a"
	commit ECANCELED "$T"
	said commit 'nothing was applied, see conflicts'
	expect ECANCELED mkdir "$V/d"
	said 'write refused' 'a conflict, see conflicts; to begin again: echo > restart'
	expect EBUSY $control/message O_WRONLY : line 0 x
	said message 'to begin again: echo > restart'
	expect EBUSY $control/isolation O_WRONLY : line 0 snapshot
	said isolation 'to begin again: echo > restart'
	expect ok $control/restart O_WRONLY : line 0 x
	commit ok "$T"
	expect ESTALE mkdir "$V/d"
	said 'write refused' 'committed; to begin another: echo > restart'
	expect ESTALE $control/rebase O_WRONLY : line 0 x
	said rebase 'committed; to begin another: echo > restart'
}

@test "keys/ holds nothing but keys" {
	is "$(ls -A "$K")" ""
	begin
	is "$(ls -A "$V")" ""
	is "$(ls -A "$T/keys")" "$(ls -A "$MNT/keys")"
}

@test "grep -r and find over the whole mount end" {
	echo needle >"$K/a"
	begin
	timeout 20 grep -rl needle "$MNT/keys" "$T" | grep -q "$K/a"
	timeout 20 find "$MNT" >/dev/null
}
