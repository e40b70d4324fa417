/* SPDX-License-Identifier: GPL-3.0-or-later */
/* request.c - what ispawn-shell asks of init; contract in ispawn/session/request.h */
#include "ispawn/session/request.h"

#include "ispawn/base/fd.h"
#include "ispawn/base/path.h"
#include "ispawn/session/environment.h"
#include "ispawn/session/protocol.h"

#include <string.h>

#define REQUEST_MAGIC 0x69737232u /* "isr2": magic and version in one */

/* Both ends are built together and run on one machine, so native sizes and order will do; the magic
 * parts an old shell from a new init. */
struct header {
	uint32_t magic;
	uint32_t is_login;
	uint32_t is_command;
	uint32_t has_directory; /* then one more string follows the others */
	uint32_t umask;
	uint32_t streams[ISP_REQUEST_STREAMS];
	uint32_t arg_count;
	uint32_t environment_count;
	struct termios termios;
	struct winsize winsize;
};

size_t isp_request_count(const struct isp_request *request, enum isp_stream kind)
{
	size_t count = 0;

	for (size_t i = 0; i < ISP_REQUEST_STREAMS; i++)
		count += request->streams[i] == kind;
	return count;
}

static int check_header(const struct header *header, struct isp_error *err)
{
	if (header->magic != REQUEST_MAGIC)
		return isp_err_set(err, EPROTO, ISP_STAGE_TENANT,
				   "the request is of another version of ispawn");
	if (header->is_login > 1)
		return isp_err_set(err, EINVAL, ISP_STAGE_TENANT, "request: is_login");
	if (header->is_command > 1 || (header->is_command == 1 && header->arg_count == 0))
		return isp_err_set(err, EINVAL, ISP_STAGE_TENANT, "request: is_command");
	if (header->has_directory > 1)
		return isp_err_set(err, EINVAL, ISP_STAGE_TENANT, "request: has_directory");
	if (header->umask > 0777)
		return isp_err_set(err, EINVAL, ISP_STAGE_TENANT, "request: umask");
	for (size_t i = 0; i < ISP_REQUEST_STREAMS; i++)
		if (header->streams[i] >= ISP_STREAM_COUNT)
			return isp_err_set(err, EINVAL, ISP_STAGE_TENANT, "request: stream %zu", i);
	if (header->arg_count > ISP_REQUEST_ARGS_MAX)
		return isp_err_set(err, E2BIG, ISP_STAGE_TENANT, "more than %d arguments",
				   ISP_REQUEST_ARGS_MAX);
	if (header->environment_count > ISP_REQUEST_ENVIRONMENT_MAX)
		return isp_err_set(err, E2BIG, ISP_STAGE_TENANT, "more than %d variables",
				   ISP_REQUEST_ENVIRONMENT_MAX);
	return 0;
}

/* Adds up the bytes of @count strings; each is at most as long as the address space, so the sum
 * is checked at every step. */
static int add_sizes(char *const *strings, size_t count, size_t *size)
{
	for (size_t i = 0; i < count; i++) {
		size_t room = ISP_REQUEST_SIZE_MAX - *size;
		size_t length = strnlen(strings[i], room);

		if (length == room)
			return -E2BIG;
		*size += length + 1;
	}
	return 0;
}

static char *append(char *to, char *const *strings, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t size = strlen(strings[i]) + 1;

		memcpy(to, strings[i], size);
		to += size;
	}
	return to;
}

static struct header make_header(const struct isp_request *request)
{
	struct header header = {0};

	header.magic = REQUEST_MAGIC;
	header.is_login = request->is_login;
	header.is_command = request->is_command;
	header.has_directory = request->directory != NULL;
	header.umask = request->umask;
	for (size_t i = 0; i < ISP_REQUEST_STREAMS; i++)
		header.streams[i] = request->streams[i];
	header.arg_count = (uint32_t)request->arg_count;
	header.environment_count = (uint32_t)request->environment_count;
	header.termios = request->termios;
	header.winsize = request->winsize;
	return header;
}

static int check_strings(const struct isp_request *request, struct isp_error *err)
{
	for (size_t i = 0; i < request->environment_count; i++)
		if (!isp_environment_is_sane(request->environment[i]))
			return isp_err_set(err, EINVAL, ISP_STAGE_TENANT,
					   "request: variable %zu is not NAME=value", i);
	if (request->directory && !isp_path_is_clean(request->directory))
		return isp_err_set(err, EINVAL, ISP_STAGE_TENANT,
				   "request: the directory is not a clean absolute path");
	return 0;
}

int isp_request_encode(const struct isp_request *request, char **ret_bytes, size_t *ret_size,
		       struct isp_error *err)
{
	struct header header = make_header(request);
	size_t size = sizeof(header);
	char *directory = (char *)(uintptr_t)request->directory; /* only read, as the others */
	int r = check_header(&header, err);
	char *bytes, *end;

	if (r < 0)
		return r;
	r = check_strings(request, err);
	if (r < 0)
		return r;
	if (add_sizes(request->args, request->arg_count, &size) < 0 ||
	    add_sizes(request->environment, request->environment_count, &size) < 0 ||
	    add_sizes(&directory, header.has_directory, &size) < 0)
		return isp_err_set(err, E2BIG, ISP_STAGE_TENANT,
				   "arguments and environment take more than %d bytes",
				   ISP_REQUEST_SIZE_MAX);
	bytes = malloc(size);
	if (!bytes)
		return isp_err_set(err, ENOMEM, ISP_STAGE_TENANT, "a request of %zu bytes", size);
	memcpy(bytes, &header, sizeof(header));
	end = append(bytes + sizeof(header), request->args, request->arg_count);
	end = append(end, request->environment, request->environment_count);
	(void)append(end, &directory, header.has_directory);
	*ret_bytes = bytes;
	*ret_size = size;
	return 0;
}

/* Points @count entries of a new NULL-terminated array at the strings from *@at on. */
static int split(char **at, const char *end, size_t count, char ***ret_strings)
{
	cleanup_free char **strings = calloc(count + 1, sizeof(*strings));
	char *p = *at;

	if (!strings)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		char *nul = memchr(p, '\0', (size_t)(end - p));

		if (!nul)
			return -EINVAL;
		strings[i] = p;
		p = nul + 1;
	}
	*at = p;
	*ret_strings = steal_pointer(&strings);
	return 0;
}

static int take_directory(char **at, const char *end, const struct header *header,
			  struct isp_request *request)
{
	char *nul;

	if (header->has_directory == 0)
		return 0;
	nul = memchr(*at, '\0', (size_t)(end - *at));
	if (!nul)
		return -EINVAL;
	request->directory = *at;
	*at = nul + 1;
	return 0;
}

static int decode_strings(char *bytes, size_t size, const struct header *header,
			  struct isp_request *request, struct isp_error *err)
{
	char *at = bytes + sizeof(*header), *end = bytes + size;
	int r = split(&at, end, header->arg_count, &request->args);

	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_TENANT, "request: arguments");
	request->arg_count = header->arg_count;
	r = split(&at, end, header->environment_count, &request->environment);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_TENANT, "request: environment");
	request->environment_count = header->environment_count;
	r = take_directory(&at, end, header, request);
	if (r < 0)
		return isp_err_set(err, -r, ISP_STAGE_TENANT, "request: directory");
	if (at != end)
		return isp_err_set(err, EINVAL, ISP_STAGE_TENANT,
				   "request: bytes after the last string");
	return check_strings(request, err);
}

int isp_request_decode(char *bytes, size_t size, struct isp_request *ret_request,
		       struct isp_error *err)
{
	cleanup_request struct isp_request request = {0};
	struct header header = {0};
	int r;

	if (size < sizeof(header))
		return isp_err_set(err, EINVAL, ISP_STAGE_TENANT, "request: %zu bytes", size);
	if (size > ISP_REQUEST_SIZE_MAX)
		return isp_err_set(err, E2BIG, ISP_STAGE_TENANT, "request: %zu bytes", size);
	memcpy(&header, bytes, sizeof(header));
	r = check_header(&header, err);
	if (r < 0)
		return r;
	request.is_login = header.is_login == 1;
	request.is_command = header.is_command == 1;
	request.umask = header.umask;
	for (size_t i = 0; i < ISP_REQUEST_STREAMS; i++)
		request.streams[i] = (enum isp_stream)header.streams[i];
	request.termios = header.termios;
	request.winsize = header.winsize;
	r = decode_strings(bytes, size, &header, &request, err);
	if (r < 0)
		return r;
	*ret_request = request;
	request = (struct isp_request){0};
	return 0;
}

void isp_request_free(struct isp_request *request)
{
	free(request->args);
	free(request->environment);
	*request = (struct isp_request){0};
}
