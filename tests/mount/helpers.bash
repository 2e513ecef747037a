# What every test of the mount uses. A file mounts one store in setup_file (`mount_own_store`),
# each test works in a directory of its own below keys/, teardown_file unmounts.
#
#   COMMITFS   the command under test      (default: ../../build/tools/commitfs)
#   HELPERS    the compiled helper programs (default: ../../build/tests/mount)
#
# In a test: D a name of its own, K the live directory keys/$D (it exists), MNT the mount;
# `begin X` makes a transaction in $T (its view of K is $V) or, with a suffix, in $T_X and $V_X.

bats_require_minimum_version 1.5.0

COMMITFS=${COMMITFS:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd)/build/tools/commitfs}
HELPERS=${HELPERS:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd)/build/tests/mount}
export COMMITFS HELPERS
export LC_ALL=C

# Two ordinary users. They need no entry in /etc/passwd, so none is made.
USER_A=54321
USER_B=54322
PYTHON=/usr/bin/python3

fail() {
	printf '%s\n' "$*" >&2
	return 1
}

# needs COMMAND...: otherwise it is skipped; a full run (tools/test --full) has installed all
needs() {
	local command
	for command in "$@"; do
		command -v "$command" >/dev/null && continue
		[ -z "${COMMITFS_FULL-}" ] || fail "$command is not installed" || return 1
		skip "$command is not installed"
	done
}

# is GOT WANTED [WHAT]
is() {
	[ "$1" = "$2" ] || fail "${3:+$3: }expected '$2', got '$1'"
}

# like TEXT REGEX
like() {
	[[ $1 =~ $2 ]] || fail "expected something like '$2', got '$1'"
}

# expect WANTED OP ARG... [: OP ARG...]: what fsop answers, an errno by name
expect() {
	local wanted=$1 got
	shift
	got=$("$FSOP" "$@" 2>/dev/null) || true
	got=${got##*$'\n'}
	[ "$got" = "$wanted" ] || fail "expected $wanted, got $got: fsop $*"
}

# expect_any "E1 E2" OP...: where the contract leaves the choice to the kernel
expect_any() {
	local wanted=$1 got
	shift
	got=$("$FSOP" "$@" 2>/dev/null) || true
	got=${got##*$'\n'}
	[[ " $wanted " = *" $got "* ]] || fail "expected one of $wanted, got $got: fsop $*"
}

# as_user UID COMMAND...
as_user() {
	local uid=$1
	shift
	setpriv --reuid="$uid" --regid="$uid" --clear-groups -- "$@"
}

# eventually SECONDS COMMAND...: until it succeeds
eventually() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -le $end ] || fail "not within the time: $*" || return 1
		sleep 0.05
	done
}

# seed: of RANDOM; SEED repeats a run
seed() {
	RANDOM=${SEED:=$(date +%s)}
	echo "SEED=$SEED"
}

# random_sleep MAX: so many milliseconds at most
random_sleep() { sleep "$(printf '0.%03d' $((RANDOM % $1)))"; }

gone() { ! "$FSOP" lstat "$1" >/dev/null 2>&1; }
there() { "$FSOP" lstat "$1" >/dev/null 2>&1; }

# at_once COMMAND...: it succeeds, unless it took the 100 ms that the daemon waits at most for
# the kernel to send a RELEASE; on a busy machine that may take longer, and then it succeeds soon.
at_once() {
	local begun=${EPOCHREALTIME/./}
	"$@" || { [ $((${EPOCHREALTIME/./} - begun)) -ge 100000 ] && eventually 10 "$@"; } || fail "not at once: $*"
}

size_is() { [ "$(wc -c <"$1")" = "$2" ]; }
revision_is() {
	local now
	read -r now <"$MNT/revision" && [ "$now" = "$1" ]
}

# holds FILE TEXT: for eventually
holds() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }

revision() { cat "$MNT/revision"; }

# grows N COMMAND...: by how much the revision grows, exactly
grows() {
	local wanted=$1 before after
	shift
	before=$(revision)
	"$@" || fail "failed: $*" || return 1
	after=$(revision)
	[ $((after - before)) -eq "$wanted" ] ||
		fail "expected $wanted new revisions, got $((after - before)): $*"
}

# field NAME FILE: the value of a line `NAME value`
field() {
	awk -v name="$1" '$1 == name { sub(/^[^ \t]+[ \t]+/, ""); print; exit }' "$2"
}

# Other processes: `process w` starts one, `ask w OP ARG...` has it do one call and prints
# the answer, `tell w OP...` does not wait for the answer, `answer w` fetches it later.
declare -gA PROCESS_PID PROCESS_IN PROCESS_OUT

process() {
	local name=$1 in out pipe=$BATS_TEST_TMPDIR/$1.$RANDOM
	shift
	mkfifo "$pipe.in" "$pipe.out"
	"$@" "$FSOP" -i <"$pipe.in" >"$pipe.out" 3>&- &
	PROCESS_PID[$name]=$!
	exec {in}>"$pipe.in" {out}<"$pipe.out"
	PROCESS_IN[$name]=$in
	PROCESS_OUT[$name]=$out
}

tell() {
	local name=$1 line
	shift
	line=$(printf '%s\t' "$@")
	printf '%s\n' "${line%$'\t'}" >&"${PROCESS_IN[$name]}"
}

answer() {
	local line
	read -r -t 30 -u "${PROCESS_OUT[$1]}" line || line=no-answer
	printf '%s\n' "$line"
}

ask() {
	tell "$@"
	answer "$1"
}

# asked WANTED NAME OP ARG...
asked() {
	local wanted=$1 got
	shift
	got=$(ask "$@")
	[ "$got" = "$wanted" ] || fail "expected $wanted, got $got: $*"
}

kill_process() {
	kill -9 "${PROCESS_PID[$1]}"
	wait "${PROCESS_PID[$1]}" 2>/dev/null || true
	unset "PROCESS_PID[$1]"
}

# Transactions

begin() {
	local name=$D${1:+.$1}
	mkdir "$MNT/txn/$name" || return 1
	printf -v "T${1:+_$1}" '%s' "$MNT/txn/$name"
	printf -v "V${1:+_$1}" '%s' "$MNT/txn/$name/keys/$D"
}

# commit WANTED DIR [MESSAGE]: the outcome of the one write to `commit`
commit() {
	expect "$1" open 0 "$2/commit" O_WRONLY : line 0 "${3:-test}" : close 0
}

TAB=$'\t'

# The word that the line in `commit` begins with
state() { sed -n '1s/^\([a-z]*\).*/\1/p' "$1/commit"; }

# level LEVEL DIR
level() { echo "$1" >"$2/isolation"; }

# lines FILE KIND KEY: the lines of that kind on that key
lines() {
	awk -F'\t' -v kind="$2" -v key="$3" '$1 == kind && $NF == key' "$1"
}

# The mount

# base_directory: BASE, reachable by every user
base_directory() {
	BASE=$(mktemp -d "${TMPDIR:-/tmp}/commitfs-test.XXXXXX")
	chmod 755 "$BASE"
	cp "$HELPERS/fsop" "$BASE/fsop"
	FSOP=$BASE/fsop STORE=$BASE/store MNT=$BASE/mnt
	mkdir "$MNT"
	export BASE FSOP STORE MNT
}

mounted() { grep -qF " $1 " /proc/self/mountinfo; }
unmounted() { ! mounted "$1" || fail "still mounted: $1"; }

# mount_store [OPTION...]: STORE on MNT; DAEMON is its process, which is in BASE/daemon too, for
# the tests after one that mounts anew. RUNNER may wrap the command.
mount_store() {
	${RUNNER:-} "$COMMITFS" mount -f "$@" "$STORE" "$MNT" >>"$BASE/log" 2>&1 3>&- &
	export DAEMON=$!
	echo "$DAEMON" >"$BASE/daemon"
	local i
	for ((i = 0; i < 1200; i++)); do
		# A dead mount at the same place answers ENOTCONN to an open, but not to every stat.
		cat "$MNT/revision" >/dev/null 2>&1 && return 0
		kill -0 "$DAEMON" 2>/dev/null || break
		sleep 0.05
	done
	cat "$BASE/log" >&2
	fail "the mount did not come"
}

running() { [ -e "/proc/$1/stat" ] && [ "$(awk '{ print $3 }' "/proc/$1/stat" 2>/dev/null)" != Z ]; }
stopped() { ! running "$1"; }

kill_daemon() {
	kill -9 "$DAEMON"
	eventually 10 stopped "$DAEMON"
	umount -l "$MNT"
}

unmount_store() {
	local result=0
	if mounted "$MNT"; then
		timeout 20 "$COMMITFS" umount "$MNT" || result=1
	fi
	eventually 20 stopped "$DAEMON" || { kill -9 "$DAEMON"; result=1; }
	while mounted "$MNT"; do
		umount -l "$MNT" || break
	done
	return $result
}

# Sanitizers report into the log of the daemon; a test file with a report has failed.
check_log() {
	if [ -e "$BASE/log" ] && grep -qE 'Sanitizer|runtime error|Assertion|assertion' "$BASE/log"; then
		cat "$BASE/log" >&2
		return 1
	fi
}

mount_own_store() {
	base_directory
	"$COMMITFS" init "$STORE"
	mount_store "$@"
}

# check_killed_store: what a kill leaves behind agrees. Threads of the daemon that wait for the
# disk may hold the store a little longer than its process is there.
check_killed_store() {
	local i status
	for ((i = 0; i < 200; i++)); do
		status=0
		"$COMMITFS" check "$STORE" >"$BASE/check" 2>&1 || status=$?
		[ $status = 74 ] && grep -q "another process has it open" "$BASE/check" || break
		sleep 0.1
	done
	[ $status = 0 ] || fail "$(head -n 20 "$BASE/check")"
}

# Whatever a test did, the store agrees afterwards. One that cannot be opened, for want of a
# key for instance, is not looked at.
check_store() {
	local status=0
	[ -d "${STORE:-}" ] || return 0
	"$COMMITFS" check "$STORE" >"$BASE/check" 2>&1 || status=$?
	[ $status = 0 ] || [ $status = 74 ] || { head -n 20 "$BASE/check" >&2; return 1; }
}

unmount_own_store() {
	local result=0
	[ -n "${BASE:-}" ] || return 0
	touch "$BASE/log"
	if [ -e "$BASE/daemon" ]; then
		DAEMON=$(cat "$BASE/daemon")
		unmount_store || result=1
	fi
	check_log || result=1
	check_store || result=1
	[ $result = 0 ] || { tail -n 40 "$BASE/log" >&2; }
	rm -rf --one-file-system "$BASE"
	return $result
}

own_directory() {
	D=t$BATS_TEST_NUMBER
	K=$MNT/keys/$D
	mkdir "$K"
}

end_processes() {
	local pid dir
	for pid in "${PROCESS_PID[@]}"; do
		kill -9 "$pid" 2>/dev/null || true
	done
	for dir in "$MNT/txn/$D" "$MNT/txn/$D".*; do
		rmdir "$dir" 2>/dev/null || true
	done
}

# log_in_use FILE: the size of a write-ahead log without the zeros that it is ahead of itself
log_in_use() { cmp -l "$1" /dev/zero 2>/dev/null | awk 'END { print $1 }'; }
