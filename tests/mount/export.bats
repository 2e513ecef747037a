#!/usr/bin/env bats
# export and import: a tree as JSON lines, of one revision, and back.

load helpers

setup_file() {
	mount_own_store
	mkdir "$BASE/other.mnt"
}

teardown_file() { unmount_own_store; }

setup() { OTHER=$BASE/other.mnt; }

teardown() {
	end_processes
	! mounted "$OTHER" || "$COMMITFS" umount "$OTHER"
	rm -rf "$BASE/other"
}

mount_other() {
	"$COMMITFS" init "$BASE/other" >/dev/null
	"$COMMITFS" mount "$@" "$BASE/other" "$OTHER" >/dev/null 3>&-
}

# facts FILE: its lines without what is a fact of the store they come from
facts() {
	"$PYTHON" -c '
import json, sys
for line in open(sys.argv[1]):
    each = json.loads(line)
    for name in ("store_id", "revision", "create_revision", "mod_revision", "version"):
        each.pop(name, None)
    print(json.dumps(each, sort_keys=True))' "$1"
}

# All there may be in a tree, as hard as it comes.
make_tree() {
	mkdir -p "$1/a/empty" "$1/b/c/d" "$1/.hidden"
	printf 'x\0y\n' >"$1/a/bin"
	: >"$1/a/nothing"
	printf 'gr\303\274n \342\202\254 "quoted" \\ \001\177\t' >"$1/a/text"
	printf '\377\376' >"$1/a/no text"
	ln -s ../b/c "$1/a/link"
	ln -s $'no\nway \200' "$1/dangling"
	echo 1 >"$1/"$'odd\n"name\\\t'
	echo 2 >"$1/"$'\200\377'
	echo 3 >"$1/-n"
	echo 4 >"$1/$(printf 'n%.0s' {1..255})"
	head -c 16777216 /dev/urandom >"$1/big"
	chmod 0604 "$1/a/text"
	chmod 0000 "$1/a/bin"
	chmod 3751 "$1/b"
	chown 77:88 "$1/b" "$1/a/nothing"
	chown -h 1234567890:4294967294 "$1/dangling" 2>/dev/null || chown -h 123:456 "$1/dangling"
	touch -d '2001-02-03 04:05:06.123456789' "$1/a/text" "$1/b/c"
	touch -d '1677-09-21 00:12:43.25 UTC' "$1/a/bin"
	touch -h -d '2262-04-11 23:47:16.75 UTC' "$1/a/link"
}

@test "what is exported and imported elsewhere is exported the same again" {
	make_tree "$MNT/keys"
	"$COMMITFS" export "$MNT" >"$BASE/one"
	mount_other
	is "$("$COMMITFS" import "$OTHER" "$BASE/one" | head -n 1)" "commitfs: committed 2"
	"$COMMITFS" export "$OTHER" >"$BASE/two"
	facts "$BASE/one" >"$BASE/one.facts"
	facts "$BASE/two" >"$BASE/two.facts"
	cmp "$BASE/one.facts" "$BASE/two.facts" || fail "$(diff "$BASE/one.facts" "$BASE/two.facts" | cut -c1-200)"
	is "$(wc -l <"$BASE/one")" 19
	cmp "$MNT/keys/big" "$OTHER/keys/big"
	is "$(stat -c '%a %U %y' "$OTHER/keys/a/text")" "$(stat -c '%a %U %y' "$MNT/keys/a/text")"
	is "$(tail -n 1 "$OTHER/log" | cut -f7)" 17 # all but the root, in one commit
	like "$(tail -n 1 "$OTHER/log" | cut -f8)" "^import of store .*, revision [0-9]*$"
}

@test "an export is of one revision, whatever is committed meanwhile, and tells each key's" {
	local revision
	mkdir "$MNT/keys/r"
	echo 1 >"$MNT/keys/r/k"
	echo 2 >"$MNT/keys/r/k"
	revision=$(revision)
	echo 3 >"$MNT/keys/r/k"
	rm -r "$MNT/keys/b"
	"$COMMITFS" export --at="$revision" "$MNT" >"$BASE/then"
	is "$(head -n 1 "$BASE/then" | grep -o '"revision":[0-9]*')" "\"revision\":$revision"
	like "$(grep '"path":"r/k"' "$BASE/then")" \
		"\"create_revision\":$((revision - 1)),\"mod_revision\":$revision,\"version\":2,\"value\":\"2"
	grep -q '"path":"b/c/d"' "$BASE/then"
	bash -c 'for ((n = 0; ; n++)); do echo $n >"$1/x"; cat "$1/x" >"$1/y"; done' - "$MNT/keys/r" 2>/dev/null 3>&- &
	PROCESS_PID[writer]=$!
	for i in 1 2 3; do
		"$COMMITFS" export "$MNT" >"$BASE/now"
		revision=$(head -n 1 "$BASE/now" | grep -o '"revision":[0-9]*' | cut -d: -f2)
		is "$(grep '"path":"r/x"' "$BASE/now" | sed 's/.*value":"\([0-9]*\).*/\1/')" \
			"$(cat "$MNT/at/$revision/r/x")"
		[ "$(grep -o '"mod_revision":[0-9]*' "$BASE/now" | cut -d: -f2 | sort -n | tail -n 1)" = "$revision" ]
	done
}

@test "import makes all keys or none, and does not write over what is there" {
	mount_other
	echo mine >"$OTHER/keys/b"
	run -1 "$COMMITFS" import "$OTHER" "$BASE/one"
	like "$output" "key 'b': it is there already"
	is "$(ls "$OTHER/keys")" b
	run -0 "$COMMITFS" import --replace "$OTHER" "$BASE/one"
	[ -d "$OTHER/keys/b/c/d" ]
	run -1 bash -c 'cat "$1" | "$COMMITFS" import "$2"' - "$BASE/one" "$OTHER"
	like "$output" "there already"
	echo changed >"$OTHER/keys/a/text"
	run -0 bash -c 'cat "$1" | "$COMMITFS" import --replace "$2"' - "$BASE/one" "$OTHER"
	cmp "$MNT/keys/a/text" "$OTHER/keys/a/text"
}

@test "what is too large for one commit is said to be, and goes in several" {
	local n
	mount_other
	{
		head -n 2 "$BASE/one"
		for n in 1 2 3 4 5 6 7; do
			grep '"path":"-n"' "$BASE/one" | sed "s/\"path\":\"-n\"/\"path\":\"k$n\"/"
		done
	} >"$BASE/many"
	is "$("$COMMITFS" import --batch=3 "$OTHER" "$BASE/many" | xargs)" \
		"$(echo commitfs: committed 2 commitfs: committed 3 commitfs: committed 4 commitfs: imported 8 keys of revision \
			"$(head -n 1 "$BASE/one" | grep -o '"revision":[0-9]*' | cut -d: -f2)" of store \
			"$(head -n 1 "$BASE/one" | grep -o '"store_id":"[^"]*' | cut -d'"' -f4)")"
	is "$(ls "$OTHER/keys" | xargs)" "k1 k2 k3 k4 k5 k6 k7"
	"$COMMITFS" umount "$OTHER"
	rm -rf "$BASE/other"
	mount_other --max-value=1M
	run -1 "$COMMITFS" import "$OTHER" "$BASE/one"
	like "$output" "key 'big': the value is larger than the mount allows"
	is "$(ls "$OTHER/keys")" ""
}

# refuse TEXT-OF-A-LINE PATTERN
refuse() {
	{
		head -n 2 "$BASE/one"
		printf '%s\n' "$1"
	} >"$BASE/bad"
	run -64 "$COMMITFS" import "$OTHER" "$BASE/bad"
	like "$output" "line 3: .*$2"
	is "$(cat "$OTHER/revision")" 1
}

@test "a line that is wrong is named before anything is done" {
	local good='"mode":"0644","uid":0,"gid":0,"mtime":"1.000000000","create_revision":1,"mod_revision":1,"version":1'
	mount_other
	refuse 'nonsense' 'no JSON'
	refuse '[1]' 'no JSON object'
	refuse "{\"path\":\"a\",\"path\":\"b\",$good}" 'no JSON'
	refuse "{\"type\":\"value\",$good,\"value\":\"\"}" '"path" is missing'
	refuse "{\"path\":\"../x\",\"type\":\"value\",$good,\"value\":\"\"}" '"path" is no key'
	refuse "{\"path_base64\":\"YQBi\",\"type\":\"value\",$good,\"value\":\"\"}" '"path" is no key'
	refuse "{\"path\":\"x\",\"type\":\"socket\",$good}" '"type" is none of'
	refuse "{\"path\":\"x\",\"type\":\"value\",$good}" '"value" is missing'
	refuse "{\"path\":\"x\",\"type\":\"value\",$good,\"value_base64\":\"!\"}" 'no base64'
	refuse "{\"path\":\"x\",\"type\":\"symlink\",$good,\"target\":\"\"}" 'nothing that a link'
	refuse "{\"path\":\"\",\"type\":\"value\",$good,\"value\":\"\"}" 'the root is no directory'
	refuse "{\"path\":\"x\",\"type\":\"directory\",$good,\"more\":1}" 'members that no such line has'
	refuse "$(sed 's/0644/9/' <<<"{\"path\":\"x\",\"type\":\"directory\",$good}")" '"mode" is no octal'
	refuse "$(sed 's/1.000000000/now/' <<<"{\"path\":\"x\",\"type\":\"directory\",$good}")" '"mtime" is no time'
	refuse "$(sed 's/"uid":0/"uid":-1/' <<<"{\"path\":\"x\",\"type\":\"directory\",$good}")" '"uid" is missing or no number'
	echo '{"commitfs_export":2,"store_id":"","revision":1}' >"$BASE/bad"
	run -64 "$COMMITFS" import "$OTHER" "$BASE/bad"
	like "$output" "line 1: it has format 2, this release knows 1"
	head -n 2 "$BASE/one" | tail -n 1 >"$BASE/bad"
	run -64 "$COMMITFS" import "$OTHER" "$BASE/bad"
	like "$output" "line 1: it does not begin as an export does"
	: >"$BASE/bad"
	run -64 "$COMMITFS" import "$OTHER" "$BASE/bad"
	{
		head -n 1 "$BASE/one"
		echo "{\"path\":\"no/where\",\"type\":\"directory\",$good}"
	} >"$BASE/bad"
	run -1 "$COMMITFS" import "$OTHER" "$BASE/bad"
	like "$output" "line 2: key 'no/where': the directory it lies in is not there"
}

@test "export is for the owner, and tells what it cannot do" {
	run ! as_user "$USER_A" "$COMMITFS" export "$MNT"
	like "$output" "that is for the owner of the mount"
	run -1 "$COMMITFS" export --at=999999 "$MNT"
	like "$output" "compacted, or not reached yet"
	run -64 "$COMMITFS" export --at=then "$MNT"
	run -74 bash -c '"$COMMITFS" export "$1" >/dev/full' - "$MNT"
	like "$output" "cannot write to standard output: No space left on device"
}

@test "a store in memory is exported, too" {
	"$COMMITFS" mount memory: "$OTHER" >/dev/null 3>&-
	"$COMMITFS" import "$OTHER" "$BASE/one" >/dev/null
	"$COMMITFS" export "$OTHER" >"$BASE/two"
	facts "$BASE/two" | cmp - <(facts "$BASE/one")
}

@test "the longest line of a mount is taken, and of a longer one no more is read" {
	mount_other --max-value=32M
	head -c 33554432 /dev/zero | tr '\0' '\1' >"$OTHER/keys/k"
	"$COMMITFS" export "$OTHER" >"$BASE/two"
	rm "$OTHER/keys/k"
	"$COMMITFS" import "$OTHER" "$BASE/two" >/dev/null
	is "$(tr -d '\1' <"$OTHER/keys/k" | wc -c)" 0
	size_is "$OTHER/keys/k" 33554432
	head -n 1 "$BASE/two" >"$BASE/bad"
	truncate -s 2G "$BASE/bad"
	run -64 "$PYTHON" -c 'import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print("memory", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)' "$COMMITFS" import "$OTHER" "$BASE/bad"
	like "$output" "line 2: it is longer than any with a value that the mount allows"
	[ "$(sed -n 's/^memory //p' <<<"$output")" -lt 1048576 ]
}
