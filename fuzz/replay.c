/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target over its corpus, a file at a time, and prints TAP.
 *
 * Each input lies in a block of exactly its size, so that a sanitizer sees a
 * read one byte past the end. The name is printed before the run: a crash
 * leaves it as the last line. The empty input always comes first.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20 };

/* A malloc'd copy of the file, owned by the caller; NULL with errno set. */
static uint8_t *load(int dirfd, const char *name, size_t *lenp)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	uint8_t *data = NULL;
	struct stat st;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && st.st_size <= INPUT_MAX) {
		*lenp = (size_t)st.st_size;
		data = malloc(*lenp ? *lenp : 1);
	}
	if (data && read(fd, data, *lenp) != (ssize_t)*lenp) {
		free(data);
		data = NULL;
	}
	close(fd);
	return data;
}

static int replay(int dirfd, const char *name, int n)
{
	size_t len = 0;
	uint8_t *data = load(dirfd, name, &len);

	if (!data) {
		printf("not ok %d - %s: cannot be read\n", n, name);
		return 1;
	}
	printf("# %s, %zu bytes\n", name, len);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, len);
	printf("ok %d - %s\n", n, name);
	free(data);
	return 0;
}

static int is_input(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	struct dirent **names = NULL;
	int n_names, n_bad = 0, dirfd;

	if (argc != 2) {
		fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argv[0]);
		return 2;
	}
	dirfd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	n_names = scandir(argv[1], &names, is_input, alphasort);
	if (dirfd < 0 || n_names <= 0) {
		printf("1..1\nnot ok 1 - no corpus in %s\n", argv[1]);
		return 1;
	}
	printf("1..%d\n", n_names + 1);
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	printf("ok 1 - empty input\n");
	for (int i = 0; i < n_names; i++) {
		n_bad += replay(dirfd, names[i]->d_name, i + 2);
		free(names[i]);
	}
	free(names);
	close(dirfd);
	return n_bad != 0;
}
