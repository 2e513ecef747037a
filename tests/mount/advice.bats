#!/usr/bin/env bats
# What people are told: of conflicts, of compares that did not hold, and in which colours.
# shellcheck disable=SC2012,SC2016,SC2154,SC2164 # scripts expand by themselves; bats sets $stderr

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() {
	own_directory
	cd "$BATS_TEST_TMPDIR"
}
teardown() { end_processes; }

# on_terminal STATUS COMMAND...: in a terminal of its own; what is seen there is in $screen.
on_terminal() {
	local wanted=$1 got=0
	shift
	script -qec "$(printf '%q ' "$@")" /dev/null >screen </dev/null 3>&- || got=$?
	is "$got" "$wanted" "exit status"
	screen=$(tr -d '\r' <screen)
}

ME=$(id -un)

@test "a conflict of run names all that conflicts, who did it and why" {
	local i
	for i in a b c; do echo old >"$K/$i"; done
	run --separate-stderr -75 "$COMMITFS" run --retries=0 "$MNT" -c 'cat "$1/a" "$1/b" "$1/c"
		"$2" run -m "because I can" "$3" -c "echo x >$1/a; echo y >$1/b; echo z >$1/c" -- "$1"
		echo mine >"$1/d"' -- "$D" "$COMMITFS" "$MNT" 3>&-
	like "$stderr" "first value $D/a: seen at revision [0-9]+, found $(revision), by uid .*: because I can; no more retries"
	like "$stderr" $'\n'"  also value $D/b: seen at revision [0-9]+, found $(revision), by $ME, .*: because I can"
	like "$stderr" $'\n'"  also value $D/c: "
}

@test "of many that conflict some are named, and how many more there are" {
	local i
	for i in {1..20}; do echo old >"$K/$i"; done
	run --separate-stderr -75 "$COMMITFS" run --retries=0 "$MNT" -c 'cat "$1"/* >/dev/null
		for key in "$2"/*; do echo new >"$key"; done; echo mine >"$1/1"' -- "$D" "$K" 3>&-
	is "$(grep -c '^  also ' <<<"$stderr")" 5
	like "$stderr" "and 15 more"
}

@test "eval --verbose tells which compares did not hold, what is there, by whom and why" {
	"$COMMITFS" run -m 'as agreed' "$MNT" -c 'printf "a \"b\" c" >"$1/a b"' -- "$D" 3>&-
	echo 5 >"$K/n"
	run --separate-stderr -1 "$COMMITFS" eval -v "$MNT" <<-END
		missing("$D/a b")
		value("$D/a b") = "x"
		value("$D/n") = "5"
		mod("$D/none") > "3"
		value("$D/none") = "x"
		then
		put "$D/c" 1
	END
	is "$(head -n 1 <<<"$output")" "FAILURE $(revision)"
	like "$stderr" "the compares did not hold at revision $(revision)"
	like "$stderr" "line 1, $D/a b: its create revision is [0-9]+; changed at revision [0-9]+ by $ME, .*: as agreed"
	like "$stderr" "line 2, $D/a b: its value is \"a .*b.* c\"; changed at"
	like "$stderr" "line 3, $D/n: its value is .*"$'\n'"    it differs only by a final newline"
	like "$stderr" "line 4, $D/none: it is not there"$'\n'
	like "$stderr" "line 5, $D/none: it is absent"$'\n'
	like "$stderr" "commitfs log --key KEY $MNT"
}

@test "eval explains by itself on a terminal only, and not when all is well" {
	run --separate-stderr -1 "$COMMITFS" eval "$MNT" <<<"exists($D/none)"$'\nthen\n'"get $D/none"
	is "$stderr" ""
	printf 'exists(%s/none)\nthen\nget %s/none\n' "$D" "$D" >program
	on_terminal 1 "$COMMITFS" eval "$MNT" program
	like "$screen" "did not hold.*line 1, $D/none: it is not there"
	run --separate-stderr -0 "$COMMITFS" eval -v "$MNT" <<<"missing($D/none)"$'\nthen\n'"get $D/none"
	is "$stderr" ""
}

@test "differences have colours on a terminal, but for NO_COLOR and TERM=dumb" {
	echo 1 >"$K/a"
	local before
	before=$(revision)
	echo 2 >"$K/a"
	local diff=("$COMMITFS" diff "$MNT" "$before" "$(revision)" "$D/a")
	run -0 "${diff[@]}"
	! [[ $output = *$'\e'* ]] || fail "colours in a pipe"
	TERM=xterm on_terminal 0 "${diff[@]}"
	like "$screen" $'\e\\[3[0-9]m'
	TERM=xterm NO_COLOR="" on_terminal 0 "${diff[@]}"
	like "$screen" $'\e\\[3[0-9]m'
	TERM=xterm NO_COLOR=1 on_terminal 0 "${diff[@]}"
	! [[ $screen = *$'\e'* ]] || fail "colours although NO_COLOR"
	TERM=dumb on_terminal 0 "${diff[@]}"
	! [[ $screen = *$'\e'* ]] || fail "colours although TERM=dumb"
}

@test "restoring many keys tells on a terminal how far it is, and nowhere else" {
	local before
	"$COMMITFS" run -C "$MNT" -- bash -c \
		'cd "$1"; for ((i = 0; i < 1100; i++)); do echo 1 >$i; done' - "$D" 3>&-
	before=$(revision)
	on_terminal 0 "$COMMITFS" restore "$MNT" "$((before - 1))" "$D"
	like "$screen" "commitfs: 1000 keys looked at"
	like "$screen" "commitfs: committed $((before + 1))"
	is "$(ls "$K")" ""
	run --separate-stderr -0 "$COMMITFS" restore "$MNT" "$before" "$D"
	is "$stderr" ""
	is "$(ls "$K" | wc -l)" 1100
}
