# Declarations of the C functions in _grammar_cy.py: RFC 3261 §25 on spans of bytes.
# All of them work on [s, e) of p, touch nothing else, allocate nothing and need no GIL.

cdef extern from "<arpa/inet.h>":
    const int AF_INET
    const int AF_INET6
    int inet_pton(int family, const char *text, void *address) nogil

cdef enum:              # classes of characters, bits of CLASS[c]
    TOKEN = 1
    HEX = 2
    DIGIT = 4
    HOST = 8            # of a name or an IPv4 address
    USER = 16           # of a user part, password included
    OPAQUE = 32         # of URI parameters, URI headers and URIs of other schemes
    VALUE = 64          # of an unquoted header parameter's value
    DISPLAY = 128       # of an unquoted display name

cdef struct UriSpan:
    int kind            # 0 any other scheme, 1 sip, 2 sips, 3 tel
    int scheme_end      # at the colon
    int user_start      # -1 when there is no userinfo
    int user_end
    int password_start  # -1 when there is none
    int password_end
    int host_start
    int host_end
    int port            # 0 when absent
    int params          # at the first ";", or where headers or the end are
    int headers         # at "?", or the end
    int end

cdef struct Param:
    int start           # of the name
    int name_end
    int value_start     # -1 when there is no "="; quotes are part of the value
    int value_end
    int end             # of the parameter without trailing white space

cdef struct Seen:
    int count
    unsigned int hashes[32]
    int starts[32]
    int ends[32]

cdef struct AddressSpan:
    int display_start   # -1 when there is no display name; quotes are part of it
    int display_end
    int bracketed
    int uri_start
    int uri_end
    int params          # where header parameters begin (at ";" or the end)
    int tag_start       # -1 when there is none
    int tag_end
    int end

cdef struct ViaSpan:
    int usable          # protocol and sent-by could be read
    int start           # of the value
    int end             # of the value, without white space behind it
    int transport_start
    int transport_end
    int sent_start      # host [: port]
    int sent_end
    int host_start
    int host_end
    int port            # 0 when absent
    int branch_start    # -1 when absent, as for the next ones
    int branch_end
    int received_start
    int received_end
    int rport_start     # of the name
    int rport_end       # of the parameter
    int rport           # -2 absent, -1 without value
    int maddr_start
    int maddr_end

cdef int skip_ws(const unsigned char *p, int s, int e) noexcept nogil
cdef int skip_ws_back(const unsigned char *p, int s, int e) noexcept nogil
cdef int skip_token(const unsigned char *p, int s, int e) noexcept nogil
cdef int skip_quoted(const unsigned char *p, int s, int e) noexcept nogil
cdef int skip_host(const unsigned char *p, int s, int e) noexcept nogil
cdef int skip_list_value(const unsigned char *p, int s, int e) noexcept nogil
cdef int number(const unsigned char *p, int s, int e, int digits, unsigned long long *out) noexcept nogil
cdef bint utf8(const unsigned char *p, int s, int e) noexcept nogil
cdef bint first_time(Seen *seen, const unsigned char *p, int s, int e) noexcept nogil
cdef int scan_port(const unsigned char *p, int s, int e, int *port) noexcept nogil
cdef int scan_param(const unsigned char *p, int s, int e, Param *out) noexcept nogil
cdef bint scan_uri(const unsigned char *p, int s, int e, UriSpan *out) noexcept nogil
cdef bint unique_uri_params(const unsigned char *p, UriSpan *uri) noexcept nogil
cdef bint scan_address(const unsigned char *p, int s, int e, AddressSpan *out, UriSpan *uri, bint strict) noexcept nogil
cdef int scan_via(const unsigned char *p, int s, int e, ViaSpan *out) noexcept nogil
