#!/usr/bin/env bats
# Deaths under the load of the transaction checker: see crash_transactions.c. The number of
# deaths of each form is ten times as large with COMMITFS_FULL=1. SEED repeats a run.

load shim

setup() {
	export SANITIZER_LIBRARY=$(sanitizer_library)
	TIMES=${COMMITFS_FULL:+20}
	SEED=${SEED:-$RANDOM}
}

# die FORM CYCLES: as many times, and what it came to is shown
die() {
	"$CRASH_HELPERS/crash_transactions" "$1" --seed=$((SEED + 1)) --cycles=$(($2 * ${TIMES:-1})) 3>&-
}

@test "killed at any moment: what was acknowledged is there, nothing in part, no gap" {
	die kill 8
}

@test "killed between writing, syncing, notifying and answering: the same" {
	die steps 9
}

@test "a power cut that takes what was not synced, or parts of it: the same" {
	die power 6
}

@test "a disk that does not sync is found out by the same checker" {
	TIMES=1
	die lie 3 >"$BATS_TEST_TMPDIR/out" 2>&1 || {
		tail -n 20 "$BATS_TEST_TMPDIR/out"
		false
	}
}
