/* Standard input that is read more than once: each run of a command gets it from the
 * beginning, and what no run has read is left for others, so that
 * `while read -r line; do commitfs run ...; done` sees every line.
 *
 * One thread, which calls run_input_feed() whenever the descriptor of run_input_wait() is
 * ready. It never blocks. */
#pragma once

#include <poll.h>
#include <stdbool.h>

struct run_input;

/* Takes over descriptor 0. */
struct run_input *run_input_new(void);
void run_input_free(struct run_input *input); /* accepts NULL */

/* True when somebody may be typing: what was typed is not given twice. */
bool run_input_is_terminal(const struct run_input *input);

/* Begins a run. *ret_fd (borrowed, until run_input_end) is what it has as standard input.
 * An error of pipe2(2) or lseek(2), or of keeping what was read by the run before. */
int run_input_begin(struct run_input *input, int *ret_fd);

/* After the command was started with it: the reading end is no longer needed here. */
void run_input_started(struct run_input *input);

/* What to wait for; its fd is -1 when there is nothing. */
struct pollfd run_input_wait(const struct run_input *input);
void run_input_feed(struct run_input *input);

/* Ends the run. */
void run_input_end(struct run_input *input);
