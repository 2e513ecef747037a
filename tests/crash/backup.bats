#!/usr/bin/env bats
# Backups that are cut short, by kill -9 of the command or of the daemon: the older ones stay
# good, and the next one works. COMMITFS_FULL=1: 60 rounds instead of 8. SEED repeats a run.

load killed

setup() {
	rounds 8 60
	B=$BASE/backup
}

start_writer() {
	bash -c 'for ((n = 0; ; n++)); do head -c $((RANDOM * 3)) /dev/urandom >"$1/k$((n % 40))" || exit 0; done' - \
		"$MNT/keys" 2>/dev/null 3>&- &
	PROCESS_PID[writer]=$!
}

# last_backup: its number and revision
last_backup() { "$COMMITFS" backup list "$B" | tail -n 1 | cut -f1,2; }

@test "a backup that is cut short leaves those before it good" {
	local round before after whole=0
	start_writer
	"$COMMITFS" backup create "$MNT" "$B" >/dev/null
	for ((round = 1; round <= ROUNDS; round++)); do
		before=$(last_backup)
		"$COMMITFS" backup create --keep=2 "$MNT" "$B" >"$BASE/out" 2>&1 3>&- &
		PROCESS_PID[backup]=$!
		random_sleep 600
		if ((round % 2)); then
			kill -9 "${PROCESS_PID[backup]}" 2>/dev/null || true
			wait "${PROCESS_PID[backup]}" || true
		else
			kill_daemon
			mount_again
			is "$(find "$STORE" -maxdepth 1 -name 'checkpoint.*')" '' "left behind"
			# It may have been so far that it needed the daemon no more, or fails.
			wait "${PROCESS_PID[backup]}" || true
			wait "${PROCESS_PID[writer]}" || true
			start_writer
		fi
		after=$(last_backup)
		[ "${after%%$'\t'*}" -ge "${before%%$'\t'*}" ] || fail "round $round: was $before, is $after"
		run -0 "$COMMITFS" backup verify "$B"
		like "$output" "is revision ${after##*$'\t'}: .* nothing found"
		[ "$after" = "$before" ] || whole=$((whole + 1))
		# An old one as well.
		if [ "$after" != "$before" ] && "$COMMITFS" backup list "$B" | grep -q "^${before%%$'\t'*}"$'\t'; then
			run -0 "$COMMITFS" backup verify --id="${before%%$'\t'*}" "$B"
		fi
	done
	echo "$whole of $ROUNDS came to their end"
	"$COMMITFS" backup create --keep=1 "$MNT" "$B" >/dev/null
	run -0 "$COMMITFS" backup verify "$B"
	is "$("$COMMITFS" backup list "$B" | wc -l)" 1
}

left_behind() { find "$BASE" -maxdepth 1 -name 'restored.commitfs-restore.*'; }

@test "a restore that is cut short makes no store, and the next removes what it left" {
	local round whole=0 left=0 whole_us begun=${EPOCHREALTIME/./}
	"$COMMITFS" backup restore "$B" "$BASE/restored" >/dev/null
	whole_us=$((${EPOCHREALTIME/./} - begun))
	rm -rf "$BASE/restored"
	for ((round = 1; round <= ROUNDS; round++)); do
		"$COMMITFS" backup restore "$B" "$BASE/restored" >/dev/null 2>&1 3>&- &
		PROCESS_PID[restore]=$!
		sleep "$((whole_us * (RANDOM % 1000) / 1000))e-6"
		kill -9 "${PROCESS_PID[restore]}" 2>/dev/null || true
		wait "${PROCESS_PID[restore]}" || true
		if [ -e "$BASE/restored" ]; then
			whole=$((whole + 1))
			run -0 "$COMMITFS" check "$BASE/restored"
		fi
		rm -rf "$BASE/restored"
		left=$((left + $(left_behind | wc -l)))
	done
	echo "$whole of $ROUNDS came to their end, which takes $whole_us us; they left $left, in all"
	"$COMMITFS" backup restore "$B" "$BASE/restored" >/dev/null
	is "$(left_behind)" ''
	run -0 "$COMMITFS" check "$BASE/restored"
}

has_sorter() { [ -n "$(find "$1" -path '*/commitfs-sort.*' -name CURRENT)" ]; }

@test "a check that is killed leaves what the next one removes" {
	local tmp=$BASE/tmp left
	mkdir "$tmp"
	"$COMMITFS" backup restore "$B" "$BASE/checked" >/dev/null
	TMPDIR=$tmp "$COMMITFS" check "$BASE/checked" >/dev/null 2>&1 3>&- &
	PROCESS_PID[check]=$!
	until has_sorter "$tmp" || ! running "${PROCESS_PID[check]}"; do :; done
	kill -9 "${PROCESS_PID[check]}" 2>/dev/null || true
	wait "${PROCESS_PID[check]}" || true
	left=$(ls "$tmp")
	echo "left behind: ${left:-nothing, it was done}"
	TMPDIR=$tmp run -0 "$COMMITFS" check "$BASE/checked"
	is "$(ls "$tmp")" ''
}
