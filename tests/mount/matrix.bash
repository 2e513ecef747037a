# What the files of the tool matrix share: a tool does its work in three places, a plain
# directory, keys/ and a transaction, and the three trees shall be the same.

# needs COMMAND...: otherwise it is skipped; a full run (tools/test --full) has installed all
needs() {
	local command
	for command in "$@"; do
		command -v "$command" >/dev/null && continue
		[ -z "${COMMITFS_FULL-}" ] || fail "$command is not installed" || return 1
		skip "$command is not installed"
	done
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

# script TEXT: for sh -c
each() { everywhere sh -euc "$1"; }
