/* SPDX-License-Identifier: MIT */
/*
 * DOC: pcap
 *
 * The library merges the streams and writes one file into a socket; a relay
 * takes it to where it shall go. ^C or the end of the time stops the capture at
 * the server, which then ends its streams: what is on its way still arrives.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/num.h"
#include "cli/diag.h"
#include "cli/report.h"
#include "cli/signals.h"

struct pcap {
	struct diag_cmd *cmd;
	struct dv_signals signals;
	struct dv_relay relay;
	struct dv_timer timer;
	int ms;                          /* of --seconds */
	struct dv_diag_capture *capture; /* owned */
	struct dv_op *end, *stop;
	bool stopping, ended, gave_up;
	int r;
};

static void on_end(void *arg, int r, const struct dv_err *err)
{
	struct pcap *p = arg;

	p->end = NULL;
	p->ended = true;
	if (r < 0 && p->r == 0) {
		p->r = r;
		p->cmd->err = *err;
	}
}

static void on_stop(void *arg, int r, const struct dv_err *err)
{
	struct pcap *p = arg;

	p->stop = NULL;
	if (r < 0 && p->r == 0) {
		p->r = r;
		p->cmd->err = *err;
		p->gave_up = true;
	}
}

static void stop(struct pcap *p)
{
	struct dv_how how = diag_how(p->cmd);
	int r;

	if (p->stopping) {
		p->gave_up = true; /* asked a second time */
		return;
	}
	p->stopping = true;
	how.fn = on_stop;
	how.arg = p;
	how.opp = &p->stop;
	r = dv_diag_capture_stop(p->cmd->diag, &how, &p->cmd->err);
	if (r < 0) {
		p->r = r;
		p->gave_up = true;
	}
}

static void on_time(struct dv_timer *timer)
{
	stop(dv_container_of(timer, struct pcap, timer));
}

static void on_signal(struct dv_signals *signals, int signo,
		      bool terminal DV_UNUSED)
{
	if (signo == SIGTSTP)
		kill(getpid(), SIGSTOP);
	else if (signo != SIGWINCH && signo != SIGCONT)
		stop(dv_container_of(signals, struct pcap, signals));
}

/* Packets that nobody will read need not be captured. */
static void on_relayed(struct dv_relay *relay)
{
	struct pcap *p = dv_container_of(relay, struct pcap, relay);

	p->gave_up |= relay->sys != 0;
}

/* Where the file goes: a relay from @from (consumed) to it. */
static int open_relay(struct pcap *p, int from, int to)
{
	int r = dv_end_of_sandbox(&p->relay.from, from);

	p->relay.done = on_relayed;
	if (r == 0)
		r = dv_end_of_caller(&p->relay.to, to, true);
	if (r == 0)
		r = dv_relay_start(&p->relay, p->cmd->loop);
	return r < 0 ? diag_fail(p->cmd, -r, "write the file") : 0;
}

static int arm(struct pcap *p)
{
	struct diag_cmd *cmd = p->cmd;
	int r;

	if (!cmd->seconds)
		return 0;
	r = dv_timer_set(cmd->loop, &p->timer,
			 dv_now_ns() + (uint64_t)p->ms * 1000000, on_time);
	return r < 0 ? diag_fail(cmd, -r, "--seconds") : 0;
}

/* What the file held is gone from here on: there is something to take its
 * place. A FIFO or a device cannot be cut, and need not be. */
static int cut(struct pcap *p, int to)
{
	struct stat st;

	if (to == STDOUT_FILENO || fstat(to, &st) < 0 || !S_ISREG(st.st_mode) ||
	    ftruncate(to, 0) == 0)
		return 0;
	return diag_fail(p->cmd, errno, "empty the file");
}

static int start(struct pcap *p, int to)
{
	struct diag_cmd *cmd = p->cmd;
	struct dv_how how = diag_how(cmd);
	int sv[2];
	int r = dv_signals_open(&p->signals, cmd->loop, on_signal);

	if (r < 0)
		return diag_fail(cmd, -r, "watch signals");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return diag_fail(cmd, errno, "make a socket");
	r = dv_diag_capture_start(cmd->diag, cmd->snaplen, sv[1], &p->capture,
				  &how, &cmd->err);
	if (r == 0)
		r = cut(p, to);
	if (r < 0) {
		dv_close(sv[0]);
		return r;
	}
	r = open_relay(p, sv[0], to);
	if (r == 0)
		r = arm(p);
	if (r < 0)
		return r;
	how = (struct dv_how)DV_HOW_INIT;
	how.fn = on_end;
	how.arg = p;
	how.opp = &p->end;
	return dv_diag_capture_end(p->capture, &how, &cmd->err);
}

static void pcap_close(struct pcap *p)
{
	if (p->end)
		dv_op_cancel(p->end);
	if (p->stop)
		dv_op_cancel(p->stop);
	dv_timer_stop(&p->timer);
	p->capture = dv_diag_capture_free(p->capture);
	dv_relay_close(&p->relay);
	dv_signals_close(&p->signals);
}

static int capture(struct diag_cmd *cmd, int to, int ms)
{
	struct pcap p = { .cmd = cmd,
			  .ms = ms,
			  .signals = DV_SIGNALS_INIT,
			  .relay = DV_RELAY_INIT,
			  .timer = DV_TIMER_INIT };
	int r = start(&p, to);

	while (r >= 0 && !p.gave_up &&
	       (!p.ended || p.stop || dv_relay_active(&p.relay)))
		r = dv_loop_dispatch(cmd->loop, -1);
	if (r < 0 && !cmd->err.code)
		diag_fail(cmd, -r, "capture");
	if (r >= 0)
		r = p.r;
	/* That the capture could not go on then only follows from it. */
	if (p.relay.sys)
		r = to == STDOUT_FILENO
			    ? dv_stdout_failed(p.relay.sys, &cmd->err)
			    : diag_fail(cmd, p.relay.sys, cmd->argv[0]);
	if (r == 0)
		dv_note_dim(
			"%llu bytes",
			(unsigned long long)dv_diag_capture_bytes(p.capture));
	pcap_close(&p);
	return r;
}

static int query(struct diag_cmd *cmd)
{
	dv_autobuf out = DV_BUF_INIT(8192);
	struct dv_json j = DV_JSON_INIT(&out);
	struct dv_how how = diag_how(cmd);
	struct dv_diag_capture_info info;
	int r = dv_diag_capture_query(cmd->diag, &info, &how, &cmd->err);

	if (r < 0)
		return r;
	if (cmd->json) {
		dv_json_open(&j, NULL, '{');
		dv_json_u64(&j, "streams", info.n_streams);
		dv_json_bool(&j, "running", info.running);
		dv_json_str(&j, "interfaces", info.names);
		dv_json_close(&j, '}');
		dv_buf_putc(&out, '\n');
	} else {
		dv_buf_putf(&out, "%u interfaces%s%s%s\n", info.n_streams,
			    info.names[0] ? ": " : "", info.names,
			    info.running ? " (capturing)" : "");
	}
	return diag_print(cmd, out.data, out.len);
}

int diag_pcap(struct diag_cmd *cmd)
{
	const char *path = cmd->argc ? cmd->argv[0] : "-";
	struct dv_how how = diag_how(cmd);
	dv_autofd int file = -1;
	int ms = 0, r;

	if (cmd->query && cmd->stop)
		return diag_usage(cmd, "either --query or --stop");
	if (cmd->query)
		return query(cmd);
	if (cmd->stop)
		return dv_diag_capture_stop(cmd->diag, &how, &cmd->err);
	if (!cmd->snaplen || cmd->snaplen > 262144)
		return diag_usage(cmd, "--snaplen is 1 to 262144");
	if (cmd->seconds && dv_parse_duration(cmd->seconds, &ms) < 0)
		return diag_usage(cmd,
				  "--seconds: \"%.60s\" is no duration "
				  "(" DV_DURATION_MAX_TEXT " at most)",
				  cmd->seconds);
	if (strcmp(path, "-") != 0) {
		file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (file < 0)
			return dv_err_sys(&cmd->err, errno, "open %.200s",
					  path);
		return capture(cmd, file, ms);
	}
	r = dv_inherited.no_stdout ? dv_stdout_failed(EBADF, &cmd->err)
				   : diag_not_to_terminal(cmd);
	return r < 0 ? r : capture(cmd, STDOUT_FILENO, ms);
}
