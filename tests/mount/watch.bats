#!/usr/bin/env bats
# Streams of changes: MNT/watch and commitfs watch (contract section 7).

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() {
	end_processes
	[ -z "${WATCHING:-}" ] || kill "$WATCHING" 2>/dev/null || true
}

# watching FILE ARG...: what `commitfs watch ARG...` prints, in the background
watching() {
	local file=$1
	shift
	"$COMMITFS" watch "$@" >"$file" 2>"$file.err" 3>&- &
	WATCHING=$!
	# It has said what it wants to see when it sleeps in its read.
	eventually 5 watches "$WATCHING"
	eventually 5 grep -q '^State:.S' "/proc/$WATCHING/status"
	sleep 0.1
}
watches() { ls -l "/proc/$1/fd" 2>/dev/null | grep -qF "$MNT/watch"; }

lines() { [ "$(wc -l <"$1")" -ge "$2" ]; }

@test "opened for reading it gives one line of usage and ends" {
	is "$(timeout 5 cat "$MNT/watch" | wc -l)" 1
	like "$(timeout 5 head -c 100 <"$MNT/watch")" 'write PREFIX'
	run -1 timeout 5 grep -r nothing "$MNT/watch" "$MNT/log"
	expect EINVAL open 0 "$MNT/watch" O_WRONLY
	is "$(timeout 5 "$FSOP" open 0 "$MNT/watch" O_RDWR : read 0 4096 | wc -l)" 1
}

@test "each change is a line, the changes of a commit stand together" {
	watching "$BASE/out" "$MNT" "$D"
	echo 1 >"$K/a"; r=$(revision)
	mkdir "$K/d"; ln -s a "$K/l"; chmod 600 "$K/a"; echo 2 >"$K/a"; mv "$K/a" "$K/b"; rm "$K/l"; rmdir "$K/d"
	begin; echo 1 >"$V/x"; echo 2 >"$V/y"; mkdir "$V/z"; commit ok "$T"; rmdir "$T"
	eventually 5 lines "$BASE/out" 21
	printf '%s\n' "put $((r)) a" '' "mkdir $((r + 1)) d" '' "symlink $((r + 2)) l" '' "attr $((r + 3)) a" '' \
		"put $((r + 4)) a" '' "delete $((r + 5)) a" "put $((r + 5)) b" '' "delete $((r + 6)) l" '' \
		"rmdir $((r + 7)) d" '' "put $((r + 8)) x" "put $((r + 8)) y" "mkdir $((r + 8)) z" '' |
		sed -E "s#^([a-z]+) ([0-9]+) #\1\t\2\t$D/#" | diff - "$BASE/out"
}

@test "only what lies below the prefix, by whole components, and no commit without it" {
	mkdir "$K/app" "$K/apple"
	watching "$BASE/out" "$MNT" "$D/app"
	echo 1 >"$K/apple/x"; echo 2 >"$K/y"; echo 3 >"$K/app/z"; rm -r "$K/app"
	eventually 5 lines "$BASE/out" 6
	is "$(cut -f 1,3 "$BASE/out" | sed "s#$D/##")" $'put\tapp/z\n\ndelete\tapp/z\n\nrmdir\tapp'
}

@test "keys are escaped, also where they are written" {
	mkdir "$K/"$'a\nb\t\\c'
	watching "$BASE/out" "$MNT" "$D/"$'a\nb\t\\c'
	echo 1 >"$K/other"; echo 2 >"$K/"$'a\nb\t\\c/\001'
	eventually 5 lines "$BASE/out" 2
	is "$(cut -f 3 "$BASE/out")" "$D"'/a\nb\t\\c/\001'
}

@test "a key whose name ends with a number is no revision" {
	mkdir "$K/a 1" "$K/a"
	watching "$BASE/out" "$MNT" "$D/a 1"
	echo 1 >"$K/a/x"; echo 2 >"$K/a 1/y"
	eventually 5 lines "$BASE/out" 2
	is "$(cut -f 3 "$BASE/out")" "$D/a 1/y"
}

@test "from the past to the present without a gap" {
	first=$(($(revision) + 1))
	for i in {1..30}; do echo "$i" >"$K/a"; done
	watching "$BASE/out" --from "$first" "$MNT" "$D"
	for i in {1..30}; do echo "$i" >"$K/a"; done
	eventually 5 lines "$BASE/out" 120
	is "$(awk 'NF { print $2 }' "$BASE/out")" "$(seq "$first" $((first + 59)))"
}

@test "from a revision that is not reached it begins there" {
	watching "$BASE/out" --from $(($(revision) + 3)) "$MNT"
	for i in {1..4}; do echo "$i" >"$K/a"; done
	eventually 5 lines "$BASE/out" 4
	is "$(awk 'NF { print $2 }' "$BASE/out")" "$(printf '%s\n' $(($(revision) - 1)) "$(revision)")"
}

@test "from a compacted revision: the oldest there is, then the end" {
	for i in {1..5}; do echo "$i" >"$K/a"; done
	r=$(revision); "$COMMITFS" compact "$MNT" "$r"
	is "$(timeout 5 "$FSOP" open 0 "$MNT/watch" O_RDWR : line 0 "$D $((r - 2))" : read 0 4096)" "compacted $r\n"
	run -1 timeout 5 "$COMMITFS" watch --from $((r - 2)) "$MNT"
	like "$output" "the oldest is $r"
}

@test "who is too slow for what is kept is told how much he lost, and goes on" {
	process w
	asked ok w open 0 "$MNT/watch" O_RDWR
	asked ok w line 0 "$D"
	r=$(revision)
	for i in {1..300}; do echo "$i" >"$K/a"; done
	# What the mount keeps in memory for others goes when there are more changes than that.
	begin; (cd "$V"; eval "mkdir many; touch many/{1..70}"); rmdir "$T"
	"$COMMITFS" compact "$MNT" "$(revision)"
	first=$(ask w read 0 40)
	# All of it was in memory, or the beginning is lost; nothing comes twice or out of turn.
	like "$first" "^(put\\\\t$((r + 1))\\\\t|lost [0-9]+)"
}

@test "a malformed request is EINVAL" {
	for word in "/$D" '../x' 'a//b' 'a\q' "x 0" "x 99999999999999999999"; do
		expect EINVAL open 0 "$MNT/watch" O_RDWR : line 0 "$word"
	done
	run -64 "$COMMITFS" watch --from x "$MNT"
	run -64 "$COMMITFS" watch --from 0 "$MNT"
	run -69 "$COMMITFS" watch /
}

@test "O_NONBLOCK, poll and a change of mind" {
	timeout 20 "$PYTHON" - "$MNT" "$D" "$(revision)" <<-'END'
		import os, select, sys, threading, time
		mnt, d, r = sys.argv[1:]
		fd = os.open(mnt + "/watch", os.O_RDWR | os.O_NONBLOCK)
		os.write(fd, d.encode())
		def put(name):
		    with open(f"{mnt}/keys/{d}/{name}", "w") as f: f.write("x")
		try:
		    os.read(fd, 4096); sys.exit("read something")
		except BlockingIOError: pass
		poll = select.epoll(); poll.register(fd, select.EPOLLIN)
		assert not poll.poll(0.1)
		threading.Timer(0.2, put, ["a"]).start()
		begin = time.monotonic()
		assert poll.poll(5), "poll slept on"
		assert time.monotonic() - begin < 2
		assert os.read(fd, 4096).endswith(f"\t{d}/a\n\n".encode())
		assert not poll.poll(0)
		# Another prefix on the same descriptor
		os.write(fd, f"{d}/other".encode())
		put("a")
		assert not poll.poll(0.2)
		os.mkdir(f"{mnt}/keys/{d}/other"); put("other/b")
		assert poll.poll(5)
		text = b""
		while text.count(b"\n\n") < 2:
		    poll.poll(5); text += os.read(fd, 4096)
		assert text.split()[0] == b"mkdir" and b"/a\n" not in text, text
		# The past, for one who does not wait
		os.write(fd, f"{d} {r}".encode())
		poll.poll(5)
		assert os.read(fd, 1 << 16).split()[2].startswith(d.encode())
	END
}

@test "a reader that waits can be interrupted and killed, and no worker waits with it" {
	local i pids=()
	for i in {1..20}; do
		"$FSOP" open 0 "$MNT/watch" O_RDWR : line 0 "$D" : read 0 4096 >/dev/null 2>&1 3>&- &
		pids+=($!)
	done
	sleep 0.5
	for i in {1..20}; do timeout 5 cat "$MNT/revision" >/dev/null; done
	kill -9 "${pids[@]}"
	for i in "${pids[@]}"; do eventually 5 stopped "$i"; done
	timeout 20 "$PYTHON" - "$MNT" <<-'END'
		import os, signal, sys, time
		fd = os.open(sys.argv[1] + "/watch", os.O_RDWR)
		os.write(fd, b"nothing")
		def stop(number, frame): raise InterruptedError
		signal.signal(signal.SIGALRM, stop)
		for i in range(200):
		    try:
		        # Again and again: the first may come just before the read.
		        signal.setitimer(signal.ITIMER_REAL, 0.001 * (i % 4) + 0.0001, 0.02)
		        os.read(fd, 4096); sys.exit("read something")
		    except InterruptedError:
		        signal.setitimer(signal.ITIMER_REAL, 0)
	END
	echo 1 >"$K/a"
}

@test "small reads get all of it, large ones whole commits" {
	r=$(($(revision) + 1))
	for i in {1..200}; do echo "$i" >"$K/$i"; done
	exec 7<>"$MNT/watch"
	echo "$D $r" >&7
	for i in {1..50}; do
		read -r kind seen key <&7
		is "$kind $seen $key" "put $((r + i - 1)) $D/$i"
		read -r empty <&7
		is "$empty" ""
	done
	dd bs=1000 count=1 <&7 2>/dev/null >"$BASE/part"
	exec 7>&-
	is "$(tail -c 2 "$BASE/part" | od -An -c | tr -d ' ')" '\n\n'
	is "$(wc -l <"$BASE/part")" "$((2 * $(grep -c . "$BASE/part")))"
}

@test "a commit of many keys comes whole, in pieces, to readers who read it at any pace" {
	begin
	mkdir "$V/many"; (cd "$V/many" && seq 3000 | xargs touch)
	watching "$BASE/out" "$MNT" "$D/many"
	commit ok "$T"; r=$(revision); rmdir "$T"
	echo end >"$K/many/end"
	eventually 10 lines "$BASE/out" 3004
	is "$(grep -c "^put	$r	" "$BASE/out")" 3000
	is "$(sed -n 3002p "$BASE/out")" ""
	is "$(sed -n 3003p "$BASE/out")" "put	$((r + 1))	$D/many/end"
}

@test "watch is the owner's; with --public-log everybody's, and so is the log" {
	r=$(revision)
	run ! as_user $USER_A "$FSOP" open 0 "$MNT/watch" O_RDWR
	run ! as_user $USER_A cat "$MNT/log"
	is "$(stat -c %a "$MNT/log")" 400
	unmount_store; mount_store --public-log
	is "$(as_user $USER_A "$FSOP" open 0 "$MNT/watch" O_RDWR : line 0 "$D $r" : read 0 3)" mkd
	as_user $USER_A cat "$MNT/log" >/dev/null
	is "$(stat -c %a "$MNT/log")" 444
	run ! as_user $USER_A sh -c "echo x >'$MNT/log'"
	unmount_store; mount_store
}

@test "200 watchers see exactly the commits of their prefix, in order, none twice" {
	timeout "${COMMITFS_FULL:+1}300" "$HELPERS/watchers" "$MNT" 200 "${COMMITFS_FULL:+10}1000" "${SEED:-1}"
}

@test "commitfs watch --exec runs a command for each commit, one at a time" {
	watching "$BASE/out" --exec "read -r r; sleep 0.1; echo \"\$r:\" \$(cat) >>'$BASE/reloads'" "$MNT" "$D"
	echo 1 >"$K/a"; r=$(revision)
	begin; echo 1 >"$V/b"; echo 2 >"$V/c"; commit ok "$T"; rmdir "$T"
	echo 3 >"$K/a"
	eventually 5 lines "$BASE/reloads" 3
	is "$(cat "$BASE/reloads")" "$r: $D/a
$((r + 1)): $D/b $D/c
$((r + 2)): $D/a"
	kill "$WATCHING"
	watching "$BASE/out" --exec 'exit 3' "$MNT" "$D"
	echo 4 >"$K/a"; echo 5 >"$K/a"
	eventually 5 lines "$BASE/out.err" 2
	like "$(head -1 "$BASE/out.err")" "'exit 3' ended with 3"
	for i in {1..20}; do echo $i >"$K/a"; done # some of which find it gone before they are told
	eventually 5 lines "$BASE/out.err" 22
}

@test "commitfs watch --exec does not mind a command that does not read what it is told" {
	local long
	long=$(printf '%0200d' 0)
	watching "$BASE/out" --exec "exec <&-; echo >>'$BASE/ran'" "$MNT" "$D"
	begin
	(cd "$V" && seq -f "$long%g" 1000 | xargs touch) # more than a pipe holds
	commit ok "$T"
	for _ in {1..100}; do echo 1 >"$K/a"; done # often it is gone before it is told
	eventually 10 lines "$BASE/ran" 101
	kill "$WATCHING"
	is "$(cat "$BASE/out.err")" ""
}
