/* One thread for what happens by time: appenders that have been idle commit, requests that
 * wait for a RELEASE are let go, calls for later are made. It sleeps until the next of these is
 * due. */
#pragma once

#include "fs/session.h"

/* The appender has written: it commits when it has been idle for a second. */
void housekeeper_watch_idle(struct housekeeper *housekeeper, struct session *session);
/* The session was flushed with nothing written: it may end with its next RELEASE. */
void housekeeper_note_closing(struct housekeeper *housekeeper, struct session *session);
/* Its RELEASE has committed, or it goes on writing: who waits for that goes on. */
void housekeeper_session_ended(struct housekeeper *housekeeper, struct session *session);

/* Calls call(arg) once, `delay_us` from now; the same delay for all who ask. */
void housekeeper_call_later(struct housekeeper *housekeeper, int64_t delay_us,
			    void (*call)(void *arg), void *arg);

/* Of the session, for the housekeeper. */
bool session_is_released_soon(struct session *session);
bool session_is_releasing(struct session *session); /* its RELEASE has come */
uid_t session_uid(const struct session *session);
int64_t session_idle_left_us(struct session *session, int64_t idle_us);
