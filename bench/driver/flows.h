/* The calls: callers and callees of all flows, each a few states (flows.c), and what is counted of them. */
#ifndef BENCH_FLOWS_H
#define BENCH_FLOWS_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "net.h"

enum flow { CALL, MESSAGE, REGISTER };

struct plan {
    enum flow flow;
    struct sockaddr_in server;
    int direct;          /* callers send to the callees, without a server */
    int contacts;        /* of each user: a call forks to so many */
    int callers, callees; /* ports; the callees' are the first */
    unsigned users;
    int slots;           /* most calls at one time */
    int t1_ms;           /* RFC 3261 §17.1.1.1 */
    int64_t give_up_ns;  /* a call that lasts longer has failed */
    const char *password;
    FILE *trace; /* one line a message, or NULL */
};

struct counts {
    unsigned long started, completed, failed;
    unsigned long retransmissions; /* of the callers and callees: nothing came for T1 */
    unsigned long repeats;         /* came again although nothing of ours was sent again */
    unsigned long strays;          /* belong to no live call, or are no SIP */
    unsigned long timeouts;        /* failed because give_up_ns was over */
    unsigned long refused[700];    /* failed with that status */
    uint32_t *delays;              /* request sent to request seen, or REGISTER to its answer, ns */
    size_t delay_count, delay_room;
};

extern struct counts counts;
extern int active; /* calls that run */

void prepare(const struct plan *plan);
int start_call(void); /* 0: no slot is free */
void handle(struct port *port, const char *bytes, size_t length, const struct sockaddr_in *from, int64_t when);
void repeat_what_is_due(int64_t now);

#endif
