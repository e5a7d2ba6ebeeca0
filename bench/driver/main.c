/* driver: SIP user agents for benchmarks, callers and callees in one process, by UDP through one server.

     driver --server IP:PORT --ports FIRST --flow call|message|register [options]

   It starts calls at a steady rate whatever becomes of them (--rate), or keeps so many running (--flight), and prints
   one line of JSON at the end. Exit status: 0 measured (failures are in the line), 2 usage, 3 a port is taken. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "flows.h"

enum { STARTS_A_TURN = 64, MOST_SLOTS = 65536 };

static struct plan plan = {.contacts = 1, .callers = 32, .callees = 36, .users = 1, .password = "secret", .t1_ms = 500};
static double rate, seconds = 5, give_up = 8;
static int flight, strict, first_port = 20000;
static unsigned long calls;
static const char *ip = "127.0.0.1";

static void usage(const char *why) {
    fprintf(stderr,
            "driver: %s\n"
            "driver --server IP:PORT --ports FIRST --flow call|message|register\n"
            "       --rate N | --flight N   calls a second, or calls at one time\n"
            "       --seconds S | --calls N how long; 5 s where absent\n"
            "       --users N --contacts K --callers N --callees N --password TEXT\n"
            "       --t1 MS                 what brings nothing for so long is sent again; 500\n"
            "       --give-up S             a call that lasts longer has failed\n"
            "       --strict                stops starting calls at the first failure or repeat\n"
            "       --trace FILE            a line for each message\n"
            "       --direct                no server: callers send to the callees\n",
            why);
    exit(2);
}

static void read_server(const char *text) {
    char host[64];
    int port;
    if (sscanf(text, "%63[0-9.]:%d", host, &port) != 2)
        usage("--server wants IP:PORT");
    plan.server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &plan.server.sin_addr);
}

static void read_options(int argc, char **argv) {
    static const struct option options[] = {
        {"server", 1, 0, 's'},   {"ports", 1, 0, 'p'},   {"flow", 1, 0, 'f'},    {"rate", 1, 0, 'r'},
        {"flight", 1, 0, 'n'},   {"seconds", 1, 0, 't'}, {"calls", 1, 0, 'c'},   {"users", 1, 0, 'u'},
        {"contacts", 1, 0, 'k'}, {"callers", 1, 0, 'a'}, {"callees", 1, 0, 'b'}, {"give-up", 1, 0, 'g'},
        {"strict", 0, 0, 'x'},   {"trace", 1, 0, 'o'},   {"direct", 0, 0, 'd'},  {"password", 1, 0, 'w'},
        {"ip", 1, 0, 'i'},       {"t1", 1, 0, '1'},      {0, 0, 0, 0}};
    int letter;
    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (letter) {
        case 's': read_server(optarg); break;
        case 'p': first_port = atoi(optarg); break;
        case 'f':
            if (!strchr("cmr", optarg[0]))
                usage("--flow is call, message or register");
            plan.flow = optarg[0] == 'c' ? CALL : optarg[0] == 'm' ? MESSAGE : REGISTER;
            break;
        case 'r': rate = atof(optarg); break;
        case 'n': flight = atoi(optarg); break;
        case 't': seconds = atof(optarg); break;
        case 'c': calls = strtoul(optarg, NULL, 10); break;
        case 'u': plan.users = strtoul(optarg, NULL, 10); break;
        case 'k': plan.contacts = atoi(optarg); break;
        case 'a': plan.callers = atoi(optarg); break;
        case 'b': plan.callees = atoi(optarg); break;
        case 'g': give_up = atof(optarg); break;
        case 'x': strict = 1; break;
        case 'o': plan.trace = fopen(optarg, "w"); break;
        case 'd': plan.direct = 1; break;
        case 'w': plan.password = optarg; break;
        case 'i': ip = optarg; break;
        case '1': plan.t1_ms = atoi(optarg); break;
        default: usage("unknown option");
        }
    if ((rate > 0) == (flight > 0))
        usage("give --rate or --flight");
    if (!plan.server.sin_port && !plan.direct)
        usage("give --server");
    if (plan.contacts < 1 || plan.contacts > 9 || plan.callees % plan.contacts || !plan.users || flight > MOST_SLOTS)
        usage("--contacts is 1 to 9 and divides --callees, --users at least 1, --flight at most 65536");
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double quantile_us(double part) {
    return counts.delay_count ? counts.delays[(size_t)(part * (counts.delay_count - 1))] / 1e3 : 0;
}

static void report(double elapsed, double lag_ms, int stopped) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    qsort(counts.delays, counts.delay_count, sizeof *counts.delays, by_size);
    printf("{\"started\": %lu, \"completed\": %lu, \"failed\": %lu, \"retransmissions\": %lu, \"repeats\": %lu, "
           "\"strays\": %lu, \"timeouts\": %lu, \"lost_sends\": %lu, \"seconds\": %.4f, \"lag_ms\": %.2f, "
           "\"stopped\": %s, \"driver_cpu_seconds\": %.4f, ",
           counts.started, counts.completed, counts.failed, counts.retransmissions, counts.repeats, counts.strays,
           counts.timeouts, lost_sends, elapsed, lag_ms, stopped ? "true" : "false", cpu);
    printf("\"delay_us\": {\"count\": %zu, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"max\": %.1f}, \"refused\": {",
           counts.delay_count, quantile_us(.5), quantile_us(.9), quantile_us(.99), quantile_us(1));
    const char *comma = "";
    for (int status = 0; status < 700; status++)
        if (counts.refused[status]) {
            printf("%s\"%d\": %lu", comma, status, counts.refused[status]);
            comma = ", ";
        }
    printf("}}\n");
}

static int bad(void) { return counts.failed || counts.retransmissions; }

int main(int argc, char **argv) {
    read_options(argc, argv);
    open_ports(ip, first_port, plan.callees + plan.callers);
    plan.slots = flight ? flight : MOST_SLOTS;
    plan.give_up_ns = give_up * 1e9;
    prepare(&plan);
    unsigned long total = calls ? calls : rate > 0 ? rate * seconds + .5 : (unsigned long)-1;
    int64_t began = now_ns(), end = calls ? INT64_MAX : began + seconds * 1e9, looked = began, lag = 0;
    int stopped = 0;
    for (;;) {
        int64_t now = now_ns(), due = began + (rate > 0 ? counts.started / rate * 1e9 : 0);
        int more = counts.started < total && (rate > 0 || now < end) && !stopped;
        for (int i = 0; more && i < STARTS_A_TURN; i++) {
            if (rate > 0 ? due > now : active >= flight)
                break;
            if (now - due > lag && rate > 0)
                lag = now - due;
            stopped = stopped || !start_call();
            due = began + (rate > 0 ? counts.started / rate * 1e9 : 0);
            more = counts.started < total && !stopped;
        }
        if (now - looked > 20000000) {
            repeat_what_is_due(now);
            looked = now;
            stopped = stopped || (strict && bad());
        }
        flush_ports();
        if (!more && !active)
            break;
        int64_t wait = more && rate > 0 ? due - now_ns() : 10000000;
        receive_ports(wait < 0 ? 0 : wait > 10000000 ? 10000000 : wait, handle);
        flush_ports();
    }
    report((now_ns() - began) / 1e9, lag / 1e6, stopped);
    return 0;
}
