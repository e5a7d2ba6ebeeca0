# Declarations of _scan_cy.py: the offset table.

from siphon.sip._grammar_cy cimport AddressSpan, UriSpan, ViaSpan

cdef enum:
    MAX_LINES = 1024        # header lines that are ever looked at; limits.headers may not be higher

cdef struct Line:           # offsets into raw; a datagram has at most 65,535 bytes
    unsigned short start
    unsigned short name_end
    unsigned short value_start
    unsigned short value_end
    unsigned short end      # behind its CRLF
    unsigned short folded
    unsigned int hash       # of the long form of the name

cdef struct Scan:
    int status              # of the first fault; 0 = none
    const char *fault       # what the fault is
    int count               # lines kept
    bint is_request
    bint sip                # the start-line is SIP's
    bint upper_version      # the version is written "SIP/2.0"
    int method_end
    int uri_start
    int uri_end
    int version             # start of SIP-Version
    int code
    int reason_start
    int reason_end
    int body_start
    int body_end            # by Content-Length; the rest of the datagram does not belong to the message
    int content_length      # -1 when absent
    int max_forwards        # -1 when absent or above 255
    long long cseq          # -1 when missing
    int cseq_method_start
    int cseq_method_end
    int via_count
    int i_via               # line numbers, -1 when absent
    int i_from
    int i_to
    int i_call_id
    int i_cseq
    int i_max_forwards
    int i_content_length
    UriSpan uri
    ViaSpan via
    AddressSpan sender
    AddressSpan target

cdef void scan(const unsigned char *p, int size, Line *lines, int header_bytes, int line_bytes, int headers, int vias, Scan *s) noexcept nogil
cdef int long_name(const unsigned char *p, int size, const unsigned char **out) noexcept nogil
