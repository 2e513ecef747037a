#!/usr/bin/env bats
# The live tree: each change is a commit of its own.

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

# Commands

@test "echo writes a key and cat reads it" {
	echo hello >"$K/a"
	is "$(cat "$K/a")" hello
	is "$(stat -c %s "$K/a")" 6
}

@test "echo >> adds to a key" {
	echo one >"$K/a"
	echo two >>"$K/a"
	echo first >>"$K/new"
	is "$(cat "$K/a")" $'one\ntwo'
	is "$(cat "$K/new")" first
}

@test "mv renames a key, also over another one" {
	echo a >"$K/a"
	mv "$K/a" "$K/b"
	expect ENOENT stat "$K/a"
	is "$(cat "$K/b")" a
	echo c >"$K/c"
	mv "$K/b" "$K/c"
	expect ENOENT stat "$K/b"
	is "$(cat "$K/c")" a
}

@test "rm removes a key" {
	echo a >"$K/a"
	rm "$K/a"
	expect ENOENT stat "$K/a"
	expect ENOENT open 0 "$K/a" O_RDONLY
	is "$(ls -A "$K")" ""
}

@test "mkdir and rmdir make and remove directories, an empty one persists" {
	mkdir -p "$K/d/e"
	is "$(ls "$K/d")" e
	expect ENOTEMPTY rmdir "$K/d"
	rmdir "$K/d/e"
	is "$(ls -A "$K/d")" ""
	expect EEXIST mkdir "$K/d"
	rmdir "$K/d"
	expect ENOENT stat "$K/d"
}

@test "a name is a value or a directory, never both" {
	echo v >"$K/a"
	mkdir "$K/d"
	expect EEXIST mkdir "$K/a"
	expect ENOTDIR open 0 "$K/a/b" O_WRONLY,O_CREAT
	expect EISDIR open 0 "$K/d" O_WRONLY
	expect EISDIR unlink "$K/d"
	expect ENOTDIR rmdir "$K/a"
	expect EISDIR rename "$K/a" "$K/d"
	expect ENOTDIR rename "$K/d" "$K/a"
}

@test "what is absent is refused with ENOENT" {
	expect ENOENT open 0 "$K/no" O_WRONLY
	expect ENOENT open 0 "$K/no/a" O_WRONLY,O_CREAT
	expect ENOENT mkdir "$K/no/a"
	expect ENOENT unlink "$K/no"
	expect ENOENT rmdir "$K/no"
	expect ENOENT rename "$K/no" "$K/b"
	expect ENOENT truncate "$K/no" 0
	expect ENOENT chmod "$K/no" 600
}

@test "symbolic links are values: ln -s, readlink, and following them" {
	echo v >"$K/a"
	ln -s a "$K/l"
	is "$(readlink "$K/l")" a
	is "$(cat "$K/l")" v
	expect EEXIST symlink x "$K/l"
	ln -s nowhere "$K/dangling"
	expect ENOENT stat "$K/dangling"
	expect "link 7" lstat "$K/dangling" type,size
	ln -sfn b "$K/l"
	is "$(readlink "$K/l")" b
	rm "$K/l"
	is "$(cat "$K/a")" v
}

@test "truncate shortens, lengthens with zeros and empties" {
	echo -n abcdef >"$K/a"
	truncate -s 3 "$K/a"
	is "$(cat "$K/a")" abc
	truncate -s 5 "$K/a"
	expect 'abc\000\000' open 0 "$K/a" O_RDONLY : read 0
	truncate -s 0 "$K/a"
	expect "0 0" stat "$K/a" size,blocks
}

@test "chmod, chown and touch change what stat tells" {
	echo v >"$K/a"
	chmod 640 "$K/a"
	chown "$USER_A:$USER_B" "$K/a"
	touch -d '2001-02-03 04:05:06.123456789 UTC' "$K/a"
	expect "0640 $USER_A $USER_B 981173106.123456789 2" stat "$K/a" mode,uid,gid,mtime,size
	touch -d '2300-01-01 UTC' "$K/a"
	expect 9223372036.854775807 stat "$K/a" mtime
	touch -d '1600-01-01 UTC' "$K/a"
	expect -9223372037.145224192 stat "$K/a" mtime
	mkdir "$K/d"
	chmod 711 "$K/d"
	chown "$USER_A" "$K/d"
	touch -d @1000 "$K/d"
	expect "0711 $USER_A 0 1000.000000000" stat "$K/d" mode,uid,gid,mtime
	ln -s a "$K/l"
	chown -h "$USER_B" "$K/l"
	expect "$USER_B" lstat "$K/l" uid
	is "$(cat "$K/a")" v
}

@test "touch creates an empty key" {
	touch "$K/a"
	expect 0 stat "$K/a" size
	is "$(ls "$K")" a
}

@test "new keys take the umask and the ids of the caller" {
	chmod 777 "$K"
	(umask 027 && echo v >"$K/a" && mkdir "$K/d")
	expect "0640 0 0" stat "$K/a" mode,uid,gid
	expect "0750 0 0" stat "$K/d" mode,uid,gid
	as_user "$USER_A" "$FSOP" umask 077 : open 0 "$K/u" O_WRONLY,O_CREAT 666 : close 0 : mkdir "$K/ud"
	expect "0600 $USER_A $USER_A" stat "$K/u" mode,uid,gid
	expect "0700 $USER_A $USER_A" stat "$K/ud" mode,uid,gid
}

@test "new keys take the gid of a setgid parent" {
	mkdir "$K/d"
	chown "0:$USER_B" "$K/d"
	chmod 2777 "$K/d"
	as_user "$USER_A" "$FSOP" open 0 "$K/d/a" O_WRONLY,O_CREAT : close 0 : mkdir "$K/d/e" : \
		symlink x "$K/d/l"
	expect "$USER_A $USER_B" stat "$K/d/a" uid,gid
	expect "$USER_A $USER_B" stat "$K/d/e" uid,gid
	expect "$USER_A $USER_B" lstat "$K/d/l" uid,gid
}

@test "permissions hold for ordinary users" {
	echo secret >"$K/a"
	chmod 600 "$K/a"
	mkdir "$K/d"
	run -1 as_user "$USER_A" "$FSOP" open 0 "$K/a" O_RDONLY
	like "$output" EACCES
	run -1 as_user "$USER_A" "$FSOP" open 0 "$K/new" O_WRONLY,O_CREAT
	like "$output" EACCES
	run -1 as_user "$USER_A" "$FSOP" unlink "$K/a"
	like "$output" EACCES
	run -1 as_user "$USER_A" "$FSOP" rename "$K/a" "$K/b"
	like "$output" EACCES
	run -1 as_user "$USER_A" "$FSOP" chmod "$K/a" 666
	like "$output" EPERM
	run -1 as_user "$USER_A" "$FSOP" chown "$K/a" "$USER_A" "$USER_A"
	like "$output" EPERM
	run -1 as_user "$USER_A" "$FSOP" mkdir "$K/d/e"
	like "$output" EACCES
	chmod 644 "$K/a"
	is "$(as_user "$USER_A" cat "$K/a")" secret
}

@test "a sticky directory keeps others' keys safe" {
	chmod 1777 "$K"
	as_user "$USER_A" "$FSOP" open 0 "$K/a" O_WRONLY,O_CREAT : close 0
	run -1 as_user "$USER_B" "$FSOP" unlink "$K/a"
	like "$output" EPERM
	as_user "$USER_A" "$FSOP" unlink "$K/a"
}

@test "dd conv=notrunc changes bytes in place" {
	echo -n 0123456789 >"$K/a"
	echo -n AB | dd of="$K/a" bs=1 seek=4 conv=notrunc status=none
	is "$(cat "$K/a")" 0123AB6789
	echo -n Z | dd of="$K/a" bs=1 seek=12 conv=notrunc status=none
	expect '0123AB6789\000\000Z' open 0 "$K/a" O_RDONLY : read 0
}

@test "cp copies in, out and within the tree" {
	head -c 300000 /dev/urandom >"$BATS_TEST_TMPDIR/f"
	cp "$BATS_TEST_TMPDIR/f" "$K/a"
	cp "$K/a" "$K/b"
	cp "$K/b" "$BATS_TEST_TMPDIR/g"
	cmp "$BATS_TEST_TMPDIR/f" "$K/a"
	cmp "$BATS_TEST_TMPDIR/f" "$BATS_TEST_TMPDIR/g"
	cp /dev/null "$K/b"
	expect 0 stat "$K/b" size
	cp /dev/null "$K/fresh"
	expect 0 stat "$K/fresh" size
}

@test "copy_file_range and sendfile work" {
	echo -n 0123456789 >"$K/a"
	expect 10 open 0 "$K/a" O_RDONLY : open 1 "$K/b" O_WRONLY,O_CREAT : copy 0 1 10 : close 1
	is "$(cat "$K/b")" 0123456789
	expect 10 open 0 "$K/a" O_RDONLY : open 1 "$K/c" O_WRONLY,O_CREAT : sendfile 0 1 10 : close 1
	is "$(cat "$K/c")" 0123456789
}

@test "O_EXCL creates once" {
	expect ok open 0 "$K/a" O_WRONLY,O_CREAT,O_EXCL : write 0 v : close 0
	expect EEXIST open 0 "$K/a" O_WRONLY,O_CREAT,O_EXCL
	is "$(cat "$K/a")" v
}

@test "a listing has every name once, in the order of bytes" {
	local i
	for i in b a B 10 9 é z.b z z-; do : >"$K/$i"; done
	expect '10 9 B a b z z- z.b \303\251' list "$K"
}

@test "a value of some megabytes comes back whole" {
	head -c 8000000 /dev/urandom >"$BATS_TEST_TMPDIR/f"
	cat "$BATS_TEST_TMPDIR/f" >"$K/a"
	cmp "$BATS_TEST_TMPDIR/f" "$K/a"
	expect "8000000 15625 4096" stat "$K/a" size,blocks,blksize
}

# Renaming

@test "RENAME_NOREPLACE refuses an existing name" {
	echo a >"$K/a"
	echo b >"$K/b"
	expect EEXIST rename "$K/a" "$K/b" noreplace
	is "$(cat "$K/a" "$K/b")" $'a\nb'
	expect ok rename "$K/a" "$K/c" noreplace
	is "$(cat "$K/c")" a
}

@test "RENAME_EXCHANGE swaps two names in one commit" {
	echo a >"$K/a"
	mkdir "$K/d"
	echo x >"$K/d/x"
	grows 1 "$FSOP" rename "$K/a" "$K/d" exchange
	is "$(cat "$K/d")" a
	is "$(cat "$K/a/x")" x
	echo b >"$K/b"
	echo c >"$K/c"
	expect ok rename "$K/b" "$K/c" exchange
	is "$(cat "$K/b" "$K/c")" $'c\nb'
	expect ENOENT rename "$K/b" "$K/no" exchange
}

@test "renaming a whole directory is one commit" {
	mkdir -p "$K/d/e/f"
	seq 200 | while read -r i; do echo "$i" >"$K/d/e/$i"; done
	ln -s e "$K/d/l"
	grows 1 mv "$K/d" "$K/new"
	is "$(ls "$K/new/e" | wc -l)" 201
	is "$(cat "$K/new/l/77")" 77
	gone "$K/d"
	mkdir "$K/empty"
	expect ok rename "$K/new" "$K/empty"
	is "$(cat "$K/empty/e/200")" 200
	expect EINVAL rename "$K/empty" "$K/empty/e/inside"
	mkdir "$K/full"
	echo v >"$K/full/v"
	expect_any "ENOTEMPTY EEXIST" rename "$K/empty" "$K/full"
}

@test "renaming a key onto itself changes nothing" {
	echo a >"$K/a"
	expect ok rename "$K/a" "$K/a"
	is "$(cat "$K/a")" a
}

@test "a working directory follows the rename of its directory" {
	mkdir "$K/d"
	echo a >"$K/d/a"
	process w
	asked ok w chdir "$K/d"
	mv "$K/d" "$K/e"
	asked ok w open 0 a O_RDONLY
	asked 'a\n' w read 0
	asked 2 w stat a size
	is "$(cat "$K/e/a")" a
}

@test "rename between trees of the mount is EXDEV" {
	echo a >"$K/a"
	begin
	expect EXDEV rename "$K/a" "$V/b"
	echo c >"$V/c"
	expect EXDEV rename "$V/c" "$K/c"
	mv "$V/c" "$K/c"
	is "$(cat "$K/c")" c
}

# What there is not

@test "hard links, FIFOs, sockets and devices are refused with EPERM" {
	echo a >"$K/a"
	expect EPERM link "$K/a" "$K/b"
	expect EPERM mknod "$K/p" fifo
	expect EPERM mknod "$K/s" socket
	expect EPERM mknod "$K/c" char
	expect EPERM mknod "$K/d" block
	is "$(ls "$K")" a
}

@test "mknod of a regular file makes an empty key" {
	expect ok mknod "$K/a" file
	expect "file 0" stat "$K/a" type,size
}

@test "extended attributes are refused with EOPNOTSUPP" {
	echo a >"$K/a"
	expect EOPNOTSUPP setxattr "$K/a" user.x v
	expect EOPNOTSUPP getxattr "$K/a" user.x
	expect EOPNOTSUPP removexattr "$K/a" user.x
	expect EOPNOTSUPP setxattr "$K/a" security.x v
	expect_any "EOPNOTSUPP 0" listxattr "$K/a"
}

@test "access control lists are refused with EOPNOTSUPP" {
	echo a >"$K/a"
	run -0 "$PYTHON" -c '
import errno, os, struct, sys
entries = [(1, 6, -1), (2, 7, 1000), (4, 4, -1), (16, 7, -1), (32, 4, -1)]
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *e) for e in entries)
try:
    os.setxattr(sys.argv[1], "system.posix_acl_access", acl)
    print("accepted")
except OSError as e:
    print("EOPNOTSUPP" if e.errno == errno.EOPNOTSUPP else e.errno)
' "$K/a"
	is "$output" EOPNOTSUPP
	expect 0644 stat "$K/a" mode
}

@test "fallocate and O_TMPFILE are refused with EOPNOTSUPP" {
	echo a >"$K/a"
	expect EOPNOTSUPP open 0 "$K/a" O_RDWR : fallocate 0 100
	expect EOPNOTSUPP open 0 "$K/a" O_RDWR : fallocate 0 100 punch
	expect EOPNOTSUPP open 0 "$K" O_RDWR,O_TMPFILE
	is "$(cat "$K/a")" a
}

@test "there are no holes" {
	echo -n abcdef >"$K/a"
	expect 6 open 0 "$K/a" O_RDONLY : lseek 0 0 hole
	expect 2 open 0 "$K/a" O_RDONLY : lseek 0 2 data
	expect ENXIO open 0 "$K/a" O_RDONLY : lseek 0 6 data
}

@test "shared mappings are refused with ENODEV, private ones work" {
	echo mapped >"$K/a"
	expect ENODEV open 0 "$K/a" O_RDWR : mmap 0 shared w
	expect ENODEV open 0 "$K/a" O_RDONLY : mmap 0 shared
	expect 'mapped\n' open 0 "$K/a" O_RDONLY : mmap 0 private
}

@test "a program can be run from a key" {
	cp /bin/true "$K/prog"
	"$K/prog"
	printf '#!/bin/sh\necho script $1\n' >"$K/script"
	chmod 755 "$K/script"
	is "$("$K/script" ran)" "script ran"
}

@test "setuid and setgid bits of files are dropped" {
	echo a >"$K/a"
	chmod 6755 "$K/a"
	expect 0755 stat "$K/a" mode
	expect ok umask 0 : open 0 "$K/b" O_WRONLY,O_CREAT 4777 : close 0
	expect 0777 stat "$K/b" mode
	expect ok open 0 "$K/c" O_WRONLY,O_CREAT : fchmod 0 2711 : close 0
	expect 0711 stat "$K/c" mode
	mkdir "$K/d"
	chmod 3775 "$K/d"
	expect 3775 stat "$K/d" mode
}

# Revisions and attributes

@test "every change is exactly one revision" {
	cd "$K"
	grows 1 sh -c 'echo v >a'
	grows 1 sh -c 'echo v >a'
	grows 1 sh -c 'echo v >>a'
	grows 1 cp a b
	grows 1 cp a b
	grows 1 mv b c
	grows 1 mv a c
	grows 1 mkdir d
	grows 2 mkdir -p e/f
	grows 1 rmdir d
	grows 1 ln -s c l
	grows 1 rm l
	grows 1 touch new
	grows 1 touch new
	grows 1 chmod 600 c
	grows 1 chmod 600 c
	grows 1 chown "$USER_A" c
	grows 1 truncate -s 1 c
	grows 1 dd if=/dev/zero of=c bs=1 count=1 conv=notrunc status=none
	grows 1 touch -d @5 e
	grows 1 cp -p c copy
	grows 0 cat c
	grows 0 ls -lR .
	grows 0 stat c
	grows 0 rm -f absent
	grows 1 rm c
	cd /
}

@test "a refused change makes no revision" {
	echo a >"$K/a"
	local before
	before=$(revision)
	expect EEXIST mkdir "$K/a"
	expect ENOENT unlink "$K/no"
	expect EPERM link "$K/a" "$K/b"
	expect EEXIST rename "$K/a" "$K/a" noreplace
	expect ENOTEMPTY rmdir "$MNT/keys/$D"
	is "$(revision)" "$before"
}

@test "the inode number is kept by overwriting and renaming" {
	echo a >"$K/a"
	local ino
	ino=$(stat -c %i "$K/a")
	echo b >"$K/a"
	is "$(stat -c %i "$K/a")" "$ino"
	echo c >>"$K/a"
	truncate -s 1 "$K/a"
	chmod 600 "$K/a"
	is "$(stat -c %i "$K/a")" "$ino"
	mv "$K/a" "$K/b"
	is "$(stat -c %i "$K/b")" "$ino"
	mkdir "$K/d"
	ino=$(stat -c %i "$K/d")
	mv "$K/d" "$K/e"
	is "$(stat -c %i "$K/e")" "$ino"
	is "$(ls -i "$K" | awk '{ print $1 }' | sort -u | wc -l)" 2
	echo a >"$K/a"
	[ "$(stat -c %i "$K/a")" != "$(stat -c %i "$K/b")" ]
}

@test "the inode number differs between keys/ and each view" {
	echo a >"$K/a"
	begin 1
	begin 2
	is "$(stat -c %i "$K/a" "$V_1/a" "$V_2/a" | sort -u | wc -l)" 3
	is "$(stat -c %i "$K" "$V_1" "$V_2" | sort -u | wc -l)" 3
}

@test "listing and stat tell the same inode numbers" {
	touch "$K/a" "$K/b"
	mkdir "$K/c"
	is "$(ls -i "$K" | awk '{ print $2, $1 }')" "$(cd "$K" && stat -c '%n %i' a b c)"
}

@test "blocks, block size and links are as the contract says" {
	mkdir -p "$K/d/e" "$K/d/f"
	head -c 513 /dev/zero >"$K/a"
	head -c 512 /dev/zero >"$K/b"
	: >"$K/c"
	expect "2 4096 1" stat "$K/a" blocks,blksize,nlink
	expect "1 4096 1" stat "$K/b" blocks,blksize,nlink
	expect "0 4096 1" stat "$K/c" blocks,blksize,nlink
	expect 1 stat "$K/d" nlink
	is "$(find "$K" | wc -l)" 7
}

@test "mtime is the time of the commit unless it was set" {
	local before after mtime
	before=$(date +%s.%N)
	echo a >"$K/a"
	after=$(date +%s.%N)
	mtime=$(stat -c %.9Y "$K/a")
	awk -v a="$before" -v m="$mtime" -v b="$after" 'BEGIN { exit !(a - 0.02 <= m && m <= b + 0.02) }' ||
		fail "$before <= $mtime <= $after"
	touch -d @1000 "$K/a"
	is "$(stat -c %.9Y "$K/a")" 1000.000000000
	mv "$K/a" "$K/b"
	chmod 600 "$K/b"
	is "$(stat -c %.9Y "$K/b")" 1000.000000000
	echo b >"$K/b"
	[ "$(stat -c %Y "$K/b")" -ge "${before%.*}" ]
}

@test "the mtime of a live directory moves when an entry comes or goes" {
	mkdir "$K/d"
	touch -d @1000 "$K/d"
	echo a >"$K/d/a"
	local first second
	first=$(stat -c %.9Y "$K/d")
	[ "${first%.*}" -gt 1000 ]
	echo b >"$K/d/a"
	is "$(stat -c %.9Y "$K/d")" "$first"
	rm "$K/d/a"
	second=$(stat -c %.9Y "$K/d")
	[ "$second" != "$first" ]
}

@test "statfs tells plausible numbers" {
	local namemax bsize blocks free available
	read -r namemax bsize blocks free available < <("$FSOP" statfs "$K")
	is "$namemax" 255
	[ "$bsize" -ge 512 ]
	[ "$blocks" -gt 0 ]
	[ "$free" -le "$blocks" ]
	[ "$available" -le "$free" ]
	df "$MNT" >/dev/null
}

@test "a change that was acknowledged is seen by every later call" {
	local i
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		echo "$i" >"$K/a"
		is "$(cat "$K/a")" "$i"
		mkdir "$K/d$i"
		is "$(ls -d "$K"/d* | wc -l)" "$i"
		mv "$K/a" "$K/b"
		there "$K/b"
		gone "$K/a"
		mv "$K/b" "$K/a"
	done
}

@test "rm -rf of a large directory misses nothing" {
	mkdir "$K/d"
	(cd "$K/d" && seq -f 'file-%04g' 1500 | xargs touch)
	is "$(ls "$K/d" | wc -l)" 1500
	rm -rf "$K/d"
	gone "$K/d"
}

@test "a listing under way is not disturbed by changes" {
	(cd "$K" && seq -f '%03g' 300 | xargs touch)
	"$PYTHON" - "$K" <<-'PY'
		import os, sys
		seen = []
		with os.scandir(sys.argv[1]) as names:
		    for n in names:
		        seen.append(n.name)
		        os.unlink(n.path)
		assert seen == ['%03d' % i for i in range(1, 301)], len(seen)
		assert os.listdir(sys.argv[1]) == []
	PY
}
