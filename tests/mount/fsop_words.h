/* What an operation of fsop is given, and what it answers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { MAX_SLOTS = 64 };

extern int slots[MAX_SLOTS]; /* open files; -1: none */
extern bool answered;	     /* something was printed: `ok` need not be */

/* Ends with 64. */
_Noreturn void usage(const char *what);

/* The argument `index` of a list that ends with NULL, as what it is to be; what is none, or
 * is missing, is bad usage. */
const char *arg_text(char **args, int index);
long long arg_number(char **args, int index);
int arg_octal(char **args, int index, int otherwise); /* missing: `otherwise` */
int *arg_slot(char **args, int index);
int arg_flags(char **args, int index); /* of open(2), with commas between them */
/* Its place in `words`, which ends with NULL. */
int arg_word(char **args, int index, const char *const *words);

/* One line each. Everything but printable ASCII is escaped. */
void print_escaped(const char *bytes, size_t length);
void print_number(long long number);
