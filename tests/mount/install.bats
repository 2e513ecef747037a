#!/usr/bin/env bats
# What is installed, and that manual pages and completions tell of all there is and of nothing
# else. What mount(8) and the service manager see is in packaging.bats.

load helpers

setup_file() {
	SOURCE=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	BUILD=$(cd "$(dirname "$COMMITFS")/.." && pwd)
	ROOT=$(mktemp -d "${TMPDIR:-/tmp}/commitfs-test.XXXXXX")
	export SOURCE BUILD ROOT
	DESTDIR=$ROOT meson install -C "$BUILD" --no-rebuild --quiet >"$ROOT/log" 2>&1 ||
		{ cat "$ROOT/log" >&2; return 1; }
	PREFIX=$ROOT$(meson introspect --buildoptions "$BUILD" | "$PYTHON" -c '
import json, sys
print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"))')
	export PREFIX
}

teardown_file() {
	rm -rf --one-file-system "$ROOT"
}

setup() {
	BASE=
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	[ -z "${LISTENER-}" ] || kill "$LISTENER" 2>/dev/null || true
	[ -n "$BASE" ] || return 0
	! mounted "$MNT" || unmount_store
	rm -rf --one-file-system "$BASE"
}

# What these say is what the tests below go through: at least so much must be there.
@test "there are commands and options to go through" {
	local command
	[ "$(commands | wc -l)" -ge 16 ]
	[ "$(options mount | wc -l)" -ge 20 ]
	for command in $(commands); do
		[ "$command" = help ] || options "$command" | grep -qx -- --help || fail "none of $command"
	done
}

commands() {
	"$COMMITFS" help | awk '/^$/ { on = 0 } on { print $1 } /^Commands:/ { on = 1 }'
}

# options COMMAND: long and short
options() {
	"$COMMITFS" help "$1" | awk '/^$/ { on = 0 } /^Options:/ { on = 1 } on && /^  -/' |
		grep -oE -- '^  (-[a-zA-Z],)? *--[a-z-]+' | tr -d ', ' | sed -E 's/^(-[a-zA-Z])--/\1 --/' |
		tr ' ' '\n' | sort -u
}

needs_pages() {
	[ -e "$BUILD/tools/man/commitfs.1" ] || skip "no scdoc when this was configured"
	command -v man >/dev/null || skip "no man"
}

# page NAME: as text, of the built page
page() {
	MANWIDTH=100 man -l "$BUILD/tools/man/$1" | sed 's/‐/-/g'
}

@test "what is installed is there, and mount.commitfs leads to the command" {
	local file
	for file in bin/commitfs sbin/mount.commitfs lib/systemd/system/commitfs@.service \
		share/bash-completion/completions/commitfs share/zsh/site-functions/_commitfs \
		share/fish/vendor_completions.d/commitfs.fish \
		share/doc/commitfs/examples/etc-shared.mount; do
		[ -e "$PREFIX/$file" ] || fail "not installed: $file"
	done
	[ "$PREFIX/sbin/mount.commitfs" -ef "$PREFIX/bin/commitfs" ]
	run "$PREFIX/sbin/mount.commitfs"
	is "$status" 1
	like "$output" "expected: mount.commitfs STORE MNT"
}

# Manual pages

@test "the manual pages are installed, and have no error" {
	local name
	needs_pages
	for name in commitfs.1 commitfs.5 commitfs.7 mount.commitfs.8; do
		[ -e "$PREFIX/share/man/man${name##*.}/$name" ]
		is "$(man --warnings -E UTF-8 -l -Tutf8 -Z "$BUILD/tools/man/$name" 2>&1 >/dev/null)" ""
		! command -v mandoc >/dev/null || is "$(mandoc -T lint -W error "$BUILD/tools/man/$name")" ""
		! grep -n '^@' "$BUILD/tools/man/$name" || fail "a mark of select.awk is left"
		is "$(grep '^\.S[HS] ' "$BUILD/tools/man/$name" | sort | uniq -d)" "" "told twice"
	done
}

@test "every part of the pages can be shown, each mark is of a feature that is named" {
	local name feature all
	needs_pages
	all=$(cat "$SOURCE"/tools/man/*.scd | awk '/^@if / { print $2 }' | sort -u)
	[ -n "$all" ]
	for feature in $all; do
		grep -qE "^# .*\b$feature  " "$SOURCE/tools/man/meson.build" || fail "not named: $feature"
	done
	for name in commitfs.1 commitfs.5 commitfs.7 mount.commitfs.8; do
		awk -v features="$all" -f "$SOURCE/tools/man/select.awk" "$SOURCE/tools/man/$name.scd" >selected
		scdoc <selected >"$name"
		is "$(man --warnings -E UTF-8 -l -Tutf8 -Z "./$name" 2>&1 >/dev/null)" ""
	done
}

@test "commitfs(1) tells of every command and of no other" {
	needs_pages
	is "$(page commitfs.1 | awk '/^COMMANDS/ { on = 1; next } /^[A-Z]/ { on = 0 }
		on && /^   commitfs [a-z]/ { print $2 }' | sort -u)" "$(commands | sort)"
}

@test "commitfs(1) tells of every option of every command, and of no other of mount" {
	local command option
	needs_pages
	for command in $(commands); do
		[ "$command" != help ] || continue
		page commitfs.1 | awk -v command="$command" '/^   commitfs/ { on = $2 == command }
			/^[A-Z]/ { on = 0 } on' >section
		for option in $(options "$command"); do
			[[ $option = -h || $option = --help ]] || grep -qE -- "$option([,= ]|\$)" section ||
				fail "commitfs $command: $option is not in commitfs(1)"
		done
		for option in $(grep -oE '^ {7}-.*' section | grep -oE -- '--[a-z][a-z-]+'); do
			options "$command" | grep -qx -- "$option" ||
				fail "commitfs $command: $option is in commitfs(1) only"
		done
	done
}

@test "commitfs(5) tells of every file of the mount and of a transaction" {
	local name mnt=$BATS_TEST_TMPDIR/mnt
	needs_pages
	page commitfs.5 >text
	mkdir "$mnt"
	"$COMMITFS" mount memory: "$mnt" 3>&- >/dev/null
	mkdir "$mnt/txn/t"
	ls "$mnt" "$mnt/txn/t" | sed '/:$/d; /^$/d' >names
	"$COMMITFS" umount "$mnt"
	[ "$(wc -l <names)" -ge 15 ]
	while read -r name; do
		grep -qE "^ {7}$name/?( |\$)" text || fail "$name is not in commitfs(5)"
	done <names
}

@test "the README names every file of the source, and none that is not there" {
	"$PYTHON" - "$SOURCE" <<-'END'
		import fnmatch, glob, os, re, sys
		os.chdir(sys.argv[1])
		text = open("README.md").read()
		named, folder, bad = {}, None, []
		for row in re.findall(r"^\| .*", text[text.index("## Where things are"):], re.M):
		    folder = (re.match(r"\| \*\*(\w+)/\*\*", row) or [0, folder])[1]
		    named.setdefault(folder, set()).update(re.findall("`([^`]+)`", row))
		for folder in ("store", "txn", "fs", "tools"):
		    names = named[folder] | {name + ".c" for name in named["tools"]}
		    files = [os.path.relpath(path, folder)
		             for path in glob.glob(folder + "/**/*.[ch]", recursive=True)]
		    assert len(files) > 20, folder
		    def matches(path, name):
		        return fnmatch.fnmatch(path, name) or fnmatch.fnmatch(os.path.basename(path), name)
		    bad += ["not named: %s/%s" % (folder, path) for path in files
		            if path.endswith(".c") and not any(matches(path, name) for name in names)]
		    bad += ["not there: %s/%s" % (folder, name) for name in named[folder]
		            if re.search(r"\.[ch]$", name) and not any(matches(path, name) for path in files)]
		sys.exit("\n".join(bad) or 0)
	END
}

# Completions: read from the help, so each must know every command and option.

@test "bash completes every command, option and argument" {
	local command
	cat >complete.bash <<-'END'
		. "$1"; shift
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_commitfs
		printf '%s\n' "${COMPREPLY[@]}"
	END
	complete_bash() {
		bash complete.bash "$PREFIX/share/bash-completion/completions/commitfs" "$COMMITFS" "$@"
	}
	is "$(complete_bash '' | grep -v ^- | sort)" "$(commands | sort)"
	for command in $(commands); do
		[ "$command" != help ] || continue
		is "$(complete_bash "$command" - | tr -d = | sort)" "$(options "$command" | sort)"
	done
	is "$(complete_bash mount mem)" memory:
	is "$(complete_bash key ch)" change
	mkdir -p point
	is "$(complete_bash mount memory: --sync = none poi)" point
	is "$(complete_bash run -m mnt mnt -- bats-exec-tes)" bats-exec-test
}

@test "bash completes mount points, and does nothing that their names say" {
	local point="$BATS_TEST_TMPDIR/a \$(touch pwned) b"
	mkdir "$point"
	"$COMMITFS" mount memory: "$point" 3>&- >/dev/null
	echo 1 >"$point/keys/key"
	# shellcheck disable=SC2016 # expanded there
	run bash -c '. "$1"; for command in status diff; do
		COMP_WORDS=("$2" $command "$3") COMP_CWORD=2; _commitfs; printf "%s\n" "${COMPREPLY[@]}"
		done' \
		- "$PREFIX/share/bash-completion/completions/commitfs" "$COMMITFS" "$BATS_TEST_TMPDIR/a"
	"$COMMITFS" umount "$point"
	is "$output" "$point"$'\n'"$point"
	[ ! -e pwned ]
}

@test "zsh completes every command and option" {
	local command
	command -v zsh >/dev/null || skip "no zsh"
	# In place of the completion system: what it would be given.
	cat >complete.zsh <<-'END'
		_describe() { print -l -- ${(P)2%%:*} }
		_arguments() { shift 2; print -l -- ${@%%\[*} }
		file=$1; shift
		words=("$@"); CURRENT=$#
		source $file
	END
	# zsh 5.9 was seen to miss the end of a child and to wait for it without end.
	complete_zsh() {
		local i
		for i in 1 2 3; do
			timeout 10 zsh -f complete.zsh "$PREFIX/share/zsh/site-functions/_commitfs" \
				"$COMMITFS" "$@" >completed && break
		done
		cat completed
	}
	is "$(complete_zsh '' | sort)" "$(commands | sort)"
	for command in $(commands); do
		[ "$command" != help ] || continue
		is "$(complete_zsh "$command" '' | grep ^- | tr -d =+ | sort)" "$(options "$command" | sort)"
	done
	like "$(complete_zsh mount '')" "1:STORE:_commitfs_stores"
	like "$(complete_zsh key '')" "1:what:\(new change\)"
	like "$(complete_zsh diff '')" "1:MNT:_commitfs_mounts"
}

@test "fish completes every command and option" {
	local command
	command -v fish >/dev/null || skip "no fish"
	complete_fish() {
		HOME=$BATS_TEST_TMPDIR PATH=$(dirname "$COMMITFS"):$PATH fish --no-config -c \
			"source $PREFIX/share/fish/vendor_completions.d/commitfs.fish; complete -C \"\$argv[1]\"" \
			"commitfs $*" | cut -f 1
	}
	is "$(complete_fish | sort)" "$(commands | sort)"
	for command in $(commands); do
		[ "$command" != help ] || continue
		is "$(complete_fish "$command --" | tr -d = | sort)" "$(options "$command" | grep ^-- | sort)"
	done
	is "$(complete_fish mount mem)" memory:
	is "$(complete_fish key ch)" change
}

# systemd

@test "systemd accepts the units" {
	command -v systemd-analyze >/dev/null || skip "no systemd-analyze"
	# The command of the unit is not installed here.
	sed "s#^\(Exec[A-Za-z]*=-\?\)[^ ]*/commitfs#\1$PREFIX/bin/commitfs#" \
		"$PREFIX/lib/systemd/system/commitfs@.service" >commitfs@.service
	cp "$PREFIX/share/doc/commitfs/examples/etc-shared.mount" .
	is "$(systemd-analyze verify --man=no ./commitfs@x.service ./etc-shared.mount 2>&1)" ""
}

# exec_line WHAT: that command of the unit, as systemd would run it
exec_line() {
	local line
	line=$(sed -n "s/^Exec$1=-\?//p" "$PREFIX/lib/systemd/system/commitfs@.service")
	[ -n "$line" ] || fail "the unit has no Exec$1"
	eval "${line//*\/commitfs/\"$COMMITFS\"}"
}

# setting NAME: of the unit
setting() { sed -n "s/^$1=//p" "$PREFIX/lib/systemd/system/commitfs@.service"; }

# The messages that a service manager would get, in $BASE/told
listen() {
	"$PYTHON" -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True: print(s.recv(4096).decode().replace("\n", " "), flush=True)' "$BASE/notify" >"$BASE/told" 3>&- &
	LISTENER=$!
	eventually 10 test -S "$BASE/notify"
}

# start_unit: as systemd does, until it is told that it is ready
start_unit() {
	: >"$BASE/told"
	exec_line StartPre 2>/dev/null || true
	NOTIFY_SOCKET=$BASE/notify exec_line Start >>"$BASE/log" 2>&1 3>&- &
	DAEMON=$!
	eventually 20 grep -qF 'READY=1' "$BASE/told"
	[ -e "$MNT/revision" ] || fail "told ready, and does not answer"
}

# By the rules of systemd: Type=notify, Restart=on-failure, ExecStopPost= after each end.
@test "the commands of the unit start, clean up after a kill, start again and stop" {
	local OPTIONS=--max-value=2M life status
	is "$(setting Type) $(setting Restart) $(setting KillMode)" "notify on-failure mixed"
	base_directory
	rmdir "$MNT"
	"$COMMITFS" init "$STORE"
	listen
	for life in killed died stopped; do
		start_unit
		is "$(field max_value_bytes "$MNT/status")" 2097152
		is "$(field pid "$MNT/status")" "$(pgrep -P "$DAEMON" || echo "$DAEMON")" "main process"
		case $life in
		killed)
			echo 1 >"$MNT/keys/a"
			kill -9 "$(field pid "$MNT/status")"
			eventually 10 stopped "$DAEMON"
			mounted "$MNT"
			exec_line StopPost
			unmounted "$MNT"
			is "$(stat -c %a "$MNT")" 0
			;;
		died) # and there was no time to clean up: the next start finds it dead
			is "$(cat "$MNT/keys/a")" 1
			kill -9 "$(field pid "$MNT/status")"
			eventually 10 stopped "$DAEMON"
			mounted "$MNT"
			;;
		stopped)
			is "$(cat "$MNT/keys/a")" 1
			exec_line Stop
			unmounted "$MNT"
			eventually 10 grep -q STOPPING=1 "$BASE/told"
			status=0
			wait "$DAEMON" || status=$?
			is "$status" 0 "no failure, so no restart"
			exec_line StopPost || true # there is nothing to do after a stop
			unmounted "$MNT"
			is "$(stat -c %a "$MNT")" 0
			;;
		esac
	done
}

@test "a stop of the unit while somebody works there: told who, then SIGTERM does it all the same" {
	local OPTIONS='' status=0
	base_directory
	rmdir "$MNT"
	"$COMMITFS" init "$STORE"
	listen
	start_unit
	(cd "$MNT/keys" && exec sleep 60) 3>&- &
	local worker=$!
	eventually 10 eval '[ "$(readlink "/proc/'$worker'/cwd")" = "$MNT/keys" ]'
	run exec_line Stop
	is "$status" 1
	like "$output" "in use: sleep\\[$worker\\] works in $MNT/keys"
	kill -TERM "$(field pid "$MNT/status")"
	status=0
	wait "$DAEMON" || status=$?
	is "$status" 0 "no failure, so no restart"
	exec_line StopPost || true
	unmounted "$MNT"
	kill "$worker"
}

@test "what the unit cannot start with is its exit status; bad words are not tried again" {
	local OPTIONS=--max-value=nonsense
	base_directory
	run -64 exec_line Start
	is "$(setting RestartPreventExitStatus)" 64
	OPTIONS=
	run -74 exec_line Start
	like "$output" "make it with: commitfs init $STORE"
}

# The unit's limits must leave it what it needs; those of seccomp and cgroups only systemd sets.
@test "the daemon works with the capabilities that the unit leaves it" {
	local unit=$PREFIX/lib/systemd/system/commitfs@.service capabilities
	capabilities=$(sed -n 's/^CapabilityBoundingSet=//p' "$unit" |
		tr '[:upper:]' '[:lower:]' | sed 's/cap_/+/g; s/ /,/g')
	base_directory
	"$COMMITFS" init "$STORE"
	RUNNER="setpriv --no-new-privs --bounding-set -all,$capabilities --inh-caps -all" mount_store
	mkdir -m 777 "$MNT/keys/d"
	# Whether the writer holds another descriptor is seen of other users, too: the end of
	# true(1) is no commit.
	grows 1 as_user $USER_A bash -c '{ echo 1; /bin/true; echo 2; } >"$1"' - "$MNT/keys/d/a"
	is "$(cat "$MNT/keys/d/a")" "1"$'\n'"2"
	"$COMMITFS" umount "$MNT"
	eventually 10 stopped "$DAEMON"
}
