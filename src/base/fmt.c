/* SPDX-License-Identifier: MIT */
#include "base/fmt.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/def.h"

/* Where the text goes; counts on after the end, as snprintf() does. */
struct sink {
	char *out;
	size_t size;
	size_t len;
};

/* One conversion: %[0][width][.N|.*][l|ll|z]verb */
struct spec {
	bool zero;
	size_t width;
	size_t prec; /* SIZE_MAX = none */
	char size;   /* 0, 'l', 'L' (ll) or 'z' */
	char verb;
};

static_assert(sizeof(size_t) == sizeof(long), "z is read as l is");

/* Wider than any number in base 8, sign included. */
#define DIGITS_MAX 24
/* A width or precision beyond this is a mistake and is cut. */
#define WIDTH_MAX 4096

static void emit(struct sink *s, const char *text, size_t len)
{
	if (s->len < s->size)
		memcpy(s->out + s->len, text, dv_min(len, s->size - s->len));
	s->len += len;
}

static void pad(struct sink *s, char c, size_t width, size_t used)
{
	for (; used < width; used++)
		emit(s, &c, 1);
}

static size_t parse_count(const char **fp)
{
	size_t n = 0;

	for (; **fp >= '0' && **fp <= '9'; (*fp)++)
		n = dv_min(n * 10 + (size_t)(**fp - '0'), (size_t)WIDTH_MAX);
	return n;
}

static const char *parse_size(const char *f, struct spec *sp)
{
	if (*f == 'z') {
		sp->size = *f++;
	} else if (*f == 'l') {
		sp->size = *f++;
		if (*f == 'l') {
			sp->size = 'L';
			f++;
		}
	}
	return f;
}

static void emit_text(struct sink *s, const struct spec *sp, const char *text)
{
	size_t len;

	if (!text)
		text = "(null)";
	len = strnlen(text, sp->prec);
	pad(s, ' ', sp->width, len);
	emit(s, text, len);
}

static void emit_number(struct sink *s, const struct spec *sp, bool negative,
			uint64_t v)
{
	unsigned int base = sp->verb == 'x' ? 16 : sp->verb == 'o' ? 8 : 10;
	char digits[DIGITS_MAX];
	size_t at = sizeof(digits);
	size_t len;

	do {
		digits[--at] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	len = sizeof(digits) - at + negative;
	if (!sp->zero)
		pad(s, ' ', sp->width, len);
	if (negative)
		emit(s, "-", 1);
	if (sp->zero)
		pad(s, '0', sp->width, len);
	emit(s, digits + at, sizeof(digits) - at);
}

/* va_list may be an array type, which only a struct lets us hand on. */
struct args {
	va_list ap;
};

/* Read what follows the '%'; returns where the text goes on. */
static const char *parse_spec(const char *f, struct spec *sp, struct args *args)
{
	*sp = (struct spec){ .prec = SIZE_MAX };
	for (; *f == '0'; f++)
		sp->zero = true;
	sp->width = parse_count(&f);
	if (f[0] == '.' && f[1] == '*') {
		int n = va_arg(args->ap, int);

		if (n >= 0)
			sp->prec = (size_t)n;
		f += 2;
	} else if (*f == '.') {
		f++;
		sp->prec = parse_count(&f);
	}
	f = parse_size(f, sp);
	sp->verb = *f;
	return *f ? f + 1 : f;
}

static void emit_signed(struct sink *s, const struct spec *sp,
			struct args *args)
{
	int64_t v;

	if (sp->size == 'L')
		/* NOLINTNEXTLINE(bugprone-branch-clone): not everywhere */
		v = va_arg(args->ap, long long);
	else if (sp->size)
		v = va_arg(args->ap, long);
	else
		v = va_arg(args->ap, int);
	emit_number(s, sp, v < 0, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

static void emit_unsigned(struct sink *s, const struct spec *sp,
			  struct args *args)
{
	uint64_t v;

	if (sp->size == 'L')
		/* NOLINTNEXTLINE(bugprone-branch-clone): not everywhere */
		v = va_arg(args->ap, unsigned long long);
	else if (sp->size)
		v = va_arg(args->ap, unsigned long);
	else
		v = va_arg(args->ap, unsigned int);
	emit_number(s, sp, false, v);
}

/* False: unknown, and so the arguments cannot be followed any more. */
static bool emit_arg(struct sink *s, const struct spec *sp, struct args *args)
{
	char c = '%';

	switch (sp->verb) {
	case 'c':
		c = (char)va_arg(args->ap, int);
		pad(s, ' ', sp->width, 1);
		emit(s, &c, 1);
		return true;
	case '%':
		emit(s, &c, 1);
		return true;
	case 's':
		emit_text(s, sp, va_arg(args->ap, const char *));
		return true;
	case 'd':
	case 'i':
		emit_signed(s, sp, args);
		return true;
	case 'u':
	case 'x':
	case 'o':
		emit_unsigned(s, sp, args);
		return true;
	default:
		emit(s, "%?", 2);
		return false;
	}
}

int dv_vfmt(char *out, size_t size, const char *fmt, va_list ap)
{
	struct sink s = { out, size ? size - 1 : 0, 0 };
	const char *f = fmt;
	struct args args;
	struct spec sp;

	va_copy(args.ap, ap);
	for (;;) {
		size_t plain = strcspn(f, "%");

		emit(&s, f, plain);
		f += plain;
		if (!*f)
			break;
		f = parse_spec(f + 1, &sp, &args);
		if (!emit_arg(&s, &sp, &args))
			break;
	}
	va_end(args.ap);
	if (size)
		out[dv_min(s.len, s.size)] = '\0';
	return s.len > INT_MAX ? INT_MAX : (int)s.len;
}

int dv_fmt(char *out, size_t size, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = dv_vfmt(out, size, fmt, ap);
	va_end(ap);
	return len;
}
