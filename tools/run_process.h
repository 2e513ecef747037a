/* One run of a command as a child process, and the signals that come meanwhile. From
 * run_signals_init on they are blocked and waited for, in the one thread there is. */
#pragma once

#include "tools/run_at.h"
#include "tools/run_input.h"

#include <signal.h>

struct run_signals {
	int fd;		 /* signalfd(2) */
	sigset_t before; /* what was blocked, as the command finds it */
};

/* -EMFILE and others of signalfd(2). */
int run_signals_init(struct run_signals *signals);
void run_signals_done(struct run_signals *signals);

/* Waits until a signal asks this process to end, and gives its number; 0: none came
 * within `timeout_ms`. */
int run_signals_wait(const struct run_signals *signals, int timeout_ms);

struct run_process {
	char **argv;
	char **environment;
	const char *directory;	 /* NULL: that of this process */
	const struct run_at *at; /* NULL: in the namespace of this process */
};

struct run_ending {
	int exit_code; /* as shells tell it: 128 + N after signal N */
	int killed_by; /* the signal that ended the command, 0: none */
	int asked_by;  /* the signal by which this process was asked to end, 0: none */
};

/* Runs it to its end. Signals are passed on to it. A command that cannot be started ends
 * with 126, or 127 when it is not there, and has said why. An error of fork(2) or of
 * run_input_begin. */
int run_process_to_end(const struct run_process *process, const struct run_signals *signals,
		       struct run_input *input, struct run_ending *ret);
