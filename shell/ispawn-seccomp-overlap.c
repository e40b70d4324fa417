/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ispawn-seccomp-overlap.c - can two rules apply to the same call? Contract in ispawn-seccomp.h
 *
 * Of two rules with different actions libseccomp keeps one, silently, and which one depends on
 * their order and shape.  A profile has no order, so such rules must exclude each other: by two
 * comparisons of one argument that cannot both hold.  Where that cannot be told, they are taken to
 * overlap.
 */
#include "ispawn-seccomp.h"

/* struct range - @first > @last: empty */
struct range {
	uint64_t first, last;
};

static const struct range empty = {.first = 1, .last = 0};

/* Return: is it a range?  Neither "not equal" nor a mask is one. */
static bool range_of(const struct scmp_arg_cmp *c, struct range *ret)
{
	const uint64_t value = c->datum_a;

	switch (c->op) {
	case SCMP_CMP_LT:
		*ret = value == 0 ? empty : (struct range){0, value - 1};
		return true;
	case SCMP_CMP_LE:
		*ret = (struct range){0, value};
		return true;
	case SCMP_CMP_EQ:
		*ret = (struct range){value, value};
		return true;
	case SCMP_CMP_GE:
		*ret = (struct range){value, UINT64_MAX};
		return true;
	case SCMP_CMP_GT:
		*ret = value == UINT64_MAX ? empty : (struct range){value + 1, UINT64_MAX};
		return true;
	case SCMP_CMP_NE:
	case SCMP_CMP_MASKED_EQ:
	case _SCMP_CMP_MIN:
	case _SCMP_CMP_MAX:
		break;
	}
	return false;
}

/* Can no value of @range pass @c, which is not a range itself? */
static bool excludes(const struct range *range, const struct scmp_arg_cmp *c)
{
	if (range->first != range->last)
		return range->first > range->last;
	return c->op == SCMP_CMP_NE ? range->first == c->datum_a
				    : (range->first & c->datum_a) != c->datum_b;
}

static bool are_disjoint(const struct scmp_arg_cmp *a, const struct scmp_arg_cmp *b)
{
	struct range left = empty, right = empty;
	bool is_left = range_of(a, &left);
	bool is_right = range_of(b, &right);

	if (is_left && is_right)
		return left.first > left.last || right.first > right.last ||
		       left.first > right.last || right.first > left.last;
	if (is_left)
		return excludes(&left, b);
	if (is_right)
		return excludes(&right, a);
	return a->op == SCMP_CMP_MASKED_EQ && b->op == SCMP_CMP_MASKED_EQ &&
	       (a->datum_a & b->datum_a & (a->datum_b ^ b->datum_b)) != 0;
}

bool rule_overlaps(const struct rule *a, const struct rule *b)
{
	for (unsigned int i = 0; i < a->count; i++)
		for (unsigned int k = 0; k < b->count; k++)
			if (a->comparisons[i].arg == b->comparisons[k].arg &&
			    are_disjoint(&a->comparisons[i], &b->comparisons[k]))
				return false;
	return true;
}
