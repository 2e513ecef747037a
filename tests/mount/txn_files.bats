#!/usr/bin/env bats
# The files of a transaction: what each tells, what a write to it does, and its end.

load helpers

setup_file() { mount_own_store --max-value=1M; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

# Formats

@test "reads has kind, revision and key, separated by tabs" {
	echo v >"$K/a"
	local at
	at=$(revision)
	mkdir "$K/d"
	begin
	cat "$V/a" >/dev/null
	"$FSOP" list "$V/d"
	[ ! -e "$V/no" ]
	is "$(lines "$T/reads" value "$D/a")" "value$TAB$at$TAB$D/a"
	is "$(lines "$T/reads" exists "$D/no")" "exists${TAB}0$TAB$D/no"
	is "$(lines "$T/reads" list "$D/d/")" "list$TAB$((at + 1))$TAB$D/d/"
	is "$(awk -F'\t' 'NF != 3' "$T/reads")" ""
	is "$(field reads "$T/status")" "$(wc -l <"$T/reads")"
}

@test "writes has the operation, the size and the key, separated by tabs" {
	local k
	for k in attr del; do echo v >"$K/$k"; done
	mkdir "$K/olddir"
	begin
	echo 12345 >"$V/put"
	rm "$V/del"
	mkdir "$V/newdir"
	rmdir "$V/olddir"
	ln -s target "$V/link"
	chmod 600 "$V/attr"
	is "$(lines "$T/writes" put "$D/put")" "put${TAB}6$TAB$D/put"
	is "$(lines "$T/writes" symlink "$D/link")" "symlink${TAB}6$TAB$D/link"
	is "$(lines "$T/writes" delete "$D/del")" "delete${TAB}0$TAB$D/del"
	is "$(lines "$T/writes" attr "$D/attr" | cut -f1)" attr
	like "$(grep ^mkdir "$T/writes")" "^mkdir${TAB}0${TAB}$D/newdir/?$"
	like "$(grep ^rmdir "$T/writes")" "^rmdir${TAB}0${TAB}$D/olddir/?$"
	is "$(wc -l <"$T/writes")" 6
	is "$(field writes "$T/status")" 6
}

@test "writes keeps the last operation of each key" {
	begin
	echo one >"$V/a"
	echo three >"$V/a"
	is "$(lines "$T/writes" put "$D/a")" "put${TAB}6$TAB$D/a"
	is "$(wc -l <"$T/writes")" 1
}

@test "keys are escaped in reads, writes and conflicts" {
	local name=$'tab\tnew\nline\\back\x01\xff' escaped
	escaped="$D/tab\\tnew\\nline\\\\back\\001\\377"
	echo v >"$K/$name"
	begin
	cat "$V/$name" >/dev/null
	echo w >"$V/$name"
	is "$(grep ^value "$T/reads" | cut -f3)" "$escaped"
	is "$(grep ^put "$T/writes" | cut -f3)" "$escaped"
	echo other >"$K/$name"
	is "$(grep ^value "$T/conflicts" | cut -f9)" "$escaped"
	is "$(awk -F'\t' 'NF != 9' "$T/conflicts")" ""
}

@test "names in UTF-8 are not escaped, direction marks are" {
	begin
	echo v >"$V/日本"
	echo v >"$V/x"$'\xe2\x80\xae'y
	is "$(lines "$T/writes" put "$D/日本" | cut -f3)" "$D/日本"
	is "$(grep -c $'\xe2\x80\xae' "$T/writes" || true)" 0
	is "$(grep -cF 'x\342\200\256y' "$T/writes")" 1
}

@test "messages with tabs and newlines are escaped in conflicts" {
	echo v >"$K/a"
	begin
	cat "$V/a" >/dev/null
	begin other
	echo w >"$V_other/a"
	commit ok "$T_other" $'one\ttwo\nthree\\four'
	is "$(lines "$T/conflicts" value "$D/a" | cut -f8)" 'one\ttwo\nthree\\four'
	is "$(lines "$T/conflicts" value "$D/a" | awk -F'\t' '{ print NF }')" 9
}

@test "message is written, replaced, added to and used" {
	echo v >"$K/a"
	begin
	cat "$V/a" >/dev/null
	begin other
	echo w >"$V_other/a"
	echo first >"$T_other/message"
	echo second >"$T_other/message"
	is "$(cat "$T_other/message")" second
	commit ok "$T_other" 'not this'
	is "$(lines "$T/conflicts" value "$D/a" | cut -f8)" second
}

@test "writes of one open of message follow each other" {
	echo v >"$K/a"
	begin
	cat "$V/a" >/dev/null
	begin other
	echo w >"$V_other/a"
	{ echo one; echo two; } >"$T_other/message"
	is "$(cat "$T_other/message")" $'one\ntwo'
	commit ok "$T_other" 'not this'
	is "$(lines "$T/conflicts" value "$D/a" | cut -f8)" 'one\ntwo'
}

@test "a message of more than 4 KiB is EFBIG" {
	begin
	expect EFBIG open 0 "$T/message" O_WRONLY : fill 0 4097
	expect ok open 0 "$T/message" O_WRONLY,O_TRUNC : fill 0 4096 : close 0
	echo v >"$V/a"
	commit ok "$T"
}

@test "status has the fields of the contract" {
	local name
	begin
	echo 12345 >"$V/a"
	for name in state id base_revision reads writes bytes owner_pid uid isolation begun idle_ms last_error; do
		grep -qE "^$name( |$)" "$T/status" || fail "no $name in: $(cat "$T/status")"
	done
	is "$(field state "$T/status")" open
	is "$(field uid "$T/status")" 0
	is "$(field writes "$T/status")" 1
	[ "$(field bytes "$T/status")" -ge 6 ]
	is "$(field isolation "$T/status")" serializable-snapshot
	begin two
	[ "$(field id "$T/status")" != "$(field id "$T_two/status")" ]
}

# Isolation levels

@test "isolation takes the three words, anything else is EINVAL" {
	begin
	local word
	for word in serializable snapshot serializable-snapshot; do
		echo "$word" >"$T/isolation"
		is "$(cat "$T/isolation")" "$word"
	done
	expect EINVAL open 0 "$T/isolation" O_WRONLY : line 0 weird
	expect EINVAL open 0 "$T/isolation" O_WRONLY : line 0 snap
	expect EINVAL open 0 "$T/isolation" O_WRONLY : line 0 ''
	is "$(cat "$T/isolation")" serializable-snapshot
	[ -n "$(field last_error "$T/status")" ]
}

@test "isolation is EBUSY once something was read or written, until restart" {
	echo v >"$K/a"
	begin
	cat "$V/a" >/dev/null
	expect EBUSY open 0 "$T/isolation" O_WRONLY : line 0 snapshot
	is "$(cat "$T/isolation")" serializable-snapshot
	echo >"$T/restart"
	expect ok open 0 "$T/isolation" O_WRONLY : line 0 snapshot
	echo v >"$V/b"
	expect EBUSY open 0 "$T/isolation" O_WRONLY : line 0 serializable
	echo >"$T/restart"
	is "$(cat "$T/isolation")" snapshot
}

@test "a lost update is refused at every level" {
	local word
	for word in serializable-snapshot serializable snapshot; do
		echo 1 >"$K/x"
		begin
		level "$word" "$T"
		cat "$V/x" >/dev/null
		echo 2 >"$V/x"
		echo other >"$K/x"
		commit ECANCELED "$T" || fail "$word"
		is "$(cat "$K/x")" other
		rmdir "$T"
	done
}

@test "write skew is refused by the serializable levels and passes at snapshot" {
	local word
	for word in serializable-snapshot serializable snapshot; do
		echo 1 >"$K/x"
		echo 1 >"$K/y"
		begin 1
		begin 2
		level "$word" "$T_1"
		level "$word" "$T_2"
		cat "$V_1/x" "$V_2/y" >/dev/null
		echo 0 >"$V_1/y"
		echo 0 >"$V_2/x"
		commit ok "$T_1"
		if [ "$word" = snapshot ]; then commit ok "$T_2"; else commit ECANCELED "$T_2"; fi
		rmdir "$T_1" "$T_2"
	done
}

@test "blind writes conflict at the snapshot levels and pass at serializable" {
	local word
	for word in serializable-snapshot serializable snapshot; do
		echo 1 >"$K/x"
		begin
		level "$word" "$T"
		echo mine >"$V/x"
		echo other >"$K/x"
		if [ "$word" = serializable ]; then
			commit ok "$T"
			is "$(cat "$K/x")" mine
		else
			commit ECANCELED "$T"
			is "$(lines "$T/conflicts" write "$D/x" | wc -l)" 1
			is "$(cat "$K/x")" other
		fi
		rmdir "$T"
	done
}

@test "a blind write conflicts at serializable when the name was created or deleted" {
	echo 1 >"$K/x"
	begin 1
	level serializable "$T_1"
	echo mine >"$V_1/x"
	rm "$K/x"
	commit ECANCELED "$T_1"
	begin 2
	level serializable "$T_2"
	echo mine >"$V_2/new"
	echo other >"$K/new"
	commit ECANCELED "$T_2"
}

@test "at snapshot a changed key that was only read is no conflict" {
	echo 1 >"$K/x"
	begin
	level snapshot "$T"
	cat "$V/x" >/dev/null
	ls "$V" >/dev/null
	echo mine >"$V/y"
	echo other >"$K/x"
	echo other >"$K/z"
	is "$(cat "$V/x")" 1
	commit ok "$T"
}

@test "at no level a directory that is not empty is removed, or written into when gone" {
	local word
	for word in serializable-snapshot serializable snapshot; do
		mkdir -p "$K/full" "$K/gone"
		begin
		level "$word" "$T"
		rmdir "$V/full"
		echo x >"$K/full/x"
		commit ECANCELED "$T" || fail "$word"
		is "$(cat "$K/full/x")" x
		echo >"$T/restart"
		echo y >"$V/gone/y"
		rmdir "$K/gone"
		commit ECANCELED "$T" || fail "$word"
		gone "$K/gone"
		rmdir "$T"
		rm -r "$K/full"
	done
}

# Control files

@test "': > commit' does nothing, and last_error says so" {
	begin
	echo v >"$V/a"
	: >"$T/commit"
	is "$(state "$T")" open
	gone "$K/a"
	[ -n "$(field last_error "$T/status")" ]
	commit ok "$T"
	is "$(cat "$K/a")" v
}

@test "control files accept O_TRUNC, O_APPEND, truncate, touch and fsync" {
	begin
	echo v >"$V/a"
	echo snapshot 2>/dev/null >>"$T/isolation" || true
	truncate -s 0 "$T/message"
	echo why >>"$T/message"
	touch "$T/message"
	expect ok open 0 "$T/message" O_WRONLY : fsync 0 : close 0
	echo go >>"$T/commit"
	is "$(state "$T")" committed
	is "$(cat "$K/a")" v
}

@test "the first write commits: a second line is not another commit" {
	begin
	echo v >"$V/a"
	grows 1 bash -c '{ echo one; echo two; } >"$1"' - "$T/commit"
}

@test "control files are private and listed before keys" {
	begin
	local names
	names=$("$FSOP" list "$T")
	like "$names" '(^| )keys$'
	local name
	for name in commit restart message isolation status reads writes conflicts; do
		like " $names " " $name "
	done
}

@test "names that are no control files cannot be made" {
	begin
	expect_any "EPERM EACCES" mkdir "$T/other"
	expect_any "EPERM EACCES" open 0 "$T/other" O_WRONLY,O_CREAT
	expect_any "EPERM EACCES" rename "$T/commit" "$T/other"
	expect_any "EPERM EACCES EXDEV" rename "$T/commit" "$K/other"
	expect_any "EPERM EACCES" symlink x "$T/other"
	expect_any "EPERM EACCES" chmod "$T/commit" 777
	expect_any "EPERM EACCES" open 0 "$MNT/txn/file" O_WRONLY,O_CREAT
	expect_any "EPERM EACCES" rename "$T" "$MNT/txn/renamed"
	expect EPERM chmod "$T" 777
	expect EPERM link "$T/commit" "$MNT/txn/x"
	expect EPERM symlink x "$MNT/txn/x"
	is "$(state "$T")" open
}

@test "restart forgets reads, writes and message, and moves to the newest snapshot" {
	echo old >"$K/a"
	begin
	cat "$V/a" >/dev/null
	echo mine >"$V/b"
	echo why >"$T/message"
	echo new >"$K/a"
	echo c >"$K/c"
	rm -f "$K/none"
	echo >"$T/restart"
	is "$(cat "$V/a")" new
	is "$(ls "$V" | tr '\n' ' ')" "a c "
	is "$(cat "$T/message")" ""
	is "$(cat "$T/writes")" ""
	is "$(field base_revision "$T/status")" "$(revision)"
	echo mine >"$V/b"
	commit ok "$T"
}

@test "nothing of the old round can be observed after restart" {
	local i
	mkdir "$K/d"
	begin
	for i in 1 2 3 4 5 6 7 8 9 10; do
		echo "$i" >"$K/v"
		echo "$i" >"$K/d/n$i"
		rm -f "$K/d/n$((i - 1))"
		echo >"$T/restart"
		is "$(cat "$V/v")" "$i"
		is "$(ls "$V/d")" "n$i"
		expect $((${#i} + 1)) stat "$V/v" size
		gone "$V/d/n$((i - 1))"
		gone "$V/mine"
		echo x >"$V/mine"
		echo x >"$V/d/mine"
		chmod 700 "$V/d"
		expect 0700 stat "$V/d" mode
		echo >"$T/restart"
		expect 0755 stat "$V/d" mode
		gone "$V/d/mine"
	done
}

@test "descriptors of the old round read on and get ESTALE on write" {
	echo old >"$K/a"
	begin
	process w
	asked ok w open 0 "$V/a" O_RDWR
	asked ok w open 1 "$V/a" O_RDONLY
	asked ok w open 2 "$V/n" O_WRONLY,O_CREAT
	asked ok w chdir "$V"
	echo new >"$K/a"
	echo >"$T/restart"
	asked 'old\n' w read 1
	asked ESTALE w write 0 x
	asked ESTALE w write 2 x
	asked ok w open 3 a O_RDONLY
	asked 'new\n' w read 3
	gone "$V/n"
	# What the old descriptors read is not of this round.
	echo >"$T/restart"
	asked 'old\n' w pread 1 0 10
	is "$(lines "$T/reads" value "$D/a")" ""
}

@test "restart after a commit begins a new round" {
	begin
	echo 1 >"$V/a"
	commit ok "$T"
	echo >"$T/restart"
	is "$(state "$T")" open
	echo 2 >"$V/a"
	commit ok "$T"
	is "$(cat "$K/a")" 2
}

# The end

@test "rmdir ends a transaction though it is not empty, with files open" {
	begin
	echo v >"$V/a"
	process w
	asked ok w open 0 "$V/b" O_WRONLY,O_CREAT
	asked ok w open 1 "$T/commit" O_WRONLY
	asked ok w open 2 "$T/status" O_RDONLY
	asked ok w chdir "$V"
	expect ok rmdir "$T"
	gone "$T"
	expect_any "ENOENT" rmdir "$T"
	asked ESTALE w write 0 x
	asked ESTALE w line 1 x
	like "$(ask w open 3 a O_RDONLY)" '^(ESTALE|ENOENT)$'
	expect ENOENT open 0 "$T/commit" O_WRONLY
	expect ENOENT stat "$V/a"
	gone "$K/a"
	expect ok mkdir "$T"
	gone "$V/a"
}

@test "rm -rf ends a transaction and deletes nothing from the live tree" {
	mkdir "$K/d"
	echo v >"$K/d/a"
	begin
	echo w >"$V/d/b"
	rm -rf "$T"
	gone "$T"
	is "$(ls "$K/d")" a
}

@test "a working directory in a view that ended is not the live tree" {
	echo v >"$K/a"
	begin
	process w
	asked ok w chdir "$V"
	rmdir "$T"
	like "$(ask w open 0 x O_WRONLY,O_CREAT)" '^(ESTALE|ENOENT)$'
	like "$(ask w unlink a)" '^(ESTALE|ENOENT)$'
	is "$(cat "$K/a")" v
}

@test "another user cannot enter, root may" {
	begin
	echo secret >"$V/a"
	run -1 as_user "$USER_A" "$FSOP" list "$T"
	like "$output" EACCES
	run -1 as_user "$USER_A" "$FSOP" open 0 "$T/status" O_RDONLY
	like "$output" EACCES
	run -1 as_user "$USER_A" "$FSOP" open 0 "$V/a" O_RDONLY
	like "$output" EACCES
	run -1 as_user "$USER_A" "$FSOP" open 0 "$T/commit" O_WRONLY
	like "$output" EACCES
	run -1 as_user "$USER_A" "$FSOP" rmdir "$T"
	like "$output" '(EACCES|EPERM)'
	there "$T"
	as_user "$USER_A" mkdir "$MNT/txn/$D.user"
	expect "0700 $USER_A" stat "$MNT/txn/$D.user" mode,uid
	is "$(field uid "$MNT/txn/$D.user/status")" "$USER_A"
	run -1 as_user "$USER_B" "$FSOP" list "$MNT/txn/$D.user"
	like "$output" EACCES
	expect ok rmdir "$MNT/txn/$D.user"
}

@test "an ordinary user's transaction obeys permissions in the view" {
	echo v >"$K/a"
	chmod 600 "$K/a"
	mkdir "$K/own"
	chown "$USER_A" "$K/own"
	as_user "$USER_A" mkdir "$MNT/txn/$D.user"
	local v=$MNT/txn/$D.user/keys/$D
	run -1 as_user "$USER_A" "$FSOP" open 0 "$v/a" O_RDONLY
	like "$output" EACCES
	run -1 as_user "$USER_A" "$FSOP" open 0 "$v/new" O_WRONLY,O_CREAT
	like "$output" EACCES
	as_user "$USER_A" sh -c 'echo mine >"$1"' - "$v/own/b"
	as_user "$USER_A" sh -c 'echo done >"$1"' - "$MNT/txn/$D.user/commit"
	is "$(cat "$K/own/b")" mine
	expect "$USER_A $USER_A" stat "$K/own/b" uid,gid
}

@test "a permission that is gone at the commit is EACCES, with access lines" {
	mkdir "$K/own"
	chown "$USER_A" "$K/own"
	as_user "$USER_A" mkdir "$MNT/txn/$D.user"
	local t=$MNT/txn/$D.user
	as_user "$USER_A" sh -c 'echo snapshot >"$1"' - "$t/isolation"
	as_user "$USER_A" sh -c 'echo mine >"$1"' - "$t/keys/$D/own/b"
	chown 0 "$K/own"
	run -1 as_user "$USER_A" "$FSOP" open 0 "$t/commit" O_WRONLY : line 0 why
	like "$output" EACCES
	gone "$K/own/b"
	[ -n "$(lines "$t/conflicts" access "$D/own/b")" ]
	chown "$USER_A" "$K/own"
	as_user "$USER_A" sh -c 'echo >"$1"' - "$t/restart"
	as_user "$USER_A" sh -c 'echo mine >"$1"' - "$t/keys/$D/own/b"
	as_user "$USER_A" sh -c 'echo why >"$1"' - "$t/commit"
	is "$(cat "$K/own/b")" mine
}

# The table of errnos, row by row

@test "errno: committed is none" {
	begin
	echo v >"$V/a"
	commit ok "$T"
	is "$(state "$T")" committed
}

@test "errno: a conflict is ECANCELED, and nothing else" {
	echo v >"$K/a"
	begin
	echo w >"$V/a"
	echo x >"$K/a"
	commit ECANCELED "$T"
	commit ECANCELED "$T"
	is "$(state "$T")" conflict
	is "$(field state "$T/status")" conflict
	[ -n "$(field last_error "$T/status")" ]
	expect ECANCELED open 0 "$V/a" O_WRONLY,O_TRUNC
}

@test "errno: the transaction is over is ESTALE on handles and ENOENT on paths" {
	begin
	process w
	asked ok w open 0 "$T/commit" O_RDWR
	asked ok w open 1 "$T/restart" O_WRONLY
	asked ok w open 2 "$T/message" O_WRONLY
	asked ok w open 3 "$V/a" O_RDWR,O_CREAT
	asked ok w open 4 "$T/isolation" O_WRONLY
	rmdir "$T"
	asked ESTALE w line 0 x
	asked ESTALE w line 1 x
	asked ESTALE w line 2 x
	asked ESTALE w line 3 x
	asked ESTALE w line 4 snapshot
	expect ENOENT open 0 "$T/commit" O_WRONLY
	expect ENOENT stat "$T"
}

@test "errno: an unknown word is EINVAL, one that comes too late EBUSY" {
	begin
	expect EINVAL open 0 "$T/isolation" O_WRONLY : line 0 nonsense
	like "$(field last_error "$T/status")" .
	cat "$V/a" 2>/dev/null || true
	expect EBUSY open 0 "$T/isolation" O_WRONLY : line 0 snapshot
	is "$(grep -c '^last_error' "$T/status")" 1
}

@test "errno: a value too large is EFBIG at the call, the transaction stays usable" {
	begin
	expect EFBIG open 0 "$V/a" O_WRONLY,O_CREAT : fill 0 1000000 : fill 0 100000
	[ -n "$(field last_error "$T/status")" ]
	rm -f "$V/a"
	echo v >"$V/b"
	commit ok "$T"
	is "$(ls "$K")" b
}

@test "a shell hears of a conflict from echo" {
	echo v >"$K/a"
	begin
	echo w >"$V/a"
	echo x >"$K/a"
	local shell
	for shell in bash dash mksh 'busybox sh'; do
		command -v "${shell%% *}" >/dev/null || continue
		run $shell -c 'echo why >"$1"' - "$T/commit"
		[ "$status" -ne 0 ] || fail "$shell did not notice"
		# not every shell's echo says so, but its status does
	done
}

@test "a transaction over 10,000 keys is one revision, nothing before, all after" {
	local before
	begin
	before=$(revision)
	"$PYTHON" - "$V" <<-'PY'
		import os, sys
		for d in range(100):
		    os.mkdir(f'{sys.argv[1]}/{d:02}')
		    for f in range(100):
		        with open(f'{sys.argv[1]}/{d:02}/{f:02}', 'w') as out:
		            out.write(f'{d} {f}\n')
	PY
	is "$(ls "$K")" ""
	is "$(revision)" "$before"
	is "$(field writes "$T/status")" 10100
	commit ok "$T"
	is "$(revision)" $((before + 1))
	is "$(find "$K" -type f | wc -l)" 10000
	is "$(cat "$K"/*/* | wc -l)" 10000
	is "$(cat "$K/42/17")" "42 17"
	begin 2
	rm -rf "$V_2/"*
	is "$(find "$K" -type f | wc -l)" 10000
	commit ok "$T_2"
	is "$(ls "$K")" ""
	is "$(revision)" $((before + 2))
}

@test "of many transactions on one counter none is lost" {
	echo 0 >"$K/n"
	local i
	for i in 1 2 3 4; do
		bash -c '
			for ((done = 0; done < 25;)); do
				read -r t <"$1/txn/new" || exit 1
				read -r n <"$1/txn/$t/keys/$2/n" || exit 2
				echo $((n + 1)) >"$1/txn/$t/keys/$2/n" || exit 3
				echo add 2>/dev/null >"$1/txn/$t/commit" && done=$((done + 1))
				rmdir "$1/txn/$t" || exit 4
			done' - "$MNT" "$D" 3>&- &
		PROCESS_PID[$i]=$!
	done
	for i in 1 2 3 4; do wait "${PROCESS_PID[$i]}"; done
	is "$(cat "$K/n")" 100
}

@test "the retry loop with restart through one transaction loses nothing" {
	echo 0 >"$K/n"
	local i
	for i in 1 2 3; do
		bash -c '
			read -r t <"$1/txn/new" || exit 1
			for ((i = 0; i < 20; i++)); do
				while :; do
					read -r n <"$1/txn/$t/keys/$2/n" || exit 2
					echo $((n + 1)) >"$1/txn/$t/keys/$2/n" || exit 3
					echo add 2>/dev/null >"$1/txn/$t/commit" && break
					echo >"$1/txn/$t/restart" || exit 4
				done
				echo >"$1/txn/$t/restart" || exit 5
			done' - "$MNT" "$D" 3>&- &
		PROCESS_PID[$i]=$!
	done
	for i in 1 2 3; do wait "${PROCESS_PID[$i]}"; done
	is "$(cat "$K/n")" 60
}

@test "after restart a name of the old round is free at once, whatever it was" {
	begin
	local i
	for i in 1 2 3 4 5 6 7 8 9 10; do
		echo x >"$V/a"
		mkdir "$V/b"
		echo >"$T/restart"
		mkdir "$V/a"
		echo y >"$V/b"
		is "$(cat "$V/b")" y
		echo >"$T/restart"
	done
}
