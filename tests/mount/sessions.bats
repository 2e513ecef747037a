#!/usr/bin/env bats
# What becomes of a file that is open for writing when others are quick: other users, other
# processes with the same descriptor, transactions, a full disk, the end of the mount.
# shellcheck disable=SC2030,SC2031 # every test is a process of its own

load helpers

setup_file() { mount_own_store --max-value=1M; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() { end_processes; }

# python CODE ARG...: with M the mount, K the test's directory, and txn(name, function)
python() {
	local code=$1
	shift
	timeout 60 "$PYTHON" - "$MNT" "$K" "$D" "$@" <<-PY
	import errno, os, subprocess, sys, threading, time
	M, K, D = sys.argv[1:4]
	def put(path, text):
	    with open(path, 'w') as f: f.write(text)
	def get(path):
	    with open(path) as f: return f.read()
	def txn(name, change):
	    t = f'{M}/txn/{D}.{name}'
	    os.mkdir(t)
	    change(f'{t}/keys/{D}/')
	    put(t + '/commit', 'test\n')
	    os.rmdir(t)
	$(sed "s/^\t//" <<<"$code")
	PY
}

# Programs that replace themselves

@test "who replaces itself with a file open close-on-exec does not stop the mount" {
	python "
	fd = os.open(K + '/own', os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
	os.write(fd, b'own')
	kept = os.open(K + '/kept', os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
	os.write(kept, b'ke')
	for i in range(8):
	    child = os.fork()
	    if child == 0:
	        os.execv('/bin/true', ['true'])
	    os.waitpid(child, 0)
	# The child's copies are gone, ours are not.
	for name in ('own', 'kept'):
	    assert subprocess.run(['cat', K + '/' + name], capture_output=True).returncode == 1
	os.write(kept, b'pt')
	os.close(kept)
	os.execv('/bin/true', ['true'])
	"
	is "$(cat "$K/own" "$K/kept")" ownkept
}

# What it sees of itself

@test "a writer's stat has the blocks of the size it shows" {
	head -c 5000 /dev/zero >"$K/f"
	python "
	def seen(status): return status.st_size, status.st_blocks
	fd = os.open(K + '/f', os.O_WRONLY | os.O_TRUNC)
	assert seen(os.fstat(fd)) == (0, 0), os.fstat(fd)
	os.write(fd, b'x' * 600)
	assert seen(os.fstat(fd)) == (600, 2), os.fstat(fd)
	assert seen(os.stat(K + '/f')) == (600, 2)
	os.close(fd)
	assert seen(os.stat(K + '/f')) == (600, 2)
	"
}

# Names that are reserved

@test "who opens a name that another user has reserved with 0600 is refused" {
	chmod 1777 "$K"
	process w
	asked ok w open 0 "$K/secret" O_WRONLY,O_CREAT,O_EXCL 0600
	run as_user "$USER_A" "$FSOP" open 0 "$K/secret" O_RDWR,O_CREAT
	like "$output" EACCES
	asked ok w line 0 password
	asked ok w close 0
	expect '0600 0' stat "$K/secret" mode,uid
	is "$(cat "$K/secret")" password
}

@test "the file is his who reserved the name, whoever commits first" {
	chmod 1777 "$K"
	process creator sh -c 'umask 0; exec "$@"' -
	asked ok creator open 0 "$K/shared" O_WRONLY,O_CREAT 0666
	as_user "$USER_A" "$FSOP" open 0 "$K/shared" O_WRONLY,O_CREAT : line 0 theirs : fsync 0 : close 0
	expect '0666 0' stat "$K/shared" mode,uid
	asked ok creator line 0 mine
	asked ok creator close 0
	expect '0666 0' stat "$K/shared" mode,uid
}

@test "a name that a transaction made meanwhile is written once, and the next write too" {
	python '
	fd = os.open(K + "/f", os.O_CREAT | os.O_WRONLY)
	txn("a", lambda v: put(v + "f", "txn"))
	os.write(fd, b"A"); os.fsync(fd)
	os.write(fd, b"B"); os.fsync(fd)
	os.close(fd)
	assert get(K + "/f") == "ABn", get(K + "/f")
	'
}

@test "truncate by path cuts a file that is only reserved" {
	python '
	fd = os.open(K + "/f", os.O_CREAT | os.O_WRONLY)
	os.write(fd, b"0123456789")
	os.truncate(K + "/f", 4)
	os.close(fd)
	assert get(K + "/f") == "0123"
	'
}

# Who ends, and how

@test "exit in another thread than the first is no kill" {
	python '
	put(K + "/f", "old")
	if os.fork() == 0:
	    fd = os.open(K + "/f", os.O_WRONLY | os.O_TRUNC)
	    os.write(fd, b"new")
	    threading.Thread(target=lambda: os._exit(0)).start()
	    time.sleep(10)
	os.wait()
	assert get(K + "/f") == "new", get(K + "/f")
	'
}

@test "a killed process does not silence others with the same descriptor" {
	bash -c '( sleep 60 & echo $! >"$2/pid"; (sleep 0.6; echo hello) & ) >"$1"' - "$K/f" \
		"$BATS_TEST_TMPDIR" 3>&-
	eventually 5 test -s "$BATS_TEST_TMPDIR/pid"
	kill -9 "$(cat "$BATS_TEST_TMPDIR/pid")"
	eventually 5 holds "$K/f" hello
}

@test "a session whose write was refused says so at fsync, and commits nothing" {
	echo old >"$K/f"
	expect ok open 0 "$K/f" O_WRONLY : write 0 new
	process w
	asked ok w open 0 "$K/f" O_WRONLY
	asked ok w write 0 part
	asked EFBIG w ftruncate 0 2000000
	asked EFBIG w fsync 0
	kill_process w
	is "$(cat "$K/f")" $'new'
}

@test "opening read-only with O_TRUNC cuts, in a commit of its own, at once" {
	echo old >"$K/f"
	grows 1 expect 0 open 0 "$K/f" O_RDONLY,O_TRUNC : fstat 0 size
	is "$(stat -c %s "$K/f")" 0
	echo old >"$K/f"
	begin
	grows 0 expect 0 open 0 "$V/f" O_RDONLY,O_TRUNC : fstat 0 size
	is "$(cat "$K/f")" old
	commit ok "$T"
	is "$(stat -c %s "$K/f")" 0
	# Of one's own that is not committed yet, too.
	expect '' open 0 "$K/n" O_WRONLY,O_CREAT : write 0 text : open 1 "$K/n" O_RDONLY,O_TRUNC : read 1 : close 0
	is "$(stat -c %s "$K/n")" 0
}

# Transactions under an open file

@test "a session follows a file that a transaction renames" {
	python '
	put(K + "/f", "old")
	fd = os.open(K + "/f", os.O_WRONLY | os.O_TRUNC)
	os.write(fd, b"new")
	txn("a", lambda v: os.rename(v + "f", v + "g"))
	os.close(fd)
	assert get(K + "/g") == "new", get(K + "/g")
	assert not os.path.exists(K + "/f")
	'
}

@test "an appender follows it too, before and after" {
	python '
	put(K + "/log", "0")
	fd = os.open(K + "/log", os.O_WRONLY | os.O_APPEND)
	os.write(fd, b"1")
	txn("a", lambda v: os.rename(v + "log", v + "log.old"))
	os.write(fd, b"2"); os.fsync(fd); os.close(fd)
	assert get(K + "/log.old") == "012", get(K + "/log.old")
	'
}

@test "fstat of a file works when a transaction has replaced or removed it" {
	python '
	def replace(v):
	    put(v + "tmp", "newer")
	    os.rename(v + "tmp", v + "f")
	for change in replace, lambda v: os.unlink(v + "f"):
	    put(K + "/f", "v1")
	    fd = os.open(K + "/f", os.O_RDONLY)
	    txn("a", change)
	    assert os.fstat(fd).st_size == 2
	    assert os.pread(fd, 10, 0) == b"v1"
	    os.close(fd)
	'
}

@test "a listing from before does not take a newer file from its writer" {
	python '
	os.mkdir(K + "/d")
	def fill(v):
	    for i in range(1500): put(v + "d/%05d" % i, "x")
	txn("a", fill)
	listing = os.scandir(K + "/d")
	next(listing)
	put(K + "/d/.tmp", "y")
	os.rename(K + "/d/.tmp", K + "/d/01200")
	fd = os.open(K + "/d/01200", os.O_WRONLY | os.O_TRUNC)
	os.write(fd, b"precious")
	for entry in listing: os.stat(K + "/d/" + entry.name)
	os.fsync(fd); os.close(fd)
	assert get(K + "/d/01200") == "precious", get(K + "/d/01200")
	'
}

@test "attributes of directories are never from before a commit that was acknowledged" {
	python '
	stop = False
	def stat_all(k):
	    while not stop:
	        for i in range(300):
	            try: os.stat(K + "/%d/%d" % (k, i))
	            except OSError: pass
	wrong = 0
	for k in range(6):
	    stop = False
	    def make(v):
	        os.mkdir(v + str(k))
	        for i in range(300): os.mkdir(v + "%d/%d" % (k, i))
	    txn("make%d" % k, make)
	    threads = [threading.Thread(target=stat_all, args=(k,)) for _ in range(2)]
	    for t in threads: t.start()
	    def change(v):
	        for i in range(300): os.chmod(v + "%d/%d" % (k, i), 0o700)
	    txn("chmod%d" % k, change)
	    stop = True
	    for t in threads: t.join()
	    for i in range(300): wrong += os.stat(K + "/%d/%d" % (k, i)).st_mode & 0o777 != 0o700
	assert wrong == 0, wrong
	'
}

# Failure, and the end

# own_store SIZE: another store, on a disk of SIZE, in MNT
own_store() {
	base_directory
	mkdir "$BASE/disk"
	mount -t tmpfs -o "size=$1" commitfs-test "$BASE/disk" || skip "cannot mount a small disk"
	STORE=$BASE/disk/store
	"$COMMITFS" init "$STORE"
	mount_store
}

leave_own_store() {
	unmount_store
	umount "$BASE/disk"
	check_log
	rm -rf --one-file-system "$BASE"
}

@test "what could not be committed for want of space is committed when there is some" {
	own_store 96m
	echo old-old-old >"$MNT/keys/a"
	timeout 100 "$PYTHON" - "$MNT/keys/" "$BASE/disk/fill" <<-'PY'
	import os, sys, time
	K, filler = sys.argv[1:]
	a = os.open(K + 'a', os.O_WRONLY | os.O_TRUNC); os.write(a, b'NEW1')
	n = os.open(K + 'n', os.O_WRONLY | os.O_CREAT); os.write(n, b'NEW1')
	log = os.open(K + 'log', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
	os.write(log, b'line1\n'); os.fsync(log); os.write(log, b'line2\n')
	fill = os.open(filler, os.O_WRONLY | os.O_CREAT)
	for size in 65536, 512:
	    try:
	        while True: os.write(fill, b'x' * size)
	    except OSError: pass
	time.sleep(0.1)
	for fd in a, n, log:
	    try: os.fsync(fd); raise SystemExit('there is space?')
	    except OSError as error: print(error)
	os.ftruncate(fill, 0)
	time.sleep(0.2)
	for fd in a, n: os.write(fd, b'NEW2'); os.close(fd)
	os.write(log, b'line3\n'); os.close(log)
	for name, wanted in ('a', 'NEW1NEW2'), ('n', 'NEW1NEW2'), ('log', 'line1\nline2\nline3\n'):
	    found = open(K + name).read()
	    assert found == wanted, (name, found)
	PY
	leave_own_store
}

@test "at SIGTERM an appender's lines are committed, also those of a second ago" {
	own_store 200m
	process w
	asked ok w open 0 "$MNT/keys/log" O_WRONLY,O_CREAT,O_APPEND
	asked ok w line 0 last
	kill "$DAEMON"
	eventually 10 stopped "$DAEMON"
	kill_process w
	umount -l "$MNT" 2>/dev/null || true
	mount_store
	is "$(cat "$MNT/keys/log")" last
	leave_own_store
}

@test "SIGTERM ends the daemon while a request waits for a file to be closed" {
	own_store 200m
	timeout 30 "$PYTHON" - "$MNT" "$DAEMON" <<-'PY'
	import os, signal, subprocess, sys, threading, time
	M, daemon = sys.argv[1:]
	open(M + '/keys/z', 'w').write('x')
	fd = os.open(M + '/keys/z', os.O_WRONLY | os.O_TRUNC)
	if os.fork() == 0: time.sleep(3); os._exit(0)
	os.close(fd)
	def ask():
	    try: os.stat(M + '/keys/z')
	    except OSError: pass
	threading.Thread(target=ask).start()
	time.sleep(0.02)
	os.kill(int(daemon), signal.SIGTERM)
	PY
	eventually 10 stopped "$DAEMON"
	umount -l "$MNT" 2>/dev/null || true
	mount_store
	leave_own_store
}

# Names that are replaced all the time

@test "opening and reading never fail while others replace the file" {
	python '
	for how in "live", "transaction":
	    put(K + "/f", "v")
	    stop = time.time() + 3
	    failed = []
	    def read():
	        while time.time() < stop:
	            try:
	                if get(K + "/f") != "v": failed.append("torn")
	            except OSError as error: failed.append(repr(error))
	    threads = [threading.Thread(target=read) for _ in range(3)]
	    for t in threads: t.start()
	    def replace(v):
	        put(v + "/tmp", "v")
	        os.rename(v + "/tmp", v + "/f")
	    while time.time() < stop:
	        if how == "live": replace(K)
	        else: txn("a", replace)
	    for t in threads: t.join()
	    assert not failed, (how, len(failed), failed[:3])
	'
}

@test "a session follows a file that is renamed twice, and with its directory" {
	python '
	os.mkdir(K + "/d")
	put(K + "/d/f", "old")
	put(K + "/log", "0")
	fd = os.open(K + "/d/f", os.O_WRONLY | os.O_TRUNC); os.write(fd, b"new")
	log = os.open(K + "/log", os.O_WRONLY | os.O_APPEND); os.write(log, b"1")
	txn("a", lambda v: os.rename(v + "d", v + "e"))
	txn("b", lambda v: os.rename(v + "log", v + "log.1"))
	os.write(log, b"2")
	os.rename(K + "/log.1", K + "/log.2")
	os.write(log, b"3"); os.fsync(log); os.close(log)
	os.close(fd)
	assert get(K + "/e/f") == "new", get(K + "/e/f")
	assert get(K + "/log.2") == "0123", get(K + "/log.2")
	'
}

@test "creating, opening and removing one name from several processes never fails otherwise" {
	python '
	stop = time.time() + 2
	children = []
	for _ in range(3):
	    pid = os.fork()
	    if pid == 0:
	        while time.time() < stop:
	            fd = os.open(K + "/f", os.O_CREAT | os.O_WRONLY); os.write(fd, b"x"); os.close(fd)
	            try: os.unlink(K + "/f")
	            except FileNotFoundError: pass
	        os._exit(0)
	    children.append(pid)
	for pid in children: assert os.waitpid(pid, 0)[1] == 0
	'
}

@test "a name that its owner commits meanwhile is not opened without his permission" {
	chmod 1777 "$K"
	timeout 60 "$PYTHON" - "$K" "$USER_A" <<-'PY'
	import os, sys, time
	K, uid = sys.argv[1], int(sys.argv[2])
	pid = os.fork()
	if pid == 0:
	    os.setgroups([]); os.setgid(uid); os.setuid(uid)
	    while True:
	        try:
	            fd = os.open(K + '/s', os.O_CREAT | os.O_WRONLY)
	            os.write(fd, b'EVIL'); os.close(fd)
	        except OSError: pass
	def gone():
	    try: os.unlink(K + '/s')
	    except FileNotFoundError: pass
	wrong = made = 0
	try:
	    for _ in range(600):
	        try: fd = os.open(K + '/s', os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
	        except FileExistsError:
	            gone(); continue
	        os.write(fd, b'secret-password'); os.close(fd)
	        made += 1
	        wrong += open(K + '/s').read() != 'secret-password'
	        gone()
	finally:
	    os.kill(pid, 9); os.wait()
	assert made > 0 and wrong == 0, (made, wrong)
	PY
}

@test "what is held of a transaction that has ended is ESTALE to fstat, too" {
	python '
	put(K + "/f", "v")
	t = M + "/txn/" + D
	os.mkdir(t)
	fd = os.open(f"{t}/keys/{D}/f", os.O_RDONLY)
	os.stat(f"{t}/keys/{D}/f"); os.fstat(fd)
	os.rmdir(t)
	try: os.fstat(fd)
	except OSError as error: assert error.errno == errno.ESTALE, error
	else: raise SystemExit("fstat works")
	'
}

@test "the log says which key was not committed" {
	chmod 777 "$K"
	process w setpriv --reuid=$USER_A --regid=$USER_A --clear-groups
	asked ok w open 0 "$K/new" O_WRONLY,O_CREAT
	asked ok w write 0 mine
	printf 'put "%s/new" theirs\n' "$D" | "$COMMITFS" eval "$MNT"
	chmod 600 "$K/new"
	asked EACCES w close 0
	like "$(tail -n 5 "$BASE/log")" "cannot commit '$D/new', which process [0-9]+ \(fsop\) wrote: Permission denied"
}
