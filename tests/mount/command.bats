#!/usr/bin/env bats
# The command: words, help, limits, and what the daemon leaves to its caller. See mounting.bats
# for stores and mounts.

load helpers

setup() {
	base_directory
	cd "$BASE"
}

teardown() {
	local pid
	cd /
	while mounted "$MNT"; do
		pid=$(field pid "$MNT/status" 2>/dev/null) || true
		umount -l "$MNT" || break
		[ -z "$pid" ] || eventually 20 stopped "$pid" || kill -9 "$pid"
	done
	rm -rf --one-file-system "$BASE"
}

# refused STATUS TEXT ARG...: the command ends so and says so, on stderr only
refused() {
	local wanted=$1 text=$2
	shift 2
	run --separate-stderr "$COMMITFS" "$@" 3>&-
	is "$status" "$wanted" "exit status"
	# shellcheck disable=SC2154 # bats sets it
	like "$stderr" "^commitfs: cannot .*$text"
	is "$output" ""
}

# mount_memory [OPTION...]
mount_memory() {
	"$COMMITFS" mount "$@" memory: "$MNT" 3>&-
}

unmounted() {
	! mounted "$1" || fail "still mounted: $1"
}

# Words

@test "commitfs alone shows its usage and exits 64" {
	run -64 "$COMMITFS"
	like "$output" 'Usage: commitfs COMMAND'
}

@test "help lists every command, and each has a help with an example" {
	local name list
	list=$("$COMMITFS" help)
	for name in init mount umount status run; do
		like "$list" "  $name +[A-Z]"
	done
	for name in $(awk '/^$/ { in_list = 0 } in_list && $1 != "help" { print $1 }
		/^Commands:/ { in_list = 1 }' <<<"$list"); do
		like "$("$COMMITFS" help "$name")" "Examples?:.*commitfs $name"
		is "$("$COMMITFS" "$name" --help)" "$("$COMMITFS" help "$name")"
	done
}

@test "--version shows the version" {
	like "$("$COMMITFS" --version)" '^commitfs [0-9]+\.[0-9]+\.[0-9]+$'
}

@test "what makes no sense is refused with 64" {
	refused 64 "'nosuch': there is no such command" nosuch
	refused 64 "'nosuch': there is no such command" help nosuch
	refused 64 "expected: commitfs init \\[options\\] STORE" init
	refused 64 "expected: .*STORE MNT" mount memory:
	refused 64 "expected: .*STORE MNT" mount memory: a b
	refused 64 "Unknown option --nosuch" mount --nosuch memory: "$MNT"
	refused 64 "--max-value=1X: expected bytes" mount --max-value=1X memory: "$MNT"
	refused 64 "--max-value=0: expected bytes" mount --max-value=0 memory: "$MNT"
	refused 64 "--sync=often: expected always, none" mount --sync=often memory: "$MNT"
	refused 64 "--log-level=loud: expected error" mount --log-level=loud memory: "$MNT"
	refused 64 "exclude each other" mount --private -o ro,allow_other memory: "$MNT"
}

@test "no name that is quoted can speak to the terminal or forge a line" {
	# A line, a colour, a control of 8 bits, one of the direction, what is no UTF-8.
	refused 69 "'a\?commitfs: \?\[31mb\?c\?dé\?'" status $'a\ncommitfs: \e[31mb\302\233c\342\200\256dé\377'
	is "$(wc -l <<<"$stderr")" 1
	refused 64 "'\?\[31m': there is no such command" $'\e[31m'
}

# Stores and mount points

@test "a mount point that is missing, a file, or mixed with the store is refused" {
	"$COMMITFS" init "$STORE"
	touch file
	refused 69 "No such file or directory; make it with: mkdir nosuch" mount memory: nosuch
	refused 69 "Not a directory" mount memory: file
	refused 64 "take another directory" mount "$STORE" "$STORE"
	refused 64 "take another directory" mount "$STORE" "$BASE"
	mkdir "$STORE/below"
	refused 64 "take another directory" mount "$STORE" "$STORE/below"
}

# The daemon

@test "the daemon holds on to nothing of its caller" {
	local pid fd
	# Were one of these kept open, the pipe would not end and this would hang.
	exec {fd}> >(cat >/dev/null)
	mount_memory 2>&1 | cat
	pid=$(field pid "$MNT/status")
	is "$(readlink "/proc/$pid/cwd")" /
	is "$(readlink "/proc/$pid/fd/0" "/proc/$pid/fd/1" "/proc/$pid/fd/2" | sort -u)" /dev/null
	[ ! -e "/proc/$pid/fd/$fd" ] || ! [[ $(readlink "/proc/$pid/fd/$fd") = pipe:* ]]
	is "$(awk '{ print $6 }' "/proc/$pid/stat")" "$pid" "its session"
	exec {fd}>&-
}

@test "umount returns when the store can be mounted again" {
	local i
	"$COMMITFS" init "$STORE"
	for i in 1 2 3 4 5; do
		"$COMMITFS" mount "$STORE" "$MNT" 3>&-
		is "$(cat "$MNT/keys/count" 2>/dev/null)" "$([ $i = 1 ] || echo $((i - 1)))"
		echo $i >"$MNT/keys/count"
		"$COMMITFS" umount "$MNT"
		unmounted "$MNT"
	done
}

@test "status shows the lines of the file in columns" {
	mount_memory
	run -0 "$COMMITFS" status "$MNT"
	like "$output" "pid +$(field pid "$MNT/status")"
	is "$(wc -l <<<"$output")" "$(grep -c . "$MNT/status")"
}

@test "limits given to mount are in status" {
	mount_memory --max-value=2M --max-txn-keys=77
	like "$(cat "$MNT/status")" 2097152
	like "$(cat "$MNT/status")" 77
	"$FSOP" lstat "$MNT/keys"
	head -c 3000000 /dev/zero >big
	! cp big "$MNT/keys/big" || fail "a value above the limit was taken"
}
