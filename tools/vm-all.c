/* SPDX-License-Identifier: MIT */
#include "tools/vm-all.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/cli.h"
#include "tools/vm-commands.h"

/* What is under way. */
struct work {
	const struct mlimg_vm_all *all;
	struct mlimg_store *store;
	unsigned n; /* processes */
	int code;
};

static void wait_one(struct work *w)
{
	int status;

	if (wait(&status) > 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
		w->code = MLIMG_EXIT_FAILED;
	w->n--;
}

/* This program anew: a database is not for a process that was forked (store-db.h). */
static void __attribute__((noreturn)) become(const struct work *w, const char *name)
{
	char *argv[MLIMG_VM_ALL_OPTIONS_MAX + 6] = {(char *)MLIMG_VM_PROG, (char *)w->all->command,
		(char *)"--store", (char *)mlimg_store_dir(w->store)};
	size_t n = 4;

	for (size_t i = 0; i < MLIMG_VM_ALL_OPTIONS_MAX && w->all->options[i]; i++)
		argv[n++] = (char *)w->all->options[i];
	argv[n] = (char *)name;
	execv("/proc/self/exe", argv);
	_exit(MLIMG_EXIT_FAILED);
}

static int begin_one(const struct mlimg_store_tenant *row, void *ctx, struct mlimg_err *err)
{
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0};
	char why[MLIMG_GUEST_WHY_SIZE];
	enum mlimg_guest_state state;
	struct work *w = ctx;
	pid_t pid;
	int ret = mlimg_tenant_load(w->store, row->name, &t, err);

	if (ret == -ENOENT)
		return 0;
	if (ret < 0 || mlimg_backend_of(&t) != &mlimg_backend_qemu)
		return ret;
	ret = mlimg_backend_look(w->store, &t, &state, why, err);
	if (ret < 0 || !w->all->is_meant(&t, state))
		return ret;
	while (w->all->at_once && w->n >= w->all->at_once)
		wait_one(w);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return mlimg_err_set(err, errno, "start a process");
	if (pid == 0)
		become(w, row->name);
	w->n++;
	return 0;
}

int mlimg_vm_all(const char *dir, const struct mlimg_vm_all *all)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct work w = {.all = all, .code = MLIMG_EXIT_DONE};
	int ret = mlimg_store_open_given(dir, MLIMG_STORE_USE, &w.store, &err);

	if (ret == 0)
		ret = mlimg_store_tenant_each(w.store, begin_one, &w, &err);
	while (w.n)
		wait_one(&w);
	mlimg_store_close(w.store);
	return ret < 0 ? mlimg_cli_fail(MLIMG_VM_PROG, &err) : w.code;
}
