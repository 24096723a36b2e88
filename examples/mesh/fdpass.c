/* SPDX-License-Identifier: MIT */
/* A host that can open nothing reads a file: it is passed the descriptor. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <davit/host.h>

static bool over;

static void ended(struct dv_port *port, const struct dv_port_end *end)
{
	(void)end;
	over = true;
	dv_port_close(port, NULL);
}

/* In the host: lines of the file. */
static void count_lines(struct dv_port *port, struct dv_msg *msg)
{
	int fd = dv_msg_take_fd(msg, 0);
	unsigned int n = 0;
	char c, text[16];

	while (read(fd, &c, 1) == 1)
		n += c == '\n';
	close(fd);
	dv_port_send_bytes(port, text, snprintf(text, sizeof(text), "%u", n),
			   NULL);
}

static int set_up(struct dv_host_self *self, struct dv_msg *message,
		  struct dv_err *err)
{
	static const struct dv_port_ops ops = { count_lines, ended, NULL };

	(void)message, (void)err;
	dv_port_start(dv_host_self_take_port(self), &ops, NULL);
	return 0;
}

/* In the program. */
static void print(struct dv_port *port, struct dv_msg *msg)
{
	printf("%.*s lines\n", (int)dv_msg_len(msg), (char *)dv_msg_data(msg));
	over = dv_port_close(port, NULL) == NULL;
}

int main(int argc, char **argv)
{
	static const struct dv_host_main self = { .size = sizeof(self),
						  .setup = set_up };
	static const struct dv_port_ops ops = { print, ended, NULL };
	const struct dv_host_opts opts = { .size = sizeof(opts),
					   .name = "reader",
					   .profile = DV_HOST_LOCKED };
	struct dv_err err = DV_ERR_INIT;
	struct dv_msg *msg = dv_msg_new(0);
	struct dv_hosts *hosts;
	struct dv_host *host;
	struct dv_port *port;

	if (dv_mesh_host_main(argc, argv, &self, &err) < 0 ||
	    dv_hosts_new(&hosts, NULL, NULL, NULL, &err) < 0 ||
	    dv_mesh_launch(hosts, &opts, &host, &err) < 0 ||
	    dv_msg_add_fd(msg, open(argv[argc - 1], O_RDONLY | O_CLOEXEC)) < 0)
		return fprintf(stderr, "fdpass: %s\n", err.msg), 1;
	port = dv_host_take_port(host);
	dv_port_start(port, &ops, NULL);
	dv_port_send(port, msg, NULL);
	while (!over)
		dv_loop_dispatch(dv_hosts_loop(hosts), -1);
	dv_hosts_free(hosts);
	return 0;
}
