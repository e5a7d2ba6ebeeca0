/* Callers and callees in one process, so that both ends of a request are seen by one clock.

   CALL: INVITE, 100, 180 of every contact; when the caller has heard them all the first contact answers 200; ACK; when
   the callee has it the caller sends BYE, 200. The others get CANCEL, say 487 and get their ACK. Each step waits for
   the one before, so that the sequence of messages is the same whatever the server and the load.
   MESSAGE: 200. REGISTER: 200, or 401 and the same with credentials.

   A Call-ID names run, number and slot of its call, so no table is searched. Where nothing comes for T1 the sender of
   the last message sends it again, after 2 T1, 4 T1 ... (RFC 3261 §17.1; an INVITE no more once a provisional came, and
   a callee its 2xx until the ACK comes). The message is made again from the slot, byte for byte. */
#define _GNU_SOURCE
#include "flows.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEAD_ROOM = 1400, ROUTES_ROOM = 512 };
enum state { FREE, WAIT_RESPONSE, WAIT_ANSWER, WAIT_ACK, WAIT_BYE, WAIT_LEGS };
enum stage { IDLE, RUNG, ANSWERED, CONFIRMED, CANCELLED, OVER };

struct leg {
    enum stage stage;
    int head_length;
    struct sockaddr_in from; /* where its INVITE came from */
    char head[HEAD_ROOM];    /* what its responses repeat */
};

struct call {
    enum state state;
    unsigned number, user, rung; /* rung: a bit for each contact whose 180 came */
    int tries, provisional, cseq;
    int64_t began, next;    /* CLOCK_MONOTONIC */
    int64_t sent, arrived;  /* CLOCK_REALTIME */
    struct port *caller;    /* of a REGISTER: the phone itself */
    char target[128], to[160], routes[ROUTES_ROOM], credentials[800];
};

struct counts counts;
int active;

static struct plan plan;
static struct call *calls;
static struct leg *legs;
static int *free_slots, free_count;
static unsigned run_id, next_number;

static const char SDP[] = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                          "m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";

static int slot_of(const struct call *call) { return call - calls; }
static struct leg *legs_of(const struct call *call) { return &legs[slot_of(call) * plan.contacts]; }
static struct port *phone(const struct call *call, int leg) {
    return &ports[(call->user * (uint64_t)plan.contacts + leg) % plan.callees];
}

void prepare(const struct plan *wanted) {
    plan = *wanted;
    calls = calloc(plan.slots, sizeof *calls);
    legs = calloc((size_t)plan.slots * plan.contacts, sizeof *legs);
    free_slots = malloc(plan.slots * sizeof *free_slots);
    for (free_count = 0; free_count < plan.slots; free_count++)
        free_slots[free_count] = plan.slots - 1 - free_count;
    run_id = (unsigned)(realtime_ns() >> 10) ^ (unsigned)getpid() << 20;
}

static void trace(const struct port *port, int sends, const char *bytes) {
    if (!plan.trace)
        return;
    int is_caller = port->index >= plan.callees;
    fprintf(plan.trace, "%s%d %c ", is_caller ? "caller" : "callee", is_caller ? 0 : port->index, sends ? '>' : '<');
    const char *end = memmem(bytes, 200, "\r\n", 2), *cseq = strstr(bytes, "\r\nCSeq: ");
    if (memcmp(bytes, "SIP/2.0 ", 8) == 0 && cseq)
        fprintf(plan.trace, "%.3s %.*s\n", bytes + 8, (int)strcspn(cseq + 8, "\r"), cseq + 8);
    else
        fprintf(plan.trace, "%.*s\n", end ? (int)strcspn(bytes, " ") : 0, bytes);
}

/* ---- sending: each function writes one message whole ---- */

static void leave(struct port *port, int length, const struct sockaddr_in *to, int64_t *stamp) {
    port->bytes[port->queued][length] = 0;
    trace(port, 1, port->bytes[port->queued]);
    queue(port, length, to, stamp);
}

static const struct sockaddr_in *next_hop(const struct call *call) {
    return plan.direct ? &phone(call, 0)->own : &plan.server;
}

static int common_lines(char *out, size_t room, const struct call *call, const char *method, int branch) {
    return snprintf(out, room,
                    "Via: SIP/2.0/UDP %s;rport;branch=z9hG4bK%08x%08x%d\r\nMax-Forwards: 70\r\n"
                    "Call-ID: b%08x-%08x-%06x\r\nCSeq: %d %s\r\n",
                    call->caller->text, run_id, call->number, branch, run_id, call->number, slot_of(call), call->cseq,
                    method);
}

/* INVITE or MESSAGE, or the ACK to its failure. */
static void send_initial(struct call *call, const char *method, int64_t *stamp) {
    char *out = next_buffer(call->caller), lines[400];
    int invite = method[0] == 'I', body = method[0] != 'A';
    common_lines(lines, sizeof lines, call, method, 1);
    int length = snprintf(out, MAX_DATAGRAM,
                          "%s sip:u%u@example.com SIP/2.0\r\n%sFrom: <sip:caller@example.com>;tag=f%08x\r\n"
                          "To: %s\r\n",
                          method, call->user, lines, call->number, call->to);
    if (invite)
        length += snprintf(out + length, MAX_DATAGRAM - length,
                           "Contact: <sip:caller@%s>\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n"
                           "Supported: timer\r\nUser-Agent: siphond bench\r\n",
                           call->caller->text);
    length += snprintf(out + length, MAX_DATAGRAM - length, "%sContent-Length: %d\r\n\r\n%s",
                       !body ? "" : invite ? "Content-Type: application/sdp\r\n" : "Content-Type: text/plain\r\n",
                       !body ? 0 : invite ? (int)sizeof SDP - 1 : 5, !body ? "" : invite ? SDP : "hello");
    leave(call->caller, length, next_hop(call), stamp);
}

/* ACK to the 2xx or BYE, along the route set. */
static void send_within(struct call *call, const char *method, int branch) {
    char *out = next_buffer(call->caller), lines[400];
    common_lines(lines, sizeof lines, call, method, branch);
    int length = snprintf(out, MAX_DATAGRAM,
                          "%s %s SIP/2.0\r\n%s%sFrom: <sip:caller@example.com>;tag=f%08x\r\nTo: %s\r\n"
                          "Content-Length: 0\r\n\r\n",
                          method, call->target, lines, call->routes, call->number, call->to);
    leave(call->caller, length, next_hop(call), NULL);
}

static void send_ack(struct call *call) {
    call->cseq = 1;
    send_within(call, "ACK", 2);
}

static void send_bye(struct call *call) {
    call->cseq = 2;
    send_within(call, "BYE", 3);
}

static void send_register(struct call *call, int64_t *stamp) {
    char *out = next_buffer(call->caller), lines[400];
    common_lines(lines, sizeof lines, call, "REGISTER", call->cseq);
    int length = snprintf(out, MAX_DATAGRAM,
                          "REGISTER sip:example.com SIP/2.0\r\n%sFrom: <sip:u%u@example.com>;tag=f%08x\r\n"
                          "To: <sip:u%u@example.com>\r\n",
                          lines, call->user, call->number, call->user);
    for (int leg = 0; leg < plan.contacts; leg++)
        length += snprintf(out + length, MAX_DATAGRAM - length, "Contact: <sip:u%u@%s>\r\n", call->user,
                           phone(call, leg)->text);
    length += snprintf(out + length, MAX_DATAGRAM - length, "Expires: 3600\r\n%sContent-Length: 0\r\n\r\n",
                       call->credentials);
    leave(call->caller, length, &plan.server, stamp);
}

static void respond(struct port *port, const char *start, const char *head, int head_length, const char *contact_user,
                    int body, const struct sockaddr_in *to) {
    char *out = next_buffer(port);
    int length = snprintf(out, MAX_DATAGRAM, "SIP/2.0 %s\r\n%.*s", start, head_length, head);
    if (contact_user)
        length += snprintf(out + length, MAX_DATAGRAM - length, "Contact: <sip:%s@%s>\r\n", contact_user, port->text);
    length += snprintf(out + length, MAX_DATAGRAM - length, "%sContent-Length: %d\r\n\r\n%s",
                       body ? "Content-Type: application/sdp\r\n" : "", body ? (int)sizeof SDP - 1 : 0,
                       body ? SDP : "");
    leave(port, length, to, NULL);
}

static void respond_to_invite(struct call *call, int number, const char *start) {
    struct leg *leg = &legs_of(call)[number];
    char user[16];
    snprintf(user, sizeof user, "u%u", call->user);
    int ok = start[0] == '2', early = start[0] == '1';
    respond(phone(call, number), start, leg->head, leg->head_length, ok || early ? user : NULL, ok, &leg->from);
}

/* ---- the life of a call ---- */

static void wait_for(struct call *call, enum state state) {
    call->state = state;
    call->tries = 0;
    call->next = now_ns() + plan.t1_ms * 1000000LL;
}

int start_call(void) {
    if (!free_count)
        return 0;
    struct call *call = &calls[free_slots[--free_count]];
    struct leg *of_call = legs_of(call);
    for (int leg = 0; leg < plan.contacts; leg++)
        of_call[leg].stage = IDLE;
    call->number = next_number++;
    call->user = plan.flow == REGISTER ? call->number % plan.users : (call->number * 2654435761u) % plan.users;
    call->caller = plan.flow == REGISTER ? phone(call, 0) : &ports[plan.callees + call->number % plan.callers];
    call->rung = 0, call->provisional = 0, call->cseq = 1, call->arrived = 0;
    call->routes[0] = call->credentials[0] = 0;
    snprintf(call->to, sizeof call->to, "<sip:u%u@example.com>", call->user);
    wait_for(call, WAIT_RESPONSE);
    call->began = call->next - plan.t1_ms * 1000000LL;
    counts.started++, active++;
    if (plan.flow == REGISTER)
        send_register(call, &call->sent);
    else
        send_initial(call, plan.flow == CALL ? "INVITE" : "MESSAGE", &call->sent);
    return 1;
}

static void end_call(struct call *call, int completed) {
    call->state = FREE;
    free_slots[free_count++] = slot_of(call);
    active--;
    completed ? counts.completed++ : counts.failed++;
}

static void refused(struct call *call, int status) {
    counts.refused[status % 700]++;
    end_call(call, 0);
}

static void note_delay(int64_t ns) {
    if (counts.delay_count == counts.delay_room) {
        counts.delay_room = counts.delay_room ? counts.delay_room * 2 : 65536;
        counts.delays = realloc(counts.delays, counts.delay_room * sizeof *counts.delays);
    }
    counts.delays[counts.delay_count++] = ns < 0 ? 0 : ns > UINT32_MAX ? UINT32_MAX : ns;
}

static void end_if_all_over(struct call *call) {
    for (int leg = 1; leg < plan.contacts; leg++)
        if (legs_of(call)[leg].stage != OVER) {
            if (call->state != WAIT_LEGS)
                wait_for(call, WAIT_LEGS);
            return;
        }
    end_call(call, 1);
}

static void answer(struct call *call) {
    legs_of(call)[0].stage = ANSWERED;
    respond_to_invite(call, 0, "200 OK");
    wait_for(call, WAIT_ANSWER);
}

static void again(struct call *call) { counts.repeats += call->tries == 0; }

/* ---- what the caller hears ---- */

static void keep_dialog(struct call *call, const struct message *m) {
    int length = 0;
    for (int i = m->route_count - 1; i >= 0 && length < ROUTES_ROOM; i--)
        length += snprintf(call->routes + length, ROUTES_ROOM - length, "Route: %.*s\r\n", (int)m->routes[i].length - 14,
                           m->routes[i].at + 14);
    snprintf(call->target, sizeof call->target, "%.*s", (int)m->contact.length, m->contact.at);
    snprintf(call->to, sizeof call->to, "%.*s", (int)m->to.length - 4, m->to.at + 4);
}

static void ringing(struct call *call, const struct message *m) {
    const char *tag = memmem(m->to.at, m->to.length, ";tag=t", 6), *dash = tag ? memchr(tag, '-', 16) : NULL;
    unsigned bit = dash ? 1u << (dash[1] - '0') : 0;
    if (call->rung & bit)
        again(call);
    call->rung |= bit;
    if (call->state == WAIT_RESPONSE && call->rung == (1u << plan.contacts) - 1)
        answer(call);
}

static void response_to_invite(struct call *call, const struct message *m) {
    call->provisional = 1;
    if (m->status < 200) {
        if (m->status == 180)
            ringing(call, m);
    } else if (m->status >= 300) {
        if (call->state > WAIT_ANSWER)
            return;
        snprintf(call->to, sizeof call->to, "%.*s", (int)m->to.length - 4, m->to.at + 4);
        send_initial(call, "ACK", NULL);
        refused(call, m->status);
    } else if (call->state == WAIT_ANSWER) {
        keep_dialog(call, m);
        send_ack(call);
        wait_for(call, WAIT_ACK);
    } else if (call->state > WAIT_ANSWER) {
        again(call);
        if (call->state == WAIT_ACK)
            send_ack(call);
    }
}

static void response(struct call *call, const struct message *m, int64_t when) {
    if (m->method == 'I' && plan.flow == CALL) {
        response_to_invite(call, m);
    } else if (m->cseq != call->cseq || m->status < 200) {
        return;
    } else if (m->method == 'R' && m->status == 401 && m->cseq == 1) {
        char user[16];
        snprintf(user, sizeof user, "u%u", call->user);
        authorization(m->challenge, user, plan.password, "REGISTER", "sip:example.com", call->credentials,
                      sizeof call->credentials);
        note_delay(when - call->sent);
        call->cseq = 2;
        wait_for(call, WAIT_RESPONSE);
        send_register(call, &call->sent);
    } else if (m->status >= 300) {
        refused(call, m->status);
    } else if (m->method == 'B' && call->state == WAIT_BYE) {
        end_if_all_over(call);
    } else if (m->method == 'R' || m->method == 'M') {
        if (m->method == 'R')
            note_delay(when - call->sent);
        end_call(call, 1);
    }
}

/* ---- what a callee hears ---- */

static void arrived(struct call *call, int64_t when) {
    if (call->arrived)
        return;
    call->arrived = when;
    if (!call->tries)
        note_delay(when - call->sent);
}

static void heard_invite(struct call *call, int number, const struct message *m, const struct sockaddr_in *from) {
    struct leg *leg = &legs_of(call)[number];
    char tag[32];
    if (leg->stage != IDLE) {
        again(call);
        return;
    }
    leg->stage = RUNG;
    leg->from = *from;
    snprintf(tag, sizeof tag, "t%08x-%d", call->number, number);
    leg->head_length = repeat_lines(m, 1, tag, leg->head, HEAD_ROOM);
    respond_to_invite(call, number, "180 Ringing");
}

static void heard_ack(struct call *call, int number) {
    struct leg *leg = &legs_of(call)[number];
    if (leg->stage == ANSWERED) {
        leg->stage = CONFIRMED;
        send_bye(call);
        wait_for(call, WAIT_BYE);
    } else if (leg->stage == CANCELLED) {
        leg->stage = OVER;
        if (call->state == WAIT_LEGS)
            end_if_all_over(call);
    }
}

static void request(struct call *call, struct port *port, const struct message *m, const struct sockaddr_in *from,
                    int64_t when) {
    uint64_t first = call->user * (uint64_t)plan.contacts % plan.callees;
    int number = (port->index - (int)first + plan.callees) % plan.callees;
    char head[HEAD_ROOM], tag[32];
    if (number >= plan.contacts) {
        counts.strays++;
        return;
    }
    if (m->method == 'A') {
        heard_ack(call, number);
        return;
    }
    if (m->method == 'I' || m->method == 'M')
        arrived(call, when);
    if (m->method == 'I') {
        heard_invite(call, number, m, from);
        return;
    }
    snprintf(tag, sizeof tag, "t%08x-%d", call->number, number);
    respond(port, "200 OK", head, repeat_lines(m, 0, tag, head, sizeof head), NULL, 0, from);
    if (m->method == 'C' && legs_of(call)[number].stage == RUNG) {
        legs_of(call)[number].stage = CANCELLED;
        respond_to_invite(call, number, "487 Request Terminated");
    }
}

void handle(struct port *port, const char *bytes, size_t length, const struct sockaddr_in *from, int64_t when) {
    struct message m;
    unsigned run, number, slot;
    if (!parse(bytes, length, &m) || m.call_id.length < 34 ||
        sscanf(m.call_id.at, "Call-ID: b%8x-%8x-%6x", &run, &number, &slot) != 3 || run != run_id ||
        slot >= (unsigned)plan.slots || calls[slot].state == FREE || calls[slot].number != number) {
        counts.strays++;
        return;
    }
    trace(port, 0, bytes);
    if (m.status)
        response(&calls[slot], &m, when);
    else
        request(&calls[slot], port, &m, from, when);
}

static void repeat_last(struct call *call) {
    switch (call->state) {
    case WAIT_RESPONSE:
        if (plan.flow == REGISTER)
            send_register(call, NULL);
        else if (plan.flow == MESSAGE || !call->provisional)
            send_initial(call, plan.flow == CALL ? "INVITE" : "MESSAGE", NULL);
        else
            return;
        break;
    case WAIT_ANSWER:
    case WAIT_ACK:
        respond_to_invite(call, 0, "200 OK");
        break;
    case WAIT_BYE:
        send_bye(call);
        break;
    default:
        for (int leg = 1; leg < plan.contacts; leg++)
            if (legs_of(call)[leg].stage == CANCELLED)
                respond_to_invite(call, leg, "487 Request Terminated");
    }
    counts.retransmissions++;
}

void repeat_what_is_due(int64_t now) {
    int left = active;
    for (int slot = 0; slot < plan.slots && left; slot++) {
        struct call *call = &calls[slot];
        if (call->state == FREE)
            continue;
        left--;
        if (now - call->began > plan.give_up_ns) {
            counts.timeouts++;
            end_call(call, 0);
        } else if (now >= call->next) {
            call->tries += call->tries < 3; /* up to 8 T1, which is T2 */
            call->next = now + ((int64_t)plan.t1_ms << call->tries) * 1000000;
            repeat_last(call);
        }
    }
}
