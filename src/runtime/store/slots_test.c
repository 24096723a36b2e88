/* SPDX-License-Identifier: MIT */
#include "engine/proc_try.h"

#include <sys/wait.h>

#include "base/def.h"
#include "runtime/store/dirs.h"
#include "runtime/store/slots.h"

static struct try_dir top;
static int base;

static void open_top(void)
{
	try_dir_make(&top);
	base = open(top.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(base >= 0);
}

static void close_top(void)
{
	dv_close(base);
	try_dir_remove(&top);
}

/* ---- a cleaner that remembers ---------------------------------------------
 */

static int n_cleaned, clean_result;
static char cleaned[DV_SLOT_SIZE + 1];

static int clean(char *lines)
{
	n_cleaned++;
	dv_fmt(cleaned, sizeof(cleaned), "%s", lines);
	return clean_result;
}

/* How many slots the sweeper took up. */
static int sweep(int result)
{
	n_cleaned = 0;
	cleaned[0] = '\0';
	clean_result = result;
	dv_slots_sweep(base, clean);
	return n_cleaned;
}

/* ---- one slot -------------------------------------------------------------
 */

TEST(slot_of_the_living_is_left_alone)
{
	struct dv_slot s;

	open_top();
	CHECK_EQ(sweep(0), 0); /* no file yet */
	CHECK_EQ(dv_slot_claim(&s, base), 0);
	CHECK_EQ(dv_slot_note(&s, "one"), 0);
	CHECK_EQ(dv_slot_note(&s, "two"), 0);
	CHECK_EQ(sweep(0), 0);
	dv_slot_clear(&s);
	dv_slot_clear(&s);
	CHECK_EQ(sweep(0), 0);
	close_top();
}

TEST(slot_of_the_dead_is_swept_until_it_is_clean)
{
	struct dv_slot s;

	open_top();
	CHECK_EQ(dv_slot_claim(&s, base), 0);
	CHECK_EQ(dv_slot_note(&s, "one"), 0);
	CHECK_EQ(dv_slot_note(&s, "two"), 0);
	dv_slot_release(&s); /* as a killed keeper does */
	CHECK_EQ(sweep(-EBUSY), 1);
	CHECK_STR(cleaned, "one\ntwo\n");
	CHECK_EQ(sweep(0), 1);
	CHECK_STR(cleaned, "one\ntwo\n");
	CHECK_EQ(sweep(0), 0);
	close_top();
}

TEST(slot_without_a_note_needs_no_sweeping)
{
	struct dv_slot s;

	open_top();
	CHECK_EQ(dv_slot_claim(&s, base), 0);
	dv_slot_release(&s);
	CHECK_EQ(sweep(0), 0);
	close_top();
}

TEST(slot_takes_what_fits_and_no_more)
{
	char line[DV_SLOT_SIZE + 1];
	struct dv_slot s;

	open_top();
	CHECK_EQ(dv_slot_claim(&s, base), 0);
	memset(line, 'x', sizeof(line));
	line[DV_SLOT_SIZE] = '\0';
	CHECK_EQ(dv_slot_note(&s, line), -ENOSPC);
	line[DV_SLOT_SIZE - 1] = '\0'; /* no room for the line's end */
	CHECK_EQ(dv_slot_note(&s, line), -ENOSPC);
	line[DV_SLOT_SIZE - 2] = '\0'; /* nor for the zero behind it */
	CHECK_EQ(dv_slot_note(&s, line), 0);
	CHECK_EQ(dv_slot_note(&s, ""), -ENOSPC);
	dv_slot_release(&s);
	CHECK_EQ(sweep(0), 1);
	CHECK_EQ(strlen(cleaned), DV_SLOT_SIZE - 1);
	close_top();
}

/* ---- many -----------------------------------------------------------------
 */

TEST(slots_are_taken_one_each_until_there_are_none)
{
	struct dv_slot s[DV_SLOTS], more;

	open_top();
	for (size_t i = 0; i < DV_SLOTS; i++) {
		char line[16];

		CHECK_EQ(dv_slot_claim(&s[i], base), 0);
		for (size_t k = 0; k < i; k++)
			CHECK(s[k].at != s[i].at);
		dv_fmt(line, sizeof(line), "%zu", i);
		CHECK_EQ(dv_slot_note(&s[i], line), 0);
	}
	CHECK_EQ(dv_slot_claim(&more, base), -EBUSY);
	CHECK_EQ(more.fd, -1);
	CHECK_EQ(sweep(0), 0);
	dv_slot_clear(&s[3]);
	CHECK_EQ(dv_slot_claim(&more, base), 0);
	dv_slot_release(&more);
	for (size_t i = 0; i < DV_SLOTS; i++)
		if (i != 3)
			dv_slot_release(&s[i]);
	CHECK_EQ(sweep(0), DV_SLOTS - 1);
	close_top();
}

/* Its notes would be lost. */
TEST(slot_of_the_dead_is_not_taken_before_it_is_swept)
{
	struct dv_slot s[DV_SLOTS], more;

	open_top();
	for (size_t i = 0; i < DV_SLOTS; i++) {
		CHECK_EQ(dv_slot_claim(&s[i], base), 0);
		CHECK_EQ(dv_slot_note(&s[i], "group"), 0);
	}
	for (size_t i = 0; i < DV_SLOTS; i++)
		dv_slot_release(&s[i]);
	CHECK_EQ(dv_slot_claim(&more, base), -EBUSY);
	CHECK_EQ(sweep(0), DV_SLOTS);
	CHECK_EQ(dv_slot_claim(&more, base), 0);
	dv_slot_release(&more);
	close_top();
}

/* As an umask of 777 leaves it; root may open it all the same. */
static int claim_locked(void)
{
	struct dv_slot s;
	struct stat st;

	if (setresuid(65534, 65534, 65534) < 0)
		return 1;
	umask(0777);
	if (dv_slot_claim(&s, base) < 0)
		return 2;
	dv_slot_release(&s);
	if (dv_slot_claim(&s, base) < 0)
		return 3;
	dv_slot_release(&s);
	return fstatat(base, "slots", &st, 0) == 0 &&
			       (st.st_mode & 0777) == 0600
		       ? 0
		       : 4;
}

TEST(slots_do_not_depend_on_the_umask)
{
	int status;
	pid_t pid;

	need_other_user();
	open_top();
	CHECK_EQ(fchown(base, 65534, 65534), 0);
	pid = fork();
	if (pid == 0)
		_exit(claim_locked());
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	close_top();
}

/* ---- homes ----------------------------------------------------------------
 */

static void open_home(struct dv_home *home)
{
	open_top();
	CHECK_EQ(setenv("DAVIT_RUNDIR", try_path(&top, "run"), 1), 0);
	CHECK_EQ(dv_home_open(home, NULL), 0);
	CHECK_EQ(dv_home_claim(home, NULL), 0);
}

static void close_home(struct dv_home *home)
{
	dv_home_remove(home);
	unsetenv("DAVIT_RUNDIR");
	close_top();
}

TEST(home_has_a_directory_only_when_it_is_needed)
{
	struct dv_home home;
	char path[300];

	open_home(&home);
	dv_fmt(path, sizeof(path), "%s", home.path);
	CHECK_EQ(dv_home_note(&home, "/sys/fs/cgroup/no-such/a"), 0);
	CHECK_EQ(home.dirfd, -1);
	CHECK_EQ(access(path, F_OK), -1);
	CHECK_EQ(dv_home_create(&home, NULL), 0);
	CHECK_EQ(dv_home_create(&home, NULL), 0);
	CHECK_EQ(dv_home_write(&home, "state.json", "{}", 2), 0);
	CHECK_EQ(access(path, F_OK), 0);
	dv_home_remove(&home);
	CHECK_EQ(access(path, F_OK), -1);
	close_home(&home);
}

TEST(home_notes_what_a_slot_has_no_room_for_in_its_directory)
{
	dv_autofree char *text = NULL;
	char line[DV_SLOT_SIZE + 1], path[300];
	struct dv_home home;

	open_home(&home);
	memset(line, 'y', sizeof(line));
	line[DV_SLOT_SIZE] = '\0';
	CHECK_EQ(dv_home_note(&home, "short"), 0);
	CHECK_EQ(dv_home_note(&home, line), 0);
	CHECK(home.dirfd >= 0);
	dv_fmt(path, sizeof(path), "%s/lock", home.path);
	CHECK_EQ(dv_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
	CHECK(strstr(text, line));
	close_home(&home);
}

TEST(home_has_a_directory_when_all_slots_are_taken)
{
	struct dv_slot s[DV_SLOTS];
	struct dv_home home;

	open_home(&home);
	dv_slot_clear(&home.slot);
	for (size_t i = 0; i < DV_SLOTS; i++)
		CHECK_EQ(dv_slot_claim(&s[i], home.basefd), 0);
	CHECK_EQ(dv_home_claim(&home, NULL), 0);
	CHECK(home.dirfd >= 0);
	CHECK_EQ(dv_home_note(&home, "/sys/fs/cgroup/no-such/a"), 0);
	for (size_t i = 0; i < DV_SLOTS; i++)
		dv_slot_release(&s[i]);
	close_home(&home);
}
