#!/usr/bin/env bats
# System calls of root and two ordinary users on an ordinary filesystem and on the mount at
# once: they answer the same and leave the same behind, but where posix/*.calls says otherwise.

load helpers

setup_file() {
	mount_own_store
	# Where every user can reach them.
	export CALLS=$BASE/calls POSIX=$BASE/posix
	cp -r "$BATS_TEST_DIRNAME/posix" "$CALLS"
	cp "$HELPERS/posix" "$POSIX"
	mkdir "$BASE/reference" "$BASE/view"
}
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

# same FAMILY: on keys/, in a transaction, and what its commit makes of it
same() {
	local live=$BASE/reference/$D view=$BASE/view/$D
	mkdir "$live" "$view"
	"$POSIX" "$FSOP" "$CALLS/$1.calls" "$live" "$K" || return 1
	begin
	mkdir "$V/view"
	"$POSIX" --view "$FSOP" "$CALLS/$1.calls" "$view" "$V/view" || return 1
	commit ok "$T"
	"$POSIX" --same "$view" "$K/view"
}

@test "paths: missing prefixes, lengths, loops, search permission" { same path; }
@test "open: creating, truncating, flags, classes of the mode" { same open; }
@test "mkdir, rmdir, working directories that are gone, listings" { same directory; }
@test "unlink, and who may remove from a sticky directory" { same unlink; }
@test "rename, with NOREPLACE and EXCHANGE" { same rename; }
@test "truncate and ftruncate" { same truncate; }
@test "symbolic links" { same symlink; }
@test "chmod and fchmod" { same chmod; }
@test "chown, lchown and fchown" { same chown; }
@test "utimensat and futimens" { same times; }
@test "access, groups, setgid directories, umask" { same access; }
@test "what is refused, and with which errno" { same refused; }

@test "an ordinary user commits what it could do call by call" {
	local reference=$BASE/reference/$D as
	as=(setpriv --reuid="$USER_A" --regid="$USER_A" --groups=54330 --)
	mkdir "$reference"
	chown "$USER_A:$USER_A" "$reference" "$K"
	"${as[@]}" "$POSIX" "$FSOP" "$CALLS/own_before.calls" "$reference" "$K"
	T=$MNT/txn/$D
	"${as[@]}" mkdir "$T"
	"${as[@]}" "$POSIX" --view "$FSOP" "$CALLS/own.calls" "$reference" "$T/keys/$D"
	grows 1 "${as[@]}" sh -c "echo all of it >'$T/commit'"
	"$POSIX" --same "$reference" "$K"
}

@test "a transaction may rename a directory of another, with what is in it" {
	chmod 777 "$K"
	as_user "$USER_B" sh -c "umask 077; mkdir -p '$K/theirs/sub'; echo one >'$K/theirs/f'; echo two >'$K/theirs/sub/g'"
	as_user "$USER_B" sh -c "mkdir '$K/other'; echo three >'$K/other/f'"
	T=$MNT/txn/$D V=$MNT/txn/$D/keys/$D
	as_user "$USER_A" mkdir "$T"
	run ! as_user "$USER_A" rm "$V/other/f"
	as_user "$USER_A" mv "$V/theirs" "$V/moved"
	as_user "$USER_A" mv "$V/other" "$V/theirs"
	grows 1 as_user "$USER_A" sh -c "echo moved >'$T/commit'"
	is "$(cd "$K" && find . -mindepth 1 | sort | tr '\n' ' ')" \
		"./moved ./moved/f ./moved/sub ./moved/sub/g ./theirs ./theirs/f "
	is "$(stat -c '%u %a' "$K/moved" "$K/moved/sub/g" | tr '\n' ' ')" "$USER_B 700 $USER_B 600 "
	is "$(cat "$K/moved/sub/g" "$K/theirs/f" | tr '\n' ' ')" "two three "
}

@test "a right that others took from a directory is missed at the commit" {
	chmod 777 "$K"
	as_user "$USER_A" mkdir "$K/d"
	T=$MNT/txn/$D V=$MNT/txn/$D/keys/$D
	as_user "$USER_A" mkdir "$T"
	as_user "$USER_A" sh -c "echo snapshot >'$T/isolation'; echo x >'$V/d/f'; chmod 555 '$V/d'"
	chown "$USER_B:$USER_B" "$K/d"
	grows 0 run ! as_user "$USER_A" sh -c "echo x >'$T/commit'"
	like "$(cat "$T/conflicts")" "d"
	rmdir "$T"
}

@test "what was made in a set-group-ID directory keeps its group, wherever it is at the commit" {
	mkdir "$K/shared" "$K/own"
	chown 0:54330 "$K/shared"
	chmod 2777 "$K/shared"
	chown "$USER_A:$USER_A" "$K/own"
	T=$MNT/txn/$D V=$MNT/txn/$D/keys/$D
	as_user "$USER_A" mkdir "$T"
	as_user "$USER_A" sh -ec "cd '$V'; echo one >shared/f; mv shared/f own/f; mkdir shared/d
		echo two >shared/d/g; ln -s x shared/d/l; chmod g-s shared/d; mkdir shared/d/e; mv shared/d own/d"
	grows 1 as_user "$USER_A" sh -c "echo x >'$T/commit'"
	is "$(stat -c '%n %u:%g %a' "$K/own/f" "$K/own/d" "$K/own/d/g" "$K/own/d/e" | sed 's|.*/||' | tr '\n' ' ')" \
		"f $USER_A:54330 644 d $USER_A:54330 755 g $USER_A:54330 644 e $USER_A:$USER_A 755 "
}
