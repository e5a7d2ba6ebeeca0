/* MD5 (RFC 1321) of short texts, for the answers to digest challenges. */
#ifndef BENCH_MD5_H
#define BENCH_MD5_H

#include <stddef.h>

/* Lower-case hex of the hash of text[0..length), 32 characters and a NUL. length is below 2000. */
void md5_hex(const char *text, size_t length, char hex[33]);

#endif
