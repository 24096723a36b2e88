# SPDX-License-Identifier: MIT
# bash completion for davit, which knows itself what a word may become.
_davit()
{
	local rest=${COMP_LINE:0:COMP_POINT} breaks=${COMP_WORDBREAKS//[!:=]/}
	local gap piece word keep= kind n i
	local -a words=() at=() answer=()

	# bash splits words at : and = too; davit does not.
	for ((i = 0; i <= COMP_CWORD; i++)); do
		gap=${rest%%[![:space:]]*}
		rest=${rest#"$gap"}
		piece=${COMP_WORDS[i]}
		[[ $i -lt $COMP_CWORD ]] || piece=$rest
		rest=${rest#"$piece"}
		if [[ $i -gt 0 && -z $gap ]]; then
			words[-1]+=$piece
		else
			words+=("$piece")
			at+=("$i")
		fi
	done
	words=("${words[@]//[\"\'\\]/}")
	mapfile -t answer < <(davit complete -- "${words[@]:1}" 2>/dev/null)
	read -r kind n <<<"${answer[0]}"
	case $kind in
	files) compopt -o default ;;
	dirs) compopt -o dirnames ;;
	command)
		if declare -F _command_offset >/dev/null; then
			_command_offset "${at[n + 1]}"
		elif ((n + 2 == ${#words[@]})); then
			mapfile -t COMPREPLY < <(compgen -c -- "${words[-1]}")
		else
			compopt -o default
		fi
		;;
	words)
		# What stands before the last of the breaks stays where it is.
		word=${words[-1]}
		[[ -z $breaks ]] || keep=${word%"${word##*[$breaks]}"}
		for word in "${answer[@]:1}"; do
			word=${word%%$'\t'*}
			printf -v word %q "${word#"$keep"}"
			COMPREPLY+=("$word")
		done
		[[ ${#COMPREPLY[@]} != 1 || $word != */ ]] || compopt -o nospace
		;;
	esac
}
complete -F _davit davit
