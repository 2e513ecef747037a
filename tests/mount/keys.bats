#!/usr/bin/env bats
# Names, keys and values: what is accepted, what is refused, and at which call.

load helpers

setup_file() { mount_own_store --max-value=64K; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

name_of() { head -c "$1" /dev/zero | tr '\0' "${2:-n}"; }

@test "a component of 255 bytes is accepted, one of 256 is ENAMETOOLONG" {
	local long
	long=$(name_of 255)
	expect ok open 0 "$K/$long" O_WRONLY,O_CREAT : write 0 v : close 0
	is "$(cat "$K/$long")" v
	is "$(ls "$K")" "$long"
	expect ENAMETOOLONG open 0 "$K/${long}n" O_WRONLY,O_CREAT
	expect ENAMETOOLONG mkdir "$K/${long}n"
	expect ENAMETOOLONG symlink x "$K/${long}n"
	expect ENAMETOOLONG rename "$K/$long" "$K/${long}n"
	expect ENAMETOOLONG stat "$K/${long}n"
}

# Makes directories below keys/ so that the key of the deepest has $1 bytes; the working
# directory goes along, because no path may be so long.
deep_directory() {
	local left=$1 part
	cd "$MNT/keys"
	mkdir -p "$D"
	cd "$D"
	left=$((left - ${#D}))
	while [ "$left" -gt 0 ]; do
		part=$((left > 201 ? 200 : left - 1))
		mkdir "$(name_of $part d)"
		cd -P "./$(name_of $part d)" 2>/dev/null || return 1
		left=$((left - part - 1))
	done
}

@test "a key of 4,000 bytes is accepted, a longer one is ENAMETOOLONG" {
	(
		deep_directory 3900
		expect ok open 0 "$(name_of 99)" O_WRONLY,O_CREAT : write 0 v : close 0
		expect v open 0 "$(name_of 99)" O_RDONLY : read 0
		expect ENAMETOOLONG open 0 "$(name_of 100)" O_WRONLY,O_CREAT
		expect ENAMETOOLONG mkdir "$(name_of 100)"
		expect ENAMETOOLONG symlink x "$(name_of 100)"
		expect ENAMETOOLONG rename "$(name_of 99)" "$(name_of 100)"
		expect ENAMETOOLONG mkdir "$(name_of 200)"
		is "$(ls)" "$(name_of 99)"
	)
}

@test "renaming a directory is refused when a key below would become too long" {
	mkdir "$K/short"
	(
		D=$D/short
		deep_directory 3900
		echo v >"$(name_of 99)"
	)
	expect ENAMETOOLONG rename "$K/short" "$K/shorter"
	expect ok rename "$K/short" "$K/other"
	is "$(find "$K/other" -type f | wc -l)" 1
}

@test "a key too long is refused in a transaction too" {
	begin
	(
		cd "$T/keys"
		MNT=$T deep_directory 3900
		expect ok open 0 "$(name_of 99)" O_WRONLY,O_CREAT : write 0 v : close 0
		expect ENAMETOOLONG open 0 "$(name_of 100)" O_WRONLY,O_CREAT
	)
	expect ENAMETOOLONG mkdir "$V/$(name_of 256)"
	commit ok "$T"
}

@test "names with spaces, newlines, tabs, quotes and backslashes work" {
	local name
	for name in 'a b' ' lead' 'trail ' $'new\nline' $'tab\tbed' "quo'te\"s" 'back\slash' '*?[x]' '-n' \
		'#x' $'\x01\x7f' '...' '.hidden' '~' 'a:b' '\012'; do
		printf '%s\n' "$name" >"$K/$name"
		is "$(cat "$K/$name")" "$name"
	done
	is "$(find "$K" -type f -print0 | tr -cd '\0' | wc -c)" 16
	rm -r "$K"
	gone "$K"
}

@test "names in UTF-8 and in invalid UTF-8 are bytes" {
	local name
	for name in 'naïve' '日本語' $'\xff\xfe' $'\xc3' $'e\xcc\x81' $'\xc3\xa9' $'\xed\xa0\x80'; do
		echo "$name" >"$K/$name"
	done
	for name in 'naïve' '日本語' $'\xff\xfe' $'\xc3' $'e\xcc\x81' $'\xc3\xa9' $'\xed\xa0\x80'; do
		is "$(cat "$K/$name")" "$name"
	done
	is "$(ls "$K" | wc -l)" 7
}

@test "listings come in the order of unsigned bytes" {
	local name
	for name in $'\xff' $'\x80' a A ' ' '~' $'\x7f' a.b a-b ab a0 a b; do : >"$K/$name"; done
	for name in a.d a-d ad; do mkdir "$K/$name"; done
	expect '  A a a-b a-d a.b a.d a0 ab ad b ~ \177 \200 \377' list "$K"
	begin
	expect '  A a a-b a-d a.b a.d a0 ab ad b ~ \177 \200 \377' list "$V"
	: >"$V/a,x"
	rm "$V/a0"
	expect '  A a a,x a-b a-d a.b a.d ab ad b ~ \177 \200 \377' list "$V"
}

@test "a directory beside names that sort around its slash keeps its own entries" {
	local name
	mkdir "$K/a"
	for name in a- a. a0 a/x a/- a/0; do : >"$K/$name"; done
	expect 'a a- a. a0' list "$K"
	expect '- 0 x' list "$K/a"
	mv "$K/a" "$K/b"
	expect 'a- a. a0 b' list "$K"
	expect '- 0 x' list "$K/b"
	rm -r "$K/b"
	expect 'a- a. a0' list "$K"
}

@test "values are binary-safe" {
	"$PYTHON" -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 16)' >"$BATS_TEST_TMPDIR/f"
	cp "$BATS_TEST_TMPDIR/f" "$K/a"
	cmp "$BATS_TEST_TMPDIR/f" "$K/a"
	begin
	cmp "$BATS_TEST_TMPDIR/f" "$V/a"
	cp "$BATS_TEST_TMPDIR/f" "$V/b"
	cmp "$BATS_TEST_TMPDIR/f" "$V/b"
	commit ok "$T"
	cmp "$BATS_TEST_TMPDIR/f" "$K/b"
}

@test "values may be empty" {
	: >"$K/a"
	expect "file 0 0" stat "$K/a" type,size,blocks
	is "$(cat "$K/a")" ""
	begin
	expect 0 stat "$V/a" size
	: >"$V/b"
	commit ok "$T"
	expect 0 stat "$K/b" size
}

@test "a value of exactly the limit is accepted" {
	expect ok open 0 "$K/a" O_WRONLY,O_CREAT : fill 0 65536 : close 0
	expect 65536 stat "$K/a" size
}

@test "the write that crosses the limit is EFBIG and its session commits nothing" {
	echo old >"$K/a"
	process w
	asked ok w open 0 "$K/a" O_WRONLY,O_TRUNC
	asked ok w fill 0 65536
	asked EFBIG w fill 0 1
	ask w close 0
	is "$(cat "$K/a")" old
	asked ok w open 1 "$K/n" O_WRONLY,O_CREAT
	asked EFBIG w fill 1 65537
	ask w close 1
	gone "$K/n"
	is "$(ls "$K")" a
}

@test "an append that crosses the limit is EFBIG" {
	expect ok open 0 "$K/a" O_WRONLY,O_CREAT : fill 0 65530 : close 0
	expect EFBIG open 0 "$K/a" O_WRONLY,O_APPEND : fill 0 7 : close 0
	expect 65530 stat "$K/a" size
	expect ok open 0 "$K/a" O_WRONLY,O_APPEND : fill 0 6 : close 0
	expect 65536 stat "$K/a" size
}

@test "a write far beyond the end and a truncate beyond the limit are EFBIG" {
	echo old >"$K/a"
	expect EFBIG open 0 "$K/a" O_WRONLY : pwrite 0 65536 x
	expect EFBIG open 0 "$K/a" O_WRONLY : pwrite 0 9000000000000000000 x
	expect EFBIG truncate "$K/a" 65537
	expect EFBIG open 0 "$K/a" O_WRONLY : ftruncate 0 65537
	is "$(cat "$K/a")" old
	expect ok truncate "$K/a" 65536
}

@test "tools hear of EFBIG and the old value stays" {
	echo old >"$K/a"
	head -c 100000 /dev/zero >"$BATS_TEST_TMPDIR/big"
	run cp "$BATS_TEST_TMPDIR/big" "$K/a"
	[ "$status" -ne 0 ]
	like "$output" 'File too large'
	is "$(cat "$K/a")" old
	run sh -c 'cat "$1" >"$2"' - "$BATS_TEST_TMPDIR/big" "$K/a"
	[ "$status" -ne 0 ]
	is "$(cat "$K/a")" old
	run dd if="$BATS_TEST_TMPDIR/big" of="$K/b" bs=4096 status=none
	[ "$status" -ne 0 ]
	gone "$K/b"
}

@test "a value too large is EFBIG in a transaction, which stays usable" {
	echo old >"$K/a"
	begin
	expect EFBIG open 0 "$V/a" O_WRONLY,O_TRUNC : fill 0 65537
	expect EFBIG truncate "$V/a" 65537
	echo small >"$V/b"
	commit ok "$T"
	is "$(cat "$K/b")" small
}

@test "a link's target may have what symlink(2) allows, and no more" {
	local target
	target=$(name_of 4000 t)
	expect ok symlink "$target" "$K/l"
	is "$(readlink "$K/l")" "$target"
	expect ENAMETOOLONG symlink "$(name_of 4096 t)" "$K/m"
	expect ok symlink $'sp ace\nline\xff' "$K/n"
	expect 'sp ace\nline\377' readlink "$K/n"
}
