#!/usr/bin/env bats
# MNT/eval: programs as text, from shells and through descriptors. COMMITFS_FULL=1: 16 times
# 1,000 additions.

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

# evaluate PROGRAM: the reply in $REPLY_TEXT, the exit code in $CODE
evaluate() {
	CODE=0
	REPLY_TEXT=$("$COMMITFS" eval "$MNT" <<<"$1") || CODE=$?
}

@test "eval is a file for everybody, opened read-write or for its usage" {
	is "$(stat -c %a "$MNT/eval")" 666
	expect EINVAL open 0 "$MNT/eval" O_WRONLY
	expect EINVAL open 0 "$MNT/eval" O_WRONLY O_TRUNC
	is "$(wc -l <"$MNT/eval")" 1
	like "$(cat "$MNT/eval")" 'commitfs eval MNT'
	expect ok open 0 "$MNT/eval" O_RDWR O_TRUNC : close 0
	expect "" open 0 "$MNT/eval" O_RDWR : read 0
	expect EBADF open 0 "$MNT/eval" O_RDONLY : write 0 x
}

@test "a program puts, and tells its revision" {
	local before
	before=$(revision)
	evaluate "put $D/a/b hello
put $D/c 1"
	is "$CODE" 0
	is "$REPLY_TEXT" "SUCCESS $((before + 1))
put
put"
	is "$(cat "$K/a/b")" hello
	is "$(revision)" $((before + 1))
}

@test "compares choose, and a failure tells what was found" {
	local r
	evaluate "put $D/k old"
	r=$(revision)
	evaluate "value(\"$D/k\") = \"new\"
missing(\"$D/other\")

put $D/k never

get $D/k"
	is "$CODE" 1
	is "$REPLY_TEXT" "FAILURE $r
compare 1 value 3 \"old\" $D/k
get 1
$r 3 $D/k
old"
	is "$(revision)" "$r"
	evaluate "if
value($D/k) = old
then
put $D/k new
else
get $D/k"
	is "$CODE" 0
	is "$(cat "$K/k")" new
}

@test "every error is a line with its place, and nothing is applied" {
	local r
	r=$(revision)
	evaluate "put $D/x 1
frobnicate $D/x
put $D/../y 1"
	is "$CODE" 64
	is "$(wc -l <<<"$REPLY_TEXT")" 2
	like "$REPLY_TEXT" '^ERROR 2:1 '
	like "$REPLY_TEXT" 'ERROR 3:5 '
	is "$(revision)" "$r"
}

@test "what cannot run together is refused, and so is a number that is none" {
	local r
	echo text >"$K/text"
	r=$(revision)
	evaluate "put $D/x/y 1
del $D/x --prefix"
	is "$CODE" 64
	like "$REPLY_TEXT" '^ERROR '
	evaluate "put $D/other 1
add $D/text 1"
	is "$CODE" 64
	like "$REPLY_TEXT" '^ERROR 2:1 '
	gone "$K/other"
	is "$(revision)" "$r"
}

@test "check needs no mount" {
	printf 'put a 1\n' >"$BATS_TEST_TMPDIR/good"
	printf 'put a 1\nput a 2\n' >"$BATS_TEST_TMPDIR/bad"
	run -0 "$COMMITFS" eval --check "$BATS_TEST_TMPDIR/good"
	is "$output" ""
	run -64 "$COMMITFS" eval --check "$BATS_TEST_TMPDIR/bad"
	like "$output" '^ERROR 2:'
	run -64 "$COMMITFS" eval --json --check <"$BATS_TEST_TMPDIR/bad"
	like "$output" '^\{"status":"error","errors":\[\{"line":2,'
	run -64 "$COMMITFS" eval
	run -64 "$COMMITFS" eval --check a b
	run -64 "$COMMITFS" eval "$MNT" /no/such/file
	run -69 "$COMMITFS" eval "$BATS_TEST_TMPDIR" "$BATS_TEST_TMPDIR/good"
	run -0 "$COMMITFS" eval --help
	like "$output" 'Examples:'
}

@test "replies come as JSON on request" {
	run -0 "$COMMITFS" eval --json "$MNT" <<<"put $D/k v
get $D/k"
	is "$($PYTHON -c 'import json,sys; r=json.load(sys.stdin); print(r["status"], r["results"][1]["keys"][0]["value"])' <<<"$output")" "success v"
	run -1 "$COMMITFS" eval --json "$MNT" <<<"missing(\"$D/k\")

get $D/k"
	like "$output" '"status":"failure"'
}

@test "a shell uses one descriptor for many programs" {
	local line other i
	exec 7<>"$MNT/eval"
	for i in 1 2 3; do
		echo "add $D/n 1" >&7
		read -r line <&7
		like "$line" '^SUCCESS [0-9]+$'
		read -r other <&7
		is "$other" "add $i"
	done
	# What was not read of a reply is gone with the next program.
	echo "get $D/n" >&7
	read -r line <&7
	printf 'txn {\n  add %s/n 5\n}\n' "$D" >&7
	is "$(cat <&7)" "SUCCESS $(revision)
add 8"
	exec 7>&-
	is "$(cat "$K/n")" 8
}

@test "a program may come in any number of writes" {
	is "$("$FSOP" open 0 "$MNT/eval" O_RDWR : write 0 pu : write 0 "t $D/k v" : write 0 al : read 0)" \
		"SUCCESS $(($(revision)))\\nput\\n"
	is "$(cat "$K/k")" val
}

@test "a READ gets no more than it asked for, whatever its offset" {
	echo v >"$K/k"
	is "$("$FSOP" open 0 "$MNT/eval" O_RDWR : write 0 "get $D/k" : read 0 1 : read 0 1 : read 0 1 : \
		pread 0 0 3 : lseek 0 0 set : read 0)" "S
U
C
CES
0
S $(revision)\\nget 1\\n$(revision) 2 $D/k\\nv\\n\\n"
}

@test "what a shell read ahead and gave back is read again" {
	echo v >"$K/k"
	is "$("$FSOP" open 0 "$MNT/eval" O_RDWR : write 0 "get $D/k" : read 0 7 : lseek 0 -4 cur : read 0 4 : \
		read 0 3)" "SUCCESS
$((${#D} + 6 + 7 - 4))
CESS
 $(revision | cut -c 1-2)"
}

@test "the result belongs to its handle" {
	local r
	r=$(revision)
	is "$("$FSOP" open 0 "$MNT/eval" O_RDWR : open 1 "$MNT/eval" O_RDWR : write 0 "put $D/a 1" : \
		write 1 "del $D/b" : read 1 : read 0)" "SUCCESS $r\\ndel 0\\n
SUCCESS $((r + 1))\\nput\\n"
}

@test "a program that nobody reads does not run, and leaves nothing" {
	grows 0 "$FSOP" open 0 "$MNT/eval" O_RDWR : write 0 "put $D/never 1" : close 0
	gone "$K/never"
}

@test "a reader that never reads its reply harms nobody" {
	process silent
	asked ok silent open 0 "$MNT/eval" O_RDWR
	asked ok silent write 0 "put $D/a 1"
	asked ok silent fsync 0
	is "$(cat "$K/a")" 1
	evaluate "put $D/b 1"
	is "$CODE" 0
	kill_process silent
	evaluate "put $D/b 2"
	is "$CODE" 0
}

@test "fsync runs a program, and tells of a malformed one" {
	expect ok open 0 "$MNT/eval" O_RDWR : write 0 "put $D/k synced" : fsync 0
	is "$(cat "$K/k")" synced
	grows 1 "$FSOP" open 0 "$MNT/eval" O_RDWR : write 0 "put $D/k once" : fsync 0 : read 0 : fsync 0
	expect EINVAL open 0 "$MNT/eval" O_RDWR : write 0 "nonsense" : fsync 0
	expect EINVAL open 0 "$MNT/eval" O_RDWR : write 0 "add $D/k 1" : fdatasync 0
	expect ok open 0 "$MNT/eval" O_RDWR : fsync 0
	is "$("$FSOP" open 0 "$MNT/eval" O_RDWR : write 0 "exists($D/no)
then" : fsync 0 : read 0 7)" FAILURE
	# An error is told once.
	is "$(printf '%s\t%s\t%s\t%s\n' open 0 "$MNT/eval" O_RDWR write 0 nonsense '' fsync 0 '' '' \
		fsync 0 '' '' write 0 nonsense '' read 0 5 '' fsync 0 '' '' fsync 0 '' '' |
		sed 's/\t*$//' | "$FSOP" -i | tr '\n' ' ')" "ok ok EINVAL ok ok ERROR EINVAL ok "
	# The next program is judged by itself.
	is "$("$FSOP" open 0 "$MNT/eval" O_RDWR : write 0 nonsense : read 0 5 : write 0 "put $D/k 2" : fsync 0)" ERROR
	is "$(cat "$K/k")" 2
}

@test "a program that is too long is refused as a whole" {
	local got
	got=$("$FSOP" -i <<-END
		open	0	$MNT/eval	O_RDWR
		line	0	put $D/k v
		fill	0	16777216	x
		write	0	x
		read	0
		write	0	put $D/k v
		read	0	7
	END
	) || true
	is "$(field max_program_bytes "$MNT/status")" 16777216
	is "$got" "ok
ok
EPROTO
EFBIG
ERROR 1:1 the program is longer than 16777216 bytes\\n
ok
SUCCESS"
	is "$(cat "$K/k")" v
}

@test "the limit of a text is an option" {
	unmount_store
	mount_store --max-program 1K
	is "$(field max_program_bytes "$MNT/status")" 1024
	run -64 "$COMMITFS" eval "$MNT" <<<"put $D/k $(printf '%01024d' 0)"
	evaluate "put $D/k v"
	is "$CODE" 0
	unmount_store
	mount_store
}

@test "the caller's permissions hold for every path" {
	chmod 755 "$K"
	mkdir -m 777 "$K/open"
	mkdir -m 700 "$K/closed"
	echo secret >"$K/closed/k"
	echo secret >"$K/hidden"
	echo 1 >"$K/mine"
	chmod 600 "$K/hidden"
	chmod 644 "$K/mine"
	for line in "put $D/new 1" "put $D/mine 1" "get $D/hidden" "get $D/closed/k" \
		"get $D --prefix" "del $D/mine" "del $D/open --prefix
put $D/mine 2" "get $D/closed/absent" "add $D/mine 1" "append $D/mine x"; do
		run -64 as_user "$USER_A" "$COMMITFS" eval "$MNT" <<<"$line"
		like "$output" '^ERROR [0-9]+:[0-9]+ .*[Pp]ermission'
		[[ $output != *secret* ]]
	done
	run -64 as_user "$USER_A" "$COMMITFS" eval "$MNT" <<<"value($D/hidden) < \"x\"
then"
	like "$output" '^ERROR 1:1 '
	there "$K/open"
	is "$(cat "$K/mine")" 1
	(umask 027; exec setpriv --reuid="$USER_A" --regid="$USER_A" --clear-groups -- \
		"$COMMITFS" eval "$MNT" <<<"put $D/open/a/k mine") >/dev/null
	is "$(stat -c '%u %g %a' "$K/open/a" "$K/open/a/k")" "$USER_A $USER_A 750
$USER_A $USER_A 640"
	run -0 as_user "$USER_A" "$COMMITFS" eval "$MNT" <<<"get $D/mine"
	is "${lines[3]}" 1
}

@test "the rights are those of the opener, whoever writes" {
	mkdir -m 755 "$K/d"
	expect "SUCCESS" open 0 "$MNT/eval" O_RDWR : setuid "$USER_A" : write 0 "put $D/d/k 1" : read 0 7
	is "$(stat -c %u "$K/d/k")" 0
}

@test "open files, names and listings follow what programs do" {
	mkdir "$K/dir"
	echo 1 >"$K/dir/a"
	echo 1 >"$K/b"
	ls -l "$K" "$K/dir" >/dev/null
	exec 4<"$K/b"
	evaluate "del $D/dir --prefix
del $D/b"
	is "$CODE" 0 "$REPLY_TEXT"
	evaluate "put $D/dir 2
put $D/b/c 3
put $D/new/d 4"
	is "$CODE" 0 "$REPLY_TEXT"
	exec 4<&-
	is "$(cat "$K/dir")" 2
	is "$(cat "$K/b/c")" 3
	is "$(ls "$K")" "b
dir
new"
	evaluate "del $D --prefix"
	like "$REPLY_TEXT" 'del 3'
	gone "$K"
	mkdir "$K"
}

@test "what was closed before is seen by the next program" {
	local i line
	exec 7<>"$MNT/eval"
	for i in {1..20}; do
		: >"$K/empty$i"
		echo "get $D/empty$i --count-only" >&7
		read -r line <&7
		read -r line <&7
		is "$line" "get 1"
	done
	exec 7>&-
}

@test "values come back as they are, whatever they hold" {
	printf 'a\nb\0c\n\n' >"$K/bin"
	printf 'get %s/bin' "$D" | "$COMMITFS" eval "$MNT" >"$BATS_TEST_TMPDIR/reply"
	{
		printf 'SUCCESS %s\nget 1\n%s 7 %s/bin\n' "$(revision)" "$(revision)" "$D"
		cat "$K/bin"
		echo
	} | cmp - "$BATS_TEST_TMPDIR/reply"
	evaluate "put $D/lines <<END
one
  two
END"
	is "$(cat "$K/lines")" "one
  two"
}

@test "additions of many processes all count" {
	local processes=16 times=${COMMITFS_FULL:+1000} i pids=() pid
	times=${times:-250}
	for ((i = 0; i < processes; i++)); do
		bash -c 'exec 3<>"$1/eval" || exit 1
			for ((i = 0; i < $3; i++)); do
				echo "add $2/hits 1" >&3
				read -r line <&3 && [[ $line == SUCCESS* ]] || exit 1
			done' - "$MNT" "$D" "$times" 3>&- &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || fail "an addition failed"
	done
	is "$(cat "$K/hits")" $((processes * times))
}

@test "text and replies count against the memory of the user" {
	local before after
	before=$(field write_set_bytes "$MNT/status")
	process holder
	asked ok holder open 0 "$MNT/eval" O_RDWR
	asked ok holder fill 0 100000 x
	after=$(field write_set_bytes "$MNT/status")
	is $((after - before)) 100000
	ask holder read 0 >/dev/null
	after=$(field write_set_bytes "$MNT/status")
	[ $((after - before)) -gt 0 ]
	[ $((after - before)) -lt 10000 ]
	asked ok holder close 0
	eventually 10 test_usage "$before"
	kill_process holder
}

test_usage() { [ "$(field write_set_bytes "$MNT/status")" = "$1" ]; }

@test "a store that fails is told apart from a program that is wrong" {
	local i code=0
	unmount_store
	RUNNER="prlimit --fsize=$((3 << 20))" mount_store
	for ((i = 0; i < 100 && code == 0; i++)); do
		{
			printf 'put %s/big <<END\n' "$D"
			head -c 300000 /dev/urandom | base64
			echo END
		} | "$COMMITFS" eval "$MNT" >"$BATS_TEST_TMPDIR/reply" || code=$?
	done
	is "$code" 74 "$(head -c 300 "$BATS_TEST_TMPDIR/reply")"
	like "$(cat "$BATS_TEST_TMPDIR/reply")" '^ERROR '
	# From now on it is read-only: what only reads still works.
	run -74 "$COMMITFS" eval "$MNT" <<<"put $D/k v"
	expect EROFS open 0 "$MNT/eval" O_RDWR : write 0 "put $D/k v" : fsync 0
	run -0 "$COMMITFS" eval "$MNT" <<<"get $D/k"
	unmount_store
	mount_store
	evaluate "put $D/k v"
	is "$CODE" 0
}

@test "a program on an open descriptor is one WRITE and one READ" {
	local log
	unmount_store
	log=$BASE/requests
	(
		# its own mount, which tells every request
		"$COMMITFS" mount -f -o debug "$STORE" "$MNT" >"$log" 2>&1 3>&- &
		echo $! >"$BASE/pid"
	)
	eventually 20 there "$MNT/revision"
	"$FSOP" open 0 "$MNT/eval" O_RDWR : write 0 "put $D/warm 1" : read 0 7 : sleep 300 : \
		write 0 "exists($D/warm)
value($D/warm) = 1
then
put $D/a 1
put $D/b 2" : read 0 7 : sleep 300 >/dev/null
	timeout 20 "$COMMITFS" umount "$MNT"
	is "$(grep -o 'opcode: [A-Z]*' "$log" | sed -n '/WRITE/,/RELEASE/p' | cut -d ' ' -f 2 | tr '\n' ' ')" \
		"WRITE READ WRITE READ RELEASE "
	mount_store
}
