#!/usr/bin/env bats
# flock(2) and fcntl(2): who has what, who waits, and what a lock publishes and refreshes.

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() {
	own_directory
	echo one >"$K/f"
	process a
	process b
	process c
}
teardown() { end_processes; }

# opened FLAGS [FILE]: all three processes in their slot 0
opened() {
	local p
	for p in a b c; do asked ok $p open 0 "${2:-$K/f}" "$1"; done
}

# waits NAME: it has not answered after a while
waits() {
	local line
	if read -r -t 0.3 -u "${PROCESS_OUT[$1]}" line; then
		fail "$1 does not wait, but answers $line"
	fi
}

answered() { is "$(answer "$2")" "$1" "$2"; }

@test "flock: shared ones go together, an exclusive one goes alone" {
	opened O_RDWR
	asked ok a flock 0 sh
	asked ok b flock 0 sh nb
	asked EAGAIN c flock 0 ex nb
	asked ok a flock 0 un
	asked EAGAIN c flock 0 ex nb
	asked ok b flock 0 un
	asked ok c flock 0 ex nb
	asked EAGAIN a flock 0 sh nb
}

@test "flock: who waits is granted it when it is given up, closed, or its holder is killed" {
	opened O_RDWR
	asked ok a flock 0 ex
	tell b flock 0 ex
	waits b
	asked ok a flock 0 un
	answered ok b
	tell c flock 0 ex
	waits c
	asked ok b close 0
	answered ok c
	tell a flock 0 ex
	waits a
	kill_process c
	answered ok a
}

@test "flock belongs to the open file: a second open of the same process waits, a dup does not" {
	asked ok a open 0 "$K/f" O_RDONLY
	asked ok a open 1 "$K/f" O_RDONLY
	asked ok a flock 0 ex
	asked EAGAIN a flock 1 ex nb
	asked ok a dup 0 2
	asked ok a flock 2 ex nb
	asked ok a close 0
	asked EAGAIN a flock 1 ex nb
	asked ok a close 2
	eventually 5 eval '[ "$(ask a flock 1 ex nb)" = ok ]'
}

@test "flock is changed between shared and exclusive" {
	opened O_RDWR
	asked ok a flock 0 ex
	tell b flock 0 sh
	waits b
	asked ok a flock 0 sh
	answered ok b
	tell a flock 0 ex
	waits a
	asked ok b flock 0 un
	answered ok a
}

@test "a signal ends the wait with EINTR, and the lock is nobody's more than before" {
	opened O_RDWR
	asked ok a flock 0 ex
	asked ok b alarm 200
	asked EINTR b flock 0 ex
	asked ok c alarm 200
	asked ok a lock 0 wr 0 0
	asked EINTR c lock 0 wr 0 0 wait
	asked ok a flock 0 un
	asked ok a lock 0 un 0 0
	asked ok c flock 0 ex nb
	asked ok b lock 0 wr 0 0
}

@test "who waits for a lock can be killed" {
	opened O_RDWR
	asked ok a flock 0 ex
	tell b flock 0 ex
	waits b
	kill_process b
	asked ok a flock 0 un
	asked ok c flock 0 ex nb
}

@test "fcntl: ranges are cut, joined and told apart" {
	opened O_RDWR
	asked ok a lock 0 wr 0 100
	asked ok a lock 0 un 40 20
	asked ok b lock 0 wr 40 20
	asked EAGAIN b lock 0 wr 39 1
	asked EAGAIN b lock 0 rd 60 1
	is "$(ask c lock 0 wr 50 1 get)" "wr 40 20 ${PROCESS_PID[b]}"
	is "$(ask c lock 0 wr 0 10 get)" "wr 0 40 ${PROCESS_PID[a]}"
	asked ok b lock 0 un 40 20
	asked ok a lock 0 wr 40 20
	is "$(ask c lock 0 rd 0 0 get)" "wr 0 100 ${PROCESS_PID[a]}"
	asked free c lock 0 wr 100 0 get
	asked ok a lock 0 rd 90 20
	is "$(ask c lock 0 wr 95 1 get)" "rd 90 20 ${PROCESS_PID[a]}"
	asked ok c lock 0 rd 90 20
}

@test "fcntl: a range to the end of the file has no end" {
	opened O_RDWR
	asked ok a lock 0 wr 10 0
	is "$(ask b lock 0 wr 0 0 get)" "wr 10 0 ${PROCESS_PID[a]}"
	asked EAGAIN b lock 0 wr 9223372036854775000 1
	asked ok b lock 0 wr 0 10
}

@test "fcntl: of two that wait for parts, each goes on when its part is free" {
	opened O_RDWR
	asked ok a lock 0 wr 0 100
	tell b lock 0 wr 0 10 wait
	tell c lock 0 wr 50 10 wait
	waits b
	waits c
	asked ok a lock 0 un 50 50
	answered ok c
	waits b
	asked ok a lock 0 un 0 50
	answered ok b
}

@test "fcntl: who would wait for itself, through two others, is told EDEADLK" {
	opened O_RDWR
	asked ok a lock 0 wr 0 1
	asked ok b lock 0 wr 1 1
	asked ok c lock 0 wr 2 1
	tell a lock 0 wr 1 1 wait
	waits a
	tell b lock 0 wr 2 1 wait
	waits b
	asked EDEADLK c lock 0 wr 0 1 wait
	asked ok c lock 0 un 2 1
	answered ok b
	asked ok b lock 0 un 0 0
	answered ok a
}

@test "fcntl: closing any descriptor of the file ends all ranges of the process" {
	opened O_RDWR
	asked ok a open 1 "$K/f" O_RDWR
	asked ok a lock 0 wr 0 0
	asked EAGAIN b lock 0 wr 0 0
	asked ok a close 1
	asked ok b lock 0 wr 0 0
}

@test "fcntl: a reader's range ends with its handle, though it sends no FLUSH" {
	asked ok a open 0 "$K/f" O_RDONLY
	asked ok b open 0 "$K/f" O_RDWR
	asked ok a lock 0 rd 0 0
	tell b lock 0 wr 0 0 wait
	waits b
	asked ok a close 0
	answered ok b
}

@test "open file description locks belong to the open file" {
	opened O_RDWR
	asked ok a open 1 "$K/f" O_RDWR
	asked ok a lock 0 wr 0 0 ofd
	asked EAGAIN a lock 1 wr 0 0 ofd
	asked EAGAIN b lock 0 wr 0 0
	asked ok a close 0
	eventually 5 eval '[ "$(ask b lock 0 wr 0 0)" = ok ]'
}

@test "flock and fcntl do not know of each other" {
	opened O_RDWR
	asked ok a flock 0 ex
	asked ok b lock 0 wr 0 0
}

@test "a granted lock moves reader and writer to the newest value" {
	asked ok a open 0 "$K/f" O_RDONLY
	asked ok b open 0 "$K/f" O_RDWR
	echo 'two, longer' >"$K/f"
	asked 'one\n' a pread 0 0 100
	asked 'one\n' b pread 0 0 100
	asked ok a flock 0 sh
	asked ok b lock 0 rd 0 0
	asked 'two, longer\n' a pread 0 0 100
	asked 'two, longer\n' b pread 0 0 100
}

@test "who has written what is not committed keeps its view over a lock" {
	opened O_RDWR
	asked ok a pwrite 0 0 ONE
	echo 'two' >"$K/f"
	asked ok a lock 0 wr 0 0
	asked 'ONE\n' a pread 0 0 100
}

@test "an unlock commits, before the next one is granted it" {
	opened O_RDWR
	asked ok a lock 0 wr 0 0
	asked ok a pwrite 0 0 'two'
	tell b lock 0 wr 0 0 wait
	waits b
	is "$(cat "$K/f")" one
	asked ok a lock 0 un 0 0
	answered ok b
	is "$(cat "$K/f")" two
	asked 'two\n' b pread 0 0 100
	asked ok b flock 0 ex
	asked ok b pwrite 0 0 'thr'
	tell c flock 0 ex
	asked ok b flock 0 un
	answered ok c
	asked 'thr\n' c pread 0 0 100
}

@test "closing a second descriptor gives the lock up, so it commits" {
	opened O_RDWR
	asked ok a dup 0 1
	asked ok a lock 0 wr 0 0
	asked ok a pwrite 0 0 two
	asked ok a close 1
	is "$(cat "$K/f")" two
	asked ok b lock 0 wr 0 0
}

@test "an unlock that commits nothing makes no revision" {
	opened O_RDWR
	asked ok a lock 0 wr 0 0
	grows 0 asked ok a lock 0 un 0 0
	asked ok a flock 0 ex
	grows 0 asked ok a flock 0 un
}

@test "a name that several create and lock has all they add, in turn" {
	opened O_RDWR,O_CREAT "$K/new"
	asked ok a lock 0 wr 0 0
	asked ok a pwrite 0 0 a
	tell b lock 0 wr 0 0 wait
	asked ok a lock 0 un 0 0
	answered ok b
	asked a b pread 0 0 10
	asked ok b pwrite 0 1 b
	asked ok b lock 0 un 0 0
	asked ok c lock 0 wr 0 0
	asked ab c pread 0 0 10
	asked ok c pwrite 0 2 c
	asked ok c close 0
	is "$(cat "$K/new")" abc
}

@test "locks follow a rename; what replaces the file has its own" {
	opened O_RDWR
	asked ok a flock 0 ex
	mv "$K/f" "$K/g"
	asked ok c open 1 "$K/g" O_RDWR
	asked EAGAIN c flock 1 ex nb
	echo other >"$K/f"
	asked ok c open 2 "$K/f" O_RDWR
	asked ok c flock 2 ex nb
	begin
	mv "$V/g" "$V/h"
	commit ok "$T"
	asked ok c open 3 "$K/h" O_RDWR
	asked EAGAIN c flock 3 ex nb
	asked ok a flock 0 un
	asked ok c flock 3 ex nb
}

@test "a file that was removed is still locked by who has it open" {
	opened O_RDWR
	rm "$K/f"
	asked ok a flock 0 ex
	asked EAGAIN b flock 0 ex nb
	tell c flock 0 ex
	waits c
	asked ok a close 0
	answered ok c
}

@test "locks in a transaction are its own" {
	begin x
	begin y
	opened O_RDWR
	asked ok a flock 0 ex
	asked ok a open 1 "$V_x/f" O_RDWR
	asked ok b open 1 "$V_x/f" O_RDWR
	asked ok c open 1 "$V_y/f" O_RDWR
	asked ok a flock 1 ex nb
	asked EAGAIN b flock 1 sh nb
	asked ok c flock 1 ex nb
	asked ok a lock 1 wr 0 0
	asked EAGAIN b lock 1 wr 0 0
	asked ok a pwrite 1 0 two
	tell b lock 1 wr 0 0 wait
	asked ok a close 1
	answered ok b
	asked 'two\n' b pread 1 0 100
}

# increments LOCK FILE N: adds one to the number in FILE, N times, holding it open
increments() {
	timeout 120 "$PYTHON" - "$@" <<-'PY'
	import fcntl, os, sys
	kind, path, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
	lock = fcntl.flock if kind == 'flock' else fcntl.lockf
	fd = os.open(path, os.O_RDWR)
	for i in range(n):
	    lock(fd, fcntl.LOCK_EX)
	    number = int(os.pread(fd, 20, 0))
	    os.pwrite(fd, b'%d' % (number + 1), 0)
	    lock(fd, fcntl.LOCK_UN)
	PY
}

@test "2 processes of 1,000 locked increments each make 2,000, with flock and with fcntl" {
	local kind first
	for kind in flock fcntl; do
		printf 0 >"$K/$kind"
		increments $kind "$K/$kind" 1000 3>&- &
		first=$!
		increments $kind "$K/$kind" 1000
		wait $first
		is "$(cat "$K/$kind")" 2000 $kind
	done
}

@test "8 processes of locked increments in a transaction lose none" {
	local pids=() i
	begin
	printf 0 >"$V/n"
	for i in 1 2 3 4 5 6 7 8; do
		increments flock "$V/n" 50 3>&- &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i"; done
	is "$(cat "$V/n")" 400
	grows 1 commit ok "$T"
	is "$(cat "$K/n")" 400
}

@test "flock(1) in the shell: of 8 that append under it, each is whole and alone" {
	needs flock
	local pids=() i
	printf 0 >"$K/n"
	for i in 1 2 3 4 5 6 7 8; do
		# shellcheck disable=SC2016
		flock "$K/lock" sh -c 'for i in 1 2 3; do
			n=$(cat "$1"); echo $((n + 1)) >"$1"; done' - "$K/n" 3>&- &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i"; done
	is "$(cat "$K/n")" 24
}

# sqlite_writer JOURNAL FILE NAME
sqlite_writer() {
	local i
	{
		printf '.timeout 60000\npragma journal_mode=%s;\n' "$1"
		for ((i = 0; i < 40; i++)); do
			echo "begin immediate; insert into t values('$3', $i); update c set v = v + 1; commit;"
		done
	} | timeout 120 sqlite3 -bail "$2" >/dev/null
}

@test "two sqlite3 writers lose nothing, with journals that are deleted and truncated" {
	needs sqlite3
	local journal first
	for journal in delete truncate; do
		sqlite3 "$K/$journal" 'create table t(who, n); create table c(v); insert into c values(0)'
		sqlite_writer $journal "$K/$journal" a 3>&- &
		first=$!
		sqlite_writer $journal "$K/$journal" b
		wait $first
		is "$(sqlite3 "$K/$journal" 'select count(*) from t; select v from c; pragma integrity_check')" \
			$'80\n80\nok' $journal
	done
}

@test "unmounting ends the wait of whoever waits for a lock" {
	opened O_RDWR
	asked ok a flock 0 ex
	tell b flock 0 ex
	waits b
	kill -TERM "$DAEMON"
	eventually 20 stopped "$DAEMON"
	like "$(answer b)" '^(EINTR|ENOTCONN|ECONNABORTED|EIO)$'
	unmount_store
	mount_store
}
