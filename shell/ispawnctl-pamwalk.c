/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawnctl-pamwalk.c - what a stack makes of the module's answer; contract in ispawnctl-host.h
 *
 * libpam's own walk (_pam_dispatch_aux), taken with every answer that the other modules could give:
 * whether a session can open is then a question of reachable states, of which there are few.  Only
 * the answers of pam_permit.so and pam_deny.so are known; every other module can say anything, so
 * what this finds may need a module to fail or succeed that hardly ever does.  That is the right
 * side to err on.
 */
#include "ispawnctl-host.h"

#include "ispawn/base/path.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* security/_pam_types.h, not included: these programs do without libpam. */
enum { CODE_SUCCESS = 0, CODE_PERM_DENIED = 6, CODE_SESSION_ERR = 14, CODE_IGNORE = 25 };

enum impression { NONE_YET, POSITIVE, NEGATIVE, IMPRESSIONS };

/* struct state - before a line is asked */
struct state {
	size_t next;
	enum impression impression;
	bool is_failed; /* the status that goes with a positive impression */
	bool has_met;   /* ours has been asked */
};

/* struct walk - one walk, with a fixed answer of ours */
struct walk {
	const struct pam_stack *stack;
	int ours_says;
	bool seen[PAM_LINES_MAX + 1][IMPRESSIONS][2][2];
	bool can_open, can_open_unmet;
	const struct pam_line *skipper; /* the last line that led past ours */
};

static void go(struct walk *walk, struct state state);

static void arrive(struct walk *walk, const struct state *state)
{
	if (state->impression != POSITIVE || state->is_failed)
		return;
	walk->can_open = true;
	if (!state->has_met)
		walk->can_open_unmet = true;
}

/* The first line behind @at that is outside its substack; the end for one at the top. */
static size_t leave_substack(const struct pam_stack *stack, size_t at)
{
	unsigned int level = stack->lines[at].level;
	size_t next = at + 1;

	if (level == 0)
		return stack->count;
	while (next < stack->count && stack->lines[next].level >= level)
		next++;
	return next;
}

/* Return: the line behind @jump lines, a substack being one; SIZE_MAX: libpam finds too few. */
static size_t jump_from(const struct pam_stack *stack, size_t at, int jump)
{
	unsigned int level = stack->lines[at].level;
	size_t h = at;

	while (jump > 0 && h + 1 < stack->count && stack->lines[h + 1].level >= level) {
		do {
			h++;
		} while (h + 1 < stack->count && stack->lines[h + 1].level > level);
		jump--;
	}
	return jump > 0 ? SIZE_MAX : h + 1;
}

static void note_skip(struct walk *walk, const struct state *state, size_t from, size_t to)
{
	if (state->has_met)
		return;
	for (size_t i = from + 1; i < to; i++)
		if (walk->stack->lines[i].is_ours)
			walk->skipper = &walk->stack->lines[from];
}

static void spoil(struct state *state)
{
	state->impression = NEGATIVE;
	state->is_failed = true;
}

static void agree(struct state *state, int code)
{
	bool is_open_minded = state->impression == NONE_YET ||
			      (state->impression == POSITIVE && !state->is_failed);

	if (!is_open_minded || code == CODE_IGNORE)
		return;
	state->impression = POSITIVE;
	state->is_failed = code != CODE_SUCCESS;
}

/* One answer of the line @state.next, and where it leads. */
static void answer(struct walk *walk, struct state state, int code)
{
	const struct pam_stack *stack = walk->stack;
	size_t at = state.next;
	int action = stack->lines[at].actions[code];
	size_t to = at + 1;

	if (action == PAM_DO_OK || action == PAM_DO_DONE)
		agree(&state, code);
	else if (action == PAM_DO_BAD || action == PAM_DO_DIE)
		spoil(&state);
	else if (action == PAM_DO_RESET)
		state.impression = NONE_YET;
	if (action == PAM_DO_DIE || (action == PAM_DO_DONE && state.impression == POSITIVE))
		to = leave_substack(stack, at);
	if (action > 0)
		to = jump_from(stack, at, action);
	if (to == SIZE_MAX) {
		spoil(&state);
		to = at + 1;
	}
	/* A session that is refused on the way past ours has not been let past it. */
	if (action != PAM_DO_DIE)
		note_skip(walk, &state, at, to);
	state.next = to;
	go(walk, state);
}

static bool is_named(const struct pam_line *line, const char *module)
{
	const char *base = strrchr(line->module, '/');

	return strcmp(base ? base + 1 : line->module, module) == 0;
}

static void ask(struct walk *walk, struct state state)
{
	const struct pam_line *line = &walk->stack->lines[state.next];

	if (line->is_ours) {
		state.has_met = true;
		answer(walk, state, walk->ours_says);
	} else if (line->is_broken || is_named(line, "pam_deny.so")) {
		answer(walk, state, CODE_SESSION_ERR);
	} else if (is_named(line, "pam_permit.so")) {
		answer(walk, state, CODE_SUCCESS);
	} else {
		for (int code = 0; code < PAM_CODES; code++)
			answer(walk, state, code);
	}
}

/* As deep as the stack is long. */
static void go(struct walk *walk, struct state state)
{
	bool *seen;

	if (state.next >= walk->stack->count) {
		arrive(walk, &state);
		return;
	}
	seen = &walk->seen[state.next][state.impression][state.is_failed][state.has_met];
	if (*seen)
		return;
	*seen = true;
	if (walk->stack->lines[state.next].is_heading) {
		state.next++;
		go(walk, state);
		return;
	}
	ask(walk, state);
}

static void walk_with(const struct pam_stack *stack, int ours_says, struct walk *ret_walk)
{
	memset(ret_walk, 0, sizeof(*ret_walk));
	ret_walk->stack = stack;
	ret_walk->ours_says = ours_says;
	go(ret_walk, (struct state){.next = 0});
}

static bool can_open(const struct pam_stack *stack, int ours_says)
{
	struct walk walk;

	walk_with(stack, ours_says, &walk);
	return walk.can_open;
}

/* A name without a slash is looked for where libpam's own modules are. */
static bool is_installed(const char *module)
{
	char path[512];

	if (module[0] == '/')
		return access(module, R_OK) == 0;
	(void)snprintf(path, sizeof(path), "%s/%s", ISPAWN_PAMDIR, module);
	return access(path, R_OK) == 0;
}

static const struct pam_line *find_ours(const struct pam_stack *stack)
{
	for (size_t i = 0; i < stack->count; i++)
		if (stack->lines[i].is_ours)
			return &stack->lines[i];
	return NULL;
}

void pam_walk(const struct pam_stack *stack, struct pam_finding *ret_finding)
{
	struct walk walk;

	*ret_finding = (struct pam_finding){.ours = find_ours(stack)};
	walk_with(stack, CODE_SUCCESS, &walk);
	ret_finding->is_shut = !walk.can_open;
	if (!ret_finding->ours)
		return;
	if (walk.can_open_unmet)
		ret_finding->skipper = walk.skipper;
	ret_finding->is_alone = !can_open(stack, CODE_IGNORE);
	ret_finding->is_weak =
		can_open(stack, CODE_SESSION_ERR) || can_open(stack, CODE_PERM_DENIED);
	ret_finding->is_last = stack->lines[stack->count - 1].is_ours;
	ret_finding->is_installed = is_installed(ret_finding->ours->module);
}
