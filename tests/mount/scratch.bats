#!/usr/bin/env bats
# Scratch names: the temporary files of editors and tools are files for everybody, but no
# keys, until they are renamed; so what a tool does is one revision.

load helpers

setup_file() { mount_own_store --max-user-size=4M; }
teardown_file() { unmount_own_store; }
setup() {
	own_directory
	echo one >"$K/f"
}
teardown() {
	end_processes
	rm -rf "$K"
}

# expect_as UID WANTED OP...
expect_as() {
	local uid=$1 wanted=$2 got
	shift 2
	got=$(as_user "$uid" "$FSOP" "$@" 2>/dev/null) || true
	is "${got##*$'\n'}" "$wanted" "fsop $*"
}

scratch_files() { field scratch_files "$MNT/status"; }

# temporary PATH [TEXT]: as mkstemp(3) and its user make it
temporary() {
	expect ok open 0 "$1" O_RDWR,O_CREAT,O_EXCL 0600 : write 0 "${2-text}" : close 0
}

@test "a scratch file is a file for everybody, and no revision" {
	local name
	for name in .f.swp .f.AbC123 sedaZ09bc .#f '#f#' tmp_obj_x1Y2z3; do
		grows 0 temporary "$K/$name" "of $name"
		is "$(cat "$K/$name")" "of $name"
		is "$(stat -c '%F %s %a' "$K/$name")" "regular file $((${#name} + 3)) 600"
		like "$(ls -A "$K")" "$name"
		expect EEXIST open 0 "$K/$name" O_WRONLY,O_CREAT,O_EXCL
		expect EEXIST mkdir "$K/$name"
		expect EEXIST symlink x "$K/$name"
		grows 0 chmod 640 "$K/$name"
		grows 0 touch -d @1000000000 "$K/$name"
		is "$(stat -c '%a %Y' "$K/$name")" '640 1000000000'
		grows 0 rm "$K/$name"
		expect ENOENT lstat "$K/$name"
	done
	is "$(ls -A "$K")" f
	is "$(scratch_files)" 0
}

@test "scratch files can be written again, appended to and truncated" {
	temporary "$K/.f.swp" abc
	echo more >>"$K/.f.swp"
	is "$(cat "$K/.f.swp")" abcmore
	expect ok open 0 "$K/.f.swp" O_RDWR : pwrite 0 1 X : close 0
	is "$(cat "$K/.f.swp")" aXcmore
	truncate -s 2 "$K/.f.swp"
	is "$(cat "$K/.f.swp")" aX
	grows 0 eval 'echo new >"$K/.f.swp"'
	is "$(cat "$K/.f.swp")" new
}

@test "a name that a person gives is a key, whatever it looks like" {
	local name
	for name in 4913 sedentary .bashrc.backup .f.swp x.tmp f~ tmp_obj_abcdef XXsample f.gawk.sample; do
		grows 1 eval 'echo x >"$K/$name"'
	done
	rm "$K"/* "$K"/.[a-z]*
	for name in 4913 sedentary .bashrc.backup x.tmp f~; do
		echo x >"$BASE/$name"
		grows 1 cp "$BASE/$name" "$K/"
	done
	rm "$K"/* "$K"/.[a-z]*
	grows 5 tar -x -C "$K" -f <(tar -c -C "$BASE" 4913 sedentary .bashrc.backup x.tmp f~)
	is "$(scratch_files)" 0
}

@test "renaming a scratch file is the one commit: content, attributes and inode number" {
	local ino
	temporary "$K/.f.AbC123" two
	chmod 640 "$K/.f.AbC123"
	touch -d @1000000000.5 "$K/.f.AbC123"
	ino=$(stat -c %i "$K/.f.AbC123")
	grows 1 mv "$K/.f.AbC123" "$K/f"
	is "$(cat "$K/f")" two
	is "$(stat -c '%i %a %.1Y' "$K/f")" "$ino 640 1000000000.5"
	is "$(ls -A "$K")" f
	is "$(scratch_files)" 0
	temporary "$K/.g.AbC123" three
	grows 1 mv "$K/.g.AbC123" "$K/.g.swp"
	is "$(scratch_files)" 0
}

@test "readers see the old value or the new one while it is renamed over" {
	local reader i text
	( while [ ! -e "$BASE/stop" ]; do
		text=$(cat "$K/f") || exit 1
		[[ $text = one || $text =~ ^two[0-9]+$ ]] || exit 1
	done ) 3>&- &
	reader=$!
	for i in {1..100}; do
		temporary "$K/.f.AbC123" "two$i"
		"$FSOP" rename "$K/.f.AbC123" "$K/f" >/dev/null
	done
	touch "$BASE/stop"
	wait $reader
	rm "$BASE/stop"
	is "$(cat "$K/f")" two100
}

@test "rename of a scratch file: what rename(2) refuses is refused, and it stays" {
	temporary "$K/.f.AbC123" two
	mkdir "$K/d"
	expect EISDIR rename "$K/.f.AbC123" "$K/d"
	expect EEXIST rename "$K/.f.AbC123" "$K/f" noreplace
	expect EINVAL rename "$K/.f.AbC123" "$K/f" exchange
	expect ENOENT rename "$K/.f.AbC123" "$K/none/f"
	is "$(cat "$K/.f.AbC123")" two
	is "$(cat "$K/f")" one
	grows 1 expect ok rename "$K/.f.AbC123" "$K/g" noreplace
	temporary "$K/.f.AbC123" three
	grows 1 expect ok rename "$K/f" "$K/.f.AbC123"
	is "$(cat "$K/.f.AbC123")" one
	is "$(scratch_files)" 0
}

@test "a session goes on writing under the new name" {
	process w
	asked ok w open 0 "$K/.f.AbC123" O_RDWR,O_CREAT,O_EXCL 0600
	asked ok w write 0 two
	asked ok w fsync 0
	asked ok w write 0 ' and'
	grows 1 asked ok w rename "$K/.f.AbC123" "$K/f"
	is "$(cat "$K/f")" two
	asked ok w write 0 ' three'
	grows 1 asked ok w close 0
	is "$(cat "$K/f")" 'two and three'
}

@test "what was not committed yet when it was renamed is one commit" {
	process w
	asked ok w open 0 "$K/.f.AbC123" O_RDWR,O_CREAT,O_EXCL 0600
	asked ok w write 0 two
	grows 0 asked ok w rename "$K/.f.AbC123" "$K/f"
	is "$(cat "$K/f")" one
	grows 1 asked ok w close 0
	is "$(cat "$K/f")" two
	is "$(scratch_files)" 0
}

@test "an open scratch file that is removed goes on for who has it" {
	temporary "$K/.f.swp" abc
	process w
	asked ok w open 0 "$K/.f.swp" O_RDONLY
	rm "$K/.f.swp"
	asked abc w read 0 10
	asked ok w close 0
}

@test "a directory is not empty while it holds a scratch file, and takes it along" {
	mkdir "$K/d" "$K/e"
	temporary "$K/d/.x.swp" abc
	expect ENOTEMPTY rmdir "$K/d"
	expect ENOTEMPTY rename "$K/e" "$K/d"
	mv "$K/d" "$K/d2"
	is "$(cat "$K/d2/.x.swp")" abc
	expect ENOENT lstat "$K/d/.x.swp"
	begin
	mv "$V/d2" "$V/d3"
	commit ok "$T"
	is "$(cat "$K/d3/.x.swp")" abc
	grows 1 mv "$K/d3/.x.swp" "$K/d3/x"
	is "$(scratch_files)" 0
}

@test "a transaction that removes the directory, or makes the key, takes the place" {
	mkdir "$K/d"
	temporary "$K/d/.x.swp" abc
	begin x
	is "$(ls -A "$V_x/d")" ''
	rmdir "$V_x/d"
	commit ok "$T_x"
	expect ENOENT lstat "$K/d/.x.swp"
	is "$(scratch_files)" 0
	temporary "$K/.f.swp" abc
	begin y
	echo key >"$V_y/.f.swp"
	commit ok "$T_y"
	is "$(cat "$K/.f.swp")" key
	is "$(scratch_files)" 0
}

@test "in a transaction scratch files are part of the view, but of no commit" {
	begin
	temporary "$V/.f.swp" abc
	ln -s me "$V/.#f"
	is "$(cat "$V/.f.swp")" abc
	is "$(field writes "$T/status")" 0
	is "$(cat "$T/writes")" ''
	echo two >"$V/f"
	temporary "$V/.g.AbC123" gee
	mv "$V/.g.AbC123" "$V/g"
	is "$(field writes "$T/status")" 2
	grows 1 commit ok "$T"
	is "$(ls -A "$K" | tr '\n' ' ')" 'f g '
	is "$(cat "$K/g")" gee
}

@test "a transaction with scratch files only has written nothing" {
	begin
	cat "$V/f" >/dev/null
	temporary "$V/.f.swp" abc
	echo changed >"$K/f"
	grows 0 commit ok "$T"
}

@test "emacs' lock is a link and no revision" {
	grows 0 ln -s me@here.1:2 "$K/.#f"
	is "$(readlink "$K/.#f")" me@here.1:2
	like "$(ls -lA "$K")" '\.#f -> me@here'
	expect EEXIST symlink x "$K/.#f"
	grows 0 rm "$K/.#f"
}

@test "permissions hold on scratch files" {
	chmod 777 "$K"
	temporary "$K/.f.swp" secret
	expect_as "$USER_A" EACCES open 0 "$K/.f.swp" O_RDONLY
	expect_as "$USER_A" EPERM chmod "$K/.f.swp" 0666
	expect_as "$USER_A" ok open 0 "$K/.a.AbC123" O_RDWR,O_CREAT,O_EXCL 0600 : write 0 mine : close 0
	is "$(stat -c %u "$K/.a.AbC123")" "$USER_A"
	# Whoever may change the directory may rename it, and it stays whose it was.
	expect_as "$USER_B" ok rename "$K/.a.AbC123" "$K/a"
	is "$(stat -c %u "$K/a")" "$USER_A"
	expect_as "$USER_A" ok open 0 "$K/.b.AbC123" O_RDWR,O_CREAT,O_EXCL 0600 : write 0 mine : close 0
	chmod 1777 "$K"
	expect_as "$USER_B" EPERM rename "$K/.b.AbC123" "$K/b"
}

@test "their memory is the user's: EDQUOT, and given back" {
	local used
	chmod 777 "$K"
	used=$(field write_set_bytes "$MNT/status")
	expect_as "$USER_A" ok open 0 "$K/.a.AbC123" O_RDWR,O_CREAT,O_EXCL 0600 : fill 0 1900000 x : close 0
	expect_as "$USER_A" ok open 0 "$K/.b.AbC123" O_RDWR,O_CREAT,O_EXCL 0600 : fill 0 1000000 x : close 0
	expect_as "$USER_A" EDQUOT open 0 "$K/.d.AbC123" O_RDWR,O_CREAT,O_EXCL 0600 : fill 0 1000000 x
	expect_as "$USER_A" EDQUOT truncate "$K/.b.AbC123" 3000000
	temporary "$K/.c.AbC123" x
	rm "$K"/.[abc].*
	eventually 5 eval '[ "$(field write_set_bytes "$MNT/status")" = '"$used"' ]'
	is "$(scratch_files)" 0
}

@test "8 processes that make, write and rename scratch files to one key lose none of them" {
	local pids=() i
	# 20 each, every one a revision
	renames() {
		local i
		for i in {1..20}; do
			temporary "$K/.f.AbC12$1" "$1.$i" &&
				"$FSOP" rename "$K/.f.AbC12$1" "$K/f" >/dev/null || return 1
		done
	}
	all() {
		for i in 1 2 3 4 5 6 7 8; do
			renames "$i" 3>&- &
			pids+=($!)
		done
		for i in "${pids[@]}"; do wait "$i" || return 1; done
	}
	grows 160 all
	is "$(ls -A "$K")" f
	is "$(scratch_files)" 0
}

# edited_by_vim FILE [VIMRC]: in a terminal, and as outside /tmp, where `backupskip` holds
edited_by_vim() {
	printf 'set backupskip=\n%s\n' "${2-set nowritebackup}" >"$BASE/vimrc"
	timeout 60 script -qec "vim -Nu '$BASE/vimrc' -i NONE -c 'normal Ax' -c wq '$1'" /dev/null \
		>/dev/null 2>&1 </dev/null
}
edited_by_nano() {
	(eventually 20 test -e "${1%/*}/.${1##*/}.swp" && printf 'x\017\r'
		eventually 20 grep -q ^x "$1" && printf '\030') |
		TERM=xterm timeout 60 script -qec "nano --ignorercfiles --locking '$1'" /dev/null >/dev/null 2>&1
}
# edited_by_emacs FILE [LISP]: what is said before it is saved
edited_by_emacs() {
	emacs -Q --batch "$1" --eval "(progn (setq backup-inhibited nil backup-enable-predicate (lambda (name) t)) ${2-}
		(goto-char (point-max)) (insert \"new\n\") (save-buffer))" 2>/dev/null
}

@test "vim's writebackup is a key that comes and goes: three revisions, and one without" {
	needs vim script
	local first
	first=$(($(revision) + 1))
	grows 3 edited_by_vim "$K/f" ''
	is "$(changes "$first")" "$(printf '%s\n' "delete $first f" "put $first f~" \
		"put $((first + 1)) f" "delete $((first + 2)) f~")"
	grows 1 edited_by_vim "$K/f" 'set nowritebackup'
	grows 1 edited_by_vim "$K/f" "set backupdir=$BASE backupcopy=yes"
	printf 'autocmd BufRead,BufNewFile %s/* set nowritebackup\n' "$MNT" >"$BASE/line"
	grows 1 edited_by_vim "$K/f" "$(cat "$BASE/line")"
	grows 1 edited_by_vim "$K/new" 'set nowritebackup'
	is "$(cat "$K/f" "$K/new")" $'onexxxx\nx'
	is "$(ls -A "$K" | tr '\n' ' ')" 'f new '
	begin
	edited_by_vim "$V/f" ''
	is "$(cat "$V/f")" onexxxxx
	grows 1 commit ok "$T"
	is "$(ls -A "$K" | tr '\n' ' ')" 'f new '
	is "$(scratch_files)" 0
}

# changes FROM: below K since that revision
changes() {
	"$COMMITFS" watch --from "$1" "$MNT" "$D" >"$BASE/changes" 3>&- &
	local watcher=$! last
	last=$(revision)
	eventually 5 grep -q "	$last	" "$BASE/changes"
	kill $watcher
	grep . "$BASE/changes" | sed "s#\t# #g; s#$D/##"
}

@test "emacs and nano save in one revision; emacs' backup are others" {
	needs emacs nano script
	grows 1 edited_by_emacs "$K/f" '(setq make-backup-files nil)'
	is "$(cat "$K/f")" $'one\nnew'
	is "$(ls -A "$K")" f
	grows 3 edited_by_emacs "$K/f" # the rename to f~, f, its mode
	is "$(ls -A "$K" | tr '\n' ' ')" 'f f~ '
	grows 1 edited_by_nano "$K/f"
	is "$(head -n 1 "$K/f")" xone
	is "$(scratch_files)" 0
}

@test "a session of vim, sed -i, rsync and git is in the log as what it was" {
	local first text
	needs vim script rsync git
	seq 1000 >"$BASE/numbers"
	mkdir "$K/r"
	git -C "$K/r" init -q 2>/dev/null
	git -C "$K/r" config user.name a
	git -C "$K/r" config user.email a@b
	first=$(revision)
	edited_by_vim "$K/f"
	sed -i s/one/two/ "$K/f"
	rsync -a "$BASE/numbers" "$K/r/"
	echo 1001 >>"$BASE/numbers"
	rsync -a "$BASE/numbers" "$K/r/"
	git -C "$K/r" add numbers
	git -C "$K/r" commit -qm one
	text=$("$COMMITFS" log --since $((first + 1)) "$MNT" | cut -f 6 | uniq -c | awk '{ print $2, $1 }')
	# Of git: directory and file of an object, the index; of the commit the index, its message,
	# two objects in their directories, the logs in three, and the branch.
	is "$text" "$(printf '%s\n' 'vim 1' 'sed 1' 'rsync 2' "git $(($(revision) - first - 4))")"
	is "$(changes $((first + 1)) | head -n 4 | cut -d ' ' -f 1,3 | tr '\n' ' ')" \
		'put f put f put r/numbers put r/numbers '
	text=$(changes $((first + 5)) | cut -d ' ' -f 1,3 | sed -E 's#[0-9a-f]{38}$#ID#; s#/[0-9a-f]{2}(/|$)#/NN\1#' |
		sed 's#r/.git/##')
	is "$(sort <<<"$text" | uniq -c | awk '{ print $1, $2, $3 }')" "$(sort -k 2 <<-'END'
		3 mkdir objects/NN
		3 put objects/NN/ID
		1 mkdir logs
		1 mkdir logs/refs
		1 mkdir logs/refs/heads
		1 put COMMIT_EDITMSG
		2 put index
		1 put logs/HEAD
		1 put logs/refs/heads/master
		1 put refs/heads/master
	END
	)"
	is "$(scratch_files)" 0
}

@test "perl -i and gawk -i inplace are one revision" {
	needs perl
	grows 1 perl -i -pe s/one/two/ "$K/f"
	is "$(cat "$K/f")" two
	if command -v gawk >/dev/null; then
		grows 1 gawk -i inplace '{ print toupper($0) }' "$K/f"
		is "$(cat "$K/f")" TWO
	fi
	is "$(ls -A "$K")" f
	is "$(scratch_files)" 0
}

@test "sed -i, vim :wq and rsync -a of one file are one revision each" {
	grows 1 sed -i s/one/two/ "$K/f"
	is "$(cat "$K/f")" two
	seq 1000 >"$BASE/numbers"
	grows 1 rsync -a "$BASE/numbers" "$K/"
	grows 1 rsync -a "$BASE/numbers" "$K/other.name"
	cmp "$BASE/numbers" "$K/other.name"
	if command -v vim >/dev/null && command -v script >/dev/null; then
		for _ in 1 2 3 4 5; do grows 1 edited_by_vim "$K/f"; done
		is "$(cat "$K/f")" twoxxxxx
	fi
	is "$(scratch_files)" 0
}

@test "git makes one revision of each object, and of each ref and index" {
	needs git
	local git=(git -C "$K" -c user.name=a -c user.email=a@b -c gc.auto=0)
	"${git[@]}" init -q
	"${git[@]}" add f
	like "$("${git[@]}" status --short)" '^A  f'
	echo two >"$K/f"
	grows 3 "${git[@]}" add f # the object's directory, the object, the index
	"${git[@]}" commit -qm x
	"${git[@]}" fsck --strict
	is "$(find "$K" -name '*.lock' -o -name 'tmp_*')" ''
	is "$(scratch_files)" 0
}

@test "they are gone after an unmount, which says so" {
	temporary "$K/.f.swp" abc
	run -0 "$COMMITFS" umount "$MNT"
	like "$output" 'scratch files of editors and tools there are gone: 1$'
	eventually 20 stopped "$DAEMON"
	mount_store --scratch=none
	is "$(ls -A "$K")" f
	grows 1 temporary "$K/.f.swp" abc
	unmount_store
	mount_store '--scratch=*.part,tmp/*,default'
	mkdir -p "$K/tmp"
	grows 0 ln -s x "$K/tmp/link"
	rm "$K/tmp/link"
	grows 0 eval 'echo x >"$K/big.part"'
	grows 0 temporary "$K/.g.swp" abc
	grows 1 mv "$K/big.part" "$K/big"
	rm "$K/.g.swp"
	unmount_store
	mount_store --max-user-size=4M
}
