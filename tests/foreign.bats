# SPDX-License-Identifier: MIT
# 32-bit programs on a 64-bit machine: the default filter lets none run, and
# davit says so before one is executed.
load lib

setup()
{
	davit_setup
	make_prog32 "$top/work/prog32"
}

teardown() { davit_teardown; }

# An ELF of 32 bits that prints "32" and exits with 7.
make_prog32()
{
	"$PYTHON" - "$1" <<-'END'
	import os, struct, sys
	base, text = 0x08048000, b"32\n"
	def code(at):
	    return (b"\xb8\x04\0\0\0\xbb\x01\0\0\0\xb9" + struct.pack("<I", at)
	            + b"\xba\x03\0\0\0\xcd\x80"             # write(1, at, 3)
	            + b"\xb8\x01\0\0\0\xbb\x07\0\0\0\xcd\x80")  # exit(7)
	head = 52 + 32
	size = head + len(code(0)) + len(text)
	elf = b"\x7fELF\x01\x01\x01" + bytes(9)
	elf += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + head, 52, 0, 0,
	                   52, 32, 1, 0, 0, 0)
	elf += struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 4096)
	elf += code(base + size - len(text)) + text
	open(sys.argv[1], "wb").write(elf)
	os.chmod(sys.argv[1], 0o755)
	END
	[ "$(uname -m)" = x86_64 ] || skip 'not an x86-64 machine'
	run "$1"
	[ "$status" = 7 ] || skip 'this kernel runs no 32-bit programs'
}

@test "a 32-bit program is refused before it runs, with the way out" {
	says_why()
	{
		local way

		for way in ./prog32 "$top/work/prog32"; do
			refused 126 "exec $way: a 32-bit program" run -q -- "$way"
			[[ ${stderr_lines[1]} == *'--seccomp unconfined'* ]]
		done
		refused 126 'a 32-bit program' run -q -e "PATH=/bin:$top/work" \
			-- prog32
	}
	each_user says_why
}

@test "a 32-bit program runs without a filter" {
	runs()
	{
		run -7 sandbox --seccomp unconfined -- ./prog32
		assert_output 32
	}
	each_user runs
}

@test "a 32-bit program runs under a profile that names its architecture" {
	cat >"$top/profile" <<-'END'
	{ "defaultAction": "SCMP_ACT_ALLOW",
	  "architectures": [ "SCMP_ARCH_X86_64", "SCMP_ARCH_X86" ],
	  "syscalls": [ { "names": [ "acct" ], "action": "SCMP_ACT_ERRNO" } ] }
	END
	chmod 644 "$top/profile"
	run -7 sandbox --seccomp "$top/profile" -- ./prog32
	assert_output 32
}

# Who starts it inside is told by the signal: no call of it does anything.
@test "a 32-bit program that a shell starts ends with SIGSYS" {
	run --separate-stderr -0 sandbox -- /bin/sh -c \
		'./prog32; echo "status $?"'
	assert_output 'status 159'
}

@test "a file that only looks like a 32-bit program is what it is" {
	printf '\177ELF\001' >short
	printf '#!/bin/sh\necho script\n' >script
	chmod +x short script
	refused 126 'exec ./short: Exec format error' run -q -- ./short
	run -0 sandbox -- ./script
	assert_output script
	# Not readable, but executable: it cannot be looked at.
	cp /bin/true unreadable
	chmod 111 unreadable
	become user
	chmod 755 "$top/work"
	run -0 sandbox -- ./unreadable
	back_to_root
}
