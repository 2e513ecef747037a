#!/usr/bin/env bats
# commitfs run: a command as a transaction, run again when it conflicts. COMMITFS_FULL=1: more
# processes at one counter.
# shellcheck disable=SC2016,SC2030,SC2031,SC2164 # scripts expand by themselves; bats stops at errors

load helpers

setup_file() {
	mount_own_store
	make_clash
}
teardown_file() { unmount_own_store; }
setup() {
	own_directory
	cd "$BATS_TEST_TMPDIR"
	echo 0 >runs
}
teardown() {
	[ -z "${RUN:-}" ] || kill -KILL "$RUN" 2>/dev/null || true
	end_processes
	cd /
}

# clash N KEY: reads KEY of the view and writes "mine RUN" there. In its first N runs,
# which it counts in the file runs, somebody else changes KEY meanwhile.
make_clash() {
	cat >"$BASE/clash" <<-'END'
		#!/bin/bash
		set -eu
		read -r n <runs
		echo $((++n)) >runs
		cat "$COMMITFS_KEYS/$2" >seen.$n 2>/dev/null || true
		[ $n -gt "$1" ] || echo "other $n" >"$MNT/keys/$2"
		echo "mine $n" >"$COMMITFS_KEYS/$2"
	END
	chmod 755 "$BASE/clash"
}

# ends STATUS ARG...: commitfs run ARG... ends so; its stderr is in $errors
ends() {
	local wanted=$1 got=0
	shift
	"$COMMITFS" run "$@" >output 2>errors 3>&- || got=$?
	errors=$(cat errors)
	[ $got = "$wanted" ] || fail "expected exit status $wanted, got $got: $*: $errors"
}

# background ARG...: commitfs run ARG... as $RUN; a shell's & would have it ignore SIGINT
background() {
	env --default-signal=INT,QUIT "$COMMITFS" run "$@" <&0 >output 2>errors 3>&- &
	RUN=$!
}

# background_ends STATUS
background_ends() {
	local got=0
	wait "$RUN" || got=$?
	unset RUN
	is "$got" "$1" "exit status"
}

none_open() { ! compgen -G "$MNT/txn/new-*" >/dev/null && ! compgen -G "$MNT/txn/run-*" >/dev/null; }

# The command and its view

@test "what the command writes is committed at once when it exits with 0" {
	grows 1 "$COMMITFS" run "$MNT" -- bash -c 'echo 1 >{}/'"$D"'/a; echo 2 >{}/'"$D/b"
	is "$(cat "$K/a" "$K/b")" $'1\n2'
	none_open
}

@test "nobody sees what it writes before" {
	ends 0 "$MNT" -c 'echo 1 >"$1/a"; [ ! -e "$2/a" ]' -- "$D" "$K"
	is "$(cat "$K/a")" 1
}

@test "the view is in every {}, in the environment, and with -C around the command" {
	ends 0 "$MNT" -- sh -c 'echo "$1" "$2" "$COMMITFS_KEYS" "$COMMITFS_TXN"; pwd' - {} --in={}/x={}
	local keys txn pwd in
	{ read -r keys in pwd txn; read -r outside; } <output
	is "$keys" "$txn/keys"
	is "$in" "--in=$keys/x=$keys"
	is "$pwd" "$keys"
	like "$txn" "^$MNT/txn/[^/]+\$"
	is "$outside" "$PWD"
	ends 0 -C "$MNT" -- pwd
	like "$(cat output)" "^$MNT/txn/[^/]+/keys\$"
}

@test "a relative mount point works with -C too" {
	cd "$BASE"
	(cd "$BASE" && "$COMMITFS" run -C mnt -- sh -c "cp {}/$D/../$D/. $D/a 2>/dev/null || echo 1 >{}/$D/a")
	is "$(cat "$K/a")" 1
}

@test "-c runs a script in the view, which ends at its first error and at an unset variable" {
	ends 0 -c 'echo "$1 $2 {}" >"$3/a"' "$MNT" -- x "y z" "$D"
	is "$(cat "$K/a")" "x y z {}"
	ends 1 "$MNT" -c "echo no >$D/a; false; true"
	ends 2 "$MNT" -c "echo no >$D/a; : \"\$nosuch\""
	is "$(cat "$K/a")" "x y z {}"
}

@test "the exit status of a command that fails is passed on and nothing is committed" {
	grows 0 ends 7 "$MNT" -- sh -c "echo 1 >{}/$D/a; exit 7"
	gone "$K/a"
	is "$errors" ""
	none_open
}

@test "a command that is not there ends with 127, one that cannot be executed with 126" {
	ends 127 "$MNT" -- nosuch-command
	like "$errors" "^commitfs: cannot run 'nosuch-command': No such file or directory"
	echo true >file
	ends 126 "$MNT" -- ./file
	like "$errors" "cannot run './file': Permission denied"
	none_open
}

@test "a command that a signal kills ends with 128 and its number, and nothing is committed" {
	ends 137 "$MNT" -- sh -c "echo 1 >{}/$D/a; kill -KILL \$\$"
	like "$errors" "^commitfs: cannot commit 'sh' on '$MNT': it was killed by signal 9 \(Killed\)"
	gone "$K/a"
	none_open
}

@test "the transaction belongs to the process that runs the command, and ends with it" {
	background "$MNT" -c 'cat ../status >"$1/status"; echo $$ >"$1/pid"; exec sleep 60' -- "$PWD"
	eventually 10 test -s pid
	is "$(field owner_pid status)" "$RUN"
	kill -KILL "$RUN"
	wait "$RUN" || true
	unset RUN
	kill "$(cat pid)"
	eventually 3 none_open
}

@test "a command may commit or end its transaction by itself" {
	ends 0 "$MNT" -c 'echo 1 >"$1/a"; echo mine >../commit' -- "$D"
	is "$(cat "$K/a")" 1
	ends 74 "$MNT" -c 'rmdir "$COMMITFS_TXN"'
	like "$errors" "cannot commit for the script on '$MNT': its transaction was ended meanwhile"
}

# Words

@test "its help tells what it does, with examples and exit codes" {
	local help
	help=$("$COMMITFS" run --help)
	is "$("$COMMITFS" help run)" "$help"
	like "$("$COMMITFS" help)" '  run +[A-Z]'
	like "$help" 'commitfs run \[options\] MNT -- COMMAND'
	like "$help" 'Examples:.*commitfs run'
	like "$help" '75 '
}

@test "what makes no sense is refused with 64 before anything runs" {
	ends 64
	ends 64 "$MNT"
	like "$errors" 'no command was given; expected: .*see: commitfs run --help'
	ends 64 "$MNT" --
	ends 64 "$MNT" touch ran
	like "$errors" 'expected: commitfs run \[options\] MNT -- COMMAND'
	ends 64 --nosuch "$MNT" -- touch ran
	ends 64 --retries=-1 "$MNT" -- touch ran
	like "$errors" '--retries=-1: expected 0 to'
	ends 64 --retries=many "$MNT" -- touch ran
	ends 64 -E 256 "$MNT" -- touch ran
	ends 64 --isolation=none "$MNT" -- touch ran
	like "$errors" '--isolation=none: expected serializable-snapshot, serializable or snapshot'
	ends 64 --message="$(printf %5000d 0)" "$MNT" -- touch ran
	like "$errors" '--message: it is longer than'
	[ ! -e ran ]
	none_open
}

@test "where no commitfs is mounted it exits with 69" {
	ends 69 "$PWD" -- touch ran
	like "$errors" "cannot run a command on '$PWD': no commitfs is mounted there"
	ends 69 "$PWD/nosuch" -- touch ran
	[ ! -e ran ]
}

# Conflicts

@test "on a conflict it runs the command again, on a new snapshot" {
	echo old >"$K/a"
	ends 0 -v "$MNT" -- "$BASE/clash" 2 "$D/a"
	is "$(cat "$K/a")" "mine 3"
	is "$(cat runs)" 3
	is "$(cat seen.1 seen.2 seen.3)" $'old\nother 1\nother 2'
	like "$errors" "'$BASE/clash' on '$MNT': committed $(revision), after 2 retries"
	is "$(grep -c 'running it again in [0-9]* ms' errors)" 2
	none_open
}

@test "a conflict tells key, revisions, who, why, and what happens next" {
	echo old >"$K/a"
	local seen
	seen=$(revision)
	ends 0 "$MNT" -c 'read -r x <"$1/a"
		[ "$x" = new ] || '"'$COMMITFS' run -m 'because I can' $MNT"' -c "echo new >$1/a"
		echo "$x" >"$1/b"' -- "$D"
	like "$errors" "^commitfs: cannot commit the script on '$MNT': conflict \(1 item "
	like "$errors" "value $D/a: seen at revision $seen, found $((seen + 1)), by uid $(id -u), .*\[[0-9]+\]"
	like "$errors" ': because I can; running it again in [0-9]+ ms, retry 1 of 10$'
	is "$(cat "$K/b")" new
}

@test "without --verbose a commit says nothing" {
	ends 0 "$MNT" -c 'echo 1 >"$1/a"' -- "$D"
	is "$(cat output errors)" ""
}

@test "after the last retry it exits with 75 and has written nothing" {
	echo old >"$K/a"
	ends 75 --retries=2 "$MNT" -- "$BASE/clash" 100 "$D/a"
	is "$(cat runs)" 3
	is "$(cat "$K/a")" "other 3"
	like "$errors" "first (value|write) $D/a: seen at revision .* no more retries \(of 2\); try later"
	none_open
}

@test "-E sets the exit code of the last conflict, --retries=0 makes the first the last" {
	ends 3 -E 3 --retries=0 "$MNT" -- "$BASE/clash" 100 "$D/a"
	is "$(cat runs)" 1
	ends 0 -E 0 --retries=0 "$MNT" -- "$BASE/clash" 100 "$D/a"
	ends 5 -E 3 "$MNT" -- sh -c 'exit 5'
}

@test "ten retries are the default" {
	local last
	mkdir last
	echo 0 >last/runs
	# Both at once: what takes long is the waiting.
	(cd last && ends 0 "$MNT" -- "$BASE/clash" 10 "$D/b") 3>&- &
	last=$!
	ends 75 "$MNT" -- "$BASE/clash" 11 "$D/a"
	is "$(cat runs)" 11
	wait $last
	is "$(cat last/runs)" 11
}

@test "what the user may no longer write, the next run is told" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	local got=0
	mkdir "$BASE/user"
	cd "$BASE/user"
	echo 0 >runs
	chmod 777 "$K" .
	chmod 666 runs
	as_user "$USER_A" "$COMMITFS" run "$MNT" -c '
		read -r n <"$2/runs"; echo $((n + 1)) >"$2/runs"
		echo 1 >"$1/a"
		echo >"$2/go"; while [ ! -e "$2/gone" ]; do sleep 0.05; done' \
		-- "$D" "$PWD" 2>errors 3>&- </dev/null &
	RUN=$!
	eventually 10 test -e go
	chmod 755 "$K"
	echo >gone
	wait "$RUN" || got=$?
	unset RUN
	[ $got != 0 ] && [ $got != 75 ] || fail "exit status $got"
	is "$(cat runs)" 2
	like "$(cat errors)" "first (access|exists) $D.*running it again.*Permission denied"
	gone "$K/a"
	cd /
}

@test "--isolation sets the level, for every run" {
	echo old >"$K/a"
	ends 0 --isolation=snapshot "$MNT" -c 'cat ../isolation >>"$2"; cat "$1/a"
		[ "$(wc -l <"$2")" -gt 1 ] || { echo other >"$3/a"; echo other >"$3/b"; }
		echo mine >"$1/b"' -- "$D" "$PWD/levels" "$K"
	is "$(cat levels)" $'snapshot\nsnapshot'
	like "$errors" "first (write|exists) $D/b"
}

@test "--message is the commit message, of a retry too, unless the command sets one" {
	ends 0 -m 'mine & über' "$MNT" -c 'cat ../message >>"$2"
		[ "$(wc -l <"$2")" -gt 1 ] || echo other >"$1/a"; echo 1 >"$3/a"' -- "$K" "$PWD/messages" "$D"
	is "$(cat messages)" $'mine & über\nmine & über'
	begin
	cat "$V/a"
	ends 0 -m no "$MNT" -c 'echo its own >../message; echo 2 >"$1/a"' -- "$D"
	is "$(awk -F'\t' '$1 == "value" { print $8 }' "$T/conflicts")" "its own"
}

@test "--keep keeps a transaction that was not committed, and says how to go on" {
	local txn
	ends 4 --keep "$MNT" -c 'echo 1 >"$1/a"; echo "$COMMITFS_TXN" >"$2"; exit 4' -- "$D" "$PWD/path"
	txn=$(cat path)
	like "$errors" "the transaction is kept: $txn"
	like "$errors" "to compare .*diff -r $MNT/keys $txn/keys"
	like "$errors" "to drop it: *rmdir $txn"
	is "$(cat "$txn/keys/$D/a")" 1
	eval "$(sed -n 's/.*to commit it: *//p' errors)"
	is "$(cat "$K/a")" 1
	rmdir "$txn"
	ends 0 --keep "$MNT" -c 'echo 2 >"$1/a"' -- "$D"
	is "$errors" ""
	none_open
}

@test "--keep keeps the last conflict" {
	local txn
	ends 75 --keep --retries=1 "$MNT" -- "$BASE/clash" 100 "$D/a"
	txn=$(sed -n 's/.*the transaction is kept: //p' errors)
	like "$(cat "$txn/commit")" ^conflict
	like "$errors" "to see what conflicts: *cat $txn/conflicts"
	like "$errors" "echo > $txn/rebase && echo MESSAGE > $txn/commit"
	eval "$(sed -n 's/.*to drop it: *//p' errors)"
	none_open
}

# Standard input

@test "standard input from a pipe is given again to each run" {
	seq 200000 >numbers
	seq 200000 | ends 0 "$MNT" -c 'read -r n <"$2"; echo $((n + 1)) >"$2"; cat "$1/b" || :
		case $n in 0) read -r x;; 1) head -c 100000 >/dev/null;; *) cat >"$1/a";; esac
		[ $n -ge 4 ] || echo >"$3/b"; echo >"$1/b"' -- "$D" "$PWD/runs" "$K"
	is "$(cat runs)" 5
	cmp numbers "$K/a"
}

@test "standard input from a file is given again to each run, from where it stood" {
	printf 'a\nb\nc\n' >lines
	{
		read -r first
		ends 0 "$MNT" -c 'cat "$1/b" || :; cat >"$1/a"; read -r n <"$2"; echo $((n + 1)) >"$2"
			[ $n -ge 2 ] || echo >"$3/b"; echo >"$1/b"' -- "$D" "$PWD/runs" "$K"
	} <lines
	is "$first $(cat runs)" "a 3"
	is "$(cat "$K/a")" $'b\nc'
}

@test "standard input from a socket is given again to each run" {
	cat >twice.sh <<-'END'
		cat "$1/b" || :; cat >"$1/a"; read -r n <"$2"; echo $((n + 1)) >"$2"
		[ $n -ge 1 ] || echo >"$3/b"; echo >"$1/b"
	END
	"$PYTHON" - "$COMMITFS" run "$MNT" -c "$(cat twice.sh)" -- "$D" "$PWD/runs" "$K" 3>&- <<-'END'
		import socket, subprocess, sys, threading
		ours, theirs = socket.socketpair()
		def send():
		    ours.sendall(b"0123456789" * 30000)
		    ours.shutdown(socket.SHUT_WR)
		threading.Thread(target=send).start()
		sys.exit(subprocess.call(sys.argv[1:], stdin=theirs))
	END
	is "$(cat runs)" 2
	is "$(wc -c <"$K/a")" 300000
	is "$(tr -d 0-9 <"$K/a")" ""
}

@test "a command that does not read its input is not held up by an open pipe" {
	local fd
	mkfifo pipe
	exec {fd}<>pipe
	timeout 10 "$COMMITFS" run "$MNT" -- "$BASE/clash" 2 "$D/a" <pipe 2>/dev/null
	is "$(cat "$K/a")" "mine 3"
	exec {fd}>&-
}

@test "input that comes while the command reads reaches it line by line" {
	local in
	mkfifo pipe
	exec {in}<>pipe
	background "$MNT" -c 'read -r a; echo "$a" >"$2/got"; read -r b; echo "$a $b" >"$1/a"' \
		-- "$D" "$PWD" <pipe
	echo one >&"$in"
	eventually 10 holds got one
	echo two >&"$in"
	background_ends 0
	is "$(cat "$K/a")" "one two"
	exec {in}>&-
}

@test "what the command did not read is left for others, so that loops see every line" {
	seq 100 | while read -r line; do
		[ $((line % 20)) != 0 ] || "$COMMITFS" run "$MNT" -c 'echo "$1" >>"$2/a"' -- "$line" "$D"
	done
	is "$(cat "$K/a")" $'20\n40\n60\n80\n100'
	seq 100 | {
		"$COMMITFS" run "$MNT" -c 'read -r a; read -r b; echo "$a $b" >"$1/a"' -- "$D"
		cat >rest
	}
	is "$(cat "$K/a")" "1 2"
	is "$(head -n 1 rest)" 3
}

@test "closed standard descriptors do no harm" {
	"$COMMITFS" run "$MNT" -c 'cat >"$1/a"; echo 1 >"$1/b"' -- "$D" <&- >&- 2>&- 3>&-
	is "$(cat "$K/a" "$K/b")" 1
}

@test "on a terminal a conflict keeps the transaction instead of running the command again" {
	local txn
	script -qec "'$COMMITFS' run '$MNT' -- '$BASE/clash' 1 $D/a" /dev/null >output </dev/null 3>&- ||
		is $? 75
	is "$(cat runs)" 1
	txn=$(tr -d '\r' <output | sed -n 's/.*the transaction is kept: //p')
	like "$(cat output)" "conflict .* $D/a: seen at revision"
	is "$(cat "$txn/keys/$D/a")" "mine 1"
	like "$(cat output)" "diff -r .*/rebase .*rmdir $txn"
	rmdir "$txn"
	echo 5 >runs
	script -qec "'$COMMITFS' run '$MNT' -- '$BASE/clash' 1 $D/a" /dev/null >output </dev/null 3>&-
	is "$(cat "$K/a")" "mine 6"
	none_open
}

# Signals

@test "a signal is passed on to the command, and ends the transaction" {
	local signal number
	for signal in TERM:15 INT:2 HUP:1 QUIT:3; do
		number=${signal#*:} signal=${signal%:*}
		rm -f ready got
		background "$MNT" -- bash -c 'trap "echo >got; exit 0" '"$signal"'
			echo 1 >{}/'"$D"'/a; echo >ready; while :; do sleep 0.05; done'
		eventually 10 test -e ready
		kill -"$signal" "$RUN"
		background_ends $((128 + number))
		[ -e got ] || fail "the command got no SIG$signal"
		like "$(cat errors)" "ended by signal $number"
		gone "$K/a"
		none_open
	done
}

@test "SIGUSR1 is for the command alone" {
	background "$MNT" -- bash -c 'trap "echo 1 >{}/'"$D"'/a; exit 0" USR1
		echo >ready; while :; do sleep 0.05; done'
	eventually 10 test -e ready
	kill -USR1 "$RUN"
	background_ends 0
	is "$(cat "$K/a")" 1
}

@test "a signal that was ignored stays so" {
	(
		trap '' HUP
		exec "$COMMITFS" run "$MNT" -c 'echo >"$2/ready"; sleep 0.5; echo 1 >"$1/a"' -- "$D" "$PWD" 3>&-
	) &
	RUN=$!
	eventually 10 test -e ready
	kill -HUP "$RUN"
	background_ends 0
	is "$(cat "$K/a")" 1
}

@test "a signal ends the waiting for the next run" {
	# The longer a run, the longer the waits: after some of them it is nearly always in one.
	background --retries=1000 "$MNT" -c 'cat "$1/a" || :; sleep 0.05; echo >"$2/a"; echo >"$1/a"
		echo >"$3/ready"' -- "$D" "$K" "$PWD"
	eventually 10 grep -q 'retry 5 of' errors
	kill -TERM "$RUN"
	background_ends 143
	none_open
}

@test "an interrupt typed at the terminal is the command's own business" {
	cat >typed.py <<-'END'
		import os, pty, sys, time
		pid, terminal = pty.fork()
		if pid == 0:
		    os.execv(sys.argv[1], sys.argv[1:])
		while not os.path.exists("ready"):
		    time.sleep(0.05)
		os.write(terminal, b"\x03")
		try:
		    while os.read(terminal, 4096):
		        pass
		except OSError:
		    pass
		sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
	END
	run -130 "$PYTHON" typed.py "$COMMITFS" run "$MNT" -c 'echo 1 >"$1/a"; echo >"$2/ready"; sleep 60' \
		-- "$D" "$PWD" 3>&-
	gone "$K/a"
	rm ready
	run -0 "$PYTHON" typed.py "$COMMITFS" run "$MNT" -- bash -c \
		'trap "echo 1 >{}/'"$D"'/a; exit 0" INT; echo >ready; while :; do sleep 0.05; done' 3>&-
	is "$(cat "$K/a")" 1
	none_open
}

# Many at once

@test "many processes increment one counter: none is lost" {
	local processes=${COMMITFS_FULL:+16} times=${COMMITFS_FULL:+100} i
	processes=${processes:-8} times=${times:-20}
	echo 0 >"$K/n"
	local pids=()
	for ((i = 0; i < processes; i++)); do
		bash -c 'for ((i = 0; i < $1; i++)); do
				"$COMMITFS" run -v --retries=1000 "$MNT" -c "read -r n <\$1/n; echo \$((n + 1)) >\$1/n" -- "$2" || exit
			done' - "$times" "$D" </dev/null >/dev/null 2>"counts.$i" 3>&- &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i"; done
	is "$(cat "$K/n")" $((processes * times))
	is "$(cat counts.* | grep -c ': committed ')" $((processes * times))
	echo "# $processes x $times increments took $(cat counts.* | grep -c 'running it again') retries, at most $(
		sed -n 's/.*after \([0-9]*\) retr.*/\1/p' counts.* | sort -n | tail -n 1) in a row" >&3
	none_open
}

@test "without a message the command is the message, so that others know by whom" {
	echo 0 >"$K/a"
	begin
	cat "$V/a" >"$V/b"
	ends 0 "$MNT" -c 'echo 1 >"$1/a"' -- "$D"
	commit ECANCELED "$T"
	grep -q "	run: echo 1 >\"\$1/a\" $D	" "$T/conflicts"
}
