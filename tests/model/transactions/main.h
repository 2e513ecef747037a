/* What the two programs of the transaction checker share. */
#pragma once

#include <stdbool.h>

int transactions_main(int argc, char **argv, bool self_test);
