#!/usr/bin/env bats
# The tool matrix: what each tool leaves in keys/ and in a transaction is what it leaves on
# any other filesystem. What is not installed is skipped, but not by tools/test --full. Here
# are shells, and what every system has; matrix_languages.bats and matrix_programs.bats have
# the others, matrix_commit.bats all of them on `commit`.
# shellcheck disable=SC2016 # scripts for other shells

load matrix

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
	local dir
	fixture "$K"
	begin
	for dir in "$K" "$V"; do
		run -1 ln "$dir/f" "$dir/hard"
		like "$output" 'Operation not permitted'
	done
}
@test "sed -i, with and without a backup" {
	each 'sed -i s/two/2/ f; sed -i.bak 1d unsorted; sed -n -i -e "s/e/E/gp" -e "w wrote" f; sed -i "s/x/y/" d/big'
}
@test "find -newer, -mmin, -empty, -delete, xargs" {
	needs find xargs
	each 'find . -newer d/big | sort; touch mark; sleep 0.02; echo x > later; find . -newer mark -type f; find . -empty | sort
		find d -type f -size +60k -delete; find . -type f -print0 | sort -z | xargs -0 wc -l'
}
