"""The Outcome of the on_request handlers, as fields of C: one is made for every request."""

cdef class Outcome:
    """What the on_request handlers left.

    `action` None: nothing armed (silent drop). `message` is the request as the handlers left it (`parsed` too, if
    edited), `splices` turn the one received into it. `vars_bytes` is `vars` packed, b"" when empty.
    `uri_set`: the whole Request-URI was assigned; a part of it does not count.
    `answer_to_source`: fix_nated_register() was called.
    `route_unsigned`: loose_route() met a Route that names us without a valid token. `auth_failures`: credentials that
    failed. `error`: a handler raised; nothing else counts then. `confirms`: what other nodes must agree to, each with
    the answer where they do not.
    """

    def __init__(self, action=None, *, error=None):
        self.action, self.error = action, error
        self.provisionals, self.reply_edits, self.splices = [], [], []
        self.consumed_routes, self.confirms = [], []
        self.message = self.vars_bytes = b""
        self.vars = {}

    def __repr__(self):
        return f"<Outcome {self.action!r} error={self.error!r}>"
