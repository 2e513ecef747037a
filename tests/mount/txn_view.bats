#!/usr/bin/env bats
# Operations in the view of a transaction.

load helpers

setup_file() { mount_own_store --max-value=1M; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

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
	local view live
	begin
	echo v >"$V/a"
	view=$(stat -c %i "$V/a")
	commit ok "$T"
	is "$(stat -c %i "$V/a")" "$view"
	live=$(stat -c %i "$K/a")
	echo w >"$K/b"
	[ "$live" != "$(stat -c %i "$K/b")" ]
	echo again >"$K/a"
	mv "$K/a" "$K/c"
	is "$(stat -c %i "$K/c")" "$live"
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
