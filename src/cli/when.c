/* SPDX-License-Identifier: MIT */
#include "cli/when.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/num.h"

enum { SECOND = 1000000000 };

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* @n digits as a number; NULL when they are not there. */
static const char *digits(const char *s, int n, int *out)
{
	int v = 0;

	for (int i = 0; i < n; i++) {
		if (!is_digit(s[i]))
			return NULL;
		v = v * 10 + (s[i] - '0');
	}
	*out = v;
	return s + n;
}

/* ".5": up to nine digits count. */
static const char *fraction(const char *s, uint64_t *nsp)
{
	uint64_t unit = SECOND;

	*nsp = 0;
	if (*s != '.')
		return s;
	if (!is_digit(*++s))
		return NULL;
	for (; is_digit(*s); s++) {
		unit /= 10;
		*nsp += unit * (uint64_t)(*s - '0');
	}
	return s;
}

/* "Z", "+01:00", "-0130"; *localp stays true when there is none. */
static const char *zone(const char *s, int *secondsp, bool *localp)
{
	int h = 0, m = 0, sign = *s == '-' ? -1 : 1;

	*secondsp = 0;
	*localp = *s == '\0';
	if (*s == 'Z' || *s == 'z')
		return s + 1;
	if (*s != '+' && *s != '-')
		return s;
	s = digits(s + 1, 2, &h);
	if (s && *s == ':')
		s++;
	if (s)
		s = digits(s, 2, &m);
	*secondsp = sign * (h * 3600 + m * 60);
	return s && h < 24 && m < 60 ? s : NULL;
}

static const char *clock_time(const char *s, struct tm *tm, uint64_t *nsp)
{
	*nsp = 0;
	if (*s != 'T' && *s != 't' && *s != ' ')
		return s;
	s = digits(s + 1, 2, &tm->tm_hour);
	if (!s || *s != ':' || !(s = digits(s + 1, 2, &tm->tm_min)))
		return NULL;
	if (*s == ':')
		s = digits(s + 1, 2, &tm->tm_sec);
	if (!s || tm->tm_hour > 23 || tm->tm_min > 59 || tm->tm_sec > 60)
		return NULL;
	return fraction(s, nsp);
}

static const char *date(const char *s, struct tm *tm)
{
	s = digits(s, 4, &tm->tm_year);
	if (!s || *s != '-' || !(s = digits(s + 1, 2, &tm->tm_mon)) ||
	    *s != '-' || !(s = digits(s + 1, 2, &tm->tm_mday)) ||
	    tm->tm_mon < 1 || tm->tm_mon > 12 || tm->tm_mday < 1 ||
	    tm->tm_mday > 31)
		return NULL;
	tm->tm_year -= 1900;
	tm->tm_mon--;
	tm->tm_isdst = -1;
	return s;
}

static int parse_date(const char *s, uint64_t *nsp)
{
	struct tm tm = { .tm_sec = 0 };
	uint64_t ns = 0;
	int seconds = 0;
	bool local = true;
	time_t t;

	s = date(s, &tm);
	if (s)
		s = clock_time(s, &tm, &ns);
	if (s)
		s = zone(s, &seconds, &local);
	if (!s || *s)
		return -EINVAL;
	t = local ? mktime(&tm) : timegm(&tm) - seconds;
	/* 2^64 ns end in the year 2554. */
	if (t < 0 || (uint64_t)t >= UINT64_MAX / SECOND)
		return -ERANGE;
	*nsp = (uint64_t)t * SECOND + ns;
	return 0;
}

static int parse_unix(const char *s, uint64_t *nsp)
{
	uint64_t v = 0, ns = 0;

	if (!is_digit(*s))
		return -EINVAL;
	for (; is_digit(*s); s++) {
		v = v * 10 + (uint64_t)(*s - '0');
		if (v > UINT32_MAX * UINT64_C(4))
			return -ERANGE;
	}
	s = fraction(s, &ns);
	if (!s || *s)
		return -EINVAL;
	*nsp = v * SECOND + ns;
	return 0;
}

int dv_parse_when(const char *s, uint64_t now_ns, uint64_t *nsp)
{
	uint64_t ms;

	if (*s == '@')
		return parse_unix(s + 1, nsp);
	if (strchr(s, '-'))
		return parse_date(s, nsp);
	if (dv_parse_span(s, &ms) < 0)
		return -EINVAL;
	if (ms > now_ns / 1000000)
		return -ERANGE;
	*nsp = now_ns - ms * 1000000;
	return 0;
}
