# What the files of the tool matrix share: a tool does its work in three places, a plain
# directory, keys/ and a transaction, and the three trees shall be the same.

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() {
	end_processes
	rm -rf "$K" "$BASE/plain.$D"* "$BASE/view.$D"
}

# go_program NAME: BASE/NAME, of the source on stdin
go_program() {
	[ -n "${COMMITFS_FULL-}" ] || skip "only in a full run: compiling takes long"
	needs go
	mkdir "$BASE/go"
	cat >"$BASE/go/main.go"
	(cd "$BASE/go" && HOME=$BASE GO111MODULE=off go build -o "$BASE/$1" main.go)
}

# fixture DIR: what every tool finds
fixture() {
	mkdir -p "$1/d/e"
	printf 'one\ntwo\nthree\n' >"$1/f"
	printf 'b\nc\na\n' >"$1/unsorted"
	printf '#!/bin/sh\necho ran\n' >"$1/run"
	chmod 755 "$1/run"
	: >"$1/empty"
	head -c 70000 /dev/zero | tr '\0' 'x' >"$1/d/big"
	ln -s ../f "$1/d/link"
	chmod 640 "$1/unsorted"
	find "$1" -exec touch -h -d @1000000000 {} +
}

# tree DIR: names, types, modes, sizes, links, and times; a time that nobody set is `now`
tree() {
	(cd "$1" && find . -mindepth 1 ! -name '.git' \( -type d -printf '%p %y %m\n' -o \
		-printf '%p %y %m %U:%G %s %l %T@\n' \) | sort |
		awk '{ if ($NF ~ /^[0-9]+\.[0-9]+$/ && $NF > 1500000000) $NF = "now"; print }')
}

same_trees() {
	diff -r --no-dereference "$1" "$2" && diff <(tree "$1") <(tree "$2")
}

# work DIR COMMAND...: in it, with what it says kept
work() {
	local dir=$1
	shift
	(cd "$dir" && timeout 120 "$@" </dev/null) || fail "failed in $dir: $*"
}

# everywhere COMMAND...: the same output and the same tree in all three places
everywhere() {
	local plain=$BASE/plain.$D
	mkdir "$plain"
	fixture "$plain"
	fixture "$K"
	begin
	work "$plain" "$@" >"$plain.out" || return 1
	work "$V" "$@" >"$plain.view" || return 1
	work "$K" "$@" >"$plain.keys" || return 1
	diff "$plain.out" "$plain.keys" || fail "another output in keys/: $*" || return 1
	diff "$plain.out" "$plain.view" || fail "another output in the transaction: $*" || return 1
	same_trees "$plain" "$K" || fail "another tree in keys/: $*" || return 1
	same_trees "$plain" "$V" || fail "another tree in the transaction: $*" || return 1
	rm -rf "$plain"*
	# The commit of what was done there, where nobody did it too.
	rmdir "$T"
	rm -rf "$K"
	mkdir "$K"
	fixture "$K"
	begin
	work "$V" "$@" >/dev/null || return 1
	cp -a "$V/." "$BASE/view.$D"
	commit ok "$T" || return 1
	same_trees "$BASE/view.$D" "$K" || fail "another tree after the commit: $*" || return 1
	rm -rf "$BASE/view.$D"
	is "$(field scratch_files "$MNT/status")" 0
}

# each SCRIPT: of sh
each() { everywhere sh -euc "$1"; }
