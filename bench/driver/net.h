/* UDP ports of the emulated agents. What is queued for a port leaves by one sendmmsg at the next flush_ports(). */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "sip.h"

enum { BATCH = 64 };

struct port {
    int fd, index, queued, dirty;
    struct sockaddr_in own;
    char text[32]; /* ip:port */
    char (*bytes)[MAX_DATAGRAM];
    int lengths[BATCH];
    struct sockaddr_in to[BATCH];
    int64_t *stamps[BATCH];
};

typedef void received(struct port *port, const char *bytes, size_t length, const struct sockaddr_in *from, int64_t when);

extern struct port *ports;
extern int port_count;
extern unsigned long lost_sends; /* datagrams that the kernel did not take */

/* Opens the ports first, first + 1 ... of ip. Exits with a message when one is taken. */
void open_ports(const char *ip, int first, int count);

/* Queues length bytes that the caller has written to the buffer of next_buffer(port). *stamp, if any, becomes the time
   of the send, CLOCK_REALTIME in ns. */
char *next_buffer(struct port *port);
void queue(struct port *port, int length, const struct sockaddr_in *to, int64_t *stamp);
void flush_ports(void);

/* Waits at most ns for datagrams and hands each to handle, with the time at which the kernel got it. */
void receive_ports(int64_t ns, received *handle);

int64_t now_ns(void);      /* CLOCK_MONOTONIC */
int64_t realtime_ns(void); /* CLOCK_REALTIME, that of SO_TIMESTAMPNS */

#endif
