#!/usr/bin/env bats
# Many clients at once, and clients that wait, do not stop the others.

load ../mount/helpers

# How much longer anything may take than on a quiet mount beside it. It is 1 to 3 as a rule; where
# all processors are busy with other things it was 14, since this daemon has 64 clients' work to
# do with the same share of them. 20 ms, the slowest step there as a rule, make it 0.8 s.
RATIO=40

setup_file() {
	mount_own_store
	cp "$HELPERS/load" "$BASE/load"
	mkdir "$BASE/quiet.mnt"
	"$COMMITFS" init "$BASE/quiet"
	"$COMMITFS" mount "$BASE/quiet" "$BASE/quiet.mnt" 3>&-
}

teardown_file() {
	"$COMMITFS" umount "$BASE/quiet.mnt" || umount -l "$BASE/quiet.mnt"
	unmount_own_store
}

setup() {
	QUIET=$BASE/quiet.mnt
	own_directory
	mkdir "$QUIET/keys/$D"
	echo v | tee "$K/seen" >"$QUIET/keys/$D/seen"
}

teardown() { end_processes; }

# start_load KIND PROCESSES DIR [COMMAND...]: it works from now on, and until end_load
start_load() {
	"${@:4}" "$BASE/load" "$1" "$2" 3600 "$MNT" "$3" >"$BATS_TEST_TMPDIR/out" 3>&- &
	PROCESS_PID[load]=$!
	eventually 60 has_children "${PROCESS_PID[load]}" "$2"
}

has_children() { [ "$(wc -w <"/proc/$1/task/$1/children")" -eq "$2" ]; }

# makes_commits N: so many more
makes_commits() { eventually 60 revision_reaches $(($(revision) + $1)); }
revision_reaches() { [ "$(revision)" -ge "$1" ]; }

# end_load: it worked until now, and says how much it did
end_load() {
	kill "${PROCESS_PID[load]}"
	wait "${PROCESS_PID[load]}"
}

counted() { awk -v name="$1" '$1 == name { print $2 }' "$BATS_TEST_TMPDIR/out"; }

# takes MNT STEP: how many us; that it never ends is found out, too
takes() {
	local begun=${EPOCHREALTIME/./}
	timeout 300 sh -c "$2" - "$1/keys/$D" "$1/txn/$D" "$1" >/dev/null || fail "in $1: $2" || return 1
	echo $((${EPOCHREALTIME/./} - begun))
}

STEPS=('cat "$1/seen"' 'echo v >"$1/own"' 'mkdir "$1/dir"' 'ls "$1"' 'stat "$1/own"'
	'mv "$1/own" "$1/dir/own"' 'rm -r "$1/dir"' 'mkdir "$2.own"' 'echo w >"$2.own/keys/own-key"'
	'echo why >"$2.own/commit"' 'rmdir "$2.own"' 'cat "$3/status"' 'rm "$3/keys/own-key"')

# works [STEP...]: no step of what a 65th process does takes longer than RATIO times the slowest
# on the quiet mount, done beside it, in one of three attempts: the machine may be busy, too
works() {
	local i step loud quiet us
	[ $# -gt 0 ] || set -- "${STEPS[@]}"
	for i in 1 2 3; do
		loud=0 quiet=0
		for step; do
			us=$(takes "$MNT" "$step") || return 1
			[ "$us" -le $loud ] || loud=$us
			us=$(takes "$QUIET" "$step") || return 1
			[ "$us" -le $quiet ] || quiet=$us
		done
		echo "slowest: $loud us, $quiet us on the quiet mount"
		[ $loud -gt $((quiet * RATIO)) ] || return 0
	done
	fail "a step takes $loud us, and at most $quiet us on a quiet mount"
}

# latency MNT: of 40 commits that replace, create and remove names in the busy directory
latency() {
	"$BASE/load" latency 1 40 "$1" "$D/busy" >"$BATS_TEST_TMPDIR/latency" || return 1
	awk '{ print $2 }' "$BATS_TEST_TMPDIR/latency" | xargs
}

# commits_in_time: the median and the worst of them, as works
commits_in_time() {
	local i loud quiet
	for i in 1 2 3; do
		loud=$(latency "$MNT") || return 1
		quiet=$(latency "$QUIET") || return 1
		echo "median and worst: $loud us, $quiet us on the quiet mount"
		[ "${loud% *}" -gt $((${quiet% *} * RATIO)) ] ||
			[ "${loud#* }" -gt $((${quiet#* } * RATIO)) ] || return 0
	done
	fail "commits take $loud us, and $quiet us on a quiet mount"
}

@test "64 processes that commit at once do not stop a 65th" {
	mkdir "$K/load"
	start_load commit 64 "$D/load"
	makes_commits 64
	works
	works
	works
	end_load
	[ "$(counted commits)" -ge 64 ]
	is "$(counted failures)" 0
}

@test "64 processes that wait in poll do not stop a 65th" {
	start_load poll 64 "$D"
	works
	works
	end_load
}

@test "64 processes that write to one commit file do not stop a 65th" {
	begin
	echo v >"$V/a"
	start_load one 64 "$D"
	eventually 60 holds "$K/a" v
	works
	works
	end_load
}

@test "64 processes that write keys of one directory do not stop a 65th" {
	mkdir "$K/load"
	start_load write 64 "$D/load"
	makes_commits 64
	works
	works
	end_load
	is "$(counted failures)" 0
}

@test "an unprivileged process that keeps a directory busy does not delay commits that touch it" {
	local dir
	for dir in "$K" "$QUIET/keys/$D"; do
		mkdir -m 777 "$dir/busy"
		seq -f 'f%g' 300 | (cd "$dir/busy" && xargs touch)
	done
	start_load busy 8 "$D/busy" setpriv --reuid="$USER_A" --regid="$USER_A" --clear-groups --
	makes_commits 8
	commits_in_time
	end_load
}

@test "a process stopped in the middle of its work delays nobody" {
	process w
	asked ok w open 0 "$K/a" O_WRONLY,O_CREAT
	asked ok w write 0 half
	asked ok w mkdir "$MNT/txn/$D.w"
	asked ok w open 1 "$MNT/txn/$D.w/keys/$D/seen" O_RDWR
	asked ok w open 2 "$MNT/txn/$D.w/commit" O_WRONLY
	kill -STOP "${PROCESS_PID[w]}"
	works
	# Its descriptors need not be asked for: nobody waits for its session.
	works 'echo other >"$1/a"; cat "$1/a"'
	kill -CONT "${PROCESS_PID[w]}"
	rmdir "$MNT/txn/$D.w"
}
