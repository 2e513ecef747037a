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

setup_file() {
	base_directory
	STORE=memory: # thousands of commits; what they decide does not depend on the disk
	mount_store
}
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

declare -gA LEVEL=([sss]=serializable-snapshot [ser]=serializable [si]=snapshot)

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
		'2:10 1+ 2:10 2- 3:11 | x=11 y=20' \
		'2:10 1+ 2:10 2- 3:11 | x=11 y=20' \
		'2:10 1+ 2:10 2+ 3:11 | x=11 y=21'
}
@test "G1c, circular information flow: neither sees the write of the other" {
	schedule "$XY" '
		put $V1/x 11; put $V2/y 22; sees 1 $(<$V1/y); sees 2 $(<$V2/x); commits 1 2' \
		'1:20 2:10 1+ 2- | x=11 y=20' \
		'1:20 2:10 1+ 2- | x=11 y=20' \
		'1:20 2:10 1+ 2+ | x=11 y=22'
}
@test "OTV, observed transaction vanishes: what was seen committed stays" {
	schedule "$XY" '
		put $V1/x 11; put $V1/y 19; put $V2/x 12; commits 1
		fresh 3; sees 3 $(<$V3/x); put $V2/y 18; sees 3 $(<$V3/y); commits 2
		sees 3 "$(<$V3/x) $(<$V3/y)"; commits 3' \
		'1+ 3:11 3:19 2- 3:11,19 3+ | x=11 y=19' \
		'1+ 3:11 3:19 2+ 3:11,19 3+ | x=12 y=18' \
		'1+ 3:11 3:19 2- 3:11,19 3+ | x=11 y=19'
}
@test "PMP, predicate-many-preceders: a listing stays what it was" {
	schedule 'mkdir p; put p/a 1; put p/b 2' '
		sees 1 "$(ls $V1/p)"; put $V2/p/c 3; commits 2; sees 1 "$(ls $V1/p)"; put $V1/out 1; commits 1' \
		'1:a,b 2+ 1:a,b 1- | p/ p/a=1 p/b=2 p/c=3' \
		'1:a,b 2+ 1:a,b 1- | p/ p/a=1 p/b=2 p/c=3' \
		'1:a,b 2+ 1:a,b 1+ | out=1 p/ p/a=1 p/b=2 p/c=3'
}
@test "PMP for a write: delete what holds 20 while another adds 10 to all" {
	schedule "$XY" '
		for k in x y; do put $V1/$k $(($(<$V1/$k) + 10)); done
		cd $V2; for k in *; do [ $(<$k) != 20 ] || remove $k; done; cd /
		commits 1 2' \
		'1+ 2- | x=20 y=30' \
		'1+ 2- | x=20 y=30' \
		'1+ 2- | x=20 y=30'
}
@test "P4, lost update" {
	schedule "$XY" '
		sees 1 $(<$V1/x); sees 2 $(<$V2/x); put $V1/x 11; put $V2/x 12; commits 1 2' \
		'1:10 2:10 1+ 2- | x=11 y=20' \
		'1:10 2:10 1+ 2- | x=11 y=20' \
		'1:10 2:10 1+ 2- | x=11 y=20'
}
@test "P4 by appending" {
	schedule "$XY" '
		echo one >>$V1/x; echo two >>$V2/x; commits 1 2' \
		'1+ 2- | x=10
one y=20' \
		'1+ 2- | x=10
one y=20' \
		'1+ 2- | x=10
one y=20'
}
@test "P4 by stat only: the size decides what is written" {
	schedule "$XY" '
		put $V1/x $(stat -c %s $V1/x); put $V2/x $(stat -c %s $V2/x); commits 1 2' \
		'1+ 2- | x=3 y=20' \
		'1+ 2- | x=3 y=20' \
		'1+ 2- | x=3 y=20'
}
@test "G-single, read skew: both reads are of one state" {
	schedule "$XY" '
		sees 1 $(<$V1/x); sees 2 "$(<$V2/x) $(<$V2/y)"; put $V2/x 12; put $V2/y 18; commits 2
		sees 1 $(<$V1/y); commits 1' \
		'1:10 2:10,20 2+ 1:20 1+ | x=12 y=18' \
		'1:10 2:10,20 2+ 1:20 1+ | x=12 y=18' \
		'1:10 2:10,20 2+ 1:20 1+ | x=12 y=18'
}
@test "G-single of one that writes elsewhere" {
	schedule "$XY" '
		sees 1 $(<$V1/x); put $V2/x 12; put $V2/y 18; commits 2; sees 1 $(<$V1/y); put $V1/z 0; commits 1' \
		'1:10 2+ 1:20 1- | x=12 y=18' \
		'1:10 2+ 1:20 1- | x=12 y=18' \
		'1:10 2+ 1:20 1+ | x=12 y=18 z=0'
}
@test "G-single by a stat of the second" {
	schedule "$XY" '
		sees 1 $(<$V1/x); put $V2/x 100; put $V2/y 18; commits 2; sees 1 $(stat -c %s $V1/x); put $V1/y 0; commits 1' \
		'1:10 2+ 1:3 1- | x=100 y=18' \
		'1:10 2+ 1:3 1- | x=100 y=18' \
		'1:10 2+ 1:3 1- | x=100 y=18'
}
@test "G-single that deletes what it has found" {
	schedule "$XY" '
		sees 1 $(<$V1/x); put $V2/x 12; put $V2/y 18; commits 2; sees 1 $(<$V1/y); remove $V1/y; commits 1' \
		'1:10 2+ 1:20 1- | x=12 y=18' \
		'1:10 2+ 1:20 1- | x=12 y=18' \
		'1:10 2+ 1:20 1- | x=12 y=18'
}
@test "G2-item, write skew" {
	schedule "$XY" '
		sees 1 "$(<$V1/x) $(<$V1/y)"; sees 2 "$(<$V2/x) $(<$V2/y)"; put $V1/x 11; put $V2/y 21; commits 1 2' \
		'1:10,20 2:10,20 1+ 2- | x=11 y=20' \
		'1:10,20 2:10,20 1+ 2- | x=11 y=20' \
		'1:10,20 2:10,20 1+ 2+ | x=11 y=21'
}
@test "G2-item by stat only" {
	schedule "$XY" '
		[ -s $V1/x ]; [ -s $V2/y ]; put $V1/y 0; put $V2/x 0; commits 1 2' \
		'1+ 2- | x=10 y=0' \
		'1+ 2- | x=10 y=0' \
		'1+ 2+ | x=0 y=0'
}
@test "G2, phantom write skew by listing" {
	schedule 'mkdir p' '
		sees 1 "$(ls $V1/p)"; sees 2 "$(ls $V2/p)"; put $V1/p/a 1; put $V2/p/b 2; commits 1 2' \
		'1: 2: 1+ 2- | p/ p/a=1' \
		'1: 2: 1+ 2- | p/ p/a=1' \
		'1: 2: 1+ 2+ | p/ p/a=1 p/b=2'
}
@test "G2 of three in a circle" {
	schedule 'put x 1; put y 1; put z 1' '
		sees 1 $(<$V1/x); sees 2 $(<$V2/y); sees 3 $(<$V3/z); put $V1/y 2; put $V2/z 2; put $V3/x 2; commits 1 3 2' \
		'1:1 2:1 3:1 1+ 3+ 2- | x=2 y=2 z=1' \
		'1:1 2:1 3:1 1+ 3+ 2- | x=2 y=2 z=1' \
		'1:1 2:1 3:1 1+ 3+ 2+ | x=2 y=2 z=2'
}
@test "the read-only anomaly of Fekete: a reader between deposit and withdrawal" {
	schedule 'put x 0; put y 0' '
		sees 2 "$(<$V2/x) $(<$V2/y)"; sees 1 $(<$V1/y); put $V1/y 20; commits 1
		fresh 3; sees 3 "$(<$V3/x) $(<$V3/y)"; commits 3; put $V2/x -11; commits 2' \
		'2:0,0 1:0 1+ 3:0,20 3+ 2- | x=0 y=20' \
		'2:0,0 1:0 1+ 3:0,20 3+ 2- | x=0 y=20' \
		'2:0,0 1:0 1+ 3:0,20 3+ 2+ | x=-11 y=20'
}

# What must pass at every level

@test "readers only always commit" {
	schedule "$XY" '
		sees 1 $(<$V1/x); put $live/x 1; remove $live/y; sees 1 $(<$V1/y); commits 1' \
		'1:10 1:20 1+ | x=1' \
		'1:10 1:20 1+ | x=1' \
		'1:10 1:20 1+ | x=1'
}
@test "different keys" {
	schedule "$XY" '
		put $V1/x 11; put $V2/y 21; commits 1 2' \
		'1+ 2+ | x=11 y=21' \
		'1+ 2+ | x=11 y=21' \
		'1+ 2+ | x=11 y=21'
}
@test "new names in one directory" {
	schedule 'mkdir p' '
		put $V1/p/a 1; put $V2/p/b 2; commits 1 2' \
		'1+ 2+ | p/ p/a=1 p/b=2' \
		'1+ 2+ | p/ p/a=1 p/b=2' \
		'1+ 2+ | p/ p/a=1 p/b=2'
}
@test "a read before the writer and in its order" {
	schedule "$XY" '
		sees 1 $(<$V1/x); put $V1/y 1; put $V2/x 2; commits 1 2' \
		'1:10 1+ 2+ | x=2 y=1' \
		'1:10 1+ 2+ | x=2 y=1' \
		'1:10 1+ 2+ | x=2 y=1'
}
@test "a listing and an overwrite in it" {
	schedule 'mkdir p; put p/a 1' '
		sees 1 "$(ls $V1/p)"; put $V1/out 1; put $live/p/a 2; commits 1' \
		'1:a 1+ | out=1 p/ p/a=2' \
		'1:a 1+ | out=1 p/ p/a=2' \
		'1:a 1+ | out=1 p/ p/a=2'
}
@test "a listing and a change further down" {
	schedule 'mkdir -p p/q' '
		sees 1 "$(ls $V1/p)"; put $V1/out 1; put $live/p/q/a 2; commits 1' \
		'1:q 1+ | out=1 p/ p/q/ p/q/a=2' \
		'1:q 1+ | out=1 p/ p/q/ p/q/a=2' \
		'1:q 1+ | out=1 p/ p/q/ p/q/a=2'
}
@test "existence only, and an overwrite or chmod of it" {
	schedule "$XY" '
		"$FSOP" mkdir $V1/x >/dev/null || put $V1/out 1; put $live/x 11; mode $live/x 600; commits 1' \
		'1+ | out=1 x=11 y=20' \
		'1+ | out=1 x=11 y=20' \
		'1+ | out=1 x=11 y=20'
}
@test "what is opened and not stat-ed, and a chmod of its neighbour" {
	schedule "$XY" '
		sees 1 $(<$V1/x); put $V1/out 1; mode $live/y 600; commits 1' \
		'1:10 1+ | out=1 x=10 y=20' \
		'1:10 1+ | out=1 x=10 y=20' \
		'1:10 1+ | out=1 x=10 y=20'
}

# Blind writes

@test "blind overwrites" {
	schedule "$XY" '
		put $V1/x 11; put $V2/x 12; commits 1 2' \
		'1+ 2- | x=11 y=20' \
		'1+ 2+ | x=12 y=20' \
		'1+ 2- | x=11 y=20'
}
@test "a blind overwrite of what was deleted" {
	schedule "$XY" '
		put $V1/x 11; remove $V2/x; commits 2 1' \
		'2+ 1- | y=20' \
		'2+ 1- | y=20' \
		'2+ 1- | y=20'
}
@test "a deletion of what was overwritten" {
	schedule "$XY" '
		remove $V1/x; put $V2/x 12; commits 2 1' \
		'2+ 1- | x=12 y=20' \
		'2+ 1+ | y=20' \
		'2+ 1- | x=12 y=20'
}
@test "two deletions" {
	schedule "$XY" '
		remove $V1/x; remove $V2/x; commits 1 2' \
		'1+ 2- | y=20' \
		'1+ 2- | y=20' \
		'1+ 2- | y=20'
}
@test "a blind overwrite of what was deleted and created anew" {
	schedule "$XY" '
		put $V1/x 11; remove $live/x; put $live/x 12; commits 1' \
		'1- | x=12 y=20' \
		'1- | x=12 y=20' \
		'1- | x=12 y=20'
}
@test "a blind rename over what was overwritten" {
	schedule "$XY" '
		move $V1/x $V1/y; put $V2/y 21; commits 2 1' \
		'2+ 1- | x=10 y=21' \
		'2+ 1+ | y=10' \
		'2+ 1- | x=10 y=21'
}
@test "a rename of what was overwritten" {
	schedule "$XY" '
		move $V1/x $V1/z; put $V2/x 11; commits 2 1' \
		'2+ 1- | x=11 y=20' \
		'2+ 1- | x=11 y=20' \
		'2+ 1- | x=11 y=20'
}
@test "an overwrite of what was renamed" {
	schedule "$XY" '
		move $V1/x $V1/z; put $V2/x 11; commits 1 2' \
		'1+ 2- | y=20 z=10' \
		'1+ 2- | y=20 z=10' \
		'1+ 2- | y=20 z=10'
}
@test "two renames of one file" {
	schedule "$XY" '
		move $V1/x $V1/a; move $V2/x $V2/b; commits 1 2' \
		'1+ 2- | a=10 y=20' \
		'1+ 2- | a=10 y=20' \
		'1+ 2- | a=10 y=20'
}
@test "A-B-A of what was read: revisions count" {
	schedule "$XY" '
		sees 1 $(<$V1/x); put $V1/y 0; put $live/x 11; put $live/x 10; commits 1' \
		'1:10 1- | x=10 y=20' \
		'1:10 1- | x=10 y=20' \
		'1:10 1+ | x=10 y=0'
}

# Absent names

@test "what was seen absent is created" {
	schedule "$XY" '
		! [ -e $V1/no ] && put $V1/x 0; put $live/no 1; commits 1' \
		'1- | no=1 x=10 y=20' \
		'1- | no=1 x=10 y=20' \
		'1+ | no=1 x=0 y=20'
}
@test "what was seen absent is created as a directory" {
	schedule "$XY" '
		! [ -e $V1/no ] && put $V1/x 0; mkdir $live/no; commits 1' \
		'1- | no/ x=10 y=20' \
		'1- | no/ x=10 y=20' \
		'1+ | no/ x=0 y=20'
}
@test "what was seen absent came and went" {
	schedule "$XY" '
		! [ -e $V1/no ] && put $V1/x 0; put $live/no 1; remove $live/no; commits 1' \
		'1+ | x=0 y=20' \
		'1+ | x=0 y=20' \
		'1+ | x=0 y=20'
}
@test "write skew over two absent names" {
	schedule '' '
		! [ -e $V1/a ] && put $V1/b 1; ! [ -e $V2/b ] && put $V2/a 2; commits 1 2' \
		'1+ 2- | b=1' \
		'1+ 2- | b=1' \
		'1+ 2+ | a=2 b=1'
}
@test "two create one name" {
	schedule '' '
		put $V1/a 1; put $V2/a 2; commits 1 2' \
		'1+ 2- | a=1' \
		'1+ 2- | a=1' \
		'1+ 2- | a=1'
}
@test "two make one directory" {
	schedule '' '
		mkdir $V1/a; mkdir $V2/a; put $V2/a/x 2; commits 1 2' \
		'1+ 2- | a/' \
		'1+ 2- | a/' \
		'1+ 2- | a/'
}
@test "a file against a directory of one name" {
	schedule '' '
		mkdir $V1/a; put $V2/a 2; commits 2 1' \
		'2+ 1- | a=2' \
		'2+ 1- | a=2' \
		'2+ 1- | a=2'
}
@test "a below an absent directory that another makes as a file" {
	schedule '' '
		mkdir $V1/a; put $V1/a/x 1; put $live/a 2; commits 1' \
		'1- | a=2' \
		'1- | a=2' \
		'1- | a=2'
}

# Listings

@test "a listing and a removal" {
	schedule 'mkdir p; put p/a 1' '
		sees 1 "$(ls $V1/p)"; put $V1/out 1; remove $live/p/a; commits 1' \
		'1:a 1- | p/' \
		'1:a 1- | p/' \
		'1:a 1+ | out=1 p/'
}
@test "a listing and a rename in it" {
	schedule 'mkdir p; put p/a 1' '
		sees 1 "$(ls $V1/p)"; put $V1/out 1; move $live/p/a $live/p/b; commits 1' \
		'1:a 1- | p/ p/b=1' \
		'1:a 1- | p/ p/b=1' \
		'1:a 1+ | out=1 p/ p/b=1'
}
@test "a listing and a change of type" {
	schedule 'mkdir p; put p/a 1' '
		sees 1 "$(ls $V1/p)"; put $V1/out 1; remove $V2/p/a; mkdir $V2/p/a; commits 2 1' \
		'1:a 2+ 1- | p/ p/a/' \
		'1:a 2+ 1- | p/ p/a/' \
		'1:a 2+ 1+ | out=1 p/ p/a/'
}
@test "a listing and what came and went" {
	schedule 'mkdir p' '
		sees 1 "$(ls $V1/p)"; put $V1/out 1; put $live/p/a 1; remove $live/p/a; commits 1' \
		'1: 1- | p/' \
		'1: 1- | p/' \
		'1: 1+ | out=1 p/'
}
@test "a listing of a directory that is gone" {
	schedule 'mkdir p' '
		sees 1 "$(ls $V1/p)"; put $V1/out 1; rmdir $live/p; commits 1' \
		'1: 1- |' \
		'1: 1- |' \
		'1: 1+ | out=1'
}
@test "write skew by listing on one side, by name on the other" {
	schedule 'mkdir p q' '
		sees 1 "$(ls $V1/p)"; ! [ -e $V2/q/b ]; put $V1/q/b 1; put $V2/p/a 2; commits 1 2' \
		'1: 1+ 2- | p/ q/ q/b=1' \
		'1: 1+ 2- | p/ q/ q/b=1' \
		'1: 1+ 2+ | p/ p/a=2 q/ q/b=1'
}

# rmdir against create: never an entry without its directory

@test "rmdir, then a create in it" {
	schedule 'mkdir e' '
		rmdir $V1/e; put $V2/e/n 2; commits 1 2' \
		'1+ 2- |' \
		'1+ 2- |' \
		'1+ 2- |'
}
@test "a create, then rmdir" {
	schedule 'mkdir e' '
		rmdir $V1/e; put $V2/e/n 2; commits 2 1' \
		'2+ 1- | e/ e/n=2' \
		'2+ 1- | e/ e/n=2' \
		'2+ 1- | e/ e/n=2'
}
@test "rm -r, then a create in it" {
	schedule 'mkdir e; put e/x 1' '
		rm -r $V1/e; put $V2/e/n 2; commits 1 2' \
		'1+ 2- |' \
		'1+ 2- |' \
		'1+ 2- |'
}
@test "a create, then rm -r" {
	schedule 'mkdir e; put e/x 1' '
		rm -r $V1/e; put $V2/e/n 2; commits 2 1' \
		'2+ 1- | e/ e/n=2 e/x=1' \
		'2+ 1- | e/ e/n=2 e/x=1' \
		'2+ 1- | e/ e/n=2 e/x=1'
}
@test "rmdir and mkdir anew, then a create in it" {
	schedule 'mkdir e' '
		rmdir $V1/e; mkdir $V1/e; put $V2/e/n 2; commits 1 2' \
		'1+ 2- | e/' \
		'1+ 2- | e/' \
		'1+ 2+ | e/ e/n=2'
}
@test "rmdir, then a mkdir below it" {
	schedule 'mkdir e' '
		rmdir $V1/e; mkdir -p $V2/e/n/m; commits 1 2' \
		'1+ 2- |' \
		'1+ 2- |' \
		'1+ 2- |'
}
@test "rmdir, then a rename into it" {
	schedule 'mkdir e; put x 1' '
		rmdir $V1/e; move $V2/x $V2/e/x; commits 1 2' \
		'1+ 2- | x=1' \
		'1+ 2- | x=1' \
		'1+ 2- | x=1'
}

# A directory rename against what happens below it

@test "a rename, then a create below" {
	schedule 'mkdir -p d/s; put d/x 1' '
		move $V1/d $V1/m; put $V2/d/n 2; commits 1 2' \
		'1+ 2- | m/ m/s/ m/x=1' \
		'1+ 2- | m/ m/s/ m/x=1' \
		'1+ 2- | m/ m/s/ m/x=1'
}
@test "a create below, then a rename" {
	schedule 'mkdir -p d/s; put d/x 1' '
		move $V1/d $V1/m; put $V2/d/n 2; commits 2 1' \
		'2+ 1- | d/ d/n=2 d/s/ d/x=1' \
		'2+ 1- | d/ d/n=2 d/s/ d/x=1' \
		'2+ 1- | d/ d/n=2 d/s/ d/x=1'
}
@test "a create further down, then a rename" {
	schedule 'mkdir -p d/s' '
		move $V1/d $V1/m; put $V2/d/s/n 2; commits 2 1' \
		'2+ 1- | d/ d/s/ d/s/n=2' \
		'2+ 1- | d/ d/s/ d/s/n=2' \
		'2+ 1- | d/ d/s/ d/s/n=2'
}
@test "a rename, then an overwrite below" {
	schedule 'mkdir d; put d/x 1' '
		move $V1/d $V1/m; put $V2/d/x 2; commits 1 2' \
		'1+ 2- | m/ m/x=1' \
		'1+ 2- | m/ m/x=1' \
		'1+ 2- | m/ m/x=1'
}
@test "an overwrite below, then a rename" {
	schedule 'mkdir d; put d/x 1' '
		move $V1/d $V1/m; put $V2/d/x 2; commits 2 1' \
		'2+ 1- | d/ d/x=2' \
		'2+ 1- | d/ d/x=2' \
		'2+ 1- | d/ d/x=2'
}
@test "a chmod of a file below, then a rename" {
	schedule 'mkdir d; put d/x 1' '
		move $V1/d $V1/m; mode $V2/d/x 600; commits 2 1' \
		'2+ 1- | d/ d/x=1' \
		'2+ 1- | d/ d/x=1' \
		'2+ 1- | d/ d/x=1'
}
@test "a chmod of a directory below, then a rename" {
	schedule 'mkdir -p d/s' '
		move $V1/d $V1/m; mode $V2/d/s 700; commits 2 1' \
		'2+ 1- | d/ d/s/' \
		'2+ 1- | d/ d/s/' \
		'2+ 1- | d/ d/s/'
}
@test "two renames of one directory" {
	schedule 'mkdir d; put d/x 1' '
		move $V1/d $V1/m; move $V2/d $V2/n; commits 1 2' \
		'1+ 2- | m/ m/x=1' \
		'1+ 2- | m/ m/x=1' \
		'1+ 2- | m/ m/x=1'
}
@test "two renames that would make a circle" {
	schedule 'mkdir a b' '
		move $V1/a $V1/b/a; move $V2/b $V2/a/b; commits 1 2' \
		'1+ 2- | b/ b/a/' \
		'1+ 2- | b/ b/a/' \
		'1+ 2- | b/ b/a/'
}

# Attributes

@test "a chmod of what was read" {
	schedule "$XY" '
		sees 1 $(<$V1/x); put $V1/y 0; mode $live/x 600; commits 1' \
		'1:10 1- | x=10 y=20' \
		'1:10 1- | x=10 y=20' \
		'1:10 1+ | x=10 y=0'
}
@test "a chmod of a directory on the way" {
	schedule 'mkdir d; put d/x 1' '
		sees 1 $(<$V1/d/x); put $V1/y 0; mode $live/d 700; commits 1' \
		'1:1 1- | d/ d/x=1' \
		'1:1 1- | d/ d/x=1' \
		'1:1 1+ | d/ d/x=1 y=0'
}
@test "a chmod of a directory written into" {
	schedule 'mkdir d' '
		put $V1/d/x 1; mode $V2/d 700; commits 2 1' \
		'2+ 1- | d/' \
		'2+ 1- | d/' \
		'2+ 1+ | d/ d/x=1'
}
@test "a create in a directory that was chmod-ed" {
	schedule 'mkdir d' '
		mode $V1/d 700; put $V2/d/x 1; commits 2 1; sees 0 $(stat -c %a $live/d)' \
		'2+ 1+ 0:700 | d/ d/x=1' \
		'2+ 1+ 0:700 | d/ d/x=1' \
		'2+ 1+ 0:700 | d/ d/x=1'
}
@test "two chmods of one file" {
	schedule "$XY" '
		mode $V1/x 600; mode $V2/x 640; commits 1 2; sees 0 $(stat -c %a $live/x)' \
		'1+ 2- 0:600 | x=10 y=20' \
		'1+ 2+ 0:640 | x=10 y=20' \
		'1+ 2- 0:600 | x=10 y=20'
}
@test "two chmods of one directory" {
	schedule 'mkdir d' '
		mode $V1/d 700; mode $V2/d 750; commits 1 2; sees 0 $(stat -c %a $live/d)' \
		'1+ 2- 0:700 | d/' \
		'1+ 2- 0:700 | d/' \
		'1+ 2- 0:700 | d/'
}
@test "an overwrite of what was chmod-ed keeps the mode" {
	schedule "$XY" '
		put $V1/x 11; mode $V2/x 600; commits 2 1; sees 0 $(stat -c %a $live/x)' \
		'2+ 1- 0:600 | x=10 y=20' \
		'2+ 1+ 0:600 | x=11 y=20' \
		'2+ 1- 0:600 | x=10 y=20'
}
@test "a chmod of what was overwritten keeps the value" {
	schedule "$XY" '
		mode $V1/x 600; put $V2/x 11; commits 2 1; sees 0 $(stat -c %a $live/x)' \
		'2+ 1- 0:644 | x=11 y=20' \
		'2+ 1+ 0:600 | x=11 y=20' \
		'2+ 1- 0:644 | x=11 y=20'
}
@test "an rmdir of a directory that was chmod-ed" {
	schedule 'mkdir e' '
		rmdir $V1/e; mode $V2/e 700; commits 2 1' \
		'2+ 1- | e/' \
		'2+ 1- | e/' \
		'2+ 1- | e/'
}

# Links

@test "a link that was read and led elsewhere since" {
	schedule 'ln -s a l' '
		sees 1 $(readlink $V1/l); put $V1/out 1; ln -sfn b $live/l; commits 1' \
		'1:a 1- | l->b' \
		'1:a 1- | l->b' \
		'1:a 1+ | l->b out=1'
}
@test "a write through a link that led elsewhere since" {
	schedule 'put a 1; put b 1; ln -s a l' '
		put $V1/l 2; ln -sfn b $live/l; commits 1' \
		'1- | a=1 b=1 l->b' \
		'1- | a=1 b=1 l->b' \
		'1+ | a=2 b=1 l->b'
}
