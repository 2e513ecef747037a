#!/usr/bin/env bats
# MNT/metrics: its format, its numbers, who may read it; slow commits in the log.

load helpers

setup_file() { mount_own_store --slow-ms=1; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

# number SAMPLE: its value, labels as they are written
number() {
	awk -v sample="$1" '$1 == sample { print $2; found = 1 } END { exit !found }' "$MNT/metrics"
}

# more BY SAMPLE COMMAND...: by how much it grows, exactly
more() {
	local by=$1 sample=$2 before after
	shift 2
	before=$(number "$sample")
	"$@"
	after=$(number "$sample")
	is "$((after - before))" "$by" "$sample after $*"
}

replace() { echo "${2:-v}" >"$1"; }

@test "the text is what Prometheus takes" {
	local text=$BATS_TEST_TMPDIR/text
	echo v >"$K/a"
	cat "$MNT/metrics" >"$text"
	# Families begin with HELP and TYPE, once, and have their own samples only; every sample is
	# a name, labels in quotes, and a number.
	run awk '
		function wrong(why) { print FNR ": " why ": " $0; bad = 1 }
		/^# HELP / {
			family = $3
			if (family in seen || NF < 4) wrong("HELP")
			seen[family] = 1
			help = FNR
			next
		}
		/^# TYPE / {
			type = $4
			if ($3 != family || help != FNR - 1 || $4 !~ /^(counter|gauge|histogram)$/ || NF != 4)
				wrong("TYPE")
			if ((type == "counter") != (family ~ /_total$/)) wrong("a name for its type")
			next
		}
		!/^[a-z_]+(\{([a-z_]+="([^"\\]|\\[\\"n])*",?)+\})? [0-9.e+-]+$/ { wrong("no sample") }
		{
			name = $1
			sub(/\{.*/, "", name)
			if (type == "histogram") sub(/_(bucket|sum|count)$/, "", name)
			if (name != family) wrong("a sample of another family")
			if ($1 in samples) wrong("twice")
			samples[$1] = 1
		}
		END { if (FNR < 100) wrong("little"); exit bad }
	' "$text"
	is "$output" ""
	is "$status" 0
	is "$(tail -c 1 "$text" | od -An -tx1 | tr -d ' ')" 0a
}

@test "buckets of histograms grow to their count" {
	local text=$BATS_TEST_TMPDIR/text
	echo v >"$K/a"
	cat "$MNT/metrics" >"$text"
	run awk '
		match($1, /_bucket\{.*le="/) {
			series = $1
			sub(/,?le="[^"]*"/, "", series)
			sub(/_bucket/, "_count", series)
			sub(/\{\}/, "", series)
			if ($2 < last[series]) { print "falls: " $0; bad = 1 }
			last[series] = $2
			if ($1 ~ /\+Inf/) infinite[series] = 1
			buckets++
			next
		}
		($1 in last) { if ($2 != last[$1] || !infinite[$1]) { print "count: " $0; bad = 1 } counts++ }
		END { print (buckets == 27 * counts && counts > 10) ? "all" : buckets " of " counts; exit bad }
	' "$text"
	is "$output" all
}

@test "requests are counted by kind, each when it comes" {
	local op
	for op in lookup getattr open read write flush release forget batch_forget interrupt; do
		number "commitfs_requests_total{op=\"$op\"}"
	done
	more 1 'commitfs_requests_total{op="mkdir"}' mkdir "$K/d"
	more 1 'commitfs_requests_total{op="rmdir"}' rmdir "$K/d"
	# Nothing of ours answers this one.
	echo v >"$K/a"
	more 1 'commitfs_requests_total{op="link"}' expect EPERM link "$K/a" "$K/l"
	ln -s x "$K/0"
	more 3 'commitfs_request_seconds_count{op="symlink"}' eval \
		'ln -s x "$K/1"; ln -s x "$K/2"; ln -s x "$K/3"'
}

@test "the time of a request that another thread answers is taken" {
	local i
	for i in 1 2 3 4 5 6 7 8; do
		sh -c 'for i in 1 2 3 4 5; do echo $i >"$1"; done' - "$K/$i" &
	done
	more 0 'commitfs_requests_total{op="mkdir"}' wait
	run awk '/^commitfs_requests_total\{op="(flush|create)"/ { sum += $2 }
		/^commitfs_request_seconds_count\{op="(flush|create)"/ { sum -= $2 }
		END { print sum }' "$MNT/metrics"
	is "$output" 0
}

@test "commits, groups and their steps" {
	more 1 commitfs_commits_total replace "$K/a"
	more 1 commitfs_commit_groups_total replace "$K/a"
	more 1 commitfs_commit_group_size_count replace "$K/a"
	more 1 commitfs_commit_seconds_count replace "$K/a"
	more 1 'commitfs_commit_step_seconds_count{step="wait"}' replace "$K/a"
	more 1 'commitfs_commit_step_seconds_count{step="evaluate"}' replace "$K/a"
	more 1 'commitfs_commit_step_seconds_count{step="write"}' replace "$K/a"
	more 1 commitfs_syncs_total replace "$K/a"
	more 1 commitfs_revision replace "$K/a"
	[ "$(number commitfs_batch_bytes_total)" -gt 100 ]
}

conflict() { # KIND: a transaction that conflicts on it
	begin "$1"
	local t=$MNT/txn/$D.$1 v=$MNT/txn/$D.$1/keys/$D
	case $1 in
	exists) gone "$v/new"; echo >"$K/new" ;;
	value) cat "$v/a" >/dev/null; echo x >"$K/a" ;;
	list) ls "$v" >/dev/null; echo x >"$K/listed" ;;
	write) echo y >"$v/a"; echo x >"$K/a" ;;
	esac
	echo y >"$v/other.$1"
	commit ECANCELED "$t"
}

@test "conflicts are counted by kind" {
	local kind
	echo v >"$K/a"
	for kind in exists value list write; do
		more 1 "commitfs_conflicts_total{kind=\"$kind\"}" conflict "$kind"
	done
	more 0 'commitfs_conflicts_total{kind="access"}' true
	is "$(number 'commitfs_transaction_commits_total{outcome="conflict"}')" \
		"$(field conflicts "$MNT/status")"
}

@test "what is open and charged" {
	local before
	before=$(number commitfs_transactions_open)
	begin
	is "$(number commitfs_transactions_open)" $((before + 1))
	more 1 commitfs_transactions_begun_total eval 'mkdir "$MNT/txn/$D.x"; rmdir "$MNT/txn/$D.x"'
	before=$(number commitfs_charged_bytes)
	head -c 100000 /dev/zero >"$V/big"
	[ "$(number commitfs_charged_bytes)" -ge $((before + 100000)) ]
	[ "$(number commitfs_read_set_items)" -ge 1 ]
	before=$(number commitfs_sessions_open)
	process w
	asked ok w open 0 "$K/a" O_WRONLY,O_CREAT
	is "$(number commitfs_sessions_open)" $((before + 1))
	is "$(field sessions "$MNT/status")" $((before + 1))
	kill_process w
	eventually 5 eval '[ "$(number commitfs_sessions_open)" -eq '"$before ]"
	more 1 commitfs_transactions_abandoned_total rmdir "$T"
}

@test "the store, RocksDB and the process" {
	is "$(number commitfs_revision)" "$(revision)"
	is "$(number commitfs_read_only)" 0
	[ "$(number commitfs_disk_bytes)" -gt 0 ]
	[ "$(number process_resident_memory_bytes)" -gt 1000000 ]
	[ "$(number 'commitfs_rocksdb_memtable_bytes{family="keys"}')" -gt 0 ]
	number 'commitfs_rocksdb_files{level="0"}'
	number commitfs_rocksdb_block_cache_hits_total
	number commitfs_rocksdb_stall_microseconds_total
	like "$(grep '^commitfs_build_info' "$MNT/metrics")" '\{version="[0-9.]+"\} 1$'
}

@test "metrics is for the owner of the mount alone" {
	is "$(stat -c '%a %U' "$MNT/metrics")" "400 $(id -un)"
	expect EACCES setuid "$USER_A" : open 0 "$MNT/metrics" O_RDONLY
	expect_any "EACCES EPERM" open 0 "$MNT/metrics" O_WRONLY : line 0 x
}

@test "slow commits are in the log, step by step" {
	# A transaction of many keys takes longer than a millisecond.
	local i
	begin
	for ((i = 0; i < 500; i++)); do echo $i >"$V/$i"; done
	commit ok "$T"
	like "$(grep 'slow commit: revision '"$(revision)," "$BASE/log")" \
		"500 keys, group of 1: waited [0-9.]+ ms, evaluated [0-9.]+ ms, written [0-9.]+ ms, told [0-9.]+ ms; by 0/mkdir/$(field id "$T/status")\$"
}
