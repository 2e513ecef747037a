#!/usr/bin/env bats
# The tool matrix: what each tool leaves in keys/ and in a transaction is what it leaves on
# any other filesystem. What is not installed is skipped, but not by tools/test --full.
# shellcheck disable=SC2016 # scripts for other shells

load helpers
load matrix

setup_file() { mount_own_store; }
teardown_file() { unmount_own_store; }
setup() { own_directory; }
teardown() {
	end_processes
	rm -rf "$K" "$BASE/plain.$D"* "$BASE/view.$D"
}

# What any shell does with files.
shell_work='
echo new > n; echo more >> f; : > emptied; cat < f > copy
{ echo a; /bin/echo b; echo c; } > group
(echo sub; echo shell) > sub
for i in 1 2 3; do echo $i; done > loop
while read -r line; do echo "<$line>"; done < f >> copy
[ -s f ] && [ ! -s empty ] && [ f -nt d/big ] && echo newer
cat <<END > here
here $((1 + 2))
END
exec 3> held; echo x >&3; echo y >&3; exec 3>&-
echo d/*; rm unsorted; mkdir -p p/q; mv n p/q/; rmdir d/e'

@test "bash" { needs bash && everywhere bash -euc "$shell_work"; }
@test "dash" { needs dash && everywhere dash -euc "$shell_work"; }
@test "zsh" { needs zsh && everywhere zsh -feuc "$shell_work"; }
@test "mksh" { needs mksh && everywhere mksh -euc "$shell_work"; }
@test "busybox ash" { needs busybox && everywhere busybox ash -euc "$shell_work"; }
@test "fish" {
	needs fish
	everywhere fish --no-config -c 'echo new > n; echo more >> f; cat < f > copy
		begin; echo a; /bin/echo b; end > group
		for i in 1 2 3; echo $i; end > loop
		while read line; echo "<$line>"; end < f >> copy
		test -s f; and test ! -s empty; and echo sizes
		rm unsorted; mkdir -p p/q; mv n p/q/; rmdir d/e'
}
@test "set -C and >| in bash, dash, mksh and zsh" {
	local shell
	for shell in bash dash mksh zsh; do
		command -v $shell >/dev/null || continue
		everywhere $shell -c 'set -C; echo x > new; (echo y > f) 2>/dev/null || echo refused; echo z >| f'
		rmdir "$T" 2>/dev/null || true
		rm -rf "$K"
		mkdir "$K"
	done
}

@test "cat, tee, head, split, sort -o, shuf, uniq" {
	each 'cat f d/big > both; echo x | tee t1 t2; tee -a f < unsorted; head -n 1 f > h
		split -b 30000 d/big part.; sort -o unsorted unsorted; cat part.* | cmp - d/big'
}
@test "cp and install: modes, times, links, trees" {
	each 'cp f c1; cp -p run c2; cp -a d c3; cp --no-preserve=mode run c4; install -m 600 f i1
		install -D -m 755 run i/j/k; cp -r d c5; cp --remove-destination run f; cp -s "$PWD/f" l; rm l'
}
@test "mv, over files, directories, and names that are there" {
	each 'mv f g; mv -n run unsorted; mv d/e e2; mv g d/; mkdir t; mv d t/; mv run empty; mv -T t u'
}
@test "dd, truncate, touch, chmod, ln -s, mkdir, rm" {
	each 'dd if=d/big of=dd bs=1000 count=5 skip=2 status=none
		dd if=f of=d/big conv=notrunc seek=3 bs=10 status=none
		truncate -s 5 f; truncate -s +10 unsorted; truncate -s 0 run; touch -d @1100000000 f
		touch -r f unsorted; touch -c none; touch made; chmod u+x,g-r unsorted; ln -s f s
		ln -sfn d s; mkdir -m 700 m; rm -r d/e; touch -h -d @1200000000 s'
}
@test "ln without -s is refused with EPERM" {
	fixture "$K"
	run ln "$K/f" "$K/hard"
	[ "$status" != 0 ]
	like "$output" 'Operation not permitted'
}
@test "sed -i, with and without a backup" {
	each 'sed -i s/two/2/ f; sed -i.bak 1d unsorted; sed -n -i -e "s/e/E/gp" -e "w wrote" f; sed -i "s/x/y/" d/big'
}
@test "awk" {
	needs awk && each 'awk "{ print NR, \$0 > \"out\"; print >> \"f2\" } END { close(\"out\"); getline x < \"out\"; print x }" f'
}
@test "gawk -i inplace" { needs gawk && each 'gawk -i inplace "{ print toupper(\$0) }" f'; }
@test "perl, and perl -i" {
	needs perl
	each 'perl -i -pe "s/two/2/" f; perl -i.orig -ne "print if /a/" unsorted
		perl -e "open F, q(>), q(n); print F q(x) x 5000; close F or die; open F, q(+<), q(n); seek F, 10, 0; print F q(YY); close F or die; rename q(n), q(m); utime 1, 1100000000, q(m)"'
}
@test "python" {
	everywhere "$PYTHON" -c '
import json, os, pathlib, shutil, tempfile
pathlib.Path("n").write_text("x\n" * 10)
with open("f", "a") as f: f.write("more\n")
with open("f", "r+") as f: f.seek(2); f.write("ZZ")
with open("x", "x") as f: json.dump({"a": [1, 2]}, f)
t = tempfile.NamedTemporaryFile("w", dir=".", delete=False); t.write("atomic"); t.close(); os.chmod(t.name, 0o644); os.replace(t.name, "atomic")
shutil.copytree("d", "d2", symlinks=True); shutil.move("d2/big", "big2"); os.utime("n", ns=(1, 1100000000123456789))
shutil.rmtree("d/e"); print(sorted(os.listdir(".")), os.stat("x").st_size)'
}
@test "ruby" {
	needs ruby
	each 'ruby -e "require %q(fileutils); File.write(%q(n), %q(x) * 5000); File.open(%q(f), %q(a)) { |f| f.puts 1 }; File.open(%q(f), %q(r+)) { |f| f.write %q(ZZ) }; FileUtils.cp_r %q(d), %q(d2); FileUtils.mv %q(n), %q(d2/); puts Dir.children(%q(d2)).sort"
		ruby -i -pe "\$_.upcase!" unsorted'
}
@test "node" {
	needs node
	each 'node -e "const fs = require(\"fs\"); fs.writeFileSync(\"n\", \"x\".repeat(5000)); fs.appendFileSync(\"f\", \"more\n\"); fs.copyFileSync(\"run\", \"c\"); fs.renameSync(\"n\", \"m\"); const h = fs.openSync(\"f\", \"r+\"); fs.writeSync(h, \"ZZ\", 1); fs.fsyncSync(h); fs.closeSync(h); fs.cpSync(\"d\", \"d2\", { recursive: true, dereference: true }); fs.rmSync(\"d\", { recursive: true }); console.log(fs.readdirSync(\".\").sort().join())"'
}
@test "php" {
	needs php
	each 'php -r "file_put_contents(\"n\", str_repeat(\"x\", 5000)); file_put_contents(\"f\", \"more\", FILE_APPEND | LOCK_EX); copy(\"run\", \"c\"); rename(\"n\", \"m\"); mkdir(\"p/q\", 0755, true); \$h = fopen(\"f\", \"c+\"); flock(\$h, LOCK_EX); fwrite(\$h, \"ZZ\"); fclose(\$h); echo filesize(\"f\");"'
}
@test "tcl" {
	needs tclsh
	each 'echo "set h [open n w]; puts \$h [string repeat x 500]; close \$h; set h [open f a]; puts \$h more; close \$h; file rename n m; file copy d d2; file delete -force d; puts [lsort [glob *]]" > /tmp/tcl.$$; tclsh /tmp/tcl.$$; rm /tmp/tcl.$$'
}
@test "go" {
	[ -n "${COMMITFS_FULL-}" ] || skip "only in a full run: compiling takes long"
	needs go
	mkdir "$BASE/go"
	cat >"$BASE/go/main.go" <<-'GO'
	package main

	import (
		"fmt"
		"os"
	)

	func must(err error) {
		if err != nil {
			panic(err)
		}
	}

	func main() {
		must(os.WriteFile("n", make([]byte, 5000), 0644))
		h, err := os.OpenFile("f", os.O_APPEND|os.O_WRONLY, 0)
		must(err)
		fmt.Fprintln(h, "more")
		must(h.Sync())
		must(h.Close())
		t, err := os.CreateTemp(".", ".t-")
		must(err)
		t.WriteString("atomic")
		must(t.Chmod(0644))
		must(t.Close())
		must(os.Rename(t.Name(), "atomic"))
		must(os.MkdirAll("p/q", 0755))
		must(os.RemoveAll("d"))
	}
	GO
	(cd "$BASE/go" && HOME=$BASE GOFLAGS=-mod=mod GO111MODULE=off go build -o "$BASE/gowork" main.go)
	everywhere "$BASE/gowork"
}
@test "jq" { needs jq && each 'echo "{\"a\":1}" > j; jq ".a += 1" j > j2; mv j2 j; cat j'; }
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
	each "(sleep 1; printf 'zz'; sleep 0.5; printf '\\017\\r'; sleep 0.5; printf '\\030') | TERM=xterm script -qec 'nano --ignorercfiles --locking f' /dev/null >/dev/null 2>&1; cat f"
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
@test "find -newer, -mmin, -empty, -delete, xargs" {
	needs find xargs
	each 'find . -newer d/big | sort; touch mark; sleep 0.02; echo x > later; find . -newer mark -type f; find . -empty | sort
		find d -type f -size +60k -delete; find . -type f -print0 | sort -z | xargs -0 wc -l'
}
@test "inotifywait sees what processes here do" {
	needs inotifywait
	fixture "$K"
	timeout 60 inotifywait -qm --format '%e %f' "$K" >"$BASE/events" 2>/dev/null 3>&- &
	local watcher=$!
	eventually 10 eval 'echo probe >"$K/probe"; grep -q probe "$BASE/events"'
	echo x >"$K/f"
	rm "$K/unsorted"
	mv "$K/run" "$K/run2"
	sed -i s/x/y/ "$K/f"
	eventually 10 grep -q 'MOVED_TO f$' "$BASE/events"
	kill $watcher
	grep -q '^MODIFY f$' "$BASE/events"
	grep -q '^CLOSE_WRITE,CLOSE f$' "$BASE/events"
	grep -q '^DELETE unsorted$' "$BASE/events"
	grep -q '^MOVED_FROM run$' "$BASE/events"
	grep -q '^MOVED_TO run2$' "$BASE/events"
}
