#!/usr/bin/env bats
# Undo, compare, forget: commitfs diff, restore, revert, purge (contract section 7).

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

# same DIR DIR: names, values, types, modes, owners and, but of directories, times
same() {
	diff -r --no-dereference "$1" "$2"
	diff <(described "$1") <(described "$2")
}
described() {
	(cd "$1" && find . \( -type d -printf '%p %y %m %U:%G\n' \) -o -printf '%p %y %m %U:%G %T@ %l\n' | sort)
}

make_tree() {
	mkdir -p "$K/d/e" "$K/empty"; echo one >"$K/d/a"; echo two >"$K/d/e/b"; ln -s d/a "$K/l"
	printf '\0\1\2' >"$K/bin"; chmod 640 "$K/d/a"; chmod 2750 "$K/d/e"; chown $USER_A:$USER_B "$K/d/e/b"
	touch -d 2021-01-01T00:00:00Z "$K/bin"
}

change_tree() {
	echo ONE >"$K/d/a"; rm -r "$K/d/e"; mkdir "$K/d/new"; echo n >"$K/d/new/n"; rm "$K/l"; mkdir "$K/l"
	echo x >"$K/l/x"; rmdir "$K/empty"; echo file >"$K/empty"; chmod 755 "$K/d"; chmod 600 "$K/bin"
}

@test "restore makes a tree exactly what it was, in one commit" {
	make_tree; r=$(revision); change_tree; changed=$(revision)
	grows 1 "$COMMITFS" restore "$MNT" "$r" "$D"
	same "$MNT/at/$r/$D" "$K"
	is "$(tail -1 "$MNT/log" | cut -f 8)" "restore to $r: $D"
	grows 0 run -0 "$COMMITFS" restore "$MNT" "$r" "$D"
	is "$("$COMMITFS" restore "$MNT" "$r" "$D")" \
		"commitfs: there is nothing to change: no commit was made"
	# It can be undone like any other.
	"$COMMITFS" revert "$MNT" "$(revision)"
	same "$MNT/at/$changed/$D" "$K"
}

@test "restore of single keys leaves the others, makes the directories they need, removes what was not there" {
	make_tree; r=$(revision); change_tree
	grows 1 "$COMMITFS" restore "$MNT" "$r" "$D/d/e/b" "$D/l" "$D/d/new"
	is "$(cat "$K/d/e/b") $(stat -c %u:%g "$K/d/e/b") $(stat -c %a "$K/d/e")" "two $USER_A:$USER_B 2750"
	is "$(readlink "$K/l")" d/a
	expect ENOENT stat "$K/d/new"
	is "$(cat "$K/d/a") $(cat "$K/empty")" "ONE file"
}

@test "restore takes a time, a name of a snapshot, and the whole tree" {
	echo 1 >"$K/a"; mkdir "$MNT/at/$D"; sleep 0.01; t=$(date -u +%FT%T.%NZ); sleep 0.01
	echo 2 >"$K/a"
	"$COMMITFS" restore "$MNT" "$t" "$D/a"; is "$(cat "$K/a")" 1
	echo 3 >"$K/a"; mkdir "$K/x"
	"$COMMITFS" restore "$MNT" "$D"; is "$(cat "$K/a")" 1
	expect ENOENT stat "$K/x"
	diff -r "$MNT/at/$D" "$MNT/keys"
	rmdir "$MNT/at/$D"
}

@test "restore refuses what is not there, and changes nothing then" {
	echo 1 >"$K/a"; r=$(revision); echo 2 >"$K/a"
	grows 0 run -1 "$COMMITFS" restore "$MNT" "$r" "$D/a" "$D/nothing"
	is "$(cat "$K/a")" 2
	run -1 "$COMMITFS" restore "$MNT" 999999
	like "$output" 'no such revision'
	run -64 "$COMMITFS" restore "$MNT"
	run -69 "$COMMITFS" restore / 1
}

@test "restore needs the rights of whoever runs it" {
	chmod 755 "$K"; echo 1 >"$K/a"; r=$(revision); echo 2 >"$K/a"
	grows 0 run -1 as_user $USER_A "$COMMITFS" restore "$MNT" "$r" "$D/a"
	is "$output" "commitfs: cannot restore '$MNT' to $r: '$D/a': Permission denied"
	is "$(cat "$K/a")" 2
	chown $USER_A "$K/a"
}

@test "revert undoes one commit of many keys, whatever was done to them" {
	make_tree; before=$(revision)
	begin
	(cd "$V"; echo ONE >d/a; chmod 777 d; rm -r d/e; mkdir -p n/m; echo x >n/m/x; mv bin bin2; rm l; echo f >l)
	commit ok "$T" 'a large change'; rmdir "$T"; r=$(revision)
	echo other >"$K/other"
	grows 1 "$COMMITFS" revert "$MNT" "$r"
	is "$(cat "$K/other")" other
	rm "$K/other"
	same "$MNT/at/$before/$D" "$K"
	is "$(tail -2 "$MNT/log" | head -1 | cut -f 8)" "revert revision $r"
}

@test "revert of what later commits touched is refused with the conflicts and 75, unless --force" {
	echo 1 >"$K/a"; echo 1 >"$K/b"
	begin; echo 2 >"$V/a"; echo 2 >"$V/b"; mkdir "$V/d"; commit ok "$T"; rmdir "$T"; r=$(revision)
	echo 3 >"$K/b"
	grows 0 run -75 "$COMMITFS" revert "$MNT" "$r"
	like "$output" "$D/b	changed at revision $((r + 1)) by [^ ]+, bash"
	like "$output" '1 of its keys changed since'
	is "$(cat "$K/a" "$K/b")" $'2\n3'
	grows 1 "$COMMITFS" revert --force "$MNT" "$r"
	is "$(cat "$K/a" "$K/b")" $'1\n1'
	expect ENOENT stat "$K/d"
}

@test "revert of a removal brings it back, unless the name is taken; of a directory in use is refused" {
	echo 1 >"$K/a"; rm "$K/a"; r=$(revision)
	"$COMMITFS" revert "$MNT" "$r"
	is "$(cat "$K/a")" 1
	rm "$K/a"; r=$(revision); echo another >"$K/a"
	run -75 "$COMMITFS" revert "$MNT" "$r"
	is "$(cat "$K/a")" another
	mkdir "$K/d"; r=$(revision); echo 1 >"$K/d/x"
	run -75 "$COMMITFS" revert "$MNT" "$r"
	like "$output" 'is not empty'
	is "$(cat "$K/d/x")" 1
}

@test "revert tells what it cannot: compacted, not reached, no number" {
	echo 1 >"$K/a"; echo 2 >"$K/a"; r=$(revision)
	"$COMMITFS" compact "$MNT" "$r"
	run -1 "$COMMITFS" revert "$MNT" "$r"
	like "$output" 'compacted'
	run -1 "$COMMITFS" revert "$MNT" $((r + 1))
	run -64 "$COMMITFS" revert "$MNT" x
	run -64 "$COMMITFS" revert "$MNT" 0
}

@test "diff of two revisions: texts, sizes of others, modes, owners, links, directories" {
	make_tree; a=$(revision); change_tree; chown $USER_A "$K/d/a"; printf '\0' >"$K/bin"; b=$(revision)
	run -0 "$COMMITFS" diff "$MNT" "$a" "$b" "$D"
	like "$output" "--- at/$a/$D/d/a
\+\+\+ at/$b/$D/d/a
@@ -1 \+1 @@
-one
\+ONE"
	like "$output" "--- at/$a/$D/bin
\+\+\+ at/$b/$D/bin
binary: 3 -> 1 bytes"
	like "$output" "--- at/$a/$D/bin
\+\+\+ at/$b/$D/bin
-mode 0644
\+mode 0600"
	like "$output" "-owner 0:0
\+owner $USER_A:0"
	like "$output" "--- at/$a/$D/l
\+\+\+ at/$b/$D/l
-link d/a
\+directory"
	like "$output" "--- at/$a/$D/d/e
\+\+\+ /dev/null
-directory"
	is "$("$COMMITFS" diff "$MNT" "$a" "$a")" ""
	is "$("$COMMITFS" diff "$MNT" "$a" "$b" "$D/d/e/b" | head -2 | cut -d' ' -f2)" "at/$a/$D/d/e/b
/dev/null"
	# What it says of texts, patch(1) would understand.
	is "$("$COMMITFS" diff "$MNT" "$a" "$b" "$D/d/a" | grep -c '^@@')" 1
}

@test "diff of a transaction shows what it would change, and records nothing" {
	make_tree; begin
	(cd "$V"; echo ONE >d/a; rm -r d/e; mkdir n; echo x >n/x; ln -s y n/l)
	reads=$(cat "$T/reads")
	run -0 "$COMMITFS" diff "$MNT" "txn/$D"
	is "$(cat "$T/reads")" "$reads"
	like "$output" "-one
\+ONE"
	like "$output" "\+\+\+ txn/$D/keys/$D/n/x
@@ -0,0 \+1 @@
\+x"
	like "$output" "\+link y"
	like "$output" "--- txn/$D/base/$D/d/e
\+\+\+ /dev/null
-directory"
	rmdir "$T"
	begin; echo v >"$V/new"; "$FSOP" chmod "$V/d/a" 777
	reads=$(cat "$T/reads")
	run -0 "$COMMITFS" diff "$MNT" "txn/$D"
	is "$(cat "$T/reads")" "$reads"
	like "$output" "-mode 0640
\+mode 0777"
	run -1 "$COMMITFS" diff "$MNT" txn/nothing
	like "$output" "'txn/nothing' changes: there is no such transaction; those there are: ls $MNT/txn"
	run -64 "$COMMITFS" diff "$MNT" nothing
	run -1 "$COMMITFS" diff "$MNT" 1 999999
}

@test "purge takes what a key was out of history and off the disk; what it is stays" {
	echo "the-s3cret-$D-value" >"$K/pw"; r=$(revision)
	begin; echo "a second s3cret-$D" >"$V/pw"; commit ok "$T" "a second s3cret-$D"; rmdir "$T"
	echo "changed $D" >"$K/pw"; mkdir "$K/keep"
	like "$(cat "$MNT/at/$r/$D/pw")" s3cret
	"$COMMITFS" purge "$MNT" "$D/pw"
	like "$(cat "$MNT/at/$r/$D/pw" 2>&1)" "No data available"
	# Not as if it had been empty: the value of now would be lost.
	run -1 "$COMMITFS" restore "$MNT" $r "$D/pw"
	like "$output" "its value of then was purged"
	like "$("$COMMITFS" diff "$MNT" $r $((r + 2)) "$D/pw")" "purged: the value is forgotten"
	is "$(cat "$K/pw")" "changed $D"
	run -1 grep -q "s3cret-$D" "$MNT/log"
	unmount_store
	run -1 grep -rlaE "s3cret-$D" "$STORE"
	mount_store
	is "$(cat "$K/pw")" "changed $D"
	run -1 cat "$MNT/at/$r/$D/pw"
	is "$output" "cat: $MNT/at/$r/$D/pw: No data available"
	run -1 "$COMMITFS" purge "$MNT" "$D/nothing"
	run -64 "$COMMITFS" purge "$MNT" "$D/keep"
	is "$output" "commitfs: cannot purge '$D/keep': it is a directory, which has no value; name the keys below it: ls $MNT/keys/$D/keep"
	run -64 "$COMMITFS" purge "$MNT" "$D//pw"
	is "$output" "commitfs: cannot purge '$D//pw': expected a key, such as app/port: its path below keys/"
	run -1 as_user $USER_A "$COMMITFS" purge "$MNT" "$D/pw"
	is "$output" "commitfs: cannot purge '$D/pw': Permission denied: that is for the owner of the mount"
}

@test "purge ends when it is done, not when something else is" {
	local purge status=0
	echo "the-s3cret-$D-value" >"$K/pw"; echo changed >"$K/pw"
	begin
	cat "$V/pw" >/dev/null
	"$COMMITFS" purge "$MNT" "$D/pw" >"$BASE/purge" 2>&1 3>&- &
	purge=$!
	eventually 20 grep -q "waiting for what can still see it: [1-9]" "$BASE/purge"
	timeout 60 "$COMMITFS" compact "$MNT" "$(revision)"
	timeout 60 "$COMMITFS" compact "$MNT" "$(revision)"
	sleep 0.5
	running $purge || fail "it said: $(cat "$BASE/purge")"
	is "$(field running "$MNT/control/purge")" 1
	rmdir "$T"
	wait $purge || status=$?
	is "$status" 0
	like "$(tail -n 1 "$BASE/purge")" "^commitfs: purged '$D/pw'"
	run -1 grep -rlaE "s3cret-$D" "$STORE"
}
