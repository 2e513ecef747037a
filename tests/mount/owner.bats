#!/usr/bin/env bats
# Whose a transaction is, what ends it, what it may take, and how an edit survives a conflict.
# shellcheck disable=SC2030,SC2031 # every test is a process of its own

load helpers

setup_file() {
	mount_own_store --max-txn-keys=50 --max-txn-size=64K --max-user-size=1M \
		--max-user-reads=5000 --max-user-txns=1024
}
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

status_field() { awk -v name="$2" '$1 == name { $1 = ""; print substr($0, 2) }' "$1/status"; }
transactions() { status_field "$MNT" transactions; }

# Owners

@test "the name of a pid claims that process, when it is an ancestor of the caller" {
	local shell=$BASHPID
	mkdir "$MNT/txn/$shell"
	is "$(status_field "$MNT/txn/$shell" owner_pid)" "$shell"
	mkdir "$MNT/txn/$shell.second"
	is "$(status_field "$MNT/txn/$shell.second" owner_pid)" "$shell"
	rmdir "$MNT/txn/$shell" "$MNT/txn/$shell.second"
}

@test "the pid of a stranger, or of nobody, is ESRCH" {
	sleep 100 3>&- &
	local stranger=$!
	expect ESRCH mkdir "$MNT/txn/$stranger"
	expect ESRCH mkdir "$MNT/txn/4194999"
	kill "$stranger"
}

@test "the pid of another user's ancestor is ESRCH" {
	run as_user "$USER_A" mkdir "$MNT/txn/$BASHPID"
	[ "$status" -ne 0 ]
	like "$output" 'No such process'
}

@test "a name that is no pid belongs to no process" {
	bash -c 'mkdir "$1/txn/job" && echo x >"$1/txn/job/keys/'"$D"'/a"' - "$MNT"
	sleep 0.3
	is "$(status_field "$MNT/txn/job" owner_pid)" 0
	is "$(cat "$MNT/txn/job/keys/$D/a")" x
	rmdir "$MNT/txn/job"
}

@test "\$(cat new) gives the transaction to the shell" {
	bash -c '
		t=$(cat "$1/txn/new")
		sleep 0.3
		[ "$(readlink "$1/txn/self")" = "$t" ] || exit 1
		grep -qx "owner_pid $$" "$1/txn/$t/status" || exit 2
	' - "$MNT"
}

@test "READs of txn/new that come at once through one descriptor begin one transaction" {
	local before
	before=$(transactions)
	"$PYTHON" - "$MNT" "$before" <<-'END'
		import os, sys, threading
		mount, before = sys.argv[1], int(sys.argv[2])
		def count():
		    with open(mount + "/status") as status:
		        return int(dict(line.split(None, 1) for line in status)["transactions"])
		for attempt in range(50):
		    fd = os.open(mount + "/txn/new", os.O_RDONLY)
		    gate, names = threading.Barrier(4), []
		    def read():
		        gate.wait()
		        names.append(os.pread(fd, 64, 0))
		    threads = [threading.Thread(target=read) for i in range(4)]
		    for thread in threads: thread.start()
		    for thread in threads: thread.join()
		    os.close(fd)
		    assert len(set(names)) == 1, names
		    assert count() == before + 1, count()
		    os.rmdir(mount + "/txn/" + names[0].decode().strip())
	END
}

@test "the end of the owner ends it, also with a child at work in it" {
	local name child
	bash -c 'read -r t <"$1/txn/new"; echo "$t" >"$2/name"; cd "$1/txn/$t/keys/$3"
		sleep 100 3>&- & echo $! >"$2/child"; wait' - "$MNT" "$BATS_TEST_TMPDIR" "$D" 3>&- &
	PROCESS_PID[owner]=$!
	eventually 5 test -s "$BATS_TEST_TMPDIR/child"
	name=$(cat "$BATS_TEST_TMPDIR/name") child=$(cat "$BATS_TEST_TMPDIR/child")
	there "$MNT/txn/$name"
	kill_process owner
	eventually 2 gone "$MNT/txn/$name"
	kill "$child"
}

@test "txn/self of a grandchild is its grandparent's transaction" {
	bash -c '
		read -r t <"$1/txn/new"
		[ "$(bash -c "bash -c \"readlink $1/txn/self; :\"; :")" = "$t" ]
	' - "$MNT"
}

@test "a second rmdir is ENOENT, and what is held open is ESTALE" {
	begin
	echo x >"$V/a"
	process w
	asked ok w open 0 "$V/a" O_RDONLY
	asked ok w open 1 "$T/commit" O_WRONLY
	rmdir "$T"
	expect ENOENT rmdir "$T"
	asked ESTALE w read 0 10
	asked ESTALE w line 1 why
	expect ENOENT stat "$T/commit"
}

@test "killing owners that hold 1,000 transactions leaves none, and no memory" {
	local before i owners=()
	local had
	had=$(transactions)
	none_left() { [ "$(transactions)" = "$had" ]; }
	before=$(status_field "$MNT" nodes)
	for ((i = 0; i < 10; i++)); do
		bash -c '
			for ((i = 0; i < 100; i++)); do
				read -r t <"$1/txn/new" || exit 1
				echo "$i" >"$1/txn/$t/keys/$2/a" || exit 1
			done
			echo >"$3"; sleep 100
		' - "$MNT" "$D" "$BATS_TEST_TMPDIR/$i" 3>&- &
		owners+=($!)
	done
	for ((i = 0; i < 10; i++)); do eventually 60 test -e "$BATS_TEST_TMPDIR/$i"; done
	is "$(transactions)" $((had + 1000))
	kill -9 "${owners[@]}"
	eventually 5 none_left
	is "$(status_field "$MNT" write_set_bytes)" 0
	is "$(status_field "$MNT" read_set_items)" 0
	[ "$(status_field "$MNT" transactions_abandoned)" -ge 1000 ]
	# The kernel forgets their nodes when it is told, or under pressure.
	echo 2 >/proc/sys/vm/drop_caches 2>/dev/null || skip "caches cannot be dropped here"
	few_nodes() { [ "$(status_field "$MNT" nodes)" -le $((before + 50)) ]; }
	eventually 10 few_nodes
}

# Time

@test "one of no process is over after its timeout, and stays so until rmdir" {
	begin
	echo x >"$V/a"
	is "$(cat "$T/timeout")" 3600
	expect EINVAL open 0 "$T/timeout" O_WRONLY : line 0 soon
	like "$(status_field "$T" last_error)" 'timeout'
	echo 1 >"$T/timeout"
	over() { [ "$(cat "$T/commit")" = over ]; }
	eventually 5 over
	expect EEXIST mkdir "$T"
	mkdir -p "$T"
	expect ESTALE open 0 "$V/a" O_WRONLY
	expect ESTALE open 0 "$T/commit" O_WRONLY : line 0 late
	expect ESTALE open 0 "$T/restart" O_WRONLY : line 0 late
	is "$(status_field "$T" state)" over
	gone "$K/a"
	rmdir "$T"
	expect ENOENT stat "$T"
}

@test "it is not idle while a file is open in it" {
	begin
	echo x >"$V/a"
	process w
	asked ok w open 0 "$V/a" O_RDONLY
	echo 1 >"$T/timeout"
	sleep 2.5
	is "$(status_field "$T" state)" open
	asked ok w close 0
	over() { [ "$(status_field "$T" state)" = over ]; }
	eventually 5 over
}

# Rebase

@test "an edit survives a conflict by rebase" {
	echo 0 >"$K/a"
	begin
	echo "$(cat "$V/a") mine" >"$V/a"
	echo also >"$V/b"
	echo theirs >"$K/a"
	commit ECANCELED "$T"
	echo >"$T/rebase"
	is "$(cat "$V/a")" '0 mine'
	is "$(cat "$V/b")" also
	commit ok "$T"
	is "$(cat "$K/a")" '0 mine'
	is "$(cat "$K/b")" also
}

@test "rebase refuses what conflicts has not told, and says so" {
	echo 0 >"$K/a"
	begin
	cat "$V/a" >"$V/b"
	echo 1 >"$K/a"
	commit ECANCELED "$T"
	echo 2 >"$K/a"
	expect ECANCELED open 0 "$T/rebase" O_WRONLY : line 0 ""
	like "$(status_field "$T" last_error)" 'rebase'
	grep -q "a$" "$T/conflicts"
	echo >"$T/rebase"
	commit ok "$T"
}

@test "after rebase the view shows the newest snapshot under the writes" {
	echo old >"$K/a"
	begin
	ls "$V" >/dev/null
	echo mine >"$V/b"
	rm "$K/a"
	echo new >"$K/c"
	cat "$T/conflicts" >/dev/null
	echo >"$T/rebase"
	gone "$V/a"
	is "$(cat "$V/c")" new
	is "$(cat "$V/b")" mine
	is "$(ls "$V")" $'b\nc'
}

@test "rebase of what is committed or over is ESTALE" {
	begin
	echo x >"$V/a"
	commit ok "$T"
	expect ESTALE open 0 "$T/rebase" O_WRONLY : line 0 ""
}

# Limits

@test "one key too many is EDQUOT, and the transaction goes on" {
	local i
	begin
	for ((i = 0; i < 50; i++)); do echo x >"$V/$i"; done
	expect EDQUOT open 0 "$V/more" O_WRONLY,O_CREAT
	like "$(status_field "$T" last_error)" '50 of 50 keys'
	echo y >"$V/0"
	commit ok "$T"
	is "$(cat "$K/0")" y
}

@test "one byte too many in a transaction is EDQUOT at the write, and it goes on" {
	begin
	expect ok open 0 "$V/a" O_WRONLY,O_CREAT : fill 0 60000
	expect EDQUOT open 0 "$V/b" O_WRONLY,O_CREAT : fill 0 60000
	like "$(status_field "$T" last_error)" 'of 65536 bytes'
	expect ok open 0 "$V/b" O_WRONLY : fill 0 1000
	commit ok "$T"
}

@test "one user cannot take more than its share over several transactions" {
	local i
	for i in {1..17}; do
		begin "$i"
		local view=V_$i
		expect ok open 0 "${!view}/a" O_WRONLY,O_CREAT : fill 0 60000
	done
	begin 18
	expect EDQUOT open 0 "$V_18/a" O_WRONLY,O_CREAT : fill 0 60000
	like "$(status_field "$T_18" last_error)" 'of 1048576 bytes of this user'
	# Others are not concerned, and what is given back is free again.
	rmdir "$T_1"
	expect ok open 0 "$V_18/a" O_WRONLY : fill 0 30000
}

@test "open files on the live tree count to their user" {
	local i
	process w
	for i in 0 1 2; do
		asked ok w open "$i" "$K/f$i" O_WRONLY,O_CREAT,O_TRUNC
		asked ok w fill "$i" 320000
	done
	asked ok w open 3 "$K/f3" O_WRONLY,O_CREAT,O_TRUNC
	asked EDQUOT w fill 3 320000
	asked ok w close 0
	sleep 0.2
	asked ok w open 4 "$K/f4" O_WRONLY,O_CREAT,O_TRUNC
	asked ok w fill 4 160000
	kill_process w
}

@test "read sets that are full refuse the call that would not be recorded" {
	local i
	begin
	run bash -c 'for ((i = 0; i < 5200; i++)); do [ -e "$1/no$i" ]; done; cat "$1/x"' - "$V"
	like "$output" 'quota'
	like "$(status_field "$T" last_error)" '5000 items'
	echo >"$T/restart"
	echo x >"$V/a"
	commit ok "$T"
}
