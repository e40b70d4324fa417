/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * seccomp_share_generate.c - equal ends of a filter stand in it once; contract in
 * seccomp_generate.h
 *
 * Theory of operation: two instructions are equal when they do the same and go on to equal ones.
 * Jumps in BPF go forwards only, so from the last instruction to the first all that follow one are
 * known when it is looked at.  Then each jump is led to the last equal of its target that it
 * reaches, and what nothing leads to any more is left out.  That brings more of them into reach,
 * and so it is repeated.  flatten() tries the result.
 */
#include "seccomp_generate.h"

#include <errno.h>
#include <string.h>

static bool is_jump(const struct sock_filter *f)
{
	return BPF_CLASS(f->code) == BPF_JMP;
}

static bool is_end(const struct sock_filter *f)
{
	return BPF_CLASS(f->code) == BPF_RET;
}

/* struct follower - the two instructions that may be next; both the same where there is one */
struct follower {
	size_t taken, other;
};

static struct follower find_follower(const struct program *p, size_t i)
{
	const struct sock_filter *f = &p->code[i];
	struct follower next = {i + 1, i + 1};

	if (f->code == (BPF_JMP | BPF_JA))
		next = (struct follower){i + 1 + f->k, i + 1 + f->k};
	else if (is_jump(f))
		next = (struct follower){i + 1 + f->jt, i + 1 + f->jf};
	if (!is_end(f) && (next.taken >= p->count || next.other >= p->count))
		fail("a path without an end", "", EINVAL);
	return next;
}

/* Is @i equal to @later, whose kind is known, as is that of all behind @i? */
static bool is_equal(const struct program *p, const size_t *kind, size_t i, size_t later)
{
	const struct sock_filter *a = &p->code[i], *b = &p->code[later];
	struct follower after_a, after_b;

	if (a->code != b->code || a->k != b->k)
		return false;
	if (is_end(a))
		return true;
	after_a = find_follower(p, i);
	after_b = find_follower(p, later);
	return kind[after_a.taken] == kind[after_b.taken] &&
	       kind[after_a.other] == kind[after_b.other];
}

/* Equal instructions are of one kind: the place of the last of them. */
static void find_kinds(const struct program *p, size_t *ret)
{
	for (size_t i = p->count; i-- > 0;) {
		size_t later = p->count - 1;

		if (p->code[i].code == (BPF_JMP | BPF_JA)) {
			/* It does nothing but lead there. */
			ret[i] = ret[find_follower(p, i).taken];
			continue;
		}
		while (later > i &&
		       (p->code[later].code == (BPF_JMP | BPF_JA) || !is_equal(p, ret, i, later)))
			later--;
		ret[i] = later > i ? ret[later] : i;
	}
}

/* How far a jump at @i goes to the last of @kind within @reach. */
static size_t find_distance(const struct program *p, const size_t *kind, size_t i, size_t wanted,
			    size_t reach)
{
	size_t last = p->count - 1;

	if (last - i - 1 > reach)
		last = i + 1 + reach;
	while (last > i && kind[last] != wanted)
		last--;
	if (last == i)
		fail("a jump has lost its target", "", EINVAL);
	return last - i - 1;
}

static void lead_jumps(struct program *p, const size_t *kind)
{
	for (size_t i = 0; i < p->count; i++) {
		struct sock_filter *f = &p->code[i];
		struct follower next = find_follower(p, i);

		if (f->code == (BPF_JMP | BPF_JA)) {
			f->k = (uint32_t)find_distance(p, kind, i, kind[next.taken], p->count);
		} else if (is_jump(f)) {
			/* Kernel: a comparison jumps over 255 instructions at most. */
			f->jt = (uint8_t)find_distance(p, kind, i, kind[next.taken], UINT8_MAX);
			f->jf = (uint8_t)find_distance(p, kind, i, kind[next.other], UINT8_MAX);
		}
	}
}

/* Leaves out what nothing leads to. */
static void drop_unreached(struct program *p)
{
	static bool is_reached[BPF_MAXINSNS];
	static size_t place[BPF_MAXINSNS];
	size_t count = 0;

	memset(is_reached, 0, sizeof(is_reached));
	is_reached[0] = true;
	for (size_t i = 0; i < p->count; i++) {
		place[i] = count;
		if (!is_reached[i])
			continue;
		count++;
		if (is_end(&p->code[i]))
			continue;
		is_reached[find_follower(p, i).taken] = true;
		is_reached[find_follower(p, i).other] = true;
	}
	for (size_t i = 0; i < p->count; i++) {
		struct sock_filter f = p->code[i];
		struct follower next = find_follower(p, i);

		if (!is_reached[i])
			continue;
		if (f.code == (BPF_JMP | BPF_JA)) {
			f.k = (uint32_t)(place[next.taken] - place[i] - 1);
		} else if (is_jump(&f)) {
			f.jt = (uint8_t)(place[next.taken] - place[i] - 1);
			f.jf = (uint8_t)(place[next.other] - place[i] - 1);
		}
		/* Never behind @i: what is still to be read stays as it was. */
		p->code[place[i]] = f;
	}
	p->count = count;
}

void share_ends(struct program *p)
{
	static size_t kinds[BPF_MAXINSNS];
	size_t before;

	do {
		before = p->count;
		find_kinds(p, kinds);
		lead_jumps(p, kinds);
		drop_unreached(p);
	} while (p->count < before);
}
