#!/usr/bin/env bats
# check, and backups: made while others commit, each at one revision, verified, restored.

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }

setup() {
	own_directory
	B=$BASE/backup$BATS_TEST_NUMBER
	R=$BASE/restored$BATS_TEST_NUMBER
}

teardown() {
	end_processes
	! mounted "$R.mnt" || "$COMMITFS" umount "$R.mnt"
	rm -rf "$B" "$R"
}

# tree_of DIRECTORY: all that is below it, with what a value is
tree_of() { (cd "$1" && find . -printf '%p %y %m %U %G %l\n' | sort && find . -type f | sort | xargs -r grep -H ''); }

# mount_restored STORE: at $R.mnt
mount_restored() {
	mkdir -p "$R.mnt"
	"$COMMITFS" mount "$1" "$R.mnt" >/dev/null 3>&-
}

# create [OPTION...]: a backup; its revision in $REVISION
create() {
	REVISION=$("$COMMITFS" backup create "$@" "$MNT" "$B" | sed -n 's/.* is revision \([0-9]*\),.*/\1/p')
	[ -n "$REVISION" ]
}

@test "a store that is mounted is not checked" {
	run -74 "$COMMITFS" check "$STORE"
	like "$output" "another process has it open"
}

@test "check finds nothing in a good store, and exits 1 when it finds something" {
	run -74 "$COMMITFS" check "$BASE/nothing"
	"$COMMITFS" init "$R" >/dev/null
	run -0 "$COMMITFS" check "$R"
	like "$output" "up to revision 1: 1 keys, 0 past versions, 1 commits: nothing found"
	rm "$R/db/CURRENT"
	run -1 "$COMMITFS" check "$R"
	like "$output" "^not-openable: cannot open store"
	like "$output" "1 problem; for the others restore a backup"
}

@test "a backup made while others commit is the tree of the revision that it says" {
	local round
	bash -c 'for ((n = 0; ; n++)); do echo $n >"$1/k$((n % 9))"; [ $((n % 20)) != 0 ] ||
		{ mkdir "$1/d$n"; mv "$1/k1" "$1/d$n/k"; ln -s $n "$1/l$n"; }; done' - "$K" 2>/dev/null 3>&- &
	PROCESS_PID[writer]=$!
	for round in 1 2 3; do
		create
		"$COMMITFS" backup restore "$B" "$R" >/dev/null
		run -0 "$COMMITFS" check "$R"
		mount_restored "$R"
		is "$(cat "$R.mnt/revision")" "$REVISION"
		is "$(tree_of "$R.mnt/keys")" "$(tree_of "$MNT/at/$REVISION")" "round $round"
		"$COMMITFS" umount "$R.mnt"
		rm -r "$R"
	done
	run -0 "$COMMITFS" backup verify "$B"
	like "$output" "backup 3 in .* is revision $REVISION: .* nothing found"
}

@test "what a backup has is not copied again, and old ones are dropped on demand" {
	local first second
	head -c 3000000 /dev/urandom >"$K/big"
	create
	first=$(du -sk "$B" | cut -f1)
	echo small >"$K/small"
	create
	second=$(du -sk "$B" | cut -f1)
	[ $((second - first)) -lt 1000 ] || fail "$first KiB, then $second"
	is "$("$COMMITFS" backup list "$B" | cut -f1 | xargs)" "1 2"
	is "$("$COMMITFS" backup list "$B" | tail -n 1 | cut -f2)" "$REVISION"
	create --keep=2
	is "$("$COMMITFS" backup list "$B" | cut -f1 | xargs)" "2 3"
	run -0 "$COMMITFS" backup verify --id=2 "$B"
	run -1 "$COMMITFS" backup verify --id=1 "$B"
	like "$output" "cannot find backup 1"
	"$COMMITFS" backup restore --id=2 "$B" "$R" >/dev/null
	mount_restored "$R"
	is "$(cat "$R.mnt/keys/$D/small")" small
}

@test "only the owner reads a backup, and what a store was restored to" {
	create
	is "$(find "$B" -maxdepth 0 -perm 0700 | wc -l)" 1
	is "$(find "$B" -type f -perm /077 | wc -l)" 0
	"$COMMITFS" backup restore "$B" "$R" >/dev/null
	is "$(find "$R" -perm /077 | wc -l)" 0
	is "$(stat -c %a "$MNT/control/backup")" 600
	run ! as_user "$USER_A" "$COMMITFS" backup create "$MNT" "$BASE/theirs"
}

@test "a damaged backup is not verified, and makes no store" {
	local table
	create
	table=$(find "$B/shared_checksum" -name '*.sst' -size +0 | sort | head -n 1)
	printf X | dd of="$table" bs=1 seek=30 conv=notrunc status=none
	run -1 "$COMMITFS" backup verify "$B"
	like "$output" "cannot restore the backup in"
	run -1 "$COMMITFS" backup restore "$B" "$R"
	[ ! -e "$R" ] || fail "there is a store"
	is "$(find "$BASE" -maxdepth 1 -name '*.commitfs-restore.*' | wc -l)" 0
	is "$(find "$B" -name 'verify.tmp' | wc -l)" 0
}

@test "what makes no sense is refused, with what to do" {
	create
	run -64 "$COMMITFS" backup
	like "$output" "expected: commitfs backup create"
	run -64 "$COMMITFS" backup drop "$MNT" "$B"
	like "$output" "expected create, list, verify or restore"
	run -64 "$COMMITFS" backup create "$MNT" "$K/inside"
	like "$output" "it lies on the mount itself"
	run -64 "$COMMITFS" backup create "$MNT" "$K/inside/"
	like "$output" "it lies on the mount itself"
	run -69 "$COMMITFS" backup create "$BASE" "$B"
	run -1 "$COMMITFS" backup create "$MNT" "$STORE/.."
	like "$output" "it is no directory of backups"
	run -1 "$COMMITFS" backup restore "$B" "$STORE"
	like "$output" "it is there already"
	run -1 "$COMMITFS" backup list "$BASE/nothing"
	like "$output" "No such file"
	"$COMMITFS" init "$R" >/dev/null
	mount_restored "$R"
	run -1 "$COMMITFS" backup create "$R.mnt" "$B"
	like "$output" "it has backups of another store"
}

@test "a store in memory says that it has no backups" {
	mkdir -p "$R.mnt"
	"$COMMITFS" mount memory: "$R.mnt" >/dev/null 3>&-
	run -1 "$COMMITFS" backup create "$R.mnt" "$B"
	like "$output" "its store is in memory; save it with: commitfs export"
}

no_checkpoint() { [ -z "$(find "$STORE" -maxdepth 1 -name 'checkpoint.*')" ]; }

@test "a checkpoint goes with the descriptor that made it" {
	exec 7<>"$MNT/control/backup"
	run -1 bash -c "echo nonsense >&7"
	is "$(cat <&7)" "checkpoint -"
	echo begin >&7
	run -1 bash -c "echo begin >&7"
	like "$(cat "/proc/$BASHPID/fd/7")" "checkpoint -" # of a descriptor of its own
	[ -n "$(find "$STORE" -maxdepth 1 -name 'checkpoint.*')" ]
	exec 7>&-
	eventually 10 no_checkpoint
}
