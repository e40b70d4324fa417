/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ispawn-init-build.c - the container around PID 1; contract in ispawn-init.h */
#include "ispawn-init.h"

#include "ispawn/container/builder.h"
#include "ispawn/session/handover.h"

int init_build(struct init *init, struct isp_error *err)
{
	static struct isp_builder builder; /* init's shell stays in it */
	int r;

	isp_builder_init(&builder, &init->spec);
	r = isp_builder_begin(&builder, err);
	if (r == 0)
		r = isp_handover_receive(init->supervisor_fd, &builder, err);
	if (r == 0)
		r = isp_builder_finish(&builder, err);
	isp_profile_free(&builder.profile);
	init->shell = builder.shell;
	return r;
}
