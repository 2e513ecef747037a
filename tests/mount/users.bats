#!/usr/bin/env bats
# Several users: what each may do, whose rights count, and when.
# shellcheck disable=SC2030,SC2031 # every test is a process of its own

load helpers

GROUP_S=54310

setup_file() {
	mount_own_store --sync=none
	cp "$HELPERS/users" "$BASE/users"
	mkdir -m 1777 "$BASE/sockets"
}
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

# as_member COMMAND...: USER_A, in the group S
as_member() { setpriv --reuid="$USER_A" --regid="$USER_A" --groups="$GROUP_S" -- "$@"; }

# last_uid: of the newest commit
last_uid() { tail -n 1 "$MNT/log" | cut -f 4; }

# ---- What each user may do with each file

@test "every user, every file, every call: on a mount of root" {
	run -0 "$BASE/users" "$BATS_TEST_DIRNAME/users.table" "$MNT" MKGOR
	like "$output" '^1[0-9]{4} cells checked, 0 wrong$'
}

@test "every user, every file, every call: on a mount of an ordinary user" {
	# In a mount namespace of its own, with a /dev/fuse that every user may open, and a
	# fuse.conf that lets users let others in.
	[ -u "$(command -v fusermount3)" ] || skip "fusermount3 is not setuid"
	mknod -m 666 "$BASE/fuse" c 10 229
	echo user_allow_other >"$BASE/fuse.conf"
	mkdir "$BASE/home" "$BASE/home/mnt"
	chown -R nobody "$BASE/home"
	run -0 unshare -m bash -c '
		mount --bind "$1/fuse" /dev/fuse || exit 10
		mount --bind "$1/fuse.conf" /etc/fuse.conf || exit 10
		user() { setpriv --reuid=nobody --regid=65534 --clear-groups -- "$@"; }
		user "$2" init "$1/home/store" || exit 11
		user "$2" mount --sync=none -o allow_other "$1/home/store" "$1/home/mnt" || exit 12
		"$1/users" "$3" "$1/home/mnt" MKGOR
		status=$?
		user "$2" umount "$1/home/mnt" || exit 13
		exit $status' - "$BASE" "$COMMITFS" "$BATS_TEST_DIRNAME/users.table" 3>&-
	like "$output" '1[0-9]{4} cells checked, 0 wrong'
}

@test "names of transactions are told, who may enter is their owner and root" {
	as_user "$USER_A" mkdir "$MNT/txn/$D.user"
	as_user "$USER_A" sh -c 'echo secret >"$1/keys/none"; exit 0' - "$MNT/txn/$D.user" 2>/dev/null
	is "$(as_user "$USER_B" ls "$MNT/txn" | grep -cx "$D.user")" 1
	run ! as_user "$USER_B" ls "$MNT/txn/$D.user"
	like "$(cat "$MNT/txn/$D.user/status")" "uid[[:space:]]+$USER_A"
}

@test "new keys take the caller's user and umask, and its group or that of a setgid parent" {
	mkdir -m 777 "$K/plain"
	mkdir "$K/shared"
	chgrp "$GROUP_S" "$K/shared"
	chmod 2777 "$K/shared"
	as_user "$USER_A" sh -c 'umask 027; echo v >"$1/plain/f"; mkdir "$1/plain/d"
		echo v >"$1/shared/f"; mkdir "$1/shared/d"; ln -s x "$1/shared/l"' - "$K"
	expect "0640 $USER_A $USER_A" stat "$K/plain/f" mode,uid,gid
	expect "0750 $USER_A $USER_A" stat "$K/plain/d" mode,uid,gid
	expect "0640 $USER_A $GROUP_S" stat "$K/shared/f" mode,uid,gid
	expect "2750 $USER_A $GROUP_S" stat "$K/shared/d" mode,uid,gid
	expect "$USER_A $GROUP_S" lstat "$K/shared/l" uid,gid
	# And in a transaction, whoever commits it.
	as_user "$USER_A" mkdir "$MNT/txn/$D.user"
	as_user "$USER_A" sh -c 'umask 077; echo v >"$1/shared/t"; mkdir "$1/shared/td"' - \
		"$MNT/txn/$D.user/keys/$D"
	commit ok "$MNT/txn/$D.user"
	expect "0600 $USER_A $GROUP_S" stat "$K/shared/t" mode,uid,gid
	expect "2700 $USER_A $GROUP_S" stat "$K/shared/td" mode,uid,gid
}

# ---- Permissions at the revision of a commit

# attempt RUNNER ISOLATION PREPARE WRITE REVOKE: what the commit of WRITE answers, when root
# has done REVOKE since; all work in a directory of their own. S is that of the transaction.
attempt() {
	local runner=$1
	S=$MNT/txn/$D.attempt
	(umask 022 && rm -rf "$K/s" && mkdir "$K/s" && cd "$K/s" && mkdir -m 777 all && eval "$3")
	$runner mkdir "$S"
	# shellcheck disable=SC2016 # for the shell that is run
	$runner sh -ec 'echo "$1" >"$2/isolation"; cd "$2/keys/$3/s"; : >all/too; eval "$4"' - \
		"$2" "$S" "$D" "$4"
	(cd "$K/s" && eval "$5")
	$runner "$FSOP" open 0 "$S/commit" O_WRONLY : line 0 why 2>/dev/null || true
}

# revoked RUNNER ISOLATION PREPARE WRITE REVOKE KEY: EACCES, told, and nothing is applied; it
# is not for another reason, since without REVOKE it commits
revoked() {
	local key=$6
	like "$(attempt "$1" "$2" "$3" "$4" :)" 'ok$' || fail "without '$5'"
	there "$K/s/all/too"
	rmdir "$MNT/txn/$D.attempt"
	like "$(attempt "$1" "$2" "$3" "$4" "$5")" 'EACCES$' || fail "after '$5'"
	S=$MNT/txn/$D.attempt
	[ -n "$(lines "$S/conflicts" access "$D/s/$key")" ] ||
		fail "no line for $key: $(cat "$S/conflicts")"
	like "$(cat "$S/commit")" '^conflict'
	gone "$K/s/all/too"
	rmdir "$S"
}

@test "the right to write a key was taken away: EACCES, nothing applied" {
	local user="as_user $USER_A"
	revoked "$user" serializable 'echo v >f; chmod 666 f' 'echo w >f' 'chmod 644 f' f
	revoked "$user" serializable "echo v >f; chown $USER_A f" 'echo w >f' 'chown 0 f' f
	revoked "$user" serializable "echo v >f; chown $USER_A f" 'echo w >f' 'chmod 0 f' f
	revoked "$user" serializable "echo v >f; chown $USER_A f" '"$FSOP" chmod f 600' 'chown 0 f' f
	revoked "$user" serializable "echo v >f; chown $USER_A f" '"$FSOP" utimens f 1' 'chown 0 f' f
	is "$(cat "$K/s/f")" v
}

@test "the right to search a directory was taken away: EACCES, nothing applied" {
	local user="as_user $USER_A"
	revoked "$user" snapshot 'mkdir d; echo v >d/f; chmod 666 d/f' 'echo w >d/f' 'chmod 700 d' d/f
	revoked "$user" snapshot 'mkdir -p d/e; echo v >d/e/f; chmod 666 d/e/f' 'echo w >d/e/f' \
		'chmod 750 d' d/e/f
	revoked "$user" snapshot 'mkdir -p d/e; chmod 777 d/e' 'mkdir d/e/n' 'chmod 644 d' d/e/n
	revoked "$user" snapshot "mkdir -p d/e; chmod 777 d/e; chown $USER_A d" 'ln -s x d/e/n' \
		'chmod 700 d; chown 0 d' d/e/n
}

@test "the right to write a directory was taken away: EACCES, nothing applied" {
	local user="as_user $USER_A"
	revoked "$user" snapshot 'mkdir -m 777 d' 'echo v >d/n' 'chmod 755 d' d/n
	revoked "$user" snapshot 'mkdir -m 777 d' 'mkdir d/n' 'chmod 755 d' d/n
	revoked "$user" snapshot 'mkdir -m 777 d' 'ln -s x d/n' 'chmod 1755 d' d/n
	revoked "$user" snapshot 'mkdir -m 777 d; echo v >d/f' 'rm -f d/f' 'chmod 755 d' d/f
	revoked "$user" snapshot 'mkdir -m 777 d; mkdir d/e' 'rmdir d/e' 'chmod 755 d' d/e
	revoked "$user" snapshot 'mkdir -m 777 d; echo v >d/f' 'mv d/f all/f' 'chmod 755 d' d/f
	revoked "$user" snapshot 'mkdir -m 777 d; echo v >all/f' 'mv all/f d/f' 'chmod 755 d' d/f
	revoked "$user" snapshot "mkdir d; chown $USER_A d" 'echo v >d/n' 'chown 0 d' d/n
}

@test "a directory became sticky: what is another's stays" {
	local user="as_user $USER_A"
	revoked "$user" snapshot 'mkdir -m 777 d; echo v >d/f' 'rm -f d/f' 'chmod 1777 d' d/f
	revoked "$user" snapshot 'mkdir -m 777 d; echo v >d/f' 'mv d/f d/g' 'chmod 1777 d' d/f
	# One's own may go.
	is "$(attempt "$user" snapshot "mkdir -m 777 d; echo v >d/f; chown $USER_A d/f" 'rm d/f' \
		'chmod 1777 d')" ok
	gone "$K/s/d/f"
	rmdir "$MNT/txn/$D.attempt"
}

@test "rights of a group count, and their loss does, too" {
	revoked as_member serializable "echo v >f; chgrp $GROUP_S f; chmod 660 f" 'echo w >f' \
		'chgrp 0 f' f
	revoked as_member serializable "echo v >f; chgrp $GROUP_S f; chmod 660 f" 'echo w >f' \
		'chmod 640 f' f
	revoked as_member snapshot "mkdir d; chgrp $GROUP_S d; chmod 770 d" 'echo w >d/n' \
		'chmod 750 d' d/n
	# Exactly one class counts: the owner's, which has no right.
	revoked as_member serializable "echo v >f; chgrp $GROUP_S f; chmod 660 f" 'echo w >f' \
		"chown $USER_A f; chmod 060 f" f
}

@test "after a permission was given again a restart commits" {
	local user="as_user $USER_A"
	is "$(attempt "$user" snapshot 'mkdir -m 777 d' 'echo v >d/n' 'chmod 755 d')" EACCES
	S=$MNT/txn/$D.attempt
	chmod 777 "$K/s/d"
	run ! as_user "$USER_A" sh -c 'echo again >"$1/commit"' - "$S" # the result sticks
	as_user "$USER_A" sh -c 'echo >"$1/restart"; echo v >"$1/keys/$2/s/d/n"
		echo again >"$1/commit"' - "$S" "$D"
	is "$(cat "$K/s/d/n")" v
	rmdir "$S"
}

@test "a right given since the begin counts as well" {
	is "$(attempt "as_user $USER_A" snapshot "echo v >f; chown $USER_A f" \
		'chmod 400 f; chmod 600 f; echo w >f' :)" ok
	rmdir "$MNT/txn/$D.attempt"
	is "$(cat "$K/s/f")" w
}

@test "a file of the live tree that is open stays writable, as on any file system" {
	echo v >"$K/f"
	chmod 666 "$K/f"
	process a as_user "$USER_A"
	asked ok a open 0 "$K/f" O_WRONLY,O_TRUNC
	asked ok a write 0 w
	chmod 600 "$K/f"
	asked ok a fsync 0
	is "$(cat "$K/f")" w
	asked EACCES a open 1 "$K/f" O_WRONLY
}

# ---- Open files that are passed on: who opened counts

# pass FROM TO SLOT: over a socket
pass() {
	local socket=$BASE/sockets/$D.$RANDOM
	tell "$1" offer "$3" "$socket"
	asked ok "$2" fetch "$3" "$socket"
	is "$(answer "$1")" ok
}

two_users() {
	process a as_user "$USER_A"
	process b as_user "$USER_B"
}

@test "a commit file that is passed on commits with the rights of who began" {
	two_users
	mkdir -m 700 "$K/a"
	chown "$USER_A" "$K/a"
	local t=$MNT/txn/$D.user
	asked ok a mkdir "$t"
	asked ok a open 1 "$t/keys/$D/a/k" O_WRONLY,O_CREAT
	asked ok a write 1 v
	asked ok a close 1
	asked ok a open 0 "$t/commit" O_RDWR
	pass a b 0
	asked ok b line 0 'by b'
	is "$(cat "$K/a/k")" v
	expect "$USER_A" stat "$K/a/k" uid
	is "$(last_uid)" "$USER_A"
	like "$(ask b pread 0 0 20)" '^committed'
	# It is one way in, and no other.
	asked EACCES b open 1 "$t/status" O_RDONLY
	asked EACCES b list "$t"
}

@test "the directory of a transaction that is passed on lets nobody in" {
	two_users
	asked ok a mkdir "$MNT/txn/$D.user"
	asked ok a open 0 "$MNT/txn/$D.user" O_RDONLY,O_DIRECTORY
	pass a b 0
	asked EACCES b openat 1 0 status O_RDONLY
	asked EACCES b openat 1 0 keys O_RDONLY
	asked EACCES b openat 1 0 commit O_WRONLY
	asked EACCES b openat 1 0 . O_RDONLY
	asked ok a openat 1 0 status O_RDONLY
}

@test "restart and the words of a transaction work through what was passed on" {
	two_users
	local t=$MNT/txn/$D.user
	asked ok a mkdir "$t"
	asked ok a open 0 "$t/restart" O_WRONLY
	asked ok a open 2 "$t/isolation" O_WRONLY
	pass a b 0
	pass a b 2
	asked ok b line 2 serializable
	asked ok b line 0 x
	is "$(field isolation "$t/status")" serializable
	is "$(field uid "$t/status")" "$USER_A"
}

@test "eval that is passed on has the rights of who opened it, whoever writes" {
	two_users
	process r
	mkdir -m 700 "$K/a" "$K/r"
	chown "$USER_A" "$K/a"
	asked ok a open 0 "$MNT/eval" O_RDWR
	asked ok r open 1 "$MNT/eval" O_RDWR
	pass a r 0
	pass a b 0
	pass r b 1
	asked ok r write 0 "put $D/r/k v"
	like "$(ask r pread 0 0 1000)" '^ERROR .*[Pp]ermission'
	asked ok b write 0 "put $D/a/k v"
	like "$(ask b pread 0 0 1000)" '^SUCCESS'
	expect "$USER_A" stat "$K/a/k" uid
	is "$(last_uid)" "$USER_A"
	asked ok b write 1 "put $D/r/k v"
	like "$(ask b pread 1 0 1000)" '^SUCCESS'
	expect 0 stat "$K/r/k" uid
	is "$(last_uid)" 0
}

@test "an open key that is passed on commits as who opened it, also after that one closed" {
	two_users
	mkdir -m 711 "$K/a"
	chown "$USER_A" "$K/a"
	asked ok a open 0 "$K/a/f" O_RDWR,O_CREAT 600
	pass a b 0
	asked ok b write 0 one
	asked ok a close 0
	asked ok b fsync 0
	is "$(cat "$K/a/f")" one
	is "$(last_uid)" "$USER_A"
	asked ok b write 0 two
	asked ok b close 0
	eventually 5 holds "$K/a/f" onetwo
	is "$(last_uid)" "$USER_A"
	expect "$USER_A" stat "$K/a/f" uid
	asked EACCES b open 1 "$K/a/f" O_RDONLY
	# Attributes are the caller's to set or not, as on any file system.
	asked ok a open 0 "$K/a/f" O_RDWR
	pass a b 0
	asked EPERM b fchmod 0 666
	asked ok b ftruncate 0 3
	asked ok b close 0
	asked ok a close 0
	eventually 5 holds "$K/a/f" one
}

@test "a key of a view that is passed on is written for its transaction" {
	two_users
	mkdir -m 700 "$K/a"
	chown "$USER_A" "$K/a"
	local t=$MNT/txn/$D.user
	asked ok a mkdir "$t"
	asked ok a open 0 "$t/keys/$D/a/f" O_RDWR,O_CREAT
	pass a b 0
	asked ok b write 0 one
	asked ok a close 0
	asked ok b write 0 two
	asked ok b close 0
	commit ok "$t"
	is "$(cat "$K/a/f")" onetwo
	expect "$USER_A" stat "$K/a/f" uid
}

@test "new is read by who opened it: what was passed on begins nothing for another" {
	two_users
	asked ok a open 0 "$MNT/txn/new" O_RDONLY
	pass a b 0
	local before
	before=$(field transactions "$MNT/status")
	asked EACCES b read 0 100
	is "$(field transactions "$MNT/status")" "$before"
	like "$(ask a read 0 100)" '^new-'
}

@test "what only the owner of the mount may open works for whom it was passed to" {
	process r
	process b as_user "$USER_B"
	local r
	r=$(revision)
	asked ok r open 0 "$MNT/control/compact" O_RDWR
	asked ok r open 1 "$MNT/log" O_RDONLY
	asked ok r open 2 "$MNT/watch" O_RDWR
	asked ok r open 3 "$MNT/control/history" O_RDWR
	pass r b 0
	pass r b 1
	pass r b 2
	pass r b 3
	like "$(ask b read 1 10)" .
	asked ok b line 2 "$D 1"
	like "$(ask b read 2 10)" 'mkdir'
	asked ok b line 3 "$D"
	like "$(ask b pread 3 0 100)" "$r"
	asked EINVAL b line 0 nonsense
	asked EACCES b open 4 "$MNT/control/compact" O_RDWR
	asked EACCES b open 4 "$MNT/log" O_RDONLY
}

# ---- Programs: with the caller's rights, and no more

# denied PROGRAM: a refusal for want of permission, which tells no value, and changes nothing
denied() {
	local before
	before=$(revision)
	run -64 as_user "$USER_A" "$COMMITFS" eval "$MNT" <<<"$1"
	like "$output" '^ERROR [0-9]+:[0-9]+ .*[Pp]ermission'
	[[ $output != *hidden-text* ]] || fail "it tells a value: $output"
	is "$(revision)" "$before" "$1"
}

allowed() {
	run as_user "$USER_A" "$COMMITFS" eval "$MNT" <<<"$1"
	like "$output" '^(SUCCESS|FAILURE)' || fail "$1: $output"
}

@test "programs: reading needs the right to read, and to search every directory" {
	mkdir -m 711 "$K/x"
	mkdir -m 700 "$K/p"
	mkdir -m 755 "$K/open"
	mkdir -m 700 "$K/open/in"
	echo hidden-text >"$K/secret"
	echo hidden-text >"$K/x/k"
	echo hidden-text >"$K/p/k"
	echo hidden-text >"$K/open/in/k"
	chmod 600 "$K/secret" "$K/x/k"
	local op key
	for key in secret x/k p/k p/absent open/in/k; do
		for op in get 'get --prefix'; do denied "$op $D/$key"; done
		denied "value($D/$key) = \"hidden-text\"
then"
	done
	for key in "$D/x" "$D/p" "$D/open" "$D"; do
		denied "get $key --prefix"
		denied "get $key --prefix --count-only"
		denied "get $key --prefix --keys-only"
		denied "get $key --prefix --limit 1000"
		denied "version(prefix(\"$key/\")) > 0
then"
	done
	# What stat and meta/ tell to whoever may search, compares tell, too.
	allowed "version($D/secret) = 1
then"
	allowed "mod($D/x/k) > 0
then"
	allowed "exists($D/x/k)
then"
	denied "version($D/p/k) = 1
then"
	denied "exists($D/p/k)
then"
	denied "missing($D/p/absent)
then"
}

@test "programs: writing needs the rights that a write through the mount needs" {
	chmod 755 "$K"
	mkdir -m 777 "$K/all" "$K/all/d"
	mkdir -m 1777 "$K/sticky"
	mkdir -m 755 "$K/closed"
	local name op
	for name in all/f all/d/f sticky/f closed/f; do
		echo 1 >"$K/$name"
		chmod 644 "$K/$name"
	done
	echo 1 >"$K/closed/w"
	echo 1 >"$K/all/wo"
	chmod 666 "$K/closed/w"
	chmod 622 "$K/all/wo"
	for op in 'put %s 2' 'append %s x' 'add %s 1' 'max %s 3' 'min %s 0'; do
		# shellcheck disable=SC2059
		for name in all/f sticky/f closed/f closed/new; do
			denied "$(printf "$op" "$D/$name")"
		done
	done
	denied "del $D/sticky/f"
	denied "del $D/closed/f"
	denied "del $D/closed --prefix"
	denied "del $D/sticky --prefix"
	denied "put $D/closed/deep/er/new v"
	# What a write-only key holds is not told, by none of the ways.
	allowed "put $D/all/wo hidden-text"
	denied "put $D/all/wo x --prev-kv"
	denied "del $D/all/wo --prev-kv"
	denied "del $D/all --prefix --prev-kv"
	denied "get $D/all/wo"
	denied "add $D/all/wo 1"
	# One that is refused undoes those before it, and nested ones count.
	denied "put $D/all/new v
put $D/closed/new v"
	denied "put $D/all/new v
txn {

put $D/closed/new v

}"
	gone "$K/all/new"
	allowed "put $D/closed/w 2"
	denied "del $D/all --prefix"
	allowed "del $D/all/d --prefix"
	gone "$K/all/d"
}
