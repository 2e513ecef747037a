#!/usr/bin/env bats
# Observation: what a command observes in a view is in the read set, exactly.
#
# A row is one command and the read set it must leave, as the contract (section 4) derives it
# from the system calls the command makes:
#
#   a name looked up       exists KEY (of a directory also its attributes), absent KEY
#   stat, access           value KEY        of a directory: nothing more
#   open for reading       value KEY        even when nothing is read
#   open for writing       nothing more     O_TRUNC or not
#   write without O_TRUNC  value KEY        truncate too
#   seek to the end        value KEY
#   readlink, following    value KEY
#   listing, rmdir         list DIR/        opendir alone: nothing
#   rename                 value of a file; list and value of all below a directory,
#                          of its directories `exists`: their attributes move too
#   unlink, chmod, utimens nothing more     (commands that do it stat first: value)
#   what it wrote itself   nothing
#
# `absent KEY` stands for exists with revision 0, and a key stands for one with the revision
# that it has; any other is shown as KEY@REVISION. The directory all commands run in is `.`; that
# it exists is recorded by every command, and left out.

load helpers

setup_file() {
	mount_own_store
	D=fix K=$MNT/keys/fix
	make_fixture
}
teardown_file() { unmount_own_store; }
setup() { D=fix K=$MNT/keys/fix; }
teardown() { end_processes; }

# known KIND KEY...: the newest revision is the one to be seen for these
known() {
	local kind=$1 key now
	now=$(revision)
	shift
	for key; do printf '%s\t%s\t%s\n' "$kind" "$key" "$now"; done >>"$BASE/revisions"
}

# Every revision differs from every other, so that none can be taken for another.
make_fixture() {
	local name
	mkdir "$K"; known exists fix
	for name in empty g p; do
		echo "$name" >"$K/$name"; known exists fix/$name
	done
	: >"$K/empty"; known value fix/empty
	echo "a value" >"$K/g"; known value fix/g
	chmod 600 "$K/p"; known value fix/p
	cp /bin/true "$K/bin"; known exists fix/bin; known value fix/bin
	chmod 755 "$K/bin"; known value fix/bin
	mkdir "$K/d"; known exists fix/d
	echo x >"$K/d/x"; known exists fix/d/x
	mkdir "$K/d/sub"; known exists fix/d/sub; known list fix/d/
	echo y >"$K/d/sub/y"; known exists fix/d/sub/y; known list fix/d/sub/
	echo yy >"$K/d/sub/y"; known value fix/d/sub/y
	echo xx >"$K/d/x"; known value fix/d/x
	chmod 750 "$K/d/sub"; known exists fix/d/sub
	mkdir "$K/e"; known exists fix/e; known list fix/e/
	chmod 711 "$K/e"; known exists fix/e
	ln -s f "$K/l"; known exists fix/l; known value fix/l
	ln -s "$K/f" "$K/out"; known exists fix/out; known value fix/out
	printf '#!/bin/sh\n' >"$K/script"; known exists fix/script
	chmod 755 "$K/script"; known value fix/script
	echo v >"$K/f"; known exists fix/f; known list fix/
	echo value >"$K/f"; known value fix/f
}

# As a list on one line, with what is expected of revisions left out
normalise() {
	awk -F'\t' '
		NR == FNR { known[$1, $2] = $3; next }
		NF != 3 { printf "%sNOT A LINE: %s", comma, $0; comma = ", "; next }
		{
			kind = $1
			key = $3
			if (kind == "exists" && $2 == 0 && !((kind, key) in known))
				kind = "absent"
			else if (known[kind, key] != $2)
				key = key "@" $2
			if (kind == "exists" && key == "fix")
				next
			if (key == "fix/")
				key = "./"
			sub(/^fix\//, "", key)
			sub(/sed[A-Za-z0-9]+$/, "sed*", key)
			printf "%s%s %s", comma, kind, key
			comma = ", "
		}' "$BASE/revisions" "$1"
}

# reads_of COMMAND...: the read set that it leaves in this round
reads_of() {
	(cd "$V" && "$@") >/dev/null 2>"$BASE/stderr" || fail "status $?: $*: $(cat "$BASE/stderr")" || return 1
	normalise "$T/reads"
}

# In a fresh transaction, and, unless `only_first`, in the next round, when the kernel knows the
# names: calls that ask it for nothing but a name leave nothing there.
leaves() {
	local wanted=$1 got
	shift
	begin
	got=$(reads_of "$@") || return 1
	is "$got" "$wanted" "$*"
	if [ -z "${only_first-}" ]; then
		echo >"$T/restart"
		got=$(reads_of "$@") || return 1
		is "$got" "$wanted" "$* (after a restart)"
	fi
	rmdir "$T"
}

# The rows: COMMAND leaves WANTED, from both shells; or a line of python.
row() {
	leaves "$2" bash -c "$1"
	leaves "$2" dash -c "$1"
}
python() {
	leaves "$2" "$PYTHON" -I -S -c "import os
from os import *
from builtins import open
$1"
}

# Values

@test "cat: the value" { row 'cat f' 'exists f, value f'; }
@test "cat of an empty file: the value, though nothing is read" { row 'cat empty' 'exists empty, value empty'; }
@test "cat of an absent name: its absence" { row '! cat no' 'absent no'; }
@test "cat below an absent directory: the first name that is missing" { row '! cat no/x' 'absent no'; }
@test "cat below a file: that name" { only_first=1 row '! cat f/x' 'exists f'; }
@test "cat in a directory: the directory exists, its value is not a thing" { row 'cat d/x' 'exists d, exists d/x, value d/x'; }
@test "cat of two: both" { row 'cat f g' 'exists f, value f, exists g, value g'; }
@test "head -c1: the value" { row 'head -c1 f' 'exists f, value f'; }
@test "wc -c <: the value, though nothing is read" { row 'wc -c <f' 'exists f, value f'; }
@test ": < opens, and that is the value" { row ': <f' 'exists f, value f'; }
@test "read < : the value" { row 'read -r x <f' 'exists f, value f'; }
@test "grep: the value" { row 'grep -q value f' 'exists f, value f'; }
@test "grep -r: all below, names, listings and values" {
	row '! grep -r nothing d' \
		'exists d, list d/, exists d/sub, list d/sub/, exists d/sub/y, value d/sub/y, exists d/x, value d/x'
}

# Attributes

@test "stat: the value" { row 'stat f' 'exists f, value f'; }
@test "stat without asking the server is no observation but of the name" { only_first=1 row 'stat --cached=always f' 'exists f'; }
@test "stat of a directory: its name and no more" { row 'stat d' 'exists d'; }
@test "stat of . : nothing" { row 'stat .' ''; }
@test "stat -f: the name" { row 'stat -f f' 'exists f'; }
@test "[ -e ]: a stat" { row '[ -e f ]' 'exists f, value f'; }
@test "[ -e absent ]: its absence" { row '! [ -e no ]' 'absent no'; }
@test "[ -f ] and [ -d ] of a file: a stat" { row '[ -f f ]; ! [ -d g ]' 'exists f, value f, exists g, value g'; }
@test "[ -d ]: the directory's name" { row '[ -d d ]' 'exists d'; }
@test "[ -s ]: a stat" { row '[ -s f ]' 'exists f, value f'; }
@test "[ -s ] and a blind write to another" { row '[ -s f ] && echo w >g' 'exists f, value f, exists g'; }
@test "[ -s ] and a blind write to the same: the stat is not lost in the open" { row '[ -s f ] && echo w >f' 'exists f, value f'; }
@test "a blind write and [ -s ] of the same: its own" { row 'echo w >f; [ -s f ]' 'exists f'; }
@test "[ -s ] after a blind write to another" { row 'echo w >g; [ -s f ]' 'exists f, value f, exists g'; }
@test "[ a -nt b ]: two stats" { row '! [ f -nt no ] || :; [ g -nt f ] || :' 'exists f, value f, exists g, value g, absent no'; }
@test "[ a -nt b ] of the two files only" { row '! [ g -nt f ]' 'exists f, value f, exists g, value g'; }
@test "test -r, -w, -x: permission is an attribute" {
	row 'test -r f' 'exists f, value f'
	row 'test -w f' 'exists f, value f'
	row '! test -x f' 'exists f, value f'
}
@test "test -r, -x of a directory: its name" { row 'test -r d && test -x d' 'exists d'; }
@test "test -r absent: its absence" { row '! test -r no' 'absent no'; }
@test "test -L: a stat of the link" { row 'test -L l' 'exists l, value l'; }
@test "cd: the directory's name" { row 'cd d/sub' 'exists d, exists d/sub'; }
@test "an external command alone: nothing" { row '/bin/true; /bin/true' ''; }

# Listings

@test "ls: the listing" { row 'ls d' 'exists d, list d/'; }
@test "ls of . : the listing" { row 'ls' 'list ./'; }
@test "ls -l: listing and a stat of each" { row 'ls -l d' 'exists d, list d/, exists d/sub, exists d/x, value d/x'; }
@test "ls -ld: the directory's name" { row 'ls -ld d' 'exists d'; }
@test "ls of a file: a stat" { row 'ls f' 'exists f, value f'; }
@test "ls of an empty directory: the listing" { row 'ls e' 'exists e, list e/'; }
@test "echo *: the listing" { row 'echo *' 'list ./'; }
@test "find: listings all the way down, no file" { row 'find d' 'exists d, list d/, exists d/sub, list d/sub/'; }
@test "find -type f: the same" { row 'find d -type f' 'exists d, list d/, exists d/sub, list d/sub/'; }
@test "find -size: and a stat of each file" {
	row 'find d -type f -size +0' \
		'exists d, list d/, exists d/sub, list d/sub/, exists d/sub/y, value d/sub/y, exists d/x, value d/x'
}

# Writing

@test "echo > existing: its name" { row 'echo w >f' 'exists f'; }
@test "echo > new: its absence" { row 'echo w >new' 'absent new'; }
@test "echo > in a directory: both names, not the directory's entries" { row 'echo w >d/new' 'exists d, absent d/new'; }
@test "echo >> existing: the value" { row 'echo w >>f' 'exists f, value f'; }
@test "echo >> new: its absence" { row 'echo w >>new; echo w >>new' 'absent new'; }
@test ": > : the name" { row ': >f' 'exists f'; }
@test ": >> writes nothing: the name" { row ': >>f' 'exists f'; }
@test "tee: the name; tee -a: the value" {
	row 'echo w | tee f' 'exists f'
	row 'echo w | tee -a f' 'exists f, value f'
}
@test "echo > twice: the name" { row 'echo w >f; echo w >f; cat f' 'exists f'; }
@test "echo > f; echo >> f: its own value" { row 'echo w >f; echo w >>f; cat f' 'exists f'; }
@test "cp to a new name: the value read, the absence" { row 'cp f new' 'exists f, value f, absent new'; }
@test "cp over another: cp stats it" { row 'cp f g' 'exists f, value f, exists g, value g'; }
@test "cat f > g: g is written blindly" { row 'cat f >g' 'exists f, value f, exists g'; }
@test "dd: the input's value, the output's name" { row 'dd if=f of=g' 'exists f, value f, exists g'; }
@test "dd conv=notrunc: the value" { row 'echo w | dd of=f conv=notrunc' 'exists f, value f'; }
@test "truncate -s: the value" {
	row 'truncate -s 2 f' 'exists f, value f'
	row 'truncate -s +2 f' 'exists f, value f'
}
@test "truncate of an absent name: its absence" { row 'truncate -s 2 new' 'absent new'; }
@test "touch existing: opens and sets the time, the name" { row 'touch f' 'exists f'; }
@test "touch -a: its name, and nothing is written" { row 'touch -a f' 'exists f'; }
@test "touch new: its absence" { row 'touch new' 'absent new'; }
@test "touch -c absent: its absence" { row 'touch -c no' 'absent no'; }
@test "chmod: the command stats, the value" { row 'chmod 600 f' 'exists f, value f'; }
@test "chown: the command stats, the value" { row 'chown 1:1 f' 'exists f, value f'; }
@test "chmod of a directory: its name" { row 'chmod 700 d' 'exists d'; }
@test "sed -i: the value, the scratch name's absence" { row 'sed -i s/v/w/ f' 'exists f, value f, absent sed*'; }

# Names

@test "mv to a new name: the value" { row 'mv f new' 'exists f, value f, absent new'; }
@test "mv over another: mv stats it" { row 'mv f g' 'exists f, value f, exists g, value g'; }
@test "mv into a directory: the value, the name there" { row 'mv f d' 'exists d, absent d/f, exists f, value f'; }
@test "mv of a directory: all below" {
	row 'mv d new' 'exists d, list d/, exists d/sub, list d/sub/, value d/sub/y, value d/x, absent new'
}
@test "mv of an empty directory: its listing" { row 'mv e new' 'exists e, list e/, absent new'; }
@test "mv of a link: its value, not the target's" { row 'mv l new' 'exists l, value l, absent new'; }
@test "rm: the command stats, the value" { row 'rm f' 'exists f, value f'; }
@test "rm -f absent: its absence" { row 'rm -f no' 'absent no'; }
@test "rm -r: listings and names, no values" {
	row 'rm -r d' 'exists d, list d/, exists d/sub, list d/sub/, exists d/sub/y, exists d/x'
}
@test "rmdir: the listing" { row 'rmdir e' 'exists e, list e/'; }
@test "rmdir of what is not empty: the listing" { row '! rmdir d' 'exists d, list d/'; }
@test "mkdir: the absence" { row 'mkdir new' 'absent new'; }
@test "mkdir of an existing file or directory: the name" {
	row '! mkdir f' 'exists f'
	row '! mkdir d' 'exists d'
}
@test "mkdir -p: each name of the path" {
	row 'mkdir -p d' 'exists d'
	row 'mkdir -p d/n' 'exists d, absent d/n'
	row 'mkdir -p d/sub/n' 'exists d, exists d/sub, absent d/sub/n'
}
@test "mkdir -p below a new directory" { row 'mkdir -p n/m' 'absent n, absent n/m'; }

# Links

@test "ln -s: the absence" { row 'ln -s x new' 'absent new'; }
@test "readlink: the link's value" { row 'readlink l' 'exists l, value l'; }
@test "readlink of a file: its name" { only_first=1 row '! readlink f' 'exists f'; }
@test "cat of a link: the values of link and target" { row 'cat l' 'exists f, value f, exists l, value l'; }
@test "[ -e link ]: the same" { row '[ -e l ]' 'exists f, value f, exists l, value l'; }
@test "echo > link: the link's value, the target's name" { row 'echo w >l' 'exists f, exists l, value l'; }
@test "a link out of the view: the link's value and no more" { row 'cat out' 'exists out, value out'; }

# Running

@test "exec of a script: its value" { row './script' 'exists script, value script'; }
@test "exec of a program: its value" { row './bin' 'exists bin, value bin'; }
@test "sourcing: the value" { row '. ./script' 'exists script, value script'; }

# System calls by themselves, from python

@test "python: open and read, or open only" {
	python 'open("f").read()' 'exists f, value f'
	python 'open("f")' 'exists f, value f'
	python 'open("f", "rb", 0).read(1)' 'exists f, value f'
}
@test "python: open('w'), open('a'), open('r+'), open('x')" {
	python 'open("f", "w").write("w")' 'exists f'
	python 'open("f", "a").write("w")' 'exists f, value f'
	python 'open("f", "a")' 'exists f, value f'
	python 'open("f", "r+").write("w")' 'exists f, value f'
	python 'open("new", "x").write("w")' 'absent new'
}
@test "python: os.stat, os.lstat, os.path.exists" {
	python 'os.stat("f")' 'exists f, value f'
	python 'lstat("l")' 'exists l, value l'
	python 'path.exists("f"); path.exists("no")' 'exists f, value f, absent no'
	python 'os.stat("d"); os.stat("d/sub")' 'exists d, exists d/sub'
}
@test "python: os.access" {
	python 'assert access("f", R_OK)' 'exists f, value f'
	python 'assert access("d", R_OK | W_OK | X_OK)' 'exists d'
}
@test "python: os.scandir lists, and looks at nothing" {
	python 'list(scandir("d"))' 'exists d, list d/'
	python '[(i.is_file(), i.is_dir(), i.is_symlink()) for i in scandir("d")]' 'exists d, list d/'
	python '[i.stat() for i in scandir("d")]' 'exists d, list d/, exists d/sub, exists d/x, value d/x'
}
@test "python: os.walk" { python 'list(walk("d"))' 'exists d, list d/, exists d/sub, list d/sub/'; }
@test "opendir alone observes no listing" { python 'close(os.open("d", O_RDONLY | O_DIRECTORY))' 'exists d'; }
@test "fstat of an open directory: its name" { python 'fstat(os.open("d", O_RDONLY))' 'exists d'; }
@test "O_PATH: the name; fstat of it: the value" {
	only_first=1 python 'os.open("f", O_PATH)' 'exists f'
	python 'fstat(os.open("f", O_PATH))' 'exists f, value f'
}
@test "open for writing without a write: the name" {
	python 'close(os.open("f", O_WRONLY))' 'exists f'
	python 'close(os.open("f", O_WRONLY | O_APPEND))' 'exists f'
	python 'close(os.open("f", O_WRONLY | O_CREAT))' 'exists f'
}
@test "the first write without O_TRUNC: the value" {
	python 'pwrite(os.open("f", O_WRONLY), b"w", 3)' 'exists f, value f'
	python 'write(os.open("f", O_WRONLY), b"w" * 100)' 'exists f, value f'
	python 'write(os.open("f", O_WRONLY | O_APPEND), b"w")' 'exists f, value f'
	python 'ftruncate(os.open("f", O_WRONLY), 2)' 'exists f, value f'
	python 'truncate("f", 2)' 'exists f, value f'
}
@test "O_TRUNC: the name, whatever follows on that handle" {
	python 'i = os.open("f", O_RDWR | O_TRUNC); write(i, b"w"); pread(i, 9, 0)' 'exists f'
	python 'i = os.open("f", O_RDWR | O_TRUNC); pread(i, 9, 0)' 'exists f'
	python 'i = os.open("f", O_WRONLY | O_TRUNC); fstat(i); lseek(i, 0, 2)' 'exists f'
	python 'i = os.open("f", O_WRONLY | O_TRUNC | O_APPEND); write(i, b"w")' 'exists f'
}
@test "O_RDWR: the value" { python 'close(os.open("f", O_RDWR))' 'exists f, value f'; }
@test "seek to the end: the value; to elsewhere: the name" {
	python 'lseek(os.open("f", O_WRONLY), 0, 2)' 'exists f, value f'
	python 'lseek(os.open("f", O_WRONLY), 3, 0)' 'exists f'
}
@test "fstat of a handle that observed nothing: the value" { python 'fstat(os.open("f", O_WRONLY))' 'exists f, value f'; }
@test "O_EXCL on an existing name: the name" {
	python 'try: os.open("f", O_WRONLY | O_CREAT | O_EXCL)
except FileExistsError: pass' 'exists f'
}
@test "O_CREAT for reading: the value" {
	python 'os.open("f", O_RDONLY | O_CREAT)' 'exists f, value f'
	python 'read(os.open("new", O_RDONLY | O_CREAT), 1)' 'absent new'
}
@test "mmap: the value" {
	python 'import mmap
mmap.mmap(os.open("f", O_RDONLY), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)[0]' 'exists f, value f'
}
@test "sendfile, copy_file_range: the value read, the name written" {
	python 'sendfile(os.open("g", O_WRONLY | O_TRUNC), os.open("f", O_RDONLY), 0, 9)' 'exists f, value f, exists g'
	python 'copy_file_range(os.open("f", O_RDONLY), os.open("g", O_WRONLY | O_TRUNC), 9)' 'exists f, value f, exists g'
}
@test "unlink(2): the name" { python 'unlink("f")' 'exists f'; }
@test "unlink(2) of an absent name: its absence" {
	python 'try: unlink("no")
except FileNotFoundError: pass' 'absent no'
}
@test "rename(2): the value" { python 'rename("f", "new")' 'exists f, value f, absent new'; }
@test "rename(2) over another: that one's name only" { python 'rename("f", "g")' 'exists f, value f, exists g'; }
@test "rename(2) over an empty directory: that it was empty" { python 'mkdir("n"); rename("n", "e")' 'exists e, list e/, absent n'; }
@test "rename(2) over a directory that is not empty: that it was not" {
	python 'try: rename("e", "d")
except OSError: pass' 'exists d, list d/, exists e, list e/'
}
@test "rename(2) that exchanges: both values" {
	python 'import ctypes
assert ctypes.CDLL(None).renameat2(-100, b"f", -100, b"g", 2) == 0' 'exists f, value f, exists g, value g'
}
@test "chmod(2), chown(2), utimensat(2): the name" {
	python 'chmod("f", 0o600)' 'exists f'
	python 'chown("f", 1, 1)' 'exists f'
	python 'utime("f", (1, 1))' 'exists f'
	python 'utime("f")' 'exists f'
	python 'fchmod(os.open("f", O_WRONLY), 0o600)' 'exists f'
}
@test "rmdir(2): the listing" { python 'rmdir("e")' 'exists e, list e/'; }
@test "symlink(2) on an existing name: the name" {
	python 'try: symlink("x", "f")
except FileExistsError: pass' 'exists f'
}
@test "statvfs: the name" { python 'statvfs("f")' 'exists f'; }

# Its own doing

@test "what it created: its absence before, and no more" {
	row 'echo w >new; cat new; stat new; ls -l new; echo w >>new; touch new; chmod 600 new' 'absent new'
	row 'ln -s x new; readlink new; stat new' 'absent new'
	row 'mkdir new; ls -l new; stat new; rmdir new' 'absent new'
}
@test "what it overwrote: its name" { row 'echo w >f; stat f; cat f; test -r f; chmod 600 f; mv f new' 'exists f, absent new'; }
@test "what it deleted: its name" {
	python 'unlink("f"); path.exists("f"); open("f", "w").write("w"); open("f").read()' 'exists f'
}
@test "what it moved: the value before" { row 'mv f new; cat new; stat new; ! cat f' 'exists f, value f, absent new'; }
@test "what it moved with a directory: the values before" {
	row 'mv d new; cat new/x new/sub/y; ls -l new' \
		'exists d, list d/, exists d/sub, list d/sub/, value d/sub/y, value d/x, absent new'
}
@test "what it changed the attributes of: the rest is still observed" {
	python 'chmod("f", 0o600); os.stat("f")' 'exists f, value f'
	python 'chmod("f", 0o600); open("f").read()' 'exists f, value f'
}
@test "an entry it added does not hide the listing" { row 'echo w >d/new; ls d' 'exists d, list d/, absent d/new'; }

# Telling stat(2) from the permission check of open(2)

@test "stat, then open by the same thread: both count" {
	python 'os.stat("f"); os.open("f", O_WRONLY)' 'exists f, value f'
	python 'os.stat("f"); os.open("f", O_WRONLY | O_TRUNC)' 'exists f, value f'
}
@test "open, then stat by the same thread" { python 'os.open("f", O_WRONLY); os.stat("f")' 'exists f, value f'; }
@test "stat by one process, then a blind write by another: the stat counts" {
	row 'stat f; echo w >f' 'exists f, value f'
	row 'n=$(stat -c %s f); echo $n >f' 'exists f, value f'
}
@test "stat by one process, then removal or replacement by another: the stat counts" {
	python 'if fork() == 0: os.stat("f"); _exit(0)
wait(); unlink("f")' 'exists f, value f'
	python 'if fork() == 0: os.stat("g"); _exit(0)
wait(); rename("f", "g")' 'exists f, value f, exists g, value g'
}
@test "stat by a thread that makes no other request, then an open by another" {
	python 'import threading
def run(f, *args):
	t = threading.Thread(target=f, args=args); t.start(); t.join()
run(os.stat, "f"); run(os.open, "f", O_WRONLY | O_TRUNC)' 'exists f, value f'
}
@test "opens by many threads: none leaves a stat behind" {
	python 'import threading
def opens():
	for i in range(50): close(os.open("f", O_WRONLY)); close(os.open("g", O_WRONLY))
threads = [threading.Thread(target=opens) for i in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]' 'exists f, exists g'
}
@test "a refused open has observed the permission" {
	as_user "$USER_A" mkdir "$MNT/txn/$D.user"
	as_user "$USER_A" "$FSOP" open 0 "$MNT/txn/$D.user/keys/fix/p" O_RDONLY || true
	is "$(normalise "$MNT/txn/$D.user/reads")" 'exists p, value p'
}
@test "a refused write has observed the permission" {
	as_user "$USER_A" mkdir "$MNT/txn/$D.user"
	as_user "$USER_A" dash -c "! echo w >$MNT/txn/$D.user/keys/fix/f"
	is "$(normalise "$MNT/txn/$D.user/reads")" 'exists f, value f'
}
@test "an open by an ordinary user: no more than root's" {
	as_user "$USER_A" mkdir "$MNT/txn/$D.user"
	as_user "$USER_A" "$FSOP" open 0 "$MNT/txn/$D.user/keys/fix/f" O_RDONLY,O_PATH
	is "$(normalise "$MNT/txn/$D.user/reads")" 'exists f'
}

# Outside, before and after

@test "the live tree, control files and links into them: nothing" {
	row 'cat ../../status ../../reads ../../writes ../../conflicts ../../commit; ls -l ../..' ''
	row "cat $K/f; ls -l $K" ''
}
@test "a committed view records nothing" {
	begin
	commit ok "$T"
	cat "$V/f"
	ls -l "$V"
	is "$(cat "$T/reads")" ''
}
@test "restart forgets, and the next round records again" {
	begin
	(cd "$V" && cat f d/x && ls -l)
	echo >"$T/restart"
	is "$(cat "$T/reads")" ''
	is "$(field reads "$T/status")" 0
	cat "$V/f"
	is "$(normalise "$T/reads")" 'exists f, value f'
}
@test "restart: a stat of the old round is not one of the new" {
	local how
	for how in open conflict; do
		begin
		if [ $how = conflict ]; then
			mkdir "$T/keys/n$how"
			mkdir "$MNT/keys/n$how"
			commit ECANCELED "$T"
			rmdir "$MNT/keys/n$how"
		fi
		# A process of its own, whose last request this is
		"$FSOP" stat "$V/g" >/dev/null
		echo >"$T/restart"
		is "$(cat "$T/reads")" '' "$how"
		rmdir "$T"
	done
}
@test "restart: what other processes hold open is looked up and recorded again" {
	begin
	process w
	process s
	asked ok w chdir "$V/d/sub"
	asked ok s open 0 "$V/d/x" O_RDONLY
	cat "$V/d/sub/y" "$V/d/x"
	echo >"$T/restart"
	is "$(cat "$T/reads")" ''
	cat "$V/d/sub/y" "$V/d/x"
	is "$(normalise "$T/reads")" \
		'exists d, exists d/sub, exists d/sub/y, value d/sub/y, exists d/x, value d/x'
}
@test "restart: directories are recorded again, though the kernel knows their names" {
	begin
	ls "$V/d" "$V/d/sub" "$V/e"
	echo >"$T/restart"
	ls "$V/e"
	cat "$V/d/x"
	is "$(normalise "$T/reads")" 'exists d, exists d/x, value d/x, exists e, list e/'
	echo >"$T/restart"
	[ -d "$V/d/sub" ]
	is "$(normalise "$T/reads")" 'exists d, exists d/sub'
}
@test "restart: a directory in which a process works is looked up and recorded again" {
	begin
	process w
	asked ok w chdir "$V/d"
	echo >"$T/restart"
	cat "$V/d/x"
	is "$(normalise "$T/reads")" 'exists d, exists d/x, value d/x'
}
@test "restart: what is in use further down is gone or recorded again, directories too" {
	mkdir -p "$K/h/sub/deep"
	echo 1 >"$K/h/x"
	echo 1 >"$K/h/sub/deep/z"
	begin
	process s
	asked ok s open 0 "$V/h/sub/deep/z" O_RDONLY
	echo >"$T/restart"
	cat "$V/h/x"
	[ -d "$V/h/sub" ]
	is "$(normalise "$T/reads" | sed 's/@[0-9]*//g')" \
		'exists h, exists h/sub, exists h/x, value h/x'
	rm -r "$K/h/sub"
	echo >"$T/restart"
	cat "$V/h/x"
	gone "$V/h/sub"
	expect ok mkdir "$V/h/sub"
	rm -r "$K/h"
}
@test "restart: what was written before a rebase is gone" {
	begin
	echo mine >"$V/w"
	echo >"$T/rebase"
	echo >"$T/restart"
	expect ENOENT open 0 "$V/w/x" O_WRONLY,O_CREAT,O_EXCL
	expect ok mkdir "$V/w"
}
@test "restart: a working directory is used again, and what is read in it recorded" {
	begin
	process w
	asked ok w chdir "$V/d"
	asked ok w open 0 x O_RDONLY
	echo >"$T/restart"
	asked ok w open 1 x O_RDONLY
	like "$(normalise "$T/reads")" 'exists d/x, value d/x$'
	cat "$V/d/sub/y"
	is "$(normalise "$T/reads")" 'exists d, exists d/sub, exists d/sub/y, value d/sub/y, exists d/x, value d/x'
}
@test "isolation is still free after a look at the control files, not after one at a key" {
	begin
	ls -l "$T" >/dev/null
	expect ok open 0 "$T/isolation" O_WRONLY : line 0 snapshot
	[ -e "$V/f" ]
	expect EBUSY open 0 "$T/isolation" O_WRONLY : line 0 serializable
}
