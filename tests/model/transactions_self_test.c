/* Is the checker of transactions.c any good? As `transactions --self-test`.
 *
 * usage: transactions_self_test [SEED] */
#include "transactions/main.h"

int main(int argc, char **argv)
{
	return transactions_main(argc, argv, true);
}
