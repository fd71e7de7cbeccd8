/* SPDX-License-Identifier: MIT */
/*
 * usage: roundtrip SOCKET N
 * Asks an agent N times for guest-ping, each time when the last answer is there, and prints the
 * median of what an answer took, in microseconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "libmlimg/cleanup.h"
#include "tools/vm-agent.h"
#include "tools/vm-chan.h"

#define TIMEOUT_MS 60000

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int measure(struct mlimg_chan *chan, double *ret_us, unsigned long n, struct mlimg_err *err)
{
	int r = mlimg_agent_sync(chan, mlimg_now_ms() + TIMEOUT_MS, err);

	for (unsigned long i = 0; i < n && r == 0; i++) {
		double began_us = now_us();

		r = mlimg_chan_call(chan, "guest-ping", mlimg_now_ms() + TIMEOUT_MS, NULL, err);
		ret_us[i] = now_us() - began_us;
	}
	return r;
}

int main(int argc, char **argv)
{
	unsigned long n = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	mlimg_autofree double *took_us = calloc(n + 1, sizeof(*took_us));
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r;

	if (n == 0 || !took_us) {
		fputs("usage: roundtrip SOCKET N\n", stderr);
		return 2;
	}
	r = mlimg_unix_connect(argv[1], &chan.fd, &err);
	if (r == 0)
		r = measure(&chan, took_us, n, &err);
	mlimg_chan_close(&chan);
	if (r < 0) {
		fprintf(stderr, "roundtrip: %s\n", err.text);
		return 1;
	}
	qsort(took_us, n, sizeof(*took_us), compare);
	printf("%.0f\n", took_us[n / 2]);
	return 0;
}
