#!/usr/bin/env bats
# The recipes of commitfs(7), as they stand there, do what is said there.

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() {
	own_directory
	cd "$BATS_TEST_TMPDIR"
}
teardown() { end_processes; }

@test "a lock among shell jobs: one gets it, the others see whose it is" {
	local i
	# shellcheck disable=SC2016 # expanded there
	for i in 1 2 3 4 5 6 7 8; do
		bash -c 'lock=$1/lock
			if (set -C; echo $$ > $lock) 2> /dev/null; then
				echo "got $$"
			else
				echo "held $(cat $lock 2> /dev/null || echo '"'?'"')"
			fi' - "$K" >>"$BATS_TEST_TMPDIR/out" 3>&- &
	done
	wait
	is "$(grep -c ^got "$BATS_TEST_TMPDIR/out")" 1
	is "$(grep -cxE "held ($(cat "$K/lock")|[?])" "$BATS_TEST_TMPDIR/out")" 7
	rm "$K/lock"
	(set -C; echo $$ >"$K/lock")
}

@test "a counter in a script of run loses nothing" {
	local i
	echo 0 >"$K/hits"
	for i in 1 2 3 4; do
		"$COMMITFS" run --retries 1000 -c 'cd "$1"; echo $(($(cat hits) + 1)) > hits' \
			"$MNT" -- "$D" 2>/dev/null 3>&- &
	done
	wait
	is "$(cat "$K/hits")" 4
}

@test "a work queue: each job is done once, its result comes as it goes" {
	local i
	mkdir "$K/queue" "$K/running" "$K/results"
	for i in {1..12}; do
		echo "job $i" >"$K/queue/$i"
	done
	# shellcheck disable=SC2016 # expanded there
	for i in 1 2 3; do
		bash -c 'cd "$1" || exit 1
			for job in queue/*; do
				mine=running/${job#queue/}
				mv "$job" "$mine" 2> /dev/null || continue
				sed s/job/done/ < "$mine" > "$4/result.$$"
				"$COMMITFS" run -c "cd $3; cp \"\$1\" \"results/\${2#running/}\"; rm \"\$2\"" "$2" -- \
					"$4/result.$$" "$mine"
			done' - "$K" "$MNT" "$D" "$BATS_TEST_TMPDIR" 3>&- &
	done
	wait
	is "$(cat "$K"/results/* | sort -V | tr '\n' ,)" "$(printf 'done %s,' {1..12})"
	is "$(ls "$K/queue" "$K/running" | grep -c '^[0-9]')" 0
}

@test "a release is deployed in one commit, an import of 5,000 keys too" {
	mkdir -p release/sub "$K/app"
	for i in {1..20}; do echo "$i" >"release/$i"; done
	echo old >"$K/app/old"
	grows 1 "$COMMITFS" run -m "release 42" "$MNT" -- rsync -a --delete release/ "{}/$D/app/"
	diff -r release "$K/app"
	mkdir many
	(cd many && for i in {1..5000}; do echo "$i" >"key-$i"; done)
	tar -c -C many -f keys.tar .
	mkdir "$K/imported"
	grows 1 "$COMMITFS" run -m import "$MNT" -- tar -x -C "{}/$D/imported" -f keys.tar
	is "$(ls "$K/imported" | wc -l)" 5000
	is "$(cat "$K/imported/key-4711")" 4711
}

@test "a backup reads one revision from a transaction, whatever is changed meanwhile" {
	echo 1 >"$K/a"
	echo 1 >"$K/b"
	mkdir "$MNT/txn/$D"
	cat "$MNT/txn/$D/keys/$D/a" >/dev/null
	echo 2 >"$K/a"
	echo 2 >"$K/b"
	rsync -a --delete "$MNT/txn/$D/keys/$D/" "$BATS_TEST_TMPDIR/backup/"
	is "$(cat "$BATS_TEST_TMPDIR/backup/a" "$BATS_TEST_TMPDIR/backup/b" | tr '\n' ,)" 1,1,
	rmdir "$MNT/txn/$D"
}

@test "a program that polls the revision is woken by a commit of another" {
	"$PYTHON" - "$MNT/revision" >"$BATS_TEST_TMPDIR/woken" 3>&- <<-'END' &
		import select, sys
		revision = open(sys.argv[1])
		changed = select.poll()
		changed.register(revision, select.POLLIN)
		for i in range(2):
		    revision.seek(0)
		    print(revision.read().strip(), flush=True)
		    changed.poll(20000)
		revision.seek(0)
		print(revision.read().strip(), flush=True)
	END
	PROCESS_PID[poll]=$!
	eventually 10 grep -q . "$BATS_TEST_TMPDIR/woken"
	echo 1 >"$K/config"
	eventually 10 sh -c "[ \$(wc -l <'$BATS_TEST_TMPDIR/woken') -ge 2 ]"
	echo 2 >"$K/config"
	eventually 10 sh -c "[ \$(wc -l <'$BATS_TEST_TMPDIR/woken') -ge 3 ]"
	is "$(sort -nu "$BATS_TEST_TMPDIR/woken" | wc -l)" 3
}

@test "a deployment is looked at, and undone with later commits kept" {
	local deployed
	mkdir "$K/app"
	echo 1 >"$K/app/version"
	"$COMMITFS" run -m "release 42" "$MNT" -- sh -c 'echo 42 >"$1/version"; echo 1 >"$1/new"' - \
		"{}/$D/app" 3>&-
	deployed=$(revision)
	echo later >"$K/app/other"
	run -0 "$COMMITFS" diff "$MNT" "$((deployed - 1))" "$deployed" "$D/app"
	like "$output" $'\n-1\n\\+42'
	grows 1 "$COMMITFS" revert "$MNT" "$deployed"
	is "$(cat "$K/app/version" "$K/app/other")" $'1\nlater'
	gone "$K/app/new"
}

@test "a backup reads a named snapshot, which records nothing and is dropped in the end" {
	echo 1 >"$K/a"
	mkdir "$MNT/at/backup-$D"
	echo 2 >"$K/a"
	is "$(ls "$MNT/at")" "backup-$D"
	rsync -a "$MNT/at/backup-$D/$D/" "$BATS_TEST_TMPDIR/backup/"
	is "$(cat "$BATS_TEST_TMPDIR/backup/a")" 1
	rmdir "$MNT/at/backup-$D"
}

@test "a command is run for each commit below a key, with what it changed" {
	local next
	mkdir "$K/app"
	next=$(($(revision) + 1))
	touch "$BATS_TEST_TMPDIR/changes"
	"$COMMITFS" watch --exec "cat >>'$BATS_TEST_TMPDIR/changes'" --from "$next" \
		"$MNT" "$D/app" 3>&- &
	PROCESS_PID[watch]=$!
	"$COMMITFS" run "$MNT" -- sh -c 'echo 1 >"$1/a"; echo 2 >"$1/b"' - "{}/$D/app" 3>&-
	eventually 10 grep -q /b "$BATS_TEST_TMPDIR/changes"
	is "$(cat "$BATS_TEST_TMPDIR/changes")" "$(printf '%s\n' "$(revision)" "$D/app/a" "$D/app/b")"
}
