#define _GNU_SOURCE
#include "sip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "md5.h"

static int is(const char *line, size_t length, const char *name, size_t size) {
    return length > size && memcmp(line, name, size) == 0;
}
#define IS(name) is(line, length, name, sizeof(name) - 1)

static struct span between(struct span text, const char *open, char close) {
    const char *begin = memmem(text.at, text.length, open, strlen(open));
    struct span none = {text.at, 0};
    if (!begin)
        return none;
    begin += strlen(open);
    const char *end = memchr(begin, close, text.at + text.length - begin);
    struct span found = {begin, (end ? end : text.at + text.length) - begin};
    return found;
}

static void keep(struct message *found, const char *line, size_t length) {
    struct span span = {line, length};
    if (IS("Via: ") && found->via_count < MAX_LINES)
        found->vias[found->via_count++] = span;
    else if (IS("Record-Route: ") && found->route_count < MAX_LINES)
        found->routes[found->route_count++] = span;
    else if (IS("From: "))
        found->from = span;
    else if (IS("To: "))
        found->to = span;
    else if (IS("Call-ID: "))
        found->call_id = span;
    else if (IS("Contact: "))
        found->contact = between(span, "<", '>');
    else if (IS("WWW-Authenticate: ")) {
        found->challenge.at = line + 18;
        found->challenge.length = length - 18;
    } else if (IS("CSeq: ")) {
        const char *space = memchr(line + 6, ' ', length - 6);
        found->cseq_line = span;
        found->cseq = atoi(line + 6);
        found->method = space ? space[1] : 0;
    }
}

int parse(const char *bytes, size_t length, struct message *found) {
    const char *end = bytes + length, *line = bytes;
    found->status = 0, found->method = 0, found->cseq = 0, found->via_count = 0, found->route_count = 0;
    found->from.length = found->to.length = found->call_id.length = found->cseq_line.length = 0;
    found->contact.length = found->challenge.length = 0;
    if (length > 12 && memcmp(bytes, "SIP/2.0 ", 8) == 0)
        found->status = atoi(bytes + 8);
    while (line < end) {
        const char *stop = memchr(line, '\r', end - line);
        if (!stop || stop == line)
            break;
        keep(found, line, stop - line);
        line = stop + 2;
    }
    return found->method && found->via_count && found->call_id.length && found->to.length;
}

static char *append(char *out, char *end, const char *text, size_t length) {
    if ((size_t)(end - out) < length)
        length = end - out;
    memcpy(out, text, length);
    return out + length;
}

int repeat_lines(const struct message *request, int with_routes, const char *tag, char *out, size_t room) {
    char *begin = out, *end = out + room;
    const struct span *rest[] = {&request->from, &request->call_id, &request->cseq_line};
    for (int i = 0; i < request->via_count; i++) {
        out = append(out, end, request->vias[i].at, request->vias[i].length);
        out = append(out, end, "\r\n", 2);
    }
    for (int i = 0; with_routes && i < request->route_count; i++) {
        out = append(out, end, request->routes[i].at, request->routes[i].length);
        out = append(out, end, "\r\n", 2);
    }
    for (int i = 0; i < 3; i++) {
        out = append(out, end, rest[i]->at, rest[i]->length);
        out = append(out, end, "\r\n", 2);
    }
    out = append(out, end, request->to.at, request->to.length);
    if (tag && !memmem(request->to.at, request->to.length, ";tag=", 5)) {
        out = append(out, end, ";tag=", 5);
        out = append(out, end, tag, strlen(tag));
    }
    out = append(out, end, "\r\n", 2);
    return out - begin;
}

void parameter(struct span challenge, const char *name, char *out, size_t room) {
    const char *at = challenge.at, *end = challenge.at + challenge.length;
    size_t size = strlen(name);
    out[0] = 0;
    while ((at = memmem(at, end - at, name, size))) {
        int whole = (at == challenge.at || at[-1] == ' ' || at[-1] == ',') && at + size < end && at[size] == '=';
        at += size;
        if (!whole)
            continue;
        int quoted = at + 1 < end && at[1] == '"';
        const char *begin = at + 1 + quoted, *stop = begin;
        while (stop < end && *stop != '"' && (quoted || (*stop != ',' && *stop != ' ')))
            stop++;
        snprintf(out, room, "%.*s", (int)(stop - begin), begin);
        return;
    }
}

int authorization(struct span challenge, const char *user, const char *password, const char *method, const char *uri,
                  char *out, size_t room) {
    char realm[128], nonce[256], opaque[256], qop[64], text[1024], ha1[33], ha2[33], response[33];
    parameter(challenge, "realm", realm, sizeof realm);
    parameter(challenge, "nonce", nonce, sizeof nonce);
    parameter(challenge, "opaque", opaque, sizeof opaque);
    parameter(challenge, "qop", qop, sizeof qop);
    md5_hex(text, snprintf(text, sizeof text, "%s:%s:%s", user, realm, password), ha1);
    md5_hex(text, snprintf(text, sizeof text, "%s:%s", method, uri), ha2);
    if (qop[0])
        md5_hex(text, snprintf(text, sizeof text, "%s:%s:00000001:b3nch:auth:%s", ha1, nonce, ha2), response);
    else
        md5_hex(text, snprintf(text, sizeof text, "%s:%s:%s", ha1, nonce, ha2), response);
    return snprintf(out, room,
                    "Authorization: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", response=\"%s\", "
                    "algorithm=MD5%s%s%s%s\r\n",
                    user, realm, nonce, uri, response, qop[0] ? ", qop=auth, nc=00000001, cnonce=\"b3nch\"" : "",
                    opaque[0] ? ", opaque=\"" : "", opaque, opaque[0] ? "\"" : "");
}
