#!/usr/bin/env bats
# Everyday programs, on keys/ and in a transaction.

load helpers

setup_file() {
	mount_own_store
	# A small source tree with what makes copies differ: modes, times, links, depth, names.
	local tree=$BASE/tree i
	mkdir -p "$tree/src/deep/er" "$tree/empty"
	for i in 1 2 3 4 5 6 7 8; do seq $((i * 400)) >"$tree/src/f$i.txt"; done
	printf '#!/bin/sh\necho ran\n' >"$tree/src/run"
	chmod 755 "$tree/src/run"
	: >"$tree/src/deep/zero"
	head -c 300000 /dev/urandom >"$tree/src/deep/er/binary"
	echo odd >"$tree/src/ a name"
	ln -s ../src/run "$tree/empty/link"
	chmod 700 "$tree/empty"
	chmod 400 "$tree/src/f1.txt"
	find "$tree" -exec touch -h -d @1000000000 {} +
	for i in 1 2 3 4 5 6 7 8; do touch -d "@$((1000000000 + i)).$i" "$tree/src/f$i.txt"; done
}
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

# both FUNCTION: in keys/, then in a transaction, which is then committed. The function
# works in the directory it is given.
both() {
	"$@" "$K" || fail "in keys/: $*"
	rm -rf "$K"
	mkdir "$K"
	begin
	"$@" "$V" || fail "in a transaction: $*"
	is "$(ls -A "$K")" ""
	diff -r --no-dereference "$V" "$K" >/dev/null && fail "no difference before the commit"
	commit ok "$T"
	diff -r --no-dereference "$V" "$K"
}

# metadata DIR: what cp -a and rsync -a keep
metadata() {
	(cd "$1" && find . -mindepth 1 \( -type d -printf '%p %y %m %U %G\n' -o \
		-printf '%p %y %m %U %G %s %T@ %l\n' \) | sort)
}

same_tree() {
	diff -r --no-dereference "$1" "$2" && diff <(metadata "$1") <(metadata "$2")
}

copy_with_cp() { cp -a "$BASE/tree/." "$1/" && same_tree "$BASE/tree" "$1"; }

@test "cp -a keeps content, modes, owners, times and links" {
	both copy_with_cp
	same_tree "$BASE/tree" "$K"
}

copy_with_rsync() {
	rsync -a "$BASE/tree/" "$1/" && same_tree "$BASE/tree" "$1" &&
		[ -z "$(rsync -a --itemize-changes "$BASE/tree/" "$1/" | grep '^>f')" ] &&
		echo more >>"$1/src/f3.txt" && rm "$1/src/f4.txt" && echo x >"$1/extra" &&
		rsync -a --delete "$BASE/tree/" "$1/" && same_tree "$BASE/tree" "$1"
}

@test "rsync -a copies, finds nothing to do, and mends differences" {
	both copy_with_rsync
	same_tree "$BASE/tree" "$K"
}

extract_with_tar() {
	tar -C "$BASE/tree" --format=posix -cf - . | tar -C "$1" -xpf - && same_tree "$BASE/tree" "$1" &&
		tar -C "$1" -cf - . | tar -df - -C "$BASE/tree"
}

@test "tar x unpacks and tar c packs the same again" {
	both extract_with_tar
	same_tree "$BASE/tree" "$K"
}

edit_with_sed() {
	printf 'one\ntwo\nthree\n' >"$1/a" && chmod 640 "$1/a" &&
		sed -i 's/two/2/' "$1/a" && [ "$(cat "$1/a")" = $'one\n2\nthree' ] &&
		[ "$(stat -c %a "$1/a")" = 640 ] &&
		sed -i.bak '/one/d' "$1/a" && [ "$(cat "$1/a")" = $'2\nthree' ] &&
		[ "$(wc -l <"$1/a.bak")" = 3 ] && [ "$(ls -A "$1" | wc -l)" = 2 ]
}

@test "sed -i edits in place" {
	both edit_with_sed
}

use_git() {
	cd "$1" && git init -q . && git config user.email t@example.org && git config user.name t &&
		cp -r "$BASE/tree/src" . && git add . && git commit -q -m first &&
		echo more >>src/f2.txt && git rm -q src/f5.txt && git mv src/f6.txt src/six &&
		git commit -q -a -m second && git fsck --strict 2>&1 &&
		[ -z "$(git status --porcelain)" ] && [ "$(git log --oneline | wc -l)" = 2 ] &&
		git checkout -q HEAD~1 && [ -e src/f5.txt ] && git checkout -q - && git gc -q &&
		git fsck --strict 2>&1 && [ -z "$(git status --porcelain)" ]
	local result=$?
	cd /
	return $result
}

@test "git init, add, commit, checkout, gc and fsck work" {
	both use_git
	git -C "$K" fsck --strict
	git -C "$K" status --porcelain
}

@test "git clone into keys and out of it" {
	git init -q "$BASE/repository"
	cp -r "$BASE/tree/src" "$BASE/repository/"
	git -C "$BASE/repository" add .
	git -C "$BASE/repository" -c user.email=t@example.org -c user.name=t commit -q -m first
	git clone -q --no-hardlinks "$BASE/repository" "$K/clone"
	git -C "$K/clone" fsck --strict
	git clone -q --no-hardlinks "$K/clone" "$BASE/back"
	diff -r "$BASE/repository/src" "$BASE/back/src"
}

@test "diff -r between a view and the live tree tells the truth" {
	cp -a "$BASE/tree/src" "$K/src"
	begin
	diff -r "$V" "$K"
	echo changed >"$V/src/f2.txt"
	rm "$V/src/f3.txt"
	echo new >"$V/src/new"
	run diff -rq "$V" "$K"
	is "$status" 1
	is "${#lines[@]}" 3
	like "$output" "Files $V/src/f2.txt and $K/src/f2.txt differ"
	like "$output" "Only in $K/src: f3.txt"
	like "$output" "Only in $V/src: new"
	echo changed >"$K/src/f7.txt"
	run diff -rq "$V" "$K"
	is "${#lines[@]}" 4
	# A change of the same length, which only the content shows.
	echo -n 1234 >"$K/same"
	begin 2
	echo -n 1243 >"$V_2/same"
	run diff "$V_2/same" "$K/same"
	is "$status" 1
	run cmp "$V_2/same" "$K/same"
	is "$status" 1
}

@test "cp from the live tree into a view of the same key sees two files" {
	echo live >"$K/a"
	begin
	echo view >"$V/a"
	cp "$K/a" "$V/a"
	is "$(cat "$V/a")" live
	echo again >"$V/a"
	mv "$V/a" "$K/b"
	is "$(cat "$K/b")" again
}

@test "of 16 processes that take a lock with set -C one wins" {
	local round i pids
	for round in 1 2 3 4 5; do
		pids=()
		for ((i = 0; i < 16; i++)); do
			bash -c 'set -C; echo $$ 2>/dev/null >"$1/lock" && echo $$ >>"$2"' - \
				"$K" "$BATS_TEST_TMPDIR/won$round" 2>/dev/null 3>&- &
			pids+=($!)
		done
		for i in "${pids[@]}"; do wait "$i" || true; done
		is "$(wc -l <"$BATS_TEST_TMPDIR/won$round")" 1
		is "$(cat "$K/lock")" "$(cat "$BATS_TEST_TMPDIR/won$round")"
		rm "$K/lock"
	done
}

@test "of 16 processes that mkdir a name one wins" {
	local round i pids
	for round in 1 2 3 4 5; do
		pids=()
		for ((i = 0; i < 16; i++)); do
			sh -c 'mkdir "$1/lock" && echo won >>"$2"' - "$K" "$BATS_TEST_TMPDIR/won$round" \
				2>/dev/null 3>&- &
			pids+=($!)
		done
		for i in "${pids[@]}"; do wait "$i" || true; done
		is "$(wc -l <"$BATS_TEST_TMPDIR/won$round")" 1
		rmdir "$K/lock"
	done
}

@test "mktemp and a rename over the key replace it" {
	local t
	echo old >"$K/a"
	t=$(mktemp "$K/tmp.XXXXXX")
	echo new >"$t"
	mv "$t" "$K/a"
	is "$(cat "$K/a")" new
	is "$(ls "$K")" a
}

@test "sort -o, shuf, split, patch-like edits and find -delete work" {
	seq 100 -1 1 >"$K/a"
	sort -n -o "$K/a" "$K/a"
	is "$(head -n1 "$K/a")" 1
	split -l 10 "$K/a" "$K/part."
	is "$(ls "$K" | wc -l)" 11
	cat "$K"/part.* | cmp - "$K/a"
	find "$K" -name 'part.*' -delete
	is "$(ls "$K")" a
	install -m 600 "$K/a" "$K/b"
	is "$(stat -c %a "$K/b")" 600
}

@test "sqlite-like use is refused cleanly: a shared mapping is ENODEV, not a crash" {
	run "$PYTHON" -c '
import mmap, sys
f = open(sys.argv[1], "w+b")
f.write(b"x" * 4096)
f.flush()
try:
    mmap.mmap(f.fileno(), 4096)
except OSError as e:
    print(e.errno)
' "$K/a"
	is "$output" 19
}
