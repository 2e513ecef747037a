#!/usr/bin/env bats
# The five minutes of README.md, typed as they stand, say what they say there.

load helpers

setup() { base_directory; }
teardown() {
	! mounted "$MNT" || "$COMMITFS" umount "$MNT" || umount -l "$MNT"
	rm -rf --one-file-system "$BASE"
}

# Types each command into one shell and prints those whose output is another than in the README:
# numbers of processes, ids, times and sizes aside, and however it is folded there.
type_tour() {
	PATH=$(dirname "$COMMITFS"):$PATH "$PYTHON" - "$1" "$BASE" 3>&- <<-'END'
	import os, re, subprocess, sys, time
	readme, base = sys.argv[1:]
	text = open(readme).read()
	text = text[text.index("## Five minutes"):text.index("## The rules in short")]
	places = {"/mnt": "/mnt", "/srv/config": "/config", "/etc/app": "/etc/app", "/tmp/lead": "/lead",
	    "/srv/backup": "/backup", "/srv/restored": "/restored", "/srv/tree.jsonl": "/tree.jsonl"}
	def here(text):
	    return re.sub("|".join(places), lambda m: base + places[m[0]], text)

	steps = []                  # [command, what is shown]
	for line in text.splitlines():
	    prompt = re.match("    # (.*)", line)
	    more = re.match("    > ?(.*)", line)
	    if prompt: steps.append([prompt[1], ""])
	    elif more: steps[-1][0] += "\n" + more[1]
	    elif line.startswith("    ") and steps: steps[-1][1] += line + "\n"
	# The last one is an editor's, which tests/mount/edit.bats has.
	assert steps.pop()[0].startswith("commitfs edit")
	assert len(steps) >= 40, len(steps)

	os.makedirs(base + "/etc")
	shell = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
	    stderr=subprocess.STDOUT, text=True, bufsize=1, cwd=base)
	def run(command):
	    shell.stdin.write(command + "\necho; echo '--- end'\n")
	    out = ""
	    for line in shell.stdout:
	        if line == "--- end\n": return out
	        out += line
	    sys.exit("the shell ended at: " + command)

	def same(text):
	    for pattern, name in ((r"bash: line \d+:", "bash:"), (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
	            (r"\b[0-9a-f]{16}-", "ID-"), (r"\[\d+\]", "[PID]"), (r"TIME\t0\t\d+", "TIME 0 PID"),
	            (r"TIME +0 +\d+", "TIME 0 PID"), (r"[\d.]+ [KM]iB", "SIZE")):
	        text = re.sub(pattern, name, text)
	    return " ".join(text.split())

	bad, then = 0, None
	for command, shown in steps:
	    if then: # the first time in the README, before the transaction
	        command = re.sub(r"at/\d{4}-\S+Z", "at/" + then, command)
	    command = command.replace("systemctl reload web", "true")
	    got = run(here(command))
	    if command == "cat revision":
	        time.sleep(1.1)
	        then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
	        time.sleep(1.1)
	    want, got = same(here(shown)), same(got)
	    pattern = re.escape(want).replace(re.escape("..."), ".*")
	    if command.rstrip().endswith("&"): continue # what a job is called
	    if not re.fullmatch(pattern, got, re.S):
	        bad += 1
	        print(f"$ {command}\n  README: {want}\n  now:    {got}")
	run("exec 3>&-; kill %%; cd /")
	shell.stdin.close()
	shell.wait()
	sys.exit(bad > 0)
	END
}

@test "the five minutes of the README are true" {
	type_tour "$BATS_TEST_DIRNAME/../../README.md"
}
