/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tenant_init.c - in the place of ispawn-init-build.c: PID 1 of a container that is there already
 */
#include "../../shell/ispawn-init.h"

#include <stdlib.h>

int init_build(struct init *init, struct isp_error *err)
{
	init->shell = getenv("TENANT_SHELL");
	return init->shell ? 0
			   : isp_err_set(err, ENOENT, ISP_STAGE_INIT, "TENANT_SHELL is not set");
}
