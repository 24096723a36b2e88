/* SPDX-License-Identifier: MIT */
/*
 * Two processes, one port: a host sends back what it gets, a thousand times.
 */
#include <stdio.h>

#include <davit/host.h>

enum { ROUNDS = 1000 };

static unsigned int n;
static bool over;

static void ended(struct dv_port *port, const struct dv_port_end *end)
{
	over = true;
	if (end->err.code != DV_OK)
		fprintf(stderr, "%s\n", end->err.msg);
	dv_port_close(port, NULL);
}

/* In the host. */
static void send_back(struct dv_port *port, struct dv_msg *msg)
{
	dv_port_send(port, dv_msg_keep(msg), NULL);
}

static int set_up(struct dv_host_self *self, struct dv_msg *message,
		  struct dv_err *err)
{
	static const struct dv_port_ops ops = { send_back, ended, NULL };

	(void)message, (void)err;
	dv_port_start(dv_host_self_take_port(self), &ops, NULL);
	return 0;
}

/* In the program. */
static void count(struct dv_port *port, struct dv_msg *msg)
{
	(void)msg;
	if (++n < ROUNDS)
		dv_port_send_bytes(port, "ball", 4, NULL);
}

int main(int argc, char **argv)
{
	static const struct dv_host_main self = { .size = sizeof(self),
						  .setup = set_up };
	static const struct dv_port_ops ops = { count, ended, NULL };
	const struct dv_host_opts opts = { .size = sizeof(opts),
					   .name = "wall" };
	struct dv_err err = DV_ERR_INIT;
	struct dv_hosts *hosts;
	struct dv_host *wall;
	struct dv_port *port;

	if (dv_mesh_host_main(argc, argv, &self, &err) < 0 ||
	    dv_hosts_new(&hosts, NULL, NULL, NULL, &err) < 0 ||
	    dv_mesh_launch(hosts, &opts, &wall, &err) < 0)
		return fprintf(stderr, "%s\n", err.msg), 1;
	port = dv_host_take_port(wall);
	dv_port_start(port, &ops, NULL);
	dv_port_send_bytes(port, "ball", 4, NULL);
	while (n < ROUNDS && !over)
		dv_loop_dispatch(dv_hosts_loop(hosts), -1);
	printf("%u balls came back\n", n);
	dv_hosts_free(hosts);
	return 0;
}
