/* SPDX-License-Identifier: MIT */
#include "cli/service.h"

#include <errno.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/num.h"
#include "cli/report.h"

int dv_service_take(struct dv_service *s, struct dv_err *err)
{
	struct dv_err why = DV_ERR_INIT;
	int r = dv_systemd_take_fds(&s->manager, err);

	/* Somebody else's variables, perhaps: no reason not to run. */
	if (dv_systemd_take_notify(&s->manager, &why) < 0)
		dv_note("%s", why.msg);
	return dv_min(r, 0);
}

static int add_door(struct dv_service *s, int fd, struct dv_err *err)
{
	if (s->n_doors == DV_ARRAY_LEN(s->doors))
		return dv_err_set(err, E2BIG, DV_RANGE,
				  "the sandbox is to be served at more than "
				  "%zu sockets",
				  DV_ARRAY_LEN(s->doors));
	s->doors[s->n_doors++] = fd;
	return 0;
}

int dv_service_find_doors(struct dv_service *s, uint64_t given,
			  struct dv_err *err)
{
	int r = 0;

	for (int n = 0; r == 0 && n < s->manager.n_fds; n++) {
		const int fd = DV_SYSTEMD_FD_FIRST + n;

		if (given & UINT64_C(1) << n)
			continue;
		if (dv_systemd_fd_is_door(fd))
			r = add_door(s, fd, err);
		else
			dv_note("descriptor %d (%s) is not used: it is no "
				"unix socket to serve, and no --fd hands it to "
				"the command",
				fd, dv_systemd_fd_name(&s->manager, fd));
	}
	return r;
}

/* ---- telling ------------------------------------------------------------ */

static int tell(const struct dv_service *s, const struct dv_buf *text)
{
	int r = dv_buf_status(text);

	return r < 0 ? r : dv_systemd_tell(&s->manager, text->data);
}

void dv_service_ready(struct dv_service *s, struct dv_loop *loop,
		      const struct dv_run *run)
{
	dv_autobuf text = DV_BUF_INIT(DV_SYSTEMD_TEXT_MAX);
	int r;

	if (s->manager.notify < 0)
		return;
	dv_buf_putf(&text, "READY=1\nSTATUS=sandbox %s, command's pid %d\n",
		    dv_run_id(run), (int)dv_run_pid(run));
	r = tell(s, &text);
	if (r == 0)
		r = dv_systemd_feed(&s->manager, loop);
	if (r < 0)
		dv_note("tell the service manager: %s", dv_errno_text(-r));
}

static const char *reason(const struct dv_exit *exit)
{
	static const char *const reasons[] = {
		[DV_ENDED_EXIT] = "",
		[DV_ENDED_SIGNAL] = "",
		[DV_ENDED_TIMEOUT] = ", its time was over",
		[DV_ENDED_OOM] = ", out of memory",
		[DV_ENDED_STOP] = ", stopped",
		[DV_ENDED_KEEPER] = ", with its keeper",
	};

	static_assert(DV_ARRAY_LEN(reasons) == DV_ENDED_N, "one each");
	return exit->ended_by < DV_ENDED_N ? reasons[exit->ended_by] : "";
}

void dv_service_ended(const struct dv_service *s, const struct dv_exit *exit,
		      int status)
{
	dv_autobuf text = DV_BUF_INIT(DV_SYSTEMD_TEXT_MAX);

	if (s->manager.notify < 0)
		return;
	dv_buf_puts(&text, "STOPPING=1\nSTATUS=");
	if (exit->signal)
		dv_buf_putf(&text, "killed by %s",
			    dv_signal_name(exit->signal));
	else
		dv_buf_putf(&text, "exited with %d", exit->code);
	dv_buf_putf(&text, "%s\nEXIT_STATUS=%d\n", reason(exit), status);
	/* It has ended all the same, and the manager sees that we do. */
	tell(s, &text);
}

void dv_service_failed(const struct dv_service *s, const struct dv_err *err)
{
	dv_autobuf text = DV_BUF_INIT(DV_SYSTEMD_TEXT_MAX);

	if (s->manager.notify < 0)
		return;
	if (err->sys)
		dv_buf_putf(&text, "ERRNO=%d\n", err->sys);
	dv_buf_puts(&text, "STATUS=");
	dv_put_clean(&text, err->msg);
	dv_buf_putc(&text, '\n');
	tell(s, &text);
}

void dv_service_close(struct dv_service *s)
{
	dv_systemd_close(&s->manager);
	s->n_doors = 0;
}
