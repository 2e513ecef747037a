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

# What the usage calls the argument to be completed
function __commitfs_argument
	set -l words (__commitfs_words)
	set -l count 1
	for word in $words[2..-1]
		string match -q -- '-*' $word; or set count (math $count + 1)
	end
	commitfs help $words[1] 2>/dev/null | awk -v n=$count '/^  commitfs/ {
		for (i = 3; i <= NF; i++)
			if ($i != "[options]" && $i != "--") word[++count] = $i
		name = n in word ? word[n] : word[count]
		if (name !~ /^[a-z]+\|/) # words to choose from
			gsub(/[^A-Z]/, "", name)
		print name
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
	switch $argument
		case '*|*'
			string split '|' -- $argument
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
