#!/usr/bin/env bats
# The tool matrix, continued: editors, and programs that keep files; see matrix.bats.
# shellcheck disable=SC2016 # scripts for other shells

load matrix

@test "sponge" { needs sponge && each 'sort unsorted | sponge unsorted; tr a-z A-Z < f | sponge -a f'; }
@test "ed" { needs ed && each 'printf "1s/one/1/\n\$a\nlast\n.\nw\nw other\nq\n" | ed -s f'; }
@test "ex and vim" {
	needs vim
	each 'ex -sNu NONE -i NONE -c "%s/two/2/" -c "w other" -c wq f
		vim -Nes -u NONE -i NONE -c "set backup" -c "normal Gonew" -c wq unsorted || true; cat unsorted'
}
@test "vim in a terminal" {
	needs vim script
	each "script -qec \"vim -Nu NONE -i NONE -c 'normal Ax' -c wq f\" /dev/null >/dev/null 2>&1; cat f"
}
@test "nano in a terminal, with its lock file" {
	needs nano script
	each "(until [ -e .f.swp ]; do sleep 0.02; done; printf 'zz\\017\\r'
		until grep -q zz f; do sleep 0.02; done; printf '\\030') | TERM=xterm script -qec 'nano --ignorercfiles --locking f' /dev/null >/dev/null 2>&1; cat f"
}
@test "emacs -batch" {
	needs emacs
	each 'emacs -Q --batch f --eval "(progn (goto-char (point-max)) (insert \"new\n\") (setq make-backup-files nil) (save-buffer))" 2>/dev/null; cat f'
}
@test "rsync: plain, again, --inplace, --delete, --checksum" {
	needs rsync
	each 'mkdir to; rsync -a --exclude to ./ to/; echo more >> to/f; rsync -a --inplace --exclude to ./ to/
		rm f; rsync -a --delete --exclude to ./ to/; rsync -rc d to/; ls to'
}
@test "tar: create, extract, append, over what is there" {
	needs tar
	each 'tar cf t.tar --sort=name --mtime=@1000000000 --owner=0 --group=0 f d run; mkdir x; tar xf t.tar -C x; tar rf t.tar --mtime=@1000000000 --owner=0 --group=0 unsorted
		tar xf t.tar -C x; tar tf t.tar | sort; tar xzf /dev/stdin -C x < /dev/null 2>/dev/null || true'
}
@test "git: init, add, commit, branch, merge, gc, fsck" {
	needs git
	each 'export GIT_AUTHOR_DATE="1000000000 +0000" GIT_COMMITTER_DATE="1000000000 +0000" HOME=/nonexistent
		export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
		mkdir r; cp f unsorted r/; cd r; git init -q -b main .; git add .; git commit -qm one; git checkout -qb other; echo x >> f; git commit -qam two
		git checkout -q main; git merge -q --no-ff -m merge other; git gc -q; git fsck --strict 2>/dev/null; git log --oneline; git status --short
		cd ..; git clone -q r r2; diff -r -x .git r r2; rm -rf r r2'
}
@test "make" {
	needs make
	each 'printf "all: out\nout: f unsorted\n\tcat f unsorted > out\n" > Makefile; make -s; make -s -q && echo done; touch f; make -s; rm Makefile'
}
@test "patch" {
	needs patch
	each 'sed s/two/2/ f > g; diff -u f g > p || true; sed -i "1,2s/\t.*//" p; patch -s f p; cmp f g; patch -s -R -b f p; rm p'
}
@test "sqlite3 in one process, with journals of all kinds but WAL" {
	needs sqlite3
	each 'for j in delete truncate persist memory off; do sqlite3 $j.db "pragma journal_mode=$j; create table t(a); insert into t values(1),(2); begin; delete from t; rollback; select sum(a) from t; pragma integrity_check; vacuum"; rm -f $j.db-journal; done; sqlite3 delete.db .dump; rm ./*.db'
}
@test "flock(1)" { needs flock && each 'flock lock -c "echo a > f; flock -n lock echo b || echo taken"; flock -n lock cat f; flock -s f flock -s f echo shared; rm lock'; }
# notified DIR: of what is done there
notified() {
	timeout 60 inotifywait -qm --format '%e %f' "$1" >"$BASE/events" 2>/dev/null 3>&- &
	local watcher=$! event
	eventually 10 eval 'echo probe >"'"$1"'/probe"; grep -q probe "$BASE/events"'
	echo x >"$1/f"
	rm "$1/unsorted"
	mv "$1/run" "$1/run2"
	sed -i s/x/y/ "$1/f"
	eventually 10 grep -q 'MOVED_TO f$' "$BASE/events"
	kill $watcher
	for event in 'MODIFY f' 'CLOSE_WRITE,CLOSE f' 'DELETE unsorted' 'MOVED_FROM run' 'MOVED_TO run2'; do
		grep -qx "$event" "$BASE/events" || fail "not told in $1: $event" || return 1
	done
}
@test "inotifywait sees what processes here do" {
	needs inotifywait
	fixture "$K"
	begin
	notified "$V"
	notified "$K"
}
