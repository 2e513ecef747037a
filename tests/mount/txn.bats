#!/usr/bin/env bats
# Transactions: a directory each, committed by a write.

load helpers

setup_file() { mount_own_store --max-value=1M; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

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

@test "everything the commit changed is visible when its write returns, whatever the kernel knew" {
	"$PYTHON" - "$MNT" "$D" <<-'PY'
		import os, sys, time
		mount, name = sys.argv[1:]
		live, txn = f'{mount}/keys/{name}', f'{mount}/txn/{name}'
		def read(path):
		    with open(path) as f:
		        return f.read()
		def write(path, text):
		    with open(path, 'w') as f:
		        f.write(text)
		def transaction(change):
		    os.mkdir(txn)
		    change(f'{txn}/keys/{name}')
		    begun = time.monotonic()
		    write(f'{txn}/commit', 'test')
		    return time.monotonic() - begun
		# At once; but no commit waits longer than a second for the kernel to be told,
		# who on a busy machine sees it soon then.
		def seen(took, look, wanted):
		    end = time.monotonic() + (10 if took >= 1 else 0)
		    while True:
		        try:
		            got = look()
		        except OSError as error:
		            got = error
		        if got == wanted:
		            return
		        if time.monotonic() > end:
		            sys.exit(f'expected {wanted!r}, got {got!r}, {took * 1000:.1f} ms after the commit')
		        time.sleep(0.001)
		def file_to_directory(view):
		    os.unlink(view + '/a')
		    os.mkdir(view + '/a')
		    write(view + '/a/x', 'y')
		    write(f'{view}/n{i}', str(i))
		    write(view + '/same', str(i))
		    os.mkdir(f'{view}/d{i}')
		    if i > 0:
		        os.unlink(f'{view}/n{i - 1}')
		        os.rmdir(f'{view}/d{i - 1}')
		def directory_to_file(view):
		    os.unlink(view + '/a/x')
		    os.rmdir(view + '/a')
		    write(view + '/a', 'z')
		write(live + '/a', 'v')
		for i in range(150):
		    for entry in os.scandir(live):
		        entry.stat()
		    assert not os.path.exists(f'{live}/n{i}')
		    took = transaction(file_to_directory)
		    seen(took, lambda: read(live + '/a/x'), 'y')
		    seen(took, lambda: read(f'{live}/n{i}'), str(i))
		    seen(took, lambda: read(live + '/same'), str(i))
		    seen(took, lambda: os.path.exists(f'{live}/n{i - 1}'), False)
		    seen(took, lambda: sorted(os.listdir(live)), ['a', f'd{i}', f'n{i}', 'same'])
		    seen(took, lambda: os.path.isdir(f'{live}/d{i}'), True)
		    os.rmdir(txn)
		    took = transaction(directory_to_file)
		    seen(took, lambda: read(live + '/a'), 'z')
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

# late: true when it is longer ago than the daemon waits for a RELEASE
late='late() { [ $((${EPOCHREALTIME/./} - begun)) -ge 100000 ]; }'

@test "a transaction begun after ': > key' sees the key, or sees it empty" {
	run -0 bash -c "$late"'
		cd "$1" || exit 1
		for ((i = 0; i < 50; i++)); do
			: >"keys/$2/new$i"
			begun=${EPOCHREALTIME/./}
			read -r t <txn/new
			[ -e "txn/$t/keys/$2/new$i" ] || late || exit 2
			rmdir "txn/$t"
			echo old >"keys/$2/a"
			: >"keys/$2/a"
			begun=${EPOCHREALTIME/./}
			read -r t <txn/new
			! read -r v <"txn/$t/keys/$2/a" || late || exit 3
			rmdir "txn/$t"
		done' - "$MNT" "$D"
}

@test "a commit validates against ': > key' that came before it" {
	run -0 bash -c "$late"'
		cd "$1" || exit 1
		for ((i = 0; i < 30; i++)); do
			read -r t <txn/new
			echo mine >"txn/$t/keys/$2/a"
			: >"keys/$2/a"
			begun=${EPOCHREALTIME/./}
			! echo why 2>/dev/null >"txn/$t/commit" || late || exit 2
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
