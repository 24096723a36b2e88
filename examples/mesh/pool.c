/* SPDX-License-Identifier: MIT */
/* A pool: jobs for locked workers, which compute and cannot open a file. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <davit/host.h>

enum { WORKERS = 3, JOBS = 12 };

static unsigned int n_sent, n_done, sum, n_refused;

static void ended(struct dv_port *port, const struct dv_port_end *end)
{
	(void)end;
	n_done = JOBS;
	dv_port_close(port, NULL);
}

/* In a worker: the square of a number, and what open() said. */
static void work(struct dv_port *port, struct dv_msg *msg)
{
	unsigned int job[2];

	memcpy(job, dv_msg_data(msg), sizeof(job));
	job[0] *= job[0];
	job[1] = open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0;
	dv_port_send_bytes(port, job, sizeof(job), NULL);
}

static int set_up(struct dv_host_self *self, struct dv_msg *message,
		  struct dv_err *err)
{
	static const struct dv_port_ops ops = { work, ended, NULL };
	struct dv_port *port = dv_host_self_take_port(self);

	(void)message, (void)err;
	dv_port_start(port, &ops, NULL);
	return dv_port_send_bytes(port, "", 0, NULL); /* give me a job */
}

/* In the program: whoever asks gets a job. */
static void next(struct dv_port *port, struct dv_msg *msg)
{
	unsigned int job[2] = { n_sent, 0 };

	if (n_sent++ < JOBS)
		dv_port_send_bytes(port, job, sizeof(job), NULL);
	if (dv_msg_len(msg) != sizeof(job))
		return;
	memcpy(job, dv_msg_data(msg), sizeof(job));
	sum += job[0], n_refused += job[1];
	n_done++;
}

int main(int argc, char **argv)
{
	static const struct dv_host_main self = { sizeof(self),
						  .setup = set_up };
	static const struct dv_port_ops ops = { next, ended, NULL };
	const struct dv_host_opts opts = { sizeof(opts), "worker",
					   .profile = DV_HOST_LOCKED };
	struct dv_err err = DV_ERR_INIT;
	struct dv_hosts *hosts;
	struct dv_host *host;

	if (dv_mesh_host_main(argc, argv, &self, &err) < 0 ||
	    dv_hosts_new(&hosts, NULL, NULL, NULL, &err) < 0)
		return fprintf(stderr, "%s\n", err.msg), 1;
	for (int i = 0; i < WORKERS; i++)
		if (dv_mesh_launch(hosts, &opts, &host, &err) == 0)
			dv_port_start(dv_host_take_port(host), &ops, NULL);
	while (n_done < JOBS && err.code == DV_OK)
		dv_loop_dispatch(dv_hosts_loop(hosts), -1);
	printf("sum %u, %u of %d opens refused %s\n", sum, n_refused, JOBS,
	       err.msg);
	dv_hosts_free(hosts);
	return 0;
}
