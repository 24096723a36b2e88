/* SPDX-License-Identifier: MIT */
#include "runtime/store/store_try.h"

#include <sys/socket.h>
#include <sys/un.h>

static int listen_at(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	dv_fmt(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	CHECK_EQ(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	CHECK_EQ(listen(fd, 8), 0);
	return fd;
}

static int dial(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	dv_fmt(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	CHECK_EQ(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

TEST(prove_believes_the_keeper_and_nobody_else)
{
	struct dv_err err = DV_ERR_INIT;
	dv_autofree char *text = NULL;
	struct dv_kept_dirs d;
	char path[220], id[DV_ID_LEN + 1], *p;
	size_t len;
	int fd, sock, status, go[2];
	pid_t pid;

	try_open_dirs();
	d = claimed(NULL, "web");
	memcpy(id, d.home.id, sizeof(id));
	CHECK_EQ(dv_store_sock(id, path, sizeof(path), NULL), 0);
	sock = listen_at(path);
	fd = dial(path);
	CHECK_EQ(dv_store_prove(id, fd, &err), -ESRCH); /* it says nothing */
	CHECK_EQ(dv_store_identity_write(&d, NULL), 0);
	CHECK_EQ(dv_store_prove(id, fd, NULL), 0);
	CHECK_EQ(dv_store_prove("0123456789abcdef", fd, NULL), -ESRCH);

	/* Another time of start: the pid was used again. */
	CHECK_EQ(dv_read_file(d.home.dirfd, "identity", 4096, &text, &len), 0);
	p = strstr(text, "\"start\":");
	CHECK(p != NULL);
	p += strlen("\"start\":");
	*p = *p == '1' ? '2' : '1';
	put_file(in_dir("run", id, "identity"), text);
	CHECK_EQ(dv_store_prove(id, fd, &err), -EPERM);
	CHECK(strstr(err.msg, "same pid") != NULL);
	CHECK_EQ(err.code, DV_DENIED);
	put_file(in_dir("run", id, "identity"), "[]");
	CHECK_EQ(dv_store_prove(id, fd, &err), -EBADMSG);
	CHECK_EQ(dv_store_identity_write(&d, NULL), 0);
	CHECK_EQ(dv_store_prove(id, fd, NULL), 0);
	dv_close(fd);
	dv_close(sock);
	CHECK_EQ(unlink(path), 0);

	/* A process that listens in its place; then one that has gone. */
	CHECK_EQ(dv_pipe(go), 0);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	dv_fmt(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	CHECK_EQ(bind(sock, (struct sockaddr *)&sa, sizeof(sa)), 0);
	pid = fork();
	if (pid == 0) {
		char c;

		dv_close(go[1]);
		if (listen(sock, 1) < 0)
			_exit(1);
		(void)dv_read(go[0], &c, 1);
		_exit(0);
	}
	dv_close(go[0]);
	fd = -1;
	for (uint64_t until = dv_now_ns() + UINT64_C(10000000000); fd < 0;) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
			fd = dv_close(fd);
		CHECK(try_again(until));
	}
	err = (struct dv_err)DV_ERR_INIT;
	CHECK_EQ(dv_store_prove(id, fd, &err), -EPERM);
	CHECK(strstr(err.msg, "another pid") != NULL);
	dv_close(go[1]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(dv_store_prove(id, fd, &err), -ESRCH);
	dv_close(fd);
	dv_close(sock);
	dv_store_release(&d, true);
	try_close_dirs();
}

static void set_identity(const char *id, const char *text)
{
	put_file(in_dir("run", id, "identity"), text);
}

static void says_who_it_is(struct try_keeper *k)
{
	CHECK_EQ(dv_store_identity_write(&k->dirs, NULL), 0);
}

TEST(keeper_is_the_process_that_its_identity_means)
{
	struct dv_err err = DV_ERR_INIT;
	dv_autofree char *text = NULL;
	char id[DV_ID_LEN + 1], none[100], *p;
	size_t len;
	pid_t pid;
	int32_t of = 0;
	int fd;

	try_open_dirs();
	pid = try_keeper_child("web", 0, says_who_it_is);
	CHECK_EQ(dv_store_find("web", id, NULL), 0);
	CHECK_EQ(dv_store_keeper("0123456789abcdef", &of, &err), -ESRCH);
	fd = dv_store_keeper(id, &of, NULL);
	CHECK(fd >= 0);
	CHECK_EQ(of, pid);
	dv_close(fd);
	CHECK_EQ(dv_read_file(AT_FDCWD, in_dir("run", id, "identity"), 4096,
			      &text, &len),
		 0);
	/* The pid was used again. */
	p = strstr(text, "\"start\":");
	CHECK(p != NULL);
	p += strlen("\"start\":");
	*p = *p == '1' ? '2' : '1';
	set_identity(id, text);
	CHECK_EQ(dv_store_keeper(id, &of, &err), -ESRCH);
	set_identity(id, "[]");
	CHECK_EQ(dv_store_keeper(id, &of, &err), -EBADMSG);
	while (len-- > 0) {
		text[len] = '\0';
		set_identity(id, text);
		CHECK_EQ(dv_store_keeper(id, &of, &err), -EBADMSG);
	}
	dv_fmt(none, sizeof(none),
	       "{\"id\":\"%s\",\"pid\":0,\"start\":1,\"uid\":0}", id);
	set_identity(id, none);
	CHECK_EQ(dv_store_keeper(id, &of, &err), -EBADMSG);
	try_kill(pid);
	try_close_dirs();
}

TEST(keeper_that_has_ended_is_no_process)
{
	char id[DV_ID_LEN + 1];
	int32_t of = 0;
	pid_t pid;

	try_open_dirs();
	pid = try_keeper_child("web", 0, says_who_it_is);
	CHECK_EQ(dv_store_find("web", id, NULL), 0);
	try_kill(pid);
	CHECK_EQ(dv_store_keeper(id, &of, NULL), -ESRCH);
	try_close_dirs();
}
