/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/test.h"
#include "engine/seccomp.h"
#include "engine/seccomp_cache.h"

#define BPF_BUF DV_BUF_INIT(BPF_MAXINSNS * sizeof(struct sock_filter))

static const char profile[] =
	"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,"
	"\"syscalls\":[{\"names\":[\"read\",\"write\",\"exit_group\"],"
	"\"action\":\"SCMP_ACT_ALLOW\"},{\"names\":[\"bpf\"],"
	"\"action\":\"SCMP_ACT_ALLOW\","
	"\"includes\":{\"caps\":[\"CAP_BPF\"]}}]}";

#define WITH_BPF (UINT64_C(1) << CAP_BPF)

/* A directory with a profile, and a cache below it that is not there yet. */
struct place {
	char dir[32], json[64], cache[64];
	char file[160];  /* the cache file without capabilities */
	char other[160]; /* and with CAP_BPF */
};

static void name_file(const struct place *p, uint64_t caps, char *out,
		      size_t size)
{
	struct dv_sc_key key;

	dv_sc_key(&key, profile, strlen(profile), caps);
	snprintf(out, size, "%s/%s", p->cache, key.file);
}

static void place_make(struct place *p)
{
	snprintf(p->dir, sizeof(p->dir), "/tmp/davit-seccomp-XXXXXX");
	CHECK(mkdtemp(p->dir) != NULL);
	snprintf(p->json, sizeof(p->json), "%s/p.json", p->dir);
	snprintf(p->cache, sizeof(p->cache), "%s/var/cache", p->dir);
	name_file(p, 0, p->file, sizeof(p->file));
	name_file(p, WITH_BPF, p->other, sizeof(p->other));
	CHECK_EQ(dv_replace_file(AT_FDCWD, p->json, profile, strlen(profile),
				 0600),
		 0);
}

static void place_remove(struct place *p)
{
	CHECK_EQ(dv_remove_tree(AT_FDCWD, p->dir), 0);
}

static void get(const struct place *p, uint64_t caps, struct dv_buf *bpf)
{
	struct dv_err err = DV_ERR_INIT;
	int r;

	dv_buf_reset(bpf);
	r = dv_seccomp_profile(p->json, caps, p->cache, bpf, &err);
	if (r < 0)
		print_error("%s\n", err.msg);
	CHECK_EQ(r, 0);
}

static void check_same(const struct dv_buf *a, const struct dv_buf *b)
{
	CHECK_EQ(a->len, b->len);
	CHECK(memcmp(a->data, b->data, a->len) == 0);
}

TEST(cache_hit_gives_the_same_bytes)
{
	const struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
	dv_autobuf plain = BPF_BUF, first = BPF_BUF, second = BPF_BUF;
	struct dv_err err = DV_ERR_INIT;
	struct stat st;
	struct place p;

	place_make(&p);
	CHECK_EQ(dv_seccomp_profile(p.json, 0, NULL, &plain, &err), 0);
	CHECK(access(p.cache, F_OK) < 0);
	get(&p, 0, &first);
	CHECK_EQ(stat(p.cache, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0700);
	CHECK_EQ(utimensat(AT_FDCWD, p.file, old, 0), 0);
	get(&p, 0, &second);
	CHECK_EQ(stat(p.file, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0600);
	CHECK_EQ(st.st_mtim.tv_sec, 1000); /* it was not written again */
	check_same(&plain, &first);
	check_same(&plain, &second);
	place_remove(&p);
}

/* A program that no profile gives, stored as this one's, is what comes back. */
TEST(cache_hit_does_not_compile)
{
	const struct sock_filter mine = { 0x06, 0, 0, 0x7fff0000 };
	dv_autobuf bpf = BPF_BUF;
	struct dv_sc_key key;
	struct place p;

	place_make(&p);
	dv_sc_key(&key, profile, strlen(profile), 0);
	dv_sc_cache_store(p.cache, &key, &mine, sizeof(mine));
	get(&p, 0, &bpf);
	CHECK_EQ(bpf.len, sizeof(mine));
	CHECK(memcmp(bpf.data, &mine, sizeof(mine)) == 0);
	place_remove(&p);
}

TEST(cache_key_depends_on_profile_and_capabilities)
{
	struct dv_sc_key a, b;

	dv_sc_key(&a, profile, strlen(profile), 0);
	dv_sc_key(&b, profile, strlen(profile), 0);
	CHECK_STR(a.file, b.file);
	CHECK_EQ(strlen(a.file), 68);
	dv_sc_key(&b, profile, strlen(profile), WITH_BPF);
	CHECK(strcmp(a.file, b.file) != 0);
	dv_sc_key(&b, profile, strlen(profile) - 1, 0);
	CHECK(strcmp(a.file, b.file) != 0);
}

TEST(cache_keeps_profiles_apart)
{
	dv_autobuf without = BPF_BUF, with = BPF_BUF, again = BPF_BUF;
	struct place p;

	place_make(&p);
	get(&p, 0, &without);
	get(&p, WITH_BPF, &with);
	CHECK(with.len > without.len);
	/* The program of one under the name of the other is not taken. */
	CHECK_EQ(rename(p.other, p.file), 0);
	get(&p, 0, &again);
	check_same(&without, &again);
	place_remove(&p);
}

/* Flip bits of one byte; with @flip 0: cut the file there instead. */
static void damage(const char *file, off_t at, uint8_t flip)
{
	dv_autofd int fd = open(file, O_RDWR | O_CLOEXEC);
	uint8_t byte = 0;

	CHECK(fd >= 0);
	if (flip == 0) {
		CHECK_EQ(ftruncate(fd, at), 0);
		return;
	}
	CHECK_EQ(pread(fd, &byte, 1, at), 1);
	byte ^= flip;
	CHECK_EQ(pwrite(fd, &byte, 1, at), 1);
}

TEST(cache_damaged_anywhere_is_recovered)
{
	dv_autobuf first = BPF_BUF, again = BPF_BUF;
	struct dv_sc_key key;
	struct stat st;
	struct place p;

	place_make(&p);
	dv_sc_key(&key, profile, strlen(profile), 0);
	get(&p, 0, &first);
	CHECK_EQ(stat(p.file, &st), 0);
	for (off_t at = 0; at < st.st_size; at++) {
		for (int flip = 0; flip <= 0x10; flip += 0x10) {
			damage(p.file, at, (uint8_t)flip);
			dv_buf_reset(&again);
			CHECK(!dv_sc_cache_load(p.cache, &key, &again));
			CHECK_EQ(again.len, 0);
			get(&p, 0, &again);
			check_same(&first, &again);
			dv_buf_reset(&again);
			CHECK(dv_sc_cache_load(p.cache, &key, &again));
		}
	}
	place_remove(&p);
}

TEST(cache_with_bytes_behind_is_not_taken)
{
	dv_autobuf first = BPF_BUF, again = BPF_BUF;
	struct stat st;
	struct place p;

	place_make(&p);
	get(&p, 0, &first);
	CHECK_EQ(stat(p.file, &st), 0);
	damage(p.file, st.st_size + 8, 0); /* grows it, with zeroes */
	get(&p, 0, &again);
	check_same(&first, &again);
	damage(p.file, 1 << 20, 0);
	get(&p, 0, &again);
	check_same(&first, &again);
	place_remove(&p);
}

TEST(cache_others_can_write_is_not_trusted)
{
	dv_autobuf first = BPF_BUF, again = BPF_BUF;
	struct dv_sc_key key;
	struct stat st;
	struct place p;

	place_make(&p);
	dv_sc_key(&key, profile, strlen(profile), 0);
	get(&p, 0, &first);
	for (mode_t mode = 0602; mode <= 0620; mode += 016) {
		CHECK_EQ(chmod(p.file, mode), 0);
		CHECK(!dv_sc_cache_load(p.cache, &key, &again));
		get(&p, 0, &again);
		check_same(&first, &again);
		CHECK_EQ(stat(p.file, &st), 0);
		CHECK_EQ(st.st_mode & 07777, 0600); /* a new one of ours */
		dv_buf_reset(&again);
	}
	place_remove(&p);
}

TEST(cache_of_another_owner_is_not_trusted)
{
	dv_autobuf first = BPF_BUF, again = BPF_BUF;
	struct dv_sc_key key;
	struct place p;

	place_make(&p);
	dv_sc_key(&key, profile, strlen(profile), 0);
	get(&p, 0, &first);
	if (geteuid() != 0 || chown(p.file, 65534, 65534) < 0) {
		place_remove(&p);
		dv_buf_free(&first);
		SKIP("only root can give a file away");
	}
	CHECK(!dv_sc_cache_load(p.cache, &key, &again));
	get(&p, 0, &again);
	check_same(&first, &again);
	place_remove(&p);
}

TEST(cache_that_is_no_file_is_replaced)
{
	dv_autobuf first = BPF_BUF, again = BPF_BUF;
	struct stat st;
	struct place p;

	place_make(&p);
	get(&p, 0, &first);
	CHECK_EQ(rename(p.file, p.other), 0);
	CHECK_EQ(symlink(p.other, p.file), 0);
	get(&p, 0, &again);
	check_same(&first, &again);
	CHECK_EQ(lstat(p.file, &st), 0);
	CHECK(S_ISREG(st.st_mode));
	CHECK_EQ(unlink(p.file), 0);
	CHECK_EQ(mkfifo(p.file, 0600), 0);
	get(&p, 0, &again); /* does not wait for a writer */
	check_same(&first, &again);
	CHECK_EQ(unlink(p.file), 0);
	CHECK_EQ(mkdir(p.file, 0700), 0);
	get(&p, 0, &again);
	check_same(&first, &again);
	place_remove(&p);
}

TEST(cache_that_cannot_be_written_is_no_error)
{
	dv_autobuf first = BPF_BUF, again = BPF_BUF;
	struct place p;

	place_make(&p);
	get(&p, 0, &first);
	snprintf(p.cache, sizeof(p.cache), "%s", p.json); /* a file */
	get(&p, 0, &again);
	check_same(&first, &again);
	snprintf(p.cache, sizeof(p.cache), "/proc/no/such");
	get(&p, 0, &again);
	check_same(&first, &again);
	place_remove(&p);
}

/* ---- the profile's file --------------------------------------------- */

static void check_file_error(const char *path, int want, const char *msg)
{
	struct dv_err err = DV_ERR_INIT;
	dv_autobuf bpf = BPF_BUF;

	CHECK_EQ(dv_seccomp_profile(path, 0, NULL, &bpf, &err), want);
	CHECK_STR(err.msg, msg);
	CHECK_EQ(err.step, DV_STEP_CONFIG);
}

TEST(profile_file_errors_name_the_file)
{
	char want[128];
	struct place p;

	check_file_error(
		"/no/such", -ENOENT,
		"seccomp profile: /no/such: No such file or directory");
	check_file_error("/dev/zero", -EFBIG,
			 "seccomp profile: /dev/zero: larger than 1048576 "
			 "bytes");
	check_file_error("/", -EISDIR, "seccomp profile: /: Is a directory");
	place_make(&p);
	CHECK_EQ(dv_replace_file(AT_FDCWD, p.json, "{\n ?", 4, 0600), 0);
	snprintf(want, sizeof(want),
		 "seccomp profile: %s:2:2: quoted object property name "
		 "expected",
		 p.json);
	check_file_error(p.json, -EINVAL, want);
	place_remove(&p);
}
