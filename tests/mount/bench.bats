#!/usr/bin/env bats
# The benchmark: what it prints, and that nothing of it is left. How fast anything is, is
# never tested: tests/bench/README.md says how to measure that.

load helpers

setup() {
	base_directory
	cd "$BASE" || return 1
}

teardown() {
	cd /
	unmount_own_store
}

mount_here() {
	"$COMMITFS" init "$STORE"
	mount_store
}

# At most a moment a row.
bench() {
	"$COMMITFS" bench --quick --seconds=0.02 "$@" 3>&-
}

# json EXPRESSION: of the rows that stdin has; python's, with `rows` and `names`
json() {
	"$PYTHON" -c '
import json, sys
rows = json.load(sys.stdin)
names = {(row["name"], row["clients"]) for row in rows}
value = eval(sys.argv[1])
print(value if not isinstance(value, bool) else str(value).lower())
' "$1"
}

# refused STATUS TEXT ARG...
refused() {
	local wanted=$1 text=$2
	shift 2
	run --separate-stderr "$COMMITFS" bench "$@" 3>&-
	is "$status" "$wanted" "exit status"
	# shellcheck disable=SC2154 # bats sets it
	like "$stderr" "^commitfs: cannot .*$text"
	is "$output" ""
}

nothing_mounted() {
	! grep -qF " $BASE/" /proc/self/mountinfo || fail "$(grep -F "$BASE" /proc/self/mountinfo)"
}

# Rows

@test "a run on a store of its own has all rows, with their figures, and leaves nothing" {
	local rows row
	rows=$(bench --json --store fresh)
	for row in base,1 base,16 committer,1 committer,16 round-trip,1 round-trip,16 \
		transfer,1 transfer,16 \
		contention,16 durable-write,1 read,1 stat,1 shell-transfer,1 shell-transfer,16 \
		shell-read,1 program,1 program,16 program-contention,16 watch,1 ls,1 ls-disk,1 find,1 find-disk,1 crash-open,1; do
		is "$(json "('${row%,*}', ${row#*,}) in names" <<<"$rows")" true "$row"
	done
	is "$(json 'sorted({key for row in rows for key in ("name", "clients", "p50_us", "p99_us",
		"per_second", "ratio", "requests") if key not in row})' <<<"$rows")" "[]"
	# A reader of watch may have a commit before its writer has the reply.
	is "$(json 'sorted(row["name"] for row in rows if row["name"] != "watch" and
		not 0 < row["p50_us"] <= row["p99_us"])' <<<"$rows")" "[]"
	is "$(json '[row["ratio"] for row in rows if row["name"] == "base"][0]' <<<"$rows")" 1
	is "$(json '[row["fairness"] >= 1 for row in rows if "contention" in row["name"]]' \
		<<<"$rows")" "[True, True]"
	is "$(json '[row["against"] for row in rows if row["name"] in ("ls", "find")]' \
		<<<"$rows")" "['ls-disk', 'find-disk']"
	[ ! -e fresh ] || fail "left: $(find fresh)"
	nothing_mounted
}

@test "requests are counted exactly, where the mount counts them" {
	mount_here
	local rows
	rows=$(bench --json --only=round-trip,read,stat "$MNT")
	is "$(json 'sorted({row["name"] for row in rows if row["requests"] == 1})' <<<"$rows")" \
		"['round-trip', 'stat']"
	is "$(json '[0 < row["requests"] <= 5 for row in rows if row["name"] == "read"]' \
		<<<"$rows")" "[True]"
	is "$(json '[row["floor_us"] > 0 for row in rows if row["name"] in ("read", "stat")]' \
		<<<"$rows")" "[True, True]"
}

@test "a run on a mount works in a directory of its own and removes it" {
	mount_here
	local before
	mkdir "$MNT/keys/mine"
	echo 1 >"$MNT/keys/mine/key"
	before=$(ls -A "$BASE" "$MNT/txn")
	bench --only=transfer,shell-transfer,contention,find,find-disk "$MNT" >table
	rm table
	is "$(ls -A "$MNT/keys")" mine
	is "$(cat "$MNT/keys/mine/key")" 1
	is "$(ls -A "$BASE" "$MNT/txn")" "$before"
}

@test "--only has the rows named, beside what they are related to" {
	local rows
	rows=$(bench --json --only=stat,read --store fresh)
	is "$(json 'sorted(names)' <<<"$rows")" \
		"[('base', 1), ('read', 1), ('round-trip', 1), ('stat', 1)]"
}

@test "each round measures every row again" {
	local one three
	one=$(bench --json --only=crash-open --rounds=1 --store fresh)
	three=$(bench --json --only=crash-open --rounds=3 --store fresh)
	# One opening a round: with one of them, both percentiles are the same.
	is "$(json '[row["p50_us"] == row["p99_us"] for row in rows if row["name"] == "crash-open"]' \
		<<<"$one")" "[True]"
	is "$(json '[row["p50_us"] < row["p99_us"] for row in rows if row["name"] == "crash-open"]' \
		<<<"$three")" "[True]"
}

@test "--scale has rows by keys and by clients, and the memory of the daemon" {
	local rows
	rows=$(bench --json --scale --only=transfer,memory --store fresh)
	is "$(json 'sorted({row["keys"] for row in rows if row["name"] == "transfer"})' \
		<<<"$rows")" "[1000, 10000]"
	is "$(json '("transfer", 2) in names' <<<"$rows")" true
	is "$(json '[row["keys"] if "keys" in row else 0 for row in rows
		if row["name"] == "memory" and row["bytes"] > 1000000]' <<<"$rows")" "[0, 1000, 10000]"
	[ ! -e fresh ] || fail "left: $(find fresh)"
}

@test "peers that are not installed are named and left out" {
	mkdir none
	run --separate-stderr env PATH="$BASE/none" "$COMMITFS" bench --quick --seconds=0.02 --json \
		--peers --only=redis,redis-shell,etcd,etcd-shell,sqlite-shell --store fresh 3>&-
	is "$status" 0
	for name in redis redis-shell etcd etcd-shell sqlite-shell; do
		like "$stderr" "commitfs: left out: $name: .* not installed"
	done
	is "$(json 'sorted(names)' <<<"$output")" "[('base', 1), ('round-trip', 1)]"
}

@test "files on the disk are a peer that is always there" {
	local rows
	rows=$(bench --json --peers --only=disk,disk-read,disk-shell --store fresh)
	is "$(json '("disk", 1) in names and ("disk", 16) in names and ("disk-shell", 1) in names' \
		<<<"$rows")" true
}

@test "the table is for people, or markdown" {
	local text
	text=$(bench --only=stat --store fresh)
	like "$text" '^row +clients +keys +p50 us +p99 us +per second +R +requests'
	like "$text" $'\nstat +1 +1000 '
	text=$(bench --markdown --only=stat --store fresh)
	like "$text" '^\| row +\| clients \|'
	like "$text" $'\n\|-+\|-+:\|'
	like "$text" $'\n\| stat +\| +1 \| +1000 \|'
}

# The end

@test "a signal ends it, with nothing mounted, running or lying about" {
	local pid status=0
	# Not through a function: its process is to be the benchmark itself.
	"$COMMITFS" bench --seconds=2 --only=transfer,shell-transfer --store fresh \
		>"$BASE/out" 2>"$BASE/errors" 3>&- &
	pid=$!
	eventually 20 grep -qF " $BASE/fresh/" /proc/self/mountinfo
	kill -TERM $pid
	wait $pid || status=$?
	is "$status" 143
	is "$(cat "$BASE/out")" ""
	[ ! -e fresh ] || fail "left: $(find fresh)"
	nothing_mounted
	[ ! -e "/proc/$pid" ] || fail "still running"
	run -1 pgrep -af "$(realpath "$COMMITFS") .*$BASE/fresh"
}

@test "an interrupted run on a mount removes its directory" {
	mount_here
	local pid status=0
	"$COMMITFS" bench --seconds=2 --only=transfer "$MNT" >"$BASE/out" 2>&1 3>&- &
	pid=$!
	eventually 20 there "$MNT/keys/bench-$pid/accounts/0"
	kill -TERM $pid
	wait $pid || status=$?
	is "$status" 143
	is "$(ls -A "$MNT/keys")" ""
	is "$(compgen -G "$BASE/commitfs-bench-*" || true)" ""
}

# Words

@test "words that make no sense exit 64" {
	mkdir full
	touch full/file
	refused 64 "expected: commitfs bench"
	refused 64 "expected: commitfs bench" a b
	refused 64 "no such row; see" --only=read,nonsense --store fresh
	refused 64 "no such row without --peers" --only=etcd --store fresh
	refused 64 "expected 1 to" --rounds=-1 --store fresh
	refused 64 "expected more than 0" --seconds=-1 --store fresh
	refused 64 "at once" --json --markdown --store fresh
	refused 64 "not empty" --store full
	refused 64 "Unknown option" --nonsense --store fresh
	is "$(ls)" "$(printf '%s\n' fsop full mnt)"
}

@test "where no commitfs is mounted it exits 69" {
	refused 69 "no commitfs is mounted there" mnt
}

@test "without gnuplot --plot says so and exits 69" {
	mkdir none
	run --separate-stderr env PATH="$BASE/none" "$COMMITFS" bench --plot=plots --store fresh 3>&-
	is "$status" 69
	like "$stderr" "^commitfs: cannot draw: gnuplot is not installed"
	[ ! -e plots ] || fail "made plots"
}

@test "with gnuplot --plot draws" {
	type gnuplot >/dev/null || skip "no gnuplot"
	bench --plot=plots --scale --only=transfer --store fresh >table
	for file in clients-latency clients-throughput keys-latency keys-throughput; do
		like "$(cat "plots/$file.svg")" '<svg .*transfer'
	done
	is "$(find plots -type f | wc -l)" 4
}
