/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * seccomp_flatten_generate.c - a filter that gives the same answers in fewer steps; contract in
 * seccomp_generate.h
 *
 * Theory of operation: a filter is loaded at each login, and loading it costs by its length (the
 * kernel compiles it) and by the length of its paths (the kernel runs it for each call's number of
 * each architecture, to remember those it always allows: seccomp_cache_prepare()).  libseccomp
 * compares number by number.  Here the finished program is asked what it answers, and answered for
 * by a binary search over ranges of numbers:
 *
 *	1. between two neighbours among all constants that the program compares with, all numbers
 *	   are alike, for it compares only by ==, > and >=
 *	2. for one number of each range the program is run, as far as it needs no argument; where it
 *	   does, the rest is kept as it stands, less the comparisons of the number in it
 *	3. ranges with the same answer are joined, over a number between them that has another one:
 *	   it becomes an exception, for which one == stands instead of two >=
 *	4. what ends alike stands once (seccomp_share_generate.c)
 *
 * Threat: a mistake here opens what the filter is to refuse.  So the old and the new program are
 * run beside each other afterwards, on each number that either treats differently from its
 * neighbours, with all arguments that it compares with, for each architecture and others; and
 * nothing is printed when they differ.
 */
#include "seccomp_generate.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGUMENTS 6
#define VALUES_MAX (12 * BPF_MAXINSNS + 32)
#define EXCEPTIONS_MAX 4 /* of a range; they are compared one after the other */
#define NOT_AN_ARCH 0u

/* --- a little machine ------------------------------------------------------------------------- */

static uint32_t word_of(const struct seccomp_data *data, uint32_t offset)
{
	uint32_t word;

	if (offset > sizeof(*data) - sizeof(word) || offset % sizeof(word) != 0)
		fail("a load from outside of seccomp_data", "", EINVAL);
	memcpy(&word, (const char *)data + offset, sizeof(word));
	return word;
}

static bool is_jump_taken(const struct sock_filter *jump, uint32_t a)
{
	switch (BPF_OP(jump->code)) {
	case BPF_JEQ:
		return a == jump->k;
	case BPF_JGT:
		return a > jump->k;
	case BPF_JGE:
		return a >= jump->k;
	case BPF_JSET:
		return (a & jump->k) != 0;
	default:
		fail("a jump that is not understood", "", EINVAL);
	}
}

static uint32_t run(const struct program *p, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < p->count; pc++) {
		const struct sock_filter *f = &p->code[pc];

		if (f->code == (BPF_LD | BPF_W | BPF_ABS))
			a = word_of(data, f->k);
		else if (f->code == (BPF_ALU | BPF_AND | BPF_K))
			a &= f->k;
		else if (f->code == (BPF_JMP | BPF_JA))
			pc += f->k;
		else if (f->code == (BPF_RET | BPF_K))
			return f->k;
		else if (BPF_CLASS(f->code) == BPF_JMP && BPF_SRC(f->code) == BPF_K)
			pc += is_jump_taken(f, a) ? f->jt : f->jf;
		else
			fail("an instruction that is not understood", "", EINVAL);
	}
	fail("a path without an end", "", EINVAL);
}

/* --- what is answered to one number ----------------------------------------------------------- */

/* struct state - where in the old program one is, and what of the accumulator is known */
struct state {
	size_t pc;
	uint32_t arch, number;
	bool is_known;
	uint32_t a;
};

static void load(struct state *s, const struct sock_filter *f, struct program *out)
{
	s->is_known = true;
	if (f->k == offsetof(struct seccomp_data, nr)) {
		s->a = s->number;
	} else if (f->k == offsetof(struct seccomp_data, arch)) {
		s->a = s->arch;
	} else {
		s->is_known = false;
		emit(out, f->code, f->k);
	}
}

/* The rest of the old program for this number: only what depends on arguments is emitted. */
static void specialise(const struct program *p, struct state s, struct program *out)
{
	for (; s.pc < p->count; s.pc++) {
		const struct sock_filter *f = &p->code[s.pc];
		size_t branch;

		if (f->code == (BPF_LD | BPF_W | BPF_ABS)) {
			load(&s, f, out);
		} else if (f->code == (BPF_JMP | BPF_JA)) {
			s.pc += f->k;
		} else if (f->code == (BPF_RET | BPF_K)) {
			emit(out, f->code, f->k);
			return;
		} else if (s.is_known) {
			/* Step 1 rests on these three. */
			if (BPF_CLASS(f->code) != BPF_JMP || BPF_SRC(f->code) != BPF_K ||
			    BPF_OP(f->code) == BPF_JSET)
				fail("arithmetic with a call's number", "", EINVAL);
			s.pc += is_jump_taken(f, s.a) ? f->jt : f->jf;
		} else if (f->code == (BPF_ALU | BPF_AND | BPF_K)) {
			emit(out, f->code, f->k);
		} else if (BPF_CLASS(f->code) != BPF_JMP || BPF_SRC(f->code) != BPF_K) {
			fail("an instruction that is not understood", "", EINVAL);
		} else {
			struct state taken = s;

			taken.pc = s.pc + 1 + f->jt;
			emit(out, f->code, f->k);
			branch = out->count;
			specialise(p, taken, out);
			if (out->count - branch > UINT8_MAX)
				fail("too much depends on arguments", "", E2BIG);
			out->code[branch - 1].jf = (uint8_t)(out->count - branch);
			s.pc += f->jf;
		}
	}
	fail("a path without an end", "", EINVAL);
}

/* --- ranges ----------------------------------------------------------------------------------- */

/* struct range - numbers that get answers[0], but the exceptions get theirs
 * @number: [0] is the first of the range, which ends before the next one; the others, exceptions */
struct range {
	size_t count; /* of answers: 1 and the exceptions */
	uint32_t number[1 + EXCEPTIONS_MAX];
	struct program *answer[1 + EXCEPTIONS_MAX];
};

/* struct ranges - of one architecture's numbers, ascending; the first begins at 0 */
struct ranges {
	size_t count;
	struct range range[2 * BPF_MAXINSNS + 1];
};

static int compare_words(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

/* Each constant of the program's comparisons, and the number after it. */
static size_t find_borders(const struct program *p, uint32_t *ret)
{
	size_t count = 0;

	ret[count++] = 0;
	for (size_t i = 0; i < p->count; i++) {
		if (BPF_CLASS(p->code[i].code) != BPF_JMP || BPF_OP(p->code[i].code) == BPF_JA)
			continue;
		ret[count++] = p->code[i].k;
		ret[count++] = p->code[i].k + 1;
	}
	qsort(ret, count, sizeof(*ret), compare_words);
	return count;
}

static bool is_same(const struct program *a, const struct program *b)
{
	return a->count == b->count && memcmp(a->code, b->code, a->count * sizeof(a->code[0])) == 0;
}

/* Is the last range one number, behind which goes on what was before it? */
static bool is_exception(const struct ranges *r, uint32_t next, const struct program *answer)
{
	const struct range *last, *before;

	if (r->count < 2)
		return false;
	last = &r->range[r->count - 1];
	before = last - 1;
	return last->number[0] + 1 == next && before->count <= EXCEPTIONS_MAX &&
	       is_same(before->answer[0], answer);
}

/* Takes over @answer, to the numbers from @first on. */
static void add_range(struct ranges *r, uint32_t first, struct program *answer)
{
	struct range *last = &r->range[r->count];

	if (r->count > 0 && is_same(answer, last[-1].answer[0])) {
		free(answer);
	} else if (is_exception(r, first, answer)) {
		struct range *before = last - 2;

		before->number[before->count] = last[-1].number[0];
		before->answer[before->count++] = last[-1].answer[0];
		r->count--;
		free(answer);
	} else {
		last->count = 1;
		last->number[0] = first;
		last->answer[0] = answer;
		r->count++;
	}
}

static void find_ranges(const struct program *p, uint32_t arch, struct ranges *ret)
{
	static uint32_t borders[2 * BPF_MAXINSNS + 1];
	size_t count = find_borders(p, borders);

	ret->count = 0;
	for (size_t i = 0; i < count; i++) {
		struct state s = {.arch = arch, .number = borders[i]};
		struct program *answer = calloc(1, sizeof(*answer));

		if (answer) {
			specialise(p, s, answer);
			add_range(ret, borders[i], answer);
		} else {
			fail("out of memory", "", ENOMEM);
		}
	}
}

static void free_ranges(struct ranges *ranges)
{
	for (size_t i = 0; i < ranges->count; i++)
		for (size_t j = 0; j < ranges->range[i].count; j++)
			free(ranges->range[i].answer[j]);
}

/* --- the new program -------------------------------------------------------------------------- */

static void append(struct program *out, const struct program *part)
{
	for (size_t i = 0; i < part->count; i++) {
		emit(out, part->code[i].code, part->code[i].k);
		out->code[out->count - 1].jt = part->code[i].jt;
		out->code[out->count - 1].jf = part->code[i].jf;
	}
}

/* struct block - part of a search: its comparisons, then each answer once */
struct block {
	const struct range *range;
	size_t count;
	size_t comparisons, size; /* the size is that of all, in instructions */
	size_t answers_at;        /* in the new program */
	struct program *out;
};

/* Calls @visit for each answer that differs from all before it. Return: the size of all of them,
 * or of those before @wanted, if that is not NULL. */
static size_t walk_answers(const struct block *b, const struct program *wanted,
			   void (*visit)(struct program *out, const struct program *answer))
{
	const struct program *seen[UINT8_MAX + 1];
	size_t seen_count = 0, size = 0;

	for (size_t i = 0; i < b->count; i++) {
		for (size_t j = 0; j < b->range[i].count; j++) {
			const struct program *answer = b->range[i].answer[j];
			size_t k = 0;

			if (wanted && is_same(answer, wanted))
				return size;
			while (k < seen_count && !is_same(answer, seen[k]))
				k++;
			if (k < seen_count)
				continue;
			/* More than a block has room for; see search(). */
			if (seen_count > UINT8_MAX)
				return SIZE_MAX / 2;
			seen[seen_count++] = answer;
			size += answer->count;
			if (visit)
				visit(b->out, answer);
		}
	}
	return size;
}

static struct block measure(const struct range *range, size_t count, struct program *out)
{
	struct block b = {.range = range, .count = count, .comparisons = count - 1, .out = out};

	for (size_t i = 0; i < count; i++)
		b.comparisons += range[i].count - 1;
	b.answers_at = out->count + b.comparisons;
	b.size = b.comparisons + walk_answers(&b, NULL, NULL);
	return b;
}

static size_t find_answer(const struct block *b, const struct program *answer)
{
	return b->answers_at + walk_answers(b, answer, NULL);
}

/* The number is in @range. Return: where to begin. */
static size_t compare_exceptions(const struct block *b, const struct range *range)
{
	size_t begin = b->out->count;
	size_t usual = find_answer(b, range->answer[0]);

	for (size_t i = 1; i < range->count; i++) {
		size_t here = b->out->count;

		emit(b->out, BPF_JMP | BPF_JEQ | BPF_K, range->number[i]);
		b->out->code[here].jt = (uint8_t)(find_answer(b, range->answer[i]) - here - 1);
		if (i == range->count - 1)
			b->out->code[here].jf = (uint8_t)(usual - here - 1);
	}
	return range->count > 1 ? begin : usual;
}

/* Emits the comparisons that find one of @count ranges. Return: where to begin. */
static size_t compare(const struct block *b, const struct range *range, size_t count)
{
	size_t half = count / 2, here = b->out->count, low, high;

	if (count == 1)
		return compare_exceptions(b, range);
	emit(b->out, BPF_JMP | BPF_JGE | BPF_K, range[half].number[0]);
	low = compare(b, range, half);
	high = compare(b, range + half, count - half);
	b->out->code[here].jt = (uint8_t)(high - here - 1);
	b->out->code[here].jf = (uint8_t)(low - here - 1);
	return here;
}

/* The accumulator holds the number, which is in one of the @count ranges. */
static void search(const struct range *range, size_t count, struct program *out)
{
	struct block whole = measure(range, count, out);
	size_t half = count / 2, jump;

	/* Kernel: a comparison jumps over 255 instructions at most. */
	if (whole.size <= UINT8_MAX) {
		(void)compare(&whole, range, count);
		(void)walk_answers(&whole, NULL, append);
		return;
	}
	if (count == 1)
		fail("an answer is too long", "", E2BIG);
	emit(out, BPF_JMP | BPF_JGE | BPF_K, range[half].number[0]);
	out->code[out->count - 1].jf = 1;
	jump = out->count;
	emit(out, BPF_JMP | BPF_JA, 0);
	search(range, half, out);
	out->code[jump].k = (uint32_t)(out->count - jump - 1);
	search(range + half, count - half, out);
}

static void build(const struct program *p, const uint32_t *arches, size_t arch_count,
		  struct program *out)
{
	static struct ranges ranges;

	for (size_t i = 0; i < arch_count; i++) {
		size_t other, skip;

		emit(out, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
		other = out->count;
		emit(out, BPF_JMP | BPF_JEQ | BPF_K, arches[i]);
		out->code[other].jt = 1;
		skip = out->count;
		emit(out, BPF_JMP | BPF_JA, 0);
		emit(out, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
		find_ranges(p, arches[i], &ranges);
		search(ranges.range, ranges.count, out);
		free_ranges(&ranges);
		out->code[skip].k = (uint32_t)(out->count - skip - 1);
	}
	find_ranges(p, NOT_AN_ARCH, &ranges);
	if (ranges.count != 1 || ranges.range[0].count != 1)
		fail("an unknown architecture gets more than one answer", "", EINVAL);
	append(out, ranges.range[0].answer[0]);
	free_ranges(&ranges);
}

/* --- the trial -------------------------------------------------------------------------------- */

static void try_one(const struct program *old, const struct program *new,
		    const struct seccomp_data *data)
{
	char which[128];

	if (run(old, data) == run(new, data))
		return;
	(void)snprintf(which, sizeof(which), "call %d of architecture 0x%x", data->nr, data->arch);
	fail("the flat filter answers otherwise to", which, EINVAL);
}

/* What arguments are compared with, and neighbours of that, in both halves; and each bit alone, for
 * one that is missing in a mask. */
static size_t find_values(const struct program *p, uint64_t *ret)
{
	static uint32_t borders[2 * BPF_MAXINSNS + 1];
	size_t borders_count = find_borders(p, borders), count = 0;

	for (size_t i = 0; i < borders_count; i++) {
		if (i > 0 && borders[i] == borders[i - 1])
			continue;
		ret[count++] = borders[i];
		ret[count++] = borders[i] - 1;
		ret[count++] = borders[i] | 0xdeadbeef00000000u;
		ret[count++] = ~(uint64_t)borders[i];
	}
	for (size_t bit = 0; bit < 32; bit++)
		ret[count++] = (uint64_t)1 << bit;
	return count;
}

/* Each argument by itself, and with each value of the first. */
static void try_arguments(const struct program *old, const struct program *new,
			  const struct program *answer, struct seccomp_data data)
{
	static uint64_t values[VALUES_MAX];
	size_t count = find_values(answer, values);

	for (size_t i = 0; i < count; i++) {
		data.args[0] = values[i];
		try_one(old, new, &data);
		for (size_t n = 1; n < ARGUMENTS; n++) {
			for (size_t j = 0; j < count; j++) {
				data.args[n] = values[j];
				try_one(old, new, &data);
			}
			data.args[n] = 0;
		}
	}
}

static void try_number(const struct program *old, const struct program *new, uint32_t arch,
		       uint32_t number)
{
	static struct program answer;
	struct seccomp_data data = {.nr = (int)number, .arch = arch};

	answer.count = 0;
	memset(answer.code, 0, sizeof(answer.code));
	specialise(old, (struct state){.arch = arch, .number = number}, &answer);
	try_one(old, new, &data);
	memset(data.args, 0xff, sizeof(data.args));
	try_one(old, new, &data);
	memset(data.args, 0, sizeof(data.args));
	if (answer.count > 1)
		try_arguments(old, new, &answer, data);
}

static void try_arch(const struct program *old, const struct program *new, uint32_t arch)
{
	static uint32_t borders[2 * BPF_MAXINSNS + 1];
	const struct program *both[] = {old, new};

	for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++) {
		size_t count = find_borders(both[i], borders);

		for (size_t j = 0; j < count; j++) {
			try_number(old, new, arch, borders[j]);
			try_number(old, new, arch, borders[j] - 1);
		}
	}
}

/* Those that nobody told us of: far away, beside each known one, and a bit away from it. */
static void try_other_arches(const struct program *old, const struct program *new,
			     const uint32_t *arches, size_t arch_count)
{
	try_arch(old, new, NOT_AN_ARCH);
	try_arch(old, new, UINT32_MAX);
	for (size_t i = 0; i < arch_count; i++) {
		try_arch(old, new, arches[i] - 1);
		try_arch(old, new, arches[i] + 1);
		for (size_t bit = 0; bit < 32; bit++)
			try_arch(old, new, arches[i] ^ (uint32_t)1 << bit);
	}
}

void flatten(struct program *p, const uint32_t *arches, size_t arch_count)
{
	static struct program flat;

	memset(&flat, 0, sizeof(flat));
	build(p, arches, arch_count, &flat);
	share_ends(&flat);
	for (size_t i = 0; i < arch_count; i++)
		try_arch(p, &flat, arches[i]);
	try_other_arches(p, &flat, arches, arch_count);
	memcpy(p->code, flat.code, sizeof(p->code));
	p->count = flat.count;
}
