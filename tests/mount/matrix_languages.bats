#!/usr/bin/env bats
# The tool matrix, continued: languages; see matrix.bats.
# shellcheck disable=SC2016 # scripts for other shells

load matrix

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
	go_program work <<-'GO'
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
	everywhere "$BASE/work"
}
@test "jq" { needs jq && each 'echo "{\"a\":1}" > j; jq ".a += 1" j > j2; mv j2 j; cat j'; }
