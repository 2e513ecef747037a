#!/usr/bin/env bats
# How many files and directories the kernel keeps known, and with it the daemon.

load helpers

LIMIT=300

setup_file() {
	# What can be asked for since Linux 6.18
	local major minor
	IFS=.- read -r major minor _ < <(uname -r)
	[ "$major" -gt 6 ] || { [ "$major" = 6 ] && [ "$minor" -ge 18 ]; } || export OLD_KERNEL=1
	mount_own_store --max-nodes=$LIMIT
	local d i
	for d in 1 2 3 4; do
		for ((i = 0; i < 500; i++)); do echo "put many/$d/$i \"value $d $i\""; done
	done | "$COMMITFS" eval "$MNT" >/dev/null
}
teardown_file() { unmount_own_store; }
setup() {
	[ -z "${OLD_KERNEL:-}" ] || skip "the kernel cannot be asked to forget"
	own_directory
}
teardown() { end_processes; }

nodes() { awk '$1 == "commitfs_nodes" { print $2 }' "$MNT/metrics"; }
# The kernel is asked when there are more, for a batch of 512; it answers a moment later.
few() { [ "$(nodes)" -le $((LIMIT + 600)) ]; }

# look_at_all [DIR]: so that the kernel gets to know each file
look_at_all() { is "$(find "${1:-$MNT/keys}/many" -type f -size -1000 | wc -l)" 2000; }

@test "the kernel is asked to forget what is more than the limit" {
	is "$(field max_nodes "$MNT/status")" $LIMIT
	look_at_all
	eventually 10 few
	look_at_all
	eventually 10 few
	look_at_all "$MNT/at/$(revision)"
	eventually 10 few
	is "$(cat "$MNT/keys/many/1/1")" 'value 1 1'
	is "$(cat "$MNT/keys/many/4/499")" 'value 4 499'
}

@test "files that are open and directories that are worked in stay what they are" {
	mkdir -p "$K/a/b"
	echo old >"$K/a/b/read"
	process w
	asked ok w chdir "$K/a/b"
	asked ok w open 0 read O_RDONLY
	asked ok w open 1 new O_WRONLY,O_CREAT
	asked ok w write 1 first
	local inode
	inode=$(stat -c %i "$K/a/b/read")
	look_at_all
	look_at_all
	eventually 10 few
	is "$(readlink "/proc/${PROCESS_PID[w]}/cwd")" "$K/a/b"
	is "$(readlink "/proc/${PROCESS_PID[w]}/fd/"* | grep -c "^$K/a/b/\(read\|new\)\$")" 2
	asked ok w write 1 second
	gone "$K/a/b/new"
	asked ok w close 1
	is "$(cat "$K/a/b/new")" firstsecond
	asked ok w mkdir sub
	[ -d "$K/a/b/sub" ]
	is "$(stat -c %i "$K/a/b/read")" "$inode"
}

@test "a transaction records what it did, and no more, when its names are forgotten" {
	begin
	cat "$V/../many/1/1" >/dev/null
	[ -e "$V/../many/1/2" ]
	local before
	before=$(sort "$T/reads")
	look_at_all
	look_at_all
	eventually 10 few
	is "$(sort "$T/reads")" "$before"
	is "$(cat "$V/../many/1/1")" 'value 1 1'
	[ -e "$V/../many/1/2" ]
	is "$(sort "$T/reads")" "$before"
	echo changed >"$V/x"
	commit ok "$T"
	is "$(cat "$K/x")" changed
}

@test "many look names up and change them meanwhile" {
	local n pids=()
	mkdir "$K/m"
	for n in 1 2 3 4; do
		(
			for ((i = 0; i < 150; i++)); do
				mkdir "$K/m/$n.$i" && echo $i >"$K/m/$n.$i/f" && mv "$K/m/$n.$i/f" "$K/m/$n.$i/g" &&
					[ "$(cat "$K/m/$n.$i/g")" = $i ] && rm "$K/m/$n.$i/g" && rmdir "$K/m/$n.$i" || exit 1
			done
		) 3>&- &
		pids+=($!)
	done
	for n in 1 2 3; do look_at_all; done
	for n in "${pids[@]}"; do wait "$n"; done
	is "$(ls "$K/m")" ''
	eventually 10 few
}
