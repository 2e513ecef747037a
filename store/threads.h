/* Whether threads can be started, for what does not survive that they cannot. */
#pragma once

/* Starts `count` threads at once, which end again. -EAGAIN: so many are not to be had. */
int threads_try(unsigned count);
