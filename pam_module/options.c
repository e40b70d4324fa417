/* SPDX-License-Identifier: GPL-3.0-or-later */
/* options.c - the words after pam_ispawn.so; contract in module.h */
#include "module.h"

#include "ispawn/base/path.h"

#include <errno.h>
#include <string.h>

static const char conf_prefix[] = "conf=";

static int refuse(const char *word, const char *reason, struct isp_error *err)
{
	char quoted[120];

	isp_escape(quoted, sizeof(quoted), word);
	return isp_err_set(err, EINVAL, ISP_STAGE_CONFIG, "option \"%s\" of pam_ispawn.so: %s",
			   quoted, reason);
}

int isp_module_options(int argc, const char **argv, struct isp_module_options *ret_options,
		       struct isp_error *err)
{
	struct isp_module_options options = {0};

	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];

		if (strcmp(word, "debug") == 0) {
			if (options.is_debug)
				return refuse(word, "given twice", err);
			options.is_debug = true;
		} else if (strncmp(word, conf_prefix, strlen(conf_prefix)) == 0) {
			if (options.config_path)
				return refuse(word, "given twice", err);
			options.config_path = word + strlen(conf_prefix);
			if (!isp_path_is_clean(options.config_path))
				return refuse(word, "not an absolute path without . and ..", err);
		} else {
			return refuse(word, "unknown (there are conf=PATH and debug)", err);
		}
	}
	if (!options.config_path)
		options.config_path = ISPAWN_CONFIG_FILE;
	*ret_options = options;
	return 0;
}
