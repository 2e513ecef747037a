#!/usr/bin/env bats
# commitfs edit: keys in an editor, as a transaction; a conflict never costs the work.
# shellcheck disable=SC2016,SC2030,SC2031,SC2164 # scripts expand by themselves; bats stops at errors

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() {
	own_directory
	cd "$BATS_TEST_TMPDIR"
	unset VISUAL
	mkdir tmp
	export TMPDIR=$PWD/tmp K D
	make_driver
}
teardown() {
	local txn
	end_processes
	for txn in "$MNT"/txn/run-*; do
		rmdir "$txn" 2>/dev/null || true
	done
	cd /
}

# editor SCRIPT: what the editor does with the copies "$@"; RUN counts its runs
editor() {
	printf '#!/bin/bash -eu\nRUN=$(($(cat "%s/runs" 2>/dev/null || echo 0) + 1))\necho $RUN >"%s/runs"\n%s\n' \
		"$PWD" "$PWD" "$1" >editor
	chmod 755 editor
	export EDITOR=$PWD/editor
}

# ends STATUS ARG...: commitfs edit ARG... ends so, with no terminal; $output and $errors
ends() {
	local wanted=$1 got=0
	shift
	"$COMMITFS" edit "$@" >output 2>errors </dev/null 3>&- || got=$?
	output=$(cat output) errors=$(cat errors)
	[ $got = "$wanted" ] || fail "expected exit status $wanted, got $got: $*: $errors"
}

# A terminal on which somebody types the next of ANSWERS at each question.
make_driver() {
	cat >driver.py <<-'END'
		import os, pty, sys
		answers = sys.argv[1].split(",")
		pid, terminal = pty.fork()
		if pid == 0:
		    os.execv(sys.argv[2], sys.argv[2:])
		seen = b""
		try:
		    while data := os.read(terminal, 4096):
		        seen += data
		        sys.stdout.buffer.write(data)
		        if seen.endswith(b"k] "):
		            answer = answers.pop(0)
		            os.write(terminal, {"^C": b"\x03", "^D": b"\x04"}.get(answer, answer.encode() + b"\n"))
		            seen = b""
		except OSError:
		    pass
		sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
	END
}

# typed STATUS ANSWERS ARG...: the same on a terminal; $screen is what is seen there
typed() {
	local wanted=$1 answers=$2 got=0
	shift 2
	timeout 60 "$PYTHON" driver.py "$answers" "$COMMITFS" edit "$@" >screen 2>&1 </dev/null 3>&- || got=$?
	screen=$(tr -d '\r' <screen)
	[ $got = "$wanted" ] || fail "expected exit status $wanted, got $got: $*: $screen"
}

kept() { sed -n 's/.*the transaction is kept: //p' <<<"$1"; }
none_open() { ! compgen -G "$MNT/txn/run-*" >/dev/null || fail "a transaction is left"; }
none_left() { is "$(ls -A tmp)" "" "in TMPDIR"; }

@test "what the editor changed is one commit, with its message" {
	echo 1 >"$K/a"
	echo 2 >"$K/b"
	editor 'sed -i s/1/one/ "$1"; echo two >"$2"'
	grows 1 ends 0 -m 'in words' "$MNT" "$D/a" "$D/b"
	is "$(cat "$K/a" "$K/b")" $'one\ntwo'
	like "$output" "^commitfs: committed $(revision)"
	is "$(field message "$MNT/meta/$D/a")" "in words"
	is "$errors" ""
	none_open
	none_left
}

@test "without a message it says which keys were edited" {
	echo 1 >"$K/a"
	editor 'echo 2 >"$1"'
	ends 0 "$MNT" "$D/a"
	is "$(field message "$MNT/meta/$D/a")" "edit: $D/a"
}

@test "what was not changed is not committed, even if it was written" {
	echo 1 >"$K/a"
	echo 2 >"$K/b"
	editor 'echo 1 >"$1"'
	grows 0 ends 0 "$MNT" "$D/a"
	is "$output" "commitfs: nothing was changed"
	editor 'echo 1 >"$1"; echo 3 >"$2"'
	version=$(field version "$MNT/meta/$D/a")
	grows 1 ends 0 "$MNT" "$D/a" "$D/b"
	is "$(field version "$MNT/meta/$D/a")" "$version"
	is "$(cat "$K/b")" 3
	none_open
	none_left
}

@test "new keys are made, with their directories, in the same commit" {
	editor '[ ! -e "$1" ]; echo 1 >"$1"'
	grows 1 ends 0 "$MNT" "$D/new/deep/a"
	is "$(cat "$K/new/deep/a")" 1
	editor 'exit 0'
	grows 0 ends 0 "$MNT" "$D/other/a"
	gone "$K/other"
	none_open
}

@test "modes and owners stay, values may be anything" {
	head -c 100000 /dev/urandom >data
	echo 1 >"$K/a"
	chmod 640 "$K/a"
	editor 'cp data "$1"'
	ends 0 "$MNT" "$D/a"
	cmp data "$K/a"
	is "$(stat -c %a "$K/a")" 640
}

@test "what the editor puts beside a file is not in the store" {
	echo 1 >"$K/a"
	editor 'cp "$1" "$1~"; echo 2 >"$1"; echo swap >"${1%/*}/.a.swp"'
	ends 0 "$MNT" "$D/a"
	is "$(ls -A "$K")" a
	none_left
}

@test "vim and ed edit as everywhere" {
	echo 'port 8080' >"$K/a"
	if command -v vim >/dev/null; then
		EDITOR="vim -es -u NONE -c %s/8080/9090/ -c wq" ends 0 "$MNT" "$D/a"
		is "$(cat "$K/a")" 'port 9090'
	fi
	needs ed
	printf '%s\n' 's/port/Port/' w q >commands
	echo 'exec ed -s "$1" <commands' >ed.sh
	EDITOR="sh $PWD/ed.sh" ends 0 "$MNT" "$D/a"
	like "$(cat "$K/a")" '^Port '
}

@test "VISUAL comes before EDITOR, and may have arguments" {
	echo 1 >"$K/a"
	export EDITOR=false
	VISUAL="sed -i -e s/1/2/" ends 0 "$MNT" "$D/a"
	is "$(cat "$K/a")" 2
}

@test "a key may be given as the file it is" {
	echo 1 >"$K/a"
	editor 'echo 2 >"$1"'
	ends 0 "$MNT" "$K/a"
	is "$(cat "$K/a")" 2
}

# Failing

@test "an editor that fails, or is not there, commits nothing; what it made is kept" {
	local copy
	echo 1 >"$K/a"
	editor 'echo 2 >"$1"; exit 3'
	grows 0 ends 1 "$MNT" "$D/a"
	like "$errors" "nothing is committed: '$EDITOR' ended with 3"
	copy=$(sed -n 's/.*what was edited is kept in //p' errors)
	is "$(cat "$copy/$D/a")" 2
	rm -r "$copy"
	EDITOR=nosuch-editor ends 1 "$MNT" "$D/a"
	like "$errors" "cannot run the editor 'nosuch-editor'; name another"
	editor 'echo 2 >"$1"; kill -KILL $$'
	ends 137 "$MNT" "$D/a"
	like "$errors" "ended by signal 9"
	EDITOR="$EDITOR -x" ends 137 "$MNT" "$D/a"
	is "$(cat "$K/a")" 1
	none_open
}

@test "what cannot be edited is told before the editor runs" {
	editor 'exit 0'
	echo 1 >"$K/a"
	ln -s /etc "$K/out"
	ends 64 "$MNT" "$D"
	like "$errors" "cannot edit '$D': it is a directory; name the keys below it"
	ends 64 "$MNT" "$D/../$D/a"
	ends 64 "$MNT" "/etc/passwd"
	ends 1 "$MNT" "$D/out/passwd"
	like "$errors" "cannot edit '$D/out/passwd': a symbolic link leads out of the keys"
	ends 1 "$MNT" "$D/a/b"
	like "$errors" "cannot edit '$D/a/b' on '$MNT': Not a directory"
	ends 64 "$MNT"
	ends 69 "$PWD" a
	ends 64 -m "$(printf %5000d 0)" "$MNT" "$D/a"
	[ ! -e runs ]
	none_open
	none_left
}

@test "who may not write a key is told before the editor runs" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	echo 1 >"$K/a"
	editor 'exit 0'
	TMPDIR=/tmp run -1 as_user "$USER_A" "$COMMITFS" edit "$MNT" "$D/a" 3>&-
	like "$output" "cannot edit '$D/a' on '$MNT': Permission denied"
	[ ! -e runs ]
}

@test "a value that is too large is refused, and what was edited is kept" {
	echo 1 >"$K/a"
	editor 'head -c 17000000 /dev/zero >"$1"'
	ends 74 "$MNT" "$D/a"
	like "$errors" "cannot write '$D/a' on '$MNT'"
	like "$errors" "what was edited is kept in $TMPDIR/"
	is "$(cat "$K/a")" 1
	none_open
}

# Conflicts

@test "without a terminal a conflict is shown, keeps the transaction, and exits with 75" {
	local txn
	printf 'a\nb\nc\n' >"$K/a"
	editor 'sed -i s/a/A/ "$1"; "$COMMITFS" run -m "because I can" "$MNT" -c "sed -i s/c/C/ $D/a" 3>&-'
	ends 75 "$MNT" "$D/a"
	like "$errors" "others have changed meanwhile what you edit; nothing of yours is lost"
	like "$errors" "$D/a: seen at revision [0-9]+, found $(revision), by root, .*: because I can"
	like "$errors" $'\n-c\n\\+C\n'
	txn=$(kept "$errors")
	is "$(cat "$txn/keys/$D/a")" $'A\nb\nc'
	is "$(cat "$K/a")" $'a\nb\nC'
	! grep -q $'\e' errors || fail "colours without a terminal"
	eval "$(grep -o 'echo > .*/rebase.*' errors)"
	is "$(cat "$K/a")" $'A\nb\nc'
	rmdir "$txn"
	none_left
}

# In their first run the editor's user and somebody else change the same key.
clash() {
	editor '[ $RUN -gt 1 ] || { '"$1"'; sh -c "$2" 3>&-; exit; }; '"$3"
	sed -i "s|sh -c \"\$2\"|${2//|/\\|}|" editor
}

@test "rebase commits the work as it is, in place of theirs" {
	printf 'a\nb\nc\n' >"$K/a"
	clash 'sed -i s/a/A/ "$1"' 'echo theirs >"$K/a"' false
	typed 0 r "$MNT" "$D/a"
	is "$(cat "$K/a")" $'A\nb\nc'
	is "$(cat runs)" 1
	like "$screen" "\+theirs.*What now\?.*committed $(revision)"
	none_open
	none_left
}

@test "edit again merges what they changed into the work" {
	printf 'a\nb\nc\nd\ne\n' >"$K/a"
	clash 'sed -i s/a/A/ "$1"' 'sed -i s/e/E/ "$K/a"' 'cp "$1" merged'
	typed 0 e "$MNT" "$D/a"
	is "$(cat merged)" $'A\nb\nc\nd\nE'
	is "$(cat "$K/a")" $'A\nb\nc\nd\nE'
	like "$screen" "$D/a: both changes are in it now"
	none_open
	none_left
}

@test "lines that both changed are marked, and not committed with the marks by mistake" {
	printf 'a\n' >"$K/a"
	clash 'echo mine >"$1"' 'echo theirs >"$K/a"' '[ $RUN = 2 ] || echo both >"$1"'
	typed 0 e,e "$MNT" "$D/a"
	is "$(cat "$K/a")" both
	is "$(cat runs)" 3
	like "$screen" "both changed the same lines, which are marked"
	like "$screen" "'$D/a' still has marks of both changes"
	none_open
}

@test "taking over what they did, in the end, commits nothing" {
	echo a >"$K/a"
	clash 'echo mine >"$1"' 'echo theirs >"$K/a"' 'echo theirs >"$1"'
	typed 0 e "$MNT" "$D/a"
	like "$screen" "nothing was changed"
	is "$(cat "$K/a")" theirs
	like "$(field message "$MNT/meta/$D/a")" '^-?$'
	none_open
	none_left
}

@test "a key that was only looked at, and that others changed, is not written by a rebase" {
	echo a >"$K/a"
	echo b >"$K/b"
	clash 'echo mine >"$1"' 'echo theirs >"$K/b"' false
	typed 0 r "$MNT" "$D/a" "$D/b"
	is "$(cat "$K/a" "$K/b")" $'mine\ntheirs'
}

@test "drop drops it, with 75" {
	echo a >"$K/a"
	clash 'echo mine >"$1"' 'echo theirs >"$K/a"' false
	typed 75 x,d "$MNT" "$D/a"
	is "$(cat "$K/a")" theirs
	is "$(grep -o 'What now' screen | wc -l)" 2
	like "$screen" "dropped, nothing is committed"
	none_open
	none_left
}

@test "k, an interrupt or the end of the input keep it" {
	local answer
	for answer in k ^C ^D; do
		rm -f runs
		echo a >"$K/a"
		clash 'echo mine >"$1"' 'echo theirs >"$K/a"' false
		typed 75 "$answer" "$MNT" "$D/a"
		is "$(cat "$(kept "$screen")/keys/$D/a")" mine
		rmdir "$(kept "$screen")"
		none_left
	done
}

@test "a second conflict, while somebody was thinking, is asked about once more" {
	echo a >"$K/a"
	clash 'echo mine >"$1"' 'echo theirs >"$K/a"' 'echo again >"$K/a"; echo mine again >"$1"'
	typed 0 e,r "$MNT" "$D/a"
	is "$(cat "$K/a")" "mine again"
	is "$(grep -o 'What now' screen | wc -l)" 2
}

@test "colours are for terminals that have them, and for those who want them" {
	echo a >"$K/a"
	clash 'echo mine >"$1"' 'echo theirs >"$K/a"' false
	TERM=xterm typed 75 d "$MNT" "$D/a"
	like "$screen" $'\e\\[3[0-9]m'
	for setting in TERM=dumb NO_COLOR=1; do
		rm runs
		echo a >"$K/a"
		TERM=xterm
		export TERM "${setting?}"
		typed 75 d "$MNT" "$D/a"
		unset NO_COLOR
		! [[ $screen = *$'\e['* ]] || fail "colours with $setting"
	done
}

@test "the work is kept when the terminal is gone" {
	echo a >"$K/a"
	editor 'echo mine >"$1"; (kill -HUP $PPID); sleep 1'
	ends 129 "$MNT" "$D/a"
	is "$(cat "$(sed -n 's/.*what was edited is kept in //p' errors)/$D/a")" mine
	none_open
}
