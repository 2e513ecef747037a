#!/usr/bin/env bats
# Transactions: a directory each, committed by a write.

load helpers

setup_file() { mount_own_store --max-value=1M; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

TAB=$'\t'

# The word that the line in `commit` begins with
state() { sed -n '1s/^\([a-z]*\).*/\1/p' "$1/commit"; }

# lines FILE KIND KEY: the lines of that kind on that key
lines() {
	awk -F'\t' -v kind="$2" -v key="$3" '$1 == kind && $NF == key' "$1"
}

# Begin

@test "mkdir begins a transaction and rmdir ends it" {
	begin
	is "$(state "$T")" open
	is "$(cat "$T/isolation")" serializable-snapshot
	is "$(stat -c %a "$T")" 700
	rmdir "$T"
	gone "$T"
}

@test "reading txn/new begins a transaction for the reading shell" {
	run -0 bash -c '
		cd "$1" || exit 1
		read -r t <txn/new || exit 1
		[ -d "txn/$t" ] || exit 1
		[ "$(awk "\$1 == \"owner_pid\" { print \$2 }" "txn/$t/status")" = $$ ] || exit 2
		echo v >"txn/$t/keys/$2/a"
		[ ! -e "keys/$2/a" ] || exit 3
		echo done >"txn/$t/commit" || exit 4
		cat "keys/$2/a"' - "$MNT" "$D"
	is "$output" v
}

@test "a transaction begun by \$(cat new) belongs to the shell" {
	run -0 bash -c '
		cd "$1" || exit 1
		t=$(cat txn/new)
		[ -d "txn/$t" ] || exit 1
		sleep 0.3
		echo v >"txn/$t/keys/$2/a" || exit 2
		[ "$(awk "\$1 == \"owner_pid\" { print \$2 }" "txn/$t/status")" = $$ ] || exit 3
		echo >"txn/$t/commit"
		cat "keys/$2/a"' - "$MNT" "$D"
	is "$output" v
}

@test "each reading of txn/new begins another transaction" {
	run -0 bash -c 'cd "$1"; read -r a <txn/new; read -r b <txn/new; [ "$a" != "$b" ] && rmdir "txn/$a" "txn/$b"' \
		- "$MNT"
}

@test "opening txn/new without reading begins nothing" {
	local before
	before=$(ls "$MNT/txn")
	expect ok open 0 "$MNT/txn/new" O_RDONLY : close 0
	stat "$MNT/txn/new" >/dev/null
	is "$(ls "$MNT/txn")" "$before"
}

@test "a transaction ends when its owner exits" {
	local name
	name=$(bash -c 'read -r t <"$1/txn/new"; echo v >"$1/txn/$t/keys/$2/a"; echo "$t"' - "$MNT" "$D")
	eventually 3 gone "$MNT/txn/$name"
	gone "$K/a"
}

@test "a transaction ends when its owner is killed" {
	local name
	process w
	asked ok w open 0 "$MNT/txn/new" O_RDONLY
	name=$(ask w read 0)
	name=${name%\\n}
	there "$MNT/txn/$name"
	asked ok w mkdir "$MNT/txn/$name/keys/$D/d"
	kill_process w
	eventually 3 gone "$MNT/txn/$name"
}

@test "a name of digits claims the caller or an ancestor" {
	bash -c 'mkdir "$1/txn/$$" && rmdir "$1/txn/$$"' - "$MNT"
	bash -c 'mkdir "$1/txn/$$.retry" && rmdir "$1/txn/$$.retry"' - "$MNT"
	process w
	expect ESRCH mkdir "$MNT/txn/${PROCESS_PID[w]}"
	expect ESRCH mkdir "$MNT/txn/${PROCESS_PID[w]}.x"
	expect ESRCH mkdir "$MNT/txn/4194303"
	asked ok w mkdir "$MNT/txn/${PROCESS_PID[w]}"
	kill_process w
	eventually 3 test -z "$(ls "$MNT/txn" | grep -x "${PROCESS_PID[w]}" || true)"
}

@test "mkdir txn/\$\$ ends with the shell" {
	local name
	name=$(bash -c 'mkdir "$1/txn/$$"; echo v >"$1/txn/$$/keys/$2/a"; echo $$' - "$MNT" "$D")
	eventually 3 gone "$MNT/txn/$name"
}

@test "another user's process cannot be claimed" {
	run -1 as_user "$USER_A" "$FSOP" mkdir "$MNT/txn/$$"
	like "$output" ESRCH
}

@test "a bad name is EINVAL, one in use EEXIST" {
	local name
	for name in .hidden 'a b' a@b a:b $'a\nb' é "$(head -c 65 /dev/zero | tr '\0' n)"; do
		expect EINVAL mkdir "$MNT/txn/$name"
	done
	# The kernel answers for the names that are there.
	expect_any "EINVAL EEXIST" mkdir "$MNT/txn/new"
	expect_any "EINVAL EEXIST" mkdir "$MNT/txn/self"
	begin
	expect EEXIST mkdir "$T"
	for name in "$(head -c 64 /dev/zero | tr '\0' n)" _x -x x.y_z-0; do
		expect ok mkdir "$MNT/txn/$name"
		expect ok rmdir "$MNT/txn/$name"
	done
}

@test "txn/self leads to the newest transaction of the caller" {
	expect ENOENT stat "$MNT/txn/self/status"
	run -0 bash -c '
		cd "$1" || exit 1
		read -r a <txn/new
		[ "$(readlink -f txn/self)" = "$(readlink -f "txn/$a")" ] || exit 2
		read -r b <txn/new
		[ "$(readlink -f txn/self)" = "$(readlink -f "txn/$b")" ] || exit 3
		echo v >"txn/self/keys/$2/a"
		cat "txn/$b/keys/$2/a" || exit 4
		rmdir "txn/$b"
		[ "$(readlink -f txn/self)" = "$(readlink -f "txn/$a")" ] || exit 5' - "$MNT" "$D"
	is "$output" v
}

# Isolation from the live tree

@test "writes in a view are seen in it at once and nowhere else" {
	echo old >"$K/a"
	begin 1
	begin 2
	echo new >"$V_1/a"
	echo b >"$V_1/b"
	mkdir "$V_1/d"
	is "$(cat "$V_1/a" "$V_1/b")" $'new\nb'
	is "$(ls "$V_1" | tr '\n' ' ')" "a b d "
	is "$(cat "$K/a")" old
	is "$(ls "$K")" a
	is "$(cat "$V_2/a")" old
	is "$(ls "$V_2")" a
}

@test "a view keeps to its snapshot" {
	echo old >"$K/a"
	begin
	echo new >"$K/a"
	echo b >"$K/b"
	mkdir "$K/d"
	is "$(cat "$V/a")" old
	is "$(stat -c %s "$V/a")" 4
	gone "$V/b"
	is "$(ls "$V")" a
	rm "$K/a"
	is "$(cat "$V/a")" old
}

@test "a commit makes every change visible under one revision" {
	echo old >"$K/a"
	echo gone >"$K/b"
	local before
	before=$(revision)
	begin
	echo new >"$V/a"
	rm "$V/b"
	mkdir -p "$V/d/e"
	echo x >"$V/d/e/x"
	ln -s a "$V/l"
	chmod 600 "$V/a"
	commit ok "$T" why
	is "$(revision)" $((before + 1))
	is "$(cat "$T/commit")" "committed $((before + 1))"
	is "$(field revision "$T/status")" $((before + 1))
	is "$(field state "$T/status")" committed
	is "$(cat "$K/a" "$K/d/e/x" "$K/l")" $'new\nx\nnew'
	expect 0600 stat "$K/a" mode
	gone "$K/b"
}

@test "everything the commit changed is visible when its write returns" {
	local i
	for i in 1 2 3 4 5 6 7 8 9 10; do
		ls -l "$K" >/dev/null
		gone "$K/n$i"
		begin $i
		eval "local v=\$V_$i t=\$T_$i"
		echo "$i" >"$v/n$i"
		echo "$i" >"$v/same"
		mkdir "$v/d$i"
		[ "$i" = 1 ] || { rmdir "$v/d$((i - 1))"; rm "$v/n$((i - 1))"; }
		commit ok "$t"
		is "$(cat "$K/n$i")" "$i"
		is "$(cat "$K/same")" "$i"
		gone "$K/n$((i - 1))"
		is "$(ls "$K" | tr '\n' ' ')" "d$i n$i same "
		[ -d "$K/d$i" ]
	done
}

@test "what a commit made of a name is seen at once, though the kernel knew what it was" {
	"$PYTHON" - "$MNT" "$D" <<-'PY'
		import os, sys
		mount, name = sys.argv[1:]
		live, txn = f'{mount}/keys/{name}', f'{mount}/txn/{name}'
		def write(path, text):
		    with open(path, 'w') as f:
		        f.write(text)
		def transaction(change):
		    os.mkdir(txn)
		    change(f'{txn}/keys/{name}')
		    write(f'{txn}/commit', 'test')
		def file_to_directory(view):
		    os.unlink(view + '/a')
		    os.mkdir(view + '/a')
		    write(view + '/a/x', 'y')
		def directory_to_file(view):
		    os.unlink(view + '/a/x')
		    os.rmdir(view + '/a')
		    write(view + '/a', 'z')
		write(live + '/a', 'v')
		for i in range(150):
		    os.stat(live + '/a')
		    transaction(file_to_directory)
		    assert open(live + '/a/x').read() == 'y'
		    os.rmdir(txn)
		    transaction(directory_to_file)
		    assert open(live + '/a').read() == 'z'
		    os.rmdir(txn)
	PY
}

@test "a transaction that wrote nothing commits without a revision" {
	echo v >"$K/a"
	begin
	cat "$V/a" >/dev/null
	local base
	base=$(field base_revision "$T/status")
	is "$base" "$(revision)"
	echo other >"$K/a"
	local now
	now=$(revision)
	commit ok "$T"
	is "$(revision)" "$now"
	is "$(cat "$T/commit")" "committed $base"
}

@test "creating and deleting again changes nothing" {
	begin
	local before
	before=$(revision)
	echo v >"$V/a"
	rm "$V/a"
	commit ok "$T"
	gone "$K/a"
	is "$(revision)" "$before"
}

@test "after the commit the view can be read and writes get ESTALE" {
	echo v >"$K/a"
	begin
	process w
	asked ok w open 0 "$V/b" O_WRONLY,O_CREAT
	echo new >"$V/a"
	commit ok "$T"
	is "$(cat "$V/a")" new
	is "$(ls "$V" | head -n1)" a
	asked ESTALE w write 0 v
	expect ESTALE open 0 "$V/a" O_WRONLY,O_TRUNC : write 0 v
	expect ESTALE mkdir "$V/d"
	expect ESTALE unlink "$V/a"
	expect ESTALE rename "$V/a" "$V/z"
	is "$(cat "$K/a")" new
}

@test "a transaction begun after ': > key' sees the key, or sees it empty" {
	run -0 bash -c '
		cd "$1" || exit 1
		for ((i = 0; i < 50; i++)); do
			: >"keys/$2/new$i"
			read -r t <txn/new
			[ -e "txn/$t/keys/$2/new$i" ] || exit 2
			rmdir "txn/$t"
			echo old >"keys/$2/a"
			: >"keys/$2/a"
			read -r t <txn/new
			! read -r v <"txn/$t/keys/$2/a" || exit 3
			rmdir "txn/$t"
		done' - "$MNT" "$D"
}

@test "a commit validates against ': > key' that came before it" {
	run -0 bash -c '
		cd "$1" || exit 1
		for ((i = 0; i < 30; i++)); do
			read -r t <txn/new
			echo mine >"txn/$t/keys/$2/a"
			: >"keys/$2/a"
			echo why 2>/dev/null >"txn/$t/commit" && exit 2
			rmdir "txn/$t"
			rm "keys/$2/a"
		done
		exit 0' - "$MNT" "$D"
}

# Conflicts

@test "two shells: the second commit is ECANCELED, restart, and it commits" {
	echo 100 >"$K/balance"
	begin 1
	begin 2
	local one two before
	one=$(cat "$V_1/balance")
	two=$(cat "$V_2/balance")
	echo $((one + 1)) >"$V_1/balance"
	echo $((two + 10)) >"$V_2/balance"
	commit ok "$T_1" first
	before=$(revision)
	run bash -c 'echo second >"$1"' - "$T_2/commit"
	[ "$status" -ne 0 ]
	like "$output" 'Operation canceled'
	is "$(revision)" "$before"
	is "$(cat "$K/balance")" 101
	echo >"$T_2/restart"
	is "$(cat "$V_2/balance")" 101
	two=$(cat "$V_2/balance")
	echo $((two + 10)) >"$V_2/balance"
	commit ok "$T_2" second
	is "$(cat "$K/balance")" 111
}

@test "a conflict applies nothing at all" {
	echo v >"$K/a"
	begin
	cat "$V/a" >/dev/null
	local i
	for i in 1 2 3 4 5; do echo "$i" >"$V/n$i"; done
	echo other >"$K/a"
	local before
	before=$(revision)
	commit ECANCELED "$T"
	is "$(revision)" "$before"
	is "$(ls "$K")" a
	is "$(cat "$K/a")" other
}

@test "a result sticks until restart, which works through the same descriptor" {
	echo v >"$K/a"
	begin
	process w
	asked ok w open 0 "$T/commit" O_WRONLY
	cat "$V/a" >/dev/null
	echo mine >"$V/b"
	echo other >"$K/a"
	asked ECANCELED w line 0 one
	asked ECANCELED w line 0 two
	commit ECANCELED "$T"
	is "$(state "$T")" conflict
	expect ECANCELED open 0 "$V/c" O_WRONLY,O_CREAT
	expect ECANCELED mkdir "$V/d"
	echo >"$T/restart"
	is "$(state "$T")" open
	gone "$V/b"
	echo mine >"$V/b"
	asked ok w line 0 three
	local now
	now=$(revision)
	asked ok w line 0 four
	commit ok "$T"
	is "$(revision)" "$now"
	is "$(cat "$K/b")" mine
}

@test "the conflict report has nine fields, and says who and why" {
	echo v >"$K/a"
	begin
	cat "$V/a" >/dev/null
	echo x >"$V/b"
	local seen now line
	seen=$(awk -F'\t' -v k="$D/a" '$1 == "value" && $3 == k { print $2 }' "$T/reads")
	begin other
	echo changed >"$V_other/a"
	commit ok "$T_other" 'stock corrected'
	now=$(revision)
	line=$(lines "$T/conflicts" value "$D/a")
	is "$(awk -F'\t' '{ print NF, $2, $3, $5 }' <<<"$line")" "9 $seen $now 0"
	is "$(cut -f8 <<<"$line")" 'stock corrected'
	like "$(cut -f6 <<<"$line")" '^[0-9]+$'
	like "$(cut -f4 <<<"$line")" '^[0-9]{4}-[0-9][0-9]-[0-9][0-9]T.*Z$'
	[ -n "$(cut -f7 <<<"$line")" ]
	is "$(wc -l <"$T/conflicts")" 1
	commit ECANCELED "$T"
	is "$(lines "$T/conflicts" value "$D/a")" "$line"
	like "$(cat "$T/commit")" '^conflict.*restart'
	like "$(cat "$T/commit")" "$D/a"
	like "$(cat "$T/commit")" 'stock corrected'
	is "$(wc -l <"$T/commit")" 1
}

@test "conflicts name the user of the commit found" {
	chmod 777 "$K"
	echo v >"$K/a"
	chmod 666 "$K/a"
	begin
	cat "$V/a" >/dev/null
	as_user "$USER_A" sh -c 'echo other >"$1"' - "$K/a"
	is "$(lines "$T/conflicts" value "$D/a" | cut -f5)" "$USER_A"
	is "$(lines "$T/conflicts" value "$D/a" | cut -f7)" sh
}

@test "conflicts come in key order, all of them" {
	local k
	for k in c a b; do echo v >"$K/$k"; done
	begin
	cat "$V/b" "$V/a" "$V/c" >/dev/null
	is "$(wc -l <"$T/conflicts")" 0
	for k in c a b; do echo w >"$K/$k"; done
	is "$(awk -F'\t' '$1 == "value" { print $NF }' "$T/conflicts" | tr '\n' ' ')" "$D/a $D/b $D/c "
}

@test "reading conflicts applies and decides nothing" {
	echo v >"$K/a"
	begin
	cat "$V/a" >/dev/null
	echo x >"$V/b"
	cat "$T/conflicts"
	is "$(state "$T")" open
	gone "$K/b"
	commit ok "$T"
}

@test "A-B-A is a conflict: validation is by revision" {
	echo A >"$K/a"
	begin
	cat "$V/a" >/dev/null
	echo x >"$V/b"
	echo B >"$K/a"
	echo A >"$K/a"
	commit ECANCELED "$T"
}

@test "deleting and creating anew what was seen is a conflict" {
	echo A >"$K/a"
	begin
	[ -e "$V/a" ]
	echo x >"$V/b"
	rm "$K/a"
	echo A >"$K/a"
	commit ECANCELED "$T"
}

@test "what was seen absent and is absent again is no conflict" {
	begin
	[ ! -e "$V/a" ]
	echo x >"$V/b"
	echo A >"$K/a"
	rm "$K/a"
	commit ok "$T"
}

@test "what was seen absent and was created is a conflict" {
	begin
	[ ! -e "$V/a" ]
	echo x >"$V/b"
	echo A >"$K/a"
	commit ECANCELED "$T"
	is "$(lines "$T/conflicts" exists "$D/a" | cut -f2)" 0
}

@test "each way to observe a value records it" {
	local how
	for how in 'cat F' 'stat F' 'test -s F' 'wc -c <F' 'head -c1 F' 'echo x >>F' 'ls -l F' 'test F -nt /etc/passwd' \
		'mv F F.new' 'printf x | dd of=F bs=1 conv=notrunc' 'truncate -s 2 F'; do
		echo value >"$K/f"
		begin
		eval "${how//F/$V/f}" >/dev/null 2>&1 || true
		echo x >"$V/x"
		echo changed >"$K/f"
		commit ECANCELED "$T" || fail "not recorded: $how"
		rmdir "$T"
	done
}

@test "an empty value that was opened is observed" {
	: >"$K/f"
	begin
	cat "$V/f"
	echo x >"$V/x"
	echo changed >"$K/f"
	commit ECANCELED "$T"
}

@test "readlink records the value of a link" {
	ln -s one "$K/l"
	begin
	is "$(readlink "$V/l")" one
	echo x >"$V/x"
	ln -sfn two "$K/l"
	commit ECANCELED "$T"
}

@test "listing records the directory, and a new name in it conflicts" {
	mkdir "$K/d"
	begin
	ls "$V/d"
	echo x >"$V/x"
	echo new >"$K/d/new"
	commit ECANCELED "$T"
	[ -n "$(lines "$T/conflicts" list "$D/d/")" ]
}

@test "listing does not record the values: an overwrite is no conflict" {
	mkdir "$K/d"
	echo v >"$K/d/a"
	begin
	"$FSOP" list "$V/d"
	echo x >"$V/x"
	echo new >"$K/d/a"
	commit ok "$T"
}

@test "what was not observed does not conflict" {
	echo v >"$K/a"
	echo v >"$K/b"
	begin
	cat "$V/a" >/dev/null
	echo x >"$V/x"
	echo other >"$K/b"
	echo new >"$K/new"
	mkdir "$K/d"
	commit ok "$T"
}

@test "a change of attributes is a change of the key" {
	echo v >"$K/a"
	begin
	cat "$V/a" >/dev/null
	echo x >"$V/x"
	chmod 644 "$K/a"
	commit ECANCELED "$T"
}

@test "a change of a directory's attributes conflicts with its use" {
	mkdir "$K/d"
	begin
	echo x >"$V/d/x"
	chmod 755 "$K/d"
	commit ECANCELED "$T"
}

@test "what the transaction wrote itself it may read without a record" {
	begin
	mkdir "$V/d"
	echo x >"$V/d/a"
	cat "$V/d/a" >/dev/null
	stat "$V/d/a" >/dev/null
	is "$(lines "$T/reads" value "$D/d/a")" ""
	is "$(lines "$T/reads" list "$D/d/")" ""
	commit ok "$T"
}

@test "control files are not recorded" {
	begin
	cat "$T/status" "$T/reads" "$T/writes" "$T/conflicts" "$T/commit" "$T/isolation" "$T/message" >/dev/null
	ls "$T" >/dev/null
	cat "$K"/* 2>/dev/null || true
	is "$(cat "$T/reads")" ""
	is "$(field reads "$T/status")" 0
}

@test "a link out of the view is not recorded" {
	echo v >"$K/a"
	ln -s "$K/a" "$K/absolute"
	begin
	is "$(cat "$V/absolute")" v
	echo x >"$V/x"
	echo other >"$K/a"
	is "$(cat "$V/absolute")" other
	commit ok "$T"
}

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

level() { echo "$1" >"$2/isolation"; }

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

# Operations in the view

@test "every file operation works in a view" {
	echo a >"$K/a"
	mkdir "$K/d"
	begin
	cd "$V"
	cat a >b
	echo more >>b
	mv b c
	ln -s c l
	truncate -s 3 c
	chmod 600 c
	chown "$USER_A" c
	echo -n X | dd of=c bs=1 seek=1 conv=notrunc status=none
	touch -d @1000 c
	mkdir -p d/e
	cp c d/e/f
	is "$(cat l)" $'aXm'
	is "$(ls d/e)" f
	expect EEXIST mkdir d
	expect EEXIST open 0 c O_WRONLY,O_CREAT,O_EXCL
	expect ENOTEMPTY rmdir d
	expect ENOENT unlink no
	expect EPERM link a x
	expect EPERM mknod p fifo
	expect EOPNOTSUPP setxattr a user.x v
	expect ok rename c a exchange
	expect EEXIST rename c a noreplace
	cd /
	commit ok "$T"
	is "$(cat "$K/a")" aXm
	is "$(cat "$K/c")" a
	expect "0600 $USER_A 1000.000000000" stat "$K/a" mode,uid,mtime
	is "$(cat "$K/d/e/f")" aXm
}

@test "a whole tree can be deleted and written into again" {
	mkdir -p "$K/d/e"
	seq 20 | while read -r i; do echo old >"$K/d/e/$i"; done
	begin
	rm -rf "$V/d"
	gone "$V/d"
	is "$(ls "$V")" ""
	mkdir "$V/d"
	is "$(ls "$V/d")" ""
	echo new >"$V/d/7"
	commit ok "$T"
	is "$(find "$K" | sort | sed "s,$K,,")" $'\n/d\n/d/7'
	is "$(cat "$K/d/7")" new
}

@test "a value becomes a directory and a directory a value" {
	echo v >"$K/a"
	mkdir "$K/b"
	echo x >"$K/b/x"
	begin
	rm "$V/a"
	mkdir "$V/a"
	echo y >"$V/a/y"
	rm -r "$V/b"
	echo w >"$V/b"
	is "$(ls "$V" | tr '\n' ' ')" "a b "
	commit ok "$T"
	is "$(cat "$K/a/y" "$K/b")" $'y\nw'
}

@test "a directory can be renamed in a view, also twice and back" {
	mkdir -p "$K/d/e"
	echo 1 >"$K/d/e/1"
	echo 2 >"$K/d/2"
	begin
	mv "$V/d" "$V/n"
	gone "$V/d"
	is "$(cat "$V/n/e/1" "$V/n/2")" $'1\n2'
	echo 3 >"$V/n/e/3"
	mv "$V/n/e" "$V/top"
	mv "$V/n" "$V/d"
	is "$(find "$V" -type f | sed "s,$V/,," | sort | tr '\n' ' ')" "d/2 top/1 top/3 "
	commit ok "$T"
	is "$(find "$K" -type f | sed "s,$K/,," | sort | tr '\n' ' ')" "d/2 top/1 top/3 "
	gone "$K/n"
	gone "$K/d/e"
}

@test "renaming a directory in a view records what is below" {
	mkdir -p "$K/d"
	echo 1 >"$K/d/1"
	begin 1
	mv "$V_1/d" "$V_1/n"
	echo other >"$K/d/1"
	commit ECANCELED "$T_1"
	begin 2
	mv "$V_2/d" "$V_2/n"
	echo new >"$K/d/2"
	commit ECANCELED "$T_2"
}

@test "a put keeps the attributes the key has at the commit" {
	echo v >"$K/a"
	begin
	level serializable "$T"
	echo new >"$V/a"
	# Another's change of a blindly written key is no conflict at this level.
	chown "$USER_A" "$K/a"
	chmod 600 "$K/a"
	commit ok "$T"
	expect "0600 $USER_A" stat "$K/a" mode,uid
	is "$(cat "$K/a")" new
}

@test "attr changes only what it names" {
	echo v >"$K/a"
	begin
	chmod 640 "$V/a"
	commit ok "$T"
	expect 0640 stat "$K/a" mode
	is "$(cat "$K/a")" v
}

@test "mkdir and rmdir in a view cancel each other" {
	begin
	mkdir "$V/d"
	rmdir "$V/d"
	mkdir "$V/e"
	rmdir "$V/e"
	mkdir "$V/e"
	commit ok "$T"
	is "$(ls "$K")" e
}

@test "sessions of a view are seen in it at once" {
	begin
	process w
	asked ok w open 0 "$V/a" O_WRONLY,O_CREAT
	asked ok w write 0 part
	is "$(cat "$V/a")" part
	expect 4 stat "$V/a" size
	commit ok "$T"
	is "$(cat "$K/a")" part
}

@test "the inode number of a created key survives the commit and remains one" {
	begin
	echo v >"$V/a"
	commit ok "$T"
	is "$(stat -c %i "$K/a")" "$(stat -c %i "$K/a")"
	echo w >"$K/b"
	[ "$(stat -c %i "$K/a")" != "$(stat -c %i "$K/b")" ]
}

@test "a mtime set in a view is the one committed; unset it is the commit's" {
	begin
	echo v >"$V/a"
	touch -d @1000 "$V/a"
	echo v >"$V/b"
	sleep 0.05
	local before
	before=$(date +%s.%N)
	commit ok "$T"
	is "$(stat -c %Y "$K/a")" 1000
	awk -v a="$before" -v m="$(stat -c %.9Y "$K/b")" 'BEGIN { exit !(a - 0.02 <= m) }'
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
