#!/usr/bin/env bats
# Encryption at rest: keys of stores, what lies on the disk, changing a key. COMMITFS_FULL=1:
# 40 rounds of kills instead of 6. SEED repeats a run.

load helpers

setup_file() {
	base_directory
	"$COMMITFS" key new "$BASE/key" >/dev/null
	"$COMMITFS" key new "$BASE/other" >/dev/null
	"$COMMITFS" init --key-file="$BASE/key" "$STORE"
}

teardown_file() {
	! mounted "$MNT" || umount -l "$MNT"
	check_log
	rm -rf --one-file-system "$BASE"
}

setup() {
	D=unused
	seed
}

teardown() {
	end_processes
	! mounted "$MNT" || unmount_store
}

mount_encrypted() { mount_store --key-file="$BASE/key" "$@"; }

# refuses WORDS COMMAND...: with exit status 74, and words on stderr
refuses() {
	local words=$1
	shift
	run "$@" 3>&-
	is "$status" 74 "$*"
	like "$output" "$words"
	unmounted "$MNT"
}

reencrypted() { [ "$(field reencrypting "$MNT/status")" = 0 ]; }

files_of() { (cd "$1" && find . -type f -printf '%p %s %T@ ' -exec sha256sum {} \; | sort); }

@test "a store opens with its key alone; refused, nothing in it was touched" {
	mount_encrypted
	echo value >"$MNT/keys/refused"
	kill_daemon
	files_of "$STORE" >"$BASE/before"
	refuses 'it is encrypted; give its key with --key-file' "$COMMITFS" mount "$STORE" "$MNT"
	refuses 'not the one it is encrypted with' \
		"$COMMITFS" mount --key-file="$BASE/other" "$STORE" "$MNT"
	refuses 'encrypted with a key file' \
		"$COMMITFS" mount --passphrase-fd=0 "$STORE" "$MNT" <<<'a passphrase'
	files_of "$STORE" >"$BASE/after"
	diff "$BASE/before" "$BASE/after"
	mount_encrypted
	is "$(cat "$MNT/keys/refused")" value
}

@test "a key for a store that is not encrypted is refused" {
	"$COMMITFS" init "$BASE/plain"
	refuses 'not encrypted' "$COMMITFS" mount --key-file="$BASE/key" "$BASE/plain" "$MNT"
	refuses 'not encrypted' "$COMMITFS" mount --key-file="$BASE/key" memory: "$MNT"
	refuses 'not encrypted' "$COMMITFS" key change --key-file="$BASE/key" \
		--new-key-file="$BASE/other" "$BASE/plain"
	rm -r "$BASE/plain"
}

@test "a key file is a file of its owner's or root's that nobody else may use, and no link" {
	local name=$BASE/a-key
	is "$(stat -c '%a %s' "$BASE/key")" "600 65"
	cp "$BASE/key" "$name"
	chmod 640 "$name"
	refuses "others may use it" "$COMMITFS" mount --key-file="$name" "$STORE" "$MNT"
	chmod 604 "$name"
	refuses "others may use it" "$COMMITFS" mount --key-file="$name" "$STORE" "$MNT"
	chmod 600 "$name"
	chown "$USER_A" "$name"
	refuses "belongs to another user" "$COMMITFS" mount --key-file="$name" "$STORE" "$MNT"
	rm "$name"
	ln -s key "$name"
	refuses "symbolic link" "$COMMITFS" mount --key-file="$name" "$STORE" "$MNT"
	rm "$name"
	refuses "No such file" "$COMMITFS" mount --key-file="$name" "$STORE" "$MNT"
	head -c 31 /dev/urandom >"$name"
	chmod 600 "$name"
	refuses "expected 32 bytes" "$COMMITFS" mount --key-file="$name" "$STORE" "$MNT"
	run -64 "$COMMITFS" mount --key-file="$BASE/key" --passphrase "$STORE" "$MNT"
	run -1 "$COMMITFS" key new "$BASE/key"
	like "$output" "File exists"
}

@test "32 raw bytes are a key too" {
	head -c 32 /dev/urandom >"$BASE/raw"
	chmod 600 "$BASE/raw"
	"$COMMITFS" init --key-file="$BASE/raw" "$BASE/raw-store"
	STORE=$BASE/raw-store mount_store --key-file="$BASE/raw"
	unmount_store
	rm -r "$BASE/raw-store"
}

@test "transactions, the past, the log, meta and watch are what they are without encryption" {
	mount_encrypted
	mkdir "$MNT/keys/work"
	echo one >"$MNT/keys/work/a"
	r=$(revision)
	D=work begin
	echo two >"$T/keys/work/a"
	ln -s a "$T/keys/work/link"
	is "$(cat "$MNT/keys/work/a")" one
	commit ok "$T" 'both'
	is "$(cat "$MNT/keys/work/link" "$MNT/at/$r/work/a")" $'two\none'
	like "$(tail -n 1 "$MNT/log")" $'\tboth$'
	like "$(cat "$MNT/meta/work/a")" 'message both'
	exec 5<>"$MNT/watch"
	echo "work $r" >&5
	read -r line <&5
	exec 5>&-
	like "$line" 'work/a$'
	mkdir "$MNT/at/named"
	is "$("$COMMITFS" eval "$MNT" <<<'get work/a')" $'SUCCESS '"$(revision)"$'\nget 1\n'"$(revision) 4 work/a"$'\ntwo'
	is "$(field encryption "$MNT/status")" xchacha20-poly1305
	unmount_store
	mount_encrypted
	is "$(cat "$MNT/at/named/work/a")" two
	like "$(tail -n 1 "$MNT/log")" $'\tboth$'
}

@test "check and backup verify take the key; what is backed up and restored stays encrypted" {
	local backup=$BASE/backup restored=$BASE/restored
	mount_encrypted
	echo one >"$MNT/keys/saved"
	"$COMMITFS" backup create "$MNT" "$backup"
	r=$(revision)
	unmount_store
	run -0 "$COMMITFS" check --key-file="$BASE/key" "$STORE"
	like "$output" "up to revision $r: .* nothing found"
	run -0 "$COMMITFS" backup verify --key-file="$BASE/key" "$backup"
	like "$output" "is revision $r: .* nothing found"
	refuses 'it is encrypted; give its key' "$COMMITFS" check "$STORE"
	refuses 'not the one it is encrypted with' \
		"$COMMITFS" check --key-file="$BASE/other" "$STORE"
	run -1 "$COMMITFS" backup verify --key-file="$BASE/other" "$backup"
	like "$output" 'not the one it is encrypted with'
	run -64 "$COMMITFS" backup restore --key-file="$BASE/key" "$backup" "$restored"
	like "$output" 'needs no key'
	run -0 "$COMMITFS" backup restore "$backup" "$restored"
	like "$output" "revision $r;"
	refuses 'it is encrypted; give its key' "$COMMITFS" mount "$restored" "$MNT"
	STORE=$restored mount_encrypted
	is "$(cat "$MNT/keys/saved")" one
	unmount_store
	rm -r "$backup" "$restored"
}

@test "passphrases open a store for check, and a backup for verify" {
	local store=$BASE/of-words
	"$COMMITFS" init --passphrase-fd=0 "$store" <<<'correct horse'
	run -0 "$COMMITFS" check --passphrase-fd=0 "$store" <<<'correct horse'
	like "$output" 'nothing found'
	refuses 'the passphrase is wrong' \
		"$COMMITFS" check --passphrase-fd=0 "$store" <<<'wrong horse'
	rm -r "$store"
}

@test "a damaged log: refused with the revisions at risk, to another key not even that; accepted" {
	local wal size
	STORE=$BASE/damaged
	"$COMMITFS" init --key-file="$BASE/key" "$STORE"
	mount_encrypted
	for i in 1 2 3 4 5 6; do echo "value $i" >"$MNT/keys/k"; done
	kill_daemon
	wal=$(ls -S "$STORE"/db/*.log | head -n 1)
	size=$(log_in_use "$wal")
	printf '\377' | dd of="$wal" bs=1 seek=$((size / 2)) conv=notrunc status=none
	# All but RocksDB's information log.
	files_of "$STORE" | grep -v '^./db/LOG' >"$BASE/before"
	refuses 'not the one it is encrypted with' \
		"$COMMITFS" mount --accept-loss --key-file="$BASE/other" "$STORE" "$MNT"
	refuses 'everything up to revision [0-9]+ can be read, .*--accept-loss' \
		"$COMMITFS" mount --key-file="$BASE/key" "$STORE" "$MNT"
	run -1 "$COMMITFS" check --key-file="$BASE/key" "$STORE"
	like "$output" '^not-openable: .*everything up to revision'
	files_of "$STORE" | grep -v '^./db/LOG' >"$BASE/after"
	diff "$BASE/before" "$BASE/after"
	mount_encrypted --accept-loss
	like "$(tail -n 1 "$MNT/log")" 'mount --accept-loss: what was committed after'
	echo on >"$MNT/keys/k"
	unmount_store
	run -0 "$COMMITFS" check --key-file="$BASE/key" "$STORE"
	mount_encrypted
	is "$(cat "$MNT/keys/k")" on
	unmount_store
	rm -r "$STORE"
}

# Texts that are nowhere else.
SECRETS=(plaintext-of-a-value plaintext-of-a-message plaintext-of-a-link plaintext-cmd)

write_secrets() {
	echo "$1 plaintext-of-a-value" >"$MNT/keys/secret"
	ln -sfn "plaintext-of-a-link-$1" "$MNT/keys/secret-link"
	D=secret$1 begin
	echo "$1 plaintext-of-a-value in a transaction" >"$T/keys/secret-too"
	cp /bin/dash "$BASE/plaintext-cmd"
	# shellcheck disable=SC2016 # for the other shell
	"$BASE/plaintext-cmd" -c 'echo "plaintext-of-a-message" >"$1/commit"' - "$T"
	"$BASE/plaintext-cmd" -c 'echo "plaintext-of-a-value" >"$1/keys/of-command"' - "$MNT"
	rmdir "$T"
}

# Prints what of the secrets is found in the files of a store.
found_in() {
	local secret
	for secret in "${SECRETS[@]}"; do
		grep -raqF "$secret" "$1" && echo "$secret"
	done
	return 0
}

@test "values, links, messages and commands are nowhere on the disk, at any time" {
	# Without encryption they are, so this would find them.
	local encrypted=$BASE/encrypted
	STORE=$BASE/plain
	"$COMMITFS" init "$STORE"
	mount_store
	write_secrets 1
	is "$(found_in "$STORE" | sort)" "$(printf '%s\n' "${SECRETS[@]}" | sort)"
	unmount_store
	rm -r "$STORE"

	STORE=$encrypted
	"$COMMITFS" init --key-file="$BASE/key" "$STORE"
	mount_encrypted
	write_secrets 1
	like "$(cat "$MNT/log")" plaintext-of-a-message
	like "$(cat "$MNT/log")" plaintext-cmd
	is "$(found_in "$STORE")" "" "while it is mounted"
	kill_daemon
	is "$(found_in "$STORE")" "" "after a crash"
	mount_encrypted
	write_secrets 2
	unmount_store
	is "$(found_in "$STORE")" "" "when it is unmounted"
	"$COMMITFS" key change --key-file="$BASE/key" --new-key-file="$BASE/other" "$STORE"
	is "$(found_in "$STORE")" "" "when the key was changed"
	mount_store --key-file="$BASE/other"
	is "$(found_in "$STORE")" "" "while it is encrypted anew"
	eventually 20 reencrypted
	is "$(found_in "$STORE")" "" "when that is done"
	is "$(cat "$MNT/keys/secret")" "2 plaintext-of-a-value"
	unmount_store
	rm -r "$STORE"
}

# type_to TEXT COMMAND...: on a terminal of its own, typed at its first question
type_to() {
	"$PYTHON" - "$@" 3>&- <<'PY'
import os, pty, sys, termios, time
text = sys.argv[1].encode().decode("unicode_escape").encode()
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
seen, typed = b"", False
echo = None
while True:
    try:
        more = os.read(terminal, 1000)
        echo = bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
    except OSError:
        break
    if not more:
        break
    seen += more
    if b": " in seen and not typed:
        time.sleep(0.2)
        os.write(terminal, text)
        typed = True
_, status = os.waitpid(pid, 0)
code = os.waitstatus_to_exitcode(status)
try:
    echo = bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
except (OSError, termios.error):
    pass
print(seen.decode(), "echo", echo)
sys.exit(code if code >= 0 else 128 - code)
PY
}

# stop_at_question COMMAND...: a job that ^Z stops at its question, is continued, and is ended
stop_at_question() {
	"$PYTHON" - "$@" 3>&- <<'PY'
import os, pty, signal, sys, termios, time
pid, terminal = pty.fork()
if pid == 0:
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execv(sys.argv[1], sys.argv[1:])
    _, status = os.waitpid(job, os.WUNTRACED)
    echo = bool(termios.tcgetattr(0)[3] & termios.ECHO)
    print("stopped", os.WIFSTOPPED(status), "echo", echo, flush=True)
    os.kill(job, signal.SIGCONT)
    os.waitpid(job, 0)
    os._exit(0)
seen = b""
typed = [(b"stopped", b"\x03"), (b": ", b"\x1a")]
while True:
    try:
        more = os.read(terminal, 1000)
    except OSError:
        break
    if not more:
        break
    seen += more
    if typed and typed[-1][0] in seen:
        time.sleep(0.5)
        os.write(terminal, typed.pop()[1])
os.waitpid(pid, 0)
print(seen.decode())
PY
}

@test "a passphrase comes from a descriptor or a terminal" {
	local store=$BASE/with-passphrase
	"$COMMITFS" init --passphrase-fd=0 "$store" <<<'correct horse'
	refuses 'the passphrase is wrong' \
		"$COMMITFS" mount --passphrase-fd=0 "$store" "$MNT" <<<'wrong horse'
	refuses 'encrypted with a passphrase' \
		"$COMMITFS" mount --key-file="$BASE/key" "$store" "$MNT"
	refuses 'it is empty' "$COMMITFS" mount --passphrase-fd=0 "$store" "$MNT" </dev/null
	refuses 'no terminal' setsid "$COMMITFS" mount --passphrase "$store" "$MNT" </dev/null
	"$COMMITFS" mount --passphrase-fd=9 "$store" "$MNT" 9< <(echo 'correct horse') 3>&-
	DAEMON=$(field pid "$MNT/status")
	unmount_store
	# The terminal echoes nothing of it.
	type_to 'correct horse\n' "$COMMITFS" mount --passphrase "$store" "$MNT" >"$BASE/typed"
	DAEMON=$(field pid "$MNT/status")
	like "$(cat "$BASE/typed")" 'Passphrase of'
	like "$(cat "$BASE/typed")" 'echo True'
	run -1 grep horse "$BASE/typed"
	unmount_store
	# And is what it was when an interrupt ends the question.
	run type_to '\x03' "$COMMITFS" mount --passphrase "$store" "$MNT"
	is "$status" 130
	like "$output" 'echo True'
	# Or when the job is stopped, which asks again when it goes on.
	run stop_at_question "$COMMITFS" mount --passphrase "$store" "$MNT"
	like "$output" 'stopped True echo True'
	is "$(grep -o 'Passphrase of' <<<"$output" | wc -l)" 2
	rm -r "$store"
}

@test "the daemon of an encrypted store leaves no core dump and cannot be looked into" {
	mount_encrypted
	like "$(grep 'Max core file size' "/proc/$DAEMON/limits")" ' 0 +0 '
}

# nobody: fusermount3 wants a user that has a name
user_mount() {
	local USER_A=65534
	as_user "$USER_A" "$COMMITFS" mount --key-file="$BASE/of-user.key" "$1" "$MNT" 3>&- ||
		return 1
	DAEMON=$(as_user "$USER_A" awk '$1 == "pid" { print $2 }' "$MNT/status")
	is "$(stat -c %u "/proc/$DAEMON/mem")" 0
	as_user "$USER_A" sh -c 'echo v >"$1/keys/a" && cat "$1/keys/a"' - "$MNT"
	as_user "$USER_A" "$COMMITFS" umount "$MNT"
	eventually 20 stopped "$DAEMON"
}

@test "a user's own mount is closed to that user, and works" {
	as_user "$USER_A" test -w /dev/fuse || skip "users may not use /dev/fuse here"
	local store=$BASE/of-user USER_A=65534
	chmod 777 "$BASE"
	chown "$USER_A" "$MNT"
	as_user "$USER_A" "$COMMITFS" key new "$BASE/of-user.key"
	as_user "$USER_A" "$COMMITFS" init --key-file="$BASE/of-user.key" "$store"
	user_mount "$store"
	chmod 755 "$BASE"
	chown 0 "$MNT"
	rm -r "$store" "$BASE/of-user.key"
}

@test "mount.commitfs takes the key file as an option" {
	ln -sf "$COMMITFS" "$BASE/mount.commitfs"
	"$BASE/mount.commitfs" "$STORE" "$MNT" -o "key-file=$BASE/key,noatime" 3>&-
	DAEMON=$(field pid "$MNT/status")
	unmount_store
}

@test "changing a key refuses while it is mounted, and with a wrong key" {
	mount_encrypted
	run -74 "$COMMITFS" key change --key-file="$BASE/key" --new-key-file="$BASE/other" "$STORE"
	like "$output" 'another process has it open'
	unmount_store
	run -74 "$COMMITFS" key change --key-file="$BASE/other" --new-key-file="$BASE/key" "$STORE"
	like "$output" 'not the one'
	run -64 "$COMMITFS" key change --key-file="$BASE/key" "$STORE"
	run -64 "$COMMITFS" key something "$STORE"
	mount_encrypted
}

# What has the key now, by trying: prints key or other. Of a process that was killed, threads
# that are in the disk hold the store for a moment more.
key_now() {
	local key
	eventually 20 flock -n "$STORE/commitfs-store" true
	for key in key other; do
		if "$COMMITFS" mount --key-file="$BASE/$key" "$STORE" "$MNT" >"$BASE/$key.said" 2>&1 3>&-; then
			echo $key
			return
		fi
	done
	fail "neither key opens it: $(cat "$BASE/key.said" "$BASE/other.said")"
}

@test "killed at any moment, a change of the key was made or not, and nothing is lost" {
	local rounds=${COMMITFS_FULL:+40} round now=key next pid i
	rounds=${rounds:-6}
	STORE=$BASE/changed
	"$COMMITFS" init --key-file="$BASE/key" "$STORE"
	mount_encrypted --sync=none
	mkdir -p "$MNT/keys/many"
	for ((i = 0; i < 400; i++)); do echo "value $i" >"$MNT/keys/many/k$i"; done
	unmount_store
	for ((round = 1; round <= rounds; round++)); do
		next=other
		[ $now = key ] || next=key
		"$COMMITFS" key change --key-file="$BASE/$now" --new-key-file="$BASE/$next" "$STORE" \
			>/dev/null 3>&- &
		pid=$!
		# Every third time it may end; then the daemon that encrypts anew is killed.
		if ((round % 3)); then random_sleep 120; kill -9 $pid 2>/dev/null || true; fi
		wait $pid || true
		now=$(key_now)
		DAEMON=$(field pid "$MNT/status")
		echo "round $round" >"$MNT/keys/many/round"
		random_sleep 150
		kill_daemon
		echo "round $round: $now"
	done
	mount_store --key-file="$BASE/$now"
	for ((i = 0; i < 400; i++)); do
		is "$(cat "$MNT/keys/many/k$i")" "value $i"
	done
	is "$(cat "$MNT/keys/many/round")" "round $rounds"
	eventually 30 reencrypted
	unmount_store
	rm -r "$STORE"
}
