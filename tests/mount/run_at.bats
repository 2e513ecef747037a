#!/usr/bin/env bats
# commitfs run --at: programs that know one path, and nothing of transactions, as transactions.
# shellcheck disable=SC2016,SC2030,SC2031,SC2164 # scripts expand by themselves; bats stops at errors

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() {
	own_directory
	cd "$BATS_TEST_TMPDIR"
	mkdir etc
	DIR=$PWD/etc
	echo 0 >runs
}
teardown() {
	end_processes
	cd /
}

# ends STATUS ARG...: commitfs run ARG... ends so; its stderr is in $errors
ends() {
	local wanted=$1 got=0
	shift
	"$COMMITFS" run "$@" >output 2>errors </dev/null 3>&- || got=$?
	errors=$(cat errors)
	[ $got = "$wanted" ] || fail "expected exit status $wanted, got $got: $*: $errors"
}

# at ARG...: on this test's part of the store, shown at $DIR
at() { ends 0 -v --at "$DIR" --path "$D" "$MNT" -- "$@"; }

needs_user_namespaces() {
	as_user "$USER_A" unshare --user --mount true 2>/dev/null || skip "no user namespaces for users"
}

# What the command sees

@test "the directory is the view for the command, and is what it was for all others" {
	echo old >"$K/a"
	echo below >etc/below
	at sh -c 'ls "$1"; cat "$1/a"; echo new >"$1/a"; cat "$2/a"; ! cat "$3/below" 2>&1' - "$DIR" "$K" etc
	is "$(cat output)" "a"$'\nold\nold\n'"cat: etc/below: No such file or directory"
	is "$(cat "$K/a")" new
	is "$(ls etc)" below
	! grep -q " $DIR " /proc/self/mountinfo || fail "the mount came out"
}

@test "others see nothing of it while the command runs, neither the mount nor what it writes" {
	echo old >"$K/a"
	"$COMMITFS" run --at "$DIR" --path "$D" "$MNT" -- sh -c '
		echo new >"$1/a"; echo >ready; while [ ! -e go ]; do sleep 0.05; done' - "$DIR" 3>&- &
	PROCESS_PID[at]=$!
	eventually 10 test -e ready
	is "$(cat "$K/a")" old
	is "$(ls -A etc)" ""
	! grep -q " $DIR " /proc/self/mountinfo || fail "the mount came out"
	echo >go
	wait "${PROCESS_PID[at]}"
	is "$(cat "$K/a")" new
}

@test "without --path it is the whole view" {
	echo 1 >"$K/a"
	ends 0 --at etc "$MNT" -- cp "etc/$D/a" "etc/$D/b"
	is "$(cat "$K/b")" 1
}

@test "with --at, the working directory of -C, {} and COMMITFS_KEYS are the directory" {
	at sh -c 'echo "$1 $COMMITFS_KEYS"; cut -c 1-4 "$COMMITFS_TXN/commit"; pwd' - '{}'
	is "$(cat output)" "$DIR $DIR"$'\nopen\n'"$PWD"
	ends 0 -C --at etc --path "$D" "$MNT" -- pwd
	is "$(cat output)" "$DIR"
	ends 0 --at etc --path "$D" "$MNT" -c 'pwd; echo 1 >a'
	is "$(cat output)" "$DIR"
	is "$(cat "$K/a")" 1
}

@test "who stands in the directory stands in the view" {
	mkdir -p etc/sub "$K/sub"
	(cd etc/sub && "$COMMITFS" run --at "$DIR" --path "$D" "$MNT" -- sh -c 'echo 1 >a; pwd' 3>&-) >where
	is "$(cat where)" "$DIR/sub"
	is "$(cat "$K/sub/a")" 1
	rmdir "$K/sub" 2>/dev/null || rm -r "$K/sub"
	cd etc/sub
	run -126 "$COMMITFS" run --at "$DIR" --path "$D" "$MNT" -- true 3>&-
	like "$output" "cannot run 'true' in '$DIR/sub': No such file or directory"
}

@test "the keys of the mount themselves may be where the view is shown" {
	echo 1 >"$K/a"
	ends 0 --at "$MNT/keys" "$MNT" -- sh -c 'echo 2 >"$1/a"; echo 3 >"$1/b"' - "$K"
	is "$(cat "$K/a" "$K/b")" $'2\n3'
}

@test "a program is found and run in what it is shown" {
	printf '#!/bin/sh\necho I am "$0"\n' >"$K/tool"
	chmod 755 "$K/tool"
	at "$DIR/tool"
	is "$(cat output)" "I am $DIR/tool"
}

@test "nothing of it is left: the mount can be unmounted at once" {
	local mnt=$PWD/mnt
	mkdir mnt
	"$COMMITFS" mount memory: mnt 3>&- >/dev/null
	ends 0 --at etc mnt -- sh -c 'echo 1 >etc/a'
	is "$(cat mnt/keys/a)" 1
	timeout 20 "$COMMITFS" umount mnt
	unmounted "$mnt"
}

# Programs that know nothing of it

@test "ex and sed -i edit a file in place: one revision" {
	printf 'port 8080\nhost a\n' >"$K/app.conf"
	needs ex
	grows 1 at ex -sc '%s/8080/9090/|wq' "$DIR/app.conf"
	is "$(cat "$K/app.conf")" $'port 9090\nhost a'
	grows 1 at sed -i 's/host a/host b/' "$DIR/app.conf"
	is "$(cat "$K/app.conf")" $'port 9090\nhost b'
	is "$(ls -A "$K")" app.conf
}

@test "make install puts all of a program there at once, or nothing" {
	needs make
	mkdir src
	echo one >src/one
	echo two >src/two
	printf 'DESTDIR =\ninstall:\n\tinstall -d $(DESTDIR)/conf.d\n\tinstall -m 640 one $(DESTDIR)/conf.d/\n' >src/Makefile
	printf '\tinstall -m 600 two $(DESTDIR)/conf.d/\n\t$(LAST)\n' >>src/Makefile
	ends 2 --at "$DIR" --path "$D" "$MNT" -- make -s -C src install DESTDIR="$DIR" LAST=false
	is "$(ls "$K")" ""
	grows 1 at make -s -C src install DESTDIR="$DIR" LAST=true
	is "$(cat "$K/conf.d/one" "$K/conf.d/two")" $'one\ntwo'
	is "$(stat -c %a "$K/conf.d/one" "$K/conf.d/two")" $'640\n600'
	is "$(ls etc)" ""
}

# In a mount namespace of the test's own /etc is empty but for what the script knows.
@test "a script that works on /etc/NAME is isolated, validated, and run again on a conflict" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	mkdir "$K/conf"
	echo 41 >"$K/conf/count"
	cat >script <<-'END'
		#!/bin/sh -eu
		n=$(cat /etc/counter/conf/count)
		echo $(($(cat runs) + 1)) >runs
		[ "$(cat runs)" -gt 1 ] || echo 99 >"$LIVE/conf/count"
		echo $((n + 1)) >/etc/counter/conf/count
		echo "was $n" >/etc/counter/conf/last
	END
	chmod 755 script
	LIVE=$K unshare --mount bash -c 'mount -t tmpfs none /etc && mkdir /etc/counter && exec "$@"' - \
		"$COMMITFS" run --at /etc/counter --path "$D" "$MNT" -- ./script 2>errors 3>&- </dev/null
	is "$(cat runs)" 2
	is "$(cat "$K/conf/count")" 100
	is "$(cat "$K/conf/last")" "was 99"
	like "$(cat errors)" "first value $D/conf/count: seen at revision .*running it again"
	[ ! -e /etc/counter ]
}

@test "after the last retry nothing is there, and the exit status is 75" {
	echo 0 >"$K/a"
	ends 75 --retries=1 --at etc --path "$D" "$MNT" -- sh -c '
		cat etc/a; echo other >"$1/a"; echo mine >etc/a' - "$K"
	is "$(cat "$K/a")" other
}

# Ordinary users

@test "an ordinary user has it by a user namespace, and is who he was" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	needs_user_namespaces
	chmod 777 "$K"
	as_user "$USER_A" "$COMMITFS" run --at "$BASE" --path "$D" "$MNT" -- sh -c \
		'id -u; id -g; echo 1 >"$1/a"; ! chown 0 "$1/a" 2>/dev/null' - "$BASE" >output 3>&- </dev/null
	is "$(cat output)" "$USER_A"$'\n'"$USER_A"
	is "$(stat -c %u:%g "$K/a")" "$USER_A:$USER_A"
}

@test "an ordinary user cannot write there what he cannot write elsewhere" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	needs_user_namespaces
	echo 1 >"$K/a"
	run ! as_user "$USER_A" "$COMMITFS" run --at "$BASE" --path "$D" "$MNT" -- \
		sh -c 'echo 2 >"$1/a"' - "$BASE" 3>&-
	like "$output" "Permission denied"
	is "$(cat "$K/a")" 1
}

@test "where no namespace is to be had, it says what root has to set" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	# A user whose namespaces are limited to none, and who may not mount.
	unshare --user --map-root-user true 2>/dev/null || skip "no user namespaces"
	run -126 unshare --user --map-root-user bash -c '
		echo 0 >/proc/sys/user/max_user_namespaces
		exec setpriv --bounding-set=-all --inh-caps=-all "$@"' - \
		"$COMMITFS" run --at "$DIR" --path "$D" "$MNT" -- touch ran 3>&-
	like "$output" "cannot show the transaction at '$DIR': no mount namespace can be made"
	like "$output" "root can change that: sysctl user.max_user_namespaces=[0-9]+"
	[ ! -e ran ]
}

# Words

@test "a directory that cannot be one is refused with 64, before anything runs" {
	touch file
	ends 64 --at nosuch "$MNT" -- touch ran
	like "$errors" "^commitfs: cannot show a transaction at 'nosuch': No such file.*; make it with: mkdir -p nosuch"
	ends 64 --at file "$MNT" -- touch ran
	like "$errors" "cannot show a transaction at 'file': Not a directory"
	ends 64 --at / "$MNT" -- touch ran
	like "$errors" "cannot show a transaction at '/': "
	ends 64 --path "$D" "$MNT" -- touch ran
	like "$errors" "--path=$D: it goes with --at=DIR"
	[ ! -e ran ]
}

@test "a key that is no directory of the view is refused, and the command is not run" {
	echo 1 >"$K/value"
	ln -s / "$K/out"
	ends 126 --at etc --path "$D/nosuch" "$MNT" -- touch ran
	like "$errors" "cannot show '$D/nosuch' at '$DIR': there is no such key; make the directory MNT/keys/$D/nosuch first"
	ends 126 --at etc --path "$D/value" "$MNT" -- touch ran
	like "$errors" "cannot show '$D/value' at '$DIR': Not a directory"
	ends 126 --at etc --path "$D/out" "$MNT" -- touch ran
	like "$errors" "cannot show '$D/out' at '$DIR': it leads out of the transaction's view"
	ends 126 --at etc --path "../../.." "$MNT" -- touch ran
	ends 126 --at etc --path "/etc" "$MNT" -- touch ran
	[ ! -e ran ]
	! compgen -G "$MNT/txn/new-*" >/dev/null || fail "a transaction is left"
}
