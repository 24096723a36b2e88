# SPDX-License-Identifier: MIT
# fish completion for davit, which knows itself what a word may become.
function __davit_complete
	command -q davit; or return
	set -l word (commandline -ct)
	set -l words (commandline -opc)[2..-1]
	set -l plain (string unescape -- $word; or echo $word)
	set -l answer (davit complete -- $words "$plain" 2>/dev/null)
	set -l kind (string split ' ' -- $answer[1])
	set -e answer[1]
	switch "$kind[1]"
	case files dirs
		set -l head (string sub -l $kind[2] -- "$word")
		set -l rest (string sub -s (math $kind[2] + 1) -- "$word")
		if test $kind[1] = dirs
			printf '%s\n' $head(__fish_complete_directories "$rest")
		else
			printf '%s\n' $head(complete -C "'' $rest")
		end
	case command
		set -l line
		if test $kind[2] -lt (count $words)
			set line (string escape -- \
				$words[(math $kind[2] + 1)..-1])
		end
		complete -C "$line $word"
	case words
		string join \n -- $answer
	end
end
complete -c davit -f -a '(__davit_complete)'
