#!/usr/bin/env bats
# Rounds: after a restart the kernel still knows the names that the transaction has used. What it
# finds there must be the new snapshot, whatever became of the name meanwhile, and a file that is
# open since the old round must go on in it.

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }

setup() {
	own_directory
	mkdir "$K/d"
	echo old >"$K/f"
	echo old >"$K/d/f"
	begin
	use_names
}
teardown() { end_processes; }

# The kernel knows all names, attributes and pages.
use_names() {
	ls -lR "$V" >/dev/null
	cat "$V/f" "$V/d/f" >/dev/null
	cat "$V/f" "$V/d/f" >/dev/null
}

restart() { echo >"$T/restart"; }

@test "a value that was changed: read, listed and read again" {
	local text
	for text in n newer 'the newest of all'; do
		echo "$text" >"$K/f"
		is "$(cat "$V/f")" old
		restart
		is "$(cat "$V/f")" "$text"
		is "$(stat -c %s "$V/f")" $((${#text} + 1))
		is "$(cat "$V/f")" "$text"
		echo old >"$K/f"
		restart
		is "$(cat "$V/f")" old
	done
}

@test "a value that was changed where nothing else was, many times" {
	local i
	restart
	for ((i = 0; i < 200; i++)); do
		echo $i >"$K/f"
		restart
		read -r text <"$V/f"
		is "$text" $i
		read -r text <"$V/f"
		is "$text" $i
	done
}

@test "a key that is gone" {
	rm "$K/f" "$K/d/f"
	rmdir "$K/d"
	restart
	expect ENOENT open 0 "$V/f" O_RDONLY
	expect ENOENT open 0 "$V/d/f" O_RDONLY
	expect ENOENT lstat "$V/d"
	expect ENOENT unlink "$V/f"
	expect ENOENT rmdir "$V/d"
	expect ENOENT rename "$V/f" "$V/g"
	is "$(ls "$V")" ''
	expect ok mkdir "$V/f"
	expect ok open 0 "$V/d" O_WRONLY,O_CREAT,O_EXCL
}

@test "a file that is a directory now, and a directory that is a file" {
	rm -r "$K/f" "$K/d"
	mkdir "$K/f"
	echo below >"$K/f/x"
	echo file >"$K/d"
	restart
	is "$(cat "$V/f/x")" below
	is "$(cat "$V/d")" file
	restart
	expect ok chdir "$V/f"
	expect ENOTDIR open 0 "$V/d/f" O_RDONLY
}

@test "a file that is a link now, and a link that is a file or leads elsewhere" {
	ln -s f "$K/l"
	ln -s f "$K/m"
	restart
	cat "$V/l" "$V/m"
	rm "$K/f" "$K/l" "$K/m"
	echo end >"$K/end"
	ln -s end "$K/f"
	echo file >"$K/l"
	ln -s d/f "$K/m"
	restart
	is "$(cat "$V/f" "$V/l" "$V/m")" $'end\nfile\nold'
	is "$(readlink "$V/f" "$V/m")" $'end\nd/f'
	expect ELOOP open 0 "$V/f" O_RDONLY,O_NOFOLLOW
	expect ok open 0 "$V/l" O_RDONLY,O_NOFOLLOW
}

@test "a key that was made anew is another file" {
	local ino
	ino=$(stat -c %i "$V/f")
	rm "$K/f"
	echo anew >"$K/f"
	restart
	is "$(cat "$V/f")" anew
	[ "$(stat -c %i "$V/f")" != "$ino" ]
}

@test "attributes that were changed" {
	chmod 640 "$K/f"
	chmod 750 "$K/d"
	restart
	is "$(stat -c %a "$V/f" "$V/d")" $'640\n750'
	chown 12345:12345 "$K/f" "$K/d"
	restart
	is "$(stat -c %u "$V/f" "$V/d")" $'12345\n12345'
	chmod 700 "$MNT/keys"
	restart
	is "$(stat -c %a "$T/keys")" 700
	chmod 755 "$MNT/keys"
	restart
	is "$(stat -c %a "$T/keys")" 755
}

@test "attributes that only the last round had changed" {
	chmod 600 "$V/f"
	chmod 700 "$V/d"
	chown 12345 "$V/f"
	touch -d 2001-01-01 "$V/f"
	restart
	is "$(stat -c '%a %u %y' "$V/f")" "$(stat -c '%a %u %y' "$K/f")"
	is "$(stat -c %a "$V/d")" "$(stat -c %a "$K/d")"
}

@test "names that only the last round had made, moved or removed" {
	echo mine >"$V/mine"
	mkdir "$V/e"
	echo mine >"$V/e/x"
	ln -s f "$V/l"
	mv "$V/d" "$V/moved"
	mv "$V/f" "$V/e/f"
	cat "$V/mine" "$V/e/x" "$V/l" "$V/moved/f" "$V/e/f" || true
	restart
	is "$(ls "$V")" $'d\nf'
	is "$(cat "$V/f" "$V/d/f")" $'old\nold'
	expect ENOENT open 0 "$V/mine" O_RDONLY
	expect ENOENT open 0 "$V/mine/x" O_RDONLY
	expect ENOENT open 0 "$V/e/x" O_RDONLY
	expect ENOENT lstat "$V/l"
	expect ENOENT open 0 "$V/moved/f" O_RDONLY
	rm "$V/f"
	restart
	is "$(cat "$V/f")" old
}

@test "values that only the last round had written, and those it committed" {
	echo written >"$V/f"
	is "$(cat "$V/f")" written
	restart
	is "$(cat "$V/f")" old
	is "$(stat -c %s "$V/f")" 4
	echo committed >"$V/f"
	echo new >"$V/new"
	commit ok "$T"
	restart
	is "$(cat "$V/f" "$V/new")" $'committed\nnew'
	is "$(cat "$K/f" "$K/new")" $'committed\nnew'
}

@test "a descriptor of the old round goes on in it, beside those of the new" {
	process w
	asked ok w open 0 "$V/f" O_RDONLY
	asked ok w open 1 "$V/f" O_RDWR
	asked 'old\n' w pread 0 0 10
	echo new >"$K/f"
	restart
	is "$(cat "$V/f")" new
	is "$(cat "$V/f")" new
	asked 'old\n' w pread 0 0 10
	asked ESTALE w pwrite 1 0 x
	asked ok w open 2 "$V/f" O_RDONLY
	asked 'new\n' w pread 2 0 10
	asked 'old\n' w pread 0 0 10
	echo 'newest of all' >"$K/f"
	restart
	asked 'old\n' w pread 0 0 10
	asked 'new\n' w pread 2 0 10
	is "$(cat "$V/f")" 'newest of all'
	asked ok w close 0
	asked 'new\n' w pread 2 0 10
	asked ok w close 2
	is "$(cat "$V/f")" 'newest of all'
}

@test "what a descriptor of the old round asks for is not recorded in the new" {
	process w
	asked ok w open 0 "$V/f" O_RDONLY
	asked 'old\n' w pread 0 0 10
	restart
	asked '' w pread 0 4 10
	asked 'old\n' w pread 0 0 10
	ask w fstat 0 size >/dev/null || true
	is "$(cat "$T/reads")" ''
}

@test "names that rounds long ago have used" {
	local i
	for ((i = 0; i < 5; i++)); do
		restart
		cat "$V/d/f"
	done
	echo new >"$K/f"
	restart
	is "$(cat "$V/f")" new
	for ((i = 0; i < 5; i++)); do restart; done
	rm "$K/f"
	mkdir "$K/f"
	echo below >"$K/f/x"
	restart
	is "$(cat "$V/f/x")" below
}

@test "what is removed or renamed without a look is recorded, present or not" {
	restart
	expect ok unlink "$V/f"
	like "$(cat "$T/reads")" "exists.*$D/f"
	restart
	expect ok rename "$V/f" "$V/g"
	like "$(cat "$T/reads")" "exists.*$D/f"
	restart
	cat "$V/f" "$V/d/f"
	rm "$K/d/f"
	restart
	expect ENOENT unlink "$V/d/f"
	like "$(cat "$T/reads")" $'exists\t0\t'"$D/d/f"
}

@test "a commit by another of a name that this round has not looked up again is a conflict when it is used" {
	local how
	for how in 'cat f' 'stat f' '[ -s f ]' 'rm f' 'mv f g' 'echo x >>f' 'cat d/f' 'cd d' 'ls d' 'chmod 600 f'; do
		restart
		(cd "$V" && eval "$how" >/dev/null)
		echo "$how" >"$V/other"
		rm -rf "$K/f" "$K/d"
		mkdir "$K/d"
		echo old >"$K/f"
		echo old >"$K/d/f"
		commit ECANCELED "$T"
	done
}

@test "two processes, one that restarts and one that reads: never an old value in a new round" {
	local i text
	restart
	process r
	for ((i = 1; i <= 100; i++)); do
		echo $i >"$K/f"
		tell r open 0 "$V/f" O_RDONLY
		restart
		answer r >/dev/null
		ask r close 0 >/dev/null
		text=$(cat "$V/f")
		is "$text" $i
	done
}

@test "rebase keeps what was written, and shows what others wrote" {
	echo mine >"$V/f"
	echo theirs >"$K/d/f"
	cat "$V/f" "$V/d/f"
	like "$(cat "$T/conflicts")" "value.*$D/d/f"
	echo >"$T/rebase"
	is "$(cat "$V/f" "$V/d/f")" $'mine\ntheirs'
	commit ok "$T"
	is "$(cat "$K/f" "$K/d/f")" $'mine\ntheirs'
}
