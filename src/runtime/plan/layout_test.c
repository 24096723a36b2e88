/* SPDX-License-Identifier: MIT */
#include "base/test.h"

#include <dirent.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/path.h"
#include "runtime/plan/layout.h"

static const dv_Mount *find(const struct dv_plan *plan, const char *target)
{
	const dv_Isolation *iso = &plan->msg.isolation;

	for (pb_size_t i = 0; i < iso->mounts_count; i++)
		if (strcmp(iso->mounts[i].target, target) == 0)
			return &iso->mounts[i];
	return NULL;
}

static bool masks(const struct dv_plan *plan, const char *path)
{
	const dv_Isolation *iso = &plan->msg.isolation;

	for (pb_size_t i = 0; i < iso->masked_count; i++)
		if (strcmp(iso->masked[i], path) == 0)
			return true;
	return false;
}

static struct dv_layout plain(void)
{
	return (struct dv_layout){
		.cwd = "/srv/work",
		.rundir = "/run/davit",
		.home = "/home/me",
		.uid = 1000,
		.gid = 1000,
		.own_net = true,
	};
}

TEST(layout_working_directory_is_shown_unless_it_shows_too_much)
{
	static const struct {
		const char *cwd, *home, *rundir;
		bool shown;
	} rows[] = {
		{ "/srv/work", "/home/me", "/run/davit", true },
		{ "/home/me/src", "/home/me", "/run/davit", true },
		{ "/home/me", "/home/me", "/run/davit", false },
		{ "/home", "/home/me", "/run/davit", false },
		{ "/home/me2", "/home/me", "/run/davit", false },
		{ "/home/me2/src", "/home/me", "/run/davit", true },
		{ "/tmp", "/home/me", "/run/davit", false },
		{ "/tmp/work", "/home/me", "/run/davit", true },
		{ "/var", "/home/me", "/run/davit", false },
		{ "/", "/home/me", "/run/davit", false },
		{ "/run", "/home/me", "/run/davit", false },
		{ "/run/davit", "/home/me", "/run/davit", false },
		{ "/srv", "/home/me", "/srv/a/davit", false },
		{ "/proc/1", "/home/me", "/run/davit", false },
		{ "/sys", "/home/me", "/run/davit", false },
		{ "/dev/shm", "/home/me", "/run/davit", false },
		{ "/devel", "/home/me", "/run/davit", true },
		{ "/srv/work", NULL, "/run/davit", true },
		{ "/srv/work", "relative", "/run/davit", true },
		{ "(unreachable)/x", "/home/me", "/run/davit", false },
		{ NULL, "/home/me", "/run/davit", false },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_plan plan = DV_PLAN_INIT;
		struct dv_layout lay = plain();
		bool shown = !rows[i].shown;

		lay.cwd = rows[i].cwd;
		lay.home = rows[i].home;
		lay.rundir = rows[i].rundir;
		dv_layout_process(&plan, &lay, &shown);
		CHECK_EQ(dv_plan_status(&plan), 0);
		if (shown != rows[i].shown)
			CHECK_STR(rows[i].cwd ? rows[i].cwd : "NULL", "other");
		if (shown) {
			const dv_Mount *m = find(&plan, rows[i].cwd);

			CHECK(m && m->kind == dv_MOUNT_BIND);
			CHECK(m->flags & dv_MF_RO);
			CHECK(m->flags & dv_MF_RECURSIVE);
		}
		dv_plan_free(&plan);
	}
}

TEST(layout_below_rundir_is_not_shown_either)
{
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_layout lay = plain();
	bool shown;

	lay.cwd = "/run/davit/0123456789abcdef";
	dv_layout_process(&plan, &lay, &shown);
	CHECK(!shown);
	dv_plan_free(&plan);
}

TEST(layout_shows_no_place_of_host_sockets_and_nothing_writable)
{
	static const char *const own[] = {
		"/run",  "/var", "/tmp",   "/home",
		"/root", "/mnt", "/media", "/var/tmp"
	};
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_layout lay = plain();
	const dv_Isolation *iso = &plan.msg.isolation;
	bool shown;

	dv_layout_process(&plan, &lay, &shown);
	for (size_t i = 0; i < DV_ARRAY_LEN(own); i++) {
		const dv_Mount *m = find(&plan, own[i]);

		CHECK(m && m->kind == dv_MOUNT_DIR);
	}
	for (pb_size_t i = 0; i < iso->mounts_count; i++) {
		const dv_Mount *m = &iso->mounts[i];

		if (m->kind != dv_MOUNT_BIND)
			continue;
		CHECK(m->flags & dv_MF_NOSUID);
		if (!dv_path_below(m->source, "/dev"))
			CHECK(m->flags & dv_MF_RO);
	}
	dv_plan_free(&plan);
}

TEST(layout_masks_secrets_that_are_there)
{
	static const char *const files[] = { "/etc/shadow", "/etc/gshadow",
					     "/etc/ssl/private" };
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_layout lay = plain();
	bool shown;
	DIR *dir;

	dv_layout_process(&plan, &lay, &shown);
	for (size_t i = 0; i < DV_ARRAY_LEN(files); i++)
		CHECK_EQ(masks(&plan, files[i]), access(files[i], F_OK) == 0);
	CHECK(masks(&plan, "/proc/kcore"));
	dir = opendir("/etc/ssh");
	for (struct dirent *e; dir && (e = readdir(dir));) {
		size_t len = strlen(e->d_name);
		char path[512];

		dv_path_join(path, sizeof(path), "/etc/ssh", e->d_name);
		CHECK_EQ(masks(&plan, path),
			 len > 4 && strcmp(e->d_name + len - 4, "_key") == 0);
	}
	if (dir)
		closedir(dir);
	dv_plan_free(&plan);
}

TEST(layout_home_is_made_only_where_homes_are)
{
	static const struct {
		const char *home;
		bool made;
	} rows[] = {
		{ "/home/me", true }, { "/root/x", true },
		{ "/usr", false },    { "/", false },
		{ "home", false },    { "/homes/x", false },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_plan plan = DV_PLAN_INIT;
		struct dv_layout lay = plain();
		const dv_Mount *m;
		bool shown;

		lay.home = rows[i].home;
		dv_layout_process(&plan, &lay, &shown);
		m = find(&plan, rows[i].home);
		CHECK_EQ(m && m->kind == dv_MOUNT_DIR, rows[i].made);
		if (rows[i].made) {
			CHECK_EQ(m->uid, 1000);
			CHECK(m->flags & dv_MF_OWNER);
			CHECK_EQ(m->mode, 0700);
		}
		dv_plan_free(&plan);
	}
}

TEST(layout_with_the_hosts_network_has_no_sysfs)
{
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_layout lay = plain();
	bool shown;

	lay.own_net = false;
	dv_layout_process(&plan, &lay, &shown);
	CHECK(find(&plan, "/sys")->kind == dv_MOUNT_DIR);
	dv_plan_free(&plan);
}

TEST(layout_container_makes_the_working_directory)
{
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_layout lay = plain();

	lay.workdir = "/app";
	dv_layout_container(&plan, &lay);
	CHECK(find(&plan, "/app")->kind == dv_MOUNT_DIR);
	CHECK(find(&plan, "/proc")->kind == dv_MOUNT_PROC);
	CHECK(find(&plan, "/dev")->kind == dv_MOUNT_TMPFS);
	CHECK(find(&plan, "/usr") == NULL); /* nothing of the host */
	CHECK(find(&plan, "/etc") == NULL);
	dv_plan_free(&plan);
	lay.workdir = "/";
	plan = (struct dv_plan)DV_PLAN_INIT;
	dv_layout_container(&plan, &lay);
	CHECK(find(&plan, "/") == NULL);
	dv_plan_free(&plan);
}
