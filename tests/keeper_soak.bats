# SPDX-License-Identifier: MIT
# Random verbs on many sandboxes, with keepers and clients killed at random.
# SEQUENCES and SEED may be set; `make soak` has 2,000.
load lib
load keepers
setup() { davit_setup; }
teardown()
{
	"$top/davit" ps -a -q | while read -r id; do
		"$top/davit" rm -f "$id" || :
	done
	keepers_end
	davit_teardown
}

@test "sequences of verbs: the state is always true, and nothing is left" {
	local n=40

	! sanitized || n=12
	run "$HELPERS/lifecycle.py" "$top/davit" 20 "${SEQUENCES:-$n}" \
		"${SEED:-$RANDOM}"
	echo "$output"
	[ "$status" = 0 ]
}
