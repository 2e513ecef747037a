#!/usr/bin/env bats
# The tools that write, on `commit` and its kind: each outcome is seen where the tool looks at
# what write(2) says, nothing hangs, and what is committed is committed once.
# shellcheck disable=SC2016 # scripts for other shells

load matrix

setup() {
	own_directory
	echo message >"$BASE/short"
	head -c 8000 /dev/zero | tr '\0' x >"$BASE/long"
}

# write_with COMMAND...: with the file as its last argument; STATUS and SAID
write_with() {
	STATUS=0
	SAID=$(timeout 20 "$@" 2>&1 </dev/null) || STATUS=$?
	# emacs says so for every error
	[ "$STATUS" -lt 124 ] || [ "$STATUS" = 255 ] || fail "hangs, or died: $*"
}

# refused WHAT COMMAND...: the tool fails and says why, the second time as the first. SAYS is
# what it says instead, if it does not know better.
refused() {
	local what=$1
	shift
	for _ in 1 2; do
		write_with "$@"
		[ "$STATUS" != 0 ] || fail "no error seen: $*" || return 1
		[[ ${SAID,,} = *"${SAYS-${what,,}}"* ]] || fail "not '$what' but '$SAID': $*" || return 1
	done
}

# outcomes COMMAND...: which writes a line to its last argument
outcomes() {
	local before
	# success, once, and the same again
	begin
	echo 1 >"$V/k"
	before=$(revision)
	write_with "$@" "$T/commit"
	is "$STATUS" 0 "$SAID"
	like "$(cat "$T/commit")" "^committed $((before + 1))"
	write_with "$@" "$T/commit"
	is "$STATUS" 0 "$SAID"
	is "$(revision)" $((before + 1))
	# a conflict
	write_with "$@" "$T/restart"
	cat "$V/k" >/dev/null
	echo 2 >"$V/other"
	echo 3 >"$K/k"
	before=$(revision)
	refused 'operation cancel' "$@" "$T/commit" || return 1
	is "$(revision)" "$before"
	like "$(cat "$T/commit")" ^conflict
	# a word it does not know
	write_with "$@" "$T/restart"
	refused 'invalid argument' "$@" "$T/isolation" || return 1
	# too large
	if [ ${#LONG[@]} -gt 0 ]; then
		refused 'file too large' "${LONG[@]}" "$T/message" || return 1
	fi
	# over
	rmdir "$T"
	write_with "$@" "$T/commit"
	[ "$STATUS" != 0 ] || fail "no error at a transaction that is over: $*" || return 1
	expect ENOENT lstat "$T"
	rm -f "$K"/*
}

# sh_outcomes SHELL...: echo in that shell
sh_outcomes() {
	LONG=("$@" -c 'i=0; s=0123456789abcdef; while [ $i -lt 9 ]; do s=$s$s; i=$((i+1)); done; echo $s > "$0"')
	outcomes "$@" -c 'echo message > "$0"'
}

@test "echo in bash" { needs bash && sh_outcomes bash; }
@test "echo in dash, which says no more than that" { needs dash && SAYS='i/o error' sh_outcomes dash; }
# zsh says nothing of a write that fails while more than its buffer is written.
@test "echo in zsh" {
	needs zsh
	LONG=()
	outcomes zsh -f -c 'echo message > "$0"'
}
@test "echo in mksh" { needs mksh && sh_outcomes mksh; }
@test "echo in busybox ash" { needs busybox && sh_outcomes busybox ash; }
@test "echo in fish" {
	needs fish
	LONG=(fish --no-config -c 'echo (string repeat -n 8000 x) > $argv[1]')
	outcomes fish --no-config -c 'echo message > $argv[1]'
}

# of_file COMMAND...: where its words say FILE there is a short file, or a long one
of_file() {
	LONG=("${@//FILE/$BASE/long}")
	outcomes "${@//FILE/$BASE/short}"
}

@test "cat" { of_file sh -c 'cat FILE >"$0"'; }
@test "tee" { of_file sh -c 'tee "$0" <FILE >/dev/null'; }
@test "cp" { of_file cp FILE; }
@test "dd" { of_file sh -c 'dd if=FILE of="$0" bs=64k status=none'; }
@test "cp, tee and dd of busybox" {
	needs busybox
	of_file busybox cp FILE
	SAYS='i/o error' of_file sh -c 'busybox tee "$0" <FILE >/dev/null'
	of_file sh -c 'busybox dd if=FILE of="$0" bs=64k 2>&1'
}
@test "echo(1), printf(1), head and printf of bash" {
	of_file sh -c 'head -n 1 FILE >"$0"'
	outcomes sh -c '/bin/echo message >"$0"'
	outcomes sh -c '/usr/bin/printf "message\n" >"$0"'
	outcomes bash -c 'printf "message\n" >"$0"'
}
@test "sort -o, shuf -o and uniq" {
	of_file sort FILE -o
	of_file shuf FILE -o
	of_file uniq FILE
}
@test "sed with its w command" { of_file sh -c 'sed -n "w $0" FILE'; }
@test "rsync --inplace" { needs rsync && of_file rsync --inplace -I FILE; }
@test "sponge" { needs sponge && of_file sh -c 'sponge "$0" <FILE'; }
@test "ed" {
	needs ed
	LONG=(sh -c 'printf ",d\na\n%08000d\n.\nw\nq\n" 0 | ed -s "$0" 2>&1')
	outcomes sh -c 'printf ",d\na\nmessage\n.\nw\nq\n" | ed -s "$0" 2>&1'
}
# With -s it is silent, but for its exit status.
@test "ex" {
	needs vim
	LONG=(ex -sNu NONE -i NONE -c 'set nowritebackup' -c '%d' -c 'call setline(1, repeat("x", 8000))' -c 'w!' -c 'q')
	SAYS='' outcomes ex -sNu NONE -i NONE -c 'set nowritebackup' -c '%d' -c 'call setline(1, "message")' -c 'w!' -c 'q'
}
@test "emacs -batch writes to commit" {
	needs emacs
	LONG=(emacs -Q --batch --eval '(write-region (make-string 8000 ?x) nil (pop command-line-args-left))')
	outcomes emacs -Q --batch --eval '(write-region "message\n" nil (pop command-line-args-left))'
}
# That of busybox tells no error of any write.
@test "awk, gawk and mawk" {
	local awk
	needs awk
	for awk in awk gawk mawk; do
		command -v $awk >/dev/null || continue
		LONG=(sh -c "$awk"' "BEGIN { for (i = 0; i < 800; i++) s = s \"0123456789\"; print s > \"$0\"; exit close(\"$0\") != 0 }"')
		outcomes sh -c "$awk"' "BEGIN { print \"message\" > \"$0\"; exit close(\"$0\") != 0 }"'
	done
}
@test "go writes to commit" {
	go_program write <<-'GO'
	package main

	import (
		"fmt"
		"os"
	)

	func main() {
		if err := os.WriteFile(os.Args[2], []byte(os.Args[1]), 0644); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	GO
	LONG=("$BASE/write" "$(head -c 8000 /dev/zero | tr '\0' x)")
	outcomes "$BASE/write" message
}
@test "perl" {
	needs perl
	LONG=(perl -e 'open F, q(>), $ARGV[0] or die $!; print F q(x) x 8000; close F or die $!')
	outcomes perl -e 'open F, q(>), $ARGV[0] or die $!; print F q(message); close F or die $!'
}
@test "python writes to commit" {
	LONG=("$PYTHON" -c '
import sys
with open(sys.argv[1], "w") as f: f.write("x" * 8000)')
	outcomes "$PYTHON" -c '
import sys
with open(sys.argv[1], "w") as f: f.write("message\n")'
}
@test "ruby writes to commit" {
	needs ruby
	LONG=(ruby -e 'File.write(ARGV[0], "x" * 8000)')
	outcomes ruby -e 'File.write(ARGV[0], "message")'
}
@test "node writes to commit" {
	needs node
	LONG=(node -e 'require("fs").writeFileSync(process.argv[1], "x".repeat(8000))')
	outcomes node -e 'require("fs").writeFileSync(process.argv[1], "message")'
}
@test "php writes to commit" {
	needs php
	local code='if (@file_put_contents($argv[1], $s) !== strlen($s)) { fwrite(STDERR, error_get_last()["message"]); exit(1); }'
	LONG=(php -r "\$s = str_repeat('x', 8000); $code")
	outcomes php -r "\$s = 'message'; $code"
}
@test "tcl writes to commit" {
	needs tclsh
	echo 'set h [open [lindex $argv 0] w]; puts $h message; close $h' >"$BASE/m.tcl"
	echo 'set h [open [lindex $argv 0] w]; puts $h [string repeat x 8000]; close $h' >"$BASE/l.tcl"
	LONG=(tclsh "$BASE/l.tcl")
	outcomes tclsh "$BASE/m.tcl"
}

# What writes another file and puts it in the place of `commit` cannot: there is none to make.
@test "tools that replace a file fail on commit, and commit nothing" {
	local i tool before
	before=$(revision)
	for i in {0..5}; do
		begin
		echo 1 >"$V/k"
		cp "$BASE/short" "$BASE/moved"
		case $i in
		0) tool=(install "$BASE/short") ;;
		1) tool=(mv "$BASE/moved") ;;
		2) tool=(cp --remove-destination "$BASE/short") ;;
		3) tool=(sed -i s/open/message/) ;;
		4) tool=(ln -sf "$BASE/short") ;;
		5) tool=(rsync -a "$BASE/short") ;;
		esac
		write_with "${tool[@]}" "$T/commit"
		[ "$STATUS" != 0 ] || fail "no error seen: ${tool[*]}"
		[ "$(revision)" = "$before" ] || fail "committed: ${tool[*]}"
		rmdir "$T" 2>/dev/null || true
	done
	is "$(ls -A "$K")" ''
}
