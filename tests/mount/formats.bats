#!/usr/bin/env bats
# Stores of every format there was, as the last release that wrote it left them
# (tests/formats), are opened by this one; those of a format to come are refused untouched.

load helpers

FORMATS=$BATS_TEST_DIRNAME/../formats

setup() { base_directory; }
teardown() { unmount_own_store; }

# unpack FORMAT: and KEY, the options for its key
unpack() {
	mkdir "$STORE"
	tar -C "$STORE" -xJf "$FORMATS/format-$1.tar.xz"
	KEY=()
	if [ -e "$FORMATS/format-$1.key" ]; then
		install -m 600 "$FORMATS/format-$1.key" "$BASE/key"
		KEY=("--key-file=$BASE/key")
	fi
}

# Every byte and every time of the store
fingerprint() {
	(cd "$STORE" && find . -printf '%p %s %T@ %m\n' | sort && find . -type f -exec sha256sum {} + | sort)
}

formats() { basename -a -s .tar.xz "$FORMATS"/format-*.tar.xz | sed 's/format-//'; }

# refused MARKER WORD...: the mount is, and says all words
refused() {
	local before word
	printf '%s' "$1" >"$STORE/commitfs-store"
	before=$(fingerprint)
	shift
	run -74 timeout 20 "$COMMITFS" mount "$STORE" "$MNT"
	for word; do
		like "$output" "$word"
	done
	unmounted "$MNT"
	is "$(fingerprint)" "$before"
}

@test "each format is opened: values, history, log and names are what they were" {
	local format
	for format in $(formats); do
		unpack "$format"
		# Its history is older every day.
		mount_store --history=all "${KEY[@]}"
		"$FORMATS/describe" "$MNT" >"$BASE/described"
		diff -u "$FORMATS/format-$format.txt" "$BASE/described"
		unmount_store
		rm -rf "$STORE"
	done
}

@test "each format can be written, compacted, and opened again" {
	local format
	for format in $(formats); do
		unpack "$format"
		mount_store --history=all "${KEY[@]}"
		echo new >"$MNT/keys/new"
		mkdir "$MNT/txn/t"
		echo changed >"$MNT/txn/t/keys/moved/port"
		echo >"$MNT/txn/t/commit"
		"$COMMITFS" compact "$MNT" "$(($(revision) - 1))"
		unmount_store
		mount_store --history=all "${KEY[@]}"
		is "$(cat "$MNT/keys/new" "$MNT/keys/moved/port" "$MNT/keys/moved/host")" \
			$'new\nchanged\nweb\nmore'
		is "$(cat "$MNT/at/before/app/host")" web
		unmount_store
		rm -rf "$STORE"
	done
}

@test "there is a store of the formats that init makes now" {
	"$COMMITFS" init "$STORE"
	[ -e "$FORMATS/format-$(sed -n 's/.*format //p' "$STORE/commitfs-store").tar.xz" ]
	"$COMMITFS" key new "$BASE/new.key"
	"$COMMITFS" init --key-file="$BASE/new.key" "$BASE/encrypted"
	[ -e "$FORMATS/format-$(sed -n 's/.*format //p' "$BASE/encrypted/commitfs-store").key" ]
}

@test "a newer format is refused, says so, and is left as it is" {
	local newest
	newest=$(formats | sort -n | tail -n 1)
	unpack "$newest"
	refused "commitfs store, format $((newest + 1))"$'\n' "it has format $((newest + 1))" \
		"up to $newest" 'use a newer release'
	refused "commitfs store, format 4294967295"$'\n' 'use a newer release'
}

@test "a format of before the first release, and a marker of something else, are refused" {
	unpack "$(formats | head -n 1)"
	refused $'commitfs store, format 1\n' 'has format 1' 'before the first release'
	refused $'something else\n' 'not a commitfs store'
	refused '' 'not a commitfs store'
}
