/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * scene.h - the files by which tests and fakes talk
 *
 * Theory of operation: tests/module/run makes a private mount, process and network namespace with
 * a fresh /run; all paths that are compiled into the module under test lie in /run/test, and are
 * set up anew for each case.
 */
#ifndef ISPAWN_TESTS_SCENE_H
#define ISPAWN_TESTS_SCENE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCENE "/run/test/"
#define BEHAVIOUR SCENE "behaviour"     /* what the fake supervisor does */
#define ENDED SCENE "ended"             /* how it ended: CLOSE, EOF */
#define APPLICATION SCENE "application" /* pid of the PAM application */
#define CONFIG SCENE "etc/ispawn/ispawn.conf"
#define SERVICES SCENE "pam.d"
#define MODULE SCENE "pam_ispawn.so"
#define SUPERVISOR SCENE "libexec/ispawn-supervisor"
#define SHELL SCENE "bin/ispawn-shell"

/* The whole of a small file; "" when there is none. */
static inline void scene_read(const char *path, char *ret_text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, ret_text, size - 1);

	ret_text[n < 0 ? 0 : n] = '\0';
	if (fd >= 0)
		(void)close(fd);
}

static inline void scene_write(const char *path, const char *text)
{
	FILE *stream;

	(void)unlink(path);
	stream = fopen(path, "we");
	if (!stream || fputs(text, stream) < 0 || fclose(stream) != 0) {
		perror(path);
		abort();
	}
	(void)chmod(path, 0644);
}

#endif
