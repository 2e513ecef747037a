/* What the service manager is told, as sd_notify(3) has it. */
#pragma once

/* Sends `state`, lines of NAME=VALUE, to the socket that NOTIFY_SOCKET names. 0 also when
 * there is none; otherwise a negative errno, which is no reason to stop serving. From any
 * thread. */
int service_notify(const char *state);

/* Says that the mount on `point` answers. */
void service_notify_ready(const char *point);
/* Says that it ends. */
void service_notify_stopping(void);
