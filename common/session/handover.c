/* SPDX-License-Identifier: GPL-3.0-or-later */
/* handover.c - the builder's parts, sent and received; contract in ispawn/session/handover.h */
#include "ispawn/session/handover.h"

#include "ispawn/base/fd.h"
#include "ispawn/session/protocol.h"

#include <linux/filter.h>
#include <string.h>

_Static_assert(sizeof(struct isp_go) <= ISP_MESSAGE_TEXT_SIZE, "it fits into a message");

/* struct place - where the parts of one kind stand; those of a builder, or @profile_fd */
struct place {
	int *fds;
	size_t count;
};

static struct place find_place(struct isp_builder *b, int *profile_fd, int32_t part)
{
	const struct place places[] = {
		[ISP_PART_ROOT] = {&b->root_fd, 1},
		[ISP_PART_HOME] = {&b->home_fd, 1},
		[ISP_PART_SYSFS] = {&b->fs_fds[ISP_FS_SYS], 1},
		[ISP_PART_CGROUPS] = {b->cgroup_fds, ISP_CGROUP_HIERARCHIES_MAX},
		[ISP_PART_BINDS] = {b->bind_fds, ISP_LIST_MAX},
		[ISP_PART_LXCFS] = {b->lxcfs_fds, ISP_LXCFS_FILES},
		[ISP_PART_PROFILE] = {profile_fd, 1},
	};

	_Static_assert(ISP_ARRAY_SIZE(places) == ISP_PART_COUNT, "each kind has its place");
	if (part < 0 || part >= ISP_PART_COUNT)
		return (struct place){NULL, 0};
	return places[part];
}

/* --- the supervisor's side -------------------------------------------------------------------- */

/* How many in a row there are from @first on, for one message. */
static size_t run_length(const struct place *place, size_t first)
{
	size_t length = 0;

	while (length < ISP_FDS_MAX && first + length < place->count &&
	       place->fds[first + length] >= 0)
		length++;
	return length;
}

static int send_place(int init_fd, int32_t part, const struct place *place)
{
	for (size_t i = 0; i < place->count;) {
		struct isp_message message = {
			.type = ISP_MESSAGE_PART, .value = part, .tenant = (uint32_t)i};
		size_t length = run_length(place, i);
		int r = 0;

		if (length > 0)
			r = isp_message_send(init_fd, &message, &place->fds[i], length, 0);
		if (r < 0)
			return r;
		i += length > 0 ? length : 1;
	}
	return 0;
}

int isp_handover_send(int init_fd, const struct isp_builder *b)
{
	struct isp_message go = {.type = ISP_MESSAGE_GO};
	struct isp_go text = {.machine_id = ""};
	struct isp_builder borrowed = *b;
	cleanup_close int profile_fd = -EBADF;
	int r = 0;

	if (b->profile.count > 0)
		r = isp_fd_memfd("ispawn-profile", b->profile.code,
				 b->profile.count * sizeof(*b->profile.code), &profile_fd);
	for (int32_t part = 0; part < ISP_PART_COUNT && r == 0; part++) {
		const struct place place = find_place(&borrowed, &profile_fd, part);

		r = send_place(init_fd, part, &place);
	}
	if (r < 0)
		return r;
	go.value = b->is_home_new;
	memcpy(text.machine_id, b->machine_id, sizeof(text.machine_id));
	memcpy(text.processors, b->processors, sizeof(text.processors));
	memcpy(go.text, &text, sizeof(text));
	return isp_message_send(init_fd, &go, NULL, 0, 0);
}

/* --- the builder's side ----------------------------------------------------------------------- */

static int take_part(const struct isp_message *message, const struct place *place, int *fds,
		     size_t count)
{
	size_t first = message->tenant;

	if (count == 0 || first > place->count || count > place->count - first)
		return -EPROTO;
	for (size_t i = 0; i < count; i++)
		if (place->fds[first + i] >= 0)
			return -EPROTO;
	for (size_t i = 0; i < count; i++)
		place->fds[first + i] = steal_fd(&fds[i]);
	return 0;
}

static int take_profile(int fd, struct isp_profile *profile)
{
	char *bytes = NULL;
	size_t size = 0;
	int r = isp_fd_memfd_read(fd, BPF_MAXINSNS * sizeof(*profile->code), &bytes, &size);

	if (r < 0)
		return r;
	profile->code =
		(struct sock_filter *)(void *)bytes; /* of malloc(3): aligned for anything */
	profile->count = size / sizeof(*profile->code);
	return 0;
}

static int take_go(const struct isp_message *go, struct isp_builder *b)
{
	struct isp_go text;
	size_t binds = 0;

	memcpy(&text, go->text, sizeof(text));
	if (!memchr(text.machine_id, '\0', sizeof(text.machine_id)) ||
	    !memchr(text.processors, '\0', sizeof(text.processors)))
		return -EPROTO;
	memcpy(b->machine_id, text.machine_id, sizeof(b->machine_id));
	memcpy(b->processors, text.processors, sizeof(b->processors));
	b->is_home_new = go->value == 1;
	while (b->cgroup_count < ISP_CGROUP_HIERARCHIES_MAX && b->cgroup_fds[b->cgroup_count] >= 0)
		b->cgroup_count++;
	while (binds < ISP_LIST_MAX && b->bind_fds[binds] >= 0)
		binds++;
	if (b->root_fd < 0 || (b->home_fd >= 0) != (b->spec->home != ISP_HOME_TMPFS) ||
	    b->fs_fds[ISP_FS_SYS] < 0 /* the builder's own, or the host's */ ||
	    binds != b->spec->bind_count ||
	    (b->profile.count > 0) == isp_seccomp_is_built_in(b->spec->seccomp))
		return -EPROTO;
	return 0;
}

/* Return: 1 there is more to come; 0 that was all; -errno. */
static int receive_one(int supervisor_fd, struct isp_builder *b)
{
	const uint32_t allowed = 1u << ISP_MESSAGE_PART | 1u << ISP_MESSAGE_GO;
	cleanup_close int profile_fd = -EBADF;
	struct isp_message message = {0};
	struct place place;
	int fds[ISP_FDS_MAX];
	size_t count = 0;
	int r = isp_message_receive(supervisor_fd, allowed, &message, fds, &count, 0);

	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	if (message.type == ISP_MESSAGE_GO) {
		isp_message_close_fds(fds, count);
		return count > 0 ? -EPROTO : take_go(&message, b);
	}
	place = find_place(b, &profile_fd, message.value);
	r = take_part(&message, &place, fds, count);
	isp_message_close_fds(fds, count);
	if (r == 0 && profile_fd >= 0)
		r = b->profile.code ? -EPROTO : take_profile(profile_fd, &b->profile);
	return r < 0 ? r : 1;
}

int isp_handover_receive(int supervisor_fd, struct isp_builder *b, struct isp_error *err)
{
	int r;

	do
		r = receive_one(supervisor_fd, b);
	while (r > 0);
	return r < 0 ? isp_err_set(err, -r, ISP_STAGE_NAMESPACES,
				   "take over what the supervisor has made")
		     : 0;
}
