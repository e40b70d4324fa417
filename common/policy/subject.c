/* SPDX-License-Identifier: GPL-3.0-or-later */
/* subject.c - a subject, whoever has found it; contract in ispawn/policy/subject.h */
#include "ispawn/policy/subject.h"

#include <stdlib.h>
#include <string.h>

void isp_subject_free(struct isp_subject *subject)
{
	free(subject->group);
	free(subject->gecos);
	free(subject->home);
	free(subject->shell);
	for (size_t i = 0; i < subject->group_count; i++)
		free(subject->groups[i].name);
	free(subject->groups);
	free(subject->service);
	free(subject->tty);
	free(subject->rhost);
	memset(subject, 0, sizeof(*subject));
}

bool isp_subject_is_exempt(const struct isp_subject *subject)
{
	if (subject->uid == 0)
		return true;
	if (subject->group && strcmp(subject->group, ISPAWN_EXEMPT_GROUP) == 0)
		return true;
	for (size_t i = 0; i < subject->group_count; i++)
		if (strcmp(subject->groups[i].name, ISPAWN_EXEMPT_GROUP) == 0)
			return true;
	return false;
}
