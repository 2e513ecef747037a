#!/usr/bin/env bats
# Time: at/, named snapshots, base, meta/, compaction (contract section 7).

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

AT() { printf '%s/at/%s/%s\n' "$MNT" "$1" "$D"; }

@test "a revision is the whole tree as it was: values, directories, links, modes, times" {
	echo one >"$K/a"; mkdir -p "$K/d/e"; echo x >"$K/d/e/x"; ln -s a "$K/l"; chmod 640 "$K/a"
	touch -d 2020-02-02T02:02:02.123456789Z "$K/a"
	r=$(revision)
	cp -a "$K" "$BASE/then"
	echo two >"$K/a"; rm -r "$K/d"; rm "$K/l"; chmod 600 "$K/a"; mkdir "$K/l"
	diff -r "$BASE/then" "$(AT "$r")"
	is "$(readlink "$(AT "$r")/l")" a
	is "$(stat -c '%a %s %y' "$(AT "$r")/a")" "$(stat -c '%a %s %y' "$BASE/then/a")"
	is "$(cat "$K/a")" two
	rm -r "$BASE/then"
}

@test "diff -r of two revisions says what was changed between them, and nothing else" {
	local i r=() name
	mkdir "$BASE/model"
	RANDOM=7
	for i in {1..60}; do
		name=k$((RANDOM % 9))
		case $((RANDOM % 4)) in
		0) rm -f "$K/$name" ;;
		1) mkdir -p "$K/d$((i % 3))"; echo "$i" >"$K/d$((i % 3))/$name" ;;
		2) if [ -e "$K/$name" ]; then mv "$K/$name" "$K/m$name"; else echo "$i" >"$K/$name"; fi ;;
		3) echo "$i" >"$K/$name" ;;
		esac
		r[i]=$(revision)
		[ -e "$BASE/model/${r[i]}" ] || cp -r "$K" "$BASE/model/${r[i]}"
	done
	for i in {1..25}; do
		a=${r[$((RANDOM % 60 + 1))]} b=${r[$((RANDOM % 60 + 1))]}
		is "$(diff -r "$(AT "$a")" "$(AT "$b")" | sed "s#$MNT/at/##g; s#/$D##g")" \
			"$(diff -r "$BASE/model/$a" "$BASE/model/$b" | sed "s#$BASE/model/##g")" "$a $b"
	done
	rm -r "$BASE/model"
}

@test "a directory that no longer exists can be listed and entered" {
	mkdir -p "$K/gone/below"; echo v >"$K/gone/below/f"; r=$(revision)
	rm -r "$K/gone"
	is "$(ls "$(AT "$r")/gone")" below
	is "$(cd "$(AT "$r")/gone/below" && cat f)" v
	expect ENOENT stat "$(AT "$(revision)")/gone"
}

@test "every change of the past is refused with EROFS" {
	mkdir "$K/d"; echo v >"$K/f"; ln -s f "$K/l"; p=$(AT "$(revision)")
	expect EROFS open 0 "$p/f" O_WRONLY
	expect EROFS open 0 "$p/f" O_RDWR,O_TRUNC
	expect EROFS open 0 "$p/new" O_WRONLY,O_CREAT
	expect EROFS mkdir "$p/new"
	expect EROFS rmdir "$p/d"
	expect EROFS unlink "$p/f"
	expect EROFS symlink x "$p/new"
	expect EROFS rename "$p/f" "$p/g"
	expect EXDEV rename "$p/f" "$K/g"
	expect EXDEV rename "$K/f" "$p/g"
	expect EROFS chmod "$p/f" 600
	expect EROFS truncate "$p/f" 0
	run -1 touch "$p/f"
	is "$(cat "$p/f")" v
}

@test "inode numbers differ in keys/ and in each revision" {
	echo 1 >"$K/f"; a=$(revision); echo 2 >"$K/f"; b=$(revision)
	inos=$(stat -c %i "$K/f" "$(AT "$a")/f" "$(AT "$b")/f" | sort -u | wc -l)
	is "$inos" 3
	run cp "$(AT "$a")/f" "$K/f"
	is "$status" 0
	is "$(cat "$K/f")" 1
}

@test "numbers that are no retained revision are ENOENT, and come to be when reached" {
	r=$(revision)
	for name in 0 007 "$((r + 1))" 99999999999999999999999999 -1 1.5 x "$r " 18446744073709551615; do
		expect ENOENT stat "$MNT/at/$name"
	done
	expect ENOENT stat "$MNT/at/$((r + 1))"
	echo v >"$K/f"
	is "$(cat "$(AT $((r + 1)))/f")" v
}

@test "a time names the newest revision there was then" {
	echo one >"$K/f"; a=$(revision)
	sleep 0.02; between=$(date -u +%FT%T.%NZ); sleep 0.02
	echo two >"$K/f"; b=$(revision)
	is "$(cat "$MNT/at/$between/$D/f")" one
	zone=$(TZ=UTC-2 date -d "$between" +%FT%T.%N+02:00)
	is "$(cat "$MNT/at/$zone/$D/f")" one
	# The time that the log shows of a commit includes it.
	is "$(cat "$MNT/at/$(awk -F'\t' -v r="$b" '$2 == r { print $3 }' "$MNT/log")/$D/f")" two
	sleep 0.002
	is "$(cat "$MNT/at/$(date -u +%FT%T.%NZ)/$D/f")" two
	for name in 2020-01-01T00:00:00Z 2199-01-01T00:00:00Z 2026-13-01T00:00:00Z 2026-11-21 \
		2026-11-21T12:00:00 20261121T120000Z 2026-11-21T12:00:00.Z; do
		expect ENOENT stat "$MNT/at/$name"
	done
}

@test "mkdir at/NAME names the newest revision, ls at/ shows names alone, rmdir drops it" {
	echo one >"$K/f"; r=$(revision)
	mkdir "$MNT/at/$D.release"
	echo two >"$K/f"
	is "$(cat "$MNT/at/$D.release/$D/f")" one
	stat "$MNT/at/$r" >/dev/null
	is "$(ls "$MNT/at")" "$D.release"
	is "$(field "snapshot.$D.release" "$MNT/status")" "$r"
	expect EEXIST mkdir "$MNT/at/$D.release"
	exec 7<"$MNT/at/$D.release/$D/f"
	rmdir "$MNT/at/$D.release"
	is "$(cat <&7)" one
	exec 7<&-
	is "$(ls "$MNT/at")" ""
	expect ENOENT rmdir "$MNT/at/$D.release"
	mkdir "$MNT/at/$D.release"
	is "$(cat "$MNT/at/$D.release/$D/f")" two "a name that was given anew"
	rmdir "$MNT/at/$D.release"
}

@test "names that are numbers, times or no names are EINVAL; numbers cannot be removed" {
	for name in 999999999 0 1.5 1e9 -3 0x10 new self .x 'a b' 2199-01-01T00:00:00Z "$(printf 'x%.0s' {1..65})"; do
		expect EINVAL mkdir "$MNT/at/$name"
	done
	mkdir "$MNT/at/1.2.3" "$MNT/at/2026-11-21" "$MNT/at/-"
	rmdir "$MNT/at/1.2.3" "$MNT/at/2026-11-21" "$MNT/at/-"
	expect EPERM rmdir "$MNT/at/$(revision)"
	expect EPERM open 0 "$MNT/at/file" O_WRONLY,O_CREAT
}

@test "names outlive the mount" {
	echo one >"$K/f"; mkdir "$MNT/at/$D"; echo two >"$K/f"
	unmount_store; mount_store
	is "$(cat "$MNT/at/$D/$D/f")" one
	rmdir "$MNT/at/$D"
}

@test "a directory of the past that may not be searched now is not entered, either" {
	mkdir -p "$K/d/e"; echo v >"$K/d/f"; r=$(revision); past=$(AT "$r")/d
	chmod 755 "$K" "$K/d"
	process before setpriv --reuid=$USER_A --regid=$USER_A --clear-groups
	asked ok before chdir "$past"
	asked ok before chdir /
	chmod 700 "$K/d"
	asked EACCES before chdir "$past"
	asked EACCES before stat "$past/f"
	asked EACCES before chdir "$past/e"
	asked 0644 before stat "$past" mode
	is "$(stat -c %a "$past")" 755
	expect ok chdir "$past"
	asked EACCES before chdir "$past"
	chmod 711 "$K/d"
	asked ok before chdir "$past"
	asked dir before stat e type
	mv "$K/d" "$K/g"
	asked EACCES before chdir "$past"
	expect ok chdir "$past"
}

@test "at/ and control/ are the mount owner's" {
	run -1 as_user $USER_A mkdir "$MNT/at/$D"
	run ! as_user $USER_A sh -c "echo 1 >'$MNT/control/compact'"
	mkdir "$MNT/at/$D"
	run -1 as_user $USER_A rmdir "$MNT/at/$D"
	rmdir "$MNT/at/$D"
}

# ---- Who may see it

@test "the past needs the rights of then" {
	echo secret >"$K/f"; chmod 600 "$K/f"; mkdir -m 700 "$K/d"; echo x >"$K/d/x"; r=$(revision)
	chmod 644 "$K/f"; chmod 755 "$K/d"
	as_user $USER_A cat "$K/f" "$K/d/x" >/dev/null
	run ! as_user $USER_A cat "$(AT "$r")/f"
	run ! as_user $USER_A cat "$(AT "$r")/d/x"
	run ! as_user $USER_A ls "$(AT "$r")/d"
}

@test "and those of now, whoever has looked there before, and though the kernel knows the names" {
	echo v >"$K/f"; mkdir "$K/d"; echo x >"$K/d/x"; p=$(AT "$(revision)")
	is "$(as_user $USER_A cat "$p/f" "$p/d/x")" $'v\nx'
	chmod 600 "$K/f"
	run ! as_user $USER_A cat "$p/f"
	is "$(cat "$p/f")" v
	run ! as_user $USER_A cat "$p/f"
	chmod 700 "$K/d"
	run ! as_user $USER_A cat "$p/d/x"
	run ! as_user $USER_A stat "$p/d/x"
	run ! as_user $USER_A ls "$p/d"
	is "$(cat "$p/d/x")" x
	run ! as_user $USER_A stat "$p/d/x"
	chmod 755 "$K/d"
	is "$(as_user $USER_A cat "$p/d/x")" x
}

@test "also from a working directory in the past" {
	mkdir "$K/d"; echo x >"$K/d/x"; echo y >"$K/d/y"; p=$(AT "$(revision)")
	mkfifo "$BASE/go"
	as_user $USER_A sh -c "cd '$p/d' && cat x && read -r _ <'$BASE/go'; cat x; cat y; true" \
		>"$BASE/out" 2>/dev/null 3>&- &
	eventually 5 holds "$BASE/out" x
	chmod 700 "$K/d"
	echo >"$BASE/go"
	wait $!
	is "$(cat "$BASE/out")" x
}

@test "what is gone now is for the mount's owner" {
	echo v >"$K/f"; mkdir "$K/d"; echo x >"$K/d/x"; p=$(AT "$(revision)")
	as_user $USER_A cat "$p/f" "$p/d/x" >/dev/null
	rm "$K/f"; rm -r "$K/d"
	run ! as_user $USER_A cat "$p/f"
	run ! as_user $USER_A ls "$p/d"
	run ! as_user $USER_A cat "$p/d/x"
	is "$(cat "$p/f" "$p/d/x")" $'v\nx'
	run ! as_user $USER_A cat "$p/d/x"
	echo again >"$K/f"
	is "$(as_user $USER_A cat "$p/f")" v
}

@test "owner and group of then and now both count" {
	echo v >"$K/f"; chown $USER_A "$K/f"; chmod 600 "$K/f"; p=$(AT "$(revision)")
	chown $USER_B "$K/f"
	run ! as_user $USER_A cat "$p/f"
	run ! as_user $USER_B cat "$p/f"
	is "$(cat "$p/f")" v
}

# ---- Cached

@test "what was looked at once costs no request: values, attributes, listings" {
	mkdir "$K/d"; echo one >"$K/d/f"; p=$(AT "$(revision)")/d
	# A name that a handle of a shell keeps its directory by: no walk from the top.
	daemon=$(field pid "$MNT/status")
	(
		cd "$p"
		cat f >/dev/null; ls >/dev/null; stat f >/dev/null
		kill -STOP "$daemon"
		timeout 20 "$PYTHON" -c 'import os; print(os.stat("f").st_size, os.stat(".").st_mode & 0o777)' >"$BASE/stat" &
		pid=$! waited=0
		eventually 15 stopped $pid || waited=1
		kill -CONT "$daemon"
		[ $waited = 0 ] || fail "a stat of the past waited for the mount"
		wait $pid
	)
	is "$(cat "$BASE/stat")" "4 493"
}

@test "a value of the past can be mapped shared" {
	echo mapped >"$K/f"; p=$(AT "$(revision)")/f
	is "$("$PYTHON" -c '
import mmap, sys
with open(sys.argv[1]) as f: print(mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)[:].decode(), end="")
' "$p")" mapped
	cp /bin/true "$K/run"; "$(AT "$(revision)")/run"
}

@test "an empty and a large value are as they were" {
	: >"$K/empty"; head -c 3000000 /dev/urandom >"$K/large"; sum=$(cksum <"$K/large"); p=$(AT "$(revision)")
	: >"$K/large"
	is "$(wc -c <"$p/empty")" 0
	is "$(cksum <"$p/large")" "$sum"
	is "$(stat -c %s "$p/large")" 3000000
}

# ---- base

@test "base leads to the transaction's snapshot, and reading there records nothing" {
	echo one >"$K/f"; begin
	cat "$T/status" >/dev/null
	is "$(readlink "$T/base")" "../../at/$(field base_revision "$T/status")"
	echo two >"$K/f"
	is "$(cat "$T/base/$D/f")" one
	ls -lR "$T/base" >/dev/null
	is "$(cat "$T/reads")" ""
	echo >"$T/restart"
	is "$(cat "$T/base/$D/f")" two
	rmdir "$T"
}

@test "base is kept from compaction while the transaction lives" {
	echo one >"$K/f"; begin; r=$(field base_revision "$T/status")
	for i in {1..20}; do echo "$i" >"$K/f"; done
	"$COMMITFS" compact "$MNT" "$(revision)"
	is "$(cat "$T/base/$D/f")" one
	is "$(cat "$V/f")" one
	rmdir "$T"
	eventually 20 gone "$MNT/at/$r"
}

# ---- meta/

@test "meta/KEY tells revisions, version and the last commit" {
	echo v >"$K/f"; create=$(revision)
	begin; echo longer >"$V/f"; commit ok "$T" 'why I did it'; id=$(field id "$T/status"); rmdir "$T"
	declare -A meta
	while read -r name value; do meta[$name]=$value; done <"$MNT/meta/$D/f"
	is "${meta[type]} ${meta[size]} ${meta[version]}" "value 7 2"
	is "${meta[create_revision]} ${meta[mod_revision]}" "$create $(revision)"
	is "${meta[uid]} ${meta[command]} ${meta[message]} ${meta[id]}" "0 mkdir why I did it $id"
	like "${meta[time]}" '^20[0-9-]+T[0-9:.]+Z$'
	like "${meta[pid]}" '^[0-9]+$'
	mapfile -t lines <"$MNT/meta/$D/f"
	is "${#lines[@]}" 11
	ln -s f "$K/l"
	is "$(field type "$MNT/meta/$D/l")" symlink
	rm "$K/f"
	expect ENOENT stat "$MNT/meta/$D/f"
}

@test "meta/ has the names of keys/, and needs the rights that stat of a key needs" {
	mkdir -m 711 "$K/d" "$K/d/e"; echo x >"$K/d/x"; chmod 600 "$K/d/x"; mkdir -m 700 "$K/p"; echo y >"$K/p/y"
	is "$(cd "$MNT/meta/$D" && find . | sort)" "$(cd "$K" && find . | sort)"
	as_user $USER_A cat "$MNT/meta/$D/d/x" >/dev/null
	run ! as_user $USER_A ls "$MNT/meta/$D/d"
	run ! as_user $USER_A cat "$MNT/meta/$D/p/y"
	chmod 711 "$K/p"
	as_user $USER_A cat "$MNT/meta/$D/p/y" >/dev/null
	expect EROFS mkdir "$MNT/meta/$D/new"
	expect EROFS unlink "$MNT/meta/$D/d/x"
	expect EROFS open 0 "$MNT/meta/$D/new" O_WRONLY,O_CREAT
}

@test "meta of a key that becomes a directory is a directory, and back" {
	echo v >"$K/x"; is "$(field type "$MNT/meta/$D/x")" value
	rm "$K/x"; mkdir "$K/x"; [ -d "$MNT/meta/$D/x" ]
	rmdir "$K/x"; echo w >"$K/x"; is "$(field size "$MNT/meta/$D/x")" 2
}

# ---- Compaction

@test "compacted revisions are ENOENT at once, the one named stays, snapshots stay" {
	echo one >"$K/f"; a=$(revision); mkdir "$MNT/at/$D"
	echo two >"$K/f"; b=$(revision); echo three >"$K/f"; c=$(revision)
	cat "$(AT "$a")/f" "$(AT "$b")/f" >/dev/null
	exec 8<"$(AT "$b")/f"
	echo "$c" >"$MNT/control/compact"
	expect ENOENT stat "$MNT/at/$b"
	run ! cat "$(AT "$b")/f"
	is "$(cat "$(AT "$c")/f")" three
	is "$(cat "$MNT/at/$D/$D/f")" one
	is "$(cat "$MNT/at/$a/$D/f")" one "the revision of a named snapshot"
	is "$(cat <&8)" two
	exec 8<&-
	is "$(field oldest_revision "$MNT/status")" "$c"
	rmdir "$MNT/at/$D"
	expect ENOENT stat "$MNT/at/$a"
}

@test "someone in a revision that is compacted gets ESTALE or ENOENT, and nothing false" {
	mkdir "$K/d"; echo one >"$K/d/f"; r=$(revision); echo two >"$K/d/f"; echo three >"$K/d/f"
	(
		cd "$(AT "$r")/d"
		echo "$(revision)" >"$MNT/control/compact"
		run ! cat f
		run ! ls
	)
}

@test "control/compact takes a revision that is reached, and nothing else" {
	for word in 0 x -1 '1 2' '' 99999999999999999999; do
		expect EINVAL open 0 "$MNT/control/compact" O_WRONLY : line 0 "$word"
	done
	expect ENOENT open 0 "$MNT/control/compact" O_WRONLY : line 0 $(($(revision) + 1))
	echo 1 >"$MNT/control/compact" # compacted already: nothing to do
}

@test "commitfs compact tells what came of it" {
	r=$(revision); echo 1 >"$K/f"
	run -0 "$COMMITFS" compact "$MNT" "$(revision)"
	like "$output" "the oldest revision is $((r + 1))"
	run -1 "$COMMITFS" compact "$MNT" 999999
	like "$output" 'not reached yet'
	run -64 "$COMMITFS" compact "$MNT" five
	run -69 "$COMMITFS" compact / 5
}

@test "--history=COUNT keeps that many revisions" {
	unmount_store; mount_store --history=20
	for i in {1..60}; do echo "$i" >"$K/f"; done
	old=$(($(revision) - 40))
	eventually 20 gone "$MNT/at/$old"
	stat "$MNT/at/$(($(revision) - 15))" >/dev/null
	unmount_store; mount_store
	run -64 "$COMMITFS" mount --history=x "$STORE" "$MNT"
	like "$output" 'history=x: expected all'
}
