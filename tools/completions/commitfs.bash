# bash completion for commitfs(1). Commands, options and arguments are read from the help of
# the command itself, so what is completed is what is installed.
# shellcheck shell=bash disable=SC2207 # words without blanks

# _commitfs_commands PROGRAM
_commitfs_commands() {
	"$1" help 2>/dev/null | awk '/^$/ { on = 0 } on { print $1 } /^Commands:/ { on = 1 }'
}

# _commitfs_options PROGRAM COMMAND: a line each, those that take a value with a = behind
_commitfs_options() {
	"$1" help "$2" 2>/dev/null | awk '/^$/ { on = 0 } /^Options:/ { on = 1 } on && /^  -/ {
		long = $1 ~ /^--/ ? $1 : $2
		value = index(long, "=") > 0
		sub(/=.*/, "=", long)
		print long
		if ($1 !~ /^--/) { sub(/,/, "", $1); print $1 (value ? "=" : "") }
	}'
}

# _commitfs_argument PROGRAM COMMAND N FIRST: what the usage calls the Nth argument; the last of
# them when it may be repeated. Where it has alternatives, each of which begins with a word: those
# words, a line each, and behind the FIRST that was given what follows that. Of others the first.
_commitfs_argument() {
	"$1" help "$2" 2>/dev/null | awk -v n="$3" -v first="$4" '/^  commitfs/ {
		sub(/ \| [^a-z].*/, "")
		alternatives = / \| /
		for (i = 3; i <= NF; i++) {
			if (alternatives && (i == 3 || $(i - 1) == "|")) {
				words = words $i "\n"
				skip = $i != first
				count = 1
			} else if ($i != "[options]" && $i != "|" && !skip)
				word[++count] = $i
			if (!skip)
				last = count
		}
		name = n in word ? word[n] : word[last] ~ /\.\.\./ ? word[last] : ""
		gsub(/[^A-Z]/, "", name)
		printf "%s", alternatives && n == 1 ? words : name "\n"
		exit
	}'
}

# Not by compgen -W, which would expand what others have called their mount points.
_commitfs_mounts() {
	local point type
	while IFS=' ' read -r _ point type _; do
		[ "$type" = fuse.commitfs ] || continue
		printf -v point %b "${point//\\0/\\00}"
		[[ $point != "$cur"* ]] || printf '%s\n' "$point"
	done </proc/self/mounts
}

# _commitfs_keys MNT: those that begin with what was typed
_commitfs_keys() {
	local key
	compgen -f -- "$1/keys/$cur" | while read -r key; do
		[ ! -d "$key" ] || key=$key/
		printf '%s\n' "${key#"$1/keys/"}"
	done
}

_commitfs_complete_argument() {
	local IFS=$'\n' argument
	argument=$(_commitfs_argument "$program" "$command" $((count + 1)) "$first")
	case $argument in
	[[:lower:]]*) COMPREPLY=($(compgen -W "$argument" -- "$cur")) ;;
	STORE)
		COMPREPLY=($(compgen -W 'memory:' -- "$cur") $(compgen -d -- "$cur"))
		;;
	MNT)
		COMPREPLY=($(_commitfs_mounts))
		[ "$command" != mount ] || COMPREPLY=($(compgen -d -- "$cur"))
		;;
	DIR) COMPREPLY=($(compgen -d -- "$cur")) ;;
	KEY | PREFIX)
		compopt -o nospace 2>/dev/null
		COMPREPLY=($(_commitfs_keys "$mnt"))
		;;
	COMMAND) COMPREPLY=($(compgen -c -- "$cur")) ;;
	*) COMPREPLY=($(compgen -f -- "$cur")) ;;
	esac
}

_commitfs() {
	local program=${COMP_WORDS[0]} command=${COMP_WORDS[1]} cur=${COMP_WORDS[COMP_CWORD]}
	local options word argument i count=0 mnt= first=
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		COMPREPLY=($(compgen -W "$(_commitfs_commands "$program") --help --version" -- "$cur"))
		return
	elif [ "$command" = help ]; then
		COMPREPLY=($(compgen -W "$(_commitfs_commands "$program")" -- "$cur"))
		return
	fi
	options=$(_commitfs_options "$program" "$command")
	for ((i = 2; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [ "$word" = -- ]; then
			# The rest is another command's.
			COMPREPLY=($(compgen -f -- "$cur"))
			[ $((i + 1)) != "$COMP_CWORD" ] || COMPREPLY=($(compgen -c -- "$cur"))
			return
		elif [ "$word" = = ] || [ "${COMP_WORDS[i - 1]}" = = ]; then
			continue
		elif [[ $word == -* ]]; then
			# Its value is the next word, unless that is the one to be completed.
			if [[ $'\n'$options$'\n' == *$'\n'"$word="$'\n'* && ${COMP_WORDS[i + 1]} != = ]]; then
				((i++))
				[ "$i" != "$COMP_CWORD" ] || return 0
			fi
		else
			((count++))
			[ $count != 1 ] || first=$word
			argument=$(_commitfs_argument "$program" "$command" "$count" "$first")
			[ "$argument" != MNT ] || mnt=$word
		fi
	done
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$options" -- "$cur"))
		[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace 2>/dev/null
	elif [ "$cur" = = ] || [ "${COMP_WORDS[COMP_CWORD - 1]}" = = ]; then
		[ "$cur" != = ] || cur=
		COMPREPLY=($(compgen -f -- "$cur"))
	else
		_commitfs_complete_argument
	fi
}

complete -o filenames -F _commitfs commitfs
