/* Operations of fsop that ask for the finer points of a call. */
#pragma once

/* times PATH ATIME MTIME [nofollow]: utimensat(2); a time is `now`, `omit` or seconds */
int op_times(char **args);

/* ftimes SLOT ATIME MTIME */
int op_ftimes(char **args);

/* faccess PATH rwx|- [effective|nofollow]: faccessat2(2) */
int op_faccess(char **args);

/* follow_chown PATH UID GID: chown(2), through links */
int op_follow_chown(char **args);

/* fchdir SLOT */
int op_fchdir(char **args);

/* many DIRECTORY COUNT: makes so many directories in it, with long names */
int op_many(char **args);

/* walk DIRECTORY: reads it, goes back to each place of it, and reads it again from the
 * start: `ok`, or what was not the same */
int op_walk(char **args);

/* empty DIRECTORY: removes each name while it is being listed: how many there were */
int op_empty(char **args);
