/* SPDX-License-Identifier: MIT */
#include "engine/foreign.h"

#ifdef __x86_64__
#include <elf.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"

bool dv_is_foreign(const char *file)
{
	Elf32_Ehdr hdr;
	/* It may be a fifo: nothing here waits. */
	dv_autofd int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	return fd >= 0 && dv_read(fd, &hdr, sizeof(hdr)) == sizeof(hdr) &&
	       memcmp(hdr.e_ident, ELFMAG, SELFMAG) == 0 &&
	       hdr.e_ident[EI_CLASS] == ELFCLASS32 && hdr.e_machine == EM_386;
}
#else
bool dv_is_foreign(const char *file)
{
	(void)file;
	return false;
}
#endif
