# Declarations of _record.pyx: the record's fields. siphon/state/layout.py says how they lie in bytes.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef class Claim:
    cdef public uint8_t kind            # a ClaimKind
    cdef public uint16_t branch
    cdef public uint16_t slot
    cdef public uint64_t generation
    cdef public uint8_t runs
    cdef public double deadline

cdef class Client:
    cdef public uint8_t state
    cdef public double resend_at
    cdef public double interval
    cdef public double timeout_at
    cdef public double end_at

cdef class Branch(Client):
    cdef public uint16_t index
    cdef public str ip
    cdef public uint16_t port
    cdef public uint16_t listener
    cdef public str local_ip
    cdef public bytes uri
    cdef public bytes splices
    cdef public bytes others            # the plan with the target's further addresses, packed; empty: there are none
    cdef public bint moved              # no candidate: given up for the target's next address (RFC 3263 §4.3), or a 3xx
                                        # that is followed
    cdef public uint16_t last_status
    cdef public bint provisional        # has had a 1xx, 100 included: CANCEL may go (RFC 3261 §9.1)
    cdef public uint16_t result
    cdef public bint local              # the result was made here (408, 503), not received
    cdef public uint16_t order          # rank of the result among all of the record: the earliest failure wins a tie
    cdef public bint judging            # on_reply still has to see the failure; the attempt waits for it
    cdef public bint dropped            # on_reply dropped this branch's 2xx: later copies are dropped unseen
    cdef public bytes response
    cdef public double ring_at
    cdef public double timer_c_at
    cdef public Client cancel
    cdef public uint8_t cancel_by       # a CancelCause
    cdef public bytes cancel_reason     # Reason lines of our CANCEL, joined by CRLF
    cdef public double give_up_at       # 64*T1 after the CANCEL: no final came
    cdef public uint16_t target         # number of the target in its attempt
    cdef uint32_t lengths[7]            # while it is read: of its variable parts

cdef class Record:
    cdef public bytes key
    cdef public uint32_t salt
    cdef public str method
    cdef public bint invite
    cdef public bint own                # made here: no server transaction, nobody upstream
    cdef public uint16_t waiter         # slot of the process that waits for the answer to an own request
    cdef public uint8_t state           # of the server transaction's table
    cdef public double created
    cdef public double wall
    cdef public uint32_t script_version
    cdef public uint64_t touched        # bit per slot that committed this record (diagnosis: who served the call)
    # the request: as received, our received/rport in its top Via; `edits` lead to what the handlers left
    cdef public bytes request
    cdef public bytes edits
    cdef public bytes attempt_edits     # the same for the running attempt: on_failure edits for its own attempt only
    cdef public bytes call_id
    cdef public bytes from_tag
    cdef public bytes to_tag            # the request's own To tag
    cdef public uint32_t cseq
    cdef public bytes reply_to_tag      # set_reply_to_tag; else our tag is a function of the key
    # where it came from and where answers go
    cdef public uint16_t listener
    cdef public str local_ip
    cdef public str source_ip
    cdef public uint16_t source_port
    cdef public str reply_ip
    cdef public uint16_t reply_port
    # answers
    cdef public bytes last_response
    cdef public uint16_t final_status
    cdef public double final_sent_at
    cdef public bint local_2xx          # a 2xx of ours to an INVITE: repeated until its ACK
    cdef public double trying_at        # the automatic 100; after a provisional without an action, the 408
    cdef public double resend_at        # Timer G; before the final the next repeat of a reliable 1xx of ours
    cdef public double interval
    cdef public double end_at           # Timer H, I, J or L; before the final when a reliable 1xx is given up
    cdef public uint32_t rseq           # RSeq of the last reliable 1xx of ours (RFC 3262); 0: there was none
    cdef public bytes prack             # id of the transaction of the PRACK that has acknowledged it
    cdef public double prack_until      # until then it may come, or come again
    # the attempts
    cdef public list branches
    cdef public uint16_t next_index
    cdef public uint8_t attempts
    cdef public uint16_t attempt_first  # index of the first branch of the running attempt
    cdef public bytes targets           # msgpack: targets that have not been started
    cdef public uint8_t strategy
    cdef public double ring_timeout
    cdef public bint record_route
    cdef public str send_socket
    cdef public str on_reply
    cdef public str on_failure
    cdef public bint cancelled
    cdef public double cancel_at        # when the CANCEL came; its record lives Timer J longer
    cdef public bytes cancel_reason
    cdef public uint16_t rejected       # status of reply.reject()
    # the script's own
    cdef public bytes vars
    cdef public str auth_user
    cdef public bytes consumed          # URIs that loose_route() consumed, a line each
    cdef public list claims

    cpdef Branch branch(self, int index)
    cpdef Claim claim(self, int kind, int branch=*)
