/* SPDX-License-Identifier: MIT */
/*
 * crashme [MIB]: a process to be dumped.
 *
 * Three threads stand in known functions with known arguments, and known values
 * are in every kind of memory; MIB more of it is filled. It says "ready" when
 * all are in place, then answers every line of its input with the number of
 * lines so far, so that it is seen whether it goes on. It ends with its input.
 * Made without optimization, so that a debugger finds everything. It uses
 * nothing of davit.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SPARSE = 64 << 20, MIB = 1 << 20 };

int global_variable = 24301;
static int counter;
char zero_text[16]; /* of .bss */
const char const_text[] = "in the program";
char *heap_text;   /* of malloc() */
char *sparse;      /* its middle and its end are touched */
char *shared;      /* without a file */
char *undumpable;  /* MADV_DONTDUMP */
char *reservation; /* a terabyte, of which the middle page was written */
char *filled;

static sem_t never, ready;
static int nothing[2]; /* a pipe to which nobody writes */

/* ---- the threads ----------------------------------------------------- */

static void alpha_inner(int depth, const char *what)
{
	sem_post(&ready);
	while (sem_wait(&never) < 0 && depth > 0)
		depth += what[0] == 'x';
}

static void alpha_middle(int depth)
{
	alpha_inner(depth + 1, "alpha");
}

static void *alpha(void *arg)
{
	alpha_middle(*(int *)arg);
	return NULL;
}

static long beta_inner(double number)
{
	char byte;

	sem_post(&ready);
	if (read(nothing[0], &byte, 1) < 0)
		return 1;
	return (long)number;
}

static void *beta(void *arg)
{
	double number = *(int *)arg / 8.0;

	return (void *)beta_inner(number);
}

/* ---- the main thread -------------------------------------------------- */

static void answer_lines(int first)
{
	char line[256];

	counter = first;
	while (fgets(line, sizeof(line), stdin)) {
		counter++;
		printf("%d\n", counter);
		fflush(stdout);
	}
}

static char *map(size_t len, int flags)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		perror("crashme: mmap");
		exit(1);
	}
	return p;
}

static void make_memory(size_t fill)
{
	heap_text = strdup("on the heap");
	sparse = map(SPARSE, MAP_PRIVATE);
	strcpy(sparse + SPARSE / 2, "in the middle");
	strcpy(sparse + SPARSE - 16, "at the end");
	shared = map(MIB, MAP_SHARED);
	strcpy(shared, "shared");
	undumpable = map(MIB, MAP_PRIVATE);
	strcpy(undumpable, "secret-of-crashme");
	madvise(undumpable, MIB, MADV_DONTDUMP);
	reservation = map((size_t)1 << 40, MAP_PRIVATE);
	strcpy(reservation + ((size_t)1 << 39), "far away");
	filled = map(fill + MIB, MAP_PRIVATE);
	for (size_t i = 0; i < fill; i += sizeof(i))
		memcpy(filled + i, &i, sizeof(i));
	mmap(NULL, (size_t)1 << 40, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

int main(int argc, char **argv)
{
	int seven = 7, forty_two = 42;
	pthread_t a, b;

	make_memory(argc > 1 ? strtoul(argv[1], NULL, 10) * MIB : 0);
	sem_init(&never, 0, 0);
	sem_init(&ready, 0, 0);
	if (pipe(nothing) < 0 || pthread_create(&a, NULL, alpha, &seven) ||
	    pthread_create(&b, NULL, beta, &forty_two))
		return 1;
	sem_wait(&ready);
	sem_wait(&ready);
	puts("ready");
	fflush(stdout);
	answer_lines(0);
	return 0;
}
