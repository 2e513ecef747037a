/* Running one program on an overlay. */
#pragma once

#include "store/store.h"

/* What a program is evaluated against. */
struct evaluation {
	struct overlay *before; /* compares look here */
	/* The revision at which a key that is absent there was deleted; 0: unknown. */
	uint64_t (*deleted_revision)(void *arg, const char *key);
	void *arg;
	const struct program *program; /* the outermost one */
	struct program_result result;  /* owned by this; revision is the caller's to set */
	GPtrArray *path;	       /* struct op, borrowed: those that run, in order */
};

void evaluation_init(struct evaluation *evaluation);
void evaluation_done(struct evaluation *evaluation);

/* Evaluates the compares, nested ones too, and so fixes the path. */
void evaluate_compares(struct evaluation *evaluation, const struct program *program);
/* Runs the path on `overlay`. */
void evaluate_path(struct evaluation *evaluation, const struct program *program,
		   struct overlay *overlay, int64_t now_ns);

/* `revision` is the one the program made, or the one it saw. */
void evaluation_finish(struct evaluation *evaluation, uint64_t revision);

/* Makes the result an error, with no effects and no failures to tell of. */
void evaluation_fail(struct evaluation *evaluation, int error);
