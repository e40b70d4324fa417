/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ispawnctl-sessions.c - the registry as an array; contract in ispawnctl.h */
#include "ispawnctl.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_S 10

void sessions_free(struct sessions *sessions)
{
	for (size_t i = 0; i < sessions->count; i++)
		isp_listed_free(&sessions->items[i]);
	free(sessions->items);
	*sessions = (struct sessions){.count = 0};
}

/* Takes the spec over from the visit, which frees what it finds there afterwards. */
static int keep(struct isp_listed *listed, void *closure)
{
	struct sessions *sessions = closure;
	struct isp_listed *moved =
		reallocarray(sessions->items, sessions->count + 1, sizeof(*moved));

	if (!moved)
		return -ENOMEM;
	sessions->items = moved;
	sessions->items[sessions->count++] = *listed;
	memset(&listed->spec, 0, sizeof(listed->spec));
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct isp_listed *x = a;
	const struct isp_listed *y = b;

	if (x->started_s != y->started_s)
		return x->started_s < y->started_s ? -1 : 1;
	return strcmp(x->id, y->id);
}

int sessions_collect(struct sessions *sessions, struct isp_error *err)
{
	int r = isp_registry_visit(keep, sessions, err);

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_REGISTRY, "list the sessions");
	if (sessions->count > 0)
		qsort(sessions->items, sessions->count, sizeof(*sessions->items), compare);
	return 0;
}

/* Kernel: a connect(2) to a full backlog waits, for as long as the send timeout says; the user can
 * fill the backlog of his own session.  A signal ends the waiting as well. */
static void on_alarm(int number)
{
	(void)number;
}

int sessions_connect(const char *id, int *ret_fd)
{
	struct sigaction action = {.sa_handler = on_alarm};
	int r;

	(void)sigemptyset(&action.sa_mask);
	if (sigaction(SIGALRM, &action, NULL) != 0)
		return -errno;
	(void)alarm(CONNECT_S);
	r = isp_registry_connect(id, ret_fd);
	(void)alarm(0);
	return r;
}
