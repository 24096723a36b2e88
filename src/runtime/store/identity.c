/* SPDX-License-Identifier: MIT */
/*
 * DOC: who is behind a socket.
 *
 * The kernel remembers who called listen(), and SO_PEERPIDFD gives a descriptor
 * of that process: its number cannot come to mean another one while it is held.
 * It is compared, by pid and start time, with what the keeper wrote down in a
 * directory where nobody else can write. Before Linux 6.5 the kernel gives only
 * a number (SO_PEERCRED): a descriptor is made of it, and that the process had
 * the written start time while the descriptor was held says the same.
 */
#include "runtime/store/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/num.h"
#include "engine/sys.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

enum {
	IDENTITY_MAX = 4096,
	STAT_MAX = 4096,
	FDINFO_MAX = 4096,
	START_FIELD = 22, /* of /proc/PID/stat; see proc(5) */
};

struct identity {
	char id[DV_ID_LEN + 1];
	uint64_t pid, start, uid;
};

/* When the process was started, in ticks since the boot. */
static int start_of(uint64_t pid, uint64_t *startp)
{
	dv_autofree char *text = NULL;
	char path[64], *p;
	size_t len;
	int r;

	dv_fmt(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
	r = dv_read_file(AT_FDCWD, path, STAT_MAX, &text, &len);
	if (r < 0)
		return r;
	/* A name may have anything in it, parentheses too. */
	p = strrchr(text, ')');
	for (int field = 2; p && field < START_FIELD; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	if (!p)
		return -EBADMSG;
	p[strcspn(p, " ")] = '\0';
	return dv_parse_u64(p, 0, UINT64_MAX, startp);
}

int dv_store_identity_write(struct dv_kept_dirs *dirs, struct dv_err *err)
{
	dv_autobuf text = DV_BUF_INIT(IDENTITY_MAX);
	struct dv_json j = DV_JSON_INIT(&text);
	char nonce[2][DV_ID_LEN + 1], both[2 * DV_ID_LEN + 1];
	uint64_t start;
	int r = start_of((uint64_t)getpid(), &start);

	if (r < 0)
		return dv_err_step(err, dv_err_sys(err, -r, "read /proc"),
				   DV_STEP_STATE);
	dv_random_id(nonce[0]);
	dv_random_id(nonce[1]);
	dv_fmt(both, sizeof(both), "%s%s", nonce[0], nonce[1]);
	dv_json_open(&j, NULL, '{');
	dv_json_u64(&j, "schema_version", 1);
	dv_json_str(&j, "id", dirs->home.id);
	dv_json_i64(&j, "pid", getpid());
	dv_json_u64(&j, "start", start);
	dv_json_u64(&j, "uid", geteuid());
	dv_json_str(&j, "nonce", both);
	dv_json_close(&j, '}');
	r = dv_buf_status(&text);
	if (r == 0)
		r = dv_home_write(&dirs->home, "identity", text.data, text.len);
	if (r < 0)
		dv_err_sys(err, -r, "write %s/identity", dirs->home.path);
	return dv_err_step(err, r, DV_STEP_STATE);
}

/* ---- reading it -----------------------------------------------------------
 */

static int get_number(struct json_object *o, const char *key, uint64_t *outp)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v))
		return -EBADMSG;
	if (json_object_is_type(v, json_type_string))
		return dv_parse_u64(json_object_get_string(v), 0, UINT64_MAX,
				    outp) < 0
			       ? -EBADMSG
			       : 0;
	if (!json_object_is_type(v, json_type_int) ||
	    json_object_get_int64(v) < 0)
		return -EBADMSG;
	*outp = (uint64_t)json_object_get_int64(v);
	return 0;
}

static int parse_identity(const char *text, struct identity *who)
{
	struct json_object *o = json_tokener_parse(text);
	struct json_object *v;
	int r = -EBADMSG;

	if (json_object_is_type(o, json_type_object) &&
	    json_object_object_get_ex(o, "id", &v) &&
	    json_object_is_type(v, json_type_string) &&
	    dv_store_is_id(json_object_get_string(v))) {
		memcpy(who->id, json_object_get_string(v), sizeof(who->id));
		r = get_number(o, "pid", &who->pid);
	}
	if (r == 0 && (who->pid < 1 || who->pid > INT32_MAX))
		r = -EBADMSG;
	if (r == 0)
		r = get_number(o, "start", &who->start);
	if (r == 0)
		r = get_number(o, "uid", &who->uid);
	json_object_put(o);
	return r;
}

static int read_identity(const char *id, struct identity *who,
			 struct dv_err *err)
{
	dv_autostore s = DV_STORE_INIT;
	dv_autofree char *text = NULL;
	dv_autofd int fd = -1;
	char path[230];
	size_t len;
	int r = dv_store_open(&s, err);

	if (r < 0)
		return r;
	dv_fmt(path, sizeof(path), "%s/%.16s", s.run_path, id);
	fd = s.run < 0 || !dv_store_is_id(id)
		     ? -ENOENT
		     : dv_store_sub(s.run, s.run_path, id, err);
	r = fd < 0 ? fd
		   : dv_store_read(fd, path, "identity", IDENTITY_MAX, &text,
				   &len, err);
	if (r == -ENOENT)
		return dv_err_set(err, ESRCH, DV_PRECONDITION,
				  "sandbox %.16s has no keeper", id);
	if (r == 0)
		r = parse_identity(text, who);
	if (r == -EBADMSG || (r == 0 && strcmp(who->id, id) != 0))
		r = dv_err_set(err, EBADMSG, DV_DATA_LOSS,
			       "%s/identity makes no sense", path);
	return r;
}

/* ---- who it is ------------------------------------------------------------
 */

/* The pid that a pidfd is of; 0 when it is in no namespace of ours. */
static int pid_of(int pidfd, uint64_t *pidp)
{
	dv_autofree char *text = NULL;
	char path[64], *p;
	size_t len;
	int r;

	dv_fmt(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	r = dv_read_file(AT_FDCWD, path, FDINFO_MAX, &text, &len);
	if (r < 0)
		return r;
	p = strstr(text, "\nPid:");
	if (!p)
		return -EBADMSG;
	p += strlen("\nPid:");
	p += strspn(p, " \t");
	p[strcspn(p, "\n")] = '\0';
	/* -1: it has been reaped */
	return dv_parse_u64(p, 0, UINT64_MAX, pidp) < 0 ? -ESRCH : 0;
}

/* A descriptor of the process at the other end (owned), and its pid and uid. */
static int peer_of(int fd, uint64_t *pidp, uint64_t *uidp)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	dv_autofd int pidfd = -1;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	*uidp = cred.uid;
	len = sizeof(pidfd);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0) {
		int r = pid_of(pidfd, pidp);

		return r < 0 ? r : dv_take_fd(&pidfd);
	}
	if (errno != ENOPROTOOPT)
		return -ESRCH; /* it ended, and was reaped */
	*pidp = (uint64_t)cred.pid;
	return dv_sys_pidfd_open(cred.pid);
}

static int not_he(const char *id, const char *why, struct dv_err *err)
{
	dv_err_hint(err, "nothing was said to it; davit ps shows whether the "
			 "sandbox lives");
	return dv_err_set(
		err, EPERM, DV_DENIED,
		"what listens for sandbox %.16s is not its keeper: %s", id,
		why);
}

static int has_ended(const char *id, struct dv_err *err)
{
	return dv_err_set(err, ESRCH, DV_PRECONDITION,
			  "the keeper of sandbox %.16s has ended", id);
}

/*
 * Does @pidfd, opened by the pid of @who, mean that process? 0, -EPERM: another
 * one, -ESRCH: it has ended.
 */
static int check_start(const struct identity *who, int pidfd)
{
	struct pollfd p = { pidfd, POLLIN, 0 };
	uint64_t start;

	/* Readable: it has ended, and the pid may be somebody else's. */
	if (start_of(who->pid, &start) < 0 || poll(&p, 1, 0) != 0)
		return -ESRCH;
	return start == who->start ? 0 : -EPERM;
}

static int compare(const struct identity *who, const char *id, int fd,
		   struct dv_err *err)
{
	uint64_t pid = 0, uid = 0;
	dv_autofd int pidfd = peer_of(fd, &pid, &uid);
	int r;

	if (pidfd < 0 && pidfd != -ESRCH)
		return dv_err_sys(err, -pidfd, "ask who is behind the socket");
	if (pidfd < 0)
		return has_ended(id, err);
	if (pid != who->pid)
		return not_he(id, "another pid", err);
	if (uid != who->uid)
		return not_he(id, "another user", err);
	r = check_start(who, pidfd);
	if (r == -EPERM)
		return not_he(id, "another process of the same pid", err);
	return r < 0 ? has_ended(id, err) : 0;
}

int dv_store_prove(const char *id, int fd, struct dv_err *err)
{
	struct identity who = { .pid = 0 };
	int r = read_identity(id, &who, err);

	if (r == 0)
		r = compare(&who, id, fd, err);
	return dv_err_step(err, r, DV_STEP_STATE);
}

int dv_store_keeper(const char *id, int32_t *pidp, struct dv_err *err)
{
	struct identity who = { .pid = 0 };
	dv_autofd int fd = -1;
	int r = read_identity(id, &who, err);

	if (r == 0) {
		fd = dv_sys_pidfd_open((pid_t)who.pid);
		if (fd < 0 && fd != -ESRCH)
			r = dv_err_sys(err, -fd, "open its keeper");
		else if (fd < 0 || check_start(&who, fd) < 0)
			r = has_ended(id, err);
	}
	if (r < 0)
		return dv_err_step(err, r, DV_STEP_STATE);
	*pidp = (int32_t)who.pid;
	return dv_take_fd(&fd);
}
