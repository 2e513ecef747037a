#!/usr/bin/env bats
# Isolation: the classic schedules at each of the three levels, and who may commit.
#
# A test is a schedule: functions and commands on the views $V1 $V2 $V3 of transactions that
# begin together, before the schedule does, unless it says `fresh N`. Those not named in it
# never matter. `live` is the live tree, each change there a commit of its own. Its outcomes
# are the three lines after it, one for each level:
#
#   LEVEL: WHAT WAS READ AND DECIDED, in the order of the schedule | FINAL STATE
#
# `N+` says that transaction N committed, `N-` that it was refused with ECANCELED, `N:TEXT`
# what it has read. The final state is every name below the directory, with `=value`, `/` or
# `->target`.

load helpers

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

declare -A LEVEL=([sss]=serializable-snapshot [ser]=serializable [si]=snapshot)

# fresh N: transaction N begins (again) now
fresh() {
	[ ! -e "$MNT/txn/$D.$1" ] || rmdir "$MNT/txn/$D.$1"
	mkdir "$MNT/txn/$D.$1"
	echo "${LEVEL[$level]}" >"$MNT/txn/$D.$1/isolation"
}

# commits N...: tells what became of it
commits() {
	local n got
	for n; do
		got=$("$FSOP" open 0 "$MNT/txn/$D.$n/commit" O_WRONLY : line 0 "$n" : close 0 2>/dev/null) || true
		case $got in
		ok) TOLD+=" $n+" ;;
		ECANCELED) TOLD+=" $n-" ;;
		*) TOLD+=" $n:$got" ;;
		esac
	done
}

# sees N TEXT: one line, blanks as commas
sees() {
	local text=${2//[$'\n ']/,}
	TOLD+=" $1:$text"
}

# Blind changes, by one system call each
put() { echo "$2" >"$1"; }
remove() { "$FSOP" unlink "$1" >/dev/null; }
move() { "$FSOP" rename "$1" "$2" >/dev/null; }
mode() { "$FSOP" chmod "$1" "$2" >/dev/null; }

state() {
	local path name found=
	while IFS= read -r path; do
		name=${path#"$live/"}
		if [ -L "$path" ]; then
			found+=" $name->$(readlink "$path")"
		elif [ -d "$path" ]; then
			found+=" $name/"
		else
			found+=" $name=$(cat "$path")"
		fi
	done < <(find "$live" -mindepth 1 | sort)
	printf '%s' "$found"
}

# schedule SETUP STEPS SSS SER SI: plays it at each level
schedule() {
	local level live wanted TOLD V1 V2 V3 n
	local -A expected=([sss]=$3 [ser]=$4 [si]=$5)
	for level in sss ser si; do
		live=$K/$level TOLD=
		mkdir "$live"
		(set -e; cd "$live"; eval "$1")
		for n in 1 2 3; do
			fresh $n
			printf -v "V$n" '%s' "$MNT/txn/$D.$n/keys/$D/$level"
		done
		eval "$2"
		is "${TOLD# } |$(state)" "${expected[$level]}" "${LEVEL[$level]}" || return 1
	done
}

XY='put x 10; put y 20'

# The phenomena of Adya and of Hermitage

@test "G0, dirty write: writes of two transactions do not mix" {
	schedule "$XY" '
		put $V1/x 11; put $V2/x 12; put $V1/y 21; commits 1; put $V2/y 22; commits 2' \
		'1+ 2- | x=11 y=21' \
		'1+ 2+ | x=12 y=22' \
		'1+ 2- | x=11 y=21'
}
@test "G1a, aborted read: what was given up was never seen" {
	schedule "$XY" '
		put $V1/x 101; sees 2 $(<$V2/x); rmdir $MNT/txn/$D.1
		sees 2 $(<$V2/x); put $V2/y 21; commits 2' \
		'2:10 2:10 2+ | x=10 y=21' \
		'2:10 2:10 2+ | x=10 y=21' \
		'2:10 2:10 2+ | x=10 y=21'
}
@test "G1b, intermediate read: nobody sees what was overwritten before the commit" {
	schedule "$XY" '
		put $V1/x 101; sees 2 $(<$V2/x); put $V1/x 11; commits 1
		sees 2 $(<$V2/x); put $V2/y 21; commits 2; fresh 3; sees 3 $(<$V3/x)' \
		'1+ 2- | x=11 y=20' '' '' 2>/dev/null || :
	schedule_again
}
