#!/usr/bin/env bats
# The live tree: files that are open, for reading and for writing.

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

# Sessions

@test "what a writer writes is private until it closes" {
	echo old >"$K/a"
	process w
	asked ok w open 0 "$K/a" O_WRONLY,O_TRUNC
	is "$(cat "$K/a")" old
	expect 4 stat "$K/a" size
	asked ok w write 0 new
	is "$(cat "$K/a")" old
	expect 4 stat "$K/a" size
	asked ok w write 0 er
	asked ok w close 0
	is "$(cat "$K/a")" newer
	expect 5 stat "$K/a" size
}

@test "fsync publishes, and the session goes on" {
	process w
	asked ok w open 0 "$K/a" O_WRONLY,O_CREAT
	asked ok w write 0 one
	gone "$K/a"
	asked ok w fsync 0
	is "$(cat "$K/a")" one
	asked ok w write 0 two
	is "$(cat "$K/a")" one
	asked ok w fdatasync 0
	is "$(cat "$K/a")" onetwo
	asked ok w write 0 three
	asked ok w close 0
	is "$(cat "$K/a")" onetwothree
}

@test "a reader keeps the value of its open while others commit" {
	echo -n 0123456789 >"$K/a"
	process r
	asked ok r open 0 "$K/a" O_RDONLY
	asked 01234 r read 0 5
	echo -n abcdefghijklmnop >"$K/a"
	asked 56789 r read 0 100
	asked 0123456789 r pread 0 0 100
	rm "$K/a"
	asked 0123456789 r pread 0 0 100
	echo -n again >"$K/a"
	asked 0123456789 r pread 0 0 100
	asked ok r open 1 "$K/a" O_RDONLY
	asked again r read 1
}

@test "fstat of a reader tells the newest committed size" {
	echo -n 0123456789 >"$K/a"
	process r
	asked ok r open 0 "$K/a" O_RDONLY
	asked 10 r fstat 0 size
	echo -n abcdefghijklmnop >"$K/a"
	asked 16 r fstat 0 size
}

@test "nobody sees a key empty between O_TRUNC and close" {
	echo old >"$K/a"
	process w
	asked ok w open 0 "$K/a" O_WRONLY,O_TRUNC
	is "$(cat "$K/a")" old
	expect 4 stat "$K/a" size
	expect 'old\n' open 0 "$K/a" O_RDONLY : read 0
	is "$(wc -c <"$K/a")" 4
	asked ok w close 0
	at_once size_is "$K/a" 0
	expect 0 stat "$K/a" size
}

@test "a session reads its own writes" {
	echo -n 0123456789 >"$K/a"
	process w
	asked ok w open 0 "$K/a" O_RDWR
	asked 0123 w read 0 4
	asked ok w pwrite 0 2 XY
	asked 01XY456789 w pread 0 0 100
	asked ok w ftruncate 0 6
	asked 01XY45 w pread 0 0 100
	asked 6 w lseek 0 0 end
	asked ok w write 0 end
	asked 01XY45end w pread 0 0 100
	is "$(cat "$K/a")" 0123456789
	asked ok w close 0
	is "$(cat "$K/a")" 01XY45end
}

@test "a writer killed before it closed has its session discarded" {
	echo old >"$K/a"
	process w
	asked ok w open 0 "$K/a" O_WRONLY,O_TRUNC
	asked ok w write 0 half
	asked ok w open 1 "$K/new" O_WRONLY,O_CREAT
	asked ok w write 1 half
	kill_process w
	sleep 0.2
	is "$(cat "$K/a")" old
	gone "$K/new"
	is "$(ls "$K")" a
	expect ok open 0 "$K/new" O_WRONLY,O_CREAT,O_EXCL : close 0
}

@test "a shell script killed in a redirection leaves the old value" {
	echo old >"$K/a"
	mkfifo "$BATS_TEST_TMPDIR/wait"
	bash -c 'echo half >&5; echo $$ >"$1/pid"; read -r <"$1/wait"' - "$BATS_TEST_TMPDIR" 5>"$K/a" 3>&- &
	eventually 5 test -s "$BATS_TEST_TMPDIR/pid"
	kill -9 "$(cat "$BATS_TEST_TMPDIR/pid")"
	wait || true
	sleep 0.2
	is "$(cat "$K/a")" old
}

@test "': > key' commits right after close" {
	local i before
	echo old >"$K/a"
	for i in 1 2 3 4 5 6 7 8 9 10; do
		: >"$K/new$i"
		at_once size_is "$K/new$i" 0
		echo old >"$K/a"
		: >"$K/a"
		at_once size_is "$K/a" 0
		: >"$K/d$i"
		at_once rm "$K/d$i"
	done
	is "$(find "$K" -name 'new*' | wc -l)" 10
	before=$(revision)
	: >"$K/one"
	at_once revision_is $((before + 1))
}

@test "the revision read after ': > key' counts it" {
	local i before
	for ((i = 0; i < 50; i++)); do
		read -r before <"$MNT/revision"
		: >"$K/$i"
		at_once revision_is $((before + 1))
	done
}

@test "what nobody wrote or truncated is not committed at close" {
	echo old >"$K/a"
	grows 0 "$FSOP" open 0 "$K/a" O_RDWR : read 0 : close 0
	grows 0 "$FSOP" open 0 "$K/a" O_WRONLY : close 0
	grows 0 "$FSOP" open 0 "$K/a" O_WRONLY,O_APPEND : close 0
	grows 0 "$FSOP" open 0 "$K/a" O_WRONLY,O_CREAT : fsync 0 : close 0
	is "$(cat "$K/a")" old
}

@test "closing one of two descriptors does not commit" {
	process w
	asked ok w open 0 "$K/a" O_WRONLY,O_CREAT
	asked ok w dup 0 1
	asked ok w write 0 one
	asked ok w close 0
	gone "$K/a"
	asked ok w write 1 two
	asked ok w close 1
	is "$(cat "$K/a")" onetwo
}

@test "a new name is reserved: others see it absent and cannot take it" {
	process w
	mkdir "$K/d"
	asked ok w open 0 "$K/d/n" O_WRONLY,O_CREAT
	asked ok w write 0 v
	expect ENOENT stat "$K/d/n"
	expect ENOENT open 0 "$K/d/n" O_RDONLY
	expect ENOENT open 0 "$K/d/n" O_WRONLY
	expect ENOENT unlink "$K/d/n"
	is "$(ls -A "$K/d")" ""
	expect EEXIST open 0 "$K/d/n" O_WRONLY,O_CREAT,O_EXCL
	expect EEXIST mkdir "$K/d/n"
	expect EEXIST symlink x "$K/d/n"
	expect ENOTEMPTY rmdir "$K/d"
	asked ok w close 0
	is "$(cat "$K/d/n")" v
	is "$(ls -A "$K/d")" n
}

@test "O_CREAT without O_EXCL on a reserved name opens a second session" {
	process w
	process u
	asked ok w open 0 "$K/n" O_WRONLY,O_CREAT
	asked ok u open 0 "$K/n" O_WRONLY,O_CREAT
	asked ok w write 0 first
	asked ok u write 0 2nd
	gone "$K/n"
	asked ok u close 0
	is "$(cat "$K/n")" 2nd
	asked ok w close 0
	like "$(cat "$K/n")" ^first
}

@test "a reservation ends with its process" {
	process w
	asked ok w open 0 "$K/n" O_WRONLY,O_CREAT,O_EXCL
	expect EEXIST mkdir "$K/n"
	kill_process w
	eventually 2 mkdir "$K/n"
}

@test "the opener finds its own uncommitted name" {
	process w
	asked ok w open 0 "$K/n" O_WRONLY,O_CREAT
	asked ok w write 0 v
	asked file w stat "$K/n" type
	asked ok w chmod "$K/n" 640
	asked ok w rename "$K/n" "$K/m"
	gone "$K/n"
	gone "$K/m"
	asked ok w close 0
	is "$(cat "$K/m")" v
	expect 0640 stat "$K/m" mode
	gone "$K/n"
}

@test "the opener unlinks its own uncommitted name" {
	process w
	asked ok w open 0 "$K/n" O_RDWR,O_CREAT
	asked ok w unlink "$K/n"
	asked ok w write 0 v
	asked v w pread 0 0 10
	expect ok open 0 "$K/n" O_WRONLY,O_CREAT,O_EXCL : write 0 other : close 0
	asked ok w close 0
	is "$(cat "$K/n")" other
}

@test "a session follows its file through a rename" {
	echo old >"$K/a"
	process w
	asked ok w open 0 "$K/a" O_WRONLY,O_TRUNC
	asked ok w write 0 new
	mv "$K/a" "$K/b"
	is "$(cat "$K/b")" old
	asked ok w close 0
	is "$(cat "$K/b")" new
	gone "$K/a"
}

@test "a session follows its file when a directory above is renamed" {
	mkdir "$K/d"
	echo old >"$K/d/a"
	process w
	asked ok w open 0 "$K/d/a" O_WRONLY,O_TRUNC
	asked ok w open 1 "$K/d/n" O_WRONLY,O_CREAT
	mv "$K/d" "$K/e"
	asked ok w write 0 new
	asked ok w write 1 fresh
	asked ok w close 0
	asked ok w close 1
	is "$(cat "$K/e/a")" new
	is "$(cat "$K/e/n")" fresh
	gone "$K/d"
}

@test "a session is discarded when its file is unlinked or replaced" {
	echo old >"$K/a"
	echo old >"$K/b"
	echo c >"$K/c"
	process w
	asked ok w open 0 "$K/a" O_WRONLY,O_TRUNC
	asked ok w write 0 new
	asked ok w open 1 "$K/b" O_WRONLY,O_TRUNC
	asked ok w write 1 new
	rm "$K/a"
	mv "$K/c" "$K/b"
	local before
	before=$(revision)
	asked ok w close 0
	asked ok w close 1
	gone "$K/a"
	is "$(cat "$K/b")" c
	is "$(revision)" "$before"
}

@test "a session on a removed key does not touch the key made anew" {
	echo old >"$K/a"
	process w
	asked ok w open 0 "$K/a" O_WRONLY,O_TRUNC
	asked ok w write 0 new
	rm "$K/a"
	echo other >"$K/a"
	asked ok w close 0
	is "$(cat "$K/a")" other
}

@test "in-place writes and truncations apply to the value as it is at the commit" {
	echo -n aaaaaaaa >"$K/a"
	process w
	process u
	asked ok w open 0 "$K/a" O_WRONLY
	asked ok w pwrite 0 2 XX
	echo -n bbbbbbbb >"$K/a"
	asked ok w close 0
	is "$(cat "$K/a")" bbXXbbbb
	asked ok u open 0 "$K/a" O_WRONLY
	asked ok u ftruncate 0 4
	echo -n cccccccc >"$K/a"
	asked ok u close 0
	is "$(cat "$K/a")" cccc
}

@test "two processes patch different bytes of one key and neither loses" {
	head -c 64 /dev/zero | tr '\0' . >"$K/a"
	process w
	process u
	asked ok w open 0 "$K/a" O_RDWR
	asked ok u open 0 "$K/a" O_RDWR
	asked ok w pwrite 0 0 left
	asked ok u pwrite 0 59 right
	asked ok w close 0
	asked ok u close 0
	like "$(cat "$K/a")" '^left\.+right$'
	expect 64 stat "$K/a" size
}

@test "append sessions add to the value as it is at the commit" {
	echo start >"$K/a"
	process w
	process u
	asked ok w open 0 "$K/a" O_WRONLY,O_APPEND
	asked ok u open 0 "$K/a" O_WRONLY,O_APPEND
	asked ok w line 0 w1
	asked ok u line 0 u1
	asked ok w line 0 w2
	asked ok u close 0
	is "$(cat "$K/a")" $'start\nu1'
	asked ok w close 0
	is "$(cat "$K/a")" $'start\nu1\nw1\nw2'
}

@test "two appenders with 1,000 lines each make 2,000 lines" {
	local who
	for who in x y; do
		bash -c 'for ((i = 0; i < 1000; i++)); do echo "'$who' $i" >>"$1"; done' - "$K/a" 3>&- &
	done
	wait
	is "$(wc -l <"$K/a")" 2000
	is "$(sort -u "$K/a" | wc -l)" 2000
	is "$(grep ^x "$K/a" | sort -c -k2n && echo sorted)" sorted
}

@test "two appenders that keep the file open make 2,000 lines" {
	local who
	: >"$K/a"
	for who in x y; do
		bash -c 'for ((i = 0; i < 1000; i++)); do echo "'$who' $i"; done' >>"$K/a" 3>&- &
	done
	wait
	is "$(wc -l <"$K/a")" 2000
	is "$(sort -u "$K/a" | wc -l)" 2000
}

@test "an append session commits after a second of idleness" {
	process w
	asked ok w open 0 "$K/log" O_WRONLY,O_CREAT,O_APPEND
	asked ok w line 0 one
	eventually 3 holds "$K/log" one
	asked ok w line 0 two
	is "$(cat "$K/log")" one
	eventually 3 holds "$K/log" $'one\ntwo'
	grows 0 ask w close 0
}

@test "an append session commits at 64 KiB" {
	process w
	asked ok w open 0 "$K/log" O_WRONLY,O_CREAT,O_APPEND
	asked ok w fill 0 65535
	gone "$K/log"
	asked ok w fill 0 2
	expect 65537 stat "$K/log" size
}

@test "what a killed appender wrote is not lost" {
	process w
	asked ok w open 0 "$K/log" O_WRONLY,O_CREAT,O_APPEND
	asked ok w line 0 'last words'
	kill_process w
	eventually 3 holds "$K/log" 'last words'
}

@test "appending ignores the offset: two handles of one process" {
	process w
	asked ok w open 0 "$K/a" O_WRONLY,O_CREAT,O_APPEND
	asked ok w open 1 "$K/a" O_WRONLY,O_CREAT,O_APPEND
	asked ok w line 0 one
	asked ok w line 1 two
	asked ok w close 1
	asked ok w close 0
	is "$(sort "$K/a")" $'one\ntwo'
}

@test "a group with an external command in it is one commit with both lines" {
	grows 1 bash -c '{ echo a; /bin/true; echo b; } >"$1"' - "$K/f"
	is "$(cat "$K/f")" $'a\nb'
	grows 1 bash -c '{ echo a; /bin/echo b; echo c; } >"$1"' - "$K/f"
	is "$(cat "$K/f")" $'a\nb\nc'
}

@test "a descriptor of exec commits when it is closed" {
	echo old >"$K/f"
	grows 1 bash -c '
		exec 5>"$1"
		echo one >&5
		echo two >&5
		[ "$(cat "$1")" = old ] || exit 1
		exec 5>&-
		[ "$(cat "$1")" = "$(printf "one\ntwo")" ]' - "$K/f"
}

@test "a shell that exits with the descriptor open has committed" {
	grows 1 bash -c 'exec 5>"$1"; echo one >&5; echo two >&5' - "$K/f"
	is "$(cat "$K/f")" $'one\ntwo'
}

@test "redirections of other shells work alike" {
	local shell
	for shell in bash dash mksh 'busybox sh'; do
		command -v "${shell%% *}" >/dev/null || continue
		grows 1 $shell -c 'echo one >"$1"' - "$K/f"
		is "$(cat "$K/f")" one "$shell"
		grows 1 $shell -c 'echo two >>"$1"' - "$K/f"
		is "$(cat "$K/f")" $'one\ntwo' "$shell"
		grows 1 $shell -c ': >"$1"' - "$K/f"
		is "$(cat "$K/f")" '' "$shell"
		grows 1 $shell -c '{ echo a; /bin/true; echo b; } >"$1"' - "$K/f"
		is "$(cat "$K/f")" $'a\nb' "$shell"
		grows 1 $shell -c '(echo sub; echo shell) >"$1"' - "$K/f"
		is "$(cat "$K/f")" $'sub\nshell' "$shell"
		grows 1 $shell -c 'while read -r l; do echo "<$l>"; done <"$1" >"$1.new"' - "$K/f"
		is "$(cat "$K/f.new")" $'<sub>\n<shell>' "$shell"
		rm "$K/f.new"
	done
}

@test "python's files work: write, append, update in place, replace" {
	"$PYTHON" - "$K" <<-'PY'
		import os, subprocess, sys
		d = sys.argv[1] + '/'
		with open(d + 'a', 'w') as f:
		    f.write('one\n')
		assert open(d + 'a').read() == 'one\n'
		with open(d + 'a', 'a') as f:
		    assert f.tell() == 4, f.tell()
		    f.write('two\n')
		with open(d + 'a', 'r+') as f:
		    text = f.read()
		    f.seek(0)
		    f.write(text.upper())
		    f.truncate()
		assert open(d + 'a').read() == 'ONE\nTWO\n'
		with open(d + 'b', 'w') as f:
		    subprocess.run(['echo', 'from a child'], stdout=f, check=True)
		assert open(d + 'b').read() == 'from a child\n'
		with open(d + 'b.tmp', 'w') as f:
		    f.write('new')
		    f.flush()
		    os.fsync(f.fileno())
		os.replace(d + 'b.tmp', d + 'b')
		assert open(d + 'b').read() == 'new'
		assert sorted(os.listdir(d)) == ['a', 'b']
		open(d + 'x', 'x').write('v')
		try:
		    open(d + 'x', 'x')
		    raise SystemExit('O_EXCL did not refuse')
		except FileExistsError:
		    pass
	PY
}

@test "a child that outlives the opener's close still writes" {
	"$PYTHON" - "$K/a" <<-'PY'
		import subprocess, sys
		with open(sys.argv[1], 'w') as f:
		    child = subprocess.Popen(['sh', '-c', 'sleep 0.3; echo late'], stdout=f)
		child.wait()
	PY
	eventually 2 holds "$K/a" late
}

@test "perl's files work" {
	perl -e 'open(my $f, ">", $ARGV[0]) or die; print $f "one\n"; close($f) or die;
		open($f, ">>", $ARGV[0]) or die; print $f "two\n"; close($f) or die;
		open($f, "+<", $ARGV[0]) or die; my @l = <$f>; seek($f, 0, 0); print $f "ONE\n"; close($f) or die;' \
		"$K/a"
	is "$(cat "$K/a")" $'ONE\ntwo'
}

@test "awk and tee write several keys from one process" {
	seq 6 | awk -v d="$K" '{ print > (d "/" ($1 % 3)) }'
	is "$(cat "$K/0" "$K/1" "$K/2" | tr '\n' ' ')" "3 6 1 4 2 5 "
	echo v | tee "$K/x" "$K/y" >/dev/null
	is "$(cat "$K/x" "$K/y")" $'v\nv'
}

@test "attribute changes by the session's own process belong to its commit" {
	process w
	asked ok w open 0 "$K/n" O_WRONLY,O_CREAT
	asked ok w write 0 v
	asked ok w fchmod 0 600
	asked ok w fchown 0 "$USER_A" "$USER_B"
	asked ok w futimens 0 1000
	gone "$K/n"
	grows 1 ask w close 0
	expect "0600 $USER_A $USER_B 1000.000000000" stat "$K/n" mode,uid,gid,mtime
	asked ok w open 0 "$K/n" O_WRONLY,O_TRUNC
	asked ok w write 0 w
	asked ok w fchmod 0 640
	expect 0600 stat "$K/n" mode
	grows 1 ask w close 0
	expect 0640 stat "$K/n" mode
}

@test "attribute changes by others are commits of their own" {
	echo old >"$K/a"
	process w
	asked ok w open 0 "$K/a" O_WRONLY,O_TRUNC
	asked ok w write 0 new
	grows 1 chmod 640 "$K/a"
	expect 0640 stat "$K/a" mode
	is "$(cat "$K/a")" old
	asked ok w close 0
	expect 0640 stat "$K/a" mode
	is "$(cat "$K/a")" new
}
