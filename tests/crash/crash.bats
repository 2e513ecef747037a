#!/usr/bin/env bats
# kill -9 of the daemon at random moments: a commit is there or not at all, and what was
# acknowledged is there. COMMITFS_FULL=1: 100 rounds instead of 10. SEED repeats a run.

load killed

setup() { rounds 10 100; }

# get_transaction: what check-transaction prints, by one program in place of 40,000 requests
get_transaction() {
	local values
	values=$("$COMMITFS" eval "$MNT" <<<'get "" --prefix' | awk 'NR == 1 && $1 != "SUCCESS"
		/^[0-9]+ [0-9]+ [0-9][0-9]\/[0-9][0-9]$/ { getline; print }' | sort | uniq -c | xargs)
	if [[ $values =~ ^10000\ ([0-9]+)$ ]]; then
		echo "${BASH_REMATCH[1]}"
	else
		[ -z "$values" ] && echo none || fail "mixed: $values"
	fi
}

@test "a transaction over 10,000 keys is there whole or not at all, when acknowledged whole" {
	local round found last=none out=$BASE/out
	for ((round = 1; round <= ROUNDS; round++)); do
		: >"$out"
		"$CRASH_HELPERS/crash_writer" transaction "$MNT" $round >"$out" 3>&- &
		PROCESS_PID[writer]=$!
		if ((round % 5 == 0)); then
			random_sleep 900
		else
			# Around the commit: it takes some tens of milliseconds.
			eventually 60 grep -q . "$out"
			is "$(head -n1 "$out")" prepared
			random_sleep $((20 + RANDOM % 300))
		fi
		kill_daemon
		wait "${PROCESS_PID[writer]}" || true
		mount_again
		if ((round % 5 == 1)); then
			found=$("$CRASH_HELPERS/crash_writer" check-transaction "$MNT") || fail "round $round: $found"
		else
			found=$(get_transaction)
		fi
		if grep -q acknowledged "$out"; then
			is "$found" "$round" "round $round was acknowledged"
		else
			[ "$found" = "$round" ] || [ "$found" = "$last" ] ||
				fail "round $round: expected $round or $last, got $found"
		fi
		echo "round $round: $(tail -n1 "$out"), found $found"
		is "$(ls "$MNT/txn" | grep -c round || true)" 0
		last=$found
	done
}

@test "single writes that were acknowledged are there after kill -9" {
	local round journal=$BASE/journal
	for ((round = 1; round <= ROUNDS; round++)); do
		"$CRASH_HELPERS/crash_writer" single "$MNT" "$journal" 3>&- &
		PROCESS_PID[writer]=$!
		sleep 0.05
		random_sleep 400
		kill_daemon
		wait "${PROCESS_PID[writer]}" || true
		mount_again
		"$CRASH_HELPERS/crash_writer" check-single "$MNT" "$journal"
	done
	[ "$(grep -c ^a "$journal")" -ge $((ROUNDS * 20)) ]
}

@test "single writes of several processes that were acknowledged are there after kill -9" {
	local round i
	for ((round = 1; round <= (ROUNDS + 1) / 2; round++)); do
		for i in 1 2 3 4; do
			[ -d "$MNT/keys/p$i" ] || mkdir "$MNT/keys/p$i"
			bash -c 'for ((n = $3; ; n++)); do echo $n 2>/dev/null >"$1/$n" || exit 0; [ -e "$1/$n" ] || exit 0
				echo $n; done' - "$MNT/keys/p$i" - $((round * 100000)) >>"$BASE/said$i" 2>/dev/null 3>&- &
			PROCESS_PID[$i]=$!
		done
		random_sleep 900
		kill_daemon
		for i in 1 2 3 4; do wait "${PROCESS_PID[$i]}" || true; done
		mount_again
		for i in 1 2 3 4; do
			is "$(cd "$MNT/keys/p$i" && sort "$BASE/said$i" | comm -23 - <(ls | sort))" ''
			# A value is whole: it is its own name.
			is "$(cd "$MNT/keys/p$i" && grep -Lx '[0-9]*' ./* 2>/dev/null)" ''
		done
	done
}

# tree_of VIEW: every file below it with its value
tree_of() { (cd "$1" && find . -type f | sort | xargs -r grep -H ''); }

@test "a compaction that is killed leaves what is kept, and goes on" {
	local round i revision kept named at_revision before
	mkdir "$MNT/keys/c"
	for ((i = 0; i < 300; i++)); do echo $i >"$MNT/keys/c/k$((i % 10))"; done
	named=$(cat "$MNT/revision")
	mkdir "$MNT/at/keep"
	kept=$(tree_of "$MNT/at/keep/c")
	for ((round = 1; round <= ROUNDS; round++)); do
		bash -c 'for ((n = 0; ; n++)); do echo $n >"$1/n$((n % 7))" || exit 0; done' - \
			"$MNT/keys/c" 2>/dev/null 3>&- &
		PROCESS_PID[writer]=$!
		random_sleep 300
		revision=$(cat "$MNT/revision")
		at_revision=$(tree_of "$MNT/at/$revision/c")
		echo "$revision" >"$MNT/control/compact"
		random_sleep 60
		kill_daemon
		wait "${PROCESS_PID[writer]}" || true
		mount_again
		is "$(awk '$1 == "oldest_revision" { print $2 }' "$MNT/status")" "$revision"
		is "$(tree_of "$MNT/at/$revision/c")" "$at_revision" "round $round, revision $revision"
		is "$(tree_of "$MNT/at/keep/c")" "$kept" "round $round"
		is "$(head -n1 "$MNT/log" | cut -f2)" "$revision"
		before=$((revision - 1)) # but for what has the name
		[ $before -le "$named" ] || [ ! -e "$MNT/at/$before" ] || fail "revision $before is there"
	done
	rmdir "$MNT/at/keep"
}
