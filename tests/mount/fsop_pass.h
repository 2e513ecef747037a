/* Operations of fsop that pass open files between its processes. */
#pragma once

/* offer SLOT SOCKET: makes the socket, and gives the file to whoever comes first */
int op_offer(char **args);

/* fetch SLOT SOCKET: takes it, waiting until it is offered */
int op_fetch(char **args);

/* openat SLOT DIRECTORY-SLOT PATH FLAGS */
int op_openat(char **args);
