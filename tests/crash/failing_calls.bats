#!/usr/bin/env bats
# Each call on the store's files fails once, or from then on, while a fixed workload runs: what
# was refused says so, reading goes on, the daemon lives, and the next mount has everything that
# was acknowledged. Some of the calls; each of them with COMMITFS_FULL=1.

load shim

setup_file() {
	base_directory
	"$COMMITFS" init "$STORE"
	mount_store
	mkdir "$MNT/keys/w"
	local i
	for i in 1 2 3 4 5 6 7 8; do echo "old $i" >"$MNT/keys/w/old$i"; done
	unmount_store
	cp -a "$STORE" "$BASE/prepared"
}

teardown_file() { end_store; }

teardown() { end_mount; }

# Operations for fsop, and after each group what is there when all of it was acknowledged:
# `# FILE TEXT`, or `# FILE` for what is gone.
put() { printf 'open\t0\t%s\tO_WRONLY,O_CREAT,O_TRUNC\nline\t0\t%s\nclose\t0\n' "$1" "$2"; }

workload() {
	local i k=$MNT/keys/w t=$MNT/txn/calls
	for i in 1 2 3; do
		put "$k/new$i" "new $i"
		echo "# new$i new $i"
	done
	printf 'mkdir\t%s\n' "$t"
	put "$t/keys/w/old1" "changed 1"
	put "$t/keys/w/both" "both"
	put "$t/commit" test
	echo "# old1 changed 1"
	echo "# both both"
	printf 'rmdir\t%s\n' "$t"
	printf 'rename\t%s\t%s\n' "$k/old2" "$k/renamed"
	echo "# renamed old 2"
	printf 'unlink\t%s\n' "$k/old3"
	echo "# old3"
	printf 'mkdir\t%s\n' "$MNT/at/named"
	put "$MNT/control/compact" 5
	put "$k/last" last
	echo "# last last"
	printf 'rmdir\t%s\n' "$MNT/at/named"
}

# run_workload: its answers, one a line, into $BASE/answers; what must be there then into
# $BASE/acknowledged
run_workload() {
	workload >"$BASE/workload"
	grep -v '^#' "$BASE/workload" | timeout 60 "$FSOP" -i >"$BASE/answers" 2>/dev/null || true
	awk -v answers="$BASE/answers" '
		/^#/ { if (good) print substr($0, 3); said = 1; next }
		{ if (said || NR == 1) good = 1; said = 0
		  if ((getline answer < answers) <= 0 || answer != "ok") good = 0 }' \
		"$BASE/workload" >"$BASE/acknowledged"
}

# check_acknowledged WHEN
check_acknowledged() {
	local name text
	while read -r name text; do
		if [ -n "$text" ]; then
			is "$(cat "$MNT/keys/w/$name")" "$text" "$name, $1"
		else
			gone "$MNT/keys/w/$name" || fail "$name is there, $1"
		fi
	done <"$BASE/acknowledged"
	is "$(cut -f2 "$MNT/log" | awk 'NR > 1 && $1 != last + 1 { print } { last = $1 }')" '' "gap, $1"
}

# refused_well ERROR: only as the contract says
refused_well() {
	local others
	others=$(sort -u "$BASE/answers" | grep -vE "^(ok|EIO|EROFS|${1/EIO/ok}|EBADF|ENOENT|ESTALE|EINVAL)$" || true)
	is "$others" '' "answers"
	if grep -qx EIO "$BASE/answers"; then
		is "$(put "$MNT/keys/w/after" after | "$FSOP" -i | grep -v EBADF | head -n1)" EROFS
		like "$(field health "$MNT/status")" '^read-only'
	fi
	is "$(cat "$MNT/keys/w/old8" "$MNT/keys/w/old7")" "old 8
old 7" "reading goes on"
	running "$DAEMON" || fail "the daemon is gone"
}

fail_call() {
	local kind=$1 n=$2 action=$3 error=$4
	echo "$kind $n $action $error"
	rm -rf "$STORE"
	cp -a "$BASE/prepared" "$STORE"
	shim_mount
	control arm "$kind" "$n" "$action" "$error"
	run_workload
	[ "$(control happened)" = 0 ] || HAPPENED=$((HAPPENED + 1))
	control off
	refused_well "$error"
	check_acknowledged "before the next mount"
	end_mount
	plain_mount
	check_acknowledged "after the next mount"
	echo again >"$MNT/keys/w/again"
	is "$(cat "$MNT/keys/w/again")" again
	end_mount
}

# Calls of a kind that the workload makes, begun at the first.
count_calls() {
	rm -rf "$STORE"
	cp -a "$BASE/prepared" "$STORE"
	shim_mount
	local before after
	before=$(control calls | awk -v kind="$1" '$1 == kind { print $2 }')
	run_workload
	is "$(grep -vx ok "$BASE/answers" || true)" ''
	is "$(wc -l <"$BASE/acknowledged")" 8
	after=$(control calls | awk -v kind="$1" '$1 == kind { print $2 }')
	CALLS=$((after - before))
	end_mount
}

fail_calls() {
	local n step runs=0
	HAPPENED=0
	count_calls "$1"
	step=$((CALLS / 2))
	[ -z "${COMMITFS_FULL:-}" ] && [ $step -gt 1 ] || step=1
	for ((n = 1; n <= CALLS; n += step)); do
		fail_call "$1" $n "$([ $((n % 2)) = 0 ] && echo fail-from || echo fail)" EIO
		fail_call "$1" $n "$([ $((n % 2)) = 1 ] && echo fail-from || echo fail)" ENOSPC
		runs=$((runs + 2))
	done
	echo "# $1: $CALLS calls, $runs runs" >&3
	# The last calls are not always made.
	[ $((2 * HAPPENED)) -gt $runs ] || fail "only $HAPPENED of $runs calls failed"
}

@test "writes that fail are told, and lose nothing" { fail_calls write; }
@test "syncs that fail are told, and lose nothing" { fail_calls sync; }
@test "opens that fail are told, and lose nothing" { fail_calls open; }
@test "removals that fail are told, and lose nothing" { fail_calls remove; }

# fail_mount KIND N ERROR: a mount during which a call fails comes, or is refused with a reason
fail_mount() {
	local status=0
	echo "$*"
	rm -rf "$STORE"
	cp -a "$BASE/prepared" "$STORE"
	shim_begin
	control arm "$1" "$2" fail "$3"
	timeout 60 $SHIM "$COMMITFS" mount "$STORE" "$MNT" >"$BASE/refusal" 2>&1 3>&- || status=$?
	HAPPENED=$(control happened)
	if [ $status = 0 ]; then
		timeout 20 "$COMMITFS" umount "$MNT" || true # what failed may fail the close
	else
		is $status 74
		grep -q "^commitfs: cannot .*store '$STORE'" "$BASE/refusal" || fail "$(cat "$BASE/refusal")"
	fi
	while mounted "$MNT"; do umount -l "$MNT" || break; done
	plain_mount
	is "$(cat "$MNT/keys/w/old8")" "old 8"
	is "$(revision)" 10
	end_mount
}

@test "calls that fail while mounting refuse it, and the next mount works" {
	local kind n error step
	step=$([ -n "${COMMITFS_FULL:-}" ] && echo 1 || echo 7)
	for kind in open write sync rename read; do
		for ((n = 1; n < 100; n += step)); do
			error=$([ $((n % 4)) = 1 ] && echo ENOSPC || echo EIO)
			fail_mount $kind $n $error
			[ "$HAPPENED" = 0 ] || continue
			[ $n -gt 1 ] || fail "there is no $kind"
			break
		done
	done
}
