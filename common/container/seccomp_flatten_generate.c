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
 *	3. ranges with the same answer are joined
 *
 * Threat: a mistake here opens what the filter is to refuse.  So the old and the new program are
 * run beside each other afterwards, on each number that either treats differently from its
 * neighbours, with all arguments that either compares with; and nothing is printed when they
 * differ.
 */
#include "seccomp_generate.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGUMENTS 6
#define VALUES_MAX (8 * BPF_MAXINSNS)
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
			if (BPF_CLASS(f->code) != BPF_JMP || BPF_OP(f->code) == BPF_JSET)
				fail("arithmetic with a call's number", "", EINVAL);
			s.pc += is_jump_taken(f, s.a) ? f->jt : f->jf;
		} else if (f->code == (BPF_ALU | BPF_AND | BPF_K)) {
			emit(out, f->code, f->k);
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

/* struct ranges - of one architecture's numbers, ascending; the first begins at 0 */
struct ranges {
	size_t count;
	uint32_t first[2 * BPF_MAXINSNS + 1];
	struct program *answer[2 * BPF_MAXINSNS + 1];
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

static void find_ranges(const struct program *p, uint32_t arch, struct ranges *ret)
{
	static uint32_t borders[2 * BPF_MAXINSNS + 1];
	size_t count = find_borders(p, borders);

	ret->count = 0;
	for (size_t i = 0; i < count; i++) {
		struct state s = {.arch = arch, .number = borders[i]};
		struct program *answer = calloc(1, sizeof(*answer));

		if (!answer)
			fail("out of memory", "", ENOMEM);
		specialise(p, s, answer);
		if (ret->count > 0 && is_same(answer, ret->answer[ret->count - 1])) {
			free(answer);
			continue;
		}
		ret->first[ret->count] = borders[i];
		ret->answer[ret->count++] = answer;
	}
}

static void free_ranges(struct ranges *ranges)
{
	for (size_t i = 0; i < ranges->count; i++)
		free(ranges->answer[i]);
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
	const struct ranges *ranges;
	size_t from, count;
	size_t answers_at; /* in the new program */
	struct program *out;
};

/* Where the answer of range @i stands behind the comparisons; for @i beyond the last: their size */
static size_t find_answer(const struct block *b, size_t i)
{
	size_t size = 0;

	for (size_t other = b->from; other < b->from + b->count; other++) {
		const struct program *answer = b->ranges->answer[other];
		bool is_first = true;

		if (i < b->from + b->count && is_same(answer, b->ranges->answer[i]))
			return size;
		for (size_t before = b->from; before < other && is_first; before++)
			is_first = !is_same(answer, b->ranges->answer[before]);
		if (is_first)
			size += answer->count;
	}
	return size;
}

/* Emits the comparisons that find one of @count ranges from @from on. Return: where to begin. */
static size_t compare(const struct block *b, size_t from, size_t count)
{
	size_t half = count / 2, here = b->out->count, low, high;

	if (count == 1)
		return b->answers_at + find_answer(b, from);
	emit(b->out, BPF_JMP | BPF_JGE | BPF_K, b->ranges->first[from + half]);
	low = compare(b, from, half);
	high = compare(b, from + half, count - half);
	b->out->code[here].jt = (uint8_t)(high - here - 1);
	b->out->code[here].jf = (uint8_t)(low - here - 1);
	return here;
}

static void emit_block(const struct block *b)
{
	(void)compare(b, b->from, b->count);
	for (size_t i = b->from; i < b->from + b->count; i++)
		if (b->answers_at + find_answer(b, i) == b->out->count)
			append(b->out, b->ranges->answer[i]);
}

/* The accumulator holds the number, which is in one of the @count ranges from @from on. */
static void search(const struct ranges *ranges, size_t from, size_t count, struct program *out)
{
	const struct block whole = {ranges, from, count, out->count + count - 1, out};
	size_t half = count / 2, jump;

	/* Kernel: a comparison jumps over 255 instructions at most. */
	if (count - 1 + find_answer(&whole, from + count) <= UINT8_MAX) {
		emit_block(&whole);
		return;
	}
	if (count == 1)
		fail("an answer is too long", "", E2BIG);
	emit(out, BPF_JMP | BPF_JGE | BPF_K, ranges->first[from + half]);
	out->code[out->count - 1].jf = 1;
	jump = out->count;
	emit(out, BPF_JMP | BPF_JA, 0);
	search(ranges, from, half, out);
	out->code[jump].k = (uint32_t)(out->count - jump - 1);
	search(ranges, from + half, count - half, out);
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
		search(&ranges, 0, ranges.count, out);
		free_ranges(&ranges);
		out->code[skip].k = (uint32_t)(out->count - skip - 1);
	}
	find_ranges(p, NOT_AN_ARCH, &ranges);
	if (ranges.count != 1)
		fail("an unknown architecture gets more than one answer", "", EINVAL);
	append(out, ranges.answer[0]);
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

/* What arguments are compared with in either program, and neighbours of that, in both halves. */
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

void flatten(struct program *p, const uint32_t *arches, size_t arch_count)
{
	static struct program flat;

	memset(&flat, 0, sizeof(flat));
	build(p, arches, arch_count, &flat);
	for (size_t i = 0; i < arch_count; i++)
		try_arch(p, &flat, arches[i]);
	try_arch(p, &flat, NOT_AN_ARCH);
	memcpy(p->code, flat.code, sizeof(p->code));
	p->count = flat.count;
}
