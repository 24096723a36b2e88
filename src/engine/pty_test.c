/* SPDX-License-Identifier: MIT */
#include "engine/proc_try.h"

#include <sys/ioctl.h>

#include "base/def.h"
#include "engine/plan.h"

/* Start /bin/sh -c @script with a pty of this machine's /dev/pts. */
static void need_pty(void)
{
	if (access("/dev/pts/ptmx", R_OK | W_OK) < 0)
		SKIP("/dev/pts/ptmx cannot be opened");
}

static void start_on_pty(struct dv_proc *proc, struct dv_plan *plan,
			 const char *script, const int *fds, size_t n_fds)
{
	struct dv_err err = DV_ERR_INIT;

	dv_plan_arg(plan, "/bin/sh");
	dv_plan_arg(plan, "-c");
	dv_plan_arg(plan, script);
	plan->msg.process.terminal = true;
	int r = try_start(proc, NULL, &plan->msg.process, fds, n_fds, &err);

	CHECK_STR(err.msg, "");
	CHECK_EQ(r, 0);
	CHECK(proc->tty >= 0);
	CHECK_EQ(proc->tty_sock, -1);
}

/* All that the terminal says until nobody has it any more. */
static void read_to_end(int tty, char *out, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while ((n = dv_read(tty, out + len, size - 1 - len)) > 0)
		len += (size_t)n;
	CHECK_EQ(n, -EIO);
	out[len] = '\0';
}

TEST(pty_size_is_there_before_the_command)
{
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_proc proc;
	char out[256];

	need_pty();
	plan.msg.process.rows = 17;
	plan.msg.process.cols = 65535;
	start_on_pty(&proc, &plan, "stty size", NULL, 0);
	read_to_end(proc.tty, out, sizeof(out));
	CHECK_STR(out, "17 65535\r\n");
	CHECK_EQ(try_reap(&proc), 0);
	dv_proc_free(&proc);
	dv_plan_free(&plan);
}

TEST(pty_is_the_controlling_terminal_of_a_new_session)
{
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_proc proc;
	struct stat st;
	char out[256], path[64], *tty_nr;
	unsigned int number;
	long nr;

	need_pty();
	start_on_pty(&proc, &plan, "exec sleep 1000", NULL, 0);
	CHECK_EQ(getsid(proc.pid), proc.pid);
	CHECK_EQ(ioctl(proc.tty, TIOCGPTN, &number), 0);
	try_proc_file(proc.pid, "stat", out, sizeof(out));
	tty_nr = strrchr(out, ')');
	for (int i = 0; i < 5; i++)
		tty_nr = strchr(tty_nr + 1, ' ');
	/* Major 136 in bits 8 to 15, the minor around them. */
	nr = strtol(tty_nr, NULL, 10);
	CHECK_EQ(nr >> 8 & 0xff, 136);
	CHECK_EQ((nr & 0xff) | (nr >> 12 & 0xfff00), number);
	for (int fd = 0; fd <= 2; fd++) {
		dv_fmt(path, sizeof(path), "/proc/%d/fd/%d", (int)proc.pid, fd);
		CHECK_EQ(stat(path, &st), 0);
		CHECK(S_ISCHR(st.st_mode));
	}
	try_expect_fds(proc.pid, "0 1 2");
	dv_proc_free(&proc);
	dv_plan_free(&plan);
}

TEST(pty_end_of_input_and_interrupt_reach_the_command)
{
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_proc proc;
	char out[256];

	need_pty();
	/* It says that the trap is set before the key comes. */
	start_on_pty(&proc, &plan,
		     "trap 'exit 7' INT; echo set; read x; read y; exit 8",
		     NULL, 0);
	CHECK(dv_read(proc.tty, out, sizeof(out)) > 0);
	/* The line ends a read that began just behind the signal. */
	CHECK_EQ(dv_write(proc.tty, "\003\n", 2), 2);
	CHECK_EQ(try_reap(&proc), 7);
	dv_proc_free(&proc);
	dv_plan_free(&plan);
}

/* In a child without its first @n descriptors: 0, or what went wrong. */
static int start_without_stdio(int n)
{
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_proc proc;
	char out[256] = "";
	size_t len = 0;
	ssize_t r;

	close_range(0, (unsigned int)n - 1, 0);
	dv_plan_arg(&plan, "/bin/sh");
	dv_plan_arg(&plan, "-c");
	dv_plan_arg(&plan, "tty >&2 && tty <&1 >&2 && tty <&2 >&1");
	plan.msg.process.terminal = true;
	if (try_start(&proc, NULL, &plan.msg.process, NULL, 0, NULL) < 0)
		return 1;
	while ((r = dv_read(proc.tty, out + len, sizeof(out) - 1 - len)) > 0)
		len += (size_t)r;
	if (r != -EIO || strncmp(out, "/dev/pts/", 9) != 0)
		return 2;
	return try_reap(&proc) == 0 ? 0 : 3;
}

TEST(pty_is_stdio_also_where_ours_is_closed)
{
	need_pty();
	for (int n = 1; n <= 3; n++) {
		int status;
		pid_t pid = fork();

		if (pid == 0)
			_exit(start_without_stdio(n));
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(status, 0);
	}
}

TEST(pty_leaves_apart_what_the_plan_placed)
{
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_proc proc;
	char out[256];
	int pair[2];

	need_pty();
	CHECK_EQ(dv_pipe(pair), 0);
	dv_plan_fd(&plan, 0, 2);
	start_on_pty(&proc, &plan, "echo out; echo err >&2", &pair[1], 1);
	pair[1] = dv_close(pair[1]);
	read_to_end(proc.tty, out, sizeof(out));
	CHECK_STR(out, "out\r\n");
	CHECK_EQ(dv_read_full(pair[0], out, sizeof(out)), 4);
	CHECK(memcmp(out, "err\n", 4) == 0);
	dv_close(pair[0]);
	CHECK_EQ(try_reap(&proc), 0);
	dv_proc_free(&proc);
	dv_plan_free(&plan);
}

TEST(pty_belongs_to_the_plans_user)
{
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_proc proc;
	unsigned int number;
	char path[64];
	struct stat st;

	need_pty();
	need_other_user();
	plan.msg.process.has_ids = true;
	plan.msg.process.ids.uid = 65534;
	plan.msg.process.ids.gid = 65534;
	start_on_pty(&proc, &plan, "exec sleep 1000", NULL, 0);
	/* Not by its /proc, which is closed to root without CAP_SYS_PTRACE. */
	CHECK_EQ(ioctl(proc.tty, TIOCGPTN, &number), 0);
	dv_fmt(path, sizeof(path), "/dev/pts/%u", number);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_uid, 65534);
	dv_proc_free(&proc);
	dv_plan_free(&plan);
}

TEST(pty_of_a_command_that_cannot_be_executed_is_not_left)
{
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_proc proc;

	need_pty();
	dv_plan_arg(&plan, "/no/such");
	plan.msg.process.terminal = true;
	CHECK_EQ(try_start(&proc, NULL, &plan.msg.process, NULL, 0, NULL),
		 -ENOENT);
	CHECK_EQ(proc.tty, -1);
	dv_plan_free(&plan);
}
