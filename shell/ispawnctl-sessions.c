/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ispawnctl-sessions.c - the registry as an array; contract in ispawnctl.h */
#include "ispawnctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
