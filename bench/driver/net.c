#define _GNU_SOURCE
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

struct port *ports;
int port_count;
unsigned long lost_sends;

static int poller = -1;
static struct port **dirty;
static int dirty_count;

int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int64_t realtime_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void open_port(struct port *port, const char *ip, int number) {
    int yes = 1, bytes = 4 << 20;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = port};
    port->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    port->own = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(number)};
    inet_pton(AF_INET, ip, &port->own.sin_addr);
    if (bind(port->fd, (struct sockaddr *)&port->own, sizeof port->own)) {
        fprintf(stderr, "driver: %s:%d: %s\n", ip, number, strerror(errno));
        exit(3);
    }
    setsockopt(port->fd, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof yes);
    setsockopt(port->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    setsockopt(port->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    snprintf(port->text, sizeof port->text, "%s:%d", ip, number);
    port->bytes = malloc((size_t)BATCH * MAX_DATAGRAM);
    epoll_ctl(poller, EPOLL_CTL_ADD, port->fd, &event);
}

void open_ports(const char *ip, int first, int count) {
    poller = epoll_create1(EPOLL_CLOEXEC);
    ports = calloc(count, sizeof *ports);
    dirty = calloc(count, sizeof *dirty);
    port_count = count;
    for (int i = 0; i < count; i++) {
        ports[i].index = i;
        open_port(&ports[i], ip, first + i);
    }
}

static void flush_port(struct port *port) {
    struct mmsghdr headers[BATCH];
    struct iovec vectors[BATCH];
    int64_t now = 0;
    int sent = 0;
    memset(headers, 0, sizeof headers[0] * port->queued);
    for (int i = 0; i < port->queued; i++) {
        vectors[i] = (struct iovec){port->bytes[i], port->lengths[i]};
        headers[i].msg_hdr.msg_name = &port->to[i];
        headers[i].msg_hdr.msg_namelen = sizeof port->to[i];
        headers[i].msg_hdr.msg_iov = &vectors[i];
        headers[i].msg_hdr.msg_iovlen = 1;
        if (port->stamps[i])
            *port->stamps[i] = now ? now : (now = realtime_ns());
    }
    while (sent < port->queued) {
        int done = sendmmsg(port->fd, headers + sent, port->queued - sent, 0);
        if (done > 0)
            sent += done;
        else if (errno != EINTR) /* ECONNREFUSED and EAGAIN cost one datagram */
            sent++, lost_sends++;
    }
    port->queued = 0;
}

void flush_ports(void) {
    for (int i = 0; i < dirty_count; i++) {
        flush_port(dirty[i]);
        dirty[i]->dirty = 0;
    }
    dirty_count = 0;
}

char *next_buffer(struct port *port) {
    if (port->queued == BATCH)
        flush_port(port);
    return port->bytes[port->queued];
}

void queue(struct port *port, int length, const struct sockaddr_in *to, int64_t *stamp) {
    port->lengths[port->queued] = length;
    port->to[port->queued] = *to;
    port->stamps[port->queued++] = stamp;
    if (!port->dirty) {
        port->dirty = 1;
        dirty[dirty_count++] = port;
    }
}

static int64_t arrival(struct msghdr *header) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec when;
            memcpy(&when, CMSG_DATA(c), sizeof when);
            return when.tv_sec * 1000000000LL + when.tv_nsec;
        }
    return realtime_ns();
}

static void receive_port(struct port *port, received *handle) {
    static char bytes[BATCH][MAX_DATAGRAM];
    static char control[BATCH][CMSG_SPACE(sizeof(struct timespec))];
    struct mmsghdr headers[BATCH];
    struct iovec vectors[BATCH];
    struct sockaddr_in from[BATCH];
    memset(headers, 0, sizeof headers);
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){bytes[i], MAX_DATAGRAM};
        headers[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                             .msg_namelen = sizeof from[i],
                                             .msg_iov = &vectors[i],
                                             .msg_iovlen = 1,
                                             .msg_control = control[i],
                                             .msg_controllen = sizeof control[i]};
    }
    int count = recvmmsg(port->fd, headers, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++)
        handle(port, bytes[i], headers[i].msg_len, &from[i], arrival(&headers[i].msg_hdr));
}

void receive_ports(int64_t ns, received *handle) {
    struct epoll_event events[BATCH];
    struct timespec timeout = {ns / 1000000000, ns % 1000000000};
    int count = epoll_pwait2(poller, events, BATCH, &timeout, NULL);
    for (int i = 0; i < count; i++)
        receive_port(events[i].data.ptr, handle);
}
