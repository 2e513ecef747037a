#!/usr/bin/env bats
# What each call costs in requests of the kernel, counted by the mount itself: the table of
# "Numbers to reach", to the request. Nothing here is timed.
#
# RELEASE and FORGET come when the kernel likes and are left out. Calls of C are made by fsop,
# one at a time; those of a shell by this one, with its builtins: bash asks with an IOCTL
# whether what it reads is a terminal, which no filesystem can keep it from. The cost of a name
# that is looked up for the first time is paid before.

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }

setup() {
	own_directory
	process p
	mkfifo "$BATS_TEST_TMPDIR/count.in" "$BATS_TEST_TMPDIR/count.out"
	"$HELPERS/count_requests" "$MNT/metrics" <"$BATS_TEST_TMPDIR/count.in" \
		>"$BATS_TEST_TMPDIR/count.out" 3>&- &
	COUNTER=$!
	exec {COUNT_IN}>"$BATS_TEST_TMPDIR/count.in" {COUNT_OUT}<"$BATS_TEST_TMPDIR/count.out"
	echo four >"$K/a"
	echo four >"$K/b"
}

teardown() {
	exec {COUNT_IN}>&- {COUNT_OUT}<&-
	kill "$COUNTER" 2>/dev/null || true
	end_processes
}

# counted: COST, the requests since the last time
counted() {
	echo >&"$COUNT_IN"
	read -r -t 30 -u "$COUNT_OUT" COST
}

# costs WANTED COMMAND...
costs() {
	local wanted=$1
	shift
	counted
	"$@"
	counted
	is "$COST" "$wanted" "$*"
}

# total: the sum of COST
total() {
	local each sum=0
	for each in $COST; do sum=$((sum + ${each#*:})); done
	echo "$sum"
}

# By C, to the end of the file
read_key() {
	asked ok p open 1 "$1" O_RDONLY
	asked "${2:-four}\\n" p read 1
	asked ok p close 1
}

write_key() {
	asked ok p open 1 "$1" O_WRONLY,O_TRUNC
	asked ok p line 1 "${2:-four}"
	asked ok p close 1
}

# By the shell
shell_read() { read -r line <"$1"; }
shell_write() { echo "${2:-four}" >"$1"; }

@test "counting itself costs nothing that is counted" {
	ask p stat "$K/a"
	costs - true
	costs - ask p stat /
	costs getattr:1 ask p stat "$K/a"
}

@test "reading a live key" {
	read_key "$K/a"
	costs "getattr:1 open:1 read:2" read_key "$K/a"
	costs "getattr:1 ioctl:1 open:1 read:1" shell_read "$K/a"
}

@test "replacing a live key" {
	write_key "$K/a"
	costs "flush:1 getattr:1 open:1 write:1" write_key "$K/a"
	costs "flush:2 getattr:1 open:1 write:1" shell_write "$K/a"
}

@test "stat of a live key, and of one a transaction has read" {
	ask p stat "$K/a"
	costs getattr:1 ask p stat "$K/a"
	begin
	read_key "$V/a"
	ask p stat "$V/a" # the time of access is out of date after a READ
	costs - ask p stat "$V/a"
	# Whether a stat comes before an open is not known until its thread's next request.
	ask p stat "$V/b"
	costs getattr:1 ask p stat "$V/b"
	costs - ask p stat "$V/b"
}

@test "reading a key of a transaction once more" {
	begin
	ask p stat "$V"
	costs "getattr:2 lookup:1 open:1 read:1" read_key "$V/a"
	costs open:1 read_key "$V/a"
	costs "ioctl:1 open:1" shell_read "$V/a"
	costs open:1 read_key "$V/a"
}

@test "a large value of a transaction is read in requests of 1 MiB" {
	head -c 1048576 /dev/zero >"$K/large"
	begin
	ask p stat "$V"
	costs "getattr:1 lookup:1 open:1 read:3" eval '"$FSOP" open 1 "$V/large" O_RDONLY : read 1 2000000 >/dev/null'
}

@test "beginning a transaction" {
	shell_read "$MNT/txn/new"
	costs "ioctl:1 open:1 read:1" shell_read "$MNT/txn/new"
	asked ok p open 1 "$MNT/txn/new" O_RDONLY
	asked ok p close 1
	costs open:1 asked ok p open 1 "$MNT/txn/new" O_RDONLY
	# What is shorter is read to its end.
	costs read:2 eval 'like "$(ask p read 1 16)" "^new-"'
}

@test "committing" {
	begin
	shell_write "$V/a"
	asked ok p open 1 "$T/commit" O_WRONLY
	asked ok p open 2 "$T/restart" O_WRONLY
	costs write:1 asked ok p line 1 message
	asked ok p line 2 again
	shell_write "$V/a"
	costs "flush:2 open:1 write:1" shell_write "$T/commit"
}

# Two keys read to their end, two replaced, in a transaction that is begun again by a restart
transfer() {
	asked ok p line 2 again
	read_key "$1/a"
	read_key "$1/b"
	write_key "$1/a"
	write_key "$1/b"
	asked ok p line 3 message
}

# The same with one open for each key, as C can
transfer_in_place() {
	local key
	asked ok p line 2 again
	for key in a b; do
		asked ok p open 1 "$1/$key" O_RDWR
		asked four p pread 1 0 4
		asked ok p pwrite 1 0 four
		asked ok p close 1
	done
	asked ok p line 3 message
}

@test "a transfer in a transaction that is used again" {
	begin
	asked ok p open 2 "$T/restart" O_WRONLY
	asked ok p open 3 "$T/commit" O_WRONLY
	transfer "$V"
	# The directory, and twice: permissions, open, attributes, content; open, write. Names
	# outlive the restart.
	costs "getattr:5 open:4 read:2 write:4" transfer "$V"
	[ "$(total)" -le 16 ]
	transfer_in_place "$V"
	costs "getattr:3 open:2 read:2 write:4" transfer_in_place "$V"
	[ "$(total)" -le 12 ]
}

@test "what a transaction writes is seen by whoever has read it already" {
	begin
	asked ok p open 5 "$V/a" O_RDONLY
	asked 'four\n' p read 5
	read_key "$V/a"
	echo longer >"$V/a"
	asked 'longer\n' p pread 5 0 100
	read_key "$V/a" longer
	asked ok p open 2 "$V/a" O_RDWR
	asked ok p pwrite 2 0 L
	asked 'Longer\n' p pread 5 0 100
	asked ok p ftruncate 2 3
	asked 'Lon' p pread 5 0 100
	expect ok truncate "$V/a" 1
	asked 'L' p pread 5 0 100
	asked 'L' p pread 2 0 100
	is "$(cat "$K/a")" four
}

@test "writing while others read leaves nobody with what was there before" {
	echo 00000000 >"$K/a"
	begin
	run "$HELPERS/view_pages" "$V/a" 20000
	is "$output" "0 wrong of 20000"
}

@test "what is open reads on after a restart, and nothing after the end" {
	begin
	asked ok p open 1 "$V/a" O_RDONLY
	asked 'four\n' p read 1
	echo five >"$V/a"
	asked 'five\n' p pread 1 0 100
	echo >"$T/restart"
	asked 'four\n' p pread 1 0 100
	rmdir "$T"
	asked ESTALE p pread 1 0 100
}

@test "a new round reads new values, however often the old ones were read" {
	begin
	read_key "$V/a"
	read_key "$V/a"
	echo five >"$K/a"
	read_key "$V/a" four
	echo >"$T/restart"
	read_key "$V/a" five
	read_key "$V/a" five
	is "$(grep -c "^value.*$D/a\$" "$T/reads")" 1
}
