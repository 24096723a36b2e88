/* SPDX-License-Identifier: MIT */
#include "base/num.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/def.h"

/* Nine digits after the point count; further ones are read and cut off. */
#define FRACTION_ONE UINT64_C(1000000000)

/* "123.45": the number before the point and the rest in billionths. */
struct decimal {
	uint64_t whole;
	uint64_t fraction;
};

/* Read digits; *@sp moves behind them. -EINVAL without any, -ERANGE. */
static int scan_u64(const char **sp, uint64_t *outp)
{
	const char *s = *sp;
	uint64_t v = 0;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		uint64_t digit = (uint64_t)(*s - '0');

		if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
		    __builtin_add_overflow(v, digit, &v))
			return -ERANGE;
	}
	*sp = s;
	*outp = v;
	return 0;
}

static int scan_decimal(const char **sp, struct decimal *d)
{
	uint64_t unit = FRACTION_ONE / 10;
	int r = scan_u64(sp, &d->whole);

	d->fraction = 0;
	if (r < 0 || **sp != '.')
		return r;
	(*sp)++;
	if (**sp < '0' || **sp > '9')
		return -EINVAL;
	for (; **sp >= '0' && **sp <= '9'; (*sp)++, unit /= 10)
		d->fraction += (uint64_t)(**sp - '0') * unit;
	return 0;
}

/* d * scale, rounded down. */
static int scale_decimal(const struct decimal *d, uint64_t scale,
			 uint64_t *outp)
{
	__extension__ typedef unsigned __int128 wide;
	wide v = (wide)d->whole * scale +
		 (wide)d->fraction * scale / FRACTION_ONE;

	if (v > UINT64_MAX)
		return -ERANGE;
	*outp = (uint64_t)v;
	return 0;
}

int dv_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *outp)
{
	uint64_t v;
	int r = scan_u64(&s, &v);

	/* Characters that do not belong are the better answer: look first. */
	if (r == -ERANGE && s[strspn(s, "0123456789")])
		return -EINVAL;
	if (r < 0)
		return r;
	if (*s)
		return -EINVAL;
	if (v < min || v > max)
		return -ERANGE;
	*outp = v;
	return 0;
}

int dv_parse_i64(const char *s, int64_t min, int64_t max, int64_t *outp)
{
	bool negative = *s == '-';
	uint64_t limit = (uint64_t)INT64_MAX + negative;
	uint64_t u;
	int64_t v;
	int r = dv_parse_u64(s + negative, 0, limit, &u);

	if (r < 0)
		return r;
	v = (int64_t)(negative ? 0 - u : u);
	if (v < min || v > max)
		return -ERANGE;
	*outp = v;
	return 0;
}

/* The power of two of "m", "mb", "mib" in any case; -EINVAL. */
static int size_shift(const char *unit)
{
	static const char letters[] = "kmgt";
	const char *letter;

	if (*unit == '\0' || strcasecmp(unit, "b") == 0)
		return 0;
	letter = strchr(letters, *unit | 0x20);
	if (!letter || (unit[1] && strcasecmp(unit + 1, "b") != 0 &&
			strcasecmp(unit + 1, "ib") != 0))
		return -EINVAL;
	return (int)(letter - letters + 1) * 10;
}

int dv_parse_size(const char *s, uint64_t *bytesp)
{
	struct decimal d;
	int shift;
	int r = scan_decimal(&s, &d);

	if (r < 0)
		return r;
	shift = size_shift(s);
	/* Half a byte is a mistake, not a size. */
	if (shift < 0 || (shift == 0 && d.fraction))
		return -EINVAL;
	return scale_decimal(&d, UINT64_C(1) << shift, bytesp);
}

/* From long to short; each may follow only a longer one. */
static const struct {
	const char *name;
	uint32_t ms;
} time_units[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 },
	{ "s", 1000 },     { "ms", 1 },
};

/* Read a unit; *@unitp is its row. -EINVAL when there is none. */
static int scan_unit(const char **sp, size_t *unitp)
{
	size_t len = strcspn(*sp, "0123456789.");

	for (size_t i = 0; i < DV_ARRAY_LEN(time_units); i++) {
		if (strlen(time_units[i].name) != len ||
		    strncmp(*sp, time_units[i].name, len) != 0)
			continue;
		*sp += len;
		*unitp = i;
		return 0;
	}
	return -EINVAL;
}

int dv_parse_span(const char *s, uint64_t *msp)
{
	uint64_t sum = 0;
	size_t next = 0; /* the first unit that may still come */

	do {
		size_t unit = 3; /* seconds, for a number on its own */
		struct decimal d;
		uint64_t ms = 0;
		int r = scan_decimal(&s, &d);

		if (r == 0 && (*s || next > 0))
			r = scan_unit(&s, &unit);
		if (r == 0 && unit < next)
			r = -EINVAL;
		if (r == 0)
			r = scale_decimal(&d, time_units[unit].ms, &ms);
		if (r < 0)
			return r;
		next = unit + 1;
		if (__builtin_add_overflow(sum, ms, &sum))
			return -ERANGE;
	} while (*s);
	*msp = sum;
	return 0;
}

int dv_parse_duration(const char *s, int *msp)
{
	uint64_t ms;
	int r = dv_parse_span(s, &ms);

	if (r < 0)
		return r;
	if (ms > INT_MAX)
		return -ERANGE;
	*msp = (int)ms;
	return 0;
}

int dv_parse_milli(const char *s, uint32_t *millip)
{
	struct decimal d;
	uint64_t v;
	int r = scan_decimal(&s, &d);

	if (r < 0)
		return r;
	if (*s)
		return -EINVAL;
	if (d.whole > 999999)
		return -ERANGE;
	r = scale_decimal(&d, 1000, &v);
	if (r == 0)
		*millip = (uint32_t)v;
	return r;
}
