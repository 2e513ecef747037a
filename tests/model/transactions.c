/* Transactions of many processes through a real mount, checked to have happened one after the
 * other. See transactions/checker.h for what is checked, transactions/kinds.c for what they
 * do.
 *
 * usage: transactions [SEED] [--seed=N] [--transactions=N] [--processes=N] [--self-test]
 *
 * With --self-test the history of a short run is spoilt in every way the checker must see.
 * COMMITFS is the command under test. Exit status 0: it is as it should be. */
#include "transactions/main.h"

int main(int argc, char **argv)
{
	return transactions_main(argc, argv, false);
}
