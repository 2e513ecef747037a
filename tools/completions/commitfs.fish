# fish completion for commitfs(1). Commands, options and arguments are read from the help of
# the command itself, so what is completed is what is installed.

function __commitfs_commands
	commitfs help 2>/dev/null | awk '/^$/ { on = 0 }
		on { name = $1; $1 = ""; print name "\t" substr($0, 2) } /^Commands:/ { on = 1 }'
end

# The words before the one to be completed: the command first
function __commitfs_words
	set -l words (commandline -opc)
	string join \n -- $words[2..-1]
end

function __commitfs_needs_command
	set -l words (__commitfs_words)
	test (count $words) -eq 0; or test "$words[1]" = help -a (count $words) -eq 1
end

function __commitfs_options
	set -l words (__commitfs_words)
	commitfs help $words[1] 2>/dev/null | awk '/^$/ { on = 0 } /^Options:/ { on = 1 }
		on && /^  -/ {
			long = $1 ~ /^--/ ? $1 : $2
			text = $0
			sub(/^ +(-., )?--[^ ]+ */, "", text)
			sub(/=.*/, "=", long)
			print long "\t" text
			if ($1 !~ /^--/) print substr($1, 1, 2) "\t" text
		}'
end

function __commitfs_mounts
	awk '$3 == "fuse.commitfs" { print $2 }' /proc/self/mounts | while read -l point
		printf '%b\n' $point
	end
end

# What the usage calls the argument to be completed. Where it has alternatives, each of which
# begins with a word: those words, a line each, and behind one what follows that. Of others the
# first.
function __commitfs_argument
	set -l words (__commitfs_words)
	set -l count 1
	set -l first
	for word in $words[2..-1]
		string match -q -- '-*' $word; and continue
		set count (math $count + 1)
		set -q first[1]; or set first $word
	end
	commitfs help $words[1] 2>/dev/null | awk -v n=$count -v first="$first" '/^  commitfs/ {
		sub(/ \| [^a-z].*/, "")
		alternatives = / \| /
		for (i = 3; i <= NF; i++) {
			if (alternatives && (i == 3 || $(i - 1) == "|")) {
				all = all $i "\n"
				skip = $i != first
				count = 1
			} else if ($i != "[options]" && $i != "--" && $i != "|" && !skip)
				word[++count] = $i
			if (!skip)
				last = count
		}
		name = n in word ? word[n] : word[last]
		gsub(/[^A-Z]/, "", name)
		printf "%s", alternatives && n == 1 ? all : name "\n"
		exit
	}'
end

function __commitfs_values
	set -l token (commandline -ct)
	if string match -q -- '-*' $token
		__commitfs_options
		return
	end
	set -l words (__commitfs_words)
	set -l argument (__commitfs_argument)
	if string match -qr '^[a-z]' -- "$argument[1]"
		string join \n -- $argument
		return
	end
	switch "$argument[1]"
		case STORE
			echo memory:
			__fish_complete_directories $token
		case MNT
			if test "$words[1]" = mount
				__fish_complete_directories $token
			else
				__commitfs_mounts
			end
		case DIR
			__fish_complete_directories $token
		case COMMAND ARG
			__fish_complete_command
		case '*'
			__fish_complete_path $token
	end
end

complete -c commitfs -f
complete -c commitfs -n __commitfs_needs_command -a '(__commitfs_commands)'
complete -c commitfs -n 'not __commitfs_needs_command' -a '(__commitfs_values)'
