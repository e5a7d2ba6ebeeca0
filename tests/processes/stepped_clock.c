/* Preloaded into a siphond of a test: its wall clock is that of the machine plus the first number in a mapped file, the
 * arrival times of datagrams are those of the kernel plus the second; seconds. Every other clock is left alone. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *step;

__attribute__((constructor)) static void map_step(void)
{
    int fd = open(getenv("CLOCK_STEP"), O_RDONLY | O_CLOEXEC);
    step = mmap(NULL, 2 * sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
    if (fd < 0 || step == MAP_FAILED)
        abort();
    close(fd);
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    int failed = syscall(SYS_clock_gettime, id, now);
    if (!failed && step && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        now->tv_sec += *step;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec moment;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &moment);
    now->tv_sec = moment.tv_sec;
    now->tv_usec = moment.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec moment;
    clock_gettime(CLOCK_REALTIME, &moment);
    if (now)
        *now = moment.tv_sec;
    return moment.tv_sec;
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *limit)
{
    int read = syscall(SYS_recvmmsg, fd, messages, count, flags, limit);
    for (int i = 0; i < read; i++) {
        struct msghdr *header = &messages[i].msg_hdr;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
                struct timespec moment;
                memcpy(&moment, CMSG_DATA(c), sizeof moment);
                moment.tv_sec += step[1];
                memcpy(CMSG_DATA(c), &moment, sizeof moment);
            }
    }
    return read;
}
