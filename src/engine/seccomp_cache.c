/* SPDX-License-Identifier: MIT */
/*
 * DOC: a cache file.
 *
 *	 0  magic, 8 bytes; its last byte is the format's version
 *	 8  number of instructions, 32 bits, little endian
 *	12  0, 32 bits
 *	16  SHA-256 of the file's name and the program
 *	48  the program, struct sock_filter in native order
 *
 * A filter decides what a sandbox may do, so nobody but us may have written it:
 * the file must be a regular file of our own that others cannot write. The hash
 * finds what was cut off or damaged, and a file that was moved to the name of
 * another profile. Two that store the same profile at once are harmless: both
 * write the same bytes, and a reader that comes too early sees a wrong hash.
 */
#include "engine/seccomp_cache.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <nettle/sha2.h>
#include <seccomp.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/path.h"

enum {
	COUNT_AT = 8,
	HASH_AT = 16,
	PROGRAM_AT = 48,
	INSN = sizeof(struct sock_filter),
	FILE_MAX = PROGRAM_AT + BPF_MAXINSNS * INSN,
};

static const uint8_t magic[COUNT_AT] = { 'd', 'v', 's', 'e', 'c', 'b', 'p', 1 };

/* ---- keys ---------------------------------------------------------- */

static void hash_u64(struct sha256_ctx *h, uint64_t v)
{
	uint8_t le[8];

	dv_put_le64(le, v);
	sha256_update(h, sizeof(le), le);
}

/* With its NUL, so that two texts cannot run into each other. */
static void hash_text(struct sha256_ctx *h, const char *s)
{
	sha256_update(h, strlen(s) + 1, (const uint8_t *)s);
}

/* A newer libseccomp knows more names, a newer kernel meets more conditions. */
static void hash_machine(struct sha256_ctx *h)
{
	const struct scmp_version *v = seccomp_version();
	struct utsname uts = { 0 };

	uname(&uts);
	hash_text(h, uts.release);
	hash_u64(h, seccomp_arch_native());
	hash_u64(h, v->major);
	hash_u64(h, v->minor);
	hash_u64(h, v->micro);
}

void dv_sc_key(struct dv_sc_key *key, const char *json, size_t len,
	       uint64_t caps)
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx h;

	sha256_init(&h);
	sha256_update(&h, sizeof(magic), magic);
	hash_text(&h, DV_VERSION);
	hash_machine(&h);
	hash_u64(&h, caps);
	sha256_update(&h, len, (const uint8_t *)json);
	sha256_digest(&h, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		dv_fmt(key->file + 2 * i, 3, "%02x", digest[i]);
	memcpy(key->file + 2 * sizeof(digest), ".bpf", 5);
}

static void file_hash(const struct dv_sc_key *key, const void *bpf, size_t len,
		      uint8_t digest[SHA256_DIGEST_SIZE])
{
	struct sha256_ctx h;

	sha256_init(&h);
	hash_text(&h, key->file);
	sha256_update(&h, len, bpf);
	sha256_digest(&h, SHA256_DIGEST_SIZE, digest);
}

/* ---- files --------------------------------------------------------- */

/* The length of a file that we can trust, or -1. */
static ssize_t trusted_size(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return -1;
	if (st.st_size <= PROGRAM_AT || st.st_size > FILE_MAX ||
	    (st.st_size - PROGRAM_AT) % INSN != 0)
		return -1;
	return st.st_size;
}

static bool is_sound(const struct dv_sc_key *key, const uint8_t *file,
		     size_t len)
{
	struct dv_rd rd = dv_rd_mem(file + COUNT_AT, HASH_AT - COUNT_AT);
	uint8_t digest[SHA256_DIGEST_SIZE];
	size_t program = len - PROGRAM_AT;

	if (memcmp(file, magic, sizeof(magic)) != 0 ||
	    dv_rd_le32(&rd) != program / INSN || dv_rd_le32(&rd) != 0)
		return false;
	file_hash(key, file + PROGRAM_AT, program, digest);
	return memcmp(file + HASH_AT, digest, sizeof(digest)) == 0;
}

bool dv_sc_cache_load(const char *dir, const struct dv_sc_key *key,
		      struct dv_buf *bpf)
{
	dv_autofree uint8_t *file = NULL;
	dv_autofd int fd = -1;
	char path[PATH_MAX];
	ssize_t len;

	if (dv_path_join(path, sizeof(path), dir, key->file) < 0)
		return false;
	/* Whoever put a pipe there must not make us wait for it. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	len = fd < 0 ? -1 : trusted_size(fd);
	if (len < 0)
		return false;
	file = malloc((size_t)len);
	if (!file || dv_read_full(fd, file, (size_t)len) != len ||
	    !is_sound(key, file, (size_t)len))
		return false;
	return dv_buf_put(bpf, file + PROGRAM_AT, (size_t)len - PROGRAM_AT) ==
	       0;
}

void dv_sc_cache_store(const char *dir, const struct dv_sc_key *key,
		       const void *bpf, size_t len)
{
	dv_autobuf file = DV_BUF_INIT(FILE_MAX);
	uint8_t head[PROGRAM_AT] = { 0 };
	char path[PATH_MAX];

	memcpy(head, magic, sizeof(magic));
	dv_put_le32(head + COUNT_AT, (uint32_t)(len / INSN));
	file_hash(key, bpf, len, head + HASH_AT);
	dv_buf_put(&file, head, sizeof(head));
	if (dv_buf_put(&file, bpf, len) < 0 ||
	    dv_path_join(path, sizeof(path), dir, key->file) < 0 ||
	    dv_mkdir_p(dir, 0700) < 0)
		return;
	/* A full disk, a read-only one: the next start compiles again. */
	(void)dv_replace_file(AT_FDCWD, path, file.data, file.len, 0600);
}
