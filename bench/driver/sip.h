/* As much of SIP as a load generator needs: the lines of a message that responses repeat, nothing is validated.

   A span points into the datagram. Header names are matched as this program and the servers under test write them. */
#ifndef BENCH_SIP_H
#define BENCH_SIP_H

#include <stddef.h>

enum { MAX_DATAGRAM = 4096, MAX_LINES = 12 };

struct span {
    const char *at;
    size_t length;
};

struct message {
    int status;  /* 0: a request */
    char method; /* of CSeq: I A B C M R, the first letter; 0: not SIP */
    int cseq;
    struct span vias[MAX_LINES], routes[MAX_LINES]; /* Via and Record-Route lines, without CRLF */
    int via_count, route_count;
    struct span from, to, call_id, cseq_line; /* whole lines, without CRLF */
    struct span contact;                      /* the URI in it */
    struct span challenge;                    /* the value of WWW-Authenticate */
};

/* Reads bytes[0..length) into *found; 0 when it is no SIP message. */
int parse(const char *bytes, size_t length, struct message *found);

/* The part of a response that repeats the request: Via, Record-Route where wanted, From, Call-ID, CSeq; then To with
   ";tag=tag" where it has none. Returns the length written to out[0..room). */
int repeat_lines(const struct message *request, int with_routes, const char *tag, char *out, size_t room);

/* The value of name="value" or name=value in a challenge, in out[0..room); "" where it is absent. */
void parameter(struct span challenge, const char *name, char *out, size_t room);

/* The Authorization line that answers the challenge (RFC 7616 with MD5, qop=auth where it is offered), with CRLF. */
int authorization(struct span challenge, const char *user, const char *password, const char *method, const char *uri,
                  char *out, size_t room);

#endif
