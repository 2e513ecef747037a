/* The files of a transaction: rows of the table of control files. */
#pragma once

#include "fs/control.h"

text_fn text_commit, text_message, text_isolation, text_timeout, text_txn_status, text_reads,
	text_writes, text_conflicts;
action_fn act_commit, act_restart, act_rebase, act_message, act_isolation, act_timeout;
