# SPDX-License-Identifier: MIT
# The library as others use it: installed headers, the shared object, and the
# program that the README shows.
bats_require_minimum_version 1.5.0
load /usr/lib/bats/bats-support/load
load /usr/lib/bats/bats-assert/load
load lib

setup()
{
	davit_setup
	# A program without the sanitizers cannot load a library with them.
	san=()
	! ldd "$LIBDAVIT/libdavit.so.0" | grep -q libasan ||
		san=(-fsanitize=address,undefined)
}

teardown()
{
	davit_teardown
}

@test "every public header compiles alone, as C and as C++" {
	for h in "$SRC"/include/davit/*.h; do
		echo "#include <davit/$(basename "$h")>" >"$top/t.c"
		run -0 cc -std=c11 -Wall -Wextra -Wpedantic -Werror \
			-D_GNU_SOURCE -I"$SRC/include" -fsyntax-only "$top/t.c"
		command -v c++ >/dev/null || continue
		run -0 c++ -x c++ -std=c++17 -Wall -Wextra -Werror \
			-I"$SRC/include" -fsyntax-only "$top/t.c"
	done
}

@test "the README shows the example as it is, and it runs" {
	awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' \
		"$SRC/README.md" >"$top/readme.c"
	grep -v -e '^/\* SPDX' -e '^ \*' -e '^/\*$' "$SRC/examples/hello.c" |
		sed '/./,$!d' >"$top/example.c"
	run -0 diff "$top/readme.c" "$top/example.c"
	[ "$(wc -l <"$top/readme.c")" -le 15 ]
	run -0 cc "${san[@]}" -Wall -Wextra -Werror -I"$SRC/include" \
		"$top/readme.c" -o "$top/hello" \
		-L"$LIBDAVIT" -ldavit
	cd "$top"
	run -0 env LD_LIBRARY_PATH="$LIBDAVIT" ./hello
	assert_output 'hello, sailor
(exit 0)'
	# What fails is said, and is its status.
	run -125 env LD_LIBRARY_PATH="$LIBDAVIT" PATH="$top/none" ./hello
	assert_output --partial sh
}

@test "the shared library exports only what the headers declare" {
	nm -D --defined-only "$LIBDAVIT/libdavit.so.0" |
		awk '$2 ~ /[TDBR]/ { sub(/@.*/, "", $3); print $3 }' |
		sort -u >"$top/exported"
	(cd "$SRC/include" && printf '#include <%s>\n' davit/*.h) |
		cc -E -D_GNU_SOURCE -I"$SRC/include" -x c - |
		grep -o 'dv_[a-z0-9_]*(' | tr -d '(' | sort -u >"$top/declared"
	run -0 comm -23 "$top/exported" "$top/declared"
	assert_output ""
}

@test "with pkg-config an installed copy is found" {
	[ -e "$LIBDAVIT/build.ninja" ] || skip "not in a build directory"
	run -0 env DESTDIR="$top/inst" meson install -C "$LIBDAVIT" --no-rebuild
	pc=$(find "$top/inst" -name davit.pc)
	run -0 env PKG_CONFIG_PATH="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$top/inst" \
		pkg-config --cflags --libs davit
	assert_output --partial "-ldavit"
	[ -n "$(find "$top/inst" -name 'davit-run.1*')" ]
	[ -n "$(find "$top/inst" -path '*bash-completion*' -name 'davit*')" ]
}
