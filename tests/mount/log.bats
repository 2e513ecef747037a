#!/usr/bin/env bats
# The audit log: MNT/log and commitfs log (contract section 7).

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() {
	end_processes
	[ -z "${TAIL:-}" ] || kill "$TAIL" 2>/dev/null || true
}

last() { tail -n 1 "$MNT/log"; }

@test "a line for each commit: id, revision, time, uid, pid, command, keys changed, message" {
	as_user $USER_A true
	chmod 777 "$K"
	as_user $USER_A sh -c "echo 1 >'$K/a'"
	like "$(last)" "^-	$(revision)	20[0-9T:.-]+Z	$USER_A	[0-9]+	sh	1	-\$"
	begin; echo 1 >"$V/x"; mkdir "$V/d"; echo 2 >"$V/d/y"; id=$(field id "$T/status")
	commit ok "$T" $'two\twords\\'; rmdir "$T"
	like "$(last)" "^$id	$(revision)	[^	]+	0	[0-9]+	mkdir	3	two\\\\twords\\\\\\\\\$"
	is "$(awk -F'\t' 'NF != 8' "$MNT/log")" ""
	is "$(cut -f 2 "$MNT/log")" "$(seq "$(head -1 "$MNT/log" | cut -f 2)" "$(revision)")"
}

@test "its size is that of its text, which grows, and any part can be read" {
	a=$(stat -c %s "$MNT/log")
	cp "$MNT/log" "$BASE/before"
	is "$(stat -c %s "$BASE/before")" "$a"
	for i in {1..50}; do echo "$i" >"$K/a"; done
	b=$(stat -c %s "$MNT/log")
	[ "$b" -gt "$a" ]
	cmp -n "$a" "$MNT/log" "$BASE/before"
	is "$(dd if="$MNT/log" bs=1 skip="$a" 2>/dev/null | wc -l)" 50
	is "$(tail -n 3 "$MNT/log" | cut -f 2)" "$(seq $(($(revision) - 2)) "$(revision)")"
	is "$(tail -c +$((a + 1)) "$MNT/log" | head -c 100)" "$(dd if="$MNT/log" bs=100 count=1 iflag=skip_bytes skip="$a" 2>/dev/null)"
	is "$(wc -c <"$MNT/log")" "$b"
}

@test "tail -f follows it, and a compaction meanwhile is nothing to it" {
	tail -n 1 -s 0.1 -f "$MNT/log" >"$BASE/tail" 2>"$BASE/tail.err" 3>&- &
	TAIL=$!
	eventually 10 holds_lines "$BASE/tail" 1
	for i in {1..5}; do echo "$i" >"$K/a"; done
	eventually 10 holds_lines "$BASE/tail" 6
	"$COMMITFS" compact "$MNT" "$(revision)"
	for i in {1..5}; do echo "$i" >"$K/a"; done
	eventually 10 holds_lines "$BASE/tail" 11
	is "$(cut -f 2 "$BASE/tail")" "$(seq $(($(revision) - 10)) "$(revision)")"
	is "$(cat "$BASE/tail.err")" ""
}
holds_lines() { [ "$(wc -l <"$1")" -eq "$2" ]; }

@test "old lines go with compaction; offsets of an open log stay" {
	for i in {1..20}; do echo "$i" >"$K/a"; done
	timeout 20 "$PYTHON" - "$MNT" "$D" "$COMMITFS" <<-'END'
		import os, subprocess, sys
		mnt, d, commitfs = sys.argv[1:]
		fd = os.open(mnt + "/log", os.O_RDONLY)
		size = os.fstat(fd).st_size
		revision = int(open(mnt + "/revision").read())
		subprocess.run([commitfs, "compact", mnt, str(revision - 4)], check=True)
		lines = [int(line.split("\t")[1]) for line in open(mnt + "/log")]
		assert lines == list(range(revision - 4, revision + 1)), lines
		with open(f"{mnt}/keys/{d}/a", "w") as f: f.write("new")
		line = os.pread(fd, 4096, size)
		assert int(line.split(b"\t")[1]) == revision + 1, line
		assert os.fstat(fd).st_size == size + len(line)
		try:
		    os.pread(fd, 10, 0); sys.exit("read what is compacted")
		except OSError as error:
		    assert error.errno == 116, error # ESTALE
	END
	is "$(stat -c %s "$MNT/log")" "$(wc -c <"$MNT/log")"
}

@test "poll(2) wakes when it grows" {
	timeout 20 "$PYTHON" - "$MNT" "$D" <<-'END'
		import os, select, sys, threading
		fd = os.open(sys.argv[1] + "/log", os.O_RDONLY)
		while os.read(fd, 65536): pass
		poll = select.poll(); poll.register(fd, select.POLLIN)
		assert not poll.poll(100)
		threading.Timer(0.2, lambda: open(f"{sys.argv[1]}/keys/{sys.argv[2]}/p", "w").write("x")).start()
		assert poll.poll(5000)
		assert os.read(fd, 65536).count(b"\n") == 1
	END
}

@test "commitfs log: since, author, key, JSON" {
	chmod 777 "$K"
	echo 1 >"$K/a"; first=$(revision)
	as_user $USER_A sh -c "echo 2 >'$K/b'"
	chmod 600 "$K/a"; rm "$K/a"; echo 4 >"$K/a"
	begin; echo 5 >"$V/a"; commit ok "$T" 'a "quoted" message'; rmdir "$T"
	is "$("$COMMITFS" log --since "$first" "$MNT")" "$(awk -F'\t' -v f="$first" '$2 >= f' "$MNT/log")"
	is "$("$COMMITFS" log "$MNT")" "$(cat "$MNT/log")"
	is "$("$COMMITFS" log --author $USER_A --since "$first" "$MNT" | cut -f 2)" $((first + 1))
	is "$("$COMMITFS" log --key "$D/a" "$MNT" | cut -f 1,3)" "put	$first
attr	$((first + 2))
delete	$((first + 3))
put	$((first + 4))
put	$((first + 5))"
	"$COMMITFS" log --json --since "$first" "$MNT" | "$PYTHON" -c '
import json, sys
rows = json.load(sys.stdin)
assert [row["revision"] for row in rows] == list(range(int(sys.argv[1]), int(sys.argv[1]) + 6)), rows
assert rows[-1]["message"] == "a \"quoted\" message" and rows[-1]["keys"] == 1, rows[-1]
assert rows[0]["message"] is None and rows[1]["uid"] == 54321, rows' "$first"
	is "$("$COMMITFS" log --json --since 999999 "$MNT")" '[]'
	is "$("$COMMITFS" log --key nothing "$MNT")" ""
	is "$("$COMMITFS" log --key "$D" "$MNT" | cut -f 1 | tr '\n' ' ')" "mkdir attr "
	run -64 "$COMMITFS" log --since x "$MNT"
	run -64 "$COMMITFS" log --key a//b "$MNT"
	like "$output" "'a//b': expected a key, such as app/port"
	run -64 "$COMMITFS" log --author no-such-user "$MNT"
	run -69 "$COMMITFS" log /
	run -1 as_user $USER_A "$COMMITFS" log "$MNT"
	like "$output" 'that is for the owner of the mount'
}
